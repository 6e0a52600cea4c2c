package state

import (
	"context"
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

const startTime = 1_800_000_000_000 // ms

// rig is a mail machine with a counter of entries.
type rig struct {
	tb    testing.TB
	db    *DB
	m     *Mail
	index uint64
	now   uint64
	ops   uint64
}

func testOptions(tb testing.TB) Options {
	if _, bench := tb.(*testing.B); bench {
		return Options{}
	}
	return Options{CacheBytes: 8 << 20, MemTableBytes: 4 << 20}
}

// newRig opens group 1 in fs. When the test ends the consistency check runs
// and everything is closed.
func newRig(tb testing.TB, fs vfs.FS) *rig {
	tb.Helper()
	db, err := Open(fs, "state", testOptions(tb))
	if err != nil {
		tb.Fatal(err)
	}
	m, err := db.Mail(1)
	if err != nil {
		tb.Fatal(err)
	}
	r := &rig{tb: tb, db: db, m: m, now: max(startTime, m.Time())}
	r.index, _ = m.Applied()
	tb.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	if r.db == nil {
		return
	}
	r.check()
	if err := r.m.Close(); err != nil {
		r.tb.Error(err)
	}
	if err := r.db.Close(); err != nil {
		r.tb.Error(err)
	}
	r.db = nil
}

func (r *rig) check() {
	r.tb.Helper()
	ps, err := r.m.Check(context.Background())
	if err != nil {
		r.tb.Errorf("check: %v", err)
	}
	for _, p := range ps {
		r.tb.Errorf("check: %s", p)
	}
}

func encode(tb testing.TB, c *pb.Command) []byte {
	tb.Helper()
	b, err := command.Encode(c)
	if err != nil {
		tb.Fatalf("encode: %v", err)
	}
	return b
}

func opID(n uint64) (op cluster.OpID) {
	binary.BigEndian.PutUint64(op[8:], n)
	op[0] = 0xaa
	return op
}

// entry makes the next entry, with an operation id of its own.
func (r *rig) entry(c *pb.Command) cluster.Entry {
	r.tb.Helper()
	r.index++
	r.ops++
	r.now += 10
	return cluster.Entry{
		Index: r.index, Term: 3, Kind: cluster.KindCommand, Time: r.now, First: r.now,
		Op: opID(r.ops), Command: encode(r.tb, c),
	}
}

func (r *rig) apply(es ...cluster.Entry) []cluster.Result {
	r.tb.Helper()
	res, err := r.m.Apply(es)
	if err != nil {
		r.tb.Fatalf("apply: %v", err)
	}
	return res
}

func (r *rig) result(v cluster.Result) *pb.Result {
	r.tb.Helper()
	if v.Skipped {
		r.tb.Fatal("entry was skipped")
	}
	res, err := command.DecodeResult(v.Value)
	if err != nil {
		r.tb.Fatal(err)
	}
	return res
}

func (r *rig) do(c *pb.Command) *pb.Result {
	r.tb.Helper()
	return r.result(r.apply(r.entry(c))[0])
}

func (r *rig) must(c *pb.Command) *pb.Result {
	r.tb.Helper()
	return r.wants(pb.Code_OK, c)
}

func (r *rig) wants(want pb.Code, c *pb.Command) *pb.Result {
	r.tb.Helper()
	res := r.do(c)
	if res.Code != want {
		r.tb.Fatalf("%T answered %s, want %s", c.Op, res.Code, want)
	}
	return res
}

// read runs fn with a reader.
func (r *rig) read(fn func(*Reader)) {
	r.tb.Helper()
	rd := r.m.Read()
	fn(rd)
	if err := rd.Close(); err != nil {
		r.tb.Fatal(err)
	}
}

func (r *rig) box(a mailstore.AccountID, id mailstore.MailboxID) (row MailboxRow) {
	r.tb.Helper()
	r.read(func(rd *Reader) {
		var found bool
		var err error
		if row, found, err = rd.Mailbox(a, id); err != nil || !found {
			r.tb.Fatalf("mailbox %d: found %v, %v", id, found, err)
		}
	})
	return row
}

func (r *rig) acct(a mailstore.AccountID) (row AccountRow) {
	r.tb.Helper()
	r.read(func(rd *Reader) {
		var found bool
		var err error
		if row, found, err = rd.Account(a); err != nil || !found {
			r.tb.Fatalf("account: found %v, %v", found, err)
		}
	})
	return row
}

// list describes the messages of a mailbox, one string each.
func (r *rig) list(a mailstore.AccountID, id mailstore.MailboxID) (out []string) {
	r.tb.Helper()
	r.read(func(rd *Reader) {
		if err := rd.Messages(a, id, []mailstore.Range{{First: 1, Last: maxUID}}, func(m *MessageRow) error {
			out = append(out, fmt.Sprintf("%d f%02x k%v", m.UID, m.Flags, m.Keywords))
			return nil
		}); err != nil {
			r.tb.Fatal(err)
		}
	})
	return out
}

// hash is a test's stand-in for a keyed hash.
func hash(s string) []byte {
	h := make([]byte, 16)
	copy(h, s)
	h[15] = byte(len(s))
	return h
}

func nameOf(s string) *pb.Name { return &pb.Name{Hash: hash(s), Sealed: []byte("sealed " + s)} }

func kw(names ...string) (out []*pb.Keyword) {
	for _, n := range names {
		out = append(out, &pb.Keyword{Hash: hash("kw" + n), Sealed: []byte(n)})
	}
	return out
}

func contentID(n uint64) []byte {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:], n)
	return id[:]
}

