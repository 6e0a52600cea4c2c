package storetest

import (
	"context"
	"sync"

	"github.com/cockroachdb/pebble/v2/vfs"

	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/lookup"
	"altmail.se/altmail/mailstore/search"
)

// Search is the full-text index of a stack. It is a lookup.Searcher that knows
// all mail there is when it is asked.
type Search struct {
	Index *search.Index

	s       *Stack
	mu      sync.Mutex
	off     bool
	indexer *search.Indexer
}

var _ lookup.Searcher = (*Search)(nil)

func newSearch(s *Stack, fs vfs.FS) *Search {
	x, err := search.Open(fs, "search", search.Options{Text: 1})
	s.must(err)
	return &Search{Index: x, s: s}
}

func (x *Search) start(m search.Mail) {
	x.indexer = search.NewIndexer(x.Index, m, search.IndexerOptions{Batch: 1, Sweep: 1, Busy: 1, Idle: 1})
}

// Off lets every search read all messages, or no more.
func (x *Search) Off(off bool) {
	x.mu.Lock()
	x.off = off
	x.mu.Unlock()
}

// Search implements lookup.Searcher.
func (x *Search) Search(ctx context.Context, id mailstore.AccountID, keys search.Keys, needle []byte, body bool, _ int) (*search.Found, error) {
	x.mu.Lock()
	if x.off {
		x.mu.Unlock()
		return &search.Found{}, nil
	}
	x.indexer.ChangedAll()
	err := x.indexer.Round(ctx)
	x.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return x.Index.Search(ctx, id, keys, needle, body, 1<<30)
}
