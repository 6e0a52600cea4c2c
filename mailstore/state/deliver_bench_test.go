package state

import (
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// mailman makes deliveries as they come from outside: ids that look random, and
// the sizes of a text mail.
type mailman struct {
	r     *rig
	accts int
	n     uint64
	noise *rand.ChaCha8
	posts [][]byte // thread hashes of earlier messages
}

func newMailman(r *rig, accts int) *mailman {
	d := &mailman{r: r, accts: accts, noise: rand.NewChaCha8([32]byte{1})}
	for a := range accts {
		r.must(openAccount(mailstore.AccountID(a+1), "Lists"))
	}
	return d
}

func (d *mailman) random(n int) []byte {
	b := make([]byte, n)
	d.noise.Read(b)
	return b
}

func (d *mailman) entry() cluster.Entry {
	d.n++
	body := sha256.Sum256(binary.BigEndian.AppendUint64(nil, d.n))
	id := binary.BigEndian.AppendUint64(nil, d.n)
	own := d.random(16)
	p := &pb.Placed{
		Content: &pb.Content{
			Id: append(id, d.random(8)...), Body: body[:], BodySize: 3500, WrappedKey: d.random(77),
			Summary: d.random(420), Size: 7200, Threads: [][]byte{own}, Subject: d.random(16),
		},
		InternalDate: 1_700_000_000 + int64(d.n), Zone: 60,
	}
	// Two of three messages answer one or two others.
	for range d.n % 3 {
		if len(d.posts) > 0 {
			p.Content.Threads = append(p.Content.Threads, d.posts[d.noise.Uint64()%uint64(len(d.posts))])
		}
	}
	if d.posts = append(d.posts, own); len(d.posts) > 4096 {
		d.posts = d.posts[2048:]
	}
	e := d.r.entry(deliver(mailstore.AccountID(d.noise.Uint64()%uint64(d.accts)+1), "", p))
	copy(e.Op[:], d.random(16))
	return e
}

func (d *mailman) entries(n int) []cluster.Entry {
	es := make([]cluster.Entry, n)
	for i := range es {
		es[i] = d.entry()
	}
	return es
}

// processTime is the CPU time of this process in ns: what the machine does
// besides, and waits, do not count.
func processTime(tb testing.TB) int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		tb.Fatal(err)
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkArrival applies deliveries to a group that has 30,000 messages, so
// many at once. Its CPU time includes flushes and compactions.
func BenchmarkArrival(b *testing.B) {
	for _, batch := range []int{1, 4, 64} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			d := newMailman(newRig(b, vfs.NewMem()), 32)
			for range 30_000 / 64 {
				d.r.apply(d.entries(64)...)
			}
			var made [][]cluster.Entry
			b.ReportAllocs()
			var cpu int64
			mark := processTime(b)
			for b.Loop() {
				if len(made) == 0 {
					b.StopTimer()
					cpu += processTime(b) - mark
					for range 64 {
						made = append(made, d.entries(batch))
					}
					mark = processTime(b)
					b.StartTimer()
				}
				d.r.apply(made[0]...)
				made = made[1:]
			}
			cpu += processTime(b) - mark
			b.ReportMetric(float64(cpu)/float64(b.N)/float64(batch), "cpu-ns/delivery")
		})
	}
}

// TestStateSize tells what a delivery takes in tables; it fails where it is
// much more than what the rows hold.
func TestStateSize(t *testing.T) {
	d := newMailman(newRig(t, vfs.NewMem()), 32)
	const n = 4096
	for range n / 64 {
		d.r.apply(d.entries(64)...)
	}
	if err := d.r.db.Compact(t.Context()); err != nil {
		t.Fatal(err)
	}
	size := d.r.db.Metrics().Total().TablesSize
	t.Logf("%d bytes a delivery", size/n)
	if size/n > 1100 {
		t.Errorf("%d bytes a delivery", size/n)
	}
}
