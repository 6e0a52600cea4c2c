package pull_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/klauspost/compress/zstd"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/pki"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/pull"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/backup/source"
	"altmail.se/altmail/mailstore/backup/wire"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/storetest"
)

const clusterID = "0123456789abcdef.1"

// kit is a mail store that gives backups over loopback.
type kit struct {
	*storetest.Stack
	t      testing.TB
	rng    *rand.Rand
	server *source.Server
	addr   string
	spki   []byte
	ca     [32]byte
	id     *age.X25519Identity
	n      int // messages

	// cut, if above zero, is after how many bytes of answers a connection
	// breaks.
	cut atomic.Int64
	// broken bodies are not found on this node.
	hide sync.Map
}

func newKit(t testing.TB) *kit {
	t.Helper()
	k := &kit{Stack: storetest.New(t), t: t, rng: rand.New(rand.NewPCG(1, uint64(len(t.Name())))), addr: "node"}
	var err error
	k.id, err = age.GenerateX25519Identity()
	k.must(err)
	node := cluster.NodeID{0xaa, 1}
	ca, err := pki.NewCA(clusterID, time.Now())
	k.must(err)
	key, err := pki.NewKey()
	k.must(err)
	csr, err := pki.NewCSR(key)
	k.must(err)
	cert, err := ca.Sign(csr, node.String(), time.Hour, time.Now())
	k.must(err)
	der, err := pki.MarshalKey(key)
	k.must(err)
	k.must(k.Ring.SetIdentity(der, cert))
	k.ca = pki.Fingerprint(ca.Cert().Raw)
	k.server = source.New(source.Config{
		Cluster: clusterID, Node: node, CACert: ca.Cert().Raw, Ring: k.Ring, Groups: k.Mail, Group: k.Group,
		Machine: func(g cluster.GroupID) (source.Machine, bool) {
			if g == cluster.Directory {
				return k.Directory(), true
			}
			return k.MailState(g)
		},
		Bodies: bodies{k}, Referenced: func(g cluster.GroupID, id cluster.BodyID) (bool, error) {
			m, ok := k.MailState(g)
			if !ok {
				return false, cluster.ErrStopped
			}
			return m.BodyReferenced(id)
		},
		Whole: func(cluster.GroupID) bool { return true }, Directory: k.Directory(), Log: slog.New(slog.DiscardHandler),
	})
	t.Cleanup(func() {
		if err := k.server.Close(); err != nil {
			t.Error(err)
		}
	})
	_, k.spki, err = grant.NewKey()
	k.must(err)
	k.grants(grant.Grant{Name: "outside", Key: k.spki, Recipients: []string{k.id.Recipient().String()}})
	return k
}

func (k *kit) must(err error) {
	k.t.Helper()
	if err != nil {
		k.t.Fatal(err)
	}
}

func (k *kit) grants(list ...grant.Grant) {
	k.t.Helper()
	k.must(k.Commit.ChangeSetting(context.Background(), grant.Setting, func([]byte) ([]byte, error) { return grant.Seal(k.Ring, list) }))
}

// bodies hides some.
type bodies struct{ k *kit }

func (b bodies) Open(g cluster.GroupID, id cluster.BodyID) (*body.Handle, error) {
	if _, hidden := b.k.hide.Load(id); hidden {
		return nil, cluster.ErrNotHere
	}
	return b.k.Bodies.Open(g, id)
}

func (b bodies) Verify(ctx context.Context, g cluster.GroupID, id cluster.BodyID) error {
	return b.k.Bodies.Verify(ctx, g, id)
}

// conn counts, and breaks when it has been told to.
type conn struct {
	net.Conn
	k     *kit
	moved atomic.Int64
}

func (c *conn) Moved() int64 { return c.moved.Load() }

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.moved.Add(int64(n))
	if c.k.cut.Load() > 0 && c.k.cut.Add(-int64(n)) <= 0 {
		c.k.cut.Store(1) // every connection from now on, at once
		return 0, errors.Join(io.ErrUnexpectedEOF, c.Conn.Close())
	}
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	c.moved.Add(int64(len(b)))
	return c.Conn.Write(b)
}

func (k *kit) dial(ctx context.Context, _ string) (pull.Conn, error) {
	here, there := net.Pipe()
	go k.server.Serve(context.WithoutCancel(ctx), there, k.spki)
	return &conn{Conn: here, k: k}, nil
}

func (k *kit) pull(st repo.Storage) (*pull.Result, error) {
	return k.pullWith(st, func(*pull.Options) {})
}

