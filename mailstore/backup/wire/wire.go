// Package wire is what a node that gives a backup and a puller say to each
// other: HTTP requests with small JSON answers, and streams of frames that
// cannot be cut short unnoticed. ../source/FORMAT.md lists the calls.
package wire

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Proto is the ALPN name of the protocol (RFC 7301).
const Proto = "altmail-backup/1"

// Kind tells what a frame is. The numbers are on the wire.
type Kind uint8

// The kinds of frame.
const (
	KindEnd     Kind = 0 // the stream is whole
	KindChunk   Kind = 1 // id 32, bytes of records u32: one chunk of a group
	KindSealed  Kind = 2 // number u32, id 32, the sealed bytes
	KindBodies  Kind = 3 // a piece of the list of bodies
	KindBody    Kind = 4 // id 32, the bytes
	KindGone    Kind = 5 // id 32: expunged meanwhile
	KindNotHere Kind = 6 // id 32: this node lacks it; another may have it
	KindError   Kind = 7 // text: the stream ends here
)

// MaxFrame bounds a frame.
const MaxFrame = 128 << 20

// ErrStream: a stream is not what it should be, or ended too early.
var ErrStream = errors.New("wire: broken stream")

// RemoteError is what the node said went wrong.
type RemoteError struct{ Text string }

func (e *RemoteError) Error() string { return "the node says: " + e.Text }

// Write writes a frame: kind u8, length u32, payload.
func Write(w io.Writer, k Kind, parts ...[]byte) error {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if n > MaxFrame {
		return fmt.Errorf("%w: a frame of %d bytes", ErrStream, n)
	}
	h := [5]byte{byte(k)}
	binary.BigEndian.PutUint32(h[1:], uint32(n))
	if _, err := w.Write(h[:]); err != nil {
		return err
	}
	for _, p := range parts {
		if _, err := w.Write(p); err != nil {
			return err
		}
	}
	return nil
}

// Reader reads the frames of one stream.
type Reader struct{ r *bufio.Reader }

// NewReader returns a Reader.
func NewReader(r io.Reader) *Reader { return &Reader{bufio.NewReaderSize(r, 64<<10)} }

// Next returns the next frame; io.EOF is only returned after KindEnd, and a
// node's own error as *RemoteError. The payload is the caller's.
func (r *Reader) Next() (Kind, []byte, error) {
	var h [5]byte
	if _, err := io.ReadFull(r.r, h[:]); err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrStream, noEOF(err))
	}
	n := binary.BigEndian.Uint32(h[1:])
	if n > MaxFrame {
		return 0, nil, fmt.Errorf("%w: a frame of %d bytes", ErrStream, n)
	}
	k := Kind(h[0])
	if k == KindEnd {
		return k, nil, io.EOF
	}
	// A length that is a lie costs no more memory than what came.
	b, err := io.ReadAll(io.LimitReader(r.r, int64(n)))
	if err == nil && len(b) < int(n) {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", ErrStream, noEOF(err))
	}
	if k == KindError {
		return k, nil, &RemoteError{string(b)}
	}
	return k, b, nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// Status is what a node says of itself.
type Status struct {
	Cluster string `json:"cluster"`
	Node    string `json:"node"`
	Leads   int    `json:"leads"` // groups it leads
	Whole   bool   `json:"whole"` // holds every body
}

// Opened begins a session: every group is pinned at one index.
type Opened struct {
	Session string  `json:"session"`
	Groups  []Group `json:"groups"`
}

// Group is a pinned group.
type Group struct {
	Group uint32 `json:"group"`
	Index uint64 `json:"index"`
}

// Finished ends a session.
type Finished struct {
	Core      []byte `json:"core"` // repo.Core, as it was signed
	Signature []byte `json:"signature"`
	NodeCert  []byte `json:"node_cert"`
	CACert    []byte `json:"ca_cert"`
}
