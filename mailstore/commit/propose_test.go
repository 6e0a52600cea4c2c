package commit

import (
	"encoding/hex"
	"errors"
	"math"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/command/commandpb"
)

// Derived ids are in handoffs that outlive this build: they are pinned.
func TestDerivedOpsStay(t *testing.T) {
	var op cluster.OpID
	for i := range op {
		op[i] = byte(i)
	}
	for _, tc := range []struct {
		what byte
		a, b uint32
		want string
	}{
		{opDeliver, 1, 0, "0a5003e4124e31d0d638c660ada0b001"}, {opDeliver, 2, 0, "513f377485203498e21dce1e3c5f9c74"}, {opDeliver, 1, 1, "a491bdf847dd47cf4be7b67746051d72"}, {opHandoff, 1, 0, "bce0ca2d6ce400ea848a3495e30761d9"}, {opClose, 1, 0, "5669d224b2b2208f546c7dd218977a75"},
	} {
		got := derive(op, tc.what, tc.a, tc.b)
		if s := hex.EncodeToString(got[:]); s != tc.want {
			t.Errorf("%d %d %d: %s, want %s", tc.what, tc.a, tc.b, s, tc.want)
		}
	}
}

func TestCodesHaveErrors(t *testing.T) {
	for n := range commandpb.Code_name {
		err := codeError(commandpb.Code(n))
		if (err == nil) != (n == 0) {
			t.Errorf("code %d: %v", n, err)
		}
	}
	if !errors.Is(codeError(99), command.ErrInvalid) || !errors.Is(codeError(commandpb.Code_GONE), mailstore.ErrNoAccount) {
		t.Error("codes are mixed up")
	}
}

func TestInternalDate(t *testing.T) {
	now := time.Unix(1790000000, 5)
	d := &Door{cfg: Config{Now: func() time.Time { return now }}}
	for _, tc := range []struct {
		in      time.Time
		seconds int64
		zone    int32
	}{
		{time.Time{}, now.Unix(), 0},
		{time.Unix(100, 999).In(time.FixedZone("", -5400)), 100, -90},
		{time.Unix(math.MaxInt32*1000, 0).UTC(), maxDate, 0},
		{time.Unix(minDate-1, 0).UTC(), minDate, 0},
		{time.Unix(100, 0).In(time.FixedZone("", 50*3600)), 100, maxZone},
		{time.Unix(100, 0).In(time.FixedZone("", -50*3600)), 100, -maxZone},
	} {
		if s, z := d.internalDate(tc.in); s != tc.seconds || z != tc.zone {
			t.Errorf("%v: %d %d", tc.in, s, z)
		}
	}
}

func TestContentIDsAscend(t *testing.T) {
	ms := int64(1790000000000)
	d := &Door{cfg: Config{Now: func() time.Time { ms++; return time.UnixMilli(ms) }}}
	last := d.contentID()
	for range 100 {
		id := d.contentID()
		if string(id[:6]) <= string(last[:6]) {
			t.Fatalf("%x after %x", id, last)
		}
		last = id
	}
}