func (k *kit) pullWith(st repo.Storage, change func(*pull.Options)) (*pull.Result, error) {
	o := pull.Options{
		Storage: st, Dial: k.dial, Nodes: []string{k.addr}, CA: k.ca, Tell: func(pull.Progress) {},
		Log: slog.New(slog.DiscardHandler), Attempts: 1, Pause: time.Millisecond,
	}
	change(&o)
	return pull.Pull(context.Background(), o)
}

// deliver stores a message of random text.
func (k *kit) deliver(size int, to ...*lookup.Account) {
	k.t.Helper()
	k.n++
	text := make([]byte, size)
	for i := range text {
		text[i] = 'a' + byte(k.rng.IntN(26))
	}
	k.deliverRaw(fmt.Sprintf("Subject: message %d\r\nMessage-ID: <%d@example.org>\r\n\r\n%s\r\n", k.n, k.n, text), to...)
}

func (k *kit) deliverRaw(raw string, to ...*lookup.Account) {
	k.t.Helper()
	m := &commit.Message{Raw: []byte(raw), HeaderLen: strings.Index(raw, "\r\n\r\n") + 4, Summary: []byte("summary of " + raw[:20]), MessageID: fmt.Sprintf("%d@example.org", k.n)}
	var rs []commit.Recipient
	for _, a := range to {
		rs = append(rs, commit.Recipient{Account: a.ID(), Placement: commit.Placement{InternalDate: time.UnixMilli(1700000000000)}})
	}
	for _, err := range k.Commit.Deliver(context.Background(), commit.NewOp(), m, rs) {
		k.must(err)
	}
}

func (k *kit) check(st repo.Storage) *repo.Verified {
	k.t.Helper()
	r, err := repo.Open(context.Background(), st)
	k.must(err)
	v, err := r.Verify(context.Background(), true, func(int64, int64) {})
	k.must(err)
	if len(v.Problems) > 0 || len(v.Hurt) > 0 {
		k.t.Fatalf("the repository: %+v", v)
	}
	return v
}

// TestPull: everything once, then only what is new.
func TestPull(t *testing.T) {
	k := newKit(t)
	anna, bo := k.Account("anna@example.se", "password one"), k.Account("bo@example.se", "password two")
	for range 400 {
		k.deliver(200+k.rng.IntN(3000), anna)
	}
	k.deliver(900_000, anna, bo)
	st := repo.NewDir(vfs.NewMem(), "r")
	first, err := k.pull(st)
	k.must(err)
	if first.Bodies != 401 || first.Gone != 0 {
		t.Fatalf("first: %+v", first)
	}
	again, err := k.pull(st)
	k.must(err)
	if again.Bodies != 0 || again.Moved > 100_000 {
		t.Fatalf("nothing new: %+v", again)
	}
	for range 10 {
		k.deliver(10_000, bo)
	}
	next, err := k.pull(st)
	k.must(err)
	if next.Bodies != 10 {
		t.Fatalf("next: %+v", next)
	}
	if all := next.New + next.Sealed + next.Lists; float64(next.Moved) > 1.1*float64(all) {
		t.Errorf("%d bytes moved for %d of mail and metadata", next.Moved, all)
	}
	if next.Sealed > first.Sealed {
		t.Errorf("metadata: %d bytes came for ten messages, %d for all before", next.Sealed, first.Sealed)
	}
	if v := k.check(st); v.Snapshots != 3 {
		t.Fatalf("%+v", v)
	}
	st2 := k.server.Stats()
	if st2.Sessions != 3 || st2.Finished != 3 || st2.Bodies != 411 {
		t.Errorf("%+v", st2)
	}
}

// TestCut breaks the line at random points fifty times: the repository is
// always valid, and the next pull goes on.
func TestCut(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	for range 120 {
		k.deliver(5000+k.rng.IntN(60_000), anna)
	}
	st := repo.NewDir(vfs.NewMem(), "r")
	failed, moved := 0, int64(0)
	for failed < 50 {
		k.cut.Store(1 + k.rng.Int64N(600_000))
		res, err := k.pull(st)
		if err == nil {
			moved += res.New
			// All is here: more mail, and on with it.
			for range 20 {
				k.deliver(5000+k.rng.IntN(60_000), anna)
			}
		} else {
			failed++
		}
		if _, err := repo.Open(context.Background(), st); err == nil {
			k.check(st)
		}
	}
	k.cut.Store(0)
	res, err := k.pull(st)
	k.must(err)
	v := k.check(st)
	t.Logf("%d snapshots; the last brought %d bodies", v.Snapshots, res.Bodies)
	// What came before a break was kept: the node gave few bodies twice.
	if given := k.server.Stats().Bodies; given > uint64(k.n)+uint64(failed)*20 {
		t.Errorf("%d bodies given for %d messages", given, k.n)
	}
}

