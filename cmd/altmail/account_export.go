package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"connectrpc.com/connect"

	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/migrate"
	"altmail.se/altmail/frontend/migrate/maildir"
	"altmail.se/altmail/frontend/migrate/mbox"
	"altmail.se/altmail/mailstore"
)

type accountExportCmd struct {
	configFlag
	Address string `arg:"" help:"Any address of the account."`
	To      string `help:"A new directory: it gets the mail, and manifest.jsonl." required:"" placeholder:"DIR" type:"path"`
	Format  string `help:"maildir (as Dovecot lays it out: everything is kept) or mbox." enum:"maildir,mbox" default:"maildir"`
}

// exported is what a format writes.
type exported interface {
	Mailbox(m migrate.Mailbox) error
	Message(m *migrate.Message) (path string, lost []string, err error)
	Close(subscriptions []string) error
}

// Run writes to a directory beside the one that is wanted, which gets its name
// when everything is there.
func (c *accountExportCmd) Run(e *env) error {
	a, err := c.dial()
	if err != nil {
		return err
	}
	if _, err := os.Lstat(c.To); !errors.Is(err, os.ErrNotExist) {
		return codedf(exitNotAllowed, "%s is there already: nothing is written over", c.To)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(c.To)), filepath.Base(c.To)+".partial-")
	if err != nil {
		return err
	}
	x := &export{e: e, bar: newProgress(e, "exported")}
	err = x.write(c, a.ExportAccount, tmp)
	x.bar.bar.end()
	if err == nil {
		err = os.Rename(tmp, c.To)
	}
	if err != nil {
		return errors.Join(err, os.RemoveAll(tmp))
	}
	if _, err := fmt.Fprintf(e.stdout, "%d messages, %d bytes, %d mailboxes\n", x.messages, x.bytes, x.mailboxes); err != nil {
		return err
	}
	if x.lost > 0 {
		return codedf(exitPartly, "%d messages or keywords could not be written; see above", x.lost)
	}
	return nil
}

// exportCall is the method of the admin API.
type exportCall func(context.Context, *connect.Request[adminpb.ExportAccountRequest]) (*connect.ServerStreamForClient[adminpb.ExportAccountResponse], error)

type export struct {
	e        *env
	bar      *progress
	out      exported
	manifest manifest
	box      migrate.Mailbox
	msg      *migrate.Message
	missing  int

	messages, mailboxes, lost, total int
	bytes                            int64
}

func (x *export) write(c *accountExportCmd, call exportCall, dir string) (err error) {
	switch c.Format {
	case "mbox":
		x.out, err = mbox.Create(filepath.Join(dir, "mbox"))
	default:
		x.out, err = maildir.Create(filepath.Join(dir, "Maildir"))
	}
	if err != nil {
		return err
	}
	if err := x.manifest.create(filepath.Join(dir, "manifest.jsonl")); err != nil {
		return err
	}
	st, err := call(x.e.ctx, connect.NewRequest(&adminpb.ExportAccountRequest{Address: c.Address}))
	if err != nil {
		return errors.Join(err, x.manifest.close())
	}
	whole := false
	for st.Receive() {
		if whole, err = x.part(st.Msg()); err != nil {
			break
		}
	}
	if err == nil {
		if err = st.Err(); err == nil && !whole {
			err = errors.New("the export ended before its end")
		}
	}
	return errors.Join(err, st.Close(), x.manifest.close())
}

