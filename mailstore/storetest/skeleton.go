package storetest

import (
	"testing"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/change"
	"altmail.se/altmail/mailstore/commit"
	"altmail.se/altmail/mailstore/lookup"
)

// Stack is a mail store of one node.
type Stack struct {
	Lookup *lookup.Door
	Commit *commit.Door
	Feed   *change.Feed
}

// New returns a stack that is checked and closed when the test ends.
func New(t testing.TB) *Stack { panic("") }

// AddAccount makes an account, and its domain if need be.
func (s *Stack) AddAccount(address, password string) mailstore.AccountID { panic("") }

// Open opens an account's keys.
func (s *Stack) Open(id mailstore.AccountID) *lookup.Account { panic("") }

// Unavailable makes the group refuse to answer, or heals it.
func (s *Stack) Unavailable(g cluster.GroupID, on bool) { panic("") }