// TestGone: what is expunged while it is pulled is given to nobody, and the
// snapshot says so.
func TestGone(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	for range 5 {
		k.deliver(1000, anna)
	}
	st := repo.NewDir(vfs.NewMem(), "r")
	once := sync.OnceFunc(func() { k.expunge(anna, mailstore.Range{First: 2, Last: 3}) })
	res, err := k.pullWith(st, func(o *pull.Options) {
		o.Tell = func(p pull.Progress) {
			if p.Stage == "bodies" {
				once()
			}
		}
	})
	k.must(err)
	if res.Gone != 2 || res.Bodies != 3 {
		t.Fatalf("%+v", res)
	}
	k.check(st)
}

// expunge removes messages of INBOX, durably.
func (k *kit) expunge(a *lookup.Account, ranges ...mailstore.Range) {
	k.t.Helper()
	box, err := a.Mailbox(lookup.Inbox)
	k.must(err)
	_, err = k.Commit.Store(context.Background(), a, box.ID, ranges, commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagDeleted})
	k.must(err)
	_, _, err = k.Commit.Expunge(context.Background(), a, box.ID, ranges)
	k.must(err)
	for _, g := range k.Mail() {
		m, _ := k.MailState(g)
		_, _, err := m.Sync()
		k.must(err)
	}
}

// TestNotHere: without some body there is no snapshot, and with it there is.
func TestNotHere(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	for range 5 {
		k.deliver(1000, anna)
	}
	m, _ := k.MailState(anna.Group())
	var some cluster.BodyID
	k.must(m.LiveBodies(func(r cluster.BodyRef) error { some = r.ID; return nil }))
	k.hide.Store(some, true)
	st := repo.NewDir(vfs.NewMem(), "r")
	if _, err := k.pull(st); !errors.Is(err, pull.ErrIncomplete) {
		t.Fatalf("got %v", err)
	}
	if v := k.check(st); v.Snapshots != 0 {
		t.Fatalf("%+v", v)
	}
	k.hide.Delete(some)
	res, err := k.pull(st)
	k.must(err)
	if res.Bodies != 1 {
		t.Fatalf("%+v", res)
	}
}

// TestRevoked: a revoked credential ends a pull, also one under way.
func TestRevoked(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	for range 5 {
		k.deliver(1000, anna)
	}
	st := repo.NewDir(vfs.NewMem(), "r")
	if _, err := k.pullWith(st, func(o *pull.Options) {
		o.Tell = func(p pull.Progress) {
			if p.Stage == "bodies" {
				k.grants()
			}
		}
	}); !errors.Is(err, grant.ErrRefused) {
		t.Fatalf("under way: %v", err)
	}
	if _, err := k.pull(st); !errors.Is(err, grant.ErrRefused) {
		t.Fatalf("the next: %v", err)
	}
	if k.server.Stats().Refused == 0 {
		t.Error("refusals are not counted")
	}
}

