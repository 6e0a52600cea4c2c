package mbox

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"altmail.se/altmail/frontend/migrate"
)

// suffix is what the names of mailbox files end with that Writer makes.
const suffix = ".mbox"

// Source reads one file, or all files below a directory, each a mailbox.
// Messages are numbered as they stand in the file: between two runs a file may
// only grow.
type Source struct {
	root  string
	files map[string]string // by mailbox
}

// Open returns the mail of a file or a directory. A file is the mailbox name, or
// what its own name says if that is "".
func Open(path, name string) (*Source, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &Source{root: abs, files: map[string]string{}}
	st, err := os.Stat(abs)
	if err != nil {
		return nil, err
	}
	if !st.IsDir() {
		if name == "" {
			name = mailboxName(filepath.Base(abs))
		}
		s.files[name] = abs
		return s, nil
	}
	if name != "" {
		return nil, errors.New("mbox: a directory has mailboxes of its own names")
	}
	err = filepath.WalkDir(abs, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if strings.HasPrefix(d.Name(), ".") && p != abs {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(p, suffix) {
			return nil
		}
		rel, err := filepath.Rel(abs, p)
		if err != nil {
			return err
		}
		name := mailboxName(filepath.ToSlash(rel))
		if s.files[name] != "" {
			return fmt.Errorf("mbox: two files are called %q", name)
		}
		s.files[name] = p
		return nil
	})
	if err == nil && len(s.files) == 0 {
		err = fmt.Errorf("mbox: no file below %s has a name that ends in %s", path, suffix)
	}
	return s, err
}

// mailboxName returns the mailbox of a file's path below the root.
func mailboxName(path string) string {
	path = strings.TrimSuffix(path, suffix)
	if u, err := url.PathUnescape(path); err == nil {
		path = u
	}
	if strings.EqualFold(path, "inbox") {
		return "INBOX"
	}
	return path
}

// ID implements migrate.Source.
func (s *Source) ID() string { return "mbox:" + s.root }

// Close implements migrate.Source.
func (s *Source) Close() error { return nil }

// Mailboxes implements migrate.Source.
func (s *Source) Mailboxes(ctx context.Context) ([]migrate.Mailbox, error) {
	var out []migrate.Mailbox
	for name, path := range s.files {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		_, err = NewReader(f)
		n := 0
		if err == nil {
			if _, err = f.Seek(0, io.SeekStart); err == nil {
				n, err = count(f)
			}
		}
		if err = errors.Join(err, f.Close(), ctx.Err()); err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		out = append(out, migrate.Mailbox{Name: name, Messages: n})
	}
	slices.SortFunc(out, func(a, b migrate.Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// Messages implements migrate.Source.
func (s *Source) Messages(ctx context.Context, m migrate.Mailbox, after uint32, fn func(*migrate.Message) error, skip func(uint32, string)) error {
	f, err := os.Open(s.files[m.Name])
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := NewReader(f)
	if err != nil {
		return err
	}
	for uid := uint32(1); ; uid++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		msg, err := r.Next()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.Is(err, ErrTooLong):
			if uid > after {
				skip(uid, err.Error())
			}
			continue
		case err != nil:
			return err
		case uid <= after:
			continue
		}
		msg.UID = uid
		if err := fn(msg); err != nil {
			return err
		}
	}
}

// Subscriptions implements migrate.Source: every mailbox is subscribed.
func (s *Source) Subscriptions(context.Context) ([]string, error) {
	var out []string
	for name := range s.files {
		out = append(out, name)
	}
	slices.Sort(out)
	return out, nil
}
