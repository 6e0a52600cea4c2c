package snapshot

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/hashicorp/raft"

	"altmail.se/altmail/cluster"
)

// Fetched is a state that is complete and verified in its stage, and what is
// needed to install it.
type Fetched struct {
	Stage              cluster.Stage
	Index, Term        uint64
	Configuration      raft.Configuration
	ConfigurationIndex uint64
	// SourceTerm was the source's current term: at least the term in which the
	// last entry of the state was committed.
	SourceTerm uint64
}

// Marker returns the marker of the state.
func (f Fetched) Marker() Marker {
	return Marker{
		Index: f.Index, Term: f.Term, Configuration: f.Configuration,
		ConfigurationIndex: f.ConfigurationIndex, Floor: f.SourceTerm, Taken: time.Now(),
	}
}

// Errors of a fetch.
var (
	ErrSessionOver = errors.New("snapshot: the fetch session is over")
	ErrRefused     = errors.New("snapshot: the source refuses a fetch now")
	// ErrStale: the source's state is not newer than what is wanted.
	ErrStale = errors.New("snapshot: the source's state is too old")
)

// FetchOptions of Fetch.
type FetchOptions struct {
	// Call sends one request to the source.
	Call func(ctx context.Context, req []byte) ([]byte, error)
	// Stage begins to receive.
	Stage func(index, term uint64) (cluster.Stage, error)
	// AtLeast is the lowest index that is of use.
	AtLeast uint64
	// Retries is how often one failing read is tried again on the same
	// session, with growing pauses; 0 means 8.
	Retries int
	// ReadTimeout bounds one read; 0 means 15 s.
	ReadTimeout time.Duration
	// Progress, if set, is told the bytes received so far.
	Progress func(bytes uint64)
}

// Fetch copies a state from a source into a stage and verifies it. A broken
// connection is resumed on the same session from the last block staged.
func Fetch(ctx context.Context, o FetchOptions) (f Fetched, err error) {
	if o.Retries == 0 {
		o.Retries = 8
	}
	if o.ReadTimeout == 0 {
		o.ReadTimeout = 15 * time.Second
	}
	resp, err := call(ctx, o, []byte{opOpen})
	if err != nil {
		return f, err
	}
	id, digest, err := f.decodeOpen(resp)
	if err != nil {
		return f, err
	}
	defer func() {
		if f.Stage != nil && err != nil {
			err = errors.Join(err, f.Stage.Abort())
			f.Stage = nil
		}
		// A session that can't be closed ends by itself: the error is of no use.
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), o.ReadTimeout)
		defer cancel()
		if _, cerr := o.Call(cctx, binary.BigEndian.AppendUint64([]byte{opClose}, id)); cerr != nil && err != nil {
			err = errors.Join(err, cerr)
		}
	}()
	if f.Index < o.AtLeast {
		return f, fmt.Errorf("%w: %d below %d", ErrStale, f.Index, o.AtLeast)
	}
	if f.Stage, err = o.Stage(f.Index, f.Term); err != nil {
		return f, fmt.Errorf("snapshot: stage: %w", err)
	}
	var got uint64
	for done := false; !done; {
		after := f.Stage.Next()
		req := binary.BigEndian.AppendUint64([]byte{opRead}, id)
		req = binary.BigEndian.AppendUint32(req, MaxBlock)
		req = binary.BigEndian.AppendUint16(req, uint16(len(after)))
		if resp, err = call(ctx, o, append(req, after...)); err != nil {
			return f, err
		}
		var block []byte
		if block, _, done, err = decodeRead(resp); err != nil {
			return f, err
		}
		if len(block) > 0 {
			if err = f.Stage.Write(block); err != nil {
				return f, fmt.Errorf("snapshot: stage: %w", err)
			}
		}
		got += uint64(len(block))
		if o.Progress != nil {
			o.Progress(got)
		}
	}
	if err = f.Stage.Verify(digest); err != nil {
		return f, fmt.Errorf("snapshot: stage: %w", err)
	}
	return f, nil
}

// call sends a request, and again after a failure of the connection: reads are
// repeatable on a session.
func call(ctx context.Context, o FetchOptions, req []byte) ([]byte, error) {
	pause := 20 * time.Millisecond
	for try := 0; ; try++ {
		cctx, cancel := context.WithTimeout(ctx, o.ReadTimeout)
		resp, err := o.Call(cctx, req)
		cancel()
		if err == nil {
			if len(resp) < 1 {
				return nil, fmt.Errorf("%w: fetch response", errMalformed)
			}
			switch resp[0] {
			case statusOK:
				return resp[1:], nil
			case statusNoSess:
				return nil, ErrSessionOver
			case statusRefused:
				return nil, ErrRefused
			}
			return nil, fmt.Errorf("%w: fetch status %d", errMalformed, resp[0])
		}
		if ctx.Err() != nil || try == o.Retries {
			return nil, fmt.Errorf("snapshot: fetch: %w", err)
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return nil, fmt.Errorf("snapshot: fetch: %w", ctx.Err())
		case <-t.C:
		}
		pause = min(2*pause, 2*time.Second)
	}
}

func (f *Fetched) decodeOpen(b []byte) (id uint64, digest cluster.Digest, err error) {
	if len(b) < 8*4+16+8 {
		return 0, digest, fmt.Errorf("%w: fetch response", errMalformed)
	}
	id = binary.BigEndian.Uint64(b)
	f.Index = binary.BigEndian.Uint64(b[8:])
	f.Term = binary.BigEndian.Uint64(b[16:])
	f.SourceTerm = binary.BigEndian.Uint64(b[24:])
	copy(digest[:], b[32:])
	f.ConfigurationIndex = binary.BigEndian.Uint64(b[48:])
	var rest []byte
	if f.Configuration, rest, err = DecodeConfiguration(b[56:]); err != nil {
		return 0, digest, err
	}
	if len(rest) != 0 || f.Index == 0 || f.Term == 0 || f.SourceTerm < f.Term || f.ConfigurationIndex > f.Index {
		return 0, digest, fmt.Errorf("%w: fetch response", errMalformed)
	}
	return id, digest, nil
}

func decodeRead(b []byte) (block, next []byte, done bool, err error) {
	if len(b) < 3 || b[0] > 1 {
		return nil, nil, false, fmt.Errorf("%w: fetch response", errMalformed)
	}
	n := int(binary.BigEndian.Uint16(b[1:]))
	if len(b) < 3+n || len(b)-3-n > MaxBlock+blockSlack {
		return nil, nil, false, fmt.Errorf("%w: fetch response", errMalformed)
	}
	block, next = b[3+n:], b[3:3+n]
	if len(block) == 0 && b[0] == 0 {
		return nil, nil, false, fmt.Errorf("%w: an empty block that is not the last", errMalformed)
	}
	return block, next, b[0] == 1, nil
}
