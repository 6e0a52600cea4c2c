package imap

import (
	"errors"
	"fmt"
	"math/rand"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sync/semaphore"

	"altmail.se/altmail/mailstore"
)

func testAhead(running, held int64) *ahead {
	return &ahead{running: semaphore.NewWeighted(running), held: semaphore.NewWeighted(held)}
}

// idle reports that nothing is running or held any more.
func (a *ahead) idle(t *testing.T, running, held int64) {
	t.Helper()
	if !a.running.TryAcquire(running) || !a.held.TryAcquire(held) {
		t.Error("goroutines or memory were not given back")
	}
}

func TestInOrder(t *testing.T) {
	rnd := rand.New(rand.NewSource(3))
	for round := range 300 {
		running, held := int64(rnd.Intn(4)), int64(rnd.Intn(40))
		a := testAhead(running, held)
		n := 1 + rnd.Intn(30)
		failNext, failPut := -1, -1
		switch round % 4 {
		case 1:
			failNext = rnd.Intn(n)
		case 2:
			failPut = rnd.Intn(n)
		}
		spins := make([]int, n)
		for i := range spins {
			spins[i] = rnd.Intn(4)
		}
		boom := errors.New("boom")
		var done atomic.Int64
		var ready atomic.Int64 // done and not put
		var got []int
		i := -1
		err := inOrder(a, func() (*int, int64, bool, error) {
			if i++; i == failNext {
				return nil, 0, false, boom
			}
			b := i
			return &b, int64(i%7) + 1, i == n-1, nil
		}, func(b *int) {
			for range spins[*b] {
				runtime.Gosched()
			}
			done.Add(1)
			if ready.Add(1) > maxAhead+1 {
				t.Errorf("%d batches ahead", ready.Load())
			}
		}, func(b *int) error {
			ready.Add(-1)
			if *b == failPut {
				return boom
			}
			got = append(got, *b)
			return nil
		})
		want := n
		if failNext >= 0 {
			want = failNext // what came before is put all the same
		}
		if failPut >= 0 {
			want = failPut
		}
		if (err != nil) != (want < n) || err != nil && !errors.Is(err, boom) {
			t.Fatalf("round %d: %v", round, err)
		}
		if len(got) != want || !slices.IsSorted(got) {
			t.Fatalf("round %d: put %v, want %d", round, got, want)
		}
		a.idle(t, running, held)
	}
}

// A panic of a worker goes on where the session's own would.
func TestInOrderPanic(t *testing.T) {
	a := testAhead(2, 100)
	i := 0
	func() {
		defer func() {
			p, ok := recover().(*workerPanic)
			if !ok || p.value != "worker" || !strings.Contains(string(p.stack), "TestInOrderPanic") {
				t.Errorf("recovered %v", p)
			}
		}()
		err := inOrder(a, func() (int, int64, bool, error) { i++; return i, 1, i == 8, nil },
			func(b int) {
				if b == 1 {
					panic("worker")
				}
			}, func(int) error { return nil })
		t.Errorf("returned %v", err)
	}()
	a.idle(t, 2, 100)
}

func TestCutRanges(t *testing.T) {
	rnd := rand.New(rand.NewSource(5))
	for range 500 {
		var l uidList
		var all []mailstore.UID
		for u := mailstore.UID(1); u < 200; u++ {
			if rnd.Intn(3) > 0 {
				l.add(u)
				all = append(all, u)
			}
		}
		var rs []mailstore.Range
		for u := mailstore.UID(1 + rnd.Intn(10)); u < 220; u += mailstore.UID(2 + rnd.Intn(20)) {
			r := mailstore.Range{First: u, Last: u + mailstore.UID(rnd.Intn(15))}
			rs = append(rs, r)
			u = r.Last
		}
		was := slices.Clone(rs)
		n := 1 + rnd.Intn(40)
		var got []mailstore.UID
		for left := rs; len(left) > 0; {
			var head []mailstore.Range
			head, left = l.cut(left, uint32(n))
			k := 0
			for _, u := range all {
				if inRanges(head, u) {
					got = append(got, u)
					k++
				}
			}
			if k > n || k < n && len(left) > 0 {
				t.Fatalf("%d messages in a piece of %d, %v left", k, n, left)
			}
		}
		want := slices.DeleteFunc(slices.Clone(all), func(u mailstore.UID) bool { return !inRanges(was, u) })
		if !slices.Equal(got, want) || !slices.Equal(rs, was) {
			t.Fatalf("pieces of %d of %v have %v, want %v", n, was, got, want)
		}
	}
}

// What many batches answer is what many commands do: small messages, large
// ones that are put together in memory and ones that are streamed.
func TestBatches(t *testing.T) {
	_, c := filled(t, 600)
	for _, size := range []int{700 << 10, 3 << 20, 300 << 10} {
		line := strings.Repeat("large ", 12) + "\r\n"
		raw := "Subject: large\r\nFrom: big@example.org\r\n\r\n" + strings.Repeat(line, size/len(line))
		c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
	}
	raw := "Subject: last\r\n\r\nx\r\n"
	c.ok(fmt.Sprintf("APPEND INBOX {%d+}\r\n%s", len(raw), raw))
	c.ok("STORE 5:300 +FLAGS.SILENT (\\Deleted)")
	c.ok("EXPUNGE") // UIDs have a gap
	const n = 604 - 296
	for _, items := range []string{"(UID FLAGS INTERNALDATE)", "(ENVELOPE BODYSTRUCTURE)", "(BODY.PEEK[HEADER.FIELDS (Subject From X-Mailer)])",
		"(UID BODY.PEEK[] RFC822.SIZE)", "BODY.PEEK[]<100.300000>", "(BODY.PEEK[1] BINARY.SIZE[1])"} {
		whole := c.ok("FETCH 1:* " + items)
		if len(whole) != n {
			t.Fatalf("%s: %d responses, want %d", items, len(whole), n)
		}
		var parts []string
		for i := 1; i <= n; i += 7 {
			parts = append(parts, c.ok(fmt.Sprintf("FETCH %d:%d %s", i, min(i+6, n), items))...)
		}
		if !slices.Equal(whole, parts) {
			t.Errorf("%s: one command differs from many", items)
		}
	}
	for _, key := range []string{"SUBJECT large", "FROM someone7", "DELETED", "NOT SUBJECT number", "BODY \"large large\"", "OR SUBJECT last SUBJECT \"number 400\""} {
		whole := c.ok("UID SEARCH " + key)
		var parts []string
		for i := 1; i <= n; i += 50 {
			for _, l := range c.ok(fmt.Sprintf("UID SEARCH %d:%d %s", i, min(i+49, n), key)) {
				parts = append(parts, strings.Fields(l)[2:]...)
			}
		}
		if got := strings.Fields(whole[0])[2:]; !slices.Equal(got, parts) {
			t.Errorf("SEARCH %s: %v, piece by piece %v", key, got, parts)
		}
	}
	// Reading marks the messages of all batches.
	c.ok("FETCH 1:* BODY[]<0.10>")
	if got := c.ok("SEARCH UNSEEN"); strings.TrimSpace(got[0]) != "* SEARCH" {
		t.Errorf("after reading all: %v", got)
	}
}
