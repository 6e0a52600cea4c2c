package faults

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"unicode/utf16"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// Needle is something that must not be found on a disk.
type Needle struct {
	What  string
	Bytes []byte
}

// forms are the ways a needle can lie in a file: as it is, in base64 at each of
// three alignments, and in UTF-16 of both orders.
func forms(n Needle) []Needle {
	out := []Needle{n}
	for shift := range 3 {
		// The first and last characters of a base64 run depend on what is
		// around it; those between do not.
		enc := base64.StdEncoding.EncodeToString(append(make([]byte, shift), n.Bytes...))
		from := (shift*8 + 5) / 6
		to := (shift + len(n.Bytes)) * 8 / 6
		if to-from >= 8 {
			out = append(out, Needle{fmt.Sprintf("%s in base64 (%d)", n.What, shift), []byte(enc[from:to])})
		}
	}
	var le, be []byte
	for _, u := range utf16.Encode([]rune(string(n.Bytes))) {
		le = append(le, byte(u), byte(u>>8))
		be = append(be, byte(u>>8), byte(u))
	}
	return append(out, Needle{n.What + " in UTF-16LE", le}, Needle{n.What + " in UTF-16BE", be})
}

// address is what an e-mail address looks like to strings(1) and grep.
var address = regexp.MustCompile(`[A-Za-z0-9._%+-]{2,64}@[A-Za-z0-9-]{2,63}\.[A-Za-z]{2,24}\b`)

// compressed are the magic numbers at which the scan also tries to decompress.
var compressed = []struct {
	name  string
	magic []byte
	open  func([]byte) ([]byte, error)
}{
	{"zstd", []byte{0x28, 0xb5, 0x2f, 0xfd}, unzstd},
	{"snappy", []byte("\xff\x06\x00\x00sNaPpY"), unsnappy},
	{"gzip", []byte{0x1f, 0x8b, 8}, func(b []byte) ([]byte, error) { return inflate(b[min(10, len(b)):]) }},
	{"zlib", []byte{0x78, 0x9c}, func(b []byte) ([]byte, error) { return inflate(b[2:]) }},
}

const unpackLimit = 1 << 20

func unzstd(b []byte) ([]byte, error) {
	d, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	out, err := io.ReadAll(io.LimitReader(d, unpackLimit))
	if len(out) > 0 {
		return out, nil // what came before damage counts
	}
	return nil, err
}

func unsnappy(b []byte) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(snappy.NewReader(bytes.NewReader(b)), unpackLimit))
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

func inflate(b []byte) ([]byte, error) {
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), unpackLimit))
	if len(out) > 0 {
		return out, nil
	}
	return nil, err
}

// Scan looks for needles, in all their forms and also inside what can be
// decompressed, and for anything that looks like an e-mail address, in every
// regular file of a directory tree. It returns what it found and how many
// bytes it read.
func Scan(dir string, needles []Needle) (found []string, read int64, err error) {
	var all []Needle
	for _, n := range needles {
		all = append(all, forms(n)...)
	}
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			// A file can go between listing and reading on a running node.
			if os.IsNotExist(err) {
				return nil
			}
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		for _, n := range needles {
			if bytes.Contains([]byte(rel), n.Bytes) {
				found = append(found, fmt.Sprintf("name of %s: %s", rel, n.What))
			}
		}
		if !d.Type().IsRegular() {
			return nil
		}
		b, err := os.ReadFile(path)
		if os.IsNotExist(err) {
			return nil
		}
		if err != nil {
			return err
		}
		read += int64(len(b))
		found = append(found, scanBytes(rel, b, all)...)
		for _, c := range compressed {
			for off, tries := 0, 0; tries < 20000; tries++ {
				i := bytes.Index(b[off:], c.magic)
				if i < 0 {
					break
				}
				off += i
				if out, err := c.open(b[off:]); err == nil {
					found = append(found, scanBytes(fmt.Sprintf("%s at %d (%s)", rel, off, c.name), out, all)...)
				}
				off++
			}
		}
		return nil
	})
	return found, read, err
}

func scanBytes(name string, b []byte, needles []Needle) (found []string) {
	for _, n := range needles {
		if bytes.Contains(b, n.Bytes) {
			found = append(found, name+": "+n.What)
		}
	}
	// Random bytes look like a short address now and then: only what is
	// printable for longer than chance allows counts.
	for _, m := range address.FindAll(b, -1) {
		if len(m) >= 15 {
			found = append(found, fmt.Sprintf("%s: looks like an address: %d bytes", name, len(m)))
		}
	}
	return found
}
