package command

import (
	"fmt"

	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// The bounds of a command. They are part of what every replica decides alike:
// a build may only change one together with Level.
const (
	MaxRanges     = 10_000  // UID ranges in one command
	MaxKeywords   = 100     // keywords in one command, or of one message in it
	MaxThreads    = 64      // hashes of one content, its own included
	MaxSummary    = 1 << 20 // bytes of a sealed summary
	MaxWrapped    = 1 << 10 // bytes of a wrapped message key
	MaxSealedName = 4 << 10 // bytes of a sealed mailbox name, address or keyword
	MaxRecipients = 1_000   // of one Deliver
	MaxAppend     = 1_000   // messages of one Append
	MaxItems      = 10_000  // mailboxes renamed at once
	MaxFirstBoxes = 64      // mailboxes of OpenAccount
	MaxHandoff    = 1_000   // commands kept by one handoff
	MaxPurge      = 10_000  // records removed by one Purge
	MaxBlob       = 1 << 20 // bytes of a setting or of an account's wrapped keys
	MaxText       = 1_000   // bytes of a clear name, scope or host address
	MaxVerifier   = 4 << 10 // bytes of a sealed verifier or of a public key

	MaxMetadataEntries = 100      // annotations of one SetMetadata
	MaxMetadata        = 34 << 10 // bytes of one annotation, sealed

	// What an import may raise counters to; what is left is for use.
	MaxImportUID    = 1<<32 - 1 - 1<<24 // UIDs, UIDNEXT and UIDVALIDITY
	MaxImportModSeq = 1 << 60

	MaxIdentifier = 512 // bytes of an identifier of an access list, sealed
	MaxNeeds      = 4   // mailboxes an Actor needs rights on
)

const (
	minDate = -62135596800 // 0001-01-01
	maxDate = 253402300799 // 9999-12-31, the end of what date-time can say
)

func invalid(what string) error { return fmt.Errorf("%w: %s", ErrInvalid, what) }

// Validate checks everything about a command that can be known without the
// state. Machines answer INVALID for one that fails.
func Validate(c *pb.Command) error {
	if c == nil {
		return invalid("no command")
	}
	if c.Level == 0 || c.Level > Level {
		return invalid("level")
	}
	if err := actor(c); err != nil {
		return err
	}
	switch o := c.Op.(type) {
	case *pb.Command_OpenAccount:
		return openAccount(o.OpenAccount)
	case *pb.Command_UpdateAccount, *pb.Command_CloseAccount, *pb.Command_TouchRecent:
		return nil
	case *pb.Command_Deliver:
		return deliver(o.Deliver)
	case *pb.Command_Append:
		return appendTo(o.Append)
	case *pb.Command_StoreFlags:
		return storeFlags(o.StoreFlags)
	case *pb.Command_Expunge:
		return ranges(o.Expunge.GetUids())
	case *pb.Command_Copy:
		return first(ranges(o.Copy.GetUids()), flags(o.Copy.GetDrop()))
	case *pb.Command_CreateMailbox:
		return createMailbox(o.CreateMailbox)
	case *pb.Command_DeleteMailbox:
		return nil
	case *pb.Command_RenameMailboxes:
		return rename(o.RenameMailboxes)
	case *pb.Command_Subscribe:
		return name(o.Subscribe.GetName())
	case *pb.Command_Purge:
		return between("purge limit", int(o.Purge.GetLimit()), 1, MaxPurge)
	case *pb.Command_OpenHandoff:
		return openHandoff(o.OpenHandoff)
	case *pb.Command_CloseHandoff:
		return exact("handoff id", o.CloseHandoff.GetId(), 16)
	case *pb.Command_BodyLost:
		return exact("body id", o.BodyLost.GetBody(), 32)
	case *pb.Command_Jump:
		if o.Jump.GetModseqs() > 1<<40 || o.Jump.GetUids() > 1<<28 {
			return invalid("jump too far")
		}
		return nil
	case *pb.Command_SetMetadata:
		return setMetadata(o.SetMetadata)
	case *pb.Command_SetAcl:
		return setACL(o.SetAcl)
	case *pb.Command_BeginImport:
		return exact("source", o.BeginImport.GetSource(), 16)
	case *pb.Command_AdoptMailbox:
		return adoptMailbox(o.AdoptMailbox)
	case *pb.Command_SetLevel:
		return between("level", int(o.SetLevel.GetLevel()), 1, 1<<20)
	case *pb.Command_SetWhole:
		return exact("node id", o.SetWhole.GetNode(), 16)
	default:
		return directory(c)
	}
}

func directory(c *pb.Command) error {
	switch o := c.Op.(type) {
	case *pb.Command_PutNode:
		n := o.PutNode
		return first(exact("node id", n.GetId(), 16), between("node name", len(n.GetName()), 1, 255),
			between("node address", len(n.GetAddress()), 1, 255), atMost("public key", n.GetPublicKey(), MaxVerifier))
	case *pb.Command_RemoveNode:
		return exact("node id", o.RemoveNode.GetId(), 16)
	case *pb.Command_PutToken:
		return first(exact("token id", o.PutToken.GetId(), 16), atMost("verifier", o.PutToken.GetVerifier(), MaxVerifier))
	case *pb.Command_UseToken:
		return first(exact("token id", o.UseToken.GetId(), 16),
			between("public key", len(o.UseToken.GetPublicKey()), 1, MaxVerifier))
	case *pb.Command_PutDomain:
		return name(o.PutDomain.GetDomain())
	case *pb.Command_RemoveDomain:
		return exact("domain hash", o.RemoveDomain.GetHash(), 16)
	case *pb.Command_AddAccount:
		a := o.AddAccount
		if a.GetId() == 0 || a.GetGroup() == 0 {
			return invalid("account id or group")
		}
		return first(between("wrapped keys", len(a.GetWrappedKeys()), 1, MaxBlob), name(a.GetAddress()), credential(a.GetCredential()))
	case *pb.Command_SetAccountStatus:
		s := o.SetAccountStatus
		if s.GetStatus() < pb.AccountStatus_OPENING || s.GetStatus() > pb.AccountStatus_CLOSED || len(s.GetFrom()) > 8 {
			return invalid("account status")
		}
		return nil
	case *pb.Command_SetQuota, *pb.Command_ShredAccount:
		return nil
	case *pb.Command_SetCredential:
		return credential(o.SetCredential.GetCredential())
	case *pb.Command_RemoveCredential:
		return exact("credential id", o.RemoveCredential.GetId(), 16)
	case *pb.Command_AddAddress:
		return name(o.AddAddress.GetAddress())
	case *pb.Command_RemoveAddress:
		return exact("address hash", o.RemoveAddress.GetHash(), 16)
	case *pb.Command_PutGroup:
		return between("group", int(o.PutGroup.GetGroup()), 1, 1<<20)
	case *pb.Command_PutShare:
		return share(o.PutShare.GetOwner(), o.PutShare.GetGrantee())
	case *pb.Command_RemoveShare:
		return share(o.RemoveShare.GetOwner(), o.RemoveShare.GetGrantee())
	case *pb.Command_PutSetting:
		return first(between("setting name", len(o.PutSetting.GetName()), 1, MaxText), atMost("setting", o.PutSetting.GetValue(), MaxBlob))
	}
	return invalid("no operation")
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func exact(what string, b []byte, n int) error {
	if len(b) != n {
		return invalid(what)
	}
	return nil
}

func atMost(what string, b []byte, n int) error {
	if len(b) > n {
		return invalid(what + " too long")
	}
	return nil
}

func between(what string, n, low, high int) error {
	if n < low || n > high {
		return invalid(what)
	}
	return nil
}

func name(n *pb.Name) error {
	return first(exact("name hash", n.GetHash(), 16), atMost("name", n.GetSealed(), MaxSealedName))
}

func keywords(ks []*pb.Keyword) error {
	if len(ks) > MaxKeywords {
		return invalid("too many keywords")
	}
	for _, k := range ks {
		if err := first(exact("keyword hash", k.GetHash(), 16), atMost("keyword", k.GetSealed(), MaxSealedName)); err != nil {
			return err
		}
	}
	return nil
}

func flags(f uint32) error {
	if f&^uint32(mailstore.AllFlags) != 0 {
		return invalid("flags")
	}
	return nil
}

// ranges must be non-empty, ascending and apart from each other, so that the
// machine walks the mailbox once.
func ranges(rs []*pb.UIDRange) error {
	if len(rs) == 0 || len(rs) > MaxRanges {
		return invalid("number of ranges")
	}
	last := uint64(0)
	for _, r := range rs {
		if uint64(r.GetFirst()) <= last || r.GetLast() < r.GetFirst() {
			return invalid("ranges not sorted and merged")
		}
		last = uint64(r.GetLast())
	}
	return nil
}

func content(c *pb.Content) error {
	if c == nil {
		return invalid("no content")
	}
	if err := first(exact("content id", c.Id, 16), exact("body id", c.Body, 32),
		atMost("wrapped key", c.WrappedKey, MaxWrapped), atMost("summary", c.Summary, MaxSummary)); err != nil {
		return err
	}
	if c.BodySize == 0 {
		return invalid("body size")
	}
	if len(c.Subject) != 0 && len(c.Subject) != 16 {
		return invalid("subject hash")
	}
	if len(c.Threads) > MaxThreads {
		return invalid("too many thread hashes")
	}
	for i, t := range c.Threads {
		if len(t) != 16 && (i != 0 || len(t) != 0) {
			return invalid("thread hash")
		}
	}
	return nil
}

func placed(p *pb.Placed) error {
	if p == nil {
		return invalid("no message")
	}
	if p.InternalDate < minDate || p.InternalDate > maxDate || p.Zone < -1439 || p.Zone > 1439 {
		return invalid("internal date")
	}
	return first(content(p.Content), flags(p.Flags), keywords(p.Keywords))
}

func openAccount(a *pb.OpenAccount) error {
	if a.GetAccount() == 0 {
		return invalid("account id")
	}
	if err := between("first mailboxes", len(a.Mailboxes), 1, MaxFirstBoxes); err != nil {
		return err
	}
	seen := make(map[string]bool, len(a.Mailboxes))
	for _, m := range a.Mailboxes {
		if err := createMailbox(m); err != nil {
			return err
		}
		if seen[string(m.Name.Hash)] {
			return invalid("a mailbox twice")
		}
		seen[string(m.Name.Hash)] = true
	}
	return nil
}

func createMailbox(m *pb.CreateMailbox) error {
	if m.GetSpecialUse() > 0x7f {
		return invalid("special use")
	}
	return name(m.GetName())
}

func deliver(d *pb.Deliver) error {
	if err := between("recipients", len(d.GetTo()), 1, MaxRecipients); err != nil {
		return err
	}
	for _, t := range d.To {
		if len(t.GetMailbox()) != 0 && len(t.GetMailbox()) != 16 {
			return invalid("mailbox hash")
		}
		if err := placed(t.GetMessage()); err != nil {
			return err
		}
	}
	return nil
}

func appendTo(a *pb.Append) error {
	if err := between("messages", len(a.GetMessages()), 1, MaxAppend); err != nil {
		return err
	}
	for _, m := range a.Messages {
		if err := placed(m); err != nil {
			return err
		}
	}
	if len(a.SourceUids) == 0 {
		if a.KeepUids {
			return invalid("no UIDs to keep")
		}
		return nil
	}
	if len(a.SourceUids) != len(a.Messages) || a.Replace != 0 {
		return invalid("source UIDs")
	}
	last := uint32(0)
	for _, u := range a.SourceUids {
		if u <= last {
			return invalid("source UIDs not ascending")
		}
		last = u
	}
	return atMostUID(last)
}

func adoptMailbox(m *pb.AdoptMailbox) error {
	if m.GetUidValidity() > MaxImportUID || m.GetModSeq() > MaxImportModSeq {
		return invalid("counter too high")
	}
	return atMostUID(m.GetUidNext())
}

func atMostUID(u uint32) error {
	if u > MaxImportUID {
		return invalid("UID too high")
	}
	return nil
}

func storeFlags(s *pb.StoreFlags) error {
	if m := s.GetMode(); m < pb.StoreFlags_SET || m > pb.StoreFlags_REMOVE {
		return invalid("mode")
	}
	return first(ranges(s.GetUids()), flags(s.GetFlags()), flags(s.GetKeep()), keywords(s.GetKeywords()))
}

func rename(r *pb.RenameMailboxes) error {
	if err := between("items", len(r.GetItems()), 1, MaxItems); err != nil {
		return err
	}
	boxes := make(map[uint32]bool, len(r.Items))
	names := make(map[string]bool, len(r.Items))
	for _, it := range r.Items {
		if err := name(it.GetName()); err != nil {
			return err
		}
		if boxes[it.Mailbox] || names[string(it.Name.Hash)] {
			return invalid("a mailbox or name twice")
		}
		boxes[it.Mailbox], names[string(it.Name.Hash)] = true, true
	}
	return nil
}

func setMetadata(s *pb.SetMetadata) error {
	if err := between("entries", len(s.GetEntries()), 1, MaxMetadataEntries); err != nil {
		return err
	}
	seen := make(map[string]bool, len(s.Entries))
	for _, e := range s.Entries {
		if err := first(exact("entry hash", e.GetHash(), 16), atMost("entry", e.GetSealed(), MaxMetadata)); err != nil {
			return err
		}
		if seen[string(e.Hash)] {
			return invalid("an entry twice")
		}
		seen[string(e.Hash)] = true
	}
	return nil
}

func setACL(s *pb.SetACL) error {
	if m := s.GetMode(); m < pb.SetACL_SET || m > pb.SetACL_REMOVE {
		return invalid("mode")
	}
	if s.GetMailbox() == 0 && (s.GetMode() != pb.SetACL_SET || s.GetRights() != 0) {
		return invalid("rights on every mailbox")
	}
	return first(exact("identifier hash", s.GetHash(), 16), atMost("identifier", s.GetSealed(), MaxIdentifier), rights(s.GetRights()))
}

func rights(r uint32) error {
	if r&^uint32(mailstore.AllRights) != 0 {
		return invalid("rights")
	}
	return nil
}

func share(owner, grantee uint64) error {
	if owner == 0 || grantee == 0 || owner == grantee {
		return invalid("share")
	}
	return nil
}

// actor checks who acts: only commands on mailboxes of one account may be
// another's.
func actor(c *pb.Command) error {
	if c.As == nil {
		return nil
	}
	switch c.Op.(type) {
	case *pb.Command_Append, *pb.Command_StoreFlags, *pb.Command_Expunge, *pb.Command_Copy, *pb.Command_CreateMailbox,
		*pb.Command_DeleteMailbox, *pb.Command_RenameMailboxes, *pb.Command_SetMetadata, *pb.Command_SetAcl:
	default:
		return invalid("an actor")
	}
	if len(c.GetAppend().GetSourceUids()) > 0 {
		return invalid("an import by an actor")
	}
	if err := first(exact("actor", c.As.GetHash(), 16), between("needs", len(c.As.GetNeeds()), 1, MaxNeeds)); err != nil {
		return err
	}
	for _, n := range c.As.Needs {
		if n.GetMailbox() == 0 || n.GetRights() == 0 {
			return invalid("need")
		}
		if err := rights(n.Rights); err != nil {
			return err
		}
	}
	return nil
}

func openHandoff(h *pb.OpenHandoff) error {
	if err := first(exact("handoff id", h.GetId(), 16), exact("body id", h.GetBody(), 32),
		between("items", len(h.GetItems()), 1, MaxHandoff)); err != nil {
		return err
	}
	if h.BodySize == 0 {
		return invalid("body size")
	}
	for _, it := range h.Items {
		if err := first(exact("operation id", it.GetOp(), 16), between("command", len(it.GetCommand()), 1, 64<<20)); err != nil {
			return err
		}
	}
	return nil
}

func credential(c *pb.Credential) error {
	return first(exact("credential id", c.GetId(), 16), between("scope", len(c.GetScope()), 0, 255),
		atMost("label", c.GetLabel(), MaxSealedName), between("verifier", len(c.GetVerifier()), 1, MaxVerifier))
}
