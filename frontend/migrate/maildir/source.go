package maildir

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"altmail.se/altmail/frontend/migrate"
)

// Source reads a Maildir++ tree. Dovecot may go on using it: files that change
// their names meanwhile are found again.
type Source struct {
	dir string
	// Mismatches counts files whose size is not what their name says (S=).
	Mismatches int
}

// Open returns the mail of a Maildir.
func Open(dir string) (*Source, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	if st, err := os.Stat(filepath.Join(abs, "cur")); err != nil || !st.IsDir() {
		return nil, fmt.Errorf("%s is no Maildir: it has no directory cur", dir)
	}
	return &Source{dir: abs}, nil
}

// ID implements migrate.Source.
func (s *Source) ID() string { return "maildir:" + s.dir }

// Close implements migrate.Source.
func (s *Source) Close() error { return nil }

// folder returns the directory of a mailbox.
func (s *Source) folder(name string) string {
	if name == "INBOX" {
		return s.dir
	}
	return filepath.Join(s.dir, "."+FolderDir(name))
}

// Mailboxes implements migrate.Source.
func (s *Source) Mailboxes(ctx context.Context) ([]migrate.Mailbox, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	names := []string{"INBOX"}
	dirs := map[string]string{"INBOX": s.dir}
	for _, e := range entries {
		dir, ok := strings.CutPrefix(e.Name(), ".")
		if !ok || dir == "" || dir == "." || strings.HasPrefix(dir, ".") {
			continue
		}
		path := filepath.Join(s.dir, e.Name())
		if st, err := os.Stat(filepath.Join(path, "cur")); err != nil || !st.IsDir() {
			continue
		}
		name := FolderName(dir)
		if _, twice := dirs[name]; twice {
			return nil, fmt.Errorf("two folders are called %q", name)
		}
		dirs[name] = path
		names = append(names, name)
	}
	slices.Sort(names[1:])
	var out []migrate.Mailbox
	for _, name := range names {
		f, err := s.read(dirs[name])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out = append(out, migrate.Mailbox{Name: name, UIDValidity: f.list.UIDValidity, UIDNext: f.next, Messages: len(f.files)})
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	return out, nil
}

// Subscriptions implements migrate.Source.
func (s *Source) Subscriptions(context.Context) ([]string, error) {
	f, err := os.Open(filepath.Join(s.dir, "subscriptions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	defer f.Close()
	return ParseSubscriptions(f)
}

// file is a message: where it is, and what its name says.
type file struct {
	path string
	name Name
	uid  uint32
}

type folder struct {
	list  *UIDList
	words [26]string
	files []file // by UID
	next  uint32
}

// read lists a folder. Files that have no UID yet get the next ones in the order
// of their names, as Dovecot would give them.
func (s *Source) read(dir string) (*folder, error) {
	f := &folder{list: &UIDList{NextUID: 1}}
	if err := with(filepath.Join(dir, "dovecot-uidlist"), func(r io.Reader) (err error) {
		f.list, err = ParseUIDList(r)
		return err
	}); err != nil {
		return nil, err
	}
	if err := with(filepath.Join(dir, "dovecot-keywords"), func(r io.Reader) (err error) {
		f.words, err = ParseKeywords(r)
		return err
	}); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		} else if err != nil {
			return nil, err
		}
		for _, e := range entries {
			n := ParseName(e.Name())
			if e.IsDir() || n.Base == "" || strings.HasPrefix(n.Base, ".") || seen[n.Base] {
				continue
			}
			seen[n.Base] = true // a file that moved from new to cur meanwhile is one
			f.files = append(f.files, file{path: filepath.Join(dir, sub, e.Name()), name: n, uid: f.list.UIDs[n.Base]})
		}
	}
	slices.SortFunc(f.files, func(a, b file) int {
		switch {
		case a.uid != 0 && b.uid != 0:
			return cmp.Compare(a.uid, b.uid)
		case a.uid != 0:
			return -1
		case b.uid != 0:
			return 1
		}
		return strings.Compare(a.name.Base, b.name.Base)
	})
	f.next = f.list.NextUID
	for i := range f.files {
		if f.files[i].uid == 0 {
			f.files[i].uid = f.next
			f.next++
		}
	}
	return f, nil
}

// with reads a file that need not exist.
func with(path string, fn func(io.Reader) error) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	defer f.Close()
	return fn(f)
}

