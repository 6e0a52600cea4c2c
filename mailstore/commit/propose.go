package commit

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/command"
	"altmail.se/altmail/mailstore/command/commandpb"
)

// ErrUnsupported means that the group's members do not all know a command yet
// (a rolling upgrade is on its way).
var ErrUnsupported = errors.New("commit: not supported until every node is upgraded")

// NewOp returns a fresh operation id.
func NewOp() cluster.OpID {
	var op cluster.OpID
	random(op[:])
	return op
}

// derive returns the operation id of a part of an operation: the same one
// whenever the part is repeated (H1).
func derive(op cluster.OpID, what byte, a, b uint32) cluster.OpID {
	var buf [len("altmail op 1") + 16 + 1 + 8]byte
	n := copy(buf[:], "altmail op 1")
	n += copy(buf[n:], op[:])
	buf[n] = what
	binary.BigEndian.PutUint32(buf[n+1:], a)
	binary.BigEndian.PutUint32(buf[n+5:], b)
	sum := sha256.Sum256(buf[:])
	return cluster.OpID(sum[:16])
}

// What derived operation ids are for. Frozen: a handoff that outlives an
// upgrade derives them again.
const (
	opDeliver byte = 1 // a Deliver to one group; numbers: group, part
	opHandoff byte = 2 // OpenHandoff; numbers: group it is kept in, part
	opClose   byte = 3 // CloseHandoff
)

// deadline gives ctx the default time limit when it has none.
func (d *Door) deadline(ctx context.Context) (context.Context, context.CancelFunc) {
	if _, ok := ctx.Deadline(); ok {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, d.cfg.Timeout)
}

// lasting returns a context for work that must outlast its caller's deadline:
// it ends after HandoffTimeout, with the door, or when the caller is cancelled.
func (d *Door) lasting(caller context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(caller), d.cfg.HandoffTimeout)
	stopDoor := context.AfterFunc(d.ctx, cancel)
	stopCaller := context.AfterFunc(caller, func() {
		if errors.Is(caller.Err(), context.Canceled) {
			cancel()
		}
	})
	return ctx, func() {
		stopDoor()
		stopCaller()
		cancel()
	}
}

// maxCommand is what a group takes as one command.
const maxCommand = 512 << 10

// encode checks a command and returns its bytes.
func encode(c *commandpb.Command) ([]byte, error) {
	b, err := command.Encode(c)
	if err != nil {
		return nil, fmt.Errorf("commit: %w", err)
	}
	if len(b) > maxCommand {
		return nil, fmt.Errorf("%w: %w: a command of %d bytes", mailstore.ErrLimit, cluster.ErrTooLarge, len(b))
	}
	return b, nil
}

// propose offers one command to a group and returns its result when its code
// is OK, else the code's error. Errors of the group are cluster's.
func (d *Door) propose(ctx context.Context, g cluster.GroupID, op cluster.OpID, c *commandpb.Command, bodies []cluster.BodyRef) (*commandpb.Result, error) {
	b, err := encode(c)
	if err != nil {
		return nil, err
	}
	ctx, cancel := d.deadline(ctx)
	defer cancel()
	return d.proposeBytes(ctx, g, op, b, bodies)
}

func (d *Door) proposeBytes(ctx context.Context, gid cluster.GroupID, op cluster.OpID, cmd []byte, bodies []cluster.BodyRef) (*commandpb.Result, error) {
	g, ok := d.cfg.Groups.Group(gid)
	if !ok {
		return nil, fmt.Errorf("%w: group %v is not on this node", cluster.ErrUnavailable, gid)
	}
	for fresh := false; ; fresh = true {
		start := d.cfg.Now()
		out, err := g.Propose(ctx, cluster.Proposal{Op: op, First: d.time(gid), Command: cmd, Bodies: bodies})
		d.stats.proposals.Add(1)
		if err != nil {
			d.stats.failures.Add(1)
			return nil, unanswered(err)
		}
		d.stats.proposeNanos.Add(uint64(d.cfg.Now().Sub(start)))
		res, err := command.DecodeResult(out.Value)
		if err != nil {
			return nil, fmt.Errorf("commit: %w", err)
		}
		if res.Code == commandpb.Code_EXPIRED && !fresh {
			// This node was so far behind that its state's clock called a new
			// operation old. Nothing was executed: had it been, then its
			// first result would have been returned. It is offered again
			// once the state here has caught up.
			if err := g.ReadIndex(ctx); err != nil {
				return nil, unanswered(err)
			}
			continue
		}
		return res, codeError(res.Code)
	}
}

// unanswered makes sure that what ended by a caller's own deadline is told as
// unavailable: the outcome is not known.
func unanswered(err error) error {
	if (errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)) && !errors.Is(err, cluster.ErrUnavailable) {
		return fmt.Errorf("%w: %w", cluster.ErrUnavailable, err)
	}
	return err
}

// codeError returns what a result's code means here.
func codeError(c commandpb.Code) error {
	switch c {
	case commandpb.Code_NO_SUCH:
		return ErrNoSuch
	case commandpb.Code_LEVEL:
		return ErrUnsupported
	}
	return command.Err(c)
}

// ErrNoSuch means that the directory does not have what a command names.
var ErrNoSuch = errors.New("commit: no such object in the directory")

const (
	minDate = -62135596800 // 0001-01-01
	maxDate = 253402300799 // 9999-12-31
	maxZone = 24*60 - 1    // minutes
)

// contentID returns a fresh content id: time for locality, then random bytes.
func (d *Door) contentID() (id mailstore.ContentID) {
	ms := uint64(max(d.cfg.Now().UnixMilli(), 0))
	var t [8]byte
	binary.BigEndian.PutUint64(t[:], ms)
	copy(id[:6], t[2:])
	random(id[6:])
	return id
}

// internalDate returns a date as commands carry it, now for a zero one.
func (d *Door) internalDate(t time.Time) (seconds int64, zone int32) {
	if t.IsZero() {
		t = d.cfg.Now().UTC()
	}
	_, off := t.Zone()
	// Years and zones that no date-time can say become the nearest that one
	// can (RFC 9051 section 9).
	return min(max(t.Unix(), minDate), maxDate), int32(min(max(off/60, -maxZone), maxZone))
}
