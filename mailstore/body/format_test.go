package body

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"flag"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"altmail.se/altmail/cluster"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goldenSegment is a segment of three records in two batches.
func goldenSegment() ([]byte, []indexEntry) {
	const salt = 0x1122334455667788
	b := appendSegHeader(nil, segHeader{group: 7, seq: 3, salt: salt, created: 1700000000})
	var entries []indexEntry
	for i, body := range []string{"first body", "", "a third one"} {
		id := cluster.BodyID(sha256.Sum256([]byte(body)))
		h := recHeader{size: uint32(len(body)), crc: crc32.Checksum([]byte(body), castagnoli), id: id}
		if i != 1 {
			h.flags = flagBatch
		}
		entries = append(entries, indexEntry{id, uint32(len(b)), h.size})
		b = append(appendRecHeader(b, h, salt, uint32(len(b))), body...)
	}
	return b, entries
}

// goldenRedo is the journal's copy of the segment's last record.
func goldenRedo() []byte {
	b, entries := goldenSegment()
	at := entries[2].off
	return append(appendRedoHead(nil, 3, 0x1122334455667788, at), b[at:]...)
}

func goldenIndex() *segIndex {
	b, entries := goldenSegment()
	return &segIndex{
		group: 7, seq: 3, salt: 0x1122334455667788, created: 1700000000, sealed: 1700003600,
		valid: uint64(len(b)), entries: entries,
	}
}

var goldenNotes = []note{{seq: 3, since: 1700000000}, {seq: 3, off: 94}, {seq: 9, since: 1700000001}}

func goldenIDs() (a, b cluster.BodyID) {
	return sha256.Sum256([]byte("first body")), sha256.Sum256(nil)
}

func golden() map[string][]byte {
	a, b := goldenIDs()
	seg, _ := goldenSegment()
	items := []pushItem{{a, []byte("first body")}, {b, nil}}
	resp := appendReport(nil, report{room: true, free: 1 << 33})
	table := len(resp)
	resp = append(resp, make([]byte, 3*fetchStateLen)...)
	for i, f := range []fetchState{
		{state: stDurable, size: 10, data: []byte("first")},
		{state: stGone, at: 99},
		{state: stLater, size: 1 << 20},
	} {
		putFetchState(resp[table+i*fetchStateLen:], &f)
	}
	return map[string][]byte{
		"segment":        seg,
		"index":          goldenIndex().append(nil),
		"notes":          appendNotes(nil, goldenNotes),
		"push":           append(appendPushHead(nil, 7, items), "first body"...),
		"push-response":  append(appendReport(nil, report{free: 77}), stDurable, stBadHash),
		"fetch":          appendFetch(nil, 7, 1234, []fetchItem{{a, 4096, maxRange}, {b, 0, 10}}),
		"fetch-response": append(resp, "first"...),
		"have":           appendHave(nil, 7, []cluster.BodyID{a, b}),
		"redo":           goldenRedo(),
	}
}

// TestGolden compares every format with the bytes in testdata, which never
// change.
func TestGolden(t *testing.T) {
	for name, b := range golden() {
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.Dump(b)), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.Dump(b); got != string(want) {
			t.Errorf("%s differs: got\n%s", name, got)
		}
	}
}

func TestParsersReadGolden(t *testing.T) {
	g := golden()
	a, b := goldenIDs()
	seg, entries := goldenSegment()
	sc, err := scanSegment(bytes.NewReader(seg), 7, 3)
	if err != nil || !reflect.DeepEqual(append(sc.index.entries, sc.last...), entries) || len(sc.last) != 1 {
		t.Errorf("segment: %+v %v", sc, err)
	}
	if x, err := parseSegIndex(g["index"]); err != nil || !reflect.DeepEqual(x, goldenIndex()) {
		t.Errorf("index: %+v %v", x, err)
	}
	if n, err := parseNotes(g["notes"]); err != nil || !reflect.DeepEqual(n, goldenNotes) {
		t.Errorf("notes: %+v %v", n, err)
	}
	gid, items, err := parsePush(g["push"])
	if err != nil || gid != 7 || len(items) != 2 || items[0].id != a || string(items[0].data) != "first body" || items[1].id != b || len(items[1].data) != 0 {
		t.Errorf("push: %v %v %v", gid, items, err)
	}
	if r, st, err := parseStates(g["push-response"], 2); err != nil || r.room || r.free != 77 || !bytes.Equal(st, []byte{stDurable, stBadHash}) {
		t.Errorf("push-response: %v %v %v", r, st, err)
	}
	if r, err := parseRedo(g["redo"]); err != nil || r.seq != 3 || r.off != entries[2].off || !bytes.Equal(r.records, seg[r.off:]) {
		t.Errorf("redo: %+v %v", r, err)
	}
	gid, index, fetch, err := parseFetch(g["fetch"])
	if err != nil || gid != 7 || index != 1234 || !reflect.DeepEqual(fetch, []fetchItem{{a, 4096, maxRange}, {b, 0, 10}}) {
		t.Errorf("fetch: %v %v %v %v", gid, index, fetch, err)
	}
	r, states, err := parseFetched(g["fetch-response"], 3)
	if err != nil || !r.room || r.free != 1<<33 || string(states[0].data) != "first" || states[1].at != 99 || states[2].state != stLater {
		t.Errorf("fetch-response: %v %v %v", r, states, err)
	}
	if gid, ids, err := parseHave(g["have"]); err != nil || gid != 7 || !reflect.DeepEqual(ids, []cluster.BodyID{a, b}) {
		t.Errorf("have: %v %v %v", gid, ids, err)
	}
}

