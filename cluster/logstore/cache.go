package logstore

import "github.com/hashicorp/raft"

// entryCost is what the cache accounts for an entry beside its bytes.
const entryCost = 128

// cache keeps the newest entries, contiguous and bounded in bytes, so that
// replication and apply do not read and open again what was just written.
// The caller locks.
type cache struct {
	limit int
	bytes int
	first uint64 // index of ring[head]
	ring  []raft.Log
	head  int
	n     int
}

func (c *cache) get(index uint64, out *raft.Log) bool {
	if c.n == 0 || index < c.first || index >= c.first+uint64(c.n) {
		return false
	}
	*out = c.ring[(c.head+int(index-c.first))%len(c.ring)]
	return true
}

func cost(l *raft.Log) int { return entryCost + len(l.Data) + len(l.Extensions) }

// add appends an entry; one that does not follow the last restarts the cache.
func (c *cache) add(l *raft.Log) {
	if c.n > 0 && l.Index != c.first+uint64(c.n) {
		c.clear()
	}
	if c.n == 0 {
		c.first = l.Index
	}
	if c.n == len(c.ring) {
		grown := make([]raft.Log, max(64, 2*len(c.ring)))
		for i := range c.n {
			grown[i] = c.ring[(c.head+i)%len(c.ring)]
		}
		c.ring, c.head = grown, 0
	}
	c.ring[(c.head+c.n)%len(c.ring)] = *l
	c.n++
	c.bytes += cost(l)
	for c.bytes > c.limit && c.n > 1 {
		c.dropFirst()
	}
}

func (c *cache) dropFirst() {
	slot := &c.ring[c.head]
	c.bytes -= cost(slot)
	*slot = raft.Log{}
	c.head = (c.head + 1) % len(c.ring)
	c.first++
	c.n--
}

// remove forgets the entries of [lo, hi], which is a prefix or a suffix.
func (c *cache) remove(lo, hi uint64) {
	if c.n == 0 || hi < c.first || lo >= c.first+uint64(c.n) {
		return
	}
	if lo <= c.first {
		for c.n > 0 && c.first <= hi {
			c.dropFirst()
		}
		return
	}
	for c.n > 0 && c.first+uint64(c.n)-1 >= lo {
		slot := &c.ring[(c.head+c.n-1)%len(c.ring)]
		c.bytes -= cost(slot)
		*slot = raft.Log{}
		c.n--
	}
}

func (c *cache) clear() { *c = cache{limit: c.limit} }
