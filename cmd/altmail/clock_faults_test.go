//go:build faults

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var c clock
		h := c.routes(http.NotFoundHandler())
		call := func(method, query string, want int, text string) {
			t.Helper()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest(method, "/faults/clock"+query, nil))
			if w.Code != want || text != "" && strings.TrimSpace(w.Body.String()) != text {
				t.Errorf("%s %s: %d %s", method, query, w.Code, w.Body)
			}
		}
		off := func(want time.Duration) {
			t.Helper()
			if got := time.Until(c.now()); got != want {
				t.Errorf("off by %s, want %s", got, want)
			}
		}
		off(0)
		call("POST", "?offset=90s&drift=0.5", 200, "1m30s")
		off(90 * time.Second)
		time.Sleep(10 * time.Second)
		off(95 * time.Second)
		call("GET", "", 200, "1m35s")
		for _, bad := range []string{"?offset=soon", "?drift=fast", "?drift=NaN", "?drift=-2", "?offset=9999999h"} {
			call("POST", bad, 400, "")
		}
		off(95 * time.Second)
		call("POST", "", 200, "0s")
		off(0)
	})
}
