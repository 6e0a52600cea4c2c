package state

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// twin is the mail machine again: a few maps, as slow as it likes.
type twin struct {
	accounts map[uint64]*twinAccount
	now      int64 // seconds
}

type twinAccount struct {
	frozen, closed         bool
	quotaB, quotaM         uint64
	modseq                 uint64
	nextBox, nextVal, list uint64
	boxes                  map[uint32]*twinBox
	subs                   map[string]bool
	metadata               map[uint32]map[string]twinEntry // of existing mailboxes and of 0
	acl                    map[uint32]map[string]uint32    // of mailboxes that have one
	source                 string                          // what it is imported from
	imported               map[uint32]*twinImport
	first                  uint64          // UIDVALIDITY that it counted first
	adopted                map[uint64]bool // UIDVALIDITYs that it did not count
	keywords               []string
	contents               map[string]*pb.Content
	thread                 map[string]string // content id → thread
	leads                  map[string]string // thread hash → thread
}

type twinBox struct {
	name     string
	validity uint64
	next     uint32
	high     uint64
	recent   uint32
	messages map[uint32]*twinMessage
	vanished map[uint32]uint64
}

type twinImport struct {
	last uint32
	kept bool
}

type twinEntry struct {
	modseq uint64
	sealed string
}

type twinMessage struct {
	modseq     uint64
	flags      uint32
	keywords   []string
	date, save int64
	content    string
	size       uint32
	zone       int32
}

func newTwin() *twin { return &twin{accounts: make(map[uint64]*twinAccount)} }

func (a *twinAccount) used() (bytes, messages uint64) {
	for _, b := range a.boxes {
		for _, m := range b.messages {
			bytes += uint64(m.size)
			messages++
		}
	}
	return bytes, messages
}

func (a *twinAccount) named(h string) (uint32, *twinBox) {
	for id, b := range a.boxes {
		if b.name == h {
			return id, b
		}
	}
	return 0, nil
}

func (a *twinAccount) over(bytes, messages, freeB, freeM uint64) bool {
	ub, um := a.used()
	return a.quotaB > 0 && bytes > freeB && ub+bytes-freeB > a.quotaB ||
		a.quotaM > 0 && messages > freeM && um+messages-freeM > a.quotaM
}

