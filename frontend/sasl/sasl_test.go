package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/passwd"
	"altmail.se/altmail/mailstore"
)

type users struct{}

var verifier = sync.OnceValue(func() *passwd.Verifier {
	v, err := passwd.NewVerifier([]byte("pencil"))
	if err != nil {
		panic(err)
	}
	return v
})

func (users) Plain(_ context.Context, user, password string) (Identity, error) {
	switch {
	case user == "down":
		return Identity{}, fmt.Errorf("x: %w", cluster.ErrUnavailable)
	case user == "suspended":
		return Identity{}, mailstore.ErrSuspended
	case user != "anna" || password != "pencil":
		return Identity{Account: 9}, ErrCredentials
	}
	return Identity{Account: 1, Address: "anna@x", Version: 7}, nil
}

func (users) Scram(_ context.Context, user string) (*passwd.Verifier, Identity, error) {
	switch user {
	case "down":
		return nil, Identity{}, cluster.ErrUnavailable
	case "anna":
		return verifier(), Identity{Account: 1, Address: "anna@x"}, nil
	}
	return nil, Identity{}, ErrCredentials
}

// run sends messages (nil: no initial response) and returns the challenges.
func run(t *testing.T, o *Options, mech string, msgs ...[]byte) (challenges []string, id Identity, err error) {
	t.Helper()
	x, err := o.Start(mech)
	if err != nil {
		return nil, Identity{}, err
	}
	for i, m := range msgs {
		c, done, err := x.Next(t.Context(), m)
		if err != nil || done {
			if i != len(msgs)-1 {
				t.Errorf("%s is over after %d messages: %v", mech, i+1, err)
			}
			if _, _, again := x.Next(t.Context(), nil); !errors.Is(again, ErrMalformed) {
				t.Errorf("%s goes on after its end: %v", mech, again)
			}
			id, ok := x.Identity()
			if ok != (err == nil) || !ok && id != (Identity{}) {
				t.Errorf("%s: identity %v %v after %v", mech, id, ok, err)
			}
			return challenges, id, err
		}
		challenges = append(challenges, string(c))
	}
	return challenges, Identity{}, errors.New("not over")
}

func TestPasswords(t *testing.T) {
	o := &Options{Auth: users{}}
	b := func(s string) []byte { return []byte(s) }
	long := strings.Repeat("x", maxName+1)
	for _, c := range []struct {
		mech string
		msgs [][]byte
		want error
	}{
		{"PLAIN", [][]byte{b("\x00anna\x00pencil")}, nil},
		{"plain", [][]byte{nil, b("\x00anna\x00pencil")}, nil},
		{"PLAIN", [][]byte{b("anna\x00anna\x00pencil")}, nil},
		{"PLAIN", [][]byte{b("bo\x00anna\x00pencil")}, ErrCredentials},
		{"PLAIN", [][]byte{b("\x00anna\x00pen")}, ErrCredentials},
		{"PLAIN", [][]byte{b("\x00bo\x00pencil")}, ErrCredentials},
		{"PLAIN", [][]byte{b("\x00" + long + "\x00pencil")}, ErrCredentials},
		{"PLAIN", [][]byte{b("\x00anna\x00" + long)}, ErrCredentials},
		{"PLAIN", [][]byte{b("\x00\xff\x00pencil")}, ErrCredentials},
		{"PLAIN", [][]byte{b("\x00down\x00x")}, cluster.ErrUnavailable},
		{"PLAIN", [][]byte{b("\x00suspended\x00x")}, mailstore.ErrSuspended},
		{"PLAIN", [][]byte{b("anna\x00pencil")}, ErrMalformed},
		{"PLAIN", [][]byte{b("\x00\x00pencil")}, ErrMalformed},
		{"PLAIN", [][]byte{b("\x00anna\x00")}, ErrMalformed},
		{"PLAIN", [][]byte{b("\x00anna\x00pencil\x00")}, ErrMalformed},
		{"PLAIN", [][]byte{b("")}, ErrMalformed},
		{"PLAIN", [][]byte{b(strings.Repeat("x", MaxMessage+1))}, ErrMalformed},
		{"LOGIN", [][]byte{nil, b("anna"), b("pencil")}, nil},
		{"LOGIN", [][]byte{b("anna"), b("pencil")}, nil},
		{"LOGIN", [][]byte{nil, b("anna"), b("wrong")}, ErrCredentials},
		{"LOGIN", [][]byte{nil, b("")}, ErrMalformed},
		{"LOGIN", [][]byte{nil, b("anna"), b("")}, ErrMalformed},
		{"LOGIN", [][]byte{nil, b("anna"), b("pencil\x00")}, ErrMalformed},
		{"LOGIN", [][]byte{nil, b("anna"), nil}, ErrMalformed},
	} {
		_, id, err := run(t, o, c.mech, c.msgs...)
		if !errors.Is(err, c.want) || c.want == nil && (id != Identity{Account: 1, Address: "anna@x", Version: 7}) {
			t.Errorf("%s %.40q: %+v %v, want %v", c.mech, c.msgs, id, err, c.want)
		}
	}
	if _, err := o.Start("CRAM-MD5"); !errors.Is(err, ErrMechanism) {
		t.Errorf("unknown mechanism: %v", err)
	}
	if _, err := o.Start(ScramPlus); !errors.Is(err, ErrMechanism) {
		t.Errorf("PLUS without a binding: %v", err)
	}
}

