package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"altmail.se/altmail/cluster"
)

// The RPC frame: a fixed header and a payload. FORMAT.md draws it; all of it
// is frozen with the ALPN name "altmail-rpc/1".
const headerSize = 20

// Limits of a frame's payload, in bytes.
const (
	// MaxFrame bounds the requests and responses of ordinary methods.
	MaxFrame = 8 << 20
	// MaxBulkFrame bounds those of the bulk methods: a body of 64 MiB and
	// what goes with it.
	MaxBulkFrame = 64<<20 + 64<<10

	maxErrorText = 1 << 10
	maxHello     = 64
)

type kind uint8

const (
	kindRequest  kind = 1
	kindResponse kind = 2
	kindError    kind = 3 // a response with a code and a text
	kindCancel   kind = 4 // the caller of id waits no more
	kindPing     kind = 5
	kindPong     kind = 6
	kindHello    kind = 7 // the first frame in each direction
	kindAlive    kind = 8 // from a server that is still reading a large request
)

// header is the fixed part of a frame.
type header struct {
	size    uint32 // of the payload
	kind    kind
	code    code           // kindError only
	method  cluster.Method // kindRequest and its answers
	id      uint64         // chosen by the caller, never 0, never reused on a connection
	timeout uint32         // kindRequest: milliseconds left to the caller, 0 for no limit
}

// ErrProtocol: the peer sent something that no version of altmail sends.
var ErrProtocol = errors.New("transport: protocol violated")

func (h *header) append(dst []byte) []byte {
	dst = binary.BigEndian.AppendUint32(dst, h.size)
	dst = append(dst, byte(h.kind), byte(h.code))
	dst = binary.BigEndian.AppendUint16(dst, uint16(h.method))
	dst = binary.BigEndian.AppendUint64(dst, h.id)
	return binary.BigEndian.AppendUint32(dst, h.timeout)
}

// parseHeader reads and checks a header, so that nothing is allocated for a
// payload that may not be.
func parseHeader(b []byte) (h header, err error) {
	h = header{
		size:    binary.BigEndian.Uint32(b),
		kind:    kind(b[4]),
		code:    code(b[5]),
		method:  cluster.Method(binary.BigEndian.Uint16(b[6:])),
		id:      binary.BigEndian.Uint64(b[8:]),
		timeout: binary.BigEndian.Uint32(b[16:]),
	}
	limit := 0
	switch h.kind {
	case kindRequest, kindResponse:
		limit = maxPayload(h.method)
	case kindError:
		limit = maxErrorText
	case kindHello:
		limit = maxHello
	case kindCancel, kindPing, kindPong, kindAlive:
	default:
		return h, fmt.Errorf("%w: frame of kind %d", ErrProtocol, h.kind)
	}
	call := h.kind == kindRequest || h.kind == kindResponse || h.kind == kindError
	switch {
	case int64(h.size) > int64(limit):
		return h, fmt.Errorf("%w: frame of %d bytes for method %d", ErrProtocol, h.size, h.method)
	case (h.code != 0) != (h.kind == kindError),
		h.timeout != 0 && h.kind != kindRequest,
		(h.method != 0) != call,
		(h.id != 0) != (call || h.kind == kindCancel):
		return h, fmt.Errorf("%w: header of kind %d", ErrProtocol, h.kind)
	}
	return h, nil
}

func maxPayload(m cluster.Method) int {
	if laneOf(m) == laneControl {
		return MaxFrame
	}
	return MaxBulkFrame
}

// lane is one of the connections to a peer, so that small calls never wait
// behind bodies, nor bodies on their way in behind repairs.
type lane uint8

const (
	laneControl lane = 0
	lanePush    lane = 1 // MethodBodyPush
	laneFetch   lane = 2 // MethodBodyFetch, MethodFetchState
	lanes            = 3
)

func laneOf(m cluster.Method) lane {
	switch m {
	case cluster.MethodBodyPush:
		return lanePush
	case cluster.MethodBodyFetch, cluster.MethodFetchState:
		return laneFetch
	default:
		return laneControl
	}
}

// laneLimit is what may be in flight on one connection of a lane. The server
// states it in its hello, the client keeps to it, the server insists.
type laneLimit struct{ calls, bytes int }

var laneLimits = [lanes]laneLimit{
	laneControl: {calls: 1024, bytes: 32 << 20},
	lanePush:    {calls: 256, bytes: 80 << 20},
	laneFetch:   {calls: 32, bytes: 16 << 20},
}

// weight is what a request takes of a lane's bytes: at least an equal share,
// so that one count bounds calls and bytes.
func (l laneLimit) weight(size int) int64 {
	return int64(min(max(size, l.bytes/l.calls), l.bytes))
}

// hello is the payload of kindHello. The client's names the lane, the
// server's the limits of the connection.
type hello struct {
	version uint8
	lane    lane
	calls   uint32
	bytes   uint32
}

const helloVersion = 1

func (h hello) payload() []byte {
	b := []byte{h.version, byte(h.lane)}
	b = binary.BigEndian.AppendUint32(b, h.calls)
	return binary.BigEndian.AppendUint32(b, h.bytes)
}

// parseHello accepts longer hellos: later versions may add to them.
func parseHello(b []byte) (hello, error) {
	if len(b) < 10 {
		return hello{}, fmt.Errorf("%w: short hello", ErrProtocol)
	}
	h := hello{version: b[0], lane: lane(b[1]),
		calls: binary.BigEndian.Uint32(b[2:]), bytes: binary.BigEndian.Uint32(b[6:])}
	if h.version < 1 || h.lane >= lanes {
		return hello{}, fmt.Errorf("%w: hello of version %d for lane %d", ErrProtocol, h.version, h.lane)
	}
	return h, nil
}

// code carries a sentinel error over the wire. Numbers are never reused.
type code uint8

const codeOther code = 1

var codes = []struct {
	code code
	err  error
}{
	{2, cluster.ErrUnavailable},
	{3, cluster.ErrRefused},
	{4, cluster.ErrTooLarge},
	{5, cluster.ErrNoRoom},
	{6, cluster.ErrStopped},
	{7, cluster.ErrNotMember},
	{8, cluster.ErrQuorum},
	{9, cluster.ErrGone},
	{10, cluster.ErrNotHere},
	{11, cluster.ErrClock},
	{12, context.DeadlineExceeded},
	{13, context.Canceled},
	{14, ErrNoMethod},
}

func codeOf(err error) code {
	for _, c := range codes {
		if errors.Is(err, c.err) {
			return c.code
		}
	}
	return codeOther
}

// RemoteError is an error a handler on another node returned. errors.Is finds
// the sentinel of package cluster, or the context error, that it was.
type RemoteError struct {
	Node cluster.NodeID
	Text string
	is   error
}

func (e *RemoteError) Error() string { return "node " + e.Node.String() + ": " + e.Text }

// Unwrap returns the sentinel, if there is one.
func (e *RemoteError) Unwrap() error { return e.is }

func remoteError(from cluster.NodeID, c code, text []byte) error {
	e := &RemoteError{Node: from, Text: string(text)}
	for _, known := range codes {
		if known.code == c {
			e.is = known.err
		}
	}
	return e
}

// errorText bounds the text of an error for the wire.
func errorText(err error) string {
	s := err.Error()
	return s[:min(len(s), maxErrorText)]
}
