package member

import (
	"bytes"
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/keyring"
	"altmail.se/altmail/crypto/pki"
)

// newRing makes a keyring as a node has it before init or join.
func newRing(t *testing.T) *keyring.Ring {
	t.Helper()
	dir := t.TempDir()
	if err := keyring.CreateFileKey(filepath.Join(dir, "key")); err != nil {
		t.Fatal(err)
	}
	r, err := keyring.Create(filepath.Join(dir, "keyring"), keyring.FileSource{Path: filepath.Join(dir, "key")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// founder is a begun cluster of one node that lets others join on a real
// TLS port.
type founder struct {
	*fakeNode
	ring *keyring.Ring
	id   Identity
	addr string
}

func found(t *testing.T) (*world, *founder) {
	t.Helper()
	ring := newRing(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ln.Close(); err != nil {
			t.Error(err)
		}
	})
	id, err := Init(ring, "first", ln.Addr().String(), 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	w.now = time.Now()
	f := w.node(1, false)
	local, ok, err := LoadLocal(ring)
	if err != nil || !ok {
		t.Fatalf("identity after init: %v %v", ok, err)
	}
	f.id, f.local, f.m.Local, f.m.Self, f.m.Ring = id.Node, local, local, id.Node, ring
	w.on = map[cluster.NodeID]*fakeNode{id.Node: f}
	w.conf[0].leader = id.Node
	w.conf[0].servers = []Server{{ID: id.Node.String() + ".1", Node: id.Node, Voter: true}}
	if err := f.step(); err != nil {
		t.Fatal(err)
	}
	keyDER, cert, ok := ring.Identity()
	if !ok {
		t.Fatal("no certificate after init")
	}
	key, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		t.Fatal(err)
	}
	conf := &tls.Config{
		MinVersion: tls.VersionTLS13, NextProtos: []string{JoinALPN},
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert, id.CA}, PrivateKey: key}},
	}
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			wg.Go(func() {
				tc := tls.Server(c, conf)
				if err := tc.HandshakeContext(t.Context()); err != nil {
					c.Close()
					return
				}
				state := tc.ConnectionState()
				exp, err := state.ExportKeyingMaterial(pki.ExporterLabel, nil, 32)
				if err != nil {
					t.Error(err)
				}
				f.m.ServeJoin(context.Background(), tc, exp)
			})
		}
	}()
	return w, &founder{f, ring, id, ln.Addr().String()}
}

