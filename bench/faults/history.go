package faults

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
)

// Outcome is what a client was answered.
type Outcome int

// The outcomes. Unknown: the connection was lost or the answer says that it
// may have happened.
const (
	Answered Outcome = iota
	Refused
	Unknown
)

// History is what the clients of a run did and were answered, and what was
// seen of it since. Its methods may be called at any time.
type History struct {
	mu   sync.Mutex
	msgs map[string]*record // by id
	// uids remembers which message each UID of a mailbox was: never another.
	uids     map[string]map[uint32]string
	validity map[string]uint32
	next     int
}

type record struct {
	mailbox string
	seed    uint64
	outcome Outcome
	// flags are those the last answered STORE left; maybe is what a STORE
	// without an answer may have left instead.
	flags, maybe []string
	inDoubt      bool
}

// NewHistory returns an empty one.
func NewHistory() *History {
	return &History{msgs: map[string]*record{}, uids: map[string]map[uint32]string{}, validity: map[string]uint32{}}
}

// New makes a message for a mailbox: its id and its octets. It counts as
// Unknown until Done.
func (h *History) New(mailbox string, size int) (id string, raw []byte) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.next++
	id = fmt.Sprintf("m%06d", h.next)
	seed := uint64(h.next)
	h.msgs[id] = &record{mailbox: mailbox, seed: seed, outcome: Unknown}
	return id, octets(id, seed, size)
}

// octets are a message's bytes: its id in the header, its length in the body,
// and text that follows from the seed, so that any change shows.
func octets(id string, seed uint64, size int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: writer@example.org\r\nSubject: %s\r\nMessage-ID: <%s@example.org>\r\nX-Size: %d\r\n\r\n", id, id, size)
	r := rand.New(rand.NewPCG(seed, 7))
	for b.Len() < size {
		for range 12 {
			fmt.Fprintf(&b, "%x ", r.Uint32())
		}
		b.WriteString("\r\n")
	}
	return b.Bytes()
}

// Done records how storing a message ended.
func (h *History) Done(id string, o Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.msgs[id].outcome = o
}

// Storing records that a STORE is about to set a message's flags.
func (h *History) Storing(id string, flags []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.msgs[id]
	r.maybe, r.inDoubt = slices.Sorted(slices.Values(flags)), true
}

// Stored records how that STORE ended.
func (h *History) Stored(id string, o Outcome) {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.msgs[id]
	switch o {
	case Answered:
		r.flags, r.inDoubt = r.maybe, false
	case Refused:
		r.inDoubt = false
	}
}

// InDoubt reports whether a STORE of the message was never answered: further
// ones would hide how it ended.
func (h *History) InDoubt(id string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.msgs[id].inDoubt
}

// Seen is one message as a client found it.
type Seen struct {
	UID   uint32
	Flags []string // without \Recent
	Raw   []byte
}

// Verify compares a mailbox, listed in the order of its sequence numbers, with
// the history. final demands every answered message; before the end, what is
// still under way is let be.
func (h *History) Verify(mailbox string, validity uint32, seen []Seen) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	var errs []error
	bad := func(format string, a ...any) {
		if len(errs) < 20 {
			errs = append(errs, fmt.Errorf("%s: "+format, append([]any{mailbox}, a...)...))
		}
	}
	if v, ok := h.validity[mailbox]; ok && v != validity {
		bad("UIDVALIDITY changed from %d to %d", v, validity)
	}
	h.validity[mailbox] = validity
	if h.uids[mailbox] == nil {
		h.uids[mailbox] = map[uint32]string{}
	}
	known := h.uids[mailbox]
	times := map[string]int{}
	var last uint32
	for _, s := range seen {
		if s.UID <= last {
			bad("UID %d comes after UID %d", s.UID, last)
		}
		last = s.UID
		id := subject(s.Raw)
		r := h.msgs[id]
		if r == nil {
			bad("UID %d is a message nobody sent (%q)", s.UID, id)
			continue
		}
		if was, ok := known[s.UID]; ok && was != id {
			bad("UID %d was %s and is now %s", s.UID, was, id)
		}
		known[s.UID] = id
		times[id]++
		if times[id] > 1 {
			bad("%s is there %d times", id, times[id])
		}
		if r.outcome == Refused {
			bad("%s was refused and is there", id)
		}
		if r.mailbox != mailbox {
			bad("%s belongs into %s", id, r.mailbox)
		}
		var size int
		if _, err := fmt.Sscanf(header(s.Raw, "X-Size"), "%d", &size); err != nil {
			bad("%s: bytes differ (no size)", id)
		} else if want := octets(id, r.seed, size); !bytes.HasSuffix(s.Raw, want) {
			bad("%s: bytes differ", id)
		}
		flags := slices.Sorted(slices.Values(s.Flags))
		if !slices.Equal(flags, r.flags) && !(r.inDoubt && slices.Equal(flags, r.maybe)) {
			bad("%s has flags %v, answered were %v (in doubt %v: %v)", id, flags, r.flags, r.inDoubt, r.maybe)
		}
	}
	for id, r := range h.msgs {
		if r.mailbox == mailbox && r.outcome == Answered && times[id] == 0 {
			bad("%s was answered and is lost", id)
		}
	}
	return errors.Join(errs...)
}

// Count returns how many messages ended in each way.
func (h *History) Count() (answered, refused, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, r := range h.msgs {
		switch r.outcome {
		case Answered:
			answered++
		case Refused:
			refused++
		default:
			unknown++
		}
	}
	return
}

func subject(raw []byte) string { return header(raw, "Subject") }

func header(raw []byte, name string) string {
	head, _, _ := bytes.Cut(raw, []byte("\r\n\r\n"))
	for line := range strings.SplitSeq(string(head), "\r\n") {
		if v, ok := strings.CutPrefix(line, name+": "); ok {
			return v
		}
	}
	return ""
}
