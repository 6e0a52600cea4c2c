package maildir

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/mailstore"
)

// Writer writes a tree that Dovecot and Open take for what it was: UIDs,
// UIDVALIDITY, flags, keywords, dates and subscriptions. Octets are written as
// they are, with CRLF.
type Writer struct {
	dir string
	box *boxWriter
}

// Create makes a new tree. The directory must not exist, or be empty.
func Create(dir string) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	if len(entries) > 0 {
		return nil, fmt.Errorf("%s is not empty: nothing is written over", dir)
	}
	return &Writer{dir: dir}, nil
}

// boxWriter is the mailbox being written.
type boxWriter struct {
	dir   string
	m     migrate.Mailbox
	list  bytes.Buffer
	words []string
}

// Mailbox ends the mailbox before and begins one.
func (w *Writer) Mailbox(m migrate.Mailbox) error {
	if err := w.finish(); err != nil {
		return err
	}
	dir := w.dir
	if m.Name != "INBOX" {
		dir = filepath.Join(w.dir, "."+FolderDir(m.Name))
	}
	for _, sub := range []string{"cur", "new", "tmp"} {
		if err := os.MkdirAll(filepath.Join(dir, sub), 0o700); err != nil {
			return err
		}
	}
	if m.Name != "INBOX" {
		if err := os.WriteFile(filepath.Join(dir, "maildirfolder"), nil, 0o600); err != nil {
			return err
		}
	}
	w.box = &boxWriter{dir: dir, m: m}
	return nil
}

var flagLetters = []struct {
	flag   mailstore.Flags
	letter byte
}{ // in the order of the alphabet, as they stand in file names
	{mailstore.FlagDraft, 'D'}, {mailstore.FlagFlagged, 'F'}, {mailstore.FlagAnswered, 'R'}, {mailstore.FlagSeen, 'S'}, {mailstore.FlagDeleted, 'T'},
}

// Message writes one and returns its path below the tree. Keywords that have no
// letter any more, because the mailbox has more than 26, are returned as lost.
func (w *Writer) Message(m *migrate.Message) (path string, lost []string, err error) {
	b := w.box
	base := fmt.Sprintf("%d.U%d.altmail,S=%d,W=%d", m.Date.Unix(), m.UID, len(m.Raw), len(m.Raw))
	var info []byte
	for _, f := range flagLetters {
		if m.Flags&f.flag != 0 {
			info = append(info, f.letter)
		}
	}
	var words []byte
	for _, k := range m.Keywords {
		i := slices.Index(b.words, k)
		if i < 0 && len(b.words) < 26 {
			i = len(b.words)
			b.words = append(b.words, k)
		}
		if i < 0 {
			lost = append(lost, k)
			continue
		}
		words = append(words, 'a'+byte(i))
	}
	slices.Sort(words)
	path = filepath.Join(b.dir, "cur", base+":2,"+string(info)+string(words))
	if err := os.WriteFile(path, m.Raw, 0o600); err != nil {
		return "", nil, err
	}
	if err := os.Chtimes(path, m.Date, m.Date); err != nil {
		return "", nil, err
	}
	fmt.Fprintf(&b.list, "%d :%s\n", m.UID, base)
	rel, err := filepath.Rel(w.dir, path)
	return rel, lost, err
}

func (w *Writer) finish() error {
	b := w.box
	if b == nil {
		return nil
	}
	w.box = nil
	head := fmt.Sprintf("3 V%d N%d\n", b.m.UIDValidity, max(b.m.UIDNext, 1))
	if err := os.WriteFile(filepath.Join(b.dir, "dovecot-uidlist"), append([]byte(head), b.list.Bytes()...), 0o600); err != nil {
		return err
	}
	if len(b.words) == 0 {
		return nil
	}
	var text strings.Builder
	for i, k := range b.words {
		fmt.Fprintf(&text, "%d %s\n", i, k)
	}
	return os.WriteFile(filepath.Join(b.dir, "dovecot-keywords"), []byte(text.String()), 0o600)
}

// Close ends the last mailbox and writes the subscriptions.
func (w *Writer) Close(subscriptions []string) error {
	if err := w.finish(); err != nil {
		return err
	}
	text := "V\t2\n\n"
	for _, name := range subscriptions {
		text += strings.ReplaceAll(FolderDir(name), ".", "\t") + "\n"
	}
	return os.WriteFile(filepath.Join(w.dir, "subscriptions"), []byte(text), 0o600)
}
