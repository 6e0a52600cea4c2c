package state

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

// Limits every replica enforces alike. Changing one needs a new feature level.
const (
	MaxKeywordsPerAccount = 1000
	MaxMailboxes          = 10_000 // of an account
	MaxSubscriptions      = 20_000 // of an account
	MaxAffected           = 10_000 // messages one StoreFlags, Expunge or Copy may touch

	// vanishedAge is after how many seconds rows of the vanished log are
	// merged, and vanishedRowMax how big a merged row may get.
	vanishedAge    = 90 * 24 * 60 * 60
	vanishedRowMax = 64 << 10

	// validityJump is what Jump adds to UIDVALIDITY counters: recover must not
	// repeat one that was given and lost.
	validityJump = 1 << 16
)

// Inbox is the id of every account's INBOX.
const Inbox mailstore.MailboxID = 1

// Cached decoded rows. The bounds are soft: an Apply may exceed them, and what
// is over is dropped after it.
const (
	maxHotAccounts  = 8192
	maxHotMailboxes = 32768
)

// maxFresh bounds how many bodies are remembered as dead at an index that is
// not known to be durable.
const maxFresh = 500_000

// Mail is the machine of one mail group. It implements cluster.Machine.
type Mail struct {
	machine

	// OnEvents is told what changed, after readers can see it, on the
	// goroutine that applies: it must not block. Set it before the first
	// Apply.
	OnEvents func([]mailstore.Event)
	// OnDead is told of bodies whose last reference of this group went, after
	// readers can see it. They may be freed only once that is durable, see
	// BodyReferenced, which also tells when one was taken up again. Set it
	// before the first Apply.
	OnDead func(cluster.GroupID, []mailstore.BodyID)

	accounts map[mailstore.AccountID]*hotAccount
	boxes    map[boxKey]*hotMailbox
	dirtyAcc []*hotAccount
	dirtyBox []*hotMailbox
	events   []mailstore.Event
	dead     []mailstore.BodyID

	// kw is scratch for the keyword ids of one command.
	kw []uint16

	deadMu sync.Mutex
	// fresh holds bodies that died at an index not known to be durable.
	fresh map[mailstore.BodyID]uint64
}

var _ cluster.Machine = (*Mail)(nil)

type boxKey struct {
	a mailstore.AccountID
	m mailstore.MailboxID
}

// hotAccount and hotMailbox are rows kept decoded between commands. at is the
// hash of the row as it is in the batch or database, absent if it is in
// neither.
type hotAccount struct {
	AccountRow
	at    sum
	dirty bool
}

type hotMailbox struct {
	MailboxRow
	at    sum
	dirty bool
	gone  bool
}

// Mail opens the machine of a mail group.
func (db *DB) Mail(g cluster.GroupID) (*Mail, error) {
	if g == cluster.Directory {
		return nil, fmt.Errorf("state: group %s is the directory", g)
	}
	m := &Mail{fresh: make(map[mailstore.BodyID]uint64)}
	m.clear()
	if err := m.init(db, g, m, &mailTables); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *Mail) clear() {
	m.accounts = make(map[mailstore.AccountID]*hotAccount)
	m.boxes = make(map[boxKey]*hotMailbox)
	m.dirtyAcc, m.dirtyBox, m.events, m.dead = nil, nil, nil, nil
}

func (m *Mail) reset(installed bool) {
	m.clear()
	if !installed {
		return
	}
	m.deadMu.Lock()
	clear(m.fresh)
	m.deadMu.Unlock()
	if m.OnEvents != nil {
		m.OnEvents([]mailstore.Event{{Group: m.group, Reset: true}})
	}
}

// flush writes the dirty rows into the batch.
func (m *Mail) flush(t *tx) error {
	for _, a := range m.dirtyAcc {
		t.kb = m.account(t.kb[:0], tabAccount, a.ID)
		t.vb = a.encode(t.vb[:0])
		s, err := t.put(t.kb, a.at, t.vb)
		if err != nil {
			return err
		}
		a.at, a.dirty = s, false
	}
	for _, b := range m.dirtyBox {
		if b.gone {
			continue
		}
		t.kb = m.mailbox(t.kb[:0], tabMailbox, b.Account, b.ID)
		t.vb = b.encode(t.vb[:0])
		s, err := t.put(t.kb, b.at, t.vb)
		if err != nil {
			return err
		}
		b.at, b.dirty = s, false
	}
	m.dirtyAcc, m.dirtyBox = m.dirtyAcc[:0], m.dirtyBox[:0]
	return nil
}