func TestLoginPrompts(t *testing.T) {
	ch, _, err := run(t, &Options{Auth: users{}}, "LOGIN", nil, []byte("anna"), []byte("pencil"))
	if err != nil || !slices.Equal(ch, []string{"Username:", "Password:"}) {
		t.Errorf("%q %v", ch, err)
	}
}

// scram is a client of RFC 5802, in as few words as it takes.
func scram(t *testing.T, o *Options, mech, gs2, user, password string, binding []byte) (Identity, error) {
	t.Helper()
	x, err := o.Start(mech)
	if err != nil {
		return Identity{}, err
	}
	if c, _, err := x.Next(t.Context(), nil); err != nil || c == nil || len(c) != 0 {
		t.Fatalf("no initial response: %q %v", c, err)
	}
	bare := "n=" + user + ",r=clientnonce"
	first, done, err := x.Next(t.Context(), []byte(gs2+bare))
	if err != nil || done {
		return Identity{}, err
	}
	f := map[string]string{}
	for _, p := range strings.Split(string(first), ",") {
		k, v, _ := strings.Cut(p, "=")
		f[k] = v
	}
	salt, err := base64.StdEncoding.DecodeString(f["s"])
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(f["i"])
	if err != nil {
		t.Fatal(err)
	}
	salted, err := pbkdf2.Key(sha256.New, password, salt, n, 32)
	if err != nil {
		t.Fatal(err)
	}
	mac := func(key []byte, s string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(s))
		return h.Sum(nil)
	}
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(gs2), binding...)) + ",r=" + f["r"]
	all := bare + "," + string(first) + "," + without
	for i, s := range mac(stored[:], all) {
		key[i] ^= s
	}
	final, done, err := x.Next(t.Context(), []byte(without+",p="+base64.StdEncoding.EncodeToString(key)))
	if err != nil {
		return Identity{}, err
	}
	if want := "v=" + base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), all)); done || string(final) != want {
		t.Errorf("server says %q, want %q", final, want)
	}
	if _, ok := x.Identity(); ok {
		t.Error("there is an identity before the client took the server's proof")
	}
	if _, done, err = x.Next(t.Context(), []byte{}); !done || err != nil {
		t.Errorf("end: %v %v", done, err)
	}
	id, _ := x.Identity()
	return id, nil
}

func TestScram(t *testing.T) {
	bound := func(name string) ([]byte, bool) { return []byte("exported"), name == "tls-exporter" }
	clear, tls := &Options{Auth: users{}}, &Options{Auth: users{}, Binding: bound}
	for _, c := range []struct {
		o                         *Options
		mech, gs2, user, password string
		binding                   string
		want                      error
	}{
		{clear, ScramSHA256, "n,,", "anna", "pencil", "", nil},
		{clear, ScramSHA256, "y,,", "anna", "pencil", "", nil},
		{clear, ScramSHA256, "n,a=anna,", "anna", "pencil", "", nil},
		{clear, ScramSHA256, "n,a=bo,", "anna", "pencil", "", ErrCredentials},
		{clear, ScramSHA256, "n,,", "anna", "wrong", "", ErrCredentials},
		{clear, ScramSHA256, "n,,", "nobody", "pencil", "", ErrCredentials},
		{clear, ScramSHA256, "n,,", "down", "pencil", "", cluster.ErrUnavailable},
		{clear, ScramSHA256, "x,,", "anna", "pencil", "", ErrMalformed},
		{clear, ScramPlus, "p=tls-exporter,,", "anna", "pencil", "exported", ErrMechanism},
		{tls, ScramPlus, "p=tls-exporter,,", "anna", "pencil", "exported", nil},
		{tls, ScramPlus, "p=tls-exporter,,", "anna", "pencil", "another", ErrCredentials},
		{tls, ScramPlus, "p=tls-unique,,", "anna", "pencil", "exported", ErrCredentials},
		{tls, ScramSHA256, "n,,", "anna", "pencil", "", nil},
		{tls, ScramSHA256, "y,,", "anna", "pencil", "", ErrCredentials}, // the offer was removed on the way
	} {
		id, err := scram(t, c.o, c.mech, c.gs2, c.user, c.password, []byte(c.binding))
		if !errors.Is(err, c.want) || c.want == nil && id.Account != 1 {
			t.Errorf("%s %s %s %s: %v %v, want %v", c.mech, c.gs2, c.user, c.password, id, err, c.want)
		}
	}
	if got := strings.Join(tls.Mechanisms(), " "); got != "SCRAM-SHA-256-PLUS SCRAM-SHA-256 PLAIN LOGIN" {
		t.Errorf("mechanisms %s", got)
	}
	if got := strings.Join(clear.Mechanisms(), " "); got != "SCRAM-SHA-256 PLAIN LOGIN" {
		t.Errorf("mechanisms %s", got)
	}
}

func FuzzExchange(f *testing.F) {
	f.Add("PLAIN", []byte("\x00anna\x00pencil"), []byte(""))
	f.Add("LOGIN", []byte("anna"), []byte("wrong"))
	f.Add("SCRAM-SHA-256", []byte("n,,n=bo,r=x"), []byte("c=biws,r=x,p=AAAA"))
	f.Fuzz(func(t *testing.T, mech string, a, b []byte) {
		x, err := (&Options{Auth: users{}}).Start(mech)
		if err != nil {
			return
		}
		for _, m := range [][]byte{a, b, {}} {
			_, done, err := x.Next(t.Context(), m)
			if err != nil {
				break
			}
			if done && !strings.Contains(string(a)+string(b), "pencil") {
				t.Fatal("let in without the password")
			}
		}
	})
}