func (f *founder) token(t *testing.T, ttl time.Duration) *pki.Token {
	t.Helper()
	tok, _, err := f.m.NewToken(t.Context(), ttl)
	if err != nil {
		t.Fatal(err)
	}
	// It goes through its text, as it does between operators.
	tok, err = pki.ParseToken(tok.Text())
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

const joinerAddr = "192.0.2.2:7000"

func TestInit(t *testing.T) {
	for _, tc := range []struct {
		name   string
		groups uint32
		ok     bool
	}{
		{"a", 1, true}, {"jökull-1.se", 256, true}, {"a", 0, false}, {"a", 257, false},
		{"", 1, false}, {"a b", 1, false}, {"a/b", 1, false}, {"a\x1b[2J", 1, false}, {"\xff", 1, false},
		{strings.Repeat("a", 63), 1, true}, {strings.Repeat("a", 64), 1, false},
	} {
		ring := newRing(t)
		id, err := Init(ring, tc.name, "192.0.2.1:7000", tc.groups, 3)
		if (err == nil) != tc.ok {
			t.Errorf("Init(%q, %d): %v", tc.name, tc.groups, err)
		}
		l, is, lerr := LoadLocal(ring)
		if lerr != nil || is != tc.ok {
			t.Errorf("Init(%q, %d): identity %v, %v", tc.name, tc.groups, is, lerr)
		}
		if !tc.ok {
			continue
		}
		got := l.Identity()
		if got.Node != id.Node || got.Seed == nil || got.Seed.MailGroups != tc.groups || len(got.Groups) != int(tc.groups)+1 ||
			len(got.Peers) != 1 || got.Peers[0].Level != 3 || !strings.HasSuffix(got.Cluster, ".1") {
			t.Errorf("identity %+v", got)
		}
		ca, err := pki.ParseCACert(got.CA)
		if err != nil {
			t.Fatal(err)
		}
		_, cert, _ := ring.Identity()
		p, err := pki.VerifyPeer([][]byte{cert}, []*x509.Certificate{ca}, got.Cluster, time.Now())
		if err != nil || p.NodeID != id.Node.String() || !bytes.Equal(p.SPKI, got.Peers[0].PublicKey) {
			t.Errorf("certificate: %+v, %v", p, err)
		}
		if bytes.Contains(got.Seed.CAKey, got.CA[:40]) {
			t.Error("the CA is not sealed")
		}
	}
}

// TestJoin: a good join gives certificate, every root epoch, index key, nodes
// and groups; the same key may ask again.
func TestJoin(t *testing.T) {
	w, f := found(t)
	// Two more epochs; the newest is not in use yet.
	for range 2 {
		if _, err := f.ring.NewRoot(); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.ring.UseRoot(2); err != nil {
		t.Fatal(err)
	}
	tok := f.token(t, 0)
	ring := newRing(t)
	id, err := Join(t.Context(), ring, tok, "second", joinerAddr, 1)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Join(t.Context(), ring, tok, "second", joinerAddr, 1)
	if err != nil || again.Node != id.Node {
		t.Fatalf("the same again: %v, %v", again.Node, err)
	}
	if len(w.nodes) != 2 || w.nodes[1].ID != id.Node || w.nodes[1].Address != joinerAddr || w.nodes[1].Name != "second" {
		t.Errorf("roster %+v", w.nodes)
	}
	if id.Cluster != f.id.Cluster || !bytes.Equal(id.CA, f.id.CA) || id.Seed != nil ||
		!slices.Equal(id.Groups, []cluster.GroupID{0, 1, 2}) || len(id.Peers) != 2 {
		t.Errorf("identity %+v", id)
	}
	if ring.CurrentRoot() != 2 || len(ring.Roots()) != 3 {
		t.Errorf("root epochs %d, current %d", len(ring.Roots()), ring.CurrentRoot())
	}
	for e, k := range f.ring.Roots() {
		if ring.Roots()[e] != k {
			t.Errorf("root of epoch %d differs", e)
		}
	}
	a, _ := f.ring.IndexKey()
	if b, ok := ring.IndexKey(); !ok || a != b {
		t.Error("index key differs")
	}
	ca, err := pki.ParseCACert(id.CA)
	if err != nil {
		t.Fatal(err)
	}
	_, cert, _ := ring.Identity()
	p, err := pki.VerifyPeer([][]byte{cert}, []*x509.Certificate{ca}, id.Cluster, time.Now())
	if err != nil || p.NodeID != id.Node.String() || !bytes.Equal(p.SPKI, w.nodes[1].PublicKey) {
		t.Errorf("certificate: %+v, %v", p, err)
	}
	if got := w.tokens[string(tok.ID[:])]; !bytes.Equal(got.UsedBy, p.SPKI) {
		t.Error("the token is not bound to the key")
	}
}

// forged is a token with the good one's public part and another secret.
func forged(t *testing.T, f *founder, tok *pki.Token) *pki.Token {
	t.Helper()
	bad, err := pki.NewToken(tok.Addrs, tok.CA)
	if err != nil {
		t.Fatal(err)
	}
	bad.ID = tok.ID
	return bad
}

func TestJoinRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		node string
		addr string
		tok  func(t *testing.T, w *world, f *founder) *pki.Token
		want string
	}{
		{name: "wrong secret", tok: func(t *testing.T, w *world, f *founder) *pki.Token { return forged(t, f, f.token(t, 0)) }, want: "no such join token"},
		{name: "unknown token", tok: func(t *testing.T, w *world, f *founder) *pki.Token {
			tok, err := pki.NewToken([]string{f.addr}, pki.Fingerprint(f.fakeNode.local.Identity().CA))
			if err != nil {
				t.Fatal(err)
			}
			return tok
		}, want: "no such join token"},
		{name: "expired", tok: func(t *testing.T, w *world, f *founder) *pki.Token {
			tok := f.token(t, time.Minute)
			w.advance(time.Minute + time.Second)
			return tok
		}, want: "no such join token"},
		{name: "used by another key", tok: func(t *testing.T, w *world, f *founder) *pki.Token {
			tok := f.token(t, 0)
			if _, err := Join(t.Context(), newRing(t), tok, "other", joinerAddr, 1); err != nil {
				t.Fatal(err)
			}
			return tok
		}, want: "no such join token"},
		{name: "name taken", node: "first", want: "of that name"},
		{name: "bad name", node: "a b", want: "node's name"},
		{name: "bad address", addr: "no-port", want: "bad address"},
		{name: "long address", addr: strings.Repeat("a", 255) + ":1", want: "bad address"},
		{name: "another CA", tok: func(t *testing.T, w *world, f *founder) *pki.Token {
			tok := f.token(t, 0)
			tok.CA[0] ^= 1
			return tok
		}, want: pki.ErrFingerprint.Error()},
		{name: "no majority", tok: func(t *testing.T, w *world, f *founder) *pki.Token {
			tok := f.token(t, 0)
			f.adrift = true
			return tok
		}, want: cluster.ErrUnavailable.Error()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w, f := found(t)
			var tok *pki.Token
			if tc.tok != nil {
				tok = tc.tok(t, w, f)
			} else {
				tok = f.token(t, 0)
			}
			before := len(w.nodes)
			ring := newRing(t)
			node, addr := tc.node, tc.addr
			if node == "" {
				node = "second"
			}
			if addr == "" {
				addr = joinerAddr
			}
			_, err := Join(t.Context(), ring, tok, node, addr, 1)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("Join: %v, want %q", err, tc.want)
			}
			if _, is, lerr := LoadLocal(ring); is || lerr != nil {
				t.Errorf("the node believes it joined: %v", lerr)
			}
			if len(ring.Roots()) != 0 {
				t.Error("the node got root keys")
			}
			if len(w.nodes) != before {
				t.Error("the roster lists it")
			}
		})
	}
}