// committing notes the dead before their rows go, so that BodyReferenced never
// finds a body in neither place while its death is not durable.
func (m *Mail) committing(index uint64) {
	if len(m.dead) == 0 {
		return
	}
	m.deadMu.Lock()
	defer m.deadMu.Unlock()
	for _, id := range m.dead {
		m.fresh[id] = index
	}
}

func (m *Mail) committed() {
	if len(m.accounts) > maxHotAccounts {
		clear(m.accounts)
	}
	if len(m.boxes) > maxHotMailboxes {
		clear(m.boxes)
	}
	m.deadMu.Lock()
	full := len(m.fresh) > maxFresh
	m.deadMu.Unlock()
	if full {
		// Nobody syncs: do it here, so that the list of the dead ends.
		if _, _, err := m.Sync(); err != nil {
			m.db.fail(err)
		}
	}
	dead, events := m.dead, m.events
	m.dead, m.events = nil, nil
	if len(dead) > 0 && m.OnDead != nil {
		m.OnDead(m.group, dead)
	}
	if len(events) > 0 && m.OnEvents != nil {
		m.OnEvents(events)
	}
}

// Sync implements cluster.Machine.
func (m *Mail) Sync() (index, term uint64, err error) {
	index, term, err = m.machine.Sync()
	if err != nil {
		return index, term, err
	}
	m.deadMu.Lock()
	maps.DeleteFunc(m.fresh, func(_ mailstore.BodyID, at uint64) bool { return at <= index })
	m.deadMu.Unlock()
	return index, term, nil
}

// event notes that a mailbox (0: the list or the account) changed. A run of
// changes to the same one is one event.
func (m *Mail) event(a mailstore.AccountID, box mailstore.MailboxID, seq mailstore.ModSeq) {
	if n := len(m.events); n > 0 {
		if last := &m.events[n-1]; last.Account == a && last.Mailbox == box {
			last.ModSeq = seq
			return
		}
	}
	m.events = append(m.events, mailstore.Event{Group: m.group, Account: a, Mailbox: box, ModSeq: seq})
}

// now is the machine time in seconds.
func (m *Mail) now() int64 { return int64(m.clock.time / 1000) }

// account returns an account's row for reading and, after touch, for change;
// nil when there is none.
func (m *Mail) acct(t *tx, id mailstore.AccountID) (*hotAccount, error) {
	if a := m.accounts[id]; a != nil {
		return a, nil
	}
	a := &hotAccount{AccountRow: AccountRow{ID: id}}
	key := m.account(nil, tabAccount, id)
	found, err := t.get(key, func(v []byte) error {
		a.at = t.row(key, v)
		return a.decode(v)
	})
	if err != nil || !found {
		return nil, err
	}
	m.accounts[id] = a
	return a, nil
}

// open is acct for commands that need an account which is neither closed nor
// frozen.
func (m *Mail) open(t *tx, id uint64) (*hotAccount, pb.Code, error) {
	a, err := m.acct(t, mailstore.AccountID(id))
	switch {
	case err != nil:
		return nil, 0, err
	case a == nil:
		return nil, pb.Code_NO_ACCOUNT, nil
	case a.Closed:
		return nil, pb.Code_GONE, nil
	case a.Frozen:
		return nil, pb.Code_NOT_PERMITTED, nil
	}
	return a, pb.Code_OK, nil
}

// openBox is open together with a mailbox of the account.
func (m *Mail) openBox(t *tx, id uint64, box uint32) (*hotAccount, *hotMailbox, pb.Code, error) {
	a, c, err := m.open(t, id)
	if err != nil || c != pb.Code_OK {
		return nil, nil, c, err
	}
	b, err := m.box(t, a.ID, mailstore.MailboxID(box))
	if err != nil {
		return nil, nil, 0, err
	}
	if b == nil {
		return nil, nil, pb.Code_NO_MAILBOX, nil
	}
	return a, b, pb.Code_OK, nil
}

