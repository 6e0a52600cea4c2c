package storetest

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/state"
)

// MailGroups is how many mail groups a stack has.
const MailGroups = 3

// Stack is a mail store of one node, in memory.
type Stack struct {
	Lookup *lookup.Door
	Commit *commit.Door
	Feed   *change.Feed
	// Search is the full-text index, when Options.Extract is given.
	Search *Search
	Ring   *keyring.Ring
	Bodies *body.Store
	State  *state.DB

	t      testing.TB
	groups map[cluster.GroupID]*Group
	dir    *state.Directory
	mails  map[cluster.GroupID]*state.Mail

	mu      sync.Mutex
	skew    time.Duration
	domains map[string]bool
}

// Options change what a stack is made of.
type Options struct {
	// Timeout is the doors' own limit; 5 s.
	Timeout time.Duration
	// HandoffTimeout is commit.Config's.
	HandoffTimeout time.Duration
	// Bodies wraps what the doors read bodies from.
	Bodies func(lookup.Bodies) lookup.Bodies
	// Accounts is lookup.Config's.
	Accounts int
	// Stale is lookup.Config's.
	Stale bool
	// Extract makes the stack keep a full-text index, which is brought up to
	// date before each search.
	Extract lookup.Extract
	// FS is the file system under state and bodies; one in memory.
	FS vfs.FS
}

// New returns a stack that is checked and closed when the test ends.
func New(t testing.TB) *Stack { return NewWith(t, Options{}) }

// NewWith is New with options.
func NewWith(t testing.TB, opts Options) *Stack {
	t.Helper()
	s := &Stack{
		t: t, Feed: change.New(),
		groups: map[cluster.GroupID]*Group{}, mails: map[cluster.GroupID]*state.Mail{},
		domains: map[string]bool{},
	}
	if opts.FS == nil {
		opts.FS = vfs.NewMem()
	}
	s.openRing()
	s.openState(opts.FS)
	s.openBodies(opts.FS)
	s.openGroups()
	read := lookup.Bodies(s.Bodies)
	if opts.Bodies != nil {
		read = opts.Bodies(read)
	}
	cfg := lookup.Config{
		Groups: s, Ring: s.Ring, Bodies: read, Directory: s.dir, Mail: s.MailState,
		Timeout: opts.Timeout, Accounts: opts.Accounts, Stale: opts.Stale,
	}
	if opts.Extract != nil {
		s.Search = newSearch(s, opts.FS)
		cfg.Search = s.Search
	}
	s.Lookup = lookup.New(cfg)
	if opts.Extract != nil {
		s.Search.start(s.Lookup.Indexed(opts.Extract))
	}
	s.Commit = commit.New(commit.Config{
		Groups: s, Bodies: s.Bodies, Lookup: s.Lookup, Ring: s.Ring, Directory: s.dir, Mail: s.MailState,
		Timeout: opts.Timeout, HandoffTimeout: opts.HandoffTimeout, Now: s.Now,
	})
	t.Cleanup(s.close)
	return s
}

func (s *Stack) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func (s *Stack) openRing() {
	dir := s.t.TempDir()
	key := filepath.Join(dir, "key")
	s.must(keyring.CreateFileKey(key))
	var err error
	s.Ring, err = keyring.Create(filepath.Join(dir, "keyring"), keyring.FileSource{Path: key})
	s.must(err)
	_, err = s.Ring.NewRoot()
	s.must(err)
}

func (s *Stack) openState(fs vfs.FS) {
	var err error
	s.State, err = state.Open(fs, "state", state.Options{
		Fatal: func(err error) { s.t.Errorf("state: %v", err) },
	})
	s.must(err)
	s.dir, err = s.State.Directory()
	s.must(err)
	for g := cluster.GroupID(1); g <= MailGroups; g++ {
		m, err := s.State.Mail(g)
		s.must(err)
		m.OnEvents = func(evs []mailstore.Event) {
			for i := range evs {
				if evs[i].Reset {
					s.Lookup.Reset()
				}
			}
			s.Feed.Publish(evs)
		}
		m.OnDead = func(g cluster.GroupID, ids []mailstore.BodyID) {
			index, _ := m.Applied()
			s.Bodies.Dead(g, index, ids...)
		}
		s.mails[g] = m
	}
}

// live answers the body store's questions about the state.
type live struct{ s *Stack }

func (l live) Referenced(g cluster.GroupID, id cluster.BodyID) (bool, error) {
	return l.s.mails[g].BodyReferenced(id)
}

func (l live) Applied(g cluster.GroupID) uint64 {
	index, _ := l.s.mails[g].Applied()
	return index
}

func (l live) DurableApplied(g cluster.GroupID) uint64 { return l.s.mails[g].Durable() }

func (s *Stack) openBodies(fs vfs.FS) {
	var err error
	s.Bodies, err = body.Open(fs, "bodies", body.Options{
		Fatal: func(err error) { s.t.Errorf("bodies: %v", err) },
		Live:  live{s},
	})
	s.must(err)
}

