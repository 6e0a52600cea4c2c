package state

import (
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// benchBox makes an INBOX of n messages with summaries of 600 bytes.
func benchBox(b *testing.B, n int) *rig {
	b.Helper()
	r := newRig(b, vfs.NewMem())
	r.must(openAccount(alice, "a"))
	var es []cluster.Entry
	for i := range n {
		p := placed(uint64(i+1), 7000, fmt.Sprint(i))
		p.Content.Summary = make([]byte, 600)
		if es = append(es, r.entry(deliver(alice, "", p))); len(es) == 64 {
			r.apply(es...)
			es = es[:0]
		}
	}
	if len(es) > 0 {
		r.apply(es...)
	}
	if err := r.db.p.Flush(); err != nil {
		b.Fatal(err)
	}
	return r
}

const benchMessages = 10_000

func perMessage(b *testing.B, n int) {
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/message")
}

func BenchmarkMessages(b *testing.B) {
	r := benchBox(b, benchMessages)
	for b.Loop() {
		r.read(func(rd *Reader) {
			n := 0
			if err := rd.Messages(alice, Inbox, []mailstore.Range{{First: 1, Last: maxUID}}, func(*MessageRow) error { n++; return nil }); err != nil || n != benchMessages {
				b.Fatal(n, err)
			}
		})
	}
	perMessage(b, benchMessages)
}

func BenchmarkUIDs(b *testing.B) {
	r := benchBox(b, benchMessages)
	for b.Loop() {
		r.read(func(rd *Reader) {
			if u, err := rd.UIDs(alice, Inbox); err != nil || len(u) != benchMessages {
				b.Fatal(len(u), err)
			}
		})
	}
	perMessage(b, benchMessages)
}

func BenchmarkContents(b *testing.B) {
	r := benchBox(b, benchMessages)
	var ids []mailstore.ContentID
	for i := range benchMessages {
		ids = append(ids, mailstore.ContentID(contentID(uint64(i+1))))
	}
	for b.Loop() {
		r.read(func(rd *Reader) {
			n := 0
			if err := rd.Contents(alice, ids, func(int, *ContentRow) error { n++; return nil }); err != nil || n != benchMessages {
				b.Fatal(n, err)
			}
		})
	}
	perMessage(b, benchMessages)
}

// BenchmarkRead is the fixed cost of one small look.
func BenchmarkRead(b *testing.B) {
	r := benchBox(b, 100)
	b.ReportAllocs()
	for b.Loop() {
		r.read(func(rd *Reader) {
			if _, found, err := rd.Mailbox(alice, Inbox); err != nil || !found {
				b.Fatal(err)
			}
		})
	}
}

func BenchmarkStoreOne(b *testing.B) {
	r := benchBox(b, benchMessages)
	b.ReportAllocs()
	n := uint32(0)
	for b.Loop() {
		u := n%benchMessages + 1
		mode := pb.StoreFlags_ADD
		if n/benchMessages%2 == 1 {
			mode = pb.StoreFlags_REMOVE
		}
		n++
		r.apply(r.entry(store(alice, Inbox, uids(u, u), mode, mailstore.FlagSeen)))
	}
}

func BenchmarkStoreThousand(b *testing.B) {
	r := benchBox(b, benchMessages)
	n := 0
	for b.Loop() {
		n++
		r.apply(r.entry(store(alice, Inbox, uids(1001, 2000), pb.StoreFlags_SET, mailstore.Flags(n%32))))
	}
	perMessage(b, 1000)
}

func BenchmarkMoveBack(b *testing.B) {
	r := benchBox(b, 1000)
	from, to := Inbox, mailstore.MailboxID(2)
	for b.Loop() {
		r.apply(r.entry(copyTo(alice, from, uids(1, maxUID), to, true)))
		from, to = to, from
	}
	perMessage(b, 1000)
}