func (m *Mail) box(t *tx, a mailstore.AccountID, id mailstore.MailboxID) (*hotMailbox, error) {
	k := boxKey{a, id}
	if b := m.boxes[k]; b != nil {
		return b, nil
	}
	b := &hotMailbox{}
	b.Account, b.ID = a, id
	key := m.mailbox(nil, tabMailbox, a, id)
	found, err := t.get(key, func(v []byte) error {
		b.at = t.row(key, v)
		err := b.decode(v)
		b.Sealed = slices.Clone(b.Sealed)
		return err
	})
	if err != nil || !found {
		return nil, err
	}
	m.boxes[k] = b
	return b, nil
}

// touch marks rows as changed; they are written once per Apply.
func (m *Mail) touch(a *hotAccount) {
	if !a.dirty {
		a.dirty = true
		m.dirtyAcc = append(m.dirtyAcc, a)
	}
}

func (m *Mail) touchBox(b *hotMailbox) {
	if !b.dirty {
		b.dirty = true
		m.dirtyBox = append(m.dirtyBox, b)
	}
}

// nextModSeq gives the command that changes something its modification
// sequence: one per account and command (RFC 7162 section 3.1.2.1).
func (m *Mail) nextModSeq(a *hotAccount) mailstore.ModSeq {
	a.ModSeq++
	m.touch(a)
	return a.ModSeq
}

func (m *Mail) execute(t *tx, e *cluster.Entry, c *pb.Command) (*pb.Result, error) {
	if c.As != nil {
		if ok, err := m.permitted(t, actedOn(c), c.As); err != nil || !ok {
			return code(pb.Code_NOT_PERMITTED), err
		}
	}
	switch o := c.Op.(type) {
	case *pb.Command_Deliver:
		return m.deliver(t, o.Deliver)
	case *pb.Command_Append:
		return m.append(t, o.Append)
	case *pb.Command_StoreFlags:
		return m.storeFlags(t, o.StoreFlags)
	case *pb.Command_Expunge:
		return m.expunge(t, o.Expunge)
	case *pb.Command_Copy:
		return m.copy(t, o.Copy)
	case *pb.Command_OpenAccount:
		return m.openAccount(t, o.OpenAccount)
	case *pb.Command_UpdateAccount:
		return m.updateAccount(t, o.UpdateAccount)
	case *pb.Command_CloseAccount:
		return m.closeAccount(t, o.CloseAccount)
	case *pb.Command_CreateMailbox:
		return m.createMailbox(t, o.CreateMailbox)
	case *pb.Command_DeleteMailbox:
		return m.deleteMailbox(t, o.DeleteMailbox)
	case *pb.Command_RenameMailboxes:
		return m.renameMailboxes(t, o.RenameMailboxes)
	case *pb.Command_Subscribe:
		return m.subscribe(t, o.Subscribe)
	case *pb.Command_TouchRecent:
		return m.touchRecent(t, o.TouchRecent)
	case *pb.Command_Purge:
		return m.purge(t, o.Purge)
	case *pb.Command_OpenHandoff:
		return m.openHandoff(t, o.OpenHandoff)
	case *pb.Command_CloseHandoff:
		return m.closeHandoff(t, o.CloseHandoff)
	case *pb.Command_BodyLost:
		return m.bodyLost(t, o.BodyLost)
	case *pb.Command_Jump:
		return m.jump(t, o.Jump)
	case *pb.Command_SetMetadata:
		return m.setMetadata(t, o.SetMetadata)
	case *pb.Command_SetAcl:
		return m.setACL(t, o.SetAcl)
	case *pb.Command_BeginImport:
		return m.beginImport(t, o.BeginImport)
	case *pb.Command_AdoptMailbox:
		return m.adoptMailbox(t, o.AdoptMailbox)
	default:
		// A directory command in a mail group: refused alike everywhere.
		return code(pb.Code_INVALID), nil
	}
}
