package migrate

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// plain is a Source in memory.
type plain map[string][]*Message

func (plain) ID() string   { return "plain" }
func (plain) Close() error { return nil }

func (p plain) Mailboxes(context.Context) (out []Mailbox, err error) {
	for name, msgs := range p {
		out = append(out, Mailbox{Name: name, UIDValidity: 7, UIDNext: 10_000, Messages: len(msgs)})
	}
	slices.SortFunc(out, func(a, b Mailbox) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

func (p plain) Subscriptions(context.Context) ([]string, error) { return []string{"INBOX"}, nil }

func (p plain) Messages(ctx context.Context, m Mailbox, after uint32, fn func(*Message) error, skip func(uint32, string)) error {
	for _, msg := range p[m.Name] {
		if msg.UID <= after {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(msg); err != nil {
			return err
		}
	}
	return nil
}

var errAway = errors.New("away")

// shaky is a Sink that often fails, sometimes after it did what it was told.
type shaky struct {
	rng    *rand.Rand
	boxes  map[string][]*Message
	next   map[string]uint32
	subs   []string
	modSeq uint64
	fail   int // one of so many calls; 0: none
}

func (s *shaky) lost() error {
	if s.fail > 0 && s.rng.IntN(s.fail) == 0 {
		return errAway
	}
	return nil
}

func (s *shaky) Transient(err error) bool { return errors.Is(err, errAway) }

func (s *shaky) Begin(context.Context, string) error { return s.lost() }

func (s *shaky) Open(_ context.Context, m Mailbox, modSeq uint64) (Place, error) {
	s.modSeq = modSeq
	p := Place{UIDValidity: m.UIDValidity, Kept: m.Name != "renumbered"}
	if have := s.boxes[m.Name]; len(have) > 0 {
		p.Last = have[len(have)-1].UID
	}
	return p, s.lost()
}

func (s *shaky) Append(_ context.Context, m Mailbox, kept bool, msgs []*Message) error {
	if err := s.lost(); err != nil {
		return err
	}
	have := s.boxes[m.Name]
	if len(have) > 0 && have[len(have)-1].UID >= msgs[0].UID {
		return fmt.Errorf("%d again", msgs[0].UID)
	}
	n := len(msgs)
	if s.fail > 0 {
		n = s.rng.IntN(n + 1)
	}
	s.boxes[m.Name] = append(have, msgs[:n]...)
	if n < len(msgs) {
		return errAway
	}
	return s.lost()
}

func (s *shaky) Finish(_ context.Context, m Mailbox) error {
	s.next[m.Name] = m.UIDNext
	return s.lost()
}

func (s *shaky) Subscribe(_ context.Context, names []string) error { s.subs = names; return s.lost() }

func mail(n int) (out []*Message) {
	for i := range n {
		out = append(out, &Message{UID: uint32(2*i + 1), Raw: []byte("A: b\r\n\r\n")})
	}
	return out
}

// Whatever fails for a while, every message comes once, in order.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		src := plain{"INBOX": mail(3 * batchMessages / 2), "a": mail(1), "empty": nil, "renumbered": mail(batchMessages * 4)}
		src["a"] = append(src["a"], &Message{UID: 9})
		for seed := range uint64(50) {
			s := &shaky{rng: rand.New(rand.NewPCG(seed, 1)), boxes: map[string][]*Message{}, next: map[string]uint32{}, fail: []int{0, 2, 3, 4, 5}[seed%5]}
			var last Progress
			var warned []string
			r, err := Run(t.Context(), src, s, Options{Patience: time.Hour, Progress: func(p Progress) { last = p },
				Warn: func(mailbox, what string) { warned = append(warned, mailbox+": "+what) }})
			if err != nil {
				t.Fatal(seed, err)
			}
			for name, want := range src {
				if name == "a" {
					want = want[:1]
				}
				if !slices.Equal(s.boxes[name], want) {
					t.Errorf("seed %d: %s has %d messages, not %d", seed, name, len(s.boxes[name]), len(want))
				}
				if s.next[name] != 10_000 {
					t.Errorf("%s was not finished", name)
				}
			}
			if r.Mailboxes != 4 || !slices.Equal(r.Renumbered, []string{"renumbered"}) || r.Skipped < 1 || !slices.Equal(s.subs, []string{"INBOX"}) || s.modSeq != unknownModSeq {
				t.Errorf("%+v %q %d", r, s.subs, s.modSeq)
			}
			if last.Done != last.Total || last.Total != 3*batchMessages/2+2+4*batchMessages {
				t.Errorf("progress ends with %+v", last)
			}
			if len(warned) < 2 {
				t.Errorf("warned of %q", warned)
			}
		}
	})
}

// What stays away ends the run, after the patience it was given and not before.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shaky{rng: rand.New(rand.NewPCG(1, 1)), fail: 1}
		start := time.Now()
		_, err := Run(t.Context(), plain{"INBOX": mail(1)}, s, Options{Patience: time.Minute})
		if took := time.Since(start); !errors.Is(err, errAway) || took < time.Minute || took > 2*time.Minute {
			t.Errorf("%v after %s", err, took)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		s.fail, s.boxes, s.next = 0, map[string][]*Message{}, map[string]uint32{}
		if _, err := Run(ctx, plain{"INBOX": mail(1)}, s, Options{}); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
	})
}

func TestWire(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb\n": "a\r\nb\r\n", "a\r\nb\n": "a\r\nb\n", "a\nb\r\nc": "a\r\nb\r\nc", "": "", "x": "x", "\n": "\r\n",
	} {
		if got := string(Wire([]byte(in))); got != want {
			t.Errorf("%q became %q", in, got)
		}
	}
}
