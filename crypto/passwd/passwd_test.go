package passwd

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// fastVerifier has the fewest rounds allowed, for tests of anything else.
func fastVerifier(t testing.TB, pw string) *Verifier {
	t.Helper()
	v, err := newVerifier([]byte(pw), []byte("0123456789abcdef"), minIterations)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVerifier(t *testing.T) {
	v, err := NewVerifier([]byte("correct horse"))
	if err != nil {
		t.Fatal(err)
	}
	if v.iterations != Iterations {
		t.Fatalf("%d iterations", v.iterations)
	}
	w, err := Parse(v.Encode())
	if err != nil {
		t.Fatal(err)
	}
	if !w.Check([]byte("correct horse")) || w.Check([]byte("correct horsf")) {
		t.Fatal("Check")
	}
	if strings.Contains(v.Encode(), "horse") {
		t.Fatal("password in the record")
	}
}

// TestGoldenRecord: records are kept for years.
func TestGoldenRecord(t *testing.T) {
	const golden = "SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$nQpbZ77WudtqufPwikHXGRt6g2QJ4zns8bZLw273DRM=:jn2amWP1q1h+jgjy0YTO14S6/F02SV7taipOeB7ef20="
	if got := fastVerifier(t, "pencil").Encode(); got != golden {
		t.Fatalf("record is %s", got)
	}
	v, err := Parse(golden)
	if err != nil || !v.Check([]byte("pencil")) {
		t.Fatalf("%v: kept record does not open", err)
	}
}

// TestFakeCheckCosts what a check costs, within a wide margin.
func TestFakeCheckCosts(t *testing.T) {
	v, fast := fastVerifier(t, "x"), time.Hour
	for range 10 {
		start := time.Now()
		v.Check([]byte("x"))
		fast = min(fast, time.Since(start))
	}
	start := time.Now()
	FakeCheck([]byte("x"))
	if took := time.Since(start); took < 5*fast {
		t.Fatalf("%v for %d rounds, %v for %d", took, Iterations, fast, minIterations)
	}
}

func TestPreparation(t *testing.T) {
	for _, c := range []struct {
		made, typed string
		same        bool
	}{
		{"caf\u00e9", "cafe\u0301", true}, // composed and not
		{"a\u00a0b", "a b", true},         // any space is a space
		{"Password", "password", false},   // case counts
		{" lead", "lead", false},          // spaces count
		{"\uff41\uff42", "ab", false},     // RFC 8265 keeps the width
		{"p\u00e4ss\u00a0w\u00f6rd", "p\u00e4ss w\u00f6rd", true},
	} {
		if got := fastVerifier(t, c.made).Check([]byte(c.typed)); got != c.same {
			t.Errorf("%q against %q: %v", c.typed, c.made, got)
		}
	}
	v := fastVerifier(t, "x")
	for _, pw := range []string{"", "tab\tin", "\x00", "line\r\n", "\xff\xfe", strings.Repeat("a", MaxPassword+1)} {
		if _, err := NewVerifier([]byte(pw)); !errors.Is(err, ErrPassword) {
			t.Errorf("%q: %v", pw, err)
		}
		if _, err := NewArgon2id([]byte(pw)); !errors.Is(err, ErrPassword) {
			t.Errorf("%q: %v", pw, err)
		}
		if v.Check([]byte(pw)) {
			t.Errorf("%q is right", pw)
		}
	}
}

func TestClientKeyIsScrams(t *testing.T) {
	v := fastVerifier(t, "pw")
	key, ok := v.ClientKey([]byte("pw"))
	if !ok {
		t.Fatal("wrong password")
	}
	s, c := exchange(t, v, ScramConfig{}, "pw", "n,,")
	if c.err != nil || s.ClientKey() != key {
		t.Fatalf("%v: PLAIN and SCRAM give different keys", c.err)
	}
	if key, ok := v.ClientKey([]byte("no")); ok || key != [32]byte{} {
		t.Fatal("key for a wrong password")
	}
}

func TestArgon2id(t *testing.T) {
	// A vector of the reference implementation: "password", "somesalt".
	a, err := ParseArgon2id("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	if err != nil {
		t.Fatal(err)
	}
	if !a.Check([]byte("password")) || a.Check([]byte("differentpassword")) {
		t.Fatal("Check against the vector")
	}
	b, err := NewArgon2id([]byte("caf\u00e9"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := ParseChecker(b.Encode())
	if err != nil || !c.Check([]byte("cafe\u0301")) || c.Encode() != b.Encode() {
		t.Fatalf("%v", err)
	}
	// Hashed elsewhere as it was typed.
	raw := &Argon2id{time: 1, memory: 64, threads: 1, salt: b.salt, hash: make([]byte, 16)}
	raw.hash = hashAs(raw, "cafe\u0301")
	if !raw.Check([]byte("cafe\u0301")) {
		t.Fatal("password as typed is wrong")
	}
}

func TestParseRefuses(t *testing.T) {
	good := fastVerifier(t, "x").Encode()
	if _, err := ParseChecker(good); err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{
		"", "x", good + "x", good[1:], good[:len(good)-1], strings.Replace(good, "$4096:", "$4095:", 1),
		strings.Replace(good, "$4096:", "$99999999:", 1), strings.Replace(good, "$4096:", "$+4096:", 1),
		strings.Replace(good, "$4096:", "$04096:", 1), good[:30] + "\n" + good[30:], good + strings.Repeat(" ", 600),
		"SCRAM-SHA-256$4096:AAAA$AAAA:AAAA", "SCRAM-SHA-1" + good[13:],
		"$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXP",
		"$argon2id$v=18$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=4000000,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2000,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=0$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2id$v=19$m=65536,t=2,p=1x$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
		"$argon2i$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc",
	} {
		if _, err := ParseChecker(s); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("SCRAM-SHA-256$4096:MDEyMzQ1Njc4OWFiY2RlZg==$AAAA:AAAA")
	f.Add("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ$CTFhFdXPJO1aFaMaO6Mm5c8y7cJHAph8ArZWb2GRPPc")
	f.Fuzz(func(t *testing.T, s string) {
		c, err := ParseChecker(s)
		if err != nil && !errors.Is(err, ErrFormat) || err == nil && c.Encode() != s {
			t.Fatalf("%v", err)
		}
	})
}

func TestCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, err := NewCache(2, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		pw := []byte("secret")
		if c.Has(1, 1, pw) {
			t.Fatal("empty cache has it")
		}
		c.Add(1, 1, pw)
		for _, q := range []struct {
			account, version uint64
			pw               string
			want             bool
		}{{1, 1, "secret", true}, {2, 1, "secret", false}, {1, 2, "secret", false}, {1, 1, "secres", false}, {1, 1, "", false}} {
			if got := c.Has(q.account, q.version, []byte(q.pw)); got != q.want {
				t.Errorf("%+v: %v", q, got)
			}
		}
		time.Sleep(59 * time.Second)
		if !c.Has(1, 1, pw) {
			t.Fatal("gone before its time")
		}
		time.Sleep(time.Second)
		if c.Has(1, 1, pw) {
			t.Fatal("use must not lengthen its life")
		}
		// The one used longest ago makes room.
		c.Add(1, 1, pw)
		c.Add(2, 1, pw)
		c.Has(1, 1, pw)
		c.Add(3, 1, pw)
		if !c.Has(1, 1, pw) || c.Has(2, 1, pw) || !c.Has(3, 1, pw) {
			t.Fatal("another one was dropped")
		}
		if n := c.Stats().Entries; n != 2 {
			t.Fatalf("%d entries", n)
		}
		long := bytes.Repeat([]byte("a"), MaxPassword+1)
		c.Add(9, 9, long)
		if c.Has(9, 9, long) {
			t.Fatal("over-long password remembered")
		}
		if _, err := NewCache(0, 0); err == nil {
			t.Fatal("cache of nothing")
		}
	})
}

func BenchmarkNewVerifier(b *testing.B) {
	for b.Loop() {
		if _, err := NewVerifier([]byte("correct horse")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkArgon2id(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := NewArgon2id([]byte("correct horse")); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCacheHas(b *testing.B) {
	c, err := NewCache(10, time.Hour)
	if err != nil {
		b.Fatal(err)
	}
	c.Add(1, 1, []byte("correct horse"))
	b.ReportAllocs()
	for b.Loop() {
		if !c.Has(1, 1, []byte("correct horse")) {
			b.Fatal("miss")
		}
	}
}

// TestCyrusSASL: more rounds than Cyrus SASL computes would lock its users out.
func TestCyrusSASL(t *testing.T) {
	const most = 1 << 16
	if Iterations > most {
		t.Errorf("%d rounds: Cyrus SASL refuses more than %d", Iterations, most)
	}
}
