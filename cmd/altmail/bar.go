package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"
)

// bar shows how far a long job is: a bar on a terminal, else a line every ten
// seconds.
type bar struct {
	w     io.Writer
	tty   bool
	quiet bool

	mu    sync.Mutex
	last  time.Time
	drawn bool
}

const (
	barEvery  = 100 * time.Millisecond
	lineEvery = 10 * time.Second
	barWidth  = 30
)

func newBar(w io.Writer, quiet bool) *bar {
	f, ok := w.(*os.File)
	return &bar{w: w, tty: ok && term.IsTerminal(int(f.Fd())), quiet: quiet, last: time.Now()}
}

// tell shows how many bytes are done, of all; all is 0 where it is not known.
func (b *bar) tell(what string, done, all int64) {
	text := what + " " + size(done)
	if all > 0 {
		text = fmt.Sprintf("%s of %s, %d %%", text, size(all), done*100/all)
	}
	b.show(text, done, all)
}

// count shows how many things are done.
func (b *bar) count(what string, done, all int, things string) {
	b.show(fmt.Sprintf("%s %d of %d %s", what, done, all, things), int64(done), int64(all))
}

func (b *bar) show(text string, done, all int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	every := lineEvery
	if b.tty {
		every = barEvery
	}
	now := time.Now()
	if b.quiet || now.Sub(b.last) < every {
		return
	}
	b.last = now
	if !b.tty {
		fmt.Fprintln(b.w, text)
		return
	}
	if all > 0 {
		n := int(min(done*barWidth/all, barWidth))
		text = "[" + strings.Repeat("#", n) + strings.Repeat(" ", barWidth-n) + "] " + text
	}
	fmt.Fprintf(b.w, "\r\x1b[K%s", text)
	b.drawn = true
}

// end takes the bar away.
func (b *bar) end() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.drawn {
		fmt.Fprint(b.w, "\r\x1b[K")
		b.drawn = false
	}
}

// size writes a number of bytes for people.
func size(n int64) string {
	const units = "KMGT"
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	f, u := float64(n)/1024, 0
	for f >= 1024 && u < len(units)-1 {
		f /= 1024
		u++
	}
	return fmt.Sprintf("%.1f %ciB", f, units[u])
}
