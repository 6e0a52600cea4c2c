package imap

import (
	"fmt"
	"time"
)

// progress tells a client now and then that a long command goes on (RFC 9585),
// so that neither it nor what is between gives up. A nil one tells nothing.
type progress struct {
	s           *session
	last        time.Time
	done, total int
}

// progress begins with how many messages a command is about.
func (s *session) progress(total int) *progress {
	return &progress{s: s, last: time.Now(), total: total}
}

// step is called after each batch, on the session's goroutine.
func (p *progress) step(n int) error {
	if p == nil {
		return nil
	}
	p.done += n
	// Section 3: less than the goal while it goes on.
	if p.done >= p.total || time.Since(p.last) < p.s.srv.cfg.Limits.InProgress {
		return nil
	}
	w := p.s.w
	w.Status("*", "OK", fmt.Sprintf(`INPROGRESS ("%s" %d %d)`, p.s.frame.Tag, p.done, p.total), "Still looking")
	p.last = time.Now()
	if err := w.Flush(); err != nil {
		return &connError{err}
	}
	return nil
}
