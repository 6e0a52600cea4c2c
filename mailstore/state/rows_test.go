package state

import (
	"encoding/hex"
	"errors"
	"flag"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

var update = flag.Bool("update", false, "rewrite the golden bytes")

type coded interface {
	encode([]byte) []byte
	decode([]byte) error
}

// sampleRows holds a row of each kind, and what makes an empty one.
func sampleRows() map[string]struct {
	row   coded
	fresh func() coded
} {
	type entry = struct {
		row   coded
		fresh func() coded
	}
	h := func(b byte) (h mailstore.Hash) { copy(h[:], slices.Repeat([]byte{b}, 16)); return h }
	cid := func(b byte) mailstore.ContentID { return mailstore.ContentID(h(b)) }
	body := cluster.BodyRef{ID: cluster.BodyID(slices.Repeat([]byte{0xbb}, 32)), Size: 4321}
	box := &MailboxRow{NameRow: NameRow{Hash: h(1), Sealed: []byte("sealed")}, full: 44}
	box.UIDValidity, box.UIDNext, box.HighestModSeq, box.Exists, box.Unseen, box.Deleted = 1_800_000_000, 300, 9_000, 5, 4, 3
	box.Size, box.DeletedSize, box.RecentFrom, box.SpecialUse = 1<<33, 70_000, 299, 64
	return map[string]entry{
		"account": {&AccountRow{QuotaBytes: 1 << 30, QuotaMessages: 1000, UsedBytes: 12345, UsedMessages: 6, NextMailbox: 7, NextValidity: 1_800_000_007,
			ModSeq: 1 << 40, List: 8, Keywords: 1000, Mailboxes: 5, Subscriptions: 4, Newest: cid(3), Frozen: true, Closed: true}, func() coded { return &AccountRow{} }},
		"mailbox": {box, func() coded { return &MailboxRow{} }},
		"message": {&MessageRow{ModSeq: 77, Flags: 0x1f, Keywords: []uint16{0, 1, 500, 999}, InternalDate: -1, Zone: -720, SaveDate: 1_800_000_000,
			Size: 1<<32 - 1, Content: cid(4), Thread: cid(5)}, func() coded { return &MessageRow{} }},
		"message_thread": {&MessageRow{ModSeq: 1, Content: cid(4), Thread: cid(4), Keywords: []uint16{3}}, func() coded { return &MessageRow{} }},
		"content": {&ContentRow{ID: cid(4), Body: body, Size: 5, Thread: cid(5), WrappedKey: []byte("key"), Threads: []mailstore.Hash{h(6), h(7)}, Own: true,
			Subject: h(8), HasSubject: true, Summary: []byte("summary")}, func() coded { return &ContentRow{ID: cid(4)} }},
		"content_bare": {&ContentRow{ID: cid(4), Body: body, Thread: cid(4), WrappedKey: []byte("k"), Summary: []byte{}}, func() coded { return &ContentRow{ID: cid(4)} }},
		"thread":       {&threadRow{refs: 3, thread: cid(9)}, func() coded { return &threadRow{} }},
		"body":         {&bodyRow{refs: 2, size: 99, lost: true}, func() coded { return &bodyRow{} }},
		"vanished": {&vanishedRow{time: 1_800_000_000, ranges: []mailstore.Range{{First: 1, Last: 1}, {First: 3, Last: 400}, {First: 1<<32 - 1, Last: 1<<32 - 1}}},
			func() coded { return &vanishedRow{} }},
		"metadata":     {&MetadataRow{ModSeq: 300, Sealed: []byte("sealed")}, func() coded { return &MetadataRow{} }},
		"acl":          {&ACLRow{Rights: mailstore.AllRights, Sealed: []byte("sealed")}, func() coded { return &ACLRow{} }},
		"acl_sum":      {&aclSum{300}, func() coded { return &aclSum{} }},
		"import":       {&importRow{h(7)}, func() coded { return &importRow{} }},
		"imported":     {&importedRow{Last: 300, Kept: true}, func() coded { return &importedRow{} }},
		"validity_0":   {&firstValidityRow{1_800_000_000}, func() coded { return &firstValidityRow{} }},
		"share":        {&ShareRow{Version: 300}, func() coded { return &ShareRow{} }},
		"metadata_sum": {&metadataSum{entries: 2, bytes: 300}, func() coded { return &metadataSum{} }},
		"clock":        {&clockRow{time: 1_800_000_000_000, commands: 5, forgotten: 4, firstOp: 3, level: 1}, func() coded { return &clockRow{} }},
		"op":           {&opRow{index: 9, result: []byte("result")}, func() coded { return &opRow{} }},
		"op_age":       {&opAgeRow{op: opID(1), time: 7}, func() coded { return &opAgeRow{} }},
		"applied":      {&appliedRow{index: 1, term: 2, sum: sum{3, 4}}, func() coded { return &appliedRow{} }},
		"handoff":      {&HandoffRow{Time: 5, Body: body, Items: []HandoffItem{{Group: 2, Op: opID(3), Command: []byte("command")}}}, func() coded { return &HandoffRow{} }},
		"node": {&NodeRow{Name: "one", Address: "192.0.2.1:4050", PublicKey: []byte("key"), Level: 1, Leaving: true},
			func() coded { return &NodeRow{} }},
		"token":   {&TokenRow{Verifier: []byte("v"), Expires: 6, PublicKey: []byte("key")}, func() coded { return &TokenRow{} }},
		"setting": {&SettingRow{Version: 2, Value: []byte("value")}, func() coded { return &SettingRow{} }},
		"directory_account": {&DirectoryAccount{Group: 3, Status: pb.AccountStatus_ACTIVE, WrappedKeys: []byte("keys"), QuotaBytes: 1, QuotaMessages: 2,
			Created: 3, Main: h(1), Version: 4, Credentials: 5, Addresses: 6}, func() coded { return &DirectoryAccount{} }},
		"address":    {&AddressRow{Account: 5, Sealed: []byte("sealed")}, func() coded { return &AddressRow{} }},
		"credential": {&CredentialRow{Scope: "imap", Label: []byte("l"), Verifier: []byte("v"), Created: 5}, func() coded { return &CredentialRow{} }},
	}
}

// Row bytes are on disk, in digests and in snapshots between versions.
func TestGoldenRows(t *testing.T) {
	for name, s := range sampleRows() {
		b := s.row.encode(nil)
		path := filepath.Join("testdata", name+".hex")
		if *update {
			if err := os.WriteFile(path, []byte(hex.EncodeToString(b)+"\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(b) != strings.TrimSpace(string(want)) {
			t.Errorf("%s is %x, golden %s", name, b, want)
		}
		back := s.fresh()
		if err := back.decode(b); err != nil || !reflect.DeepEqual(back, s.row) {
			t.Errorf("%s came back as %+v, %v", name, back, err)
		}
		// Another version, or a row cut short, is no row. (Where a row ends in
		// free bytes, cutting those is not seen by the row but by the digest.)
		bad := slices.Clone(b)
		bad[0]++
		if err := s.fresh().decode(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s of another version: %v", name, err)
		}
		if err := s.fresh().decode(b[:1]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%s cut to its version: %v", name, err)
		}
	}
}

// The digest of a known row is pinned: nodes of different versions compare
// digests.
func TestGoldenDigest(t *testing.T) {
	var h hasher
	s := h.row([]byte("key"), []byte("value"))
	equal(t, "digest", s.digest().String(), "8802fb1bdc6a27355b5bb178a78d6ad1")
	var z sum
	z.add(s)
	z.add(h.row([]byte("keyv"), []byte("alue")))
	if z == (sum{s.a * 2, s.b * 2}) {
		t.Error("the boundary between key and value is not hashed")
	}
	z.remove(h.row([]byte("keyv"), []byte("alue")))
	z.remove(s)
	equal(t, "emptied", z, absent)
}

// Whatever a decoder accepts it writes again as it was: else two machines
// could hold one state in different bytes.
func FuzzRows(f *testing.F) {
	names := slices.Sorted(func(yield func(string) bool) {
		for n := range sampleRows() {
			if !yield(n) {
				return
			}
		}
	})
	for i, n := range names {
		f.Add(uint8(i), sampleRows()[n].row.encode(nil))
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		name := names[int(which)%len(names)]
		r := sampleRows()[name].fresh()
		if err := r.decode(b); err != nil {
			return
		}
		if got := r.encode(nil); string(got) != string(b) {
			t.Fatalf("%s %x is written again as %x", name, b, got)
		}
	})
}

// A block from another node is checked before anything in it is used.
func FuzzBlock(f *testing.F) {
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		f.Fatal(err)
	}
	v := &view{enc: enc}
	f.Add(v.seal(putBytes(putBytes(nil, []byte{tabAccount, 1}), []byte("value"))))
	f.Add(v.seal(slices.Repeat(putBytes(putBytes(nil, []byte{tabAccount, 1}), []byte("value")), 50)))
	f.Add(v.seal(nil))
	dec, err := zstd.NewReader(nil, zstd.WithDecoderMaxMemory(1<<20))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		raw, err := openBlock(dec, b)
		if err != nil {
			return
		}
		n := 0
		if err := records(raw, func(k, v []byte) error { n += len(k) + len(v); return nil }); err == nil && n > len(raw) {
			t.Fatalf("%d bytes of records in %d", n, len(raw))
		}
	})
}

// What a machine decides must not hang on anything outside the log (R13, R15):
// the packages that would let it are not even imported.
func TestImports(t *testing.T) {
	banned := map[string]string{
		"time": "the only clock is the entry's", "math/rand": "replicas would differ", "math/rand/v2": "replicas would differ",
		"crypto/rand": "replicas would differ", "net": "a machine talks to nobody", "os": "files go through the given vfs",
	}
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for _, f := range files {
		if strings.HasSuffix(f, "_test.go") {
			continue
		}
		tree, err := parser.ParseFile(token.NewFileSet(), f, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, im := range tree.Imports {
			p, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if why := banned[p]; why != "" {
				t.Errorf("%s imports %s: %s", f, p, why)
			}
			for _, above := range []string{"altmail.se/altmail/frontend", "altmail.se/altmail/crypto", "altmail.se/altmail/cluster/"} {
				if strings.HasPrefix(p, above) {
					t.Errorf("%s imports %s: the state is below it", f, p)
				}
			}
		}
	}
}
