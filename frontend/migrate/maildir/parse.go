package maildir

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"altmail.se/altmail/frontend/imapwire"
	"altmail.se/altmail/mailstore"
)

// ErrFormat means that one of Dovecot's files cannot be read.
var ErrFormat = errors.New("maildir: unknown or damaged file")

// maxLine bounds a line of Dovecot's files, maxUIDs the entries of one.
const (
	maxLine = 16 << 10
	maxUIDs = 50_000_000
)

// UIDList is what a dovecot-uidlist says.
type UIDList struct {
	UIDValidity, NextUID uint32
	UIDs                 map[string]uint32 // by file name up to the colon
}

// ParseUIDList reads version 3 of the file, and version 1 before it.
//
//	3 V1275660208 N25022 G3085f01b7f11094c501100008c4a11c1
//	25006 :1276528487.M364837P9451.kurkku,S=1355,W=1394:2,
func ParseUIDList(r io.Reader) (*UIDList, error) {
	sc := lines(r)
	if !sc.Scan() {
		return nil, listError(sc, "no header")
	}
	head := strings.Fields(sc.Text())
	l := &UIDList{UIDs: map[string]uint32{}}
	bad := func(what string) (*UIDList, error) { return nil, listError(sc, what) }
	if len(head) < 3 {
		return bad("header")
	}
	var okV, okN bool
	switch head[0] {
	case "1":
		l.UIDValidity, okV = number(head[1])
		l.NextUID, okN = number(head[2])
	case "3":
		for _, f := range head[1:] {
			switch f[0] {
			case 'V':
				l.UIDValidity, okV = number(f[1:])
			case 'N':
				l.NextUID, okN = number(f[1:])
			}
		}
	default:
		return bad("version")
	}
	if !okV || !okN || l.UIDValidity == 0 {
		return bad("UIDVALIDITY or next UID")
	}
	for sc.Scan() {
		line := sc.Text()
		num, rest, ok := strings.Cut(line, " ")
		uid, isNumber := number(num)
		if !ok || !isNumber || uid == 0 {
			return bad("entry")
		}
		name := rest
		if head[0] == "3" {
			// Extensions, each a letter and a value, end at a colon.
			if i := strings.Index(" "+rest, " :"); i >= 0 {
				name = rest[i+1:]
			} else {
				return bad("entry without a file name")
			}
		}
		base, _, _ := strings.Cut(name, ":")
		if base == "" || strings.ContainsRune(base, '/') {
			return bad("file name")
		}
		if len(l.UIDs) >= maxUIDs {
			return bad("too many entries")
		}
		// A file that is listed twice has the later UID.
		l.UIDs[base] = max(l.UIDs[base], uid)
		l.NextUID = max(l.NextUID, uid+1)
	}
	if err := sc.Err(); err != nil {
		return bad(err.Error())
	}
	return l, nil
}

func listError(sc *bufio.Scanner, what string) error {
	if err := sc.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return err
	}
	return fmt.Errorf("%w: dovecot-uidlist: %s", ErrFormat, what)
}

func lines(r io.Reader) *bufio.Scanner {
	sc := bufio.NewScanner(r)
	sc.Buffer(make([]byte, 4096), maxLine)
	return sc
}

func number(s string) (uint32, bool) {
	n, err := strconv.ParseUint(s, 10, 32)
	return uint32(n), err == nil && n < 1<<32-1
}

// ParseKeywords reads dovecot-keywords: a number and a keyword a line. The first
// 26 of them stand in file names, as letters.
func ParseKeywords(r io.Reader) (words [26]string, err error) {
	sc := lines(r)
	for sc.Scan() {
		if strings.TrimSpace(sc.Text()) == "" {
			continue
		}
		num, word, ok := strings.Cut(sc.Text(), " ")
		n, isNumber := number(num)
		if !ok || !isNumber || word == "" {
			return words, fmt.Errorf("%w: dovecot-keywords", ErrFormat)
		}
		if n < uint32(len(words)) {
			words[n] = word
		}
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return words, fmt.Errorf("%w: dovecot-keywords: a long line", ErrFormat)
	} else if err != nil {
		return words, err
	}
	return words, nil
}

