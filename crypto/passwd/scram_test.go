package passwd

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/argon2"
)

func hashAs(a *Argon2id, pw string) []byte {
	return argon2.IDKey([]byte(pw), a.salt, a.time, a.memory, a.threads, uint32(len(a.hash)))
}

// TestVector is the exchange of RFC 7677 section 3.
func TestVector(t *testing.T) {
	salt, err := base64.StdEncoding.DecodeString("W22ZaJ0SNY7soEsUEjb6gQ==")
	if err != nil {
		t.Fatal(err)
	}
	v, err := newVerifier([]byte("pencil"), salt, 4096)
	if err != nil {
		t.Fatal(err)
	}
	s := NewScramServer(ScramConfig{Lookup: only("user", v)})
	s.nonce = func() (string, error) { return "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0", nil }
	for i, step := range []struct{ in, out string }{
		{"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
			"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"},
		{"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
			"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="},
	} {
		out, done, err := s.Next(t.Context(), []byte(step.in))
		if err != nil || string(out) != step.out || done != (i == 1) {
			t.Fatalf("step %d: %q %v %v", i, out, done, err)
		}
	}
	if _, _, err := s.Next(t.Context(), nil); !errors.Is(err, ErrProtocol) {
		t.Fatal(err)
	}
}

func only(name string, v *Verifier) func(context.Context, string) (*Verifier, error) {
	return func(_ context.Context, n string) (*Verifier, error) {
		if n != name {
			return nil, ErrUnknownUser
		}
		return v, nil
	}
}

// client is the other side, written from the RFC.
type client struct {
	err         error
	serverFirst string
}

// exchange runs a login of "user" with a password, a gs2 header and, after it
// in the binding, whatever cbdata holds.
func exchange(t *testing.T, v *Verifier, cfg ScramConfig, pw, gs2 string, cbdata ...string) (*ScramServer, client) {
	t.Helper()
	if cfg.Lookup == nil {
		cfg.Lookup = only("user", v)
	}
	s := NewScramServer(cfg)
	return s, runClient(t, s, "user", pw, gs2, strings.Join(cbdata, ""))
}

func runClient(t *testing.T, s *ScramServer, name, pw, gs2, cbdata string) (c client) {
	t.Helper()
	bare := "n=" + strings.NewReplacer("=", "=3D", ",", "=2C").Replace(name) + ",r=clientnonce"
	out, done, err := s.Next(t.Context(), []byte(gs2+bare))
	if err != nil || done {
		c.err = err
		return c
	}
	c.serverFirst = string(out)
	fields := strings.SplitN(c.serverFirst, ",", 3)
	salt, err := base64.StdEncoding.DecodeString(fields[1][2:])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(fields[2][2:])
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(fields[0], "r=clientnonce") || len(fields[0]) < 30 {
		t.Fatalf("nonce %q", fields[0])
	}
	if n > minIterations {
		n = minIterations // costly, and for tests of a proof that fails
	}
	key, server, err := scramKeys(pw, salt, n)
	if err != nil {
		t.Fatal(err)
	}
	without := "c=" + base64.StdEncoding.EncodeToString([]byte(gs2+cbdata)) + "," + fields[0]
	message := bare + "," + c.serverFirst + "," + without
	stored := sha256.Sum256(key[:])
	proof := mac(stored[:], message)
	for i := range proof {
		proof[i] ^= key[i]
	}
	out, done, err = s.Next(t.Context(), []byte(without+",p="+base64.StdEncoding.EncodeToString(proof)))
	c.err = err
	if err == nil {
		want := "v=" + base64.StdEncoding.EncodeToString(mac(server[:], message))
		if !done || string(out) != want {
			t.Fatalf("server's signature %q, want %q", out, want)
		}
	} else if done || out != nil {
		t.Fatal("answer beside an error")
	}
	return c
}

