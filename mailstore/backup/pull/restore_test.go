package pull_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/backup/grant"
	"altmail.se/altmail/mailstore/backup/pull"
	"altmail.se/altmail/mailstore/backup/repo"
	"altmail.se/altmail/mailstore/backup/restore"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// restored is what a repository was restored into.
type restored struct {
	db      *state.DB
	dir     *state.Directory
	mails   map[cluster.GroupID]*state.Mail
	missing map[cluster.GroupID]restore.Missing
	sum     restore.Adopted
}

func (k *kit) source(st repo.Storage, what string) *restore.Source {
	k.t.Helper()
	r, err := repo.Open(context.Background(), st)
	k.must(err)
	s, err := r.Find(context.Background(), what)
	k.must(err)
	src, err := restore.Open(context.Background(), r, s, []age.Identity{k.id}, k.ca)
	k.must(err)
	return src
}

// restore restores a snapshot into a state of its own.
func (k *kit) restore(src *restore.Source) *restored {
	k.t.Helper()
	ctx := context.Background()
	r := &restored{mails: map[cluster.GroupID]*state.Mail{}, missing: map[cluster.GroupID]restore.Missing{}}
	var err error
	r.db, err = state.Open(vfs.NewMem(), "restored", state.Options{Fatal: func(err error) { k.t.Error(err) }})
	k.must(err)
	closed := map[mailstore.AccountID]bool{}
	k.t.Cleanup(func() {
		for _, m := range r.mails {
			k.must(m.Close())
		}
		k.must(r.dir.Close())
		k.must(r.db.Close())
	})
	known := map[mailstore.AccountID]bool{}
	for i, g := range src.Groups() {
		quiet := func(int, int) {}
		if g.Group == 0 {
			r.dir, err = r.db.Directory()
			k.must(err)
			k.must(src.Install(ctx, i, r.dir, quiet))
			rd := r.dir.Read()
			k.must(rd.Accounts(func(a *state.DirectoryAccount) error { known[a.ID] = len(a.WrappedKeys) > 0; return nil }))
			k.must(rd.Close())
			continue
		}
		id := cluster.GroupID(g.Group)
		m, err := r.db.Mail(id)
		k.must(err)
		r.mails[id] = m
		k.must(src.Install(ctx, i, m, quiet))
		r.missing[id], err = src.Bodies(ctx, i, func(cluster.BodyID, []byte) error { return nil }, func(int64) {})
		k.must(err)
		a, err := restore.AdoptMail(m, r.missing[id], func(id mailstore.AccountID) bool { return known[id] }, closed, time.Now())
		k.must(err)
		r.sum.Accounts += a.Accounts
		r.sum.Messages += a.Messages
		r.sum.Expunged += a.Expunged
		r.sum.Lost += a.Lost
	}
	k.must(restore.AdoptDirectory(r.dir, restore.Node{ID: cluster.NodeID{9}, Name: "new", Address: "x:1", PublicKey: []byte("key"), Level: 1}, []byte("ca"), closed, time.Now()))
	for g, m := range r.mails {
		ps, err := m.Check(ctx)
		k.must(err)
		for _, p := range ps {
			k.t.Errorf("group %s: %v", g, p)
		}
	}
	ps, err := r.dir.Check(ctx)
	k.must(err)
	for _, p := range ps {
		k.t.Errorf("directory: %v", p)
	}
	return r
}

