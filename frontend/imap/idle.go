package imap

import (
	"strings"
	"time"

	"altmail.se/altmail/frontend/imapwire"
)

// cmdIdle is of RFC 9051 section 6.3.13.
func cmdIdle(c *call) error {
	if err := c.args.End(); err != nil {
		return err
	}
	s := c.s
	tag := s.frame.Tag
	s.frame.Reset()
	s.frame.Tag, s.frame.Name = tag, "IDLE"
	s.w.Raw("+ idling\r\n")
	s.inIdle.Store(true)
	s.srv.stats.idle.Add(1)
	defer func() {
		s.inIdle.Store(false)
		s.srv.stats.idle.Add(-1)
	}()
	lim := &s.srv.cfg.Limits
	over := time.NewTimer(lim.Idle)
	defer over.Stop()
	sign := time.NewTicker(lim.StillHere)
	defer sign.Stop()
	for !s.rd.HasLine() {
		if err := s.announceIdle(); err != nil {
			return err
		}
		if err := s.w.Flush(); err != nil {
			return &connError{err}
		}
		// Before the watch, so that a wake is not undone.
		if err := s.conn.SetReadDeadline(time.Time{}); err != nil {
			return &connError{err}
		}
		if err := s.ending(); err != nil {
			return err
		}
		if err := s.idleOnce(over.C, sign.C); err != nil {
			return err
		}
	}
	line, err := s.rd.ReadLine(nil, maxIdleLine)
	if err != nil {
		return &connError{err}
	}
	if !strings.EqualFold(strings.TrimSpace(string(line)), "DONE") {
		return &imapwire.SyntaxError{Text: "Expected DONE"}
	}
	return nil
}

// maxIdleLine is far more than DONE takes, and less than a connection's small
// buffer: a longer line is not waited for.
const maxIdleLine = 100

func (s *session) announceIdle() error {
	if s.notify != nil {
		return s.tellAll(true)
	}
	if s.box == nil {
		s.signal = false
		s.take()
		return nil
	}
	return s.announce(announce{expunge: true})
}

// idleOnce waits for the next thing to happen.
func (s *session) idleOnce(over, sign <-chan time.Time) (err error) {
	news := s.rd.Watch(false)
	defer func() {
		// The background read is always waited for, so that nothing of this
		// session runs twice.
		if rerr := s.rd.Unwatch(); err == nil && rerr != nil {
			err = &connError{rerr}
		}
		if err == nil {
			err = s.ending()
		}
		if err == nil && !s.rd.HasLine() && s.rd.Len() > maxIdleLine {
			err = imapwire.ErrTooMuch
		}
	}()
	for {
		select {
		case <-news:
			return nil
		case <-s.boxNews():
			if err := s.announceIdle(); err != nil {
				return err
			}
			if err := s.w.Flush(); err != nil {
				return &connError{err}
			}
		case <-s.sub.C():
			s.signal = true
			if err := s.announceIdle(); err != nil {
				return err
			}
			if err := s.w.Flush(); err != nil {
				return &connError{err}
			}
		case <-sign:
			// Keeps middleboxes from forgetting the connection, and finds out
			// whether the client is still there.
			s.w.Status("*", "OK", "", "Still here")
			if err := s.w.Flush(); err != nil {
				return &connError{err}
			}
		case <-over:
			return errIdleOver
		case <-s.srv.closing:
			return errShutdown
		case <-s.ctx.Done():
			return &connError{s.ctx.Err()}
		}
	}
}