func TestScram(t *testing.T) {
	v := fastVerifier(t, "pw")
	bind := func(name string) ([]byte, bool) {
		data, ok := map[string]string{"tls-exporter": "exported", "tls-server-end-point": "hash"}[name]
		return []byte(data), ok
	}
	plus := ScramConfig{Plus: true, PlusOffered: true, Binding: bind}
	for _, c := range []struct {
		name, pw, gs2, data string
		cfg                 ScramConfig
		want                error
	}{
		{"right", "pw", "n,,", "", ScramConfig{}, nil},
		{"wrong password", "pv", "n,,", "", ScramConfig{}, ErrBadCredentials},
		{"client could bind, server not", "pw", "y,,", "", ScramConfig{}, nil},
		{"offer removed on the way", "pw", "y,,", "", ScramConfig{PlusOffered: true}, ErrBinding},
		{"client cannot bind", "pw", "n,,", "", ScramConfig{PlusOffered: true}, nil},
		{"acts as", "pw", "n,a=other=2Cname=3D,", "", ScramConfig{}, nil},
		{"exporter", "pw", "p=tls-exporter,,", "exported", plus, nil},
		{"end point", "pw", "p=tls-server-end-point,,", "hash", plus, nil},
		{"other connection", "pw", "p=tls-exporter,,", "exporteD", plus, ErrBinding},
		{"unknown binding", "pw", "p=tls-unique,,", "x", plus, ErrBinding},
		{"no data source", "pw", "p=tls-exporter,,", "exported", ScramConfig{Plus: true}, ErrBinding},
		{"plus without binding", "pw", "n,,", "", plus, ErrBinding},
		{"binding without plus", "pw", "p=tls-exporter,,", "exported", ScramConfig{Binding: bind}, ErrBinding},
	} {
		s, got := exchange(t, v, c.cfg, c.pw, c.gs2, c.data)
		if !errors.Is(got.err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got.err, c.want)
		}
		if (s.ClientKey() != [32]byte{}) != (c.want == nil) {
			t.Errorf("%s: client key %x", c.name, s.ClientKey())
		}
		if c.name == "acts as" && (s.AuthzID() != "other,name=" || s.Name() != "user") {
			t.Errorf("%q acts as %q", s.Name(), s.AuthzID())
		}
	}
}

// TestUnknownUser: a name that does not exist looks like one that does.
func TestUnknownUser(t *testing.T) {
	cfg := ScramConfig{Lookup: only("user", nil), FakeSecret: [32]byte{1}}
	salt := func(name string, cfg ScramConfig) string {
		c := runClient(t, NewScramServer(cfg), name, "pw", "n,,", "")
		if !errors.Is(c.err, ErrBadCredentials) {
			t.Fatalf("%s: %v", name, c.err)
		}
		_, rest, _ := strings.Cut(c.serverFirst, ",")
		return rest
	}
	one := salt("nobody@example.org", cfg)
	if one != salt("nobody@example.org", cfg) || one != salt("Nobody@Example.org", cfg) {
		t.Fatal("salt changes between attempts")
	}
	if one == salt("nobodz@example.org", cfg) {
		t.Fatal("one salt for all")
	}
	cfg.FakeSecret[0] = 2
	if one == salt("nobody@example.org", cfg) {
		t.Fatal("salt can be computed without the secret")
	}
	v, err := NewVerifier([]byte("pw"))
	if err != nil {
		t.Fatal(err)
	}
	_, c := exchange(t, v, ScramConfig{}, "no", "n,,")
	_, real, _ := strings.Cut(c.serverFirst, ",")
	if len(real) != len(one) || real[len(real)-8:] != one[len(one)-8:] {
		t.Fatalf("%q does not look like %q", one, real)
	}
}

func TestLookupErrorIsItself(t *testing.T) {
	want := errors.New("no quorum")
	s := NewScramServer(ScramConfig{Lookup: func(context.Context, string) (*Verifier, error) { return nil, want }})
	if _, _, err := s.Next(t.Context(), []byte("n,,n=user,r=x")); !errors.Is(err, want) {
		t.Fatal(err)
	}
}

