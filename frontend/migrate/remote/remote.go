// Package remote reads the mail of an account on another IMAP server, changing
// nothing there.
package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"

	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/mailstore"
)

// TLS is how a connection is encrypted.
type TLS string

// The ways of encryption.
const (
	Implicit TLS = "implicit" // from the first octet
	StartTLS TLS = "starttls"
	None     TLS = "none"
)

var (
	// ErrLogin means that the server does not let the user in.
	ErrLogin = errors.New("the server refuses name or password")
	// ErrUnreachable means that there is no server, or that it went away.
	ErrUnreachable = errors.New("the server cannot be reached")
)

// Config says where the mail is.
type Config struct {
	Address  string // host and port
	User     string
	Password []byte
	TLS      TLS
	// Certificates says what certificates are taken; nil: those the system
	// trusts, for the host's name.
	Certificates *tls.Config
}

// Source is a session with the server.
type Source struct {
	cfg       Config
	c         *imapclient.Client
	remote    map[string]string
	condstore bool
	extended  bool
	subs      []string
}

// Dial connects and logs in.
func Dial(ctx context.Context, cfg Config) (*Source, error) {
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("%q is no host:port", cfg.Address)
	}
	tc := cfg.Certificates.Clone()
	if tc == nil {
		tc = &tls.Config{}
	}
	if tc.ServerName == "" {
		tc.ServerName = host
	}
	tc.MinVersion = tls.VersionTLS12
	o := &imapclient.Options{TLSConfig: tc, Dialer: &net.Dialer{Timeout: 30 * time.Second, KeepAlive: 30 * time.Second}}
	var c *imapclient.Client
	switch cfg.TLS {
	case None:
		c, err = imapclient.DialInsecure(cfg.Address, o)
	case StartTLS:
		c, err = imapclient.DialStartTLS(cfg.Address, o)
	default:
		c, err = imapclient.DialTLS(cfg.Address, o)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	s := &Source{cfg: cfg, c: c, remote: map[string]string{}}
	err = s.with(ctx, func() error {
		if err := c.WaitGreeting(); err != nil {
			return err
		}
		if err := c.Login(cfg.User, string(cfg.Password)).Wait(); err != nil {
			var status *imap.Error
			if errors.As(err, &status) {
				return fmt.Errorf("%w: %s", ErrLogin, status.Text)
			}
			return err
		}
		caps := c.Caps()
		s.condstore = caps.Has(imap.CapCondStore)
		s.extended = caps.Has(imap.CapListExtended) || caps.Has(imap.CapIMAP4rev2)
		return nil
	})
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return s, nil
}

// with runs fn, cutting the connection when ctx ends; what the connection
// breaks by is ErrUnreachable.
func (s *Source) with(ctx context.Context, fn func() error) error {
	stop := context.AfterFunc(ctx, func() { s.c.Close() })
	err := fn()
	if !stop() && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var op net.Error
	if err != nil && (errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.As(err, &op)) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}

// ID implements migrate.Source. The port does not matter.
func (s *Source) ID() string {
	host, _, _ := net.SplitHostPort(s.cfg.Address)
	return "imap:" + s.cfg.User + "@" + strings.ToLower(host)
}

// Close implements migrate.Source.
func (s *Source) Close() error {
	if err := s.c.Logout().Wait(); err != nil {
		return s.c.Close()
	}
	return s.c.Close()
}

var uses = map[imap.MailboxAttr]mailstore.SpecialUse{
	imap.MailboxAttrArchive: mailstore.UseArchive, imap.MailboxAttrDrafts: mailstore.UseDrafts, imap.MailboxAttrJunk: mailstore.UseJunk,
	imap.MailboxAttrSent: mailstore.UseSent, imap.MailboxAttrTrash: mailstore.UseTrash,
}

// Mailboxes implements migrate.Source.
func (s *Source) Mailboxes(ctx context.Context) ([]migrate.Mailbox, error) {
	var out []migrate.Mailbox
	err := s.with(ctx, func() error {
		var o *imap.ListOptions
		if s.extended {
			o = &imap.ListOptions{ReturnSubscribed: true, ReturnSpecialUse: s.c.Caps().Has(imap.CapSpecialUse)}
		}
		list, err := s.c.List("", "*", o).Collect()
		if err != nil {
			return err
		}
		for _, l := range list {
			name := s.name(l)
			if slices.Contains(l.Attrs, imap.MailboxAttrSubscribed) {
				s.subs = append(s.subs, name)
			}
			if slices.Contains(l.Attrs, imap.MailboxAttrNoSelect) || slices.Contains(l.Attrs, imap.MailboxAttrNonExistent) {
				continue
			}
			if s.remote[name] != "" {
				return fmt.Errorf("two mailboxes would be called %q", name)
			}
			s.remote[name] = l.Mailbox
			st, err := s.c.Status(l.Mailbox, &imap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, HighestModSeq: s.condstore}).Wait()
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			m := migrate.Mailbox{Name: name, UIDValidity: st.UIDValidity, UIDNext: uint32(st.UIDNext), HighestModSeq: st.HighestModSeq}
			if st.NumMessages != nil {
				m.Messages = int(*st.NumMessages)
			}
			for _, a := range l.Attrs {
				m.SpecialUse |= uses[a]
			}
			out = append(out, m)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b migrate.Mailbox) int {
		if (a.Name == "INBOX") != (b.Name == "INBOX") {
			return map[bool]int{true: -1, false: 1}[a.Name == "INBOX"]
		}
		return strings.Compare(a.Name, b.Name)
	})
	return out, err
}