// TestNoMajority: a node that is cut off gives no backup, which might lack what
// was answered.
func TestNoMajority(t *testing.T) {
	k := newKit(t)
	k.Unavailable(true)
	defer k.Unavailable(false)
	if _, err := k.pull(repo.NewDir(vfs.NewMem(), "r")); !errors.Is(err, cluster.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
}

// TestRecipients: a grant with another recipient brings the metadata again, so
// that each can read the whole.
func TestRecipients(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	k.deliver(1000, anna)
	st := repo.NewDir(vfs.NewMem(), "r")
	_, err := k.pull(st)
	k.must(err)
	other, err := age.GenerateX25519Identity()
	k.must(err)
	k.grants(grant.Grant{Name: "outside", Key: k.spki, Recipients: []string{other.Recipient().String()}})
	res, err := k.pull(st)
	k.must(err)
	r, err := repo.Open(context.Background(), st)
	k.must(err)
	head, err := r.Get(context.Background(), repo.KindSealed, res.Snapshot.Core.Head)
	k.must(err)
	o, err := wire.NewOpener([]age.Identity{other}, head)
	k.must(err)
	for i, p := range res.Snapshot.Parts {
		for _, id := range repo.IDs(p.Chunks) {
			b, err := r.Get(context.Background(), repo.KindSealed, id)
			k.must(err)
			g := res.Snapshot.Core.Groups[i].Group
			_, err = o.Chunk(g, id, b)
			k.must(err)
			if _, err := o.Chunk(g+1, id, b); !errors.Is(err, wire.ErrSealed) {
				t.Fatal("taken for another group's")
			}
			if _, err := o.Chunk(g, res.Snapshot.Core.Head, b); !errors.Is(err, wire.ErrSealed) {
				t.Fatal("taken for another piece")
			}
		}
	}
	if _, err := wire.NewOpener([]age.Identity{k.id}, head); err == nil {
		t.Fatal("the old identity opens what is sealed to the new one")
	}
	if res.Bodies != 0 {
		t.Errorf("%d bodies came again", res.Bodies)
	}
}

// TestNoise: a stolen repository shows nothing of what the mail store holds.
func TestNoise(t *testing.T) {
	k := newKit(t)
	canary := make([]byte, 4096) // stored raw if nothing seals it
	for i := range canary {
		canary[i] = byte(1 + k.rng.IntN(255))
	}
	anna := k.Account("anna.canaryaddress@canarydomain.se", "canary password")
	_, err := k.Commit.Create(context.Background(), anna, "CanaryMailbox", 0)
	k.must(err)
	k.deliverRaw("Subject: CanarySubject\r\n\r\nCanaryBody "+string(canary)+"\r\n", anna)
	box, err := anna.Mailbox(lookup.Inbox)
	k.must(err)
	_, err = k.Commit.Store(context.Background(), anna, box.ID, []mailstore.Range{{First: 1, Last: 1}},
		commit.FlagChange{Mode: commit.Add, Keywords: []string{"$CanaryKeyword"}})
	k.must(err)
	dir := t.TempDir()
	res, err := k.pull(repo.NewDir(vfs.Default, dir))
	k.must(err)
	index, _ := k.Ring.IndexKey()
	roots := k.Ring.Roots()
	root := roots[k.Ring.CurrentRoot()]
	secrets := [][]byte{canary[:64], index[:], root[:]}
	for _, s := range []string{"canaryaddress", "canarydomain", "CanaryMailbox", "CanarySubject", "CanaryBody", "CanaryKeyword"} {
		secrets = append(secrets, []byte(s))
	}
	scan := func(dir string) (found []string) {
		k.must(filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			for _, text := range append(unpacked(b), b) {
				for _, s := range secrets {
					if bytes.Contains(bytes.ToLower(text), bytes.ToLower(s)) {
						found = append(found, fmt.Sprintf("%s: %q", d.Name(), s[:min(16, len(s))]))
					}
				}
			}
			return nil
		}))
		return found
	}
	if found := scan(dir); len(found) > 0 {
		t.Fatalf("found: %v", found)
	}
	// With the identity, and the same eyes, it is all there.
	open := t.TempDir()
	r, err := repo.Open(context.Background(), repo.NewDir(vfs.Default, dir))
	k.must(err)
	head, err := r.Get(context.Background(), repo.KindSealed, res.Snapshot.Core.Head)
	k.must(err)
	o, err := wire.NewOpener([]age.Identity{k.id}, head)
	k.must(err)
	if !bytes.Equal(o.Head.Index, index[:]) || !bytes.Equal(o.Head.Roots[o.Head.Current], root[:]) {
		t.Fatal("the head has other keys")
	}
	k.must(os.WriteFile(filepath.Join(open, "x"), o.Head.Index, 0o600))
	if len(scan(open)) == 0 {
		t.Fatal("the scan sees nothing at all")
	}
}

// unpacked tries zstd at every place where it may begin.
func unpacked(b []byte) (out [][]byte) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(16<<20))
	if err != nil {
		panic(err)
	}
	defer d.Close()
	magic := []byte{0x28, 0xb5, 0x2f, 0xfd}
	for at := 0; ; at++ {
		i := bytes.Index(b[at:], magic)
		if i < 0 {
			return out
		}
		at += i
		text, _ := d.DecodeAll(b[at:], nil)
		out = append(out, text)
	}
}

// TestCredential: what a puller shows is the key that was granted.
func TestCredential(t *testing.T) {
	key, spki, err := grant.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	c := &grant.Credential{Version: 1, Name: "outside", CA: strings.Repeat("ab", 32), Nodes: []string{"a:1"}, Key: key}
	b, err := c.Encode()
	if err != nil {
		t.Fatal(err)
	}
	d, err := grant.ParseCredential(b)
	if err != nil {
		t.Fatal(err)
	}
	var cert *tls.Certificate
	if cert, err = d.Certificate(time.Now()); err != nil {
		t.Fatal(err)
	}
	leaf, err := parseLeaf(cert)
	if err != nil || !bytes.Equal(leaf, spki) {
		t.Fatalf("another key: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("{}"), bytes.Replace(b, []byte("abab"), []byte("xyzw"), 1)} {
		if _, err := grant.ParseCredential(bad); !errors.Is(err, grant.ErrFile) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func parseLeaf(c *tls.Certificate) ([]byte, error) {
	l, err := x509.ParseCertificate(c.Certificate[0])
	if err != nil {
		return nil, err
	}
	return l.RawSubjectPublicKeyInfo, nil
}
