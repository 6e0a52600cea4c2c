package transport

import (
	"context"
	"fmt"
	"syscall"
	"testing"
	"time"

	"altmail.se/altmail/cluster"
)

func cpuTime(b *testing.B) time.Duration {
	var ru syscall.Rusage
	noErr(b, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
	return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
}

// BenchmarkCall measures small calls over loopback TLS; both ends are in this
// process, so cpu-ns/op is the cost of both together.
func BenchmarkCall(b *testing.B) {
	for _, callers := range []int{1, 4, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			w := newWorld(b)
			x, y := w.pair()
			resp := make([]byte, 64)
			y.Handle(cluster.MethodForward, func(context.Context, cluster.NodeID, []byte) ([]byte, error) { return resp, nil })
			benchCalls(b, x, y.id, cluster.MethodForward, make([]byte, 300), callers)
		})
	}
}

// BenchmarkPush measures bodies of 64 KiB.
func BenchmarkPush(b *testing.B) {
	for _, callers := range []int{1, 8} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			w := newWorld(b)
			x, y := w.pair()
			y.Handle(cluster.MethodBodyPush, func(context.Context, cluster.NodeID, []byte) ([]byte, error) { return nil, nil })
			body := make([]byte, 64<<10)
			b.SetBytes(int64(len(body)))
			benchCalls(b, x, y.id, cluster.MethodBodyPush, body, callers)
		})
	}
}

func benchCalls(b *testing.B, x *testNode, to cluster.NodeID, m cluster.Method, req []byte, callers int) {
	ctx, cancel := context.WithTimeout(b.Context(), time.Minute)
	defer cancel()
	if _, err := x.Call(ctx, to, m, req); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	b.SetParallelism(callers) // times GOMAXPROCS; close enough for a curve
	cpu := cpuTime(b)
	b.ResetTimer()
	if callers == 1 {
		for range b.N {
			if _, err := x.Call(ctx, to, m, req); err != nil {
				b.Fatal(err)
			}
		}
	} else {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if _, err := x.Call(ctx, to, m, req); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	b.ReportMetric(float64(cpuTime(b)-cpu)/float64(b.N), "cpu-ns/op")
}
