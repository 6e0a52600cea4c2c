package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2"

	"altmail.se/altmail/cluster"
	"altmail.se/altmail/mailstore/command"
	pb "altmail.se/altmail/mailstore/command/commandpb"
)

const (
	// opWindow and opCommands bound the memory of operation ids: one is
	// forgotten only when both have passed (R13).
	opWindow   = 24 * 60 * 60 * 1000 // ms
	opCommands = 100_000
	opExpire   = 4 // forgotten per command, at most

	keptChecks = 1024 // digests of past checks kept, node-locally
)

var errStopped = errors.New("state: machine is stopped")

// executor is the part of a machine that knows commands.
type executor interface {
	// execute changes rows through t. Only an error stops the machine; what a
	// client did wrong is a code. A command that is refused changed nothing.
	execute(t *tx, e *cluster.Entry, c *pb.Command) (*pb.Result, error)
	// flush writes what is kept decoded.
	flush(t *tx) error
	// committing is called just before the rows of an Apply become visible,
	// committed once they are.
	committing(index uint64)
	committed()
	// reset forgets everything cached; installed says why.
	reset(installed bool)
}

// machine is what the machines of all groups share: the applied index, the
// memory of operations, the clock, the digest.
type machine struct {
	keys
	db     *DB
	group  cluster.GroupID
	exec   executor
	tables *[256]bool

	// Owned by the goroutine that applies.
	t        tx
	clock    clockRow
	clockSum sum
	head     uint64 // time of the oldest remembered operation; 0: not known

	stats counters

	mu      sync.Mutex // guards what follows; never held while waiting
	at      appliedRow
	durable uint64
	time    uint64
	level   uint32
	stopped error
	stage   *stage
	checks  []uint64 // indexes of stored check digests, ascending
}

func (m *machine) init(db *DB, g cluster.GroupID, exec executor, tables *[256]bool) error {
	m.keys, m.db, m.group, m.exec, m.tables = newKeys(g), db, g, exec, tables
	m.t.keys = m.keys
	if err := db.claim(m); err != nil {
		return err
	}
	err := m.load()
	if err == nil {
		err = m.loadChecks()
	}
	if err != nil {
		m.t.seen.close()
		db.release(m)
		return fmt.Errorf("state: open group %s: %w", g, err)
	}
	// What Open found was written to tables, and synced, before it returned.
	m.durable = m.at.index
	return nil
}

// load reads the rows a machine keeps in memory.
func (m *machine) load() error {
	var at appliedRow
	if _, err := dbGet(m.db.p, m.table(nil, tabApplied), at.decode); err != nil {
		return err
	}
	clock, clockSum := clockRow{level: 1}, absent
	key := m.table(nil, tabClock)
	if _, err := dbGet(m.db.p, key, func(v []byte) error {
		clockSum = m.t.row(key, v)
		return clock.decode(v)
	}); err != nil {
		return err
	}
	if clock.level > command.Level {
		return fmt.Errorf("%w: the group is at level %d, this build has %d", command.ErrLevel, clock.level, command.Level)
	}
	m.t.seen.close()
	s, err := watch(m.db.p, m.keys, func(err error) { m.db.log.Warn("state: keys not known", "group", uint32(m.group), "err", err) })
	if err != nil {
		return fmt.Errorf("state: size of tables: %w", err)
	}
	m.t.seen = s
	m.clock, m.clockSum, m.head = clock, clockSum, 0
	m.t.sum = at.sum
	m.mu.Lock()
	m.at, m.time, m.level = at, clock.time, clock.level
	m.mu.Unlock()
	return nil
}

// dbGet is tx.get against a reader.
func dbGet(r pebble.Reader, key []byte, fn func(v []byte) error) (bool, error) {
	v, closer, err := r.Get(key)
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

// Applied implements cluster.Machine.
func (m *machine) Applied() (index, term uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at.index, m.at.term
}

// Durable implements cluster.Machine.
func (m *machine) Durable() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.durable
}

// Time implements cluster.Machine.
func (m *machine) Time() uint64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.time
}

// Level returns the group's feature level.
func (m *machine) Level() uint32 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.level
}

// Digest implements cluster.Machine.
func (m *machine) Digest() (cluster.Digest, uint64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.at.sum.digest(), m.at.index
}