// parsers run one parser each; an error that is not errFormat is a bug.
var parsers = map[string]func(b []byte) error{
	"segment": func(b []byte) error {
		sc, err := scanSegment(bytes.NewReader(b), 7, 3)
		if err != nil {
			return err
		}
		for _, e := range append(sc.index.entries, sc.last...) {
			if data := b[e.off+recHeaderLen:][:e.size]; e.off < segHeaderLen || len(data) > len(b) {
				panic("a record outside of its segment")
			}
		}
		if sc.index.valid > uint64(len(b)) {
			panic("valid beyond the end")
		}
		return nil
	},
	"index":          func(b []byte) error { _, err := parseSegIndex(b); return err },
	"notes":          func(b []byte) error { _, err := parseNotes(b); return err },
	"push":           func(b []byte) error { _, _, err := parsePush(b); return err },
	"push-response":  func(b []byte) error { _, _, err := parseStates(b, 2); return err },
	"fetch":          func(b []byte) error { _, _, _, err := parseFetch(b); return err },
	"fetch-response": func(b []byte) error { _, _, err := parseFetched(b, 3); return err },
	"have":           func(b []byte) error { _, _, err := parseHave(b); return err },
	"redo":           func(b []byte) error { _, err := parseRedo(b); return err },
}

// TestParsersRefuse cuts and lengthens every golden file, and damages every
// byte of those that carry a checksum.
func TestParsersRefuse(t *testing.T) {
	for name, b := range golden() {
		parse := parsers[name]
		if err := parse(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range b {
			if err := parse(b[:n:n]); !errors.Is(err, errFormat) && (name != "segment" || n < segHeaderLen) {
				t.Errorf("%s cut at %d: %v", name, n, err)
			}
			if name != "index" && name != "notes" && (name != "redo" || n < redoHeaderLen) {
				continue
			}
			c := bytes.Clone(b)
			c[n] ^= 1 << (n % 8)
			if err := parse(c); !errors.Is(err, errFormat) {
				t.Errorf("%s damaged at %d: %v", name, n, err)
			}
		}
		if err := parse(append(bytes.Clone(b), 0)); !errors.Is(err, errFormat) && name != "segment" {
			t.Errorf("%s with a byte more: %v", name, err)
		}
	}
}

func TestFileNames(t *testing.T) {
	for _, name := range []string{"1.seg", "00000001.se", "0000000g.seg", "+0000001.seg", "000000001.seg", "0000000A.seg", "00000001.seg.tmp", ""} {
		if seq, ok := parseFileName(name, segSuffix); ok {
			t.Errorf("%q was read as %d", name, seq)
		}
	}
	for _, seq := range []uint32{1, 0xabcdef, 1<<32 - 1} {
		if got, ok := parseFileName(fileName(seq, segSuffix), segSuffix); !ok || got != seq {
			t.Errorf("%d came back as %d", seq, got)
		}
	}
}

func fuzzParser(f *testing.F, name string) {
	for seed, b := range golden() {
		if strings.HasPrefix(seed, name) {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := parsers[name](b); err != nil && !errors.Is(err, errFormat) {
			t.Errorf("%s: %v", name, err)
		}
	})
}

func FuzzSegment(f *testing.F)       { fuzzParser(f, "segment") }
func FuzzPush(f *testing.F)          { fuzzParser(f, "push") }
func FuzzFetch(f *testing.F)         { fuzzParser(f, "fetch") }
func FuzzFetchResponse(f *testing.F) { fuzzParser(f, "fetch-response") }
func FuzzRedo(f *testing.F)          { fuzzParser(f, "redo") }
func FuzzHave(f *testing.F)          { fuzzParser(f, "have") }

// FuzzIndex and FuzzNotes mend the checksum, or nothing behind it is reached.
func FuzzIndex(f *testing.F) { fuzzSummed(f, "index") }
func FuzzNotes(f *testing.F) { fuzzSummed(f, "notes") }

func fuzzSummed(f *testing.F, name string) {
	f.Add(golden()[name])
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) >= 4 {
			n := len(b) - 4
			sum := crc32.Checksum(b[:n], castagnoli)
			b = append(bytes.Clone(b[:n]), byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24))
		}
		if err := parsers[name](b); err != nil && !errors.Is(err, errFormat) {
			t.Errorf("%s: %v", name, err)
		}
	})
}

// FuzzTail damages a segment anywhere and expects the records that are still
// whole to be found, and no others.
func FuzzTail(f *testing.F) {
	f.Add(uint16(60), uint8(1), []byte("AMRC"))
	f.Fuzz(func(t *testing.T, at uint16, mask uint8, tail []byte) {
		b, entries := goldenSegment()
		i := segHeaderLen + int(at)%(len(b)-segHeaderLen)
		b[i] ^= mask
		hit := func(e indexEntry) bool {
			return mask != 0 && i >= int(e.off) && i < int(e.off)+recHeaderLen+int(e.size)
		}
		sc, err := scanSegment(bytes.NewReader(append(b, tail...)), 7, 3)
		if err != nil {
			t.Fatal(err)
		}
		var want []indexEntry
		for _, e := range entries {
			if !hit(e) {
				want = append(want, e)
			}
		}
		if got := append(sc.index.entries, sc.last...); len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
			t.Errorf("damage at %d: got %v, want %v", i, got, want)
		}
	})
}
