package projections

import (
	"context"
	"sync"
	"time"

	"github.com/khata-ledger/khata/domain/merchant"
)

// maxKeys bounds the keys whose owners are remembered.
const maxKeys = 10_000

// keyCache remembers whose a key is, for Options.KeyAge: requests do not each ask the database, and a revoked key is refused
// within a second.
type keyCache struct {
	mu      sync.Mutex
	entries map[string]*keyEntry // by hash
}

type keyEntry struct {
	mu     sync.Mutex // held while the owner is read: whoever needs it too waits for that
	read   time.Time  // zero: not yet
	holder holder
}

// holder is whose a key is: a merchant's, an operator's, or nobody's.
type holder struct {
	merchant merchant.Merchant // ID "" without
	operator merchant.Operator // ID "" without
}

// MerchantByKeyHash finds the merchant that has a key, by the key's SHA-256 in lower-case hexadecimal; also when the key is
// revoked or expired: see Key.Active. The answer is at most Options.KeyAge older than the views; Reach is called only if there is no such key yet.
// What it returns is shared: do not change it.
func (v *Views) MerchantByKeyHash(ctx context.Context, hash string) (merchant.Merchant, merchant.Key, bool, error) {
	h, err := v.holder(ctx, hash)
	if err != nil {
		return merchant.Merchant{}, merchant.Key{}, false, err
	}
	k, found := h.merchant.KeyByHash(hash)
	if !found {
		return merchant.Merchant{}, merchant.Key{}, false, nil
	}
	return h.merchant, k, true, nil
}

// OperatorByKeyHash finds the operator that has a key, as MerchantByKeyHash does.
func (v *Views) OperatorByKeyHash(ctx context.Context, hash string) (merchant.Operator, bool, error) {
	h, err := v.holder(ctx, hash)
	return h.operator, err == nil && h.operator.ID != "" && h.operator.Key.Hash == hash, err
}

func (v *Views) holder(ctx context.Context, hash string) (holder, error) {
	entry := v.keys.entry(hash)
	entry.mu.Lock()
	defer entry.mu.Unlock()
	if now := v.opts.Clock(); entry.read.IsZero() || now.Sub(entry.read) >= v.opts.KeyAge {
		found, err := v.findHolder(ctx, hash)
		if err == nil && found.merchant.ID == "" && found.operator.ID == "" {
			// Perhaps a key that was made a moment ago: whoever made it was answered, so it must be found.
			if err = v.Reach(ctx); err == nil {
				found, err = v.findHolder(ctx, hash)
			}
		}
		if err != nil {
			return holder{}, err
		}
		entry.holder, entry.read = found, now
	}
	return entry.holder, nil
}

// entry returns the place of a key. When there are too many, some are forgotten: they are soon too old anyway.
func (c *keyCache) entry(hash string) *keyEntry {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[hash]; e != nil {
		return e
	}
	if c.entries == nil {
		c.entries = map[string]*keyEntry{}
	}
	for other := range c.entries {
		if len(c.entries) < maxKeys {
			break
		}
		delete(c.entries, other)
	}
	e := &keyEntry{}
	c.entries[hash] = e
	return e
}

func (v *Views) findHolder(ctx context.Context, hash string) (holder, error) {
	rows, err := query(ctx, v, merchants{}, keyTable, "WHERE hash = $1 ORDER BY owner LIMIT 1", hash)
	if err != nil || len(rows) == 0 {
		return holder{}, err
	}
	if rows[0].operator != 0 {
		found, err := owners[merchant.Operator](ctx, v, operatorTable, "WHERE id = $1", rows[0].owner)
		if err != nil || len(found) == 0 {
			return holder{}, err
		}
		return holder{operator: found[0]}, nil
	}
	found, err := owners[merchant.Merchant](ctx, v, merchantTable, "WHERE id = $1", rows[0].owner)
	if err != nil || len(found) == 0 {
		return holder{}, err
	}
	return holder{merchant: found[0]}, nil
}