// TestJoinOtherName: a token bound by a try that failed for its name is good
// for another name with the same key.
func TestJoinOtherName(t *testing.T) {
	w, f := found(t)
	tok, ring := f.token(t, 0), newRing(t)
	if _, err := Join(t.Context(), ring, tok, "first", joinerAddr, 1); err == nil {
		t.Fatal("joined under a name that is taken")
	}
	if _, err := Join(t.Context(), ring, tok, "second", joinerAddr, 1); err != nil {
		t.Fatal(err)
	}
	if len(w.nodes) != 2 || w.nodes[1].Name != "second" {
		t.Errorf("roster %+v", w.nodes)
	}
}

// TestJoinAfterFailure: whatever write fails, giving the command again works
// and makes one member.
func TestJoinAfterFailure(t *testing.T) {
	for _, op := range []string{"UseToken", "PutNode"} {
		w, f := found(t)
		tok, ring := f.token(t, 0), newRing(t)
		w.fail = func(o string) error {
			if o == op {
				return errInjected
			}
			return nil
		}
		if _, err := Join(t.Context(), ring, tok, "second", joinerAddr, 1); err == nil {
			t.Fatalf("%s: joined all the same", op)
		}
		w.fail = nil
		if _, err := Join(t.Context(), ring, tok, "second", joinerAddr, 1); err != nil {
			t.Errorf("%s: %v", op, err)
		}
		if len(w.nodes) != 2 {
			t.Errorf("%s: roster %+v", op, w.nodes)
		}
	}
}

