package admin

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"connectrpc.com/connect"

	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// RiskMix is the risk of importing into an account that has other mail.
const RiskMix = "mix-mail"

const (
	// maxBatch bounds the octets of one ImportMessages: one message of the
	// longest kind, with small ones before it.
	maxBatch = 136 << 20
	// maxBatchMessages bounds its messages.
	maxBatchMessages = 1000
	// maxImports is how many batches are in memory at a time; others wait.
	maxImports = 2
	// importTimeout bounds one batch once it is here.
	importTimeout = 60 * time.Second
	// maxImportKeywords is what of a message's keywords is kept.
	maxImportKeywords = 100
)

// audit notes that an operator reads or writes an account's mail. It is the one
// place such accesses go through.
func (s *Server) audit(ctx context.Context, what string, a mailstore.AccountID, args ...any) {
	s.c.Log.InfoContext(ctx, "operator access", append([]any{"what", what, "account", a.String()}, args...)...)
}

// open resolves an address to its account, as it is after every answered change.
func (s *Server) open(ctx context.Context, address string) (*lookup.Account, error) {
	i, err := s.find(ctx, address)
	if err != nil {
		return nil, err
	}
	a, err := s.c.Lookup.Open(ctx, i.ID)
	if err != nil {
		return nil, err
	}
	return a, a.Sync(ctx)
}

// BeginImport makes an account ready for mail from a source.
func (s *Server) BeginImport(ctx context.Context, r *connect.Request[adminpb.BeginImportRequest]) (*connect.Response[adminpb.BeginImportResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := s.open(ctx, r.Msg.Address)
	if err != nil {
		return nil, fail(err)
	}
	if r.Msg.Source == "" || len(r.Msg.Source) > 4096 {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("an import has a source with a name of at most 4096 bytes"))
	}
	mix := slices.Contains(r.Msg.AcceptRisk, RiskMix)
	s.audit(ctx, "import", a.ID(), "mix", mix)
	err = s.c.Commit.BeginImport(ctx, a, r.Msg.Source, mix)
	if errors.Is(err, mailstore.ErrExists) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, fmt.Errorf(
			"the account has mail that did not come from this source; nothing was changed (--accept-risk=%s to add to it, with new UIDs where mailboxes are not new)", RiskMix))
	}
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&adminpb.BeginImportResponse{}), nil
}

// OpenImport makes a mailbox ready and tells how far it has come.
func (s *Server) OpenImport(ctx context.Context, r *connect.Request[adminpb.OpenImportRequest]) (*connect.Response[adminpb.ImportPlace], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := s.open(ctx, r.Msg.Address)
	if err != nil {
		return nil, fail(err)
	}
	box, err := a.Mailbox(r.Msg.Mailbox)
	if errors.Is(err, mailstore.ErrNoMailbox) {
		_, err = s.c.Commit.Create(ctx, a, r.Msg.Mailbox, mailstore.SpecialUse(r.Msg.SpecialUse))
		if err == nil || errors.Is(err, mailstore.ErrMailboxExists) {
			if err = a.Sync(ctx); err == nil {
				box, err = a.Mailbox(r.Msg.Mailbox)
			}
		}
	}
	if err != nil {
		return nil, fail(err)
	}
	what := commit.Adoption{UIDValidity: r.Msg.UidValidity, ModSeq: mailstore.ModSeq(r.Msg.ModSeq)}
	_, err = s.c.Commit.Adopt(ctx, a, box.ID, what)
	if errors.Is(err, mailstore.ErrConflict) || errors.Is(err, mailstore.ErrExists) || errors.Is(err, mailstore.ErrLimit) {
		err = nil // it keeps its own; the answer says so
	}
	if err == nil {
		err = a.Sync(ctx)
	}
	if err != nil {
		return nil, fail(err)
	}
	return place(a, box.ID)
}