// Sync implements cluster.Machine. What is in the write-ahead log when the
// sync begins is durable when it ends, so what was applied before it is.
func (m *machine) Sync() (index, term uint64, err error) {
	m.mu.Lock()
	at := m.at
	m.mu.Unlock()
	if !noSyncState {
		if err := m.db.p.LogData(nil, pebble.Sync); err != nil {
			return 0, 0, fmt.Errorf("state: sync: %w", err)
		}
	}
	m.mu.Lock()
	m.durable = max(m.durable, at.index)
	m.mu.Unlock()
	return at.index, at.term, nil
}

// Close implements cluster.Machine.
func (m *machine) Close() error {
	m.mu.Lock()
	m.stopped = errStopped
	st := m.stage
	m.stage = nil
	m.mu.Unlock()
	m.t.seen.close()
	m.db.release(m)
	if st != nil {
		return st.Abort()
	}
	return nil
}

// Stats counts what a machine did since it was opened.
type Stats struct {
	Batches  uint64 // calls of Apply that advanced the applied index
	Entries  uint64 // entries executed, of any kind
	Skipped  uint64 // entries at or below the applied index
	Commands uint64 // commands executed
	Refused  uint64 // of these, answered with a code other than OK
	Repeated uint64 // commands answered from the memory of operations
	Expired  uint64 // commands too old to be executed
}

type counters struct {
	batches, entries, skipped, commands, refused, repeated, expired atomic.Uint64
}

// Stats returns the counters. They are read one by one.
func (m *machine) Stats() Stats {
	s := &m.stats
	return Stats{
		Batches: s.batches.Load(), Entries: s.entries.Load(), Skipped: s.skipped.Load(), Commands: s.commands.Load(),
		Refused: s.refused.Load(), Repeated: s.repeated.Load(), Expired: s.expired.Load(),
	}
}

// Apply implements cluster.Machine.
func (m *machine) Apply(entries []cluster.Entry) ([]cluster.Result, error) {
	m.mu.Lock()
	at, stopped := m.at, m.stopped
	before := at.index
	m.mu.Unlock()
	if stopped != nil {
		return nil, stopped
	}
	t := &m.t
	t.seen.grow()
	t.batch, t.sync = m.db.p.NewIndexedBatch(), false
	results, err := m.run(t, &at, entries)
	if err == nil && at.index > before {
		at.sum = t.sum
		t.kb, t.vb = m.table(t.kb[:0], tabApplied), at.encode(t.vb[:0])
		if err = t.batch.Set(t.kb, t.vb, nil); err == nil {
			m.exec.committing(at.index)
			how := pebble.NoSync
			if t.sync && !noSyncState {
				how = pebble.Sync
			}
			err = m.db.p.Apply(t.batch, how)
		}
	}
	if cerr := t.batch.Close(); err == nil {
		err = cerr
	}
	t.batch = nil
	if err != nil {
		// What is cached may hold half of what the batch held: nothing of it
		// is to be used again.
		err = fmt.Errorf("state: group %s stopped after index %d: %w", m.group, m.applied(), err)
		m.mu.Lock()
		m.stopped = err
		m.mu.Unlock()
		return nil, err
	}
	m.mu.Lock()
	m.at, m.time, m.level = at, m.clock.time, m.clock.level
	m.mu.Unlock()
	if at.index > before {
		m.stats.batches.Add(1)
	}
	m.exec.committed()
	return results, nil
}

func (m *machine) applied() uint64 {
	i, _ := m.Applied()
	return i
}

