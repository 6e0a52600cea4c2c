package lookup

import (
	"context"
	"errors"
	"fmt"
	"io"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/crypto/seal"
	"altmail.se/altmail/mailstore"
	"altmail.se/altmail/mailstore/body"
)

// Bodies reads sealed bodies: *body.Store.
type Bodies interface {
	// Open returns a body of this node, or cluster.ErrNotHere.
	Open(g cluster.GroupID, id cluster.BodyID) (*body.Handle, error)
	// Fetch returns a body from another member, and has it stored here.
	Fetch(ctx context.Context, g cluster.GroupID, ref cluster.BodyRef) (*body.Handle, error)
	// Verify compares a body of this node with its id and has a damaged one
	// healed.
	Verify(ctx context.Context, g cluster.GroupID, id cluster.BodyID) error
}

// Body reads the octets of one message: the recipient's own header lines, then
// the shared ones. It stays readable until Close, whatever becomes of the
// message. It is for one goroutine.
type Body struct {
	ctx    context.Context // that of OpenBody; healing ends with it
	bodies Bodies
	group  cluster.GroupID
	ref    cluster.BodyRef
	key    [32]byte
	prefix []byte
	handle *body.Handle
	r      *seal.Reader
	healed bool
}

// OpenBody returns a reader of a message's octets, which are fetched from
// another node when they are not here or damaged here. Its errors are
// mailstore.ErrExpunged, mailstore.ErrDamaged and cluster's. No view has to be
// open.
func (a *Account) OpenBody(ctx context.Context, c *Content) (*Body, error) {
	b, err := a.body(ctx, c)
	if err != nil {
		return nil, err
	}
	b.handle, err = b.bodies.Open(b.group, b.ref.ID)
	if errors.Is(err, cluster.ErrNotHere) {
		b.healed = true
		b.handle, err = b.bodies.Fetch(ctx, b.group, b.ref)
	}
	if err != nil {
		return nil, gone(err)
	}
	if err := b.unseal(); err != nil {
		if err = b.heal(err); err != nil {
			return nil, errors.Join(err, b.Close())
		}
	}
	return b, nil
}

// OpenBodyHere is OpenBody for what is not worth waiting for: it asks no other
// node. What is not here is cluster.ErrNotHere.
func (a *Account) OpenBodyHere(ctx context.Context, c *Content) (*Body, error) {
	b, err := a.body(ctx, c)
	if err != nil {
		return nil, err
	}
	b.healed = true
	if b.handle, err = b.bodies.Open(b.group, b.ref.ID); err != nil {
		return nil, gone(err)
	}
	if err := b.unseal(); err != nil {
		return nil, errors.Join(b.heal(err), b.Close())
	}
	return b, nil
}

// body returns the reader of a message whose sealed octets are not open yet.
func (a *Account) body(ctx context.Context, c *Content) (*Body, error) {
	key, err := a.keys.UnwrapKey(c.id[:], c.wrapped[:c.wrapLen])
	if err != nil {
		return nil, damaged("a message key", err)
	}
	b := &Body{ctx: ctx, bodies: a.d.cfg.Bodies, group: a.group, ref: c.body, key: key}
	if len(c.Prefix) > 0 {
		b.prefix = append([]byte(nil), c.Prefix...)
	}
	return b, nil
}

// OpenBody is Account.OpenBody.
func (v *View) OpenBody(ctx context.Context, c *Content) (*Body, error) { return v.a.OpenBody(ctx, c) }

// gone turns the answer that nothing refers to a body any more into that of a
// message which was expunged while it was looked at.
func gone(err error) error {
	if errors.Is(err, cluster.ErrGone) {
		return fmt.Errorf("%w: %w", mailstore.ErrExpunged, err)
	}
	return err
}

func (b *Body) unseal() (err error) {
	b.r, err = seal.NewReader(&b.key, b.handle, b.handle.Size())
	return err
}