func bodyID(n uint64) []byte {
	var id [32]byte
	binary.LittleEndian.PutUint64(id[:], n*0x9e3779b97f4a7c15)
	return id[:]
}

func placed(n uint64, size uint32, threads ...string) *pb.Placed {
	p := &pb.Placed{
		Content: &pb.Content{
			Id: contentID(n), Body: bodyID(n), BodySize: size/2 + 1, WrappedKey: []byte("a wrapped key of this message"),
			Summary: []byte("a sealed summary"), Size: size, Threads: [][]byte{{}}, Subject: hash("subject"),
		},
		InternalDate: 1_700_000_000 + int64(n), Zone: 60,
	}
	for i, s := range threads {
		if i == 0 {
			p.Content.Threads[0] = nil
			if s != "" {
				p.Content.Threads[0] = hash("t" + s)
			}
			continue
		}
		p.Content.Threads = append(p.Content.Threads, hash("t"+s))
	}
	return p
}

func openAccount(a mailstore.AccountID, boxes ...string) *pb.Command {
	o := &pb.OpenAccount{Account: uint64(a)}
	for _, b := range append([]string{"INBOX"}, boxes...) {
		o.Mailboxes = append(o.Mailboxes, &pb.CreateMailbox{Name: nameOf(b), Subscribe: true})
	}
	return &pb.Command{Op: &pb.Command_OpenAccount{OpenAccount: o}}
}

func deliver(a mailstore.AccountID, box string, p *pb.Placed) *pb.Command {
	to := &pb.Deliver_To{Account: uint64(a), Message: p}
	if box != "" {
		to.Mailbox = hash(box)
	}
	return &pb.Command{Op: &pb.Command_Deliver{Deliver: &pb.Deliver{To: []*pb.Deliver_To{to}}}}
}

func appendTo(a mailstore.AccountID, box mailstore.MailboxID, ps ...*pb.Placed) *pb.Command {
	return &pb.Command{Op: &pb.Command_Append{Append: &pb.Append{Account: uint64(a), Mailbox: uint32(box), Messages: ps}}}
}

func uids(r ...uint32) (out []*pb.UIDRange) {
	for i := 0; i < len(r); i += 2 {
		out = append(out, &pb.UIDRange{First: r[i], Last: r[i+1]})
	}
	return out
}

func store(a mailstore.AccountID, box mailstore.MailboxID, rs []*pb.UIDRange, mode pb.StoreFlags_Mode, f mailstore.Flags, ks ...*pb.Keyword) *pb.Command {
	return &pb.Command{Op: &pb.Command_StoreFlags{StoreFlags: &pb.StoreFlags{
		Account: uint64(a), Mailbox: uint32(box), Uids: rs, Mode: mode, Flags: uint32(f), Keywords: ks,
	}}}
}

func expunge(a mailstore.AccountID, box mailstore.MailboxID, rs []*pb.UIDRange, all bool) *pb.Command {
	return &pb.Command{Op: &pb.Command_Expunge{Expunge: &pb.Expunge{Account: uint64(a), Mailbox: uint32(box), Uids: rs, Any: all}}}
}

func copyTo(a mailstore.AccountID, box mailstore.MailboxID, rs []*pb.UIDRange, to mailstore.MailboxID, move bool) *pb.Command {
	return &pb.Command{Op: &pb.Command_Copy{Copy: &pb.Copy{Account: uint64(a), Mailbox: uint32(box), Uids: rs, Target: uint32(to), Move: move}}}
}