// TestJoinTriesAll: the token's addresses are asked in turn.
func TestJoinTriesAll(t *testing.T) {
	_, f := found(t)
	tok := f.token(t, 0)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	tok.Addrs = []string{dead, f.addr}
	if _, err := Join(t.Context(), newRing(t), tok, "second", joinerAddr, 1); err != nil {
		t.Error(err)
	}
	tok.Addrs = []string{dead}
	if _, err := Join(t.Context(), newRing(t), tok, "third", joinerAddr, 1); err == nil || !strings.Contains(err.Error(), dead) {
		t.Errorf("no node to ask: %v", err)
	}
}

// TestJoinProofIsBound: a proof made for another connection or request is
// worth nothing, so a call in the middle cannot be passed on.
func TestJoinProofIsBound(t *testing.T) {
	w, f := found(t)
	tok := f.token(t, 0)
	node, _, csr, err := newNode()
	if err != nil {
		t.Fatal(err)
	}
	_, _, otherCSR, err := newNode()
	if err != nil {
		t.Fatal(err)
	}

	exp, otherExp := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2}, 32)
	proof, err := tok.Prove(exp, csr)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(csr, exporter []byte) joinReply {
		t.Helper()
		a, b := net.Pipe()
		defer a.Close()
		done := make(chan struct{})
		go func() { defer close(done); f.m.ServeJoin(t.Context(), b, exporter) }()
		if err := writeFrame(a, joinRequest{Token: tok.ID[:], CSR: csr, Proof: proof[:], Node: node.String(), Name: "x", Address: joinerAddr}); err != nil {
			t.Fatal(err)
		}
		var reply joinReply
		if err := readFrame(a, &reply); err != nil {
			t.Fatal(err)
		}
		<-done
		return reply
	}
	for _, r := range []joinReply{ask(csr, otherExp), ask(otherCSR, exp), ask(csr[:len(csr)-1], exp)} {
		if r.Error == "" || r.Grant != nil || r.Answer != nil {
			t.Errorf("granted: %q", r.Error)
		}
	}
	if len(w.nodes) != 1 || w.tokens[string(tok.ID[:])].UsedBy != nil {
		t.Error("a bad proof left a mark")
	}
	r := ask(csr, exp)
	if r.Error != "" {
		t.Fatal(r.Error)
	}
	if ok, err := tok.VerifyAnswer(exp, r.Grant, r.Answer); err != nil || !ok {
		t.Errorf("answer: %v, %v", ok, err)
	}
	r.Grant[0] ^= 1
	if ok, err := tok.VerifyAnswer(exp, r.Grant, r.Answer); err != nil || ok {
		t.Errorf("an altered grant passes: %v", err)
	}
}

// TestJoinTakenID: a member's id cannot be taken with another key.
func TestJoinTakenID(t *testing.T) {
	w, f := found(t)
	tok := f.token(t, 0)
	_, _, csr, err := newNode()
	if err != nil {
		t.Fatal(err)
	}
	exp := make([]byte, 32)
	proof, err := tok.Prove(exp, csr)
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = f.m.grant(t.Context(), &joinRequest{
		Token: tok.ID[:], CSR: csr, Proof: proof[:], Node: f.fakeNode.id.String(), Name: "thief", Address: joinerAddr,
	}, exp)
	if !errors.Is(err, ErrNameTaken) || len(w.nodes) != 1 {
		t.Errorf("grant: %v, roster %d", err, len(w.nodes))
	}
}

func TestJoinLimiter(t *testing.T) {
	w, f := found(t)
	refused := 0
	for range 40 {
		_, _, err := f.m.grant(t.Context(), &joinRequest{Node: "x"}, nil)
		if err == nil {
			t.Fatal("granted")
		}
		if strings.Contains(err.Error(), "too many") {
			refused++
		}
	}
	if refused != 10 {
		t.Errorf("%d of 40 calls a minute refused, want 10", refused)
	}
	w.advance(time.Minute + time.Second)
	if _, err := Join(t.Context(), newRing(t), f.token(t, 0), "second", joinerAddr, 1); err != nil {
		t.Errorf("a minute later: %v", err)
	}
}