// name returns our name of a mailbox: with "/" between levels.
func (s *Source) name(l *imap.ListData) string {
	name := l.Mailbox
	if l.Delim != 0 && l.Delim != '/' {
		levels := strings.Split(name, string(l.Delim))
		for i := range levels {
			levels[i] = strings.ReplaceAll(levels[i], "/", "_")
		}
		name = strings.Join(levels, "/")
	}
	if first, rest, more := strings.Cut(name, "/"); strings.EqualFold(first, "INBOX") {
		if name = "INBOX"; more {
			name += "/" + rest
		}
	}
	return name
}

// Subscriptions implements migrate.Source; Mailboxes comes before it. A server
// without LIST-EXTENDED (RFC 5258) does not tell them here: then every mailbox
// is subscribed.
func (s *Source) Subscriptions(context.Context) ([]string, error) {
	if s.extended {
		return s.subs, nil
	}
	var all []string
	for name := range s.remote {
		all = append(all, name)
	}
	slices.Sort(all)
	return all, nil
}

// What is asked for at a time: bodies are read one after the other, so this
// only bounds what a broken line has to repeat.
const (
	fetchMessages = 200
	fetchBytes    = 16 << 20
)

// Messages implements migrate.Source.
func (s *Source) Messages(ctx context.Context, m migrate.Mailbox, after uint32, fn func(*migrate.Message) error, skip func(uint32, string)) error {
	return s.with(ctx, func() error {
		sel, err := s.c.Select(s.remote[m.Name], &imap.SelectOptions{ReadOnly: true}).Wait()
		if err != nil {
			return err
		}
		if sel.UIDValidity != m.UIDValidity {
			return fmt.Errorf("UIDVALIDITY of the source changed from %d to %d", m.UIDValidity, sel.UIDValidity)
		}
		if sel.NumMessages == 0 {
			return nil
		}
		return s.messages(after, fn, skip)
	})
}

type sized struct {
	uid  imap.UID
	size int64
}

func (s *Source) messages(after uint32, fn func(*migrate.Message) error, skip func(uint32, string)) error {
	var all imap.UIDSet
	all.AddRange(imap.UID(after)+1, 0) // to the last one
	cmd := s.c.Fetch(all, &imap.FetchOptions{UID: true, RFC822Size: true})
	var list []sized
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		b, err := msg.Collect()
		if err != nil {
			return errors.Join(err, cmd.Close())
		}
		// "n:*" names the last message even when its UID is below n (RFC 9051
		// section 6.4.8).
		if uint32(b.UID) > after {
			list = append(list, sized{b.UID, b.RFC822Size})
		}
	}
	if err := cmd.Close(); err != nil {
		return err
	}
	slices.SortFunc(list, func(a, b sized) int { return int(int64(a.uid) - int64(b.uid)) })
	for len(list) > 0 {
		n, bytes := 0, int64(0)
		var set imap.UIDSet
		for n < len(list) && n < fetchMessages && (n == 0 || bytes+list[n].size <= fetchBytes) {
			if list[n].size > migrate.MaxMessage {
				skip(uint32(list[n].uid), fmt.Sprintf("it has %d bytes", list[n].size))
			} else {
				set.AddNum(list[n].uid)
			}
			bytes += list[n].size
			n++
		}
		list = list[n:]
		if len(set) == 0 {
			continue
		}
		if err := s.fetch(set, fn, skip); err != nil {
			return err
		}
	}
	return nil
}

// fetch reads some messages. They come in the order of their numbers.
func (s *Source) fetch(set imap.UIDSet, fn func(*migrate.Message) error, skip func(uint32, string)) error {
	cmd := s.c.Fetch(set, &imap.FetchOptions{UID: true, Flags: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	for data := cmd.Next(); data != nil; data = cmd.Next() {
		msg := &migrate.Message{}
		tooLong, body := false, false
		for item := data.Next(); item != nil; item = data.Next() {
			switch i := item.(type) {
			case imapclient.FetchItemDataUID:
				msg.UID = uint32(i.UID)
			case imapclient.FetchItemDataFlags:
				setFlags(msg, i.Flags)
			case imapclient.FetchItemDataInternalDate:
				msg.Date = i.Time
			case imapclient.FetchItemDataBodySection:
				if body = true; i.Literal == nil {
					continue
				}
				raw, err := io.ReadAll(io.LimitReader(i.Literal, migrate.MaxMessage+1))
				if err != nil {
					return errors.Join(err, cmd.Close())
				}
				if tooLong = len(raw) > migrate.MaxMessage; tooLong {
					if _, err := io.Copy(io.Discard, i.Literal); err != nil {
						return errors.Join(err, cmd.Close())
					}
					continue
				}
				msg.Raw = raw
			}
		}
		switch {
		case !body || msg.UID == 0:
			continue // flags that changed meanwhile
		case tooLong:
			skip(msg.UID, "it is longer than the server said")
		default:
			if err := fn(msg); err != nil {
				return errors.Join(err, s.c.Close())
			}
		}
	}
	return cmd.Close()
}

var flags = map[string]mailstore.Flags{
	`\seen`: mailstore.FlagSeen, `\answered`: mailstore.FlagAnswered, `\flagged`: mailstore.FlagFlagged,
	`\deleted`: mailstore.FlagDeleted, `\draft`: mailstore.FlagDraft,
}

// setFlags sorts flags and keywords; \Recent and system flags that nobody knows
// are dropped.
func setFlags(m *migrate.Message, all []imap.Flag) {
	for _, f := range all {
		if strings.HasPrefix(string(f), `\`) {
			m.Flags |= flags[strings.ToLower(string(f))]
		} else {
			m.Keywords = append(m.Keywords, string(f))
		}
	}
}
