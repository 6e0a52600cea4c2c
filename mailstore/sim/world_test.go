package sim

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/cluster/group"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/commit"
)

// world is one cluster under one schedule.
type world struct {
	plan  *plan
	img   *image // nil while it is being made
	ring  *keyring.Ring
	net   *network
	hist  *history
	seq   atomic.Uint64
	ctx   context.Context
	end   context.CancelFunc
	dir   string
	bg    sync.WaitGroup
	nodes []*node

	mu         sync.Mutex // also node.proc
	violations []string
	ops        []opRec
	reads      []readRec
	lacks      []lack
	trail      []string
	installs   int

	dirMu    sync.Mutex
	dirIndex uint64
}

// lack is an entry that a disk held without its body when the power went.
type lack struct {
	node        int
	index, term uint64
}

func newWorld(p *plan, img *image, ring *keyring.Ring, dir string) *world {
	w := &world{plan: p, img: img, ring: ring, net: newNetwork(p.seed), dir: dir}
	w.hist = &history{w: w, entries: map[uint64]*entry{}}
	w.ctx, w.end = context.WithCancel(context.Background())
	return w
}

// addNode makes a node from what the image has for it.
func (w *world) addNode(i int) (*node, error) {
	n := &node{w: w, i: i, id: nodeID(i)}
	n.disk = &disk{logs: filepath.Join(w.dir, fmt.Sprint(i)), rng: rand.New(rand.NewPCG(w.plan.seed, uint64(100+i)))}
	n.disk.mem = vfs.NewCrashableMem()
	if w.img != nil {
		from := min(i, len(w.img.mem)-1)
		n.disk.mem = w.img.mem[from].CrashClone(vfs.CrashCloneCfg{})
		if w.img.logs[from] != nil {
			if err := w.img.logs[from].write(n.disk.logs); err != nil {
				return nil, err
			}
			n.disk.born = true
		}
	}
	// The log store makes the folder, on the real file system; the markers in
	// it are on the simulated one, where it must be as durable.
	if err := makeDirs(n.disk.mem, n.disk.logs); err != nil {
		return nil, err
	}
	w.mu.Lock()
	w.nodes = append(w.nodes, n)
	w.mu.Unlock()
	return n, nil
}

// size is how many nodes there are by now.
func (w *world) size() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.nodes)
}

func makeDirs(fs vfs.FS, dir string) error {
	if err := fs.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	for parent := dir; parent != "/"; {
		parent = fs.PathDir(parent)
		d, err := fs.OpenDir(parent)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (w *world) violation(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.violations) < 20 {
		w.violations = append(w.violations, fmt.Sprintf(format, args...))
	}
}

func (w *world) failed() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.violations) > 0
}

// note keeps a line of what happened, for the report of a failure.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trail = append(w.trail, fmt.Sprintf("%8.3f ", time.Since(epoch).Seconds())+fmt.Sprintf(format, args...))
}

// epoch is when every bubble begins.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *world) alarm(i int, a group.Alarm) {
	w.note("node %d: %s at %d", i, a.Kind, a.Index)
	switch a.Kind {
	case group.AlarmDiverged, group.AlarmNoMajority, group.AlarmRepaired:
		w.violation("node %d: alarm %s at index %d", i, a.Kind, a.Index)
	case group.AlarmInstalled:
		w.mu.Lock()
		w.installs++
		w.mu.Unlock()
	}
}

func (w *world) proc(i int) *proc {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i >= len(w.nodes) {
		return nil
	}
	return w.nodes[i].proc
}

func (w *world) record(r opRec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ops = append(w.ops, r)
}

func (w *world) saw(r readRec) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reads = append(w.reads, r)
}

// until polls in virtual time.
func (w *world) until(d time.Duration, cond func() bool) bool {
	for end := time.Now().Add(d); !cond(); {
		if time.Now().After(end) || w.failed() {
			return false
		}
		if pause(context.Background(), 25*time.Millisecond) != nil {
			return false
		}
	}
	return true
}

