package executor

import "iter"

// key names a state in memory.
type key struct {
	kind Kind
	name string
}

func (n Need) key() key { return key{n.Kind, n.Name} }

// entry is a state in memory.
type entry struct {
	key
	state   State
	version int64 // of the stream; unused for subjects
	seq     int64 // position of the newest record that is in it
	kept    int64 // version in its newest snapshot, as far as this executor knows
	changed int64 // number of the newest batch that changed it
	held    bool  // it is, or has been, in the cache
}

// cache keeps the states that were used last, by two generations: what was not used while the young one filled up
// is dropped with the old one. The states of a batch in flight are always in it, since a generation is larger than
// all that two batches can touch.
type cache struct {
	young, old map[key]*entry
	limit      int // of one generation
}

func newCache(size int) *cache {
	return &cache{young: map[key]*entry{}, old: map[key]*entry{}, limit: max(size/2, 1)}
}

// get returns a state; nil when it is not in memory.
func (c *cache) get(k key) *entry {
	if e := c.young[k]; e != nil {
		return e
	}
	e := c.old[k]
	if e != nil {
		delete(c.old, k)
		c.add(e)
	}
	return e
}

func (c *cache) add(e *entry) {
	if len(c.young) >= c.limit {
		clear(c.old)
		c.old, c.young = c.young, c.old
	}
	e.held = true
	c.young[e.key] = e
}

func (c *cache) drop(k key) {
	delete(c.young, k)
	delete(c.old, k)
}

func (c *cache) clear() {
	clear(c.young)
	clear(c.old)
}

// all are the states in memory.
func (c *cache) all() iter.Seq[*entry] {
	return func(yield func(*entry) bool) {
		for _, generation := range []map[key]*entry{c.young, c.old} {
			for _, e := range generation {
				if !yield(e) {
					return
				}
			}
		}
	}
}
