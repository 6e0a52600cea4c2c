package lookup

import (
	"context"
	"fmt"
	"slices"
	"sort"
	"sync"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/state"
)

// Account is an account whose keys are open, as its own user or another one (As)
// uses it. It is safe for concurrent use and holds no snapshot.
type Account struct {
	*opened
	actor *actor // nil: its own user
}

// opened is what the sessions of an account on this node share.
type opened struct {
	d       *Door
	id      mailstore.AccountID
	group   cluster.GroupID
	mail    *state.Mail
	keys    Keys
	wrapped []byte // the keys as the directory has them
	address string
	inbox   mailstore.Hash
	checked uint64 // under Door.mu: index of the directory that has these keys

	mu    sync.RWMutex
	born  uint64                    // the door's generation that words and sets are of
	names map[mailstore.Hash]string // a hash names one clean name for ever
	words map[uint16]keyword        // by id; ids are never given twice
	sets  map[string][]string       // by keyword ids, two bytes each
	subs  subscribed
}

type keyword struct {
	hash mailstore.Hash
	text string
}

// subscribed is the set of subscribed names at one value of the list counter.
type subscribed struct {
	list   uint64
	born   uint64 // the door's generation
	hashes map[mailstore.Hash]struct{}
}

// Bounds of an account's caches; what is over them is forgotten and opened
// again.
const (
	maxCachedNames = 10000
	maxCachedSets  = 4096
)

// ID returns the account's id.
func (a *Account) ID() mailstore.AccountID { return a.id }

// Group returns the mail group the account lives in.
func (a *Account) Group() cluster.GroupID { return a.group }

// Address returns the account's main address as it was when it was opened.
func (a *Account) Address() string { return a.address }

// Keys returns the account's keys.
func (a *Account) Keys() Keys { return a.keys }

// InboxHash returns the hash of INBOX.
func (a *Account) InboxHash() mailstore.Hash { return a.inbox }

// Sync returns once this node's state is at least as new as every change that
// was answered, on any node, before the call (H7, H8), or
// cluster.ErrUnavailable.
func (a *Account) Sync(ctx context.Context) error { return a.d.sync(ctx, a.group) }

// Quota returns what the account uses and may use.
func (a *Account) Quota() (Quota, error) {
	v := a.Read()
	defer v.Close()
	return v.Quota()
}

// Mailboxes returns all mailboxes, sorted by name with INBOX first, and the
// value of the list counter they stand for.
func (a *Account) Mailboxes() ([]mailstore.Mailbox, uint64, error) {
	v := a.Read()
	defer v.Close()
	return v.Mailboxes()
}

// Mailbox returns the mailbox of a name, or mailstore.ErrNoMailbox; a name
// that cannot exist does not.
func (a *Account) Mailbox(name string) (mailstore.Mailbox, error) {
	v := a.Read()
	defer v.Close()
	return v.MailboxByName(name)
}

// MailboxByID returns a mailbox, or mailstore.ErrNoMailbox.
func (a *Account) MailboxByID(id mailstore.MailboxID) (mailstore.Mailbox, error) {
	v := a.Read()
	defer v.Close()
	return v.Mailbox(id)
}

// Subscriptions returns the subscribed names, sorted; their mailboxes need not
// exist (RFC 9051 section 6.3.7).
func (a *Account) Subscriptions() ([]string, error) {
	v := a.Read()
	defer v.Close()
	if _, err := v.account(); err != nil {
		return nil, err
	}
	rows, err := v.r.Subscriptions(a.id)
	if err != nil {
		return nil, err
	}
	names := make([]string, len(rows))
	for i := range rows {
		if names[i], err = a.name(&rows[i]); err != nil {
			return nil, err
		}
	}
	sort.Slice(names, func(i, j int) bool { return nameLess(names[i], names[j]) })
	return names, nil
}

// Read returns a view of what this node has applied. Close it soon: what it
// pins cannot be erased.
func (a *Account) Read() *View { return &View{a: a, r: a.mail.Read()} }

// name opens a sealed name, through the cache.
func (a *Account) name(row *state.NameRow) (string, error) {
	a.mu.RLock()
	s, ok := a.names[row.Hash]
	a.mu.RUnlock()
	if ok {
		return s, nil
	}
	s, err := a.keys.openName(row.Hash, row.Sealed)
	if err != nil {
		return "", err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.names) >= maxCachedNames {
		clear(a.names)
	}
	a.names[row.Hash] = s
	return s, nil
}

// keywords returns the texts of keyword ids. The slice is shared: it is not
// to be changed.
func (a *Account) keywords(r *state.Reader, key []byte, ids []uint16) ([]string, error) {
	for _, id := range ids {
		key = append(key, byte(id>>8), byte(id))
	}
	now := a.d.generation.Load()
	a.mu.RLock()
	set, ok := a.sets[string(key)]
	stale := a.born != now
	a.mu.RUnlock()
	if ok && !stale {
		return set, nil
	}
	if stale {
		a.mu.Lock()
		if a.born != now {
			clear(a.words)
			clear(a.sets)
			a.born = now
		}
		a.mu.Unlock()
	}
	if !a.knowsKeywords(ids) {
		if err := a.loadKeywords(r); err != nil {
			return nil, err
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	set = make([]string, len(ids))
	for i, id := range ids {
		w, ok := a.words[id]
		if !ok {
			return nil, fmt.Errorf("%w: a message has a keyword that its account has not", mailstore.ErrDamaged)
		}
		set[i] = w.text
	}
	slices.Sort(set)
	if len(a.sets) >= maxCachedSets {
		clear(a.sets)
	}
	a.sets[string(key)] = set
	return set, nil
}

func (a *Account) knowsKeywords(ids []uint16) bool {
	a.mu.RLock()
	defer a.mu.RUnlock()
	for _, id := range ids {
		if _, ok := a.words[id]; !ok {
			return false
		}
	}
	return true
}

// loadKeywords opens those of the account's keywords that are not known yet.
func (a *Account) loadKeywords(r *state.Reader) error {
	rows, err := r.Keywords(a.id)
	if err != nil {
		return err
	}
	for i := range rows {
		row := &rows[i]
		a.mu.RLock()
		w, ok := a.words[row.ID]
		a.mu.RUnlock()
		if ok && w.hash == row.Hash {
			continue
		}
		text, err := a.keys.openKeyword(row.Hash, row.Sealed)
		if err != nil {
			return err
		}
		a.mu.Lock()
		a.words[row.ID] = keyword{row.Hash, text}
		a.mu.Unlock()
	}
	return nil
}

// subscribed returns the set of subscribed names at the reader's list counter.
func (a *Account) subscribed(r *state.Reader, list uint64) (map[mailstore.Hash]struct{}, error) {
	now := a.d.generation.Load()
	a.mu.RLock()
	s := a.subs
	a.mu.RUnlock()
	if s.hashes != nil && s.list == list && s.born == now {
		return s.hashes, nil
	}
	rows, err := r.Subscriptions(a.id)
	if err != nil {
		return nil, err
	}
	s = subscribed{list, now, make(map[mailstore.Hash]struct{}, len(rows))}
	for i := range rows {
		s.hashes[rows[i].Hash] = struct{}{}
	}
	a.mu.Lock()
	if a.subs.hashes == nil || list > a.subs.list || a.subs.born != now {
		a.subs = s
	}
	a.mu.Unlock()
	return s.hashes, nil
}