func place(a *lookup.Account, box mailstore.MailboxID) (*connect.Response[adminpb.ImportPlace], error) {
	m, err := a.MailboxByID(box)
	if err != nil {
		return nil, fail(err)
	}
	last, kept, err := a.Imported(box)
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&adminpb.ImportPlace{UidValidity: m.UIDValidity, Last: uint32(last), Kept: kept}), nil
}

// ImportMessages stores a batch.
func (s *Server) ImportMessages(ctx context.Context, st *connect.ClientStream[adminpb.ImportMessagesRequest]) (*connect.Response[adminpb.ImportMessagesResponse], error) {
	select {
	case s.imports <- struct{}{}:
		defer func() { <-s.imports }()
	case <-ctx.Done():
		return nil, fail(ctx.Err())
	}
	target, msgs, dropped, err := receive(st)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	a, err := s.open(ctx, target.Address)
	if err != nil {
		return nil, fail(err)
	}
	box, err := a.Mailbox(target.Mailbox)
	if err != nil {
		return nil, fail(err)
	}
	n, err := s.c.Commit.Import(ctx, a, box.ID, msgs, target.KeepUids)
	if errors.Is(err, mailstore.ErrConflict) {
		return nil, connect.NewError(connect.CodeFailedPrecondition, errors.New(
			"the mailbox has changed meanwhile: another import is running, or mail has arrived that took UIDs which messages of the source have. "+
				"What is imported stays; the rest cannot keep its UIDs: stop deliveries to the account, close it, and import into a new one"))
	}
	if err != nil {
		return nil, fail(err)
	}
	return connect.NewResponse(&adminpb.ImportMessagesResponse{Stored: uint32(n), DroppedKeywords: dropped}), nil
}

func malformed(what string) error {
	return connect.NewError(connect.CodeInvalidArgument, errors.New("import: "+what))
}

// receive reads a batch and indexes its messages.
func receive(st *connect.ClientStream[adminpb.ImportMessagesRequest]) (target *adminpb.ImportMessagesRequest_Target, msgs []commit.ImportMessage, dropped uint32, err error) {
	total, missing := 0, 0
	for st.Receive() {
		switch p := st.Msg().Part.(type) {
		case *adminpb.ImportMessagesRequest_Target_:
			if target != nil {
				return nil, nil, 0, malformed("two targets")
			}
			target = p.Target
		case *adminpb.ImportMessagesRequest_Message_:
			m := p.Message
			if target == nil || missing > 0 || m.Size == 0 {
				return nil, nil, 0, malformed("a message in the wrong place, or without octets")
			}
			if total += int(m.Size); total > maxBatch || len(msgs) >= maxBatchMessages {
				return nil, nil, 0, malformed("too much at once")
			}
			missing = int(m.Size)
			x := commit.ImportMessage{Source: mailstore.UID(m.Uid)}
			x.Flags = mailstore.Flags(m.Flags) & mailstore.AllFlags
			for _, k := range m.Keywords {
				if lookup.CheckKeyword(k) != nil || len(x.Keywords) >= maxImportKeywords {
					dropped++
					continue
				}
				x.Keywords = append(x.Keywords, k)
			}
			x.InternalDate = date(m.Date, m.Zone)
			msgs = append(msgs, x)
		case *adminpb.ImportMessagesRequest_Octets:
			if len(p.Octets) > missing {
				return nil, nil, 0, malformed("more octets than the message has")
			}
			x := &msgs[len(msgs)-1]
			x.Raw = append(x.Raw, p.Octets...)
			missing -= len(p.Octets)
			if missing == 0 {
				if err := index(x); err != nil {
					return nil, nil, 0, fail(err)
				}
			}
		default:
			return nil, nil, 0, malformed("an unknown part")
		}
	}
	if err := st.Err(); err != nil {
		return nil, nil, 0, err
	}
	if target == nil || missing > 0 || len(msgs) == 0 {
		return nil, nil, 0, malformed("the batch is not whole")
	}
	return target, msgs, dropped, nil
}

