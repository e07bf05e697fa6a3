package simulation

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

func errorsAs[T any](err error, to *T) bool { return err != nil && errors.As(err, to) }

// index answers what the product asks its views: which payment has a reference, and which ones wait. It is read from the log itself.
type index struct {
	mu       sync.Mutex
	log      *memory.Store
	read     []int64 // by partition
	payments map[string]*indexed
	byRef    map[string]string
	refunds  map[string]string // on their way: refund -> payment
}

type indexed struct {
	of      wallet.Of
	kind    wallet.Kind
	open    bool
	gateway string
	expires time.Time
}

func newIndex(log *memory.Store, partitions int) *index {
	return &index{log: log, read: make([]int64, partitions), payments: map[string]*indexed{}, byRef: map[string]string{}, refunds: map[string]string{}}
}

// follow reads what was appended since; the caller holds mu.
func (x *index) follow() {
	for p := range x.read {
		records, err := x.log.Read(context.Background(), p, x.read[p], 1<<20)
		if err != nil {
			panic(err)
		}
		for i := range records {
			x.add(&records[i])
			x.read[p] = records[i].Seq
		}
	}
}

func (x *index) add(r *eventstore.Record) {
	var f fact
	if err := json.Unmarshal(r.Data, &f); err != nil {
		panic(err)
	}
	at := x.payments[f.Payment]
	switch r.Type {
	case "payin.created":
		x.payments[f.Payment] = &indexed{of: f.of(), kind: wallet.KindPayin, open: true, gateway: f.Gateway, expires: f.ExpiresAt}
		x.byRef[f.TxnRef] = f.Payment
	case "payout.initiated":
		x.payments[f.Payment] = &indexed{of: f.of(), kind: wallet.KindPayout, open: true}
	case "payout.submitted":
		at.gateway = f.Gateway
	case "payin.succeeded", "payin.failed", "payin.expired", "payout.succeeded", "payout.failed", "payout.refunded":
		at.open = false
	case "refund.initiated":
		x.refunds[f.Refund] = f.Payment
	case "refund.succeeded", "refund.failed":
		delete(x.refunds, f.Refund)
	}
}

// Subject finds what a gateway's reference is about.
func (x *index) Subject(_ context.Context, reference string) (merchantID, id string, kind wallet.Kind, found bool, err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.follow()
	at := x.payments[cmp.Or(x.byRef[reference], reference)]
	if at == nil {
		return "", "", "", false, nil
	}
	return at.of.Merchant, at.of.Payment, at.kind, true, nil
}

func (x *index) pending(kind wallet.Kind, after string, limit int) []gateway.PendingPayment {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.follow()
	var out []gateway.PendingPayment
	for _, id := range slices.Sorted(maps.Keys(x.payments)) {
		if p := x.payments[id]; p.kind == kind && p.open && id > after && len(out) < limit {
			out = append(out, gateway.PendingPayment{Merchant: p.of.Merchant, ID: id, Gateway: p.gateway, ExpiresAt: p.expires})
		}
	}
	return out
}

func (x *index) refunding(after string, limit int) []wallet.Of {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.follow()
	ids := slices.Collect(maps.Values(x.refunds))
	slices.SortFunc(ids, strings.Compare)
	var out []wallet.Of
	for _, id := range slices.Compact(ids) {
		if id > after && len(out) < limit {
			out = append(out, x.payments[id].of)
		}
	}
	return out
}
