//go:build !faults

package main

import (
	"net/http"
	"time"
)

// clock is the wall clock of a node, where it enters the log or decides that
// something expires. The build with the tag faults can set it wrong.
type clock struct{}

func (*clock) now() time.Time { return time.Now() }

func (*clock) routes(h http.Handler) http.Handler { return h }
