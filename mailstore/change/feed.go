package change

import (
	"sync"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
)

// maxPending bounds what one subscription keeps in detail. Beyond it the
// pending events become one Reset.
const maxPending = 1024

// Feed hands events to the subscriptions of their account. It is safe for
// concurrent use; the zero value is not ready, use New.
type Feed struct {
	shards [shards]shard
	all    shard // subscriptions to every account, under account 0
}

const shards = 64

type shard struct {
	mu   sync.Mutex
	subs map[mailstore.AccountID]map[*Subscription]struct{}
}

// New returns a feed without subscriptions.
func New() *Feed {
	f := &Feed{}
	for i := range f.shards {
		f.shards[i].subs = map[mailstore.AccountID]map[*Subscription]struct{}{}
	}
	f.all.subs = map[mailstore.AccountID]map[*Subscription]struct{}{}
	return f
}

// account ids are random, so their low bits spread well.
func (f *Feed) shard(a mailstore.AccountID) *shard { return &f.shards[uint64(a)%shards] }

// Publish hands out events in order. It never waits for a reader. An event
// with Reset set reaches the subscriptions of every account: those of other
// groups tell by its Group that it is not for them.
func (f *Feed) Publish(evs []mailstore.Event) {
	for i := range evs {
		ev := &evs[i]
		f.all.publish(0, ev)
		if ev.Reset && ev.Account == 0 {
			for s := range f.shards {
				f.shards[s].publishAll(ev)
			}
			continue
		}
		f.shard(ev.Account).publish(ev.Account, ev)
	}
}

func (s *shard) publish(a mailstore.AccountID, ev *mailstore.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for sub := range s.subs[a] {
		sub.add(ev)
	}
}

func (s *shard) publishAll(ev *mailstore.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, subs := range s.subs {
		for sub := range subs {
			sub.add(ev)
		}
	}
}

// Subscribe returns a subscription to all events of an account, and to the
// resets of whole groups. Account 0 subscribes to everything.
func (f *Feed) Subscribe(a mailstore.AccountID) *Subscription {
	sh := f.shard(a)
	if a == 0 {
		sh = &f.all
	}
	s := &Subscription{shard: sh, account: a, c: make(chan struct{}, 1)}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	subs := sh.subs[a]
	if subs == nil {
		subs = make(map[*Subscription]struct{}, 1)
		sh.subs[a] = subs
	}
	subs[s] = struct{}{}
	return s
}

// Subscription collects events for one reader. Its methods are safe for
// concurrent use.
type Subscription struct {
	shard   *shard
	account mailstore.AccountID
	c       chan struct{}

	mu      sync.Mutex
	pending []mailstore.Event
}

type place struct {
	group   cluster.GroupID
	account mailstore.AccountID
	mailbox mailstore.MailboxID
}

func placeOf(ev *mailstore.Event) place { return place{ev.Group, ev.Account, ev.Mailbox} }

// add merges an event into what is pending.
func (s *Subscription) add(ev *mailstore.Event) {
	s.mu.Lock()
	s.merge(ev)
	s.mu.Unlock()
	select {
	case s.c <- struct{}{}:
	default: // the reader has been told already
	}
}

func (s *Subscription) merge(ev *mailstore.Event) {
	// A reader of one account has few mailboxes that change at a time: the
	// newest are looked at first, and all of them are few.
	for i := len(s.pending) - 1; i >= 0; i-- {
		p := &s.pending[i]
		switch {
		case p.Reset && p.Account == 0 && p.Group == ev.Group:
			return // everything of the group is compared anyway
		case placeOf(p) == placeOf(ev) && p.Reset == ev.Reset:
			p.ModSeq = max(p.ModSeq, ev.ModSeq)
			return
		}
	}
	if ev.Reset && ev.Account == 0 {
		s.reset(ev.Group)
		return
	}
	if len(s.pending) < maxPending {
		s.pending = append(s.pending, *ev)
		return
	}
	// Too much to keep apart: one reset for each group there is. Groups are
	// few, so this ends far below the bound.
	groups := make(map[cluster.GroupID]struct{})
	for i := range s.pending {
		groups[s.pending[i].Group] = struct{}{}
	}
	groups[ev.Group] = struct{}{}
	s.pending = s.pending[:0]
	for g := range groups {
		s.reset(g)
	}
}

// reset replaces the pending events of a group by one that covers them.
func (s *Subscription) reset(g cluster.GroupID) {
	kept := s.pending[:0]
	for _, p := range s.pending {
		if p.Group != g {
			kept = append(kept, p)
		}
	}
	s.pending = append(kept, mailstore.Event{Group: g, Reset: true})
}

// C is readable when something is pending.
func (s *Subscription) C() <-chan struct{} { return s.c }

// Take returns the pending events, merged: the highest modification sequence
// for each mailbox. An event with Reset set and no account stands for every
// change there may be in its group. The slice is the caller's.
func (s *Subscription) Take() []mailstore.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.c:
	default:
	}
	evs := s.pending
	s.pending = nil
	return evs
}

// Close ends the subscription. What is pending may still be taken.
func (s *Subscription) Close() {
	s.shard.mu.Lock()
	defer s.shard.mu.Unlock()
	subs := s.shard.subs[s.account]
	delete(subs, s)
	if len(subs) == 0 {
		delete(s.shard.subs, s.account)
	}
}
