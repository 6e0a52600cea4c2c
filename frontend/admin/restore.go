package admin

import (
	"context"
	"errors"
	"fmt"
	"time"

	"connectrpc.com/connect"

	"altmail.se/altmail/frontend/admin/adminpb"
	"altmail.se/altmail/frontend/message"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// Bounds of one append of a restore.
const (
	restoreMessage  = 64 << 20 // octets of one message
	restoreTogether = 4 << 20  // octets stored by one command
	restoreCount    = 50
)

// errHolds: a restore would put messages beside others.
var errHolds = fmt.Errorf("%w: the mailbox holds messages already", mailstore.ErrNotPermitted)

// restoring is one stream of messages into an account.
type restoring struct {
	s      *Server
	a      *lookup.Account
	dupes  bool
	boxes  map[string]mailstore.MailboxID // seen in this stream
	name   string                         // of the mailbox that msgs are for
	msgs   []commit.AppendMessage
	octets int
	stored uint64

	next *commit.AppendMessage // whose octets are coming
	size int
}

// RestoreMessages stores messages of a backup as new ones.
func (s *Server) RestoreMessages(ctx context.Context, stream *connect.ClientStream[adminpb.RestoreMessagesRequest]) (*connect.Response[adminpb.RestoreMessagesResponse], error) {
	r := &restoring{s: s, boxes: map[string]mailstore.MailboxID{}}
	for stream.Receive() {
		if err := r.step(ctx, stream.Msg()); err != nil {
			return nil, err
		}
	}
	if err := stream.Err(); err != nil {
		return nil, err
	}
	if r.next != nil {
		return nil, connect.NewError(connect.CodeInvalidArgument, errors.New("admin: the stream ends within a message"))
	}
	if err := r.flush(ctx); err != nil {
		return nil, fail(err)
	}
	s.c.Log.Info("messages restored", "messages", r.stored)
	return connect.NewResponse(&adminpb.RestoreMessagesResponse{Messages: r.stored}), nil
}

func (r *restoring) step(ctx context.Context, m *adminpb.RestoreMessagesRequest) error {
	switch x := m.Step.(type) {
	case *adminpb.RestoreMessagesRequest_Account_:
		if r.a == nil {
			return r.open(ctx, x.Account)
		}
	case *adminpb.RestoreMessagesRequest_Begin_:
		if r.a != nil && r.next == nil {
			return r.begin(ctx, x.Begin)
		}
	case *adminpb.RestoreMessagesRequest_Octets:
		if r.next != nil && len(r.next.Raw)+len(x.Octets) <= r.size {
			r.next.Raw = append(r.next.Raw, x.Octets...)
			return r.whole(ctx)
		}
	}
	return connect.NewError(connect.CodeInvalidArgument, errors.New("admin: a step out of order"))
}

func (r *restoring) open(ctx context.Context, a *adminpb.RestoreMessagesRequest_Account) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	i, err := r.s.find(ctx, a.Address)
	if err == nil {
		r.a, err = r.s.c.Lookup.Open(ctx, i.ID)
	}
	r.dupes = a.AcceptDuplicates
	return fail(err)
}

func (r *restoring) begin(ctx context.Context, b *adminpb.RestoreMessagesRequest_Begin) error {
	if b.Size == 0 || b.Size > restoreMessage || b.Flags > uint32(mailstore.AllFlags) {
		return connect.NewError(connect.CodeInvalidArgument, errors.New("admin: a message of a size or with flags that can not be"))
	}
	if b.Mailbox != r.name || len(r.msgs) >= restoreCount || r.octets+int(b.Size) > restoreTogether {
		if err := r.flush(ctx); err != nil {
			return fail(err)
		}
		r.name = b.Mailbox
		if err := r.mailbox(ctx); err != nil {
			return fail(err)
		}
	}
	r.size = int(b.Size)
	r.next = &commit.AppendMessage{
		Message: commit.Message{Raw: make([]byte, 0, min(r.size, 1<<20))},
		Placement: commit.Placement{
			Flags: mailstore.Flags(b.Flags), Keywords: b.Keywords,
			InternalDate: time.Unix(b.InternalDate, 0).In(time.FixedZone("", int(b.Zone)*60)),
		},
	}
	return nil
}

// mailbox finds or makes the mailbox of the next messages.
func (r *restoring) mailbox(ctx context.Context) error {
	if _, seen := r.boxes[r.name]; seen {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	id, err := r.s.c.Commit.Create(ctx, r.a, r.name, 0)
	if errors.Is(err, mailstore.ErrMailboxExists) {
		var b mailstore.Mailbox
		if err = r.a.Sync(ctx); err == nil {
			b, err = r.a.Mailbox(r.name)
		}
		if err == nil && b.Exists > 0 && !r.dupes {
			err = errHolds
		}
		id = b.ID
	}
	if err == nil {
		r.boxes[r.name] = id
	}
	return err
}

// whole takes a message whose last octet has come.
func (r *restoring) whole(ctx context.Context) error {
	if len(r.next.Raw) < r.size {
		return nil
	}
	m := r.next
	r.next = nil
	x := message.Parse(m.Raw)
	m.HeaderLen = x.HeaderLen
	var err error
	if m.Summary, err = x.AppendBinary(nil); err != nil {
		return fail(err)
	}
	header := m.Raw[:x.HeaderLen]
	t := message.HeaderThread(header)
	m.MessageID = string(t.ID)
	for _, ref := range t.References {
		m.References = append(m.References, string(ref))
	}
	base, _ := message.BaseSubject(message.Lookup(header, "Subject"))
	m.Subject = string(base)
	r.msgs = append(r.msgs, *m)
	r.octets += len(m.Raw)
	if r.octets >= restoreTogether {
		return fail(r.flush(ctx))
	}
	return nil
}

// flush stores what has come, all of it or nothing.
func (r *restoring) flush(ctx context.Context) error {
	if len(r.msgs) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, err := r.s.c.Commit.Append(ctx, r.a, r.boxes[r.name], r.msgs, 0); err != nil {
		return err
	}
	r.stored += uint64(len(r.msgs))
	r.msgs, r.octets = nil, 0
	return nil
}
