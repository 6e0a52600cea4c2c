package restore

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/backup/repo"
)

// putters is how many bodies are put at a time: who waits for the disk together
// waits once.
const putters = 32

func (s *Source) each(ctx context.Context, list []repo.Body, gone map[repo.ID]bool,
	put func(id cluster.BodyID, b []byte) error, tell func(size int64), m *Missing) error {
	var mu sync.Mutex
	eg, ctx := errgroup.WithContext(ctx)
	eg.SetLimit(putters)
	for _, b := range list {
		if ctx.Err() != nil {
			break
		}
		id := cluster.BodyID(b.ID)
		if !s.Repo.Has(repo.KindBody, b.ID) {
			if gone[b.ID] {
				m.Gone[id] = true
			} else {
				mu.Lock()
				m.Lost = append(m.Lost, id)
				mu.Unlock()
			}
			continue
		}
		eg.Go(func() error {
			data, err := s.Repo.Get(ctx, repo.KindBody, b.ID)
			if errors.Is(err, repo.ErrDamaged) || errors.Is(err, repo.ErrMissing) {
				mu.Lock()
				m.Lost = append(m.Lost, id)
				mu.Unlock()
				return nil
			}
			if err != nil {
				return err
			}
			if err := put(id, data); err != nil {
				return err
			}
			mu.Lock()
			tell(int64(len(data)))
			mu.Unlock()
			return nil
		})
	}
	return eg.Wait()
}