// run executes entries into the batch and advances at.
func (m *machine) run(t *tx, at *appliedRow, entries []cluster.Entry) ([]cluster.Result, error) {
	results := make([]cluster.Result, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.Index <= at.index {
			results[i].Skipped = true
			m.stats.skipped.Add(1)
			continue
		}
		m.clock.time = max(m.clock.time, e.Time)
		at.index, at.term = e.Index, e.Term
		m.stats.entries.Add(1)
		switch e.Kind {
		case cluster.KindCommand:
			v, err := m.command(t, e)
			if err != nil {
				return nil, fmt.Errorf("index %d: %w", e.Index, err)
			}
			results[i].Value = v
		case cluster.KindEpoch, cluster.KindConfig:
			if x, ok := m.exec.(interface{ forgetFlags(*tx) error }); ok && loseFlag && e.Kind == cluster.KindEpoch {
				if err := x.forgetFlags(t); err != nil {
					return nil, err
				}
			}
		case cluster.KindCheck:
			if err := m.flush(t); err != nil {
				return nil, err
			}
			d := t.sum.digest()
			results[i].Value = d[:]
			if err := m.keepCheck(t, e.Index, d); err != nil {
				return nil, err
			}
		default:
			return nil, fmt.Errorf("index %d: %w: entry kind %d", e.Index, command.ErrLevel, e.Kind)
		}
	}
	return results, m.flush(t)
}

// flush makes the batch hold every row as it is after the last entry.
func (m *machine) flush(t *tx) error {
	if err := m.exec.flush(t); err != nil {
		return err
	}
	t.kb, t.vb = m.table(t.kb[:0], tabClock), m.clock.encode(t.vb[:0])
	s, err := t.put(t.kb, m.clockSum, t.vb)
	m.clockSum = s
	return err
}

// command executes one command once, and answers a repeated one as before.
func (m *machine) command(t *tx, e *cluster.Entry) ([]byte, error) {
	named := e.Op != cluster.OpID{}
	if named {
		var old []byte
		found, err := t.get(m.bytes(nil, tabOp, e.Op[:]), func(v []byte) error {
			var o opRow
			err := o.decode(v)
			old = append([]byte{}, o.result...)
			return err
		})
		if err != nil || found {
			m.stats.repeated.Add(1)
			return old, err
		}
		if m.expired(e.First) {
			m.stats.expired.Add(1)
			return command.EncodeResult(&pb.Result{Code: pb.Code_EXPIRED})
		}
	}
	res, err := m.decodeAndExecute(t, e)
	if err != nil {
		return nil, err
	}
	v, err := command.EncodeResult(res)
	if err != nil {
		return nil, err
	}
	m.clock.commands++
	m.stats.commands.Add(1)
	if res.Code != pb.Code_OK {
		m.stats.refused.Add(1)
	}
	if named {
		if err := m.remember(t, e, v); err != nil {
			return nil, err
		}
	}
	if _, err := m.forget(t, opExpire); err != nil {
		return nil, err
	}
	return v, nil
}

func (m *machine) decodeAndExecute(t *tx, e *cluster.Entry) (*pb.Result, error) {
	c, err := command.Decode(e.Command)
	switch {
	case errors.Is(err, command.ErrMalformed):
		return code(pb.Code_INVALID), nil
	case err != nil:
		return nil, err
	}
	if l := c.GetSetLevel().GetLevel(); l > command.Level {
		return nil, fmt.Errorf("%w: the group rises to level %d, this build has %d", command.ErrLevel, l, command.Level)
	}
	if command.Validate(c) != nil {
		return code(pb.Code_INVALID), nil
	}
	if c.Level > m.clock.level {
		return code(pb.Code_LEVEL), nil
	}
	switch o := c.Op.(type) {
	case *pb.Command_SetLevel:
		m.clock.level = max(m.clock.level, o.SetLevel.Level)
		return code(pb.Code_OK), nil
	case *pb.Command_SetWhole:
		return m.setWhole(t, o.SetWhole)
	}
	return m.exec.execute(t, e, c)
}

func code(c pb.Code) *pb.Result { return &pb.Result{Code: c} }

// expired reports whether an operation first tried at machine time first may
// have been executed and forgotten since. Whatever was executed after the
// newest forgotten operation is still remembered, so an unknown operation that
// began later was never executed. Half the window is the further margin of R13.
func (m *machine) expired(first uint64) bool {
	if m.clock.forgotten > 0 && first <= m.clock.forgotten {
		return true
	}
	return first > 0 && first+opWindow/2 < m.clock.time
}