func TestMalformed(t *testing.T) {
	v := fastVerifier(t, "pw")
	for _, in := range []string{
		"", "n", "n,", "n,,", "n,,n=,r=x", "n,,n=user", "n,,n=user,", "n,,n=user,r=", "n,,n=user,r=a b", "n,,r=x,n=user",
		"n,,m=ext,n=user,r=x", "x,,n=user,r=x", "p,,n=user,r=x", "n,b=x,n=user,r=x", "n,a=,n=user,r=x", "n,,n=a=2cb,r=x",
		"n,,n=a=,r=x", "n,,n=\xff,r=x", "n,,n=a\x00b,r=x", "n,,n=user,r=" + strings.Repeat("x", 513),
		"n,,n=" + strings.Repeat("u", 1025) + ",r=x", "n,,n=u,r=x," + strings.Repeat("e", 5000),
	} {
		s := NewScramServer(ScramConfig{Lookup: only("user", v)})
		if _, _, err := s.Next(t.Context(), []byte(in)); !errors.Is(err, ErrProtocol) {
			t.Errorf("%.40q: %v", in, err)
		}
		if _, _, err := s.Next(t.Context(), []byte("n,,n=user,r=x")); !errors.Is(err, ErrProtocol) {
			t.Errorf("%.40q: goes on after an error: %v", in, err)
		}
	}
	proof := base64.StdEncoding.EncodeToString(make([]byte, 32))
	for in, want := range map[string]error{
		"": ErrProtocol, "c=biws": ErrProtocol, "c=biws,r=xy": ErrProtocol, "c=biws,p=" + proof: ErrProtocol,
		"r=xSERVER,c=biws,p=" + proof:          ErrProtocol,
		"c=biws,r=xSERVER,p=AAAA":              ErrProtocol,
		"c=biws,r=xSERVER,p=!" + proof[1:]:     ErrProtocol,
		"c=b!ws,r=xSERVER,p=" + proof:          ErrProtocol,
		"c=biws,r=xSERVEX,p=" + proof:          ErrBadCredentials,
		"c=biws,r=x,p=" + proof:                ErrBadCredentials,
		"c=eSws,r=xSERVER,p=" + proof:          ErrBinding,
		"c=biws,r=xSERVER,p=" + proof:          ErrBadCredentials,
		"c=biws,r=xSERVER,x=ext,p=" + proof:    ErrBadCredentials,
		"c=biws,r=xSERVER,p=" + proof + ",x=y": ErrProtocol,
	} {
		s := NewScramServer(ScramConfig{Lookup: only("user", v)})
		s.nonce = func() (string, error) { return "SERVER", nil }
		if _, _, err := s.Next(t.Context(), []byte("n,,n=user,r=x")); err != nil {
			t.Fatal(err)
		}
		if out, done, err := s.Next(t.Context(), []byte(in)); !errors.Is(err, want) || done || out != nil {
			t.Errorf("%.40q: %v, want %v", in, err, want)
		}
	}
}

func FuzzScram(f *testing.F) {
	v, err := newVerifier([]byte("pw"), []byte("0123456789abcdef"), minIterations)
	if err != nil {
		f.Fatal(err)
	}
	f.Add("n,,n=user,r=x", "c=biws,r=xSERVER,p=AAAA")
	f.Add("p=tls-exporter,a=b,n=us=2Cer,r=x", "c=biws,r=xSERVER,p=AAAA")
	f.Fuzz(func(t *testing.T, one, two string) {
		for _, plus := range []bool{false, true} {
			s := NewScramServer(ScramConfig{Lookup: only("user", v), Plus: plus, PlusOffered: plus})
			s.nonce = func() (string, error) { return "SERVER", nil }
			out, done, err := s.Next(t.Context(), []byte(one))
			if done || (err == nil) != (out != nil) {
				t.Fatal("logged in without a proof")
			}
			if err == nil {
				if _, done, err := s.Next(t.Context(), []byte(two)); done || err == nil {
					t.Fatal("logged in without the password")
				}
			}
		}
	})
}
