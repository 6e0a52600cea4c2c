package body

import (
	"encoding/binary"
	"fmt"

	"altmail.se/altmail/cluster"
)

// wireVersion begins every request and response of this package.
const wireVersion = 1

const (
	maxItems   = 256     // bodies named by one request
	maxRange   = 4 << 20 // bytes of bodies in one response to a fetch
	pushBundle = 1 << 20 // small bodies are pushed together up to this
)

// The states of a body in a response. The numbers are on the wire.
const (
	stDurable = 0 // push: durable here; fetch and have: it is here
	stNoRoom  = 1 // push: the disk is too full
	stBadHash = 2 // push: the bytes do not match the id
	stFailed  = 3 // push: could not be written
	stNotHere = 4
	stGone    = 5 // fetch: nothing refers to it at the durable index given
	stLater   = 6 // fetch: here, but the response is full
)

type pushItem struct {
	id   cluster.BodyID
	data []byte
}

// appendPushHead encodes a push up to where the bodies follow, back to back.
func appendPushHead(b []byte, group cluster.GroupID, items []pushItem) []byte {
	b = appendHead(b, group, len(items))
	for _, it := range items {
		b = append(b, it.id[:]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(it.data)))
	}
	return b
}

func parsePush(b []byte) (cluster.GroupID, []pushItem, error) {
	group, n, b, err := parseHead(b)
	if err != nil {
		return 0, nil, err
	}
	if len(b) < n*36 {
		return 0, nil, fmt.Errorf("%w: push is short", errFormat)
	}
	table, data := b[:n*36], b[n*36:]
	items := make([]pushItem, n)
	for i := range items {
		copy(items[i].id[:], table[i*36:])
		size := uint64(binary.LittleEndian.Uint32(table[i*36+32:]))
		if size > MaxBody || size > uint64(len(data)) {
			return 0, nil, fmt.Errorf("%w: push of a body of %d bytes", errFormat, size)
		}
		items[i].data, data = data[:size:size], data[size:]
	}
	if len(data) != 0 {
		return 0, nil, fmt.Errorf("%w: %d bytes after a push", errFormat, len(data))
	}
	return group, items, nil
}

func appendHead(b []byte, group cluster.GroupID, n int) []byte {
	b = append(b, wireVersion)
	b = binary.LittleEndian.AppendUint32(b, uint32(group))
	return binary.LittleEndian.AppendUint16(b, uint16(n))
}

func parseHead(b []byte) (group cluster.GroupID, n int, rest []byte, err error) {
	if len(b) < 7 || b[0] != wireVersion {
		return 0, 0, nil, fmt.Errorf("%w: request", errFormat)
	}
	n = int(binary.LittleEndian.Uint16(b[5:]))
	if n > maxItems {
		return 0, 0, nil, fmt.Errorf("%w: request for %d bodies", errFormat, n)
	}
	return cluster.GroupID(binary.LittleEndian.Uint32(b[1:])), n, b[7:], nil
}

// appendReport begins a response: how the answering node's disk is.
func appendReport(b []byte, r report) []byte {
	room := byte(0)
	if r.room {
		room = 1
	}
	b = append(b, wireVersion, room)
	return binary.LittleEndian.AppendUint64(b, r.free)
}

func parseReport(b []byte) (report, []byte, error) {
	if len(b) < 10 || b[0] != wireVersion || b[1] > 1 {
		return report{}, nil, fmt.Errorf("%w: response", errFormat)
	}
	return report{room: b[1] == 1, free: binary.LittleEndian.Uint64(b[2:])}, b[10:], nil
}

// parseStates decodes the response to a push of n bodies.
func parseStates(b []byte, n int) (report, []byte, error) {
	r, b, err := parseReport(b)
	if err == nil && len(b) != n {
		err = fmt.Errorf("%w: response for %d bodies instead of %d", errFormat, len(b), n)
	}
	return r, b, err
}

type fetchItem struct {
	id       cluster.BodyID
	off, max uint32
}

func appendFetch(b []byte, group cluster.GroupID, index uint64, items []fetchItem) []byte {
	b = appendHead(b, group, len(items))
	b = binary.LittleEndian.AppendUint64(b, index)
	for _, it := range items {
		b = append(b, it.id[:]...)
		b = binary.LittleEndian.AppendUint32(b, it.off)
		b = binary.LittleEndian.AppendUint32(b, it.max)
	}
	return b
}

func parseFetch(b []byte) (group cluster.GroupID, index uint64, items []fetchItem, err error) {
	group, n, b, err := parseHead(b)
	if err != nil {
		return 0, 0, nil, err
	}
	if len(b) != 8+n*40 {
		return 0, 0, nil, fmt.Errorf("%w: length of a fetch", errFormat)
	}
	index = binary.LittleEndian.Uint64(b)
	items = make([]fetchItem, n)
	for i, b := 0, b[8:]; i < n; i, b = i+1, b[40:] {
		copy(items[i].id[:], b)
		items[i].off = binary.LittleEndian.Uint32(b[32:])
		items[i].max = binary.LittleEndian.Uint32(b[36:])
	}
	return group, index, items, nil
}

// fetchState is the answer for one body of a fetch or have.
type fetchState struct {
	state byte
	size  uint32 // of the whole body
	at    uint64 // stGone: the durable index
	data  []byte // fetch: the range
}

const fetchStateLen = 17

func putFetchState(b []byte, f *fetchState) {
	b[0] = f.state
	binary.LittleEndian.PutUint32(b[1:], f.size)
	binary.LittleEndian.PutUint64(b[5:], f.at)
	binary.LittleEndian.PutUint32(b[13:], uint32(len(f.data)))
}

// parseFetched decodes the response to a fetch or have of n bodies. The data
// lies within b.
func parseFetched(b []byte, n int) (report, []fetchState, error) {
	r, b, err := parseReport(b)
	if err != nil {
		return r, nil, err
	}
	if len(b) < n*fetchStateLen {
		return r, nil, fmt.Errorf("%w: response for %d bodies is short", errFormat, n)
	}
	data := b[n*fetchStateLen:]
	states := make([]fetchState, n)
	for i := range states {
		p := b[i*fetchStateLen:]
		f := &states[i]
		f.state = p[0]
		f.size = binary.LittleEndian.Uint32(p[1:])
		f.at = binary.LittleEndian.Uint64(p[5:])
		size := uint64(binary.LittleEndian.Uint32(p[13:]))
		if f.size > MaxBody || size > uint64(f.size) || size > uint64(len(data)) {
			return r, nil, fmt.Errorf("%w: body of %d bytes in a response", errFormat, f.size)
		}
		f.data, data = data[:size:size], data[size:]
	}
	if len(data) != 0 {
		return r, nil, fmt.Errorf("%w: %d bytes after a response", errFormat, len(data))
	}
	return r, states, nil
}

func appendHave(b []byte, group cluster.GroupID, ids []cluster.BodyID) []byte {
	b = appendHead(b, group, len(ids))
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

func parseHave(b []byte) (cluster.GroupID, []cluster.BodyID, error) {
	group, n, b, err := parseHead(b)
	if err != nil {
		return 0, nil, err
	}
	if len(b) != n*32 {
		return 0, nil, fmt.Errorf("%w: length of a question", errFormat)
	}
	ids := make([]cluster.BodyID, n)
	for i := range ids {
		copy(ids[i][:], b[i*32:])
	}
	return group, ids, nil
}
