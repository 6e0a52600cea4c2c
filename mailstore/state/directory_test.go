package state

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

type dirRig struct {
	t     *testing.T
	db    *DB
	d     *Directory
	index uint64
	now   uint64
}

func newDirRig(t *testing.T) *dirRig {
	t.Helper()
	db, err := Open(vfs.NewMem(), "state", testOptions(t))
	if err != nil {
		t.Fatal(err)
	}
	d, err := db.Directory()
	if err != nil {
		t.Fatal(err)
	}
	r := &dirRig{t: t, db: db, d: d, now: startTime}
	t.Cleanup(func() {
		ps, err := d.Check(context.Background())
		if err != nil || len(ps) > 0 {
			t.Errorf("check: %v, %v", ps, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func (r *dirRig) do(want pb.Code, c *pb.Command) *pb.Result {
	r.t.Helper()
	r.index++
	r.now += 10
	res, err := r.d.Apply([]cluster.Entry{{
		Index: r.index, Term: 1, Kind: cluster.KindCommand, Time: r.now, First: r.now, Op: opID(r.index), Command: encode(r.t, c),
	}})
	if err != nil {
		r.t.Fatal(err)
	}
	out, err := command.DecodeResult(res[0].Value)
	if err != nil {
		r.t.Fatal(err)
	}
	if out.Code != want {
		r.t.Fatalf("%T answered %s, want %s", c.Op, out.Code, want)
	}
	return out
}

func id16(b byte) []byte { return slices.Repeat([]byte{b}, 16) }

func cred(b byte) *pb.Credential { return &pb.Credential{Id: id16(b), Verifier: []byte{b}, Created: 5} }

func TestDirectoryAccounts(t *testing.T) {
	r := newDirRig(t)
	changes := 0
	r.d.OnChange = func(uint64) { changes++ }
	add := func(id uint64, addr string) *pb.Command {
		return &pb.Command{Op: &pb.Command_AddAccount{AddAccount: &pb.AddAccount{
			Id: id, Group: 2, WrappedKeys: []byte("keys"), Address: nameOf(addr), Credential: cred(1), QuotaBytes: 7,
		}}}
	}
	status := func(id uint64, s pb.AccountStatus, from ...pb.AccountStatus) *pb.Command {
		return &pb.Command{Op: &pb.Command_SetAccountStatus{SetAccountStatus: &pb.SetAccountStatus{Id: id, Status: s, From: from}}}
	}
	r.do(pb.Code_OK, add(1, "a@example.org"))
	r.do(pb.Code_OK, add(1, "a@example.org"))
	r.do(pb.Code_EXISTS, add(2, "a@example.org"))
	r.do(pb.Code_EXISTS, add(1, "b@example.org"))
	r.do(pb.Code_OK, add(2, "b@example.org"))
	r.do(pb.Code_OK, status(1, pb.AccountStatus_ACTIVE, pb.AccountStatus_OPENING))
	r.do(pb.Code_CONFLICT, status(2, pb.AccountStatus_SUSPENDED, pb.AccountStatus_ACTIVE))
	addr := func(id uint64, a string) *pb.Command {
		return &pb.Command{Op: &pb.Command_AddAddress{AddAddress: &pb.AddAddress{Account: id, Address: nameOf(a)}}}
	}
	r.do(pb.Code_OK, addr(1, "alias@example.org"))
	r.do(pb.Code_EXISTS, addr(2, "alias@example.org"))
	r.do(pb.Code_OK, addr(1, "alias@example.org"))
	remove := func(id uint64, a string) *pb.Command {
		return &pb.Command{Op: &pb.Command_RemoveAddress{RemoveAddress: &pb.RemoveAddress{Account: id, Hash: hash(a)}}}
	}
	r.do(pb.Code_NOT_PERMITTED, remove(1, "a@example.org"))
	r.do(pb.Code_NO_SUCH, remove(2, "alias@example.org"))
	set := func(b byte, only bool) *pb.Command {
		return &pb.Command{Op: &pb.Command_SetCredential{SetCredential: &pb.SetCredential{Account: 1, Credential: cred(b), Only: only}}}
	}
	r.do(pb.Code_OK, set(2, false))
	r.do(pb.Code_OK, set(2, false))
	rd := r.d.Read()
	cs, err := rd.Credentials(1)
	equal(t, "credentials", []any{len(cs), err}, []any{2, nil})
	acc, _, _ := rd.Account(1)
	before := acc.Version
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	r.do(pb.Code_OK, set(2, true))
	r.do(pb.Code_OK, set(3, true))
	rd = r.d.Read()
	cs, err = rd.Credentials(1)
	equal(t, "credentials", []any{len(cs), cs[0].ID[0], err}, []any{1, 3, nil})
	acc, _, _ = rd.Account(1)
	if acc.Version <= before {
		t.Error("a changed credential must change the account's version")
	}
	as, err := rd.Addresses(1)
	equal(t, "addresses", []any{len(as), err}, []any{2, nil})
	ad, found, err := rd.AddressByHash(mailstore.Hash(hash("alias@example.org")))
	equal(t, "address", []any{uint64(ad.Account), string(ad.Sealed), found, err}, []any{1, "sealed alias@example.org", true, nil})
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	shred := &pb.Command{Op: &pb.Command_ShredAccount{ShredAccount: &pb.ShredAccount{Id: 1}}}
	r.do(pb.Code_NOT_PERMITTED, shred)
	r.do(pb.Code_OK, status(1, pb.AccountStatus_CLOSING))
	r.do(pb.Code_GONE, status(1, pb.AccountStatus_ACTIVE))
	r.do(pb.Code_GONE, addr(1, "c@example.org"))
	r.do(pb.Code_OK, shred)
	r.do(pb.Code_OK, status(1, pb.AccountStatus_CLOSED))
	r.do(pb.Code_OK, addr(2, "alias@example.org"))
	rd = r.d.Read()
	acc, found, err = rd.Account(1)
	equal(t, "shredded", []any{len(acc.WrappedKeys), acc.Addresses, acc.Credentials, found, err}, []any{0, 0, 0, true, nil})
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	if changes == 0 {
		t.Error("no change was told")
	}
}

func TestDirectoryCluster(t *testing.T) {
	r := newDirRig(t)
	node := func(b byte, name string, fresh bool) *pb.Command {
		return &pb.Command{Op: &pb.Command_PutNode{PutNode: &pb.PutNode{
			Id: id16(b), Name: name, Address: "192.0.2.1:1", PublicKey: []byte{b}, Level: 1, ExpectNew: fresh,
		}}}
	}
	r.do(pb.Code_OK, node(1, "one", true))
	r.do(pb.Code_EXISTS, node(1, "uno", true))
	r.do(pb.Code_EXISTS, node(2, "one", false))
	r.do(pb.Code_OK, node(2, "two", true))
	r.do(pb.Code_OK, node(1, "uno", false))
	r.do(pb.Code_OK, node(3, "one", true))
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: id16(2)}}})
	r.do(pb.Code_NO_SUCH, &pb.Command{Op: &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: id16(2)}}})

	// A node's token goes with it: it must not join again by it.
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_PutNode{PutNode: &pb.PutNode{Id: id16(7), Name: "seven", Address: "h:7", PublicKey: []byte("k7")}}})
	for i, key := range map[byte]string{21: "k7", 22: "other"} {
		r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_PutToken{PutToken: &pb.PutToken{Id: id16(i), Verifier: []byte("v"), Expires: 1 << 50}}})
		r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_UseToken{UseToken: &pb.UseToken{Id: id16(i), PublicKey: []byte(key)}}})
	}
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: id16(7)}}})
	r.do(pb.Code_NO_SUCH, &pb.Command{Op: &pb.Command_UseToken{UseToken: &pb.UseToken{Id: id16(21), PublicKey: []byte("k7")}}})
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_UseToken{UseToken: &pb.UseToken{Id: id16(22), PublicKey: []byte("other")}}})

	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_PutToken{PutToken: &pb.PutToken{Id: id16(9), Verifier: []byte("v"), Expires: r.now + 1000}}})
	use := func(k string) *pb.Command {
		return &pb.Command{Op: &pb.Command_UseToken{UseToken: &pb.UseToken{Id: id16(9), PublicKey: []byte(k)}}}
	}
	r.do(pb.Code_OK, use("k1"))
	r.do(pb.Code_OK, use("k1"))
	r.do(pb.Code_NOT_PERMITTED, use("k2"))
	r.now += 2000
	r.do(pb.Code_EXPIRED, use("k1"))

	setting := func(expect *uint64) *pb.Command {
		return &pb.Command{Op: &pb.Command_PutSetting{PutSetting: &pb.PutSetting{Name: "ca/key", Value: []byte("sealed"), Expect: expect}}}
	}
	equal(t, "version", r.do(pb.Code_OK, setting(new(uint64(0)))).Version, 1)
	equal(t, "version", r.do(pb.Code_CONFLICT, setting(new(uint64(0)))).Version, 1)
	equal(t, "version", r.do(pb.Code_OK, setting(nil)).Version, 2)
	for _, g := range []uint32{2, 1, 2} {
		r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_PutGroup{PutGroup: &pb.PutGroup{Group: g}}})
	}
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_PutDomain{PutDomain: &pb.PutDomain{Domain: nameOf("example.org")}}})
	rd := r.d.Read()
	nodes, err := rd.Nodes()
	equal(t, "nodes", []any{len(nodes), nodes[0].Name, nodes[1].Name, err}, []any{2, "uno", "one", nil})
	groups, err := rd.Groups()
	equal(t, "groups", []any{groups, err}, []any{[]cluster.GroupID{1, 2}, nil})
	n := 0
	if err := rd.Settings("ca/", func(s *SettingRow) error { n++; equal(t, "name", s.Name, "ca/key"); return nil }); err != nil || n != 1 {
		t.Errorf("settings: %d, %v", n, err)
	}
	ds, err := rd.Domains()
	equal(t, "domains", []any{len(ds), err}, []any{1, nil})
	if err := rd.Close(); err != nil {
		t.Fatal(err)
	}
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_RemoveDomain{RemoveDomain: &pb.RemoveDomain{Hash: hash("example.org")}}})
	r.do(pb.Code_INVALID, openAccount(5))
}