// date is the time of a message in its zone.
func date(seconds int64, zone int32) time.Time {
	if zone < -1439 || zone > 1439 {
		zone = 0
	}
	return time.Unix(seconds, 0).In(time.FixedZone("", int(zone)*60))
}

// index reads what the store wants to know of a message.
func index(m *commit.ImportMessage) (err error) {
	x := message.Parse(m.Raw)
	m.HeaderLen = x.HeaderLen
	if m.Summary, err = x.AppendBinary(nil); err != nil {
		return err
	}
	header := m.Raw[:x.HeaderLen]
	t := message.HeaderThread(header)
	m.MessageID = string(t.ID)
	for _, ref := range t.References {
		m.References = append(m.References, string(ref))
	}
	base, _ := message.BaseSubject(message.Lookup(header, "Subject"))
	m.Subject = string(base)
	return nil
}

// FinishImport raises UIDNEXT to the source's.
func (s *Server) FinishImport(ctx context.Context, r *connect.Request[adminpb.FinishImportRequest]) (*connect.Response[adminpb.ImportPlace], error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	a, err := s.open(ctx, r.Msg.Address)
	if err != nil {
		return nil, fail(err)
	}
	box, err := a.Mailbox(r.Msg.Mailbox)
	if err != nil {
		return nil, fail(err)
	}
	if _, kept, err := a.Imported(box.ID); err != nil {
		return nil, fail(err)
	} else if kept {
		if _, err := s.c.Commit.Adopt(ctx, a, box.ID, commit.Adoption{UIDNext: mailstore.UID(r.Msg.UidNext)}); err != nil {
			return nil, fail(err)
		}
		if err := a.Sync(ctx); err != nil {
			return nil, fail(err)
		}
	}
	return place(a, box.ID)
}

// ImportSubscriptions makes an account's subscriptions those that are named: a
// new account's own are for mailboxes that the user may not have had.
func (s *Server) ImportSubscriptions(ctx context.Context, r *connect.Request[adminpb.ImportSubscriptionsRequest]) (*connect.Response[adminpb.ImportSubscriptionsResponse], error) {
	ctx, cancel := context.WithTimeout(ctx, importTimeout)
	defer cancel()
	a, err := s.open(ctx, r.Msg.Address)
	if err != nil {
		return nil, fail(err)
	}
	out := &adminpb.ImportSubscriptionsResponse{}
	want := map[string]bool{}
	for _, n := range r.Msg.Names {
		clean, err := lookup.CleanName(n)
		if err != nil {
			out.Refused = append(out.Refused, n)
			continue
		}
		want[clean] = true
	}
	have, err := a.Subscriptions()
	if err != nil {
		return nil, fail(err)
	}
	for _, n := range have {
		if want[n] {
			delete(want, n)
			continue
		}
		if err := s.c.Commit.Subscribe(ctx, a, n, false); err != nil {
			return nil, fail(err)
		}
	}
	for n := range want {
		if err := s.c.Commit.Subscribe(ctx, a, n, true); err != nil {
			return nil, fail(err)
		}
	}
	return connect.NewResponse(out), nil
}

// octetsAtATime is the size of the pieces in which bodies travel.
const octetsAtATime = 256 << 10

// ExportAccount streams an account: mailboxes, messages, subscriptions.
func (s *Server) ExportAccount(ctx context.Context, r *connect.Request[adminpb.ExportAccountRequest], st *connect.ServerStream[adminpb.ExportAccountResponse]) error {
	a, err := s.open(ctx, r.Msg.Address)
	if err != nil {
		return fail(err)
	}
	s.audit(ctx, "export", a.ID())
	boxes, _, err := a.Mailboxes()
	if err != nil {
		return fail(err)
	}
	for i := range boxes {
		if err := s.exportMailbox(ctx, a, &boxes[i], st); err != nil {
			return fail(err)
		}
	}
	names, err := a.Subscriptions()
	if err != nil {
		return fail(err)
	}
	return st.Send(&adminpb.ExportAccountResponse{Part: &adminpb.ExportAccountResponse_Subscriptions_{Subscriptions: &adminpb.ExportAccountResponse_Subscriptions{Names: names}}})
}

