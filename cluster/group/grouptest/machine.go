package grouptest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"sort"
	"strings"
	"sync"

	"altmail.se/altmail/cluster"
)

// Machine is a cluster.Machine over a map. Its commands are "set KEY VALUE" and
// "append KEY VALUE"; the answer is the new value. It remembers operation ids
// for ever. Crash takes it back to what was synced.
type Machine struct {
	mu      sync.Mutex
	cur     state
	durable state
	closed  bool
	views   int

	// ApplyErr, if set, runs before each batch; its error is the batch's.
	ApplyErr func([]cluster.Entry) error
}

type state struct {
	index, term uint64
	time        uint64
	rec         map[string]string // "k/"+key and "o/"+operation id
	sum         cluster.Digest
}

func (s state) clone() state {
	s.rec = maps.Clone(s.rec)
	return s
}

// NewMachine returns an empty machine.
func NewMachine() *Machine {
	return &Machine{cur: state{rec: map[string]string{}}, durable: state{rec: map[string]string{}}}
}

// addTo adds or subtracts the hash of a record: the sum does not depend on the
// order of the records.
func addTo(d *cluster.Digest, k, v string, sign bool) {
	h := sha256.New()
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(k)))
	h.Write(n[:])
	h.Write([]byte(k))
	h.Write([]byte(v))
	var carry uint16
	sum := h.Sum(nil)
	for i := len(d) - 1; i >= 0; i-- {
		if sign {
			t := uint16(d[i]) + uint16(sum[i]) + carry
			d[i], carry = byte(t), t>>8
		} else {
			t := uint16(d[i]) - uint16(sum[i]) - carry
			d[i], carry = byte(t), t>>15
		}
	}
}

func (s *state) put(k, v string) {
	if old, ok := s.rec[k]; ok {
		addTo(&s.sum, k, old, false)
	}
	s.rec[k] = v
	addTo(&s.sum, k, v, true)
}

// Applied implements cluster.Machine.
func (m *Machine) Applied() (uint64, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur.index, m.cur.term
}

// Apply implements cluster.Machine.
func (m *Machine) Apply(es []cluster.Entry) ([]cluster.Result, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return nil, errors.New("grouptest: machine is closed")
	}
	if m.ApplyErr != nil {
		if err := m.ApplyErr(es); err != nil {
			return nil, err
		}
	}
	rs := make([]cluster.Result, len(es))
	for i, e := range es {
		if e.Index <= m.cur.index {
			rs[i].Skipped = true
			continue
		}
		m.cur.index, m.cur.term = e.Index, e.Term
		m.cur.time = max(m.cur.time, e.Time)
		switch e.Kind {
		case cluster.KindCommand:
			rs[i].Value = m.command(e)
		case cluster.KindCheck:
			rs[i].Value = bytes.Clone(m.cur.sum[:])
		}
	}
	return rs, nil
}

func (m *Machine) command(e cluster.Entry) []byte {
	op := "o/" + string(e.Op[:])
	if v, ok := m.cur.rec[op]; ok {
		return []byte(v)
	}
	verb, rest, _ := strings.Cut(string(e.Command), " ")
	key, val, _ := strings.Cut(rest, " ")
	switch verb {
	case "set":
	case "append":
		if old := m.cur.rec["k/"+key]; old != "" {
			val = old + "," + val
		}
	default:
		val = "unknown command"
		key = ""
	}
	if key != "" {
		m.cur.put("k/"+key, val)
	}
	m.cur.put(op, val)
	return []byte(val)
}

// Sync implements cluster.Machine.
func (m *Machine) Sync() (uint64, uint64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.durable.index != m.cur.index {
		m.durable = m.cur.clone()
	}
	return m.durable.index, m.durable.term, nil
}

// Durable implements cluster.Machine.
func (m *Machine) Durable() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable.index
}

// Time implements cluster.Machine.
func (m *Machine) Time() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur.time
}

