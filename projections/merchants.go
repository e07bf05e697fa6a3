package projections

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain/merchant"
)

// merchants holds merchants and operators, whole, and finds them by the hashes of their keys.
type merchants struct{}

func (merchants) name() string   { return "merchants" }
func (merchants) version() int64 { return 2 }
func (merchants) shape() int64   { return 1 }
func (merchants) schemas() []*schema {
	return []*schema{&merchantTable.schema, &operatorTable.schema, &keyTable.schema}
}

// ownerRow is a merchant or an operator: its folded state as JSON.
type ownerRow struct {
	id, state               string
	version, partition, seq int64 // of its newest record
}

var (
	merchantTable = newTable(schema{name: "merchants", key: 1}, ownerColumns())
	operatorTable = newTable(schema{name: "operators", key: 1}, ownerColumns())
)

func ownerColumns() []column[ownerRow] {
	return []column[ownerRow]{
		{"id", func(r *ownerRow) any { return &r.id }},
		{"state", func(r *ownerRow) any { return &r.state }},
		{"version", func(r *ownerRow) any { return &r.version }},
		{"partition", func(r *ownerRow) any { return &r.partition }},
		{"seq", func(r *ownerRow) any { return &r.seq }},
	}
}

// keyRow says whose key has a hash, also when the key is revoked.
type keyRow struct {
	hash, owner string
	operator    int64 // 1: the owner is an operator
}

var keyTable = newTable(schema{name: "api_keys", key: 2}, []column[keyRow]{
	{"hash", func(r *keyRow) any { return &r.hash }},
	{"owner", func(r *keyRow) any { return &r.owner }},
	{"operator", func(r *keyRow) any { return &r.operator }},
})

func (merchants) apply(ctx context.Context, w *writer, _ *cache, generation int64, facts []fact) error {
	var ofMerchants, ofOperators []*fact
	for i := range facts {
		switch {
		case facts[i].merchant == nil:
		case facts[i].operator():
			ofOperators = append(ofOperators, &facts[i])
		default:
			ofMerchants = append(ofMerchants, &facts[i])
		}
	}
	var keys []keyRow
	err := foldOwners(ctx, w, generation, merchantTable, ofMerchants,
		func(m *merchant.Merchant, e merchant.Event) { m.Evolve(e) },
		func(m *merchant.Merchant) {
			for _, k := range m.Keys {
				keys = append(keys, keyRow{hash: k.Hash, owner: m.ID})
			}
		})
	if err != nil {
		return err
	}
	err = foldOwners(ctx, w, generation, operatorTable, ofOperators,
		func(o *merchant.Operator, e merchant.Event) { o.Evolve(e) },
		func(o *merchant.Operator) { keys = append(keys, keyRow{hash: o.Key.Hash, owner: o.ID, operator: 1}) })
	if err != nil {
		return err
	}
	slices.SortFunc(keys, func(a, b keyRow) int { return cmp.Or(cmp.Compare(a.hash, b.hash), cmp.Compare(a.owner, b.owner)) })
	return keyTable.merge(ctx, w, generation, slices.Compact(keys))
}

// foldOwners folds facts into the states of their owners, T, and writes the states that they touch.
func foldOwners[T any](
	ctx context.Context, w *writer, generation int64, table *table[ownerRow], facts []*fact, evolve func(*T, merchant.Event), each func(*T),
) error {
	if len(facts) == 0 {
		return nil
	}
	last := map[string]*fact{}
	states := map[string]*T{}
	var ids []string
	for _, f := range facts {
		id := f.merchant.Subject()
		if last[id] == nil {
			ids = append(ids, id)
			states[id] = new(T)
		}
		last[id] = f
	}
	rows, err := table.load(ctx, w, generation, "id", ids)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if err := json.Unmarshal([]byte(row.state), states[row.id]); err != nil {
			return fmt.Errorf("the state of %s: %w", row.id, err)
		}
	}
	for _, f := range facts {
		evolve(states[f.merchant.Subject()], f.merchant)
	}
	rows = rows[:0]
	for _, id := range ids {
		state, err := json.Marshal(states[id])
		if err != nil {
			return fmt.Errorf("the state of %s: %w", id, err)
		}
		r := last[id].record
		rows = append(rows, ownerRow{id: id, state: string(state), version: r.Version, partition: int64(r.Partition), seq: r.Seq})
		each(states[id])
	}
	return table.merge(ctx, w, generation, rows)
}