// TestAccept refuses grants that are not whole, and leaves no identity.
func TestAccept(t *testing.T) {
	key := bytes.Repeat([]byte{7}, keyring.KeySize)
	good := func() *joinGrant {
		return &joinGrant{Cluster: "c.1", Cert: []byte("cert"), Roots: map[uint32][]byte{3: key, 1: key}, Current: 3, Index: key}
	}
	for name, spoil := range map[string]func(*joinGrant){
		"short root":      func(g *joinGrant) { g.Roots[1] = key[1:] },
		"no root":         func(g *joinGrant) { g.Roots = nil },
		"current missing": func(g *joinGrant) { g.Current = 2 },
		"short index":     func(g *joinGrant) { g.Index = nil },
	} {
		ring, g := newRing(t), good()
		spoil(g)
		if _, err := accept(ring, g, pending{Key: []byte("k")}, "n", joinerAddr); err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, is, err := LoadLocal(ring); is || err != nil {
			t.Errorf("%s: identity %v, %v", name, is, err)
		}
	}
	ring := newRing(t)
	for range 2 {
		if _, err := accept(ring, good(), pending{Node: nid(4), Key: []byte("k")}, "n", joinerAddr); err != nil {
			t.Fatal(err)
		}
	}
	if ring.CurrentRoot() != 3 || len(ring.Roots()) != 2 {
		t.Errorf("current %d of %d", ring.CurrentRoot(), len(ring.Roots()))
	}
}

// TestRenew: a certificate is replaced when two thirds of its life are over.
func TestRenew(t *testing.T) {
	_, f := found(t)
	_, before, _ := f.ring.Identity()
	if c, err := f.m.Renew(time.Now()); c != nil || err != nil {
		t.Fatalf("fresh: %v, %v", c, err)
	}
	later := time.Now().Add(pki.NodeTTL * 3 / 4)
	c, err := f.m.Renew(later)
	if err != nil || c == nil {
		t.Fatalf("due: %v", err)
	}
	keyDER, after, _ := f.ring.Identity()
	if bytes.Equal(before, after) || !bytes.Equal(c, after) {
		t.Error("the new certificate is not kept")
	}
	ca, err := pki.ParseCACert(f.fakeNode.local.Identity().CA)
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.ParsePKCS8PrivateKey(keyDER)
	if err != nil {
		t.Fatal(err)
	}
	spki, err := x509.MarshalPKIXPublicKey(key.(crypto.Signer).Public())
	if err != nil {
		t.Fatal(err)
	}
	p, err := pki.VerifyPeer([][]byte{c}, []*x509.Certificate{ca}, f.fakeNode.local.Identity().Cluster, later)
	if err != nil || p.Expired || !bytes.Equal(p.SPKI, spki) {
		t.Errorf("renewed: %+v, %v", p, err)
	}
}

// TestNewToken: without a majority, or before the cluster has begun, none is
// made.
func TestNewToken(t *testing.T) {
	w, f := found(t)
	tok, expires, err := f.m.NewToken(t.Context(), 0)
	if err != nil || expires.Sub(w.now) != time.Hour || !slices.Equal(tok.Addrs, []string{f.addr}) {
		t.Errorf("token %v until %v: %v", tok.Addrs, expires, err)
	}
	v, err := tok.Verifier()
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(w.tokens[string(tok.ID[:])].Verifier, v[:]) {
		t.Error("the verifier is not sealed")
	}
	f.adrift = true
	if _, _, err := f.m.NewToken(t.Context(), 0); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("cut off: %v", err)
	}
	f.adrift = false
	w.nodes = nil
	if _, _, err := f.m.NewToken(t.Context(), 0); !errors.Is(err, cluster.ErrUnavailable) {
		t.Errorf("not begun: %v", err)
	}
}
