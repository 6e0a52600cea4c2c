package lookup

import (
	"encoding/hex"
	"errors"
	"testing"

	"altmail.se/altmail/mailstore"
)

func TestRights(t *testing.T) {
	for _, c := range []struct {
		in   string
		want string
	}{
		{"", ""}, {"l", "l"}, {"al", "la"}, {"llr", "lr"}, {"lrswipkxtea", "lrswipkxteacd"},
		{"c", "kxc"}, {"d", "ted"}, {"k", "kc"}, {"e", "ed"}, {"dt", "ted"}, {"lrswida", "lrswitead"},
	} {
		r, ok := ParseRights(c.in)
		if got := FormatRights(r); !ok || got != c.want {
			t.Errorf("%q: %q, want %q", c.in, got, c.want)
		}
	}
	if r, ok := ParseRights("lrswipkxtea"); !ok || r != mailstore.AllRights {
		t.Error(r)
	}
	for _, bad := range []string{"q", "lR", "l r", "+l", "0", "lr\x00", "é"} {
		if _, ok := ParseRights(bad); ok {
			t.Errorf("%q is taken", bad)
		}
	}
}

// Identifiers are matched by a hash of these octets and rest sealed: frozen.
func TestIdentifier(t *testing.T) {
	if got := hex.EncodeToString(identifier(0x0102030405060708)); got != "010102030405060708" {
		t.Error(got)
	}
	k, other := newKeys(t, 1), newKeys(t, 2)
	s := k.SealIdentifier(77)
	if id, err := k.openIdentifier(s.Hash, s.Sealed); err != nil || id != 77 {
		t.Error(id, err)
	}
	if s.Hash != k.IdentifierHash(77) || s.Hash == k.IdentifierHash(78) || s.Hash == other.IdentifierHash(77) {
		t.Error("hashes")
	}
	if _, err := k.openIdentifier(k.IdentifierHash(78), s.Sealed); !errors.Is(err, mailstore.ErrDamaged) {
		t.Error(err)
	}
}
