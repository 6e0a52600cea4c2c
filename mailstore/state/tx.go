package state

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// tx is the one way rows change. It gathers the rows of a whole Apply in an
// indexed batch, so that later entries see what earlier ones wrote, and keeps
// the digest in step: whoever overwrites or removes a row gives the hash of
// the row that was there (R6 re-reads everything to prove it).
type tx struct {
	keys
	hasher
	batch *pebble.Batch
	seen  *seen
	sum   sum
	kb    []byte // scratch for keys
	vb    []byte // scratch for values
	// sync makes the batch durable before it counts as applied.
	sync bool
}

// absent is the hash of a row that does not exist.
var absent sum

// get calls fn with the value of key, which it must not keep, and reports
// whether there is one.
func (t *tx) get(key []byte, fn func(v []byte) error) (bool, error) {
	if t.seen.absent(key) {
		return false, nil
	}
	v, closer, err := t.batch.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("state: read: %w", err)
	}
	if fn != nil {
		err = fn(v)
	}
	if cerr := closer.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("state: read: %w", cerr)
	}
	return true, err
}

// put writes a row over the one whose hash is old, or absent. It returns the
// hash of the new row.
func (t *tx) put(key []byte, old sum, value []byte) (sum, error) {
	s := t.row(key, value)
	t.sum.remove(old)
	t.sum.add(s)
	t.seen.add(key)
	if err := t.batch.Set(key, value, nil); err != nil {
		return s, fmt.Errorf("state: write: %w", err)
	}
	return s, nil
}

// del removes the row whose hash is old.
func (t *tx) del(key []byte, old sum) error {
	t.sum.remove(old)
	if err := t.batch.Delete(key, nil); err != nil {
		return fmt.Errorf("state: delete: %w", err)
	}
	return nil
}

// iter opens an iterator over what this Apply sees at this moment. Rows may be
// changed while it is open; it does not show that.
func (t *tx) iter(lower, upper []byte) (*pebble.Iterator, error) {
	it, err := t.batch.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: upper})
	if err != nil {
		return nil, fmt.Errorf("state: scan: %w", err)
	}
	return it, nil
}

// closeIter ends an iteration and tells what went wrong in it.
func closeIter(it *pebble.Iterator, err error) error {
	if ierr := it.Error(); err == nil && ierr != nil {
		err = fmt.Errorf("state: scan: %w", ierr)
	}
	if cerr := it.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("state: scan: %w", cerr)
	}
	return err
}

// scan calls fn for each row whose key begins with prefix until fn answers
// false or fails. Key and value are valid during the call.
func (t *tx) scan(prefix []byte, fn func(k, v []byte) (bool, error)) error {
	it, err := t.iter(prefix, upper(prefix))
	if err != nil {
		return err
	}
	for ok := it.First(); ok && err == nil; ok = it.Next() {
		var v []byte
		if v, err = it.ValueAndErr(); err != nil {
			break
		}
		more, ferr := fn(it.Key(), v)
		if err = ferr; !more {
			break
		}
	}
	return closeIter(it, err)
}