// Digest implements cluster.Machine.
func (m *Machine) Digest() (cluster.Digest, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur.sum, m.cur.index
}

// Close implements cluster.Machine.
func (m *Machine) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

// Get returns the value of a key.
func (m *Machine) Get(key string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.cur.rec["k/"+key]
}

// Crash forgets what was not synced.
func (m *Machine) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cur = m.durable.clone()
}

// Corrupt changes a value behind the back of the log.
func (m *Machine) Corrupt(key, val string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cur.put("k/"+key, val)
	m.durable = m.cur.clone()
}

// Views returns how many views are open.
func (m *Machine) Views() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.views
}

type view struct {
	m    *Machine
	s    state
	keys []string
}

// View implements cluster.Machine.
func (m *Machine) View() (cluster.View, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.views++
	v := &view{m: m, s: m.cur.clone()}
	v.keys = slices.Sorted(maps.Keys(v.s.rec))
	return v, nil
}

func (v *view) Index() (uint64, uint64) { return v.s.index, v.s.term }
func (v *view) Digest() cluster.Digest  { return v.s.sum }

func (v *view) Close() error {
	v.m.mu.Lock()
	defer v.m.mu.Unlock()
	v.m.views--
	return nil
}

// Read gives records as (length, key, length, value), after a CRC-32 and the
// machine time.
func (v *view) Read(after []byte, limit int) (block, next []byte, done bool, err error) {
	i := sort.SearchStrings(v.keys, string(after))
	if i < len(v.keys) && after != nil && v.keys[i] == string(after) {
		i++
	}
	block = make([]byte, 4, 4+limit)
	block = binary.BigEndian.AppendUint64(block, v.s.time)
	for ; i < len(v.keys); i++ {
		k, val := v.keys[i], v.s.rec[v.keys[i]]
		if len(block) > 12 && len(block)+len(k)+len(val)+8 > limit {
			break
		}
		for _, s := range []string{k, val} {
			block = binary.BigEndian.AppendUint32(block, uint32(len(s)))
			block = append(block, s...)
		}
		next = []byte(k)
	}
	binary.BigEndian.PutUint32(block, crc32.ChecksumIEEE(block[4:]))
	return block, next, i == len(v.keys), nil
}

type stage struct {
	m    *Machine
	s    state
	next []byte
	over bool
}

// Stage implements cluster.Machine.
func (m *Machine) Stage(index, term uint64) (cluster.Stage, error) {
	return &stage{m: m, s: state{index: index, term: term, rec: map[string]string{}}}, nil
}

func (s *stage) Index() (uint64, uint64) { return s.s.index, s.s.term }
func (s *stage) Next() []byte            { return s.next }

func (s *stage) Write(b []byte) error {
	if len(b) < 12 || binary.BigEndian.Uint32(b) != crc32.ChecksumIEEE(b[4:]) {
		return errors.New("grouptest: block is damaged")
	}
	s.s.time = binary.BigEndian.Uint64(b[4:])
	b = b[12:]
	for len(b) > 0 {
		var f [2]string
		for i := range f {
			n := binary.BigEndian.Uint32(b)
			f[i], b = string(b[4:4+n]), b[4+n:]
		}
		s.s.put(f[0], f[1])
		s.next = []byte(f[0])
	}
	return nil
}

func (s *stage) Verify(want cluster.Digest) error {
	if s.s.sum != want {
		return fmt.Errorf("grouptest: digest %s, want %s", s.s.sum, want)
	}
	return nil
}

func (s *stage) Install() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	if s.over || s.s.index < s.m.cur.index {
		return fmt.Errorf("grouptest: install of %d over %d", s.s.index, s.m.cur.index)
	}
	s.over = true
	s.m.cur, s.m.durable = s.s, s.s.clone()
	return nil
}

func (s *stage) Abort() error {
	s.over = true
	return nil
}
