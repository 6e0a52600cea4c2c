package lan

import (
	"math/rand/v2"
	"testing"
	"time"
)

func TestPass(t *testing.T) {
	now := time.Unix(1000, 0)
	send := func(r Rule, n int) (arrivals []time.Duration, times int) {
		w := wire{rng: rand.New(rand.NewPCG(1, 1))}
		for range n {
			at, k := w.pass(&r, now, 1000)
			times += k
			if k > 0 {
				arrivals = append(arrivals, at[0].Sub(now))
			}
		}
		return arrivals, times
	}
	if _, k := send(Rule{Cut: true}, 1000); k != 0 {
		t.Errorf("%d packets pass a cut wire", k)
	}
	if _, k := send(Rule{Loss: 0.3}, 10000); k < 6800 || k > 7200 {
		t.Errorf("%d of 10000 pass at 30 %% loss", k)
	}
	if _, k := send(Rule{Duplicate: 0.1}, 10000); k < 10800 || k > 11200 {
		t.Errorf("%d arrive of 10000 at 10 %% doubled", k)
	}
	ms := time.Millisecond
	a, _ := send(Rule{Delay: 10 * ms, Jitter: 5 * ms}, 1000)
	for i, d := range a {
		if d < 10*ms || d > 15*ms {
			t.Fatalf("packet %d took %s", i, d)
		}
		if i > 0 && d < a[i-1] {
			t.Fatalf("packet %d overtook, though only jitter was asked for", i)
		}
	}
	a, _ = send(Rule{Delay: 10 * ms, Reorder: 0.1}, 1000)
	overtaken := 0
	for i := 1; i < len(a); i++ {
		if a[i] < a[i-1] {
			overtaken++
		}
	}
	if overtaken < 50 || overtaken > 150 {
		t.Errorf("%d of 1000 packets were overtaken at 10 %%", overtaken)
	}
	a, k := send(Rule{Bandwidth: 100_000}, 100)
	if k < 20 || k > 22 || a[k-1] < 190*ms || a[k-1] > 220*ms {
		t.Errorf("at 100 kB/s %d of 100 packets of 1000 bytes pass, the last after %s", k, a[k-1])
	}
}

func TestNordic(t *testing.T) {
	for i := range 5 {
		for j := range 5 {
			r := Nordic(i, j)
			if back := Nordic(j, i); back != r {
				t.Errorf("%d to %d %s, back %s", i, j, r, back)
			}
			if i%3 != j%3 && (2*r.Delay < 8*time.Millisecond || 2*(r.Delay+r.Jitter) > 20*time.Millisecond) {
				t.Errorf("%d to %d: %s", i, j, r)
			}
		}
	}
}
