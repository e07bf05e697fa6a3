package vault

import (
	"strconv"
	"testing"
	"time"

	"github.com/google/uuid"
)

func TestCacheIsBounded(t *testing.T) {
	c, now := cache{limit: 10}, time.Now()
	for i := range 100 {
		k := &dataKey{id: uuid.New(), name: keyName{owner: strconv.Itoa(i), kind: kindSeal}}
		c.put(k, now)
		if len(c.ids) > 10 || len(c.names) != len(c.ids) {
			t.Fatalf("%d and %d keys are cached", len(c.ids), len(c.names))
		}
		if c.byID(k.id, now) != k || c.byName(k.name, now) != k {
			t.Fatal("the newest key is not cached")
		}
		if c.byID(k.id, now.Add(CacheTTL)) != nil || c.byName(k.name, now.Add(CacheTTL)) != nil {
			t.Fatal("a key is used beyond its time")
		}
	}
}

func TestCacheReplacesAKeyOfTheSameName(t *testing.T) {
	c, now, name := cache{limit: 10}, time.Now(), keyName{owner: "mer_1", kind: kindSeal}
	before, after := &dataKey{id: uuid.New(), name: name}, &dataKey{id: uuid.New(), name: name}
	c.put(before, now)
	c.put(after, now)
	if len(c.ids) != 1 || c.byName(name, now) != after || c.byID(before.id, now) != nil {
		t.Fatal("both keys of one name are cached")
	}
	c.drop(func(k *dataKey) bool { return k.name.owner == "mer_1" })
	if len(c.ids) != 0 || len(c.names) != 0 {
		t.Fatal("a dropped key is cached")
	}
}
