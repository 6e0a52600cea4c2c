package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"altmail.se/altmail/bench/corpus"
)

func growthTarget(t *testing.T, n int) (*fakes, *Target) {
	f, mem := newFakes(accounts(n)...)
	f.delivers = true
	target := &Target{Name: "fake", Accounts: accounts(n)}
	target.Delivery.Addrs = []string{f.listen(t, false, nil, false)}
	target.IMAP.Addrs = []string{listenIMAP(t, mem, nil, false)}
	return f, target
}

// TestGrowth: each stage has the size it says, and a run goes on where another
// stopped.
func TestGrowth(t *testing.T) {
	f, target := growthTarget(t, 9)
	all := target.Accounts
	target.Accounts = all[:1]
	target.DataDirs = []string{t.TempDir()}
	target.PIDs = func() []int { return nil }
	var grown []int
	var kept []GrowthPoint
	o := GrowthOptions{
		Stages: []GrowthStage{{20, 3}, {60, 3}, {60, 9}}, Source: Short{text, 300}, Fillers: 3, Connections: 2, Count: 5, Rounds: 2, Selects: 3,
		Grow: func(_ context.Context, n int) ([]Account, error) {
			grown = append(grown, n)
			return all[:n], nil
		},
		Keep: func(p GrowthPoint) error { kept = append(kept, p); return nil },
	}
	rs, err := Growth(t.Context(), target, o)
	if err != nil {
		t.Fatal(err)
	}
	if len(rs) != 3 || len(kept) != 3 || fmt.Sprint(grown) != "[3 3 9]" || len(target.Accounts) != 1 {
		t.Fatalf("%d results, %d kept, grown %v, the target has %d accounts", len(rs), len(kept), grown, len(target.Accounts))
	}
	for i, r := range rs {
		p := r.Growth
		if p.Stage != o.Stages[i] || p.One.Rate <= 0 || p.All.P99 < p.All.P50 || p.First <= 0 || p.Again <= 0 || p.DataDirs != 1 {
			t.Errorf("%+v", p)
		}
		if (p.Few != nil) != (i == 2) || (p.FillRate > 0) != (i < 2) {
			t.Errorf("stage %d: %+v", i, p)
		}
	}
	// 10 + 10 measured in the one mailbox, 40 - 10 filled; then what went to
	// all in turn.
	if n := len(f.got[all[0].Address]); n < 60 || n > 100 {
		t.Errorf("%d messages in the large mailbox", n)
	}
	// Five deliveries to nine accounts, twice: not always to the same five.
	if len(f.got) < 6 {
		t.Errorf("%d accounts got mail", len(f.got))
	}
	// Nothing is done twice, and another stage goes on.
	before := f.count()
	o.Had = kept
	if rs, err = Growth(t.Context(), target, o); err != nil || len(rs) != 3 || f.count() != before {
		t.Errorf("%v, %d results, %d messages more", err, len(rs), f.count()-before)
	}
	o.Stages = append(o.Stages, GrowthStage{70, 9})
	if rs, err = Growth(t.Context(), target, o); err != nil || len(rs) != 4 || len(kept) != 4 {
		t.Errorf("%v, %d results, %d kept", err, len(rs), len(kept))
	}
	var out strings.Builder
	if err := WriteGrowthTable(&out, rs...); err != nil || strings.Count(out.String(), "\n") != 7 || !strings.Contains(out.String(), "(1.00 ×)") {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestGrowthFails(t *testing.T) {
	f, target := growthTarget(t, 2)
	ok := GrowthOptions{Stages: []GrowthStage{{4, 1}, {8, 2}}, Source: text, Count: 1, Rounds: 1, Selects: 2}
	for name, bad := range map[string]func(*GrowthOptions, *Target){
		"none":        func(o *GrowthOptions, _ *Target) { o.Stages = nil },
		"empty":       func(o *GrowthOptions, _ *Target) { o.Stages = []GrowthStage{{}} },
		"shrinks":     func(o *GrowthOptions, _ *Target) { o.Stages = []GrowthStage{{4, 2}, {5, 1}} },
		"no IMAP":     func(_ *GrowthOptions, t *Target) { t.IMAP.Addrs = nil },
		"no accounts": func(o *GrowthOptions, _ *Target) { o.Stages = []GrowthStage{{4, 3}} },
	} {
		o, one := ok, *target
		bad(&o, &one)
		if _, err := Growth(t.Context(), &one, o); !errors.Is(err, ErrTarget) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What is refused in the second stage leaves the first one's results.
	o := ok
	o.Keep = func(GrowthPoint) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.answer = func() error { return errors.New("full") }
		return nil
	}
	rs, err := Growth(t.Context(), target, o)
	if err == nil || !strings.Contains(err.Error(), "8 messages and 2 accounts") || len(rs) != 1 {
		t.Errorf("%d results, %v", len(rs), err)
	}
}

func TestGrowthStages(t *testing.T) {
	for _, c := range []struct {
		from, to GrowthStage
		want     []GrowthStage
	}{
		{GrowthStage{10, 1}, GrowthStage{10, 1}, []GrowthStage{{10, 1}}},
		{GrowthStage{10_000, 100}, GrowthStage{1_000_000, 10_000}, []GrowthStage{
			{10_000, 100}, {100_000, 100}, {1_000_000, 100}, {1_000_000, 1000}, {1_000_000, 10_000},
		}},
		{GrowthStage{10, 2}, GrowthStage{250, 5}, []GrowthStage{{10, 2}, {100, 2}, {250, 2}, {250, 5}}},
	} {
		if got := GrowthStages(c.from, c.to); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%v → %v: %v", c.from, c.to, got)
		}
	}
}

func TestShort(t *testing.T) {
	for i := range 50 {
		whole := text.Message(i)
		got := Short{text, 1500}.Message(i)
		head, body, ok := bytes.Cut(got, []byte("\r\n\r\n"))
		if !ok || !bytes.HasPrefix(whole, got) || !bytes.HasSuffix(got, []byte("\r\n")) || len(got) > max(1500, len(head)+4) {
			t.Fatalf("message %d: %d of %d octets", i, len(got), len(whole))
		}
		if len(head) < 1000 && len(body) == 0 {
			t.Errorf("message %d has no text", i)
		}
	}
	tiny := script{"a: b\r\n\r\n", "no header at all, and long"}
	for i := range tiny {
		if got := (Short{tiny, 3}).Message(i); len(got) == 0 || !strings.HasPrefix(tiny[i], string(got)) {
			t.Errorf("%q → %q", tiny[i], got)
		}
	}
	if (Short{tiny, 3}).Len() != 2 || (Short{corpus.New(corpus.Text, 1), 3}).Len() != 0 {
		t.Error("it has another length than its source")
	}
}