// A member that was applied is there after a power loss, without help of the
// log: nodes admit each other by it before they can elect.
func TestMembersSurvivePowerLoss(t *testing.T) {
	fs := vfs.NewCrashableMem()
	open := func(fs vfs.FS) (*DB, *Directory) {
		t.Helper()
		db, err := Open(fs, "state", testOptions(t))
		if err != nil {
			t.Fatal(err)
		}
		d, err := db.Directory()
		if err != nil {
			t.Fatal(err)
		}
		return db, d
	}
	shut := func(db *DB, d *Directory) {
		t.Helper()
		if err := errors.Join(d.Close(), db.Close()); err != nil {
			t.Fatal(err)
		}
	}
	db, d := open(fs)
	r := &dirRig{t: t, db: db, d: d, now: startTime}
	r.do(pb.Code_OK, &pb.Command{Op: &pb.Command_PutNode{PutNode: &pb.PutNode{
		Id: id16(9), Name: "nine", Address: "192.0.2.9:1", PublicKey: []byte{9}, Level: 1,
	}}})
	lost := fs.CrashClone(vfs.CrashCloneCfg{})
	shut(db, d)
	db, d = open(lost)
	rd := d.Read()
	nodes, err := rd.Nodes()
	if err != nil || len(nodes) != 1 || nodes[0].Name != "nine" {
		t.Errorf("after the loss the members are %v, %v", nodes, err)
	}
	if err := rd.Close(); err != nil {
		t.Error(err)
	}
	shut(db, d)
}