// exportMailbox sends a mailbox. No view stays open while octets travel: what
// is expunged meanwhile is left out.
func (s *Server) exportMailbox(ctx context.Context, a *lookup.Account, m *mailstore.Mailbox, st *connect.ServerStream[adminpb.ExportAccountResponse]) error {
	if err := st.Send(&adminpb.ExportAccountResponse{Part: &adminpb.ExportAccountResponse_Mailbox_{Mailbox: &adminpb.ExportAccountResponse_Mailbox{
		Name: m.Name, UidValidity: m.UIDValidity, UidNext: uint32(m.UIDNext), SpecialUse: uint32(m.SpecialUse), Messages: m.Exists,
	}}}); err != nil {
		return err
	}
	const page = 500
	for next := mailstore.UID(1); next != 0; {
		msgs, err := s.page(a, m.ID, next, page)
		if errors.Is(err, mailstore.ErrNoMailbox) {
			return nil
		}
		if err != nil {
			return err
		}
		next = 0
		for i := range msgs {
			if err := s.exportMessage(ctx, a, &msgs[i], st); err != nil {
				return err
			}
			if i == page-1 {
				next = msgs[i].UID + 1
			}
		}
	}
	return nil
}

// errPage ends a scan that has enough.
var errPage = errors.New("admin: a page is full")

func (s *Server) page(a *lookup.Account, box mailstore.MailboxID, from mailstore.UID, limit int) (out []mailstore.Message, err error) {
	v := a.Read()
	defer v.Close()
	err = v.Messages(box, []mailstore.Range{{First: from, Last: 1<<32 - 1}}, func(m *mailstore.Message) error {
		out = append(out, *m)
		if len(out) == limit {
			return errPage
		}
		return nil
	})
	if errors.Is(err, errPage) {
		err = nil
	}
	return out, err
}

func (s *Server) exportMessage(ctx context.Context, a *lookup.Account, m *mailstore.Message, st *connect.ServerStream[adminpb.ExportAccountResponse]) error {
	v := a.Read()
	c, err := v.Content(m.Content)
	v.Close()
	if errors.Is(err, mailstore.ErrExpunged) {
		return nil
	}
	if err != nil {
		return err
	}
	b, err := a.OpenBody(ctx, c)
	switch {
	case errors.Is(err, mailstore.ErrExpunged):
		return nil
	case errors.Is(err, mailstore.ErrDamaged):
		return st.Send(&adminpb.ExportAccountResponse{Part: &adminpb.ExportAccountResponse_Lost{Lost: uint32(m.UID)}})
	case err != nil:
		return err
	}
	defer b.Close()
	_, zone := m.InternalDate.Zone()
	if err := st.Send(&adminpb.ExportAccountResponse{Part: &adminpb.ExportAccountResponse_Message_{Message: &adminpb.ExportAccountResponse_Message{
		Uid: uint32(m.UID), Flags: uint32(m.Flags), Keywords: m.Keywords, Date: m.InternalDate.Unix(), Zone: int32(zone / 60), Size: uint32(b.Size()),
	}}}); err != nil {
		return err
	}
	var buf []byte
	for off := int64(0); off < b.Size(); off += octetsAtATime {
		if buf, err = b.AppendRange(buf[:0], off, min(octetsAtATime, b.Size()-off)); err != nil {
			return err
		}
		if err := st.Send(&adminpb.ExportAccountResponse{Part: &adminpb.ExportAccountResponse_Octets{Octets: buf}}); err != nil {
			return err
		}
	}
	return nil
}