// rows lists the messages of all mailboxes of a group, by account and mailbox.
func rows(t testing.TB, m *state.Mail) map[string]string {
	t.Helper()
	out := map[string]string{}
	r := m.Read()
	defer r.Close()
	if err := r.Accounts(func(a *state.AccountRow) error {
		boxes, err := r.Mailboxes(a.ID)
		if err != nil {
			return err
		}
		for _, b := range boxes {
			if err := r.Messages(a.ID, b.ID, []mailstore.Range{{First: 1, Last: 1<<32 - 1}}, func(m *state.MessageRow) error {
				out[fmt.Sprintf("%s/%d/%d", a.ID, b.ID, m.UID)] = fmt.Sprintf("%+v, validity %d", *m, b.UIDValidity)
				return nil
			}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestRestore: rows are what they were, counters are far above, and the cluster
// is a new one.
func TestRestore(t *testing.T) {
	k := newKit(t)
	anna, bo := k.Account("anna@example.se", "password one"), k.Account("bo@example.se", "password two")
	for range 60 {
		k.deliver(200+k.rng.IntN(3000), anna)
	}
	k.deliver(900_000, anna, bo)
	box, err := anna.Mailbox(lookup.Inbox)
	k.must(err)
	_, err = k.Commit.Store(context.Background(), anna, box.ID, []mailstore.Range{{First: 5, Last: 9}},
		commit.FlagChange{Mode: commit.Add, Flags: mailstore.FlagSeen, Keywords: []string{"$Work"}})
	k.must(err)
	st := repo.NewDir(vfs.NewMem(), "r")
	_, err = k.pull(st)
	k.must(err)
	want := map[cluster.GroupID]map[string]string{}
	for _, g := range k.Mail() {
		m, _ := k.MailState(g)
		want[g] = rows(t, m)
	}
	k.deliver(1000, bo) // after the snapshot
	r := k.restore(k.source(st, "latest"))
	if r.sum != (restore.Adopted{Accounts: 2, Messages: 62}) {
		t.Errorf("%+v", r.sum)
	}
	for g, m := range r.mails {
		if got := rows(t, m); !maps.Equal(got, want[g]) {
			t.Errorf("group %s: %d rows, had %d, or others", g, len(got), len(want[g]))
		}
	}
	rd := r.mails[anna.Group()].Read()
	b, ok, err := rd.Mailbox(anna.ID(), box.ID)
	k.must(errors.Join(err, rd.Close()))
	if !ok || b.UIDNext < 1<<20 || b.HighestModSeq < 1<<32 {
		t.Errorf("counters: %+v", b)
	}
	dr := r.dir.Read()
	nodes, err := dr.Nodes()
	k.must(err)
	grants, _, err := dr.Setting(grant.Setting)
	k.must(errors.Join(err, dr.Close()))
	if len(nodes) != 1 || nodes[0].Name != "new" || len(grants.Value) != 0 {
		t.Errorf("nodes %+v, %d bytes of grants", nodes, len(grants.Value))
	}
}

// TestRestoreGone: what was expunged while the snapshot was pulled is not
// there, everything else is.
func TestRestoreGone(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	for range 5 {
		k.deliver(1000, anna)
	}
	st := repo.NewDir(vfs.NewMem(), "r")
	once := sync.OnceFunc(func() { k.expunge(anna, mailstore.Range{First: 2, Last: 3}) })
	_, err := k.pullWith(st, func(o *pull.Options) {
		o.Tell = func(p pull.Progress) {
			if p.Stage == "bodies" {
				once()
			}
		}
	})
	k.must(err)
	r := k.restore(k.source(st, "latest"))
	if r.sum.Expunged != 2 || r.sum.Lost != 0 {
		t.Errorf("%+v", r.sum)
	}
	var uids []string
	for key := range rows(t, r.mails[anna.Group()]) {
		uids = append(uids, key[strings.LastIndex(key, "/")+1:])
	}
	if slices.Sort(uids); !slices.Equal(uids, []string{"1", "4", "5"}) {
		t.Errorf("UIDs %v", uids)
	}
}

// TestRestoreDamaged: bodies that are lost are told, the rest is restored;
// metadata that is lost is refused.
func TestRestoreDamaged(t *testing.T) {
	k := newKit(t)
	anna := k.Account("anna@example.se", "password one")
	for range 5 {
		k.deliver(1000, anna)
	}
	dir := t.TempDir()
	st := repo.NewDir(vfs.Default, dir)
	_, err := k.pull(st)
	k.must(err)
	// One bit of each of two bodies, then one of the metadata.
	m, _ := k.MailState(anna.Group())
	var ids []repo.ID
	k.must(m.LiveBodies(func(r cluster.BodyRef) error { ids = append(ids, repo.ID(r.ID)); return nil }))
	src := k.source(st, "latest")
	for _, id := range ids[:2] {
		flip(t, dir, src.Repo, repo.KindBody, id)
	}
	r := k.restore(k.source(st, "latest"))
	if r.sum.Lost != 2 || len(rows(t, r.mails[anna.Group()])) != 5 {
		t.Errorf("%+v", r.sum)
	}
	rd, err := restore.NewReader(context.Background(), k.source(st, "latest"), t.TempDir(), func(int, int) {})
	k.must(err)
	a, err := rd.Account(context.Background(), "anna@example.se")
	k.must(err)
	n := 0
	lost, err := rd.Messages(context.Background(), a, "", 0, func(*restore.Message) error { n++; return nil })
	k.must(errors.Join(err, rd.Close()))
	if n != 3 || lost != 2 {
		t.Errorf("%d messages read, %d lost", n, lost)
	}
	flip(t, dir, src.Repo, repo.KindSealed, repo.IDs(src.Snap.Parts[0].Chunks)[0])
	bad := k.source(st, "latest")
	db, err := state.Open(vfs.NewMem(), "x", state.Options{})
	k.must(err)
	d, err := db.Directory()
	k.must(err)
	if err := bad.Install(context.Background(), 0, d, func(int, int) {}); !errors.Is(err, repo.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	k.must(errors.Join(d.Close(), db.Close()))
}

// flip changes one bit of an object where it lies.
func flip(t testing.TB, dir string, r *repo.Repo, kind repo.Kind, id repo.ID) {
	t.Helper()
	b, err := r.Get(context.Background(), kind, id)
	if err != nil {
		t.Fatal(err)
	}
	es, err := os.ReadDir(filepath.Join(dir, "packs"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		path := filepath.Join(dir, "packs", e.Name())
		pack, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if at := strings.Index(string(pack), string(b)); at >= 0 {
			pack[at+len(b)/2] ^= 4
			if err := os.WriteFile(path, pack, 0o600); err != nil {
				t.Fatal(err)
			}
			return
		}
	}
	t.Fatal("the object is in no pack")
}

// TestReader: messages come out of a snapshot byte for byte, of all mailboxes,
// of one, one alone.
func TestReader(t *testing.T) {
	k := newKit(t)
	anna, bo := k.Account("anna@example.se", "password one"), k.Account("bo@example.se", "password two")
	var want []string
	for i := range 6 {
		raw := fmt.Sprintf("Subject: message %d and more\r\n\r\nbody %d\r\n", i, i)
		want = append(want, raw)
		k.deliverRaw(raw, anna)
	}
	k.deliver(3000, bo)
	st := repo.NewDir(vfs.NewMem(), "r")
	_, err := k.pull(st)
	k.must(err)
	dir := t.TempDir()
	r, err := restore.NewReader(context.Background(), k.source(st, "latest"), dir, func(int, int) {})
	k.must(err)
	ctx := context.Background()
	a, err := r.Account(ctx, "Anna@EXAMPLE.se")
	k.must(err)
	read := func(box string, uid mailstore.UID) (got []string) {
		lost, err := r.Messages(ctx, a, box, uid, func(m *restore.Message) error {
			got = append(got, string(m.Raw))
			if m.Mailbox != lookup.Inbox || m.InternalDate.UnixMilli() != 1700000000000 {
				t.Errorf("in %s of %s", m.Mailbox, m.InternalDate)
			}
			return nil
		})
		k.must(err)
		if lost != 0 {
			t.Errorf("%d lost", lost)
		}
		return got
	}
	if got := read("", 0); !slices.Equal(got, want) {
		t.Errorf("all: %q", got)
	}
	if got := read("INBOX", 3); !slices.Equal(got, want[2:3]) {
		t.Errorf("one: %q", got)
	}
	if got := read("Sent", 0); len(got) != 0 {
		t.Errorf("Sent: %q", got)
	}
	if _, err := r.Messages(ctx, a, "Nowhere", 0, nil); !errors.Is(err, mailstore.ErrNoMailbox) {
		t.Errorf("got %v", err)
	}
	if _, err := r.Account(ctx, "nobody@example.se"); !errors.Is(err, mailstore.ErrNoAddress) {
		t.Errorf("got %v", err)
	}
	// What it keeps on the disk meanwhile is noise.
	k.must(filepath.WalkDir(dir, func(p string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(p)
		if err == nil && strings.Contains(string(b), "example.se") {
			t.Errorf("%s shows an address", p)
		}
		return err
	}))
	k.must(r.Close())
}

func TestForeign(t *testing.T) {
	k := newKit(t)
	st := repo.NewDir(vfs.NewMem(), "r")
	_, err := k.pull(st)
	k.must(err)
	r, err := repo.Open(context.Background(), st)
	k.must(err)
	s, err := r.Find(context.Background(), "latest")
	k.must(err)
	other, err := age.GenerateX25519Identity()
	k.must(err)
	if _, err := restore.Open(context.Background(), r, s, []age.Identity{other}, k.ca); !errors.Is(err, restore.ErrIdentity) {
		t.Errorf("another identity: %v", err)
	}
	if _, err := restore.Open(context.Background(), r, s, []age.Identity{k.id}, [32]byte{1}); !errors.Is(err, restore.ErrForeign) {
		t.Errorf("another CA: %v", err)
	}
}
