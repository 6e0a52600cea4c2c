package imap

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"golang.org/x/sync/semaphore"
)

// ahead lets the sessions of a server use idle cores: a long command is cut
// into batches, of which some are worked on while others are sent.
type ahead struct {
	running *semaphore.Weighted // goroutines: as many as there are cores
	held    *semaphore.Weighted // octets of batches that are not sent yet
}

const (
	// maxHeld bounds what all sessions together hold ready, about.
	maxHeld = 48 << 20
	// maxAhead is how many batches one session may be ahead of its client.
	maxAhead = 4
)

func newAhead() ahead {
	return ahead{
		running: semaphore.NewWeighted(int64(runtime.GOMAXPROCS(0))),
		held:    semaphore.NewWeighted(maxHeld),
	}
}

// workerPanic is a panic on another goroutine, to go on in the session's.
type workerPanic struct {
	value any
	stack []byte
}

func (p *workerPanic) Error() string { return fmt.Sprintf("%T on %s", p.value, p.stack) }

// inOrder gets batches from next, with about how many octets each will take,
// until it says that it gave the last one; does them, and puts them in the
// order they came in. do may run on another goroutine, while the next batches
// are got and earlier ones put; next and put are only called on the caller's.
// At the first error it returns, when nothing runs any more.
func inOrder[B any](a *ahead, next func() (b B, octets int64, last bool, err error), do func(B), put func(B) error) error {
	type job struct {
		b     B
		held  int64
		done  chan struct{} // nil: done already
		panic *workerPanic
	}
	var queue []*job
	defer func() {
		for _, j := range queue {
			if j.done != nil {
				<-j.done
			}
			a.held.Release(j.held)
		}
	}()
	// front puts the batch whose turn it is.
	front := func() error {
		j := queue[0]
		if j.done != nil {
			<-j.done
		}
		queue = queue[1:]
		defer a.held.Release(j.held)
		if j.panic != nil {
			panic(j.panic)
		}
		return put(j.b)
	}
	ready := func() bool {
		if len(queue) == 0 {
			return false
		}
		if queue[0].done == nil {
			return true
		}
		select {
		case <-queue[0].done:
			return true
		default:
			return false
		}
	}
	for last := false; !last; {
		var b B
		var octets int64
		var err error
		if b, octets, last, err = next(); err != nil {
			for len(queue) > 0 {
				if perr := front(); perr != nil {
					return perr
				}
			}
			return err
		}
		for len(queue) >= maxAhead || ready() {
			if err := front(); err != nil {
				return err
			}
		}
		if last && len(queue) == 0 || !a.held.TryAcquire(octets) {
			// Alone, or too much is held ready already.
			for len(queue) > 0 {
				if err := front(); err != nil {
					return err
				}
			}
			do(b)
			if err := put(b); err != nil {
				return err
			}
			continue
		}
		j := &job{b: b, held: octets}
		queue = append(queue, j)
		// The last one is done here: there is nothing else to do.
		if last || !a.running.TryAcquire(1) {
			do(b)
			continue
		}
		j.done = make(chan struct{})
		go func() {
			defer close(j.done)
			defer a.running.Release(1)
			defer func() {
				if p := recover(); p != nil {
					j.panic = &workerPanic{p, debug.Stack()}
				}
			}()
			do(b)
		}()
	}
	for len(queue) > 0 {
		if err := front(); err != nil {
			return err
		}
	}
	return nil
}
