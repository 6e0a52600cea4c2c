package command

import (
	"encoding/hex"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

var update = flag.Bool("update", false, "rewrite the golden bytes")

func fillBytes(b byte, n int) []byte { return slices.Repeat([]byte{b}, n) }

func sampleName(b byte) *pb.Name {
	return &pb.Name{Hash: fillBytes(b, 16), Sealed: []byte{b, 1, 2, 3}}
}

func samplePlaced(b byte) *pb.Placed {
	return &pb.Placed{
		Content: &pb.Content{
			Id: fillBytes(b, 16), Body: fillBytes(b+1, 32), BodySize: 1234, WrappedKey: []byte("wrapped"), Summary: []byte("summary"),
			Size: 2345, Threads: [][]byte{{}, fillBytes(b+2, 16)}, Subject: fillBytes(b+3, 16),
		},
		Flags: 5, Keywords: []*pb.Keyword{{Hash: fillBytes(b+4, 16), Sealed: []byte("kw")}}, InternalDate: 1_700_000_000, Zone: -90,
	}
}

func sampleCredential() *pb.Credential {
	return &pb.Credential{Id: fillBytes(1, 16), Scope: "imap", Label: []byte("label"), Verifier: []byte("verifier"), Created: 99}
}

// samples holds one valid command of each kind.
func samples() map[string]*pb.Command {
	rs := []*pb.UIDRange{{First: 1, Last: 3}, {First: 7, Last: 4294967295}}
	// What another than the owner proposes has more fields.
	as := &pb.Actor{Hash: fillBytes(7, 16), Needs: []*pb.Actor_Need{{Mailbox: 2, Rights: 1 << 10}, {Mailbox: 3, Rights: 3}}}
	box := &pb.CreateMailbox{Account: 1, Name: sampleName(9), SpecialUse: 4, Subscribe: true, List: new(uint64(8))}
	return map[string]*pb.Command{
		"open_account": {Op: &pb.Command_OpenAccount{OpenAccount: &pb.OpenAccount{Account: 1, QuotaBytes: 2, QuotaMessages: 3,
			Mailboxes: []*pb.CreateMailbox{{Name: sampleName(1)}, {Name: sampleName(2), SpecialUse: 64, Subscribe: true}}}}},
		"update_account": {Op: &pb.Command_UpdateAccount{UpdateAccount: &pb.UpdateAccount{Account: 1, QuotaBytes: new(uint64(0)), Frozen: new(true)}}},
		"close_account":  {Op: &pb.Command_CloseAccount{CloseAccount: &pb.CloseAccount{Account: 1}}},
		"deliver": {Op: &pb.Command_Deliver{Deliver: &pb.Deliver{To: []*pb.Deliver_To{
			{Account: 1, Mailbox: fillBytes(7, 16), Message: samplePlaced(10)}, {Account: 2, Message: samplePlaced(20)}}}}},
		"append": {Op: &pb.Command_Append{Append: &pb.Append{Account: 1, Mailbox: 2, Messages: []*pb.Placed{samplePlaced(30)}, Replace: 4, ReplaceMailbox: 5}}},
		"store_flags": {Op: &pb.Command_StoreFlags{StoreFlags: &pb.StoreFlags{Account: 1, Mailbox: 2, Uids: rs, Mode: pb.StoreFlags_ADD, Flags: 31,
			Keywords: []*pb.Keyword{{Hash: fillBytes(3, 16), Sealed: []byte("x")}}, UnchangedSince: new(uint64(0))}}},
		"expunge":          {Op: &pb.Command_Expunge{Expunge: &pb.Expunge{Account: 1, Mailbox: 2, Uids: rs, Any: true}}},
		"copy":             {Op: &pb.Command_Copy{Copy: &pb.Copy{Account: 1, Mailbox: 2, Uids: rs, Target: 3, Move: true}}},
		"create_mailbox":   {Op: &pb.Command_CreateMailbox{CreateMailbox: box}},
		"delete_mailbox":   {Op: &pb.Command_DeleteMailbox{DeleteMailbox: &pb.DeleteMailbox{Account: 1, Mailbox: 2, List: new(uint64(0))}}},
		"rename_mailboxes": {Op: &pb.Command_RenameMailboxes{RenameMailboxes: &pb.RenameMailboxes{Account: 1, Items: []*pb.RenameMailboxes_Item{{Mailbox: 2, Name: sampleName(5)}}}}},
		"subscribe":        {Op: &pb.Command_Subscribe{Subscribe: &pb.Subscribe{Account: 1, Name: sampleName(6), Remove: true}}},
		"touch_recent":     {Op: &pb.Command_TouchRecent{TouchRecent: &pb.TouchRecent{Account: 1, Mailbox: 2, Uid: 3}}},
		"purge":            {Op: &pb.Command_Purge{Purge: &pb.Purge{Limit: 100}}},
		"open_handoff": {Op: &pb.Command_OpenHandoff{OpenHandoff: &pb.OpenHandoff{Id: fillBytes(1, 16), Body: fillBytes(2, 32), BodySize: 3,
			Items: []*pb.OpenHandoff_Item{{Group: 4, Op: fillBytes(5, 16), Command: []byte("command")}}}}},
		"close_handoff": {Op: &pb.Command_CloseHandoff{CloseHandoff: &pb.CloseHandoff{Id: fillBytes(1, 16)}}},
		"body_lost":     {Op: &pb.Command_BodyLost{BodyLost: &pb.BodyLost{Body: fillBytes(2, 32)}}},
		"jump":          {Op: &pb.Command_Jump{Jump: &pb.Jump{Uids: 1 << 20, Modseqs: 1 << 32}}},
		"set_metadata": {Op: &pb.Command_SetMetadata{SetMetadata: &pb.SetMetadata{Account: 1, Mailbox: 2, Entries: []*pb.SetMetadata_Entry{
			{Hash: fillBytes(3, 16), Sealed: []byte("sealed")}, {Hash: fillBytes(4, 16)}}}}},
		"store_flags_shared":    {As: as, Op: &pb.Command_StoreFlags{StoreFlags: &pb.StoreFlags{Account: 1, Mailbox: 2, Uids: rs, Flags: 1, Keep: 2, KeepKeywords: true}}},
		"copy_shared":           {As: as, Op: &pb.Command_Copy{Copy: &pb.Copy{Account: 1, Mailbox: 2, Uids: rs, Target: 3, Drop: 8, DropKeywords: true}}},
		"create_mailbox_shared": {As: as, Op: &pb.Command_CreateMailbox{CreateMailbox: &pb.CreateMailbox{Account: 1, Name: sampleName(9), Inherit: 3}}},
		"set_acl":               {As: as, Op: &pb.Command_SetAcl{SetAcl: &pb.SetACL{Account: 1, Mailbox: 2, Hash: fillBytes(3, 16), Sealed: []byte("sealed"), Mode: pb.SetACL_ADD, Rights: 2047}}},
		"append_imported": {Op: &pb.Command_Append{Append: &pb.Append{Account: 1, Mailbox: 2, Messages: []*pb.Placed{samplePlaced(30), samplePlaced(40)},
			SourceUids: []uint32{7, 300}, KeepUids: true}}},
		"begin_import":  {Op: &pb.Command_BeginImport{BeginImport: &pb.BeginImport{Account: 1, Source: fillBytes(3, 16), Mix: true}}},
		"adopt_mailbox": {Op: &pb.Command_AdoptMailbox{AdoptMailbox: &pb.AdoptMailbox{Account: 1, Mailbox: 2, UidValidity: 1_400_000_000, UidNext: 300, ModSeq: 1 << 32}}},
		"put_share":     {Op: &pb.Command_PutShare{PutShare: &pb.PutShare{Owner: 1, Grantee: 2}}},
		"remove_share":  {Op: &pb.Command_RemoveShare{RemoveShare: &pb.RemoveShare{Owner: 1, Grantee: 2, Version: 300}}},
		"set_level":     {Op: &pb.Command_SetLevel{SetLevel: &pb.SetLevel{Level: 1}}},
		"set_whole":     {Op: &pb.Command_SetWhole{SetWhole: &pb.SetWhole{Node: fillBytes(1, 16), Whole: true}}},
		"put_node": {Op: &pb.Command_PutNode{PutNode: &pb.PutNode{Id: fillBytes(1, 16), Name: "one", Address: "192.0.2.1:4050",
			PublicKey: []byte("key"), Level: 1, ExpectNew: true, Leaving: true}}},
		"remove_node":   {Op: &pb.Command_RemoveNode{RemoveNode: &pb.RemoveNode{Id: fillBytes(1, 16), Stolen: true}}},
		"put_token":     {Op: &pb.Command_PutToken{PutToken: &pb.PutToken{Id: fillBytes(1, 16), Verifier: []byte("v"), Expires: 7}}},
		"use_token":     {Op: &pb.Command_UseToken{UseToken: &pb.UseToken{Id: fillBytes(1, 16), PublicKey: []byte("key")}}},
		"put_domain":    {Op: &pb.Command_PutDomain{PutDomain: &pb.PutDomain{Domain: sampleName(1)}}},
		"remove_domain": {Op: &pb.Command_RemoveDomain{RemoveDomain: &pb.RemoveDomain{Hash: fillBytes(1, 16)}}},
		"add_account": {Op: &pb.Command_AddAccount{AddAccount: &pb.AddAccount{Id: 1, Group: 2, WrappedKeys: []byte("keys"), Address: sampleName(3),
			Credential: sampleCredential(), QuotaBytes: 4, QuotaMessages: 5}}},
		"set_account_status": {Op: &pb.Command_SetAccountStatus{SetAccountStatus: &pb.SetAccountStatus{Id: 1, Status: pb.AccountStatus_ACTIVE,
			From: []pb.AccountStatus{pb.AccountStatus_OPENING, pb.AccountStatus_SUSPENDED}}}},
		"set_credential":          {Op: &pb.Command_SetCredential{SetCredential: &pb.SetCredential{Account: 1, Credential: sampleCredential(), Only: true}}},
		"set_credential_imported": {Op: &pb.Command_SetCredential{SetCredential: &pb.SetCredential{Account: 1, Credential: sampleCredential(), Existing: true}}},
		"remove_credential":       {Op: &pb.Command_RemoveCredential{RemoveCredential: &pb.RemoveCredential{Account: 1, Id: fillBytes(1, 16)}}},
		"add_address":             {Op: &pb.Command_AddAddress{AddAddress: &pb.AddAddress{Account: 1, Address: sampleName(2)}}},
		"remove_address":          {Op: &pb.Command_RemoveAddress{RemoveAddress: &pb.RemoveAddress{Account: 1, Hash: fillBytes(2, 16)}}},
		"put_group":               {Op: &pb.Command_PutGroup{PutGroup: &pb.PutGroup{Group: 3}}},
		"put_setting":             {Op: &pb.Command_PutSetting{PutSetting: &pb.PutSetting{Name: "ca", Value: []byte("sealed"), Expect: new(uint64(0))}}},
		"shred_account":           {Op: &pb.Command_ShredAccount{ShredAccount: &pb.ShredAccount{Id: 1}}},
		"set_quota":               {Op: &pb.Command_SetQuota{SetQuota: &pb.SetQuota{Id: 1, QuotaBytes: 2, QuotaMessages: 3}}},
	}
}

// Every command of the schema has golden bytes: the log, retries and digests
// of remembered results rely on the encoding never changing.
func TestGolden(t *testing.T) {
	all := samples()
	fields := (&pb.Command{}).ProtoReflect().Descriptor().Oneofs().ByName("op").Fields()
	for i := range fields.Len() {
		if name := string(fields.Get(i).Name()); all[name] == nil {
			t.Errorf("no sample of %s", name)
		}
	}
	for name, c := range all {
		t.Run(name, func(t *testing.T) {
			if got := string(c.ProtoReflect().WhichOneof(c.ProtoReflect().Descriptor().Oneofs().ByName("op")).Name()); got != strings.TrimSuffix(strings.TrimSuffix(name, "_shared"), "_imported") {
				t.Fatalf("the sample is of %s", got)
			}
			b, err := Encode(c)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, name, b)
			back, err := Decode(b)
			if err != nil || !proto.Equal(back, c) {
				t.Errorf("decoded %v, %v", back, err)
			}
		})
	}
	res, err := EncodeResult(&pb.Result{
		Code: pb.Code_OK, Modseq: 5, Stored: []*pb.Stored{{Code: pb.Code_GONE, UidValidity: 1, Uid: 2, Mailbox: 3, Source: 4}},
		Changed: []*pb.Changed{{Uid: 6}}, Modified: []uint32{7, 300}, Expunged: []*pb.UIDRange{{First: 8, Last: 9}}, Mailbox: 10,
		UidValidity: 11, More: true, Version: 12,
	})
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "result", res)
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name+".hex")
	if *update {
		if err := os.WriteFile(path, []byte(hex.EncodeToString(got)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if hex.EncodeToString(got) != strings.TrimSpace(string(want)) {
		t.Errorf("%s is %x, golden %s", name, got, want)
	}
}

func TestValidate(t *testing.T) {
	bad := map[string]func(*pb.Command){}
	on := func(name, kind string, fn func(*pb.Command)) { bad[kind+": "+name] = fn }
	on("no ranges", "expunge", func(c *pb.Command) { c.GetExpunge().Uids = nil })
	on("range from zero", "expunge", func(c *pb.Command) { c.GetExpunge().Uids[0].First = 0 })
	on("range backwards", "copy", func(c *pb.Command) { c.GetCopy().Uids[0].First = 4 })
	on("ranges unsorted", "copy", func(c *pb.Command) { slices.Reverse(c.GetCopy().Uids) })
	on("too many ranges", "store_flags", func(c *pb.Command) {
		c.GetStoreFlags().Uids = nil
		for i := range uint32(MaxRanges + 1) {
			c.GetStoreFlags().Uids = append(c.GetStoreFlags().Uids, &pb.UIDRange{First: 2*i + 1, Last: 2*i + 1})
		}
	})
	on("unknown flag", "store_flags", func(c *pb.Command) { c.GetStoreFlags().Flags = 32 })
	on("unknown mode", "store_flags", func(c *pb.Command) { c.GetStoreFlags().Mode = 3 })
	on("keyword hash", "store_flags", func(c *pb.Command) { c.GetStoreFlags().Keywords[0].Hash = nil })
	on("no recipients", "deliver", func(c *pb.Command) { c.GetDeliver().To = nil })
	on("nil recipient", "deliver", func(c *pb.Command) { c.GetDeliver().To[0] = nil })
	on("no message", "deliver", func(c *pb.Command) { c.GetDeliver().To[0].Message = nil })
	on("no content", "deliver", func(c *pb.Command) { c.GetDeliver().To[0].Message.Content = nil })
	on("mailbox hash", "deliver", func(c *pb.Command) { c.GetDeliver().To[0].Mailbox = []byte{1} })
	on("content id", "append", func(c *pb.Command) { c.GetAppend().Messages[0].Content.Id = fillBytes(1, 15) })
	on("body id", "append", func(c *pb.Command) { c.GetAppend().Messages[0].Content.Body = nil })
	on("empty later thread hash", "append", func(c *pb.Command) { c.GetAppend().Messages[0].Content.Threads[1] = nil })
	on("summary", "append", func(c *pb.Command) { c.GetAppend().Messages[0].Content.Summary = make([]byte, MaxSummary+1) })
	on("zone", "append", func(c *pb.Command) { c.GetAppend().Messages[0].Zone = 1440 })
	on("date", "append", func(c *pb.Command) { c.GetAppend().Messages[0].InternalDate = maxDate + 1 })
	on("no account", "open_account", func(c *pb.Command) { c.GetOpenAccount().Account = 0 })
	on("no mailboxes", "open_account", func(c *pb.Command) { c.GetOpenAccount().Mailboxes = nil })
	on("a mailbox twice", "open_account", func(c *pb.Command) { c.GetOpenAccount().Mailboxes[1].Name = sampleName(1) })
	on("no name", "create_mailbox", func(c *pb.Command) { c.GetCreateMailbox().Name = nil })
	on("special use", "create_mailbox", func(c *pb.Command) { c.GetCreateMailbox().SpecialUse = 128 })
	on("a mailbox twice", "rename_mailboxes", func(c *pb.Command) {
		r := c.GetRenameMailboxes()
		r.Items = append(r.Items, &pb.RenameMailboxes_Item{Mailbox: 2, Name: sampleName(8)})
	})
	on("limit", "purge", func(c *pb.Command) { c.GetPurge().Limit = 0 })
	on("too far", "jump", func(c *pb.Command) { c.GetJump().Modseqs = 1 << 41 })
	on("operation id", "open_handoff", func(c *pb.Command) { c.GetOpenHandoff().Items[0].Op = nil })
	on("group 0", "add_account", func(c *pb.Command) { c.GetAddAccount().Group = 0 })
	on("credential", "add_account", func(c *pb.Command) { c.GetAddAccount().Credential = nil })
	on("status", "set_account_status", func(c *pb.Command) { c.GetSetAccountStatus().Status = 6 })
	on("node id", "put_node", func(c *pb.Command) { c.GetPutNode().Id = nil })
	on("level", "touch_recent", func(c *pb.Command) { c.Level = Level + 1 })
	on("an actor without needs", "set_acl", func(c *pb.Command) { c.As.Needs = nil })
	on("an actor with too many needs", "set_acl", func(c *pb.Command) { c.As.Needs = slices.Repeat(c.As.Needs, 3) })
	on("actor", "set_acl", func(c *pb.Command) { c.As.Hash = nil })
	on("need of no mailbox", "set_acl", func(c *pb.Command) { c.As.Needs[0].Mailbox = 0 })
	on("need of no right", "set_acl", func(c *pb.Command) { c.As.Needs[0].Rights = 0 })
	on("need of an unknown right", "set_acl", func(c *pb.Command) { c.As.Needs[0].Rights = 2048 })
	on("an actor", "close_account", func(c *pb.Command) {
		c.As = &pb.Actor{Hash: fillBytes(7, 16), Needs: []*pb.Actor_Need{{Mailbox: 1, Rights: 1}}}
	})
	on("identifier hash", "set_acl", func(c *pb.Command) { c.GetSetAcl().Hash = nil })
	on("identifier too long", "set_acl", func(c *pb.Command) { c.GetSetAcl().Sealed = make([]byte, MaxIdentifier+1) })
	on("unknown right", "set_acl", func(c *pb.Command) { c.GetSetAcl().Rights = 2048 })
	on("unknown mode", "set_acl", func(c *pb.Command) { c.GetSetAcl().Mode = 3 })
	on("rights on every mailbox", "set_acl", func(c *pb.Command) { c.GetSetAcl().Mailbox = 0 })
	on("unknown flag to keep", "store_flags", func(c *pb.Command) { c.GetStoreFlags().Keep = 32 })
	on("unknown flag to drop", "copy", func(c *pb.Command) { c.GetCopy().Drop = 32 })
	on("oneself", "put_share", func(c *pb.Command) { c.GetPutShare().Grantee = 1 })
	on("no owner", "remove_share", func(c *pb.Command) { c.GetRemoveShare().Owner = 0 })
	on("no entries", "set_metadata", func(c *pb.Command) { c.GetSetMetadata().Entries = nil })
	on("entry hash", "set_metadata", func(c *pb.Command) { c.GetSetMetadata().Entries[1].Hash = fillBytes(4, 15) })
	on("an entry twice", "set_metadata", func(c *pb.Command) { c.GetSetMetadata().Entries[1].Hash = fillBytes(3, 16) })
	on("an entry too long", "set_metadata", func(c *pb.Command) { c.GetSetMetadata().Entries[0].Sealed = make([]byte, MaxMetadata+1) })
	on("too many entries", "set_metadata", func(c *pb.Command) {
		c.GetSetMetadata().Entries = nil
		for i := range MaxMetadataEntries + 1 {
			c.GetSetMetadata().Entries = append(c.GetSetMetadata().Entries, &pb.SetMetadata_Entry{Hash: fillBytes(byte(i), 16)})
		}
	})
	on("UIDs to keep", "append_imported", func(c *pb.Command) { c.GetAppend().SourceUids = nil })
	on("a source UID too few", "append_imported", func(c *pb.Command) { c.GetAppend().SourceUids = c.GetAppend().SourceUids[:1] })
	on("source UID zero", "append_imported", func(c *pb.Command) { c.GetAppend().SourceUids[0] = 0 })
	on("source UIDs unsorted", "append_imported", func(c *pb.Command) { c.GetAppend().SourceUids[1] = 7 })
	on("source UID too high", "append_imported", func(c *pb.Command) { c.GetAppend().SourceUids[1] = MaxImportUID + 1 })
	on("import and replace", "append_imported", func(c *pb.Command) { c.GetAppend().Replace = 1 })
	on("an import by an actor", "append_imported", func(c *pb.Command) {
		c.As = &pb.Actor{Hash: fillBytes(7, 16), Needs: []*pb.Actor_Need{{Mailbox: 1, Rights: 1}}}
	})
	on("source", "begin_import", func(c *pb.Command) { c.GetBeginImport().Source = fillBytes(1, 15) })
	on("UIDVALIDITY too high", "adopt_mailbox", func(c *pb.Command) { c.GetAdoptMailbox().UidValidity = MaxImportUID + 1 })
	on("UIDNEXT too high", "adopt_mailbox", func(c *pb.Command) { c.GetAdoptMailbox().UidNext = MaxImportUID + 1 })
	on("MODSEQ too high", "adopt_mailbox", func(c *pb.Command) { c.GetAdoptMailbox().ModSeq = MaxImportModSeq + 1 })
	on("nothing", "touch_recent", func(c *pb.Command) { c.Op = nil })
	for name, spoil := range bad {
		kind, _, _ := strings.Cut(name, ":")
		c := samples()[kind]
		c.Level = 1
		if err := Validate(c); err != nil {
			t.Fatalf("%s is invalid as it is: %v", kind, err)
		}
		spoil(c)
		if err := Validate(c); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := Encode(c); err == nil {
			t.Errorf("%s: was encoded", name)
		}
	}
	if err := Validate(nil); !errors.Is(err, ErrInvalid) {
		t.Errorf("nil: %v", err)
	}
}

func TestRanges(t *testing.T) {
	const top = mailstore.UID(4294967295)
	for _, c := range []struct{ in, want []mailstore.Range }{
		{nil, nil},
		{[]mailstore.Range{{First: 5, Last: 3}}, []mailstore.Range{{First: 3, Last: 5}}},
		{[]mailstore.Range{{First: 7, Last: 9}, {First: 1, Last: 2}, {First: 3, Last: 3}}, []mailstore.Range{{First: 1, Last: 3}, {First: 7, Last: 9}}},
		{[]mailstore.Range{{First: 1, Last: 9}, {First: 2, Last: 3}, {First: 10, Last: 12}}, []mailstore.Range{{First: 1, Last: 12}}},
		{[]mailstore.Range{{First: 4, Last: top}, {First: top, Last: top}, {First: 1, Last: 2}}, []mailstore.Range{{First: 1, Last: 2}, {First: 4, Last: top}}},
	} {
		got := FromRanges(Ranges(slices.Clone(c.in)))
		if len(got)+len(c.want) > 0 && !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v: got %v, want %v", c.in, got, c.want)
		}
		if len(got) > 0 {
			if err := ranges(Ranges(got)); err != nil {
				t.Errorf("%v: %v", c.in, err)
			}
		}
	}
}

// An argument that this build does not know, at any depth, is of a later
// version; a command without operation is of none.
func TestDecodeRefuses(t *testing.T) {
	unknown := protowire.AppendVarint(protowire.AppendTag(nil, 999, protowire.VarintType), 1)
	deep := protowire.AppendBytes(protowire.AppendTag([]byte{8, 1}, 12, protowire.BytesType), unknown)
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"level":   {[]byte{8, Level + 1}, ErrLevel},
		"unknown": {append([]byte{8, 1}, unknown...), ErrLevel},
		"deep":    {deep, ErrLevel},
		"empty":   {nil, ErrMalformed},
		"nothing": {[]byte{8, 1}, ErrMalformed},
		"cut":     {[]byte{8}, ErrMalformed},
	} {
		if _, err := Decode(c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", name, err, c.want)
		}
	}
}

// Every code is an error but OK, and none is forgotten.
func TestErr(t *testing.T) {
	if Err(pb.Code_OK) != nil {
		t.Error("OK is an error")
	}
	codes := pb.Code_OK.Descriptor().Values()
	for i := range codes.Len() {
		if n := codes.Get(i).Number(); n != 0 && Err(pb.Code(n)) == nil {
			t.Errorf("%s is no error", codes.Get(i).Name())
		}
	}
}

// Decode never panics, and what it accepts and Validate passes comes out of
// Encode as the same command.
func FuzzDecode(f *testing.F) {
	for _, c := range samples() {
		b, err := Encode(c)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Decode(b)
		if err != nil {
			return
		}
		if Validate(c) != nil {
			return
		}
		again, err := Encode(c)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if err != nil || !proto.Equal(back, c) {
			t.Fatalf("%v came back as %v, %v", c, back, err)
		}
	})
}