func (m *machine) remember(t *tx, e *cluster.Entry, result []byte) error {
	t.kb, t.vb = m.bytes(t.kb[:0], tabOp, e.Op[:]), (&opRow{e.Index, result}).encode(t.vb[:0])
	if _, err := t.put(t.kb, absent, t.vb); err != nil {
		return err
	}
	if m.clock.firstOp == 0 {
		m.clock.firstOp = m.clock.commands
	}
	t.kb = m.u64(t.kb[:0], tabOpAge, m.clock.commands)
	t.vb = (&opAgeRow{e.Op, m.clock.time}).encode(t.vb[:0])
	_, err := t.put(t.kb, absent, t.vb)
	return err
}

// forget drops up to limit operations that are old both by time and by count,
// and reports whether there are more such.
func (m *machine) forget(t *tx, limit int) (more bool, err error) {
	c := &m.clock
	for n := 0; c.firstOp != 0 && c.firstOp+opCommands <= c.commands; n++ {
		if m.head != 0 && m.head+opWindow > c.time {
			return false, nil
		}
		if n == limit {
			return true, nil
		}
		key := m.u64(nil, tabOpAge, c.firstOp)
		var row opAgeRow
		var s sum
		found, err := t.get(key, func(v []byte) error {
			s = t.row(key, v)
			return row.decode(v)
		})
		if err != nil {
			return false, err
		}
		if !found { // a command without an operation id
			c.firstOp++
			continue
		}
		if m.head = row.time; row.time+opWindow > c.time {
			return false, nil
		}
		if err := t.del(key, s); err != nil {
			return false, err
		}
		if err := m.forgetOp(t, row.op); err != nil {
			return false, err
		}
		c.forgotten = max(c.forgotten, row.time)
		c.firstOp++
		m.head = 0
	}
	return false, nil
}

func (m *machine) forgetOp(t *tx, op cluster.OpID) error {
	key := m.bytes(nil, tabOp, op[:])
	var s sum
	found, err := t.get(key, func(v []byte) error { s = t.row(key, v); return nil })
	if err != nil {
		return err
	}
	if !found {
		return corrupt("operation age without operation")
	}
	return t.del(key, s)
}

func (m *machine) setWhole(t *tx, c *pb.SetWhole) (*pb.Result, error) {
	key := m.bytes(nil, tabWhole, c.Node)
	old := absent
	if _, err := t.get(key, func(v []byte) error { old = t.row(key, v); return nil }); err != nil {
		return nil, err
	}
	_, err := t.put(key, old, putBool(nil, c.Whole))
	return code(pb.Code_OK), err
}

// Check digests are facts of this node: what it had at that index, for the
// leader to ask later (R5, R6).

func (m *machine) checkKey(index uint64) []byte {
	return binary.BigEndian.AppendUint64(localPrefix(m.group, localCheck), index)
}

func (m *machine) keepCheck(t *tx, index uint64, d cluster.Digest) error {
	if err := t.batch.Set(m.checkKey(index), d[:], nil); err != nil {
		return fmt.Errorf("state: write: %w", err)
	}
	m.mu.Lock()
	m.checks = append(m.checks, index)
	drop := uint64(0)
	if len(m.checks) > keptChecks {
		drop = m.checks[0]
		m.checks = m.checks[1:]
	}
	m.mu.Unlock()
	if drop != 0 {
		if err := t.batch.Delete(m.checkKey(drop), nil); err != nil {
			return fmt.Errorf("state: delete: %w", err)
		}
	}
	return nil
}

func (m *machine) loadChecks() error {
	p := localPrefix(m.group, localCheck)
	it, err := m.db.p.NewIter(&pebble.IterOptions{LowerBound: p, UpperBound: upper(p)})
	if err != nil {
		return fmt.Errorf("state: scan: %w", err)
	}
	m.checks = nil
	for ok := it.First(); ok; ok = it.Next() {
		if k := it.Key(); len(k) == len(p)+8 {
			m.checks = append(m.checks, binary.BigEndian.Uint64(k[len(p):]))
		}
	}
	return closeIter(it, nil)
}

// CheckDigest returns the digest this node had at the check at index, if it
// still knows.
func (m *machine) CheckDigest(index uint64) (d cluster.Digest, ok bool, err error) {
	ok, err = dbGet(m.db.p, m.checkKey(index), func(v []byte) error {
		if copy(d[:], v) != len(d) {
			return corrupt("check digest")
		}
		return nil
	})
	return d, ok, err
}