// leader returns a process that serves as leader, entered; nil within d if
// there is none.
func (w *world) leader(d time.Duration) (l *proc) {
	w.until(d, func() bool {
		for i := range w.nodes {
			if p := w.proc(i); p != nil && p.group.IsLeader() && p.enter() {
				l = p
				return true
			}
		}
		return false
	})
	return l
}

// applyDirectory changes the directory of every node at once.
func (w *world) applyDirectory(e cluster.Entry) (out cluster.Outcome, err error) {
	w.dirMu.Lock()
	defer w.dirMu.Unlock()
	w.dirIndex++
	e.Index, e.Term, e.Time = w.dirIndex, 1, uint64(time.Now().UnixMilli())
	for _, n := range w.nodes {
		rs, err := n.proc.dir.Apply([]cluster.Entry{e})
		if err != nil {
			return out, err
		}
		out = cluster.Outcome{Index: e.Index, Value: rs[0].Value}
	}
	return out, nil
}

const boxName = "Archive"

// verifier is a password record that is cheap to make (RFC 7677 section 4).
func verifier() (string, error) {
	const iterations = 4096
	salt := []byte("salt of the sim")
	salted, err := pbkdf2.Key(sha256.New, "password", salt, iterations, sha256.Size)
	if err != nil {
		return "", err
	}
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key"))
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key"))), nil
}

// makeImage builds a cluster of three with an account, and shuts it down. It
// runs in a bubble.
func makeImage(ring *keyring.Ring, dir string) (img *image, err error) {
	w := newWorld(&plan{slow: 1}, nil, ring, dir)
	defer w.end()
	const members = 3
	for i := range members + 1 {
		n, err := w.addNode(i)
		if err != nil {
			return nil, err
		}
		if err := n.start(); err != nil {
			return nil, err
		}
	}
	if _, err := w.applyDirectory(cluster.Entry{Kind: cluster.KindEpoch}); err != nil {
		return nil, err
	}
	l := w.leader(time.Minute)
	if l == nil {
		return nil, errors.New("no leader")
	}
	ctx := context.Background()
	for i := 1; i < members; i++ {
		if !w.until(time.Minute, func() bool {
			return l.group.AddNonvoter(ctx, nodeID(i), 0) == nil && l.group.Promote(ctx, nodeID(i), false) == nil
		}) {
			return nil, fmt.Errorf("node %d does not become a voter", i)
		}
	}
	img = &image{}
	v, err := verifier()
	if err != nil {
		return nil, err
	}
	if err := l.door.AddDomain(ctx, "example.org"); err != nil {
		return nil, err
	}
	if img.account, err = l.door.AddAccount(ctx, commit.AddAccount{Address: "u@example.org", Verifier: v}); err != nil {
		return nil, err
	}
	a, err := l.look.Open(ctx, img.account)
	if err != nil {
		return nil, err
	}
	if _, err := l.door.Create(ctx, a, boxName, 0); err != nil && !errors.Is(err, mailstore.ErrMailboxExists) {
		return nil, err
	}
	for _, name := range []string{"INBOX", boxName} {
		b, err := a.Mailbox(name)
		if err != nil {
			return nil, err
		}
		img.boxes = append(img.boxes, b.ID)
	}
	base := w.hist.at()
	if !w.until(time.Minute, func() bool {
		for i := range members {
			if at, _ := w.proc(i).mail.Applied(); at < base {
				return false
			}
		}
		return true
	}) {
		return nil, errors.New("the nodes do not catch up")
	}
	img.base = base
	l.leave()
	for i, n := range w.nodes {
		n.stop()
		img.mem = append(img.mem, n.disk.mem)
		if i == members {
			n.disk.log = nil // it comes in as a new member
		}
		img.logs = append(img.logs, n.disk.log)
	}
	if w.failed() {
		return nil, errors.New(w.violations[0])
	}
	return img, nil
}

func (w *world) trailText() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.trail, "\n")
}