// ParseSubscriptions reads a subscriptions file and returns names with "/"
// between levels: version 2 has tabs between them, before it there were dots.
func ParseSubscriptions(r io.Reader) ([]string, error) {
	sc := lines(r)
	var out []string
	sep := "."
	for n := 0; sc.Scan(); n++ {
		line := strings.TrimSuffix(sc.Text(), "\r")
		if n == 0 && strings.HasPrefix(line, "V\t") {
			if line != "V\t2" {
				return nil, fmt.Errorf("%w: subscriptions of version %q", ErrFormat, line[2:])
			}
			sep = "\t"
			continue
		}
		if line == "" {
			continue
		}
		levels := strings.Split(line, sep)
		for i := range levels {
			if sep == "\t" {
				levels[i] = unescapeTab(levels[i])
			}
			levels[i] = decodeLevel(levels[i])
		}
		out = append(out, strings.Join(levels, "/"))
	}
	if err := sc.Err(); errors.Is(err, bufio.ErrTooLong) {
		return nil, fmt.Errorf("%w: subscriptions: a long line", ErrFormat)
	} else if err != nil {
		return nil, err
	}
	return out, nil
}

var tabs = strings.NewReplacer("\x011", "\x01", "\x01t", "\t", "\x01n", "\n", "\x01r", "\r", "\x010", "\x00")

func unescapeTab(s string) string { return tabs.Replace(s) }

// Name is what the name of a message file says.
type Name struct {
	Base     string // up to the colon: it stays while flags change
	Flags    mailstore.Flags
	Keywords []int // of dovecot-keywords
	Size     int64 // S=: bytes of the file; -1: not said
	VSize    int64 // W=: bytes with CRLF; -1: not said
}

var letters = map[byte]mailstore.Flags{
	'D': mailstore.FlagDraft, 'F': mailstore.FlagFlagged, 'R': mailstore.FlagAnswered, 'S': mailstore.FlagSeen, 'T': mailstore.FlagDeleted,
}

// ParseName reads a file name. Letters it does not know mean nothing to it, as
// to Dovecot.
func ParseName(s string) Name {
	n := Name{Size: -1, VSize: -1}
	var info string
	n.Base, info, _ = strings.Cut(s, ":")
	for _, f := range strings.Split(n.Base, ",")[1:] {
		if v, err := strconv.ParseInt(f[min(2, len(f)):], 10, 62); err == nil && v >= 0 {
			switch {
			case strings.HasPrefix(f, "S="):
				n.Size = v
			case strings.HasPrefix(f, "W="):
				n.VSize = v
			}
		}
	}
	flags, ok := strings.CutPrefix(info, "2,")
	if !ok {
		return n
	}
	flags, _, _ = strings.Cut(flags, ",")
	for i := range len(flags) {
		c := flags[i]
		n.Flags |= letters[c]
		if k := int(c) - 'a'; k >= 0 && k < 26 && !slices.Contains(n.Keywords, k) {
			n.Keywords = append(n.Keywords, k)
		}
	}
	return n
}

// FolderName returns the mailbox of a folder's directory, without its first
// dot.
func FolderName(dir string) string {
	levels := strings.Split(dir, ".")
	for i := range levels {
		levels[i] = decodeLevel(levels[i])
	}
	return strings.Join(levels, "/")
}

var unescape = strings.NewReplacer(`\2e`, ".", `\2E`, ".", `\2f`, "/", `\2F`, "/", `\5c`, `\`, `\5C`, `\`)

// decodeLevel undoes Dovecot's listescape and modified UTF-7. A separator in a
// level cannot be kept.
func decodeLevel(s string) string {
	s = unescape.Replace(s)
	if d, ok := imapwire.DecodeUTF7(s); ok && utf8.ValidString(d) {
		s = d
	}
	return strings.ReplaceAll(s, "/", "_")
}

// FolderDir is the inverse of FolderName, for names that FolderName returns.
func FolderDir(name string) string {
	levels := strings.Split(name, "/")
	for i, l := range levels {
		l = strings.ReplaceAll(l, `\`, `\5c`)
		l = strings.ReplaceAll(l, ".", `\2e`)
		levels[i] = string(imapwire.AppendUTF7(nil, l))
	}
	return strings.Join(levels, ".")
}