func (s *Stack) openGroups() {
	var err error
	s.groups[cluster.Directory], err = newGroup(cluster.Directory, s.dir, nil, s.Now)
	s.must(err)
	for id, m := range s.mails {
		s.groups[id], err = newGroup(id, m, s.Bodies, s.Now)
		s.must(err)
	}
}

func (s *Stack) close() {
	for _, g := range s.groups {
		g.Unavailable(false)
		g.Before(nil)
		g.After(nil)
	}
	s.Commit.Close()
	s.Check()
	if s.Search != nil {
		s.closed(s.Search.Index.Close())
	}
	for _, m := range s.mails {
		s.closed(m.Close())
	}
	s.closed(s.dir.Close())
	s.closed(s.Bodies.Close())
	s.closed(s.State.Close())
	s.Ring.Close()
	if n := s.Lookup.Stats().FailedCloses; n > 0 {
		s.t.Errorf("%d snapshots were not released", n)
	}
}

func (s *Stack) closed(err error) {
	if err != nil {
		s.t.Errorf("closing the stack: %v", err)
	}
}

// Check runs the consistency check of the state and reports what it finds as
// errors of the test.
func (s *Stack) Check() {
	s.t.Helper()
	for id, m := range s.mails {
		problems, err := m.Check(context.Background())
		s.report(id, problems, err)
	}
	problems, err := s.dir.Check(context.Background())
	s.report(cluster.Directory, problems, err)
}

func (s *Stack) report(id cluster.GroupID, problems []state.Problem, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Errorf("checking group %v: %v", id, err)
	}
	for _, p := range problems {
		s.t.Errorf("group %v: %v", id, p)
	}
}

// Group implements lookup.Groups and commit.Groups.
func (s *Stack) Group(id cluster.GroupID) (cluster.Group, bool) {
	g, ok := s.groups[id]
	return g, ok
}

// Mail implements commit.Groups.
func (s *Stack) Mail() []cluster.GroupID {
	out := make([]cluster.GroupID, 0, MailGroups)
	for g := cluster.GroupID(1); g <= MailGroups; g++ {
		out = append(out, g)
	}
	return out
}

// Solo returns a group with its knobs to make it fail.
func (s *Stack) Solo(id cluster.GroupID) *Group {
	s.t.Helper()
	g, ok := s.groups[id]
	if !ok {
		s.t.Fatalf("no group %v", id)
	}
	return g
}

// MailState returns the state of a mail group.
func (s *Stack) MailState(id cluster.GroupID) (*state.Mail, bool) {
	m, ok := s.mails[id]
	return m, ok
}

// Directory returns the state of the directory.
func (s *Stack) Directory() *state.Directory { return s.dir }

// Unavailable cuts all groups off from their majority, or heals them.
func (s *Stack) Unavailable(on bool) {
	for _, g := range s.groups {
		g.Unavailable(on)
	}
}

// Now is the clock of the stack: the real one, moved by Advance.
func (s *Stack) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().Add(s.skew)
}

// Advance moves the stack's clock.
func (s *Stack) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.skew += d
}

// AddAccount makes an account, and its domain if need be.
func (s *Stack) AddAccount(address, password string) mailstore.AccountID {
	s.t.Helper()
	_, domain, _ := strings.Cut(address, "@")
	s.mu.Lock()
	known := s.domains[domain]
	s.domains[domain] = true
	s.mu.Unlock()
	if !known {
		s.must(s.Commit.AddDomain(context.Background(), domain))
	}
	id, err := s.Commit.AddAccount(context.Background(), commit.AddAccount{Address: address, Verifier: s.Verifier(password)})
	s.must(err)
	return id
}

// Verifier returns a stored record of an ASCII password that is cheap to check:
// the least number of iterations that is read (RFC 7677 section 4), because the
// usual ones take a tenth of a second.
func (s *Stack) Verifier(password string) string {
	s.t.Helper()
	const iterations = 4096
	salt := []byte("salt of storetest")
	salted, err := pbkdf2.Key(sha256.New, password, salt, iterations, sha256.Size)
	s.must(err)
	mac := func(text string) []byte {
		h := hmac.New(sha256.New, salted)
		h.Write([]byte(text))
		return h.Sum(nil)
	}
	stored := sha256.Sum256(mac("Client Key")) // RFC 5802 section 3
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("SCRAM-SHA-256$%d:%s$%s:%s", iterations, b64(salt), b64(stored[:]), b64(mac("Server Key")))
}

// Open opens an account's keys.
func (s *Stack) Open(id mailstore.AccountID) *lookup.Account {
	s.t.Helper()
	a, err := s.Lookup.Open(context.Background(), id)
	s.must(err)
	return a
}

// Account makes an account and opens it.
func (s *Stack) Account(address, password string) *lookup.Account {
	s.t.Helper()
	return s.Open(s.AddAccount(address, password))
}
