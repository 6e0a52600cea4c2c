package imap

import (
	"io"
	"strings"
	"testing"
	"time"

	goimap "github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// TestClient drives the server with a client library that parses every
// response strictly.
func TestClient(t *testing.T) {
	k := newKit(t, nil)
	exists := make(chan uint32, 10)
	c, err := imapclient.DialInsecure(k.addr, &imapclient.Options{
		UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			Mailbox: func(d *imapclient.UnilateralDataMailbox) {
				if d.NumMessages != nil {
					exists <- *d.NumMessages
				}
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Login("alice@example.org", "secret").Wait())
	must(c.Create("Work/Ünïcode & more", nil).Wait())
	must(c.Subscribe("Work/Ünïcode & more").Wait())
	boxes, err := c.List("", "*", &goimap.ListOptions{ReturnStatus: &goimap.StatusOptions{NumMessages: true, UIDNext: true, UIDValidity: true, NumUnseen: true}}).Collect()
	must(err)
	names := map[string]bool{}
	for _, b := range boxes {
		names[b.Mailbox] = true
		if b.Status == nil {
			t.Errorf("%s has no status", b.Mailbox)
		}
	}
	for _, want := range []string{"INBOX", "Sent", "Work", "Work/Ünïcode & more"} {
		if !names[want] {
			t.Errorf("no %s in %v", want, names)
		}
	}
	raw := "Date: Mon, 23 Nov 2026 10:00:00 +0100\r\nFrom: \"A \\\"B\\\" C\" <a@example.org>\r\nTo: b@example.org, Group: c@example.org, d@example.org;\r\nSubject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\nMessage-ID: <x@example.org>\r\nContent-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nhello\r\n--b\r\nContent-Type: text/html\r\n\r\n<p>hello\r\n--b--\r\n"
	for range 3 {
		a := c.Append("INBOX", int64(len(raw)), &goimap.AppendOptions{Flags: []goimap.Flag{goimap.FlagFlagged}, Time: time.Unix(1700000000, 0)})
		_, err := io.WriteString(a, raw)
		must(err)
		must(a.Close())
		d, err := a.Wait()
		must(err)
		if d.UID == 0 || d.UIDValidity == 0 {
			t.Error(d)
		}
	}
	sel, err := c.Select("INBOX", &goimap.SelectOptions{CondStore: true}).Wait()
	must(err)
	if sel.NumMessages != 3 || sel.UIDNext != 4 || sel.HighestModSeq == 0 {
		t.Errorf("%+v", sel)
	}
	all := goimap.SeqSet{{Start: 1, Stop: 0}}
	msgs, err := c.Fetch(all, &goimap.FetchOptions{
		Envelope: true, Flags: true, InternalDate: true, RFC822Size: true, UID: true, ModSeq: true,
		BodyStructure: &goimap.FetchItemBodyStructure{Extended: true},
		BodySection:   []*goimap.FetchItemBodySection{{Peek: true}, {Part: []int{2}, Peek: true}, {Specifier: goimap.PartSpecifierHeader, HeaderFields: []string{"Subject"}, Peek: true}},
		BinarySection: []*goimap.FetchItemBinarySection{{Part: []int{1}, Peek: true}}, BinarySectionSize: []*goimap.FetchItemBinarySectionSize{{Part: []int{1}}},
	}).Collect()
	must(err)
	for _, m := range msgs {
		e := m.Envelope
		if e.Subject != "grüße" || len(e.To) != 5 || e.From[0].Name != `A "B" C` || e.MessageID != "x@example.org" {
			t.Errorf("%+v", e)
		}
		if m.RFC822Size != int64(len(raw)) || string(m.FindBodySection(&goimap.FetchItemBodySection{Peek: true})) != raw {
			t.Error("octets differ")
		}
		if mp, ok := m.BodyStructure.(*goimap.BodyStructureMultiPart); !ok || len(mp.Children) != 2 || mp.Subtype != "alternative" {
			t.Errorf("%+v", m.BodyStructure)
		}
		if !m.InternalDate.Equal(time.Unix(1700000000, 0)) || m.ModSeq == 0 {
			t.Error(m.InternalDate, m.ModSeq)
		}
	}
	must(c.Store(goimap.UIDSetNum(1), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagSeen, "$Forwarded"}}, &goimap.StoreOptions{UnchangedSince: 9999}).Close())
	found, err := c.UIDSearch(&goimap.SearchCriteria{Flag: []goimap.Flag{goimap.FlagSeen}, Text: []string{"hello"}}, &goimap.SearchOptions{ReturnAll: true, ReturnCount: true, ReturnMin: true}).Wait()
	must(err)
	if found.Count != 1 || found.Min != 1 {
		t.Errorf("%+v", found)
	}
	cp, err := c.Copy(goimap.UIDSetNum(1, 2), "Work").Wait()
	must(err)
	if cp.SourceUIDs.String() != "1:2" || cp.DestUIDs.String() != "1:2" {
		t.Errorf("%+v", cp)
	}
	mv, err := c.Move(goimap.UIDSetNum(3), "Trash").Wait()
	must(err)
	if mv.DestUIDs.(goimap.UIDSet).String() != "1" {
		t.Errorf("%+v", mv)
	}
	must(c.Store(goimap.UIDSetNum(2), &goimap.StoreFlags{Op: goimap.StoreFlagsAdd, Flags: []goimap.Flag{goimap.FlagDeleted}, Silent: true}, nil).Close())
	gone, err := c.UIDExpunge(goimap.UIDSetNum(2)).Collect()
	must(err)
	if len(gone) != 1 || gone[0] != 2 {
		t.Error(gone)
	}
	st, err := c.Status("Work", &goimap.StatusOptions{NumMessages: true, Size: true, HighestModSeq: true, NumDeleted: true}).Wait()
	must(err)
	if *st.NumMessages != 2 || *st.Size != int64(2*len(raw)) {
		t.Errorf("%+v", st)
	}
	for len(exists) > 0 {
		<-exists
	}
	idle, err := c.Idle()
	must(err)
	k.deliver("INBOX", "Subject: new\r\n\r\nnew\r\n")
	select {
	case n := <-exists:
		if n != 2 {
			t.Error(n)
		}
	case <-time.After(clientWait):
		t.Error("nothing came")
	}
	must(idle.Close())
	must(idle.Wait())
	must(c.Rename("Work", "Play", nil).Wait())
	must(c.Unselect().Wait())
	must(c.Delete("Play").Wait())
	id, err := c.ID(&goimap.IDData{Name: "test"}).Wait()
	must(err)
	if !strings.EqualFold(id.Name, "altmail") {
		t.Error(id)
	}
	must(c.Logout().Wait())
}

// An IMAP4rev2 session of the same library.
func TestClientRev2(t *testing.T) {
	k := newKit(t, nil)
	k.deliver("INBOX", "Subject: x\r\n\r\nx\r\n")
	c, err := imapclient.DialInsecure(k.addr, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(c.Login("alice@example.org", "secret").Wait())
	_, err = c.Enable(goimap.CapIMAP4rev2).Wait()
	must(err)
	sel, err := c.Select("INBOX", nil).Wait()
	must(err)
	if sel.NumMessages != 1 {
		t.Errorf("%+v", sel)
	}
	r, err := c.Search(&goimap.SearchCriteria{NotFlag: []goimap.Flag{goimap.FlagSeen}}, nil).Wait()
	must(err)
	if len(r.AllSeqNums()) != 1 {
		t.Errorf("%+v", r)
	}
	ns, err := c.Namespace().Wait()
	must(err)
	if len(ns.Personal) != 1 || ns.Personal[0].Delim != '/' {
		t.Errorf("%+v", ns)
	}
	must(c.Logout().Wait())
}