// heal is called when what is here does not open: it has the node's copy
// verified and reads a peer's instead, once. It returns nil when reading can be
// tried again.
func (b *Body) heal(cause error) error {
	cause = fmt.Errorf("%w: a body does not open: %w", mailstore.ErrDamaged, cause)
	if b.healed {
		return cause
	}
	b.healed = true
	if err := b.bodies.Verify(b.ctx, b.group, b.ref.ID); err == nil {
		return cause // the bytes are the right ones: what names them is wrong
	}
	h, err := b.bodies.Fetch(b.ctx, b.group, b.ref)
	if err != nil {
		return errors.Join(cause, gone(err))
	}
	if err := b.closeParts(); err != nil {
		return errors.Join(cause, err, h.Close())
	}
	b.handle = h
	if err := b.unseal(); err != nil {
		return errors.Join(cause, err)
	}
	return nil
}

// Size returns the length in octets, the recipient's own lines included.
func (b *Body) Size() int64 { return int64(len(b.prefix)) + b.r.Size() }

// HeaderSize returns the offset at which the header block ends.
func (b *Body) HeaderSize() int64 { return int64(len(b.prefix)) + b.r.HeaderSize() }

// ReadAt implements io.ReaderAt over the whole message.
func (b *Body) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("lookup: offset %d", off)
	}
	n := 0
	if off < int64(len(b.prefix)) {
		n = copy(p, b.prefix[off:])
		if n == len(p) {
			return n, nil
		}
	}
	rest := off + int64(n) - int64(len(b.prefix))
	for {
		k, err := b.r.ReadAt(p[n:], rest)
		if err == nil || errors.Is(err, io.EOF) {
			return n + k, err
		}
		if err = b.heal(err); err != nil {
			return n, err
		}
	}
}

// WriteRange writes n octets from off to w, fewer where the message ends,
// with no more than one chunk in memory at a time. Errors of w come back
// unwrapped.
func (b *Body) WriteRange(w io.Writer, off, n int64) error {
	if off < 0 || n < 0 {
		return fmt.Errorf("lookup: range %d+%d", off, n)
	}
	if off < int64(len(b.prefix)) {
		part := b.prefix[off:min(int64(len(b.prefix)), off+min(n, int64(len(b.prefix))))]
		if _, err := w.Write(part); err != nil {
			return err
		}
		off += int64(len(part))
		n -= int64(len(part))
	}
	if n == 0 {
		return nil
	}
	off -= int64(len(b.prefix))
	out := &writer{w: w}
	for {
		done, err := b.r.WriteRange(out, off, n)
		if out.err != nil {
			return out.err
		}
		if err == nil {
			return nil
		}
		off += done
		n -= done
		if err = b.heal(err); err != nil {
			return err
		}
	}
}

// AppendRange appends n octets from off to dst, fewer where the message ends.
func (b *Body) AppendRange(dst []byte, off, n int64) ([]byte, error) {
	if off < 0 || n < 0 {
		return dst, fmt.Errorf("lookup: range %d+%d", off, n)
	}
	base := len(dst)
	if off < int64(len(b.prefix)) {
		part := b.prefix[off:min(int64(len(b.prefix)), off+min(n, int64(len(b.prefix))))]
		dst = append(dst, part...)
		off += int64(len(part))
		n -= int64(len(part))
	}
	if n == 0 {
		return dst, nil
	}
	off -= int64(len(b.prefix))
	for {
		out, err := b.r.AppendRange(dst, off, n)
		if err == nil {
			return out, nil
		}
		if err = b.heal(err); err != nil {
			return dst[:base], err
		}
	}
}

// writer remembers the error of the writer it wraps, to tell it from one of
// reading.
type writer struct {
	w   io.Writer
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.w.Write(p)
	w.err = err
	return n, err
}

func (b *Body) closeParts() error {
	if b.r != nil {
		b.r.Close()
		b.r = nil
	}
	if b.handle == nil {
		return nil
	}
	err := b.handle.Close()
	b.handle = nil
	return err
}

// Close lets go of the body. Closing twice is allowed.
func (b *Body) Close() error {
	clear(b.key[:])
	return b.closeParts()
}
