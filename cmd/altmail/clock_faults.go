//go:build faults

package main

import (
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// clock is the wall clock of a node, where it enters the log or decides that
// something expires. In this build the operator's socket can set it wrong:
//
//	POST /faults/clock?offset=90s&drift=0.01
//
// sets how far it is off from now on, and how many seconds more it gains in
// each. What is not given becomes zero; without anything the clock is right
// again. The answer is the offset; GET asks for it.
type clock struct {
	mu     sync.Mutex
	set    time.Time
	offset time.Duration
	drift  float64
}

func (c *clock) off(at time.Time) time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.offset + time.Duration(c.drift*float64(at.Sub(c.set)))
}

func (c *clock) now() time.Time {
	at := time.Now()
	return at.Add(c.off(at))
}

// maxOffset and maxDrift keep times such as every part can tell.
const (
	maxOffset = 100 * 365 * 24 * time.Hour
	maxDrift  = 100
)

func (c *clock) routes(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", h)
	mux.HandleFunc("GET /faults/clock", func(w http.ResponseWriter, _ *http.Request) { c.tell(w) })
	mux.HandleFunc("POST /faults/clock", func(w http.ResponseWriter, r *http.Request) {
		if err := c.wrong(r.URL.Query().Get("offset"), r.URL.Query().Get("drift")); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		c.tell(w)
	})
	return mux
}

func (c *clock) wrong(offset, drift string) error {
	var o time.Duration
	var d float64
	var err error
	if offset != "" {
		if o, err = time.ParseDuration(offset); err != nil || o.Abs() > maxOffset {
			return fmt.Errorf("offset %q: a duration of at most %s is wanted", offset, maxOffset)
		}
	}
	if drift != "" {
		if d, err = strconv.ParseFloat(drift, 64); err != nil || !(d >= -1 && d <= maxDrift) {
			return fmt.Errorf("drift %q: seconds a second are wanted, from -1 to %d", drift, maxDrift)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.set, c.offset, c.drift = time.Now(), o, d
	return nil
}

func (c *clock) tell(w http.ResponseWriter) {
	// Who asked is gone when this fails.
	fmt.Fprintln(w, c.off(time.Now()).Round(time.Millisecond))
}