// part takes one part of the stream; whole is true for the last.
func (x *export) part(r *adminpb.ExportAccountResponse) (whole bool, err error) {
	switch p := r.Part.(type) {
	case *adminpb.ExportAccountResponse_Mailbox_:
		m := p.Mailbox
		x.box = migrate.Mailbox{
			Name: m.Name, UIDValidity: m.UidValidity, UIDNext: m.UidNext, SpecialUse: mailstore.SpecialUse(m.SpecialUse), Messages: int(m.Messages),
		}
		x.mailboxes++
		x.total += int(m.Messages)
		if err := x.out.Mailbox(x.box); err != nil {
			return false, err
		}
		return false, x.manifest.line(manifestLine{Type: "mailbox", Mailbox: m.Name, UIDValidity: m.UidValidity, UIDNext: m.UidNext})
	case *adminpb.ExportAccountResponse_Message_:
		m := p.Message
		x.msg = &migrate.Message{
			UID: m.Uid, Flags: mailstore.Flags(m.Flags), Keywords: m.Keywords,
			Date: time.Unix(m.Date, 0).In(time.FixedZone("", int(m.Zone)*60)), Raw: make([]byte, 0, m.Size),
		}
		x.missing = int(m.Size)
		if x.missing == 0 {
			return false, x.finish()
		}
	case *adminpb.ExportAccountResponse_Octets:
		if x.msg == nil || len(p.Octets) > x.missing {
			return false, errors.New("the export is garbled")
		}
		x.msg.Raw = append(x.msg.Raw, p.Octets...)
		if x.missing -= len(p.Octets); x.missing == 0 {
			return false, x.finish()
		}
	case *adminpb.ExportAccountResponse_Lost:
		x.lost++
		x.bar.note("%s: no node has the octets of message %d", x.box.Name, p.Lost)
	case *adminpb.ExportAccountResponse_Subscriptions_:
		for _, name := range p.Subscriptions.Names {
			if err := x.manifest.line(manifestLine{Type: "subscription", Mailbox: name}); err != nil {
				return false, err
			}
		}
		return true, x.out.Close(p.Subscriptions.Names)
	}
	return false, nil
}

// finish writes a message that is whole.
func (x *export) finish() error {
	m := x.msg
	x.msg = nil
	_, lost, err := x.out.Message(m)
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		x.lost++
		x.bar.note("%s: a Maildir has no more than 26 keywords a mailbox: message %d is without %q; the manifest has them", x.box.Name, m.UID, lost)
	}
	x.messages++
	x.bytes += int64(len(m.Raw))
	x.bar.show(migrate.Progress{Mailbox: x.box.Name, Done: x.messages, Total: x.total, Stored: x.messages, Bytes: x.bytes})
	sum := sha256.Sum256(m.Raw)
	return x.manifest.line(manifestLine{
		Type: "message", Mailbox: x.box.Name, UID: m.UID, Flags: flagNames(m), Date: m.Date.UTC().Format(time.RFC3339),
		Size: len(m.Raw), SHA256: hex.EncodeToString(sum[:]),
	})
}

// manifestLine is a line of manifest.jsonl. Fields are only ever added.
type manifestLine struct {
	Type        string   `json:"type"` // mailbox, message, subscription
	Mailbox     string   `json:"mailbox"`
	UIDValidity uint32   `json:"uid_validity,omitempty"`
	UIDNext     uint32   `json:"uid_next,omitempty"`
	UID         uint32   `json:"uid,omitempty"`
	Flags       []string `json:"flags,omitempty"` // system flags, then keywords
	Date        string   `json:"date,omitempty"`  // INTERNALDATE, in UTC
	Size        int      `json:"size,omitempty"`
	SHA256      string   `json:"sha256,omitempty"` // of the message's octets
}

var systemFlags = []struct {
	flag mailstore.Flags
	name string
}{
	{mailstore.FlagSeen, `\Seen`}, {mailstore.FlagAnswered, `\Answered`}, {mailstore.FlagFlagged, `\Flagged`},
	{mailstore.FlagDeleted, `\Deleted`}, {mailstore.FlagDraft, `\Draft`},
}

func flagNames(m *migrate.Message) []string {
	var out []string
	for _, f := range systemFlags {
		if m.Flags&f.flag != 0 {
			out = append(out, f.name)
		}
	}
	return append(out, m.Keywords...)
}

type manifest struct {
	f *os.File
	w *bufio.Writer
	j *json.Encoder
}

func (m *manifest) create(path string) (err error) {
	if m.f, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err != nil {
		return err
	}
	m.w = bufio.NewWriter(m.f)
	m.j = json.NewEncoder(m.w)
	m.j.SetEscapeHTML(false)
	return nil
}

func (m *manifest) line(l manifestLine) error { return m.j.Encode(l) }

func (m *manifest) close() error { return errors.Join(m.w.Flush(), m.f.Sync(), m.f.Close()) }
