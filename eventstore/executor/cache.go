package executor

// entry is a state in memory, with the version of its stream (unused for subjects).
type entry struct {
	state   State
	version int64
}

// cache keeps the states that were used last, by two generations: what was not used while the young one filled up
// is dropped with the old one. The states of a batch in flight are always in it, since a generation is larger than
// all that two batches can touch.
type cache struct {
	young, old map[string]*entry
	limit      int // of one generation
}

func newCache(size int) *cache {
	return &cache{young: map[string]*entry{}, old: map[string]*entry{}, limit: max(size/2, 1)}
}

func cacheKey(n Need) string { return string(n.Kind) + n.Name }

func (c *cache) get(n Need) (*entry, bool) {
	k := cacheKey(n)
	if e, ok := c.young[k]; ok {
		return e, true
	}
	e, ok := c.old[k]
	if ok {
		delete(c.old, k)
		c.put(k, e)
	}
	return e, ok
}

func (c *cache) add(n Need, e *entry) { c.put(cacheKey(n), e) }

func (c *cache) put(k string, e *entry) {
	if len(c.young) >= c.limit {
		c.old, c.young = c.young, make(map[string]*entry, c.limit/4)
	}
	c.young[k] = e
}

func (c *cache) drop(n Need) {
	k := cacheKey(n)
	delete(c.young, k)
	delete(c.old, k)
}

func (c *cache) clear() {
	clear(c.young)
	clear(c.old)
}
