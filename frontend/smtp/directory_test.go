package smtp

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
)

type fakeDoor struct{}

func (fakeDoor) Route(_ context.Context, local, domain string) (lookup.Target, error) {
	t, ok := map[string]lookup.Target{
		"anna":     {Account: 1, Group: 2, Status: lookup.Active},
		"an+alias": {Account: 3, Group: 2, Status: lookup.Active},
		"susp":     {Account: 4, Status: lookup.Suspended},
		"open":     {Account: 5, Status: lookup.Opening},
		"closing":  {Account: 6, Status: lookup.Closing},
		"closed":   {Account: 7, Status: lookup.Closed},
		"full":     {Account: 8, Status: lookup.Active},
		"many":     {Account: 9, Status: lookup.Active},
		"broken":   {Account: 10, Status: lookup.Active},
	}[local]
	switch {
	case domain == "down":
		return t, cluster.ErrUnavailable
	case !ok || domain != "here":
		return t, mailstore.ErrNoAddress
	}
	return t, nil
}

func (fakeDoor) Owns(_ context.Context, a mailstore.AccountID, _ string) (bool, error) {
	return a == 1, nil
}

func (fakeDoor) Quota(_ context.Context, a mailstore.AccountID) (lookup.Quota, error) {
	switch a {
	case 8:
		return lookup.Quota{UsedBytes: 900, LimitBytes: 1000}, nil
	case 9:
		return lookup.Quota{UsedMessages: 5, LimitMessages: 5}, nil
	case 10:
		return lookup.Quota{}, mailstore.ErrDamaged
	}
	return lookup.Quota{UsedBytes: 1 << 40, UsedMessages: 1 << 20}, nil
}

func TestDirectory(t *testing.T) {
	d := &doorDirectory{door: fakeDoor{}, served: func(_ context.Context, domain string) (bool, error) {
		if domain == "odd" {
			return false, errors.New("odd")
		}
		return domain == "here", nil
	}}
	for _, c := range []struct {
		local, domain string
		size          int64
		account       mailstore.AccountID
		err           error
	}{
		{"anna", "here", 0, 1, nil},
		{"anna+tag", "here", 1 << 30, 1, nil},
		{"anna+", "here", 0, 1, nil},
		{"an+alias", "here", 0, 3, nil}, // an address with a plus of its own
		{"+anna", "here", 0, 0, mailstore.ErrNoAddress},
		{"nobody+tag", "here", 0, 0, mailstore.ErrNoAddress},
		{"anna", "far", 0, 0, ErrNotLocal},
		{"anna", "odd", 0, 0, mailstore.ErrNoAddress},
		{"anna", "down", 0, 0, cluster.ErrUnavailable},
		{"susp", "here", 0, 4, nil},
		{"open", "here", 0, 0, cluster.ErrUnavailable},
		{"closing", "here", 0, 0, mailstore.ErrNoAddress},
		{"closed", "here", 0, 0, mailstore.ErrNoAddress},
		{"full", "here", 100, 8, nil},
		{"full", "here", 101, 0, mailstore.ErrOverQuota},
		{"full", "here", 1001, 0, mailstore.ErrTooBig},
		{"full", "here", 0, 8, nil},
		{"many", "here", 0, 0, mailstore.ErrOverQuota},
		{"broken", "here", 0, 0, mailstore.ErrDamaged},
	} {
		r, err := d.Route(t.Context(), c.local, c.domain, c.size)
		if r.Account != c.account || !errors.Is(err, c.err) {
			t.Errorf("%s@%s, %d: %v %v", c.local, c.domain, c.size, r, err)
		}
	}
	if ok, err := d.Owns(t.Context(), 1, "x"); !ok || err != nil {
		t.Error(ok, err)
	}
}

// quotas counts how often each account's quota is read.
type quotas struct {
	fakeDoor
	q     lookup.Quota
	reads int
}

func (d *quotas) Quota(context.Context, mailstore.AccountID) (lookup.Quota, error) {
	d.reads++
	return d.q, nil
}

// TestAmpleRoom: who is far from a quota is looked at once a second, who could
// come near it always.
func TestAmpleRoom(t *testing.T) {
	for _, c := range []struct {
		name  string
		q     lookup.Quota
		size  int64
		reads int
	}{
		{"no quota", lookup.Quota{UsedBytes: 1 << 40}, 0, 1},
		{"much left", lookup.Quota{LimitBytes: 2 * ampleBytes, UsedBytes: ampleBytes, LimitMessages: 2 * ampleMessages, UsedMessages: ampleMessages}, 0, 1},
		{"octets run out", lookup.Quota{LimitBytes: 2 * ampleBytes, UsedBytes: ampleBytes + 1}, 0, 3},
		{"messages run out", lookup.Quota{LimitMessages: ampleMessages}, 0, 1},
		{"few messages left", lookup.Quota{LimitMessages: ampleMessages - 1}, 0, 3},
		{"a size beyond what was looked for", lookup.Quota{}, ampleBytes + 1, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			door := &quotas{q: c.q}
			d := &doorDirectory{door: door}
			route := func() {
				if _, err := d.Route(t.Context(), "anna", "here", c.size); err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
			}
			for range 3 {
				route()
			}
			if door.reads != c.reads {
				t.Errorf("%s: quota read %d times, want %d", c.name, door.reads, c.reads)
			}
			time.Sleep(ampleFor)
			door.q = lookup.Quota{LimitBytes: 10, UsedBytes: 10}
			if _, err := d.Route(t.Context(), "anna", "here", 1); !errors.Is(err, mailstore.ErrOverQuota) {
				t.Errorf("%s: a second later, full: %v", c.name, err)
			}
		})
	}
	var r roomy
	for i := range 2 * maxRoomy {
		r.note(mailstore.AccountID(i), time.Time{})
	}
	if len(r.until) > maxRoomy {
		t.Errorf("%d accounts remembered", len(r.until))
	}
}

func TestPaths(t *testing.T) {
	for in, want := range map[string]string{
		"a@b": "a@b", "a.b@c": "a.b@c", "a b@c": `"a b"@c`, `a"\b@c`: `"a\"\\b"@c`, ".a@c": `".a"@c`, "a..b@c": `"a..b"@c`, "a.@c": `"a."@c`,
		"a@b@c": `"a@b"@c`, "ø@c": "ø@c",
		"a@": "", "@b": "", "a": "", "a@b c": "", "a@b>c": "", "a\x00@b": "", "a\r\n@b": "", "\xff@b": "", "a@b\u0085": "",
	} {
		got := ""
		if local, domain, ok := cleanPath(in, true); ok {
			got = quotePath(local, domain)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if _, _, ok := cleanPath("ø@c", false); ok {
		t.Error("UTF-8 without SMTPUTF8")
	}
}
