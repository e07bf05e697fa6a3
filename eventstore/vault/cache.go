package vault

import (
	"sync"
	"time"

	"github.com/google/uuid"
)

// cache holds unwrapped keys, for CacheTTL each. Its zero value without a limit holds nothing.
type cache struct {
	limit int
	mu    sync.RWMutex
	ids   map[uuid.UUID]*dataKey
	names map[keyName]*dataKey
}

func (c *cache) byName(name keyName, now time.Time) *dataKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return fresh(c.names[name], now)
}

func (c *cache) byID(id uuid.UUID, now time.Time) *dataKey {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return fresh(c.ids[id], now)
}

func fresh(k *dataKey, now time.Time) *dataKey {
	if k == nil || !now.Before(k.until) {
		return nil
	}
	return k
}

// put adds k; a full cache loses an arbitrary key for it.
func (c *cache) put(k *dataKey, now time.Time) {
	k.until = now.Add(CacheTTL)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ids == nil {
		c.ids, c.names = make(map[uuid.UUID]*dataKey), make(map[keyName]*dataKey)
	}
	if old := c.names[k.name]; old != nil {
		c.remove(old)
	}
	for len(c.ids) >= c.limit {
		for _, other := range c.ids {
			c.remove(other)
			break
		}
	}
	c.ids[k.id], c.names[k.name] = k, k
}

func (c *cache) drop(gone func(*dataKey) bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range c.ids {
		if gone(k) {
			c.remove(k)
		}
	}
}

// remove needs mu.
func (c *cache) remove(k *dataKey) {
	delete(c.ids, k.id)
	delete(c.names, k.name)
}
