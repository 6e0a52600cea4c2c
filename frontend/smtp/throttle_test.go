package smtp

import (
	"context"
	"fmt"
	"net"
	"testing"

	"altmail.se/altmail/frontend/auth"
)

// refuser is a throttle that remembers, and refuses when it is told to.
type refuser struct {
	refuse bool
	got    []auth.Outcome
}

func (r *refuser) Begin(_ context.Context, remote net.Addr) (func(auth.Outcome), error) {
	if _, ok := auth.Origin(remote); !ok || r.refuse {
		return nil, auth.ErrThrottled
	}
	return func(how auth.Outcome) { r.got = append(r.got, how) }, nil
}

// The throttle is asked before each message that may be a guess, and told how
// it went.
func TestThrottle(t *testing.T) {
	th := &refuser{}
	_, addr := start(t, &world{}, Submission, func(c *Config) { c.Throttle = th })
	c := dial(t, addr)
	c.talk(`
S: 220
C: EHLO client.example
S: 250-Hello client.example
C: AUTH PLAIN AGFubmFAaGVyZS5leGFtcGxlAHdyb25n
S: 535 5.7.8
C: AUTH LOGIN
S: 334
C: YW5uYUBoZXJlLmV4YW1wbGU=
S: 334
C: d3Jvbmc=
S: 535 5.7.8
`)
	th.refuse = true
	c.talk(`
C: AUTH PLAIN AGFubmFAaGVyZS5leGFtcGxlAHdyb25n
S: 454 4.7.0 too many failed logins
`)
	if want := fmt.Sprint([]auth.Outcome{auth.Wrong, auth.Undecided, auth.Wrong}); fmt.Sprint(th.got) != want {
		t.Errorf("%v, want %s", th.got, want)
	}
}
