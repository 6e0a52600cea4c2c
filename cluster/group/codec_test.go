package group

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

func sampleEntry() cluster.Entry {
	return cluster.Entry{
		Kind: cluster.KindCommand, Time: 1_700_000_000_123, First: 1_700_000_000_000, Op: cluster.OpID{1, 2, 3},
		Bodies: []cluster.BodyRef{{ID: cluster.BodyID{9}, Size: 77}, {ID: cluster.BodyID{8}, Size: 1 << 30}}, Command: []byte("command"),
	}
}

// TestGoldenFormats: what this version writes, later ones read.
func TestGoldenFormats(t *testing.T) {
	const path = "testdata/formats.txt"
	e := sampleEntry()
	check := cluster.Entry{Kind: cluster.KindCheck}
	fwd := appendForwarded([]byte{wireVersion, 0, 1}, &cluster.Proposal{Op: e.Op, First: e.First, Command: e.Command, Bodies: e.Bodies}, 1500*time.Millisecond)
	ans := appendAnswers(nil, 7, []answer{{code: codeDone, index: 12, value: []byte("v")}, {code: codePending}})
	notice := commitNotice{leader: "0102000000000000000000000000000f.3", term: 7, index: 12}
	got := fmt.Sprintf("entry %x\ncheck %x\nforward %x\nanswers %x\nnotice %x\n", appendEntry(nil, &e), appendEntry(nil, &check), fwd, ans, appendNotice(nil, notice))
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || string(b) != got {
		t.Fatalf("%v; the encoding has changed:\n%s", err, got)
	}
	f := strings.Fields(string(b))
	raw, err := hex.DecodeString(f[1])
	if err != nil {
		t.Fatal(err)
	}
	if d, err := decodeEntry(raw); err != nil || !reflect.DeepEqual(d, e) {
		t.Fatalf("%+v, %v", d, err)
	}
	if refs, err := DecodeBodies(raw); err != nil || !reflect.DeepEqual(refs, e.Bodies) {
		t.Fatalf("%+v, %v", refs, err)
	}
	if ops, err := decodeForward(fwd); err != nil || len(ops) != 1 || ops[0].left != 1500*time.Millisecond || !reflect.DeepEqual(ops[0].p.Bodies, e.Bodies) {
		t.Fatalf("%+v, %v", ops, err)
	}
	if n, err := decodeNotice(appendNotice(nil, notice)); err != nil || n != notice {
		t.Fatalf("%+v, %v", n, err)
	}
	if term, as, err := decodeAnswers(ans); err != nil || term != 7 || len(as) != 2 || string(as[0].value) != "v" {
		t.Fatalf("%d %+v, %v", term, as, err)
	}
}

func TestBadEntries(t *testing.T) {
	e := sampleEntry()
	good := appendEntry(nil, &e)
	for name, change := range map[string]func([]byte) []byte{
		"short":           func(b []byte) []byte { return b[:20] },
		"version":         func(b []byte) []byte { b[0] = 2; return b },
		"kind":            func(b []byte) []byte { b[1] = 9; return b },
		"configuration":   func(b []byte) []byte { b[1] = byte(cluster.KindConfig); return b },
		"too many bodies": func(b []byte) []byte { b[34], b[35] = 0xff, 0xff; return b },
		"cut in bodies":   func(b []byte) []byte { return b[:50] },
		"long command":    func(b []byte) []byte { return append(b, make([]byte, MaxCommand)...) },
	} {
		if _, err := decodeEntry(change(bytes.Clone(good))); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

func TestServerNames(t *testing.T) {
	node := cluster.NodeID{0xab, 0xcd}
	if n, inc, err := ParseServer(ServerName(node, 7)); n != node || inc != 7 || err != nil {
		t.Fatalf("%s %d %v", n, inc, err)
	}
	if n, inc, err := ParseServer(node.String()); n != node || inc != 0 || err != nil {
		t.Fatalf("%s %d %v", n, inc, err)
	}
	for _, bad := range []string{"", "x", node.String() + ".", node.String() + ".-1", node.String() + ".99999999999"} {
		if _, _, err := ParseServer(bad); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func FuzzEntry(f *testing.F) {
	e := sampleEntry()
	f.Add(appendEntry(nil, &e))
	f.Add(appendEntry(nil, &cluster.Entry{Kind: cluster.KindEpoch}))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntry(b)
		if err != nil {
			return
		}
		if again := appendEntry(nil, &e); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
		refs, err := DecodeBodies(b)
		if err != nil || !reflect.DeepEqual(refs, e.Bodies) {
			t.Fatalf("bodies %v, %v", refs, err)
		}
	})
}

func FuzzWire(f *testing.F) {
	f.Add(appendForwarded([]byte{wireVersion, 0, 1}, &cluster.Proposal{Command: []byte("c"), Bodies: make([]cluster.BodyRef, 2)}, time.Second))
	f.Add(appendAnswers(nil, 3, []answer{{value: []byte("v")}}))
	f.Add(appendNotice(nil, commitNotice{leader: raft.ServerID(ServerName(cluster.NodeID{1}, 2)), term: 3, index: 4}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if ops, err := decodeForward(b); err == nil {
			again := []byte{wireVersion, b[1], b[2]}
			for _, o := range ops {
				again = appendForwarded(again, &o.p, o.left)
			}
			// Times below a millisecond or beyond the limit are brought within.
			if len(again) != len(b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		if n, err := decodeNotice(b); err == nil {
			if again := appendNotice(nil, n); !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
		if term, as, err := decodeAnswers(b); err == nil {
			if again := appendAnswers(nil, term, as); !bytes.Equal(again, b) {
				t.Fatalf("%x became %x", b, again)
			}
		}
	})
}