func (a *twinAccount) words(ks []*pb.Keyword, register bool) []string {
	var out []string
	for _, k := range ks {
		h := string(k.Hash)
		if !slices.Contains(a.keywords, h) {
			if !register {
				continue
			}
			a.keywords = append(a.keywords, h)
		}
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return a.sorted(out)
}

// sorted puts keywords in the order of their registration.
func (a *twinAccount) sorted(ws []string) []string {
	var out []string
	for _, k := range a.keywords {
		if slices.Contains(ws, k) {
			out = append(out, k)
		}
	}
	return out
}

func (a *twinAccount) place(b *twinBox, p *pb.Placed, now int64) uint32 {
	c := p.Content
	thread := ""
	for _, h := range c.Threads {
		if l, ok := a.leads[string(h)]; ok && len(h) > 0 && thread == "" {
			thread = l
		}
	}
	if thread == "" {
		thread = string(c.Id)
	}
	for _, h := range c.Threads {
		if _, ok := a.leads[string(h)]; !ok && len(h) > 0 {
			a.leads[string(h)] = thread
		}
	}
	a.contents[string(c.Id)], a.thread[string(c.Id)] = c, thread
	uid := b.next
	b.next++
	b.high = a.modseq
	b.messages[uid] = &twinMessage{
		modseq: a.modseq, flags: p.Flags, keywords: a.words(p.Keywords, true), date: p.InternalDate, save: now,
		content: string(c.Id), size: c.Size, zone: p.Zone,
	}
	return uid
}

// sweep drops contents without messages and hashes without contents.
func (a *twinAccount) sweep() {
	live := make(map[string]bool)
	for _, b := range a.boxes {
		for _, m := range b.messages {
			live[m.content] = true
		}
	}
	maps.DeleteFunc(a.contents, func(id string, _ *pb.Content) bool { return !live[id] })
	hashes := make(map[string]bool)
	for _, c := range a.contents {
		for _, h := range c.Threads {
			hashes[string(h)] = true
		}
	}
	maps.DeleteFunc(a.leads, func(h, _ string) bool { return !hashes[h] })
}

func (b *twinBox) in(rs []*pb.UIDRange) []uint32 {
	var out []uint32
	for _, u := range slices.Sorted(maps.Keys(b.messages)) {
		for _, r := range rs {
			if u >= r.First && u <= r.Last {
				out = append(out, u)
			}
		}
	}
	return out
}

func (b *twinBox) remove(uids []uint32, seq uint64) {
	for _, u := range uids {
		delete(b.messages, u)
		b.vanished[u] = seq
	}
	if len(uids) > 0 {
		b.high = seq
	}
}

func (a *twinAccount) create(c *pb.CreateMailbox) uint32 {
	id := uint32(a.nextBox)
	a.boxes[id] = &twinBox{
		name: string(c.Name.Hash), validity: a.nextVal, next: 1, high: a.modseq, recent: 1,
		messages: map[uint32]*twinMessage{}, vanished: map[uint32]uint64{},
	}
	a.nextBox++
	a.nextVal++
	a.list++
	if c.Subscribe {
		a.subs[string(c.Name.Hash)] = true
	}
	return id
}

// find returns account and mailbox for a change, or why not.
func (t *twin) find(id uint64, box uint32) (*twinAccount, *twinBox, pb.Code) {
	a := t.accounts[id]
	switch {
	case a == nil:
		return nil, nil, pb.Code_NO_ACCOUNT
	case a.closed:
		return nil, nil, pb.Code_GONE
	case a.frozen:
		return nil, nil, pb.Code_NOT_PERMITTED
	}
	if box != 0 && a.boxes[box] == nil {
		return a, nil, pb.Code_NO_MAILBOX
	}
	return a, a.boxes[box], pb.Code_OK
}

// apply executes a command and describes the answer as describe does.
func (t *twin) apply(c *pb.Command, time uint64) string {
	t.now = int64(time / 1000)
	if c.As != nil && !t.permitted(c) {
		return "NOT_PERMITTED"
	}
	switch o := c.Op.(type) {
	case *pb.Command_OpenAccount:
		return t.openAccount(o.OpenAccount)
	case *pb.Command_UpdateAccount:
		return t.update(o.UpdateAccount)
	case *pb.Command_CloseAccount:
		a := t.accounts[o.CloseAccount.Account]
		if a == nil {
			t.accounts[o.CloseAccount.Account] = &twinAccount{closed: true, modseq: 1}
		} else if !a.closed {
			*a = twinAccount{closed: true, modseq: a.modseq + 1}
		}
		return "OK"
	case *pb.Command_Deliver:
		return t.deliver(o.Deliver)
	case *pb.Command_Append:
		return t.append(o.Append)
	case *pb.Command_StoreFlags:
		return t.store(o.StoreFlags)
	case *pb.Command_Expunge:
		return t.expunge(o.Expunge)
	case *pb.Command_Copy:
		return t.copy(o.Copy)
	case *pb.Command_CreateMailbox:
		a, _, cd := t.find(o.CreateMailbox.Account, 0)
		if cd == pb.Code_OK {
			if _, b := a.named(string(o.CreateMailbox.Name.Hash)); b != nil {
				cd = pb.Code_MAILBOX_EXISTS
			}
			if l := o.CreateMailbox.List; l != nil && *l != a.list {
				cd = pb.Code_CONFLICT
			}
		}
		if cd != pb.Code_OK {
			return cd.String()
		}
		a.modseq++
		id := a.create(o.CreateMailbox)
		for h, r := range a.acl[o.CreateMailbox.Inherit] {
			a.grant(id, h, r)
		}
		return fmt.Sprint("OK box ", id)
	case *pb.Command_DeleteMailbox:
		a, _, cd := t.find(o.DeleteMailbox.Account, o.DeleteMailbox.Mailbox)
		if cd == pb.Code_OK && o.DeleteMailbox.Mailbox == 1 {
			cd = pb.Code_NOT_PERMITTED
		}
		if cd == pb.Code_OK {
			a.modseq++
			a.list++
			delete(a.boxes, o.DeleteMailbox.Mailbox)
			delete(a.metadata, o.DeleteMailbox.Mailbox)
			delete(a.acl, o.DeleteMailbox.Mailbox)
			delete(a.imported, o.DeleteMailbox.Mailbox)
		}
		return cd.String()
	case *pb.Command_RenameMailboxes:
		return t.rename(o.RenameMailboxes)
	case *pb.Command_Subscribe:
		a, _, cd := t.find(o.Subscribe.Account, 0)
		if h := string(o.Subscribe.Name.GetHash()); cd == pb.Code_OK && a.subs[h] == o.Subscribe.Remove {
			a.modseq++
			a.list++
			delete(a.subs, h)
			if !o.Subscribe.Remove {
				a.subs[h] = true
			}
		}
		return cd.String()
	case *pb.Command_SetMetadata:
		return t.setMetadata(o.SetMetadata)
	case *pb.Command_SetAcl:
		return t.setACL(o.SetAcl)
	case *pb.Command_BeginImport:
		return t.beginImport(o.BeginImport)
	case *pb.Command_AdoptMailbox:
		return t.adopt(o.AdoptMailbox)
	case *pb.Command_TouchRecent:
		_, b, cd := t.find(o.TouchRecent.Account, o.TouchRecent.Mailbox)
		if cd == pb.Code_OK {
			b.recent = max(b.recent, min(o.TouchRecent.Uid, b.next))
		}
		return cd.String()
	case *pb.Command_Purge:
		for _, a := range t.accounts {
			if !a.closed {
				a.sweep()
			}
		}
		return "OK"
	}
	panic(fmt.Sprintf("twin: %T", c.Op))
}

func (t *twin) openAccount(o *pb.OpenAccount) string {
	if a := t.accounts[o.Account]; a != nil {
		if a.closed {
			return "GONE"
		}
		return "OK"
	}
	a := &twinAccount{
		quotaB: o.QuotaBytes, quotaM: o.QuotaMessages, modseq: 1, nextBox: 1, nextVal: uint64(t.now), first: uint64(t.now),
		imported: map[uint32]*twinImport{}, adopted: map[uint64]bool{},
		boxes: map[uint32]*twinBox{}, subs: map[string]bool{}, contents: map[string]*pb.Content{},
		thread: map[string]string{}, leads: map[string]string{},
	}
	t.accounts[o.Account] = a
	for _, c := range o.Mailboxes {
		a.create(c)
	}
	return "OK"
}

func (t *twin) update(o *pb.UpdateAccount) string {
	a := t.accounts[o.Account]
	if a == nil {
		return "NO_ACCOUNT"
	}
	if a.closed {
		return "GONE"
	}
	if o.QuotaBytes != nil {
		a.quotaB = *o.QuotaBytes
	}
	if o.QuotaMessages != nil {
		a.quotaM = *o.QuotaMessages
	}
	if o.Frozen != nil {
		a.frozen = *o.Frozen
	}
	return "OK"
}

func (t *twin) deliver(o *pb.Deliver) string {
	var out []string
	for _, to := range o.To {
		a := t.accounts[to.Account]
		switch {
		case a == nil:
			out = append(out, "NO_ACCOUNT")
			continue
		case a.closed:
			out = append(out, "GONE")
			continue
		case a.contents[string(to.Message.Content.Id)] != nil:
			out = append(out, "EXISTS")
			continue
		}
		id, b := a.named(string(to.Mailbox))
		if b == nil {
			id, b = 1, a.boxes[1]
		}
		a.modseq++
		out = append(out, fmt.Sprintf("%d/%d", id, a.place(b, to.Message, t.now)))
	}
	return "OK " + strings.Join(out, " ")
}

func (t *twin) append(o *pb.Append) string {
	a, b, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	from := b
	var old []uint32
	var freeB uint64
	if o.Replace != 0 {
		if o.ReplaceMailbox != 0 {
			if from = a.boxes[o.ReplaceMailbox]; from == nil {
				return "NO_MAILBOX"
			}
		}
		m := from.messages[o.Replace]
		if m == nil {
			return "NO_SUCH"
		}
		old, freeB = []uint32{o.Replace}, uint64(m.size)
	}
	var size uint64
	seen := map[string]bool{}
	for _, p := range o.Messages {
		size += uint64(p.Content.Size)
		if a.contents[string(p.Content.Id)] != nil || seen[string(p.Content.Id)] {
			return "INVALID"
		}
		seen[string(p.Content.Id)] = true
	}
	if a.over(size, uint64(len(o.Messages)), freeB, uint64(len(old))) {
		return "OVER_QUOTA"
	}
	if cd := a.mayImport(b, o); cd != pb.Code_OK {
		return cd.String()
	}
	a.modseq++
	var out []string
	for i, p := range o.Messages {
		if o.KeepUids {
			b.next = o.SourceUids[i]
		}
		out = append(out, fmt.Sprintf("%d/%d", o.Mailbox, a.place(b, p, t.now)))
	}
	for _, u := range o.SourceUids {
		a.imported[o.Mailbox].last, b.recent = u, b.next
	}
	from.remove(old, a.modseq)
	a.sweep()
	return "OK " + strings.Join(out, " ")
}

func (t *twin) store(o *pb.StoreFlags) string {
	a, b, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	var modified, changed, todo []uint32
	for _, u := range b.in(o.Uids) {
		if o.UnchangedSince != nil && b.messages[u].modseq > *o.UnchangedSince {
			modified = append(modified, u)
		} else {
			todo = append(todo, u)
		}
	}
	if len(todo) > 0 {
		var ws []string
		if !o.KeepKeywords {
			ws = a.words(o.Keywords, o.Mode != pb.StoreFlags_REMOVE)
		}
		for _, u := range todo {
			m := b.messages[u]
			f, k := o.Flags, ws
			switch o.Mode {
			case pb.StoreFlags_ADD:
				f, k = m.flags|o.Flags, a.sorted(slices.Concat(m.keywords, ws))
			case pb.StoreFlags_REMOVE:
				f = m.flags &^ o.Flags
				k = slices.DeleteFunc(slices.Clone(m.keywords), func(w string) bool { return slices.Contains(ws, w) })
			}
			if f = f&^o.Keep | m.flags&o.Keep; o.KeepKeywords {
				k = m.keywords
			}
			if f != m.flags || !slices.Equal(k, m.keywords) {
				m.flags, m.keywords, m.modseq = f, k, a.modseq+1
				changed = append(changed, u)
			}
		}
	}
	if len(changed) > 0 {
		a.modseq++
		b.high = a.modseq
	}
	return fmt.Sprintf("OK changed %v modified %v", changed, modified)
}

func (t *twin) expunge(o *pb.Expunge) string {
	a, b, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	gone := slices.DeleteFunc(b.in(o.Uids), func(u uint32) bool {
		return !o.Any && b.messages[u].flags&uint32(mailstore.FlagDeleted) == 0
	})
	if len(gone) > 0 {
		a.modseq++
		b.remove(gone, a.modseq)
		a.sweep()
	}
	return fmt.Sprintf("OK gone %v", gone)
}

func (t *twin) copy(o *pb.Copy) string {
	a, b, cd := t.find(o.Account, o.Mailbox)
	if cd != pb.Code_OK {
		return cd.String()
	}
	to := a.boxes[o.Target]
	if to == nil {
		return "NO_MAILBOX"
	}
	src := b.in(o.Uids)
	var size uint64
	for _, u := range src {
		size += uint64(b.messages[u].size)
	}
	if !o.Move && a.over(size, uint64(len(src)), 0, 0) {
		return "OVER_QUOTA"
	}
	if len(src) > 0 {
		a.modseq++
	}
	var out []string
	for _, u := range src {
		m := *b.messages[u]
		m.keywords = slices.Clone(m.keywords)
		m.modseq, m.save = a.modseq, t.now
		if m.flags &^= o.Drop; o.DropKeywords {
			m.keywords = nil
		}
		to.messages[to.next] = &m
		to.high = a.modseq
		out = append(out, fmt.Sprintf("%d/%d", o.Target, to.next))
		to.next++
	}
	if o.Move {
		b.remove(src, a.modseq)
	}
	return "OK " + strings.Join(out, " ")
}

func (t *twin) rename(o *pb.RenameMailboxes) string {
	a, _, cd := t.find(o.Account, 0)
	if cd != pb.Code_OK {
		return cd.String()
	}
	if o.List != nil && *o.List != a.list {
		return "CONFLICT"
	}
	moving := map[uint32]bool{}
	for _, it := range o.Items {
		if a.boxes[it.Mailbox] == nil {
			return "NO_MAILBOX"
		}
		if it.Mailbox == 1 {
			return "NOT_PERMITTED"
		}
		moving[it.Mailbox] = true
	}
	for _, it := range o.Items {
		if id, b := a.named(string(it.Name.Hash)); b != nil && !moving[id] {
			return "MAILBOX_EXISTS"
		}
	}
	for _, it := range o.Items {
		a.boxes[it.Mailbox].name = string(it.Name.Hash)
	}
	a.modseq++
	a.list++
	return "OK"
}

// describe says what the machine answered in the twin's words.
func describe(c *pb.Command, v []byte) string {
	r, err := command.DecodeResult(v)
	if err != nil {
		return err.Error()
	}
	if r.Code != pb.Code_OK {
		return r.Code.String()
	}
	var stored []string
	for _, s := range r.Stored {
		if s.Code != pb.Code_OK {
			stored = append(stored, s.Code.String())
			continue
		}
		stored = append(stored, fmt.Sprintf("%d/%d", s.Mailbox, s.Uid))
	}
	switch c.Op.(type) {
	case *pb.Command_Deliver, *pb.Command_Append, *pb.Command_Copy:
		return "OK " + strings.Join(stored, " ")
	case *pb.Command_StoreFlags:
		var changed []uint32
		for _, ch := range r.Changed {
			changed = append(changed, ch.Uid)
		}
		return fmt.Sprintf("OK changed %v modified %v", changed, r.Modified)
	case *pb.Command_Expunge:
		var gone []uint32
		for _, g := range r.Expunged {
			for u := g.First; u <= g.Last; u++ {
				gone = append(gone, u)
			}
		}
		return fmt.Sprintf("OK gone %v", gone)
	case *pb.Command_CreateMailbox:
		return fmt.Sprint("OK box ", r.Mailbox)
	}
	return "OK"
}
