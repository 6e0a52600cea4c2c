package group

import (
	"sync"

	"altmail.se/altmail/cluster"
)

// pins keep bodies from being reclaimed from before they are checked until the
// entry that names them is durably applied (rule R11).
type pins struct {
	mu   sync.Mutex
	held []held
}

type held struct {
	index   uint64
	release func()
}

// keep holds on to pins of entries that are in the log now.
func (p *pins) keep(h []held) {
	if len(h) == 0 {
		return
	}
	p.mu.Lock()
	p.held = append(p.held, h...)
	p.mu.Unlock()
}

// drop releases pins of entries that did not get into the log.
func (p *pins) drop(h []held) {
	for _, x := range h {
		x.release()
	}
}

// durable releases what is durably applied. An entry that was overwritten is
// released when the one that took its index is applied.
func (p *pins) durable(index uint64) {
	p.mu.Lock()
	var free []held
	kept := p.held[:0]
	for _, x := range p.held {
		if x.index <= index {
			free = append(free, x)
		} else {
			kept = append(kept, x)
		}
	}
	clear(p.held[len(kept):])
	p.held = kept
	p.mu.Unlock()
	p.drop(free)
}

func (p *pins) all() []held {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.held
	p.held = nil
	return h
}

func (p *pins) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.held)
}

// refsOf is the bodies of one entry.
type refsOf struct {
	index uint64
	refs  []cluster.BodyRef
}