// Messages implements migrate.Source.
func (s *Source) Messages(ctx context.Context, m migrate.Mailbox, after uint32, fn func(*migrate.Message) error, skip func(uint32, string)) error {
	dir, err := s.find(m.Name)
	if err != nil {
		return err
	}
	f, err := s.read(dir)
	if err != nil {
		return err
	}
	if f.list.UIDValidity != m.UIDValidity {
		return fmt.Errorf("UIDVALIDITY of the source changed from %d to %d", m.UIDValidity, f.list.UIDValidity)
	}
	for i := range f.files {
		x := &f.files[i]
		if x.uid <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		msg, err := s.message(dir, x, f)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue // it was expunged meanwhile
		case errors.Is(err, errContent):
			skip(x.uid, err.Error())
			continue
		case err != nil:
			return err
		}
		if err := fn(msg); err != nil {
			return err
		}
	}
	return nil
}

// find returns the directory of a mailbox, whose name may be written in ways
// that FolderDir does not use.
func (s *Source) find(name string) (string, error) {
	dir := s.folder(name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if d, ok := strings.CutPrefix(e.Name(), "."); ok && d != "" && FolderName(d) == name {
			return filepath.Join(s.dir, e.Name()), nil
		}
	}
	return "", fmt.Errorf("%s: %w", dir, fs.ErrNotExist)
}

// errContent means that a file holds no message.
var errContent = errors.New("not a message")

func (s *Source) message(dir string, x *file, f *folder) (*migrate.Message, error) {
	r, err := os.Open(x.path)
	if errors.Is(err, fs.ErrNotExist) {
		// Its flags changed, and its name with them.
		if err := again(dir, x); err != nil {
			return nil, err
		}
		r, err = os.Open(x.path)
	}
	if err != nil {
		return nil, err
	}
	defer r.Close()
	st, err := r.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > migrate.MaxMessage {
		return nil, fmt.Errorf("%w of a size that is taken", errContent)
	}
	raw, err := io.ReadAll(io.LimitReader(r, migrate.MaxMessage+1))
	if err != nil {
		return nil, err
	}
	if raw, err = unpack(raw); err != nil {
		return nil, err
	}
	if x.name.Size >= 0 && x.name.Size != int64(len(raw)) {
		s.Mismatches++
	}
	msg := &migrate.Message{UID: x.uid, Flags: x.name.Flags, Date: st.ModTime().UTC(), Raw: migrate.Wire(raw)}
	for _, k := range x.name.Keywords {
		if w := f.words[k]; w != "" {
			msg.Keywords = append(msg.Keywords, w)
		}
	}
	return msg, nil
}

// again looks for a file by what of its name stays.
func again(dir string, x *file) error {
	for _, sub := range []string{"cur", "new"} {
		entries, err := os.ReadDir(filepath.Join(dir, sub))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if n := ParseName(e.Name()); n.Base == x.name.Base {
				x.name, x.path = n, filepath.Join(dir, sub, e.Name())
				return nil
			}
		}
	}
	return fs.ErrNotExist
}

// unpack undoes the compression of Dovecot's zlib plugin: no message begins
// with such bytes.
func unpack(raw []byte) ([]byte, error) {
	var r io.Reader
	switch {
	case bytes.HasPrefix(raw, []byte{0x1f, 0x8b}):
		z, err := gzip.NewReader(bytes.NewReader(raw))
		if err != nil {
			return nil, fmt.Errorf("%w: gzip", errContent)
		}
		r = z
	case bytes.HasPrefix(raw, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		z, err := zstd.NewReader(bytes.NewReader(raw), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(migrate.MaxMessage+1))
		if err != nil {
			return nil, fmt.Errorf("%w: zstd", errContent)
		}
		defer z.Close()
		r = z
	default:
		return raw, nil
	}
	out, err := io.ReadAll(io.LimitReader(r, migrate.MaxMessage+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errContent, err)
	}
	return out, nil
}
