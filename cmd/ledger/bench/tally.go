package bench

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/khata-ledger/khata/domain/money"
)

// tally is what a scenario has counted, in amounts of paisa. The store must hold just that.
type tally struct {
	records  atomic.Int64 // of the log
	merchant string       // whose wallet is the hot one; "" for none
	funded   atomic.Int64 // of the hot wallet, by hand
	held     atomic.Int64 // by payouts that were initiated
	paid     atomic.Int64 // by those of them that succeeded
}

// verify holds the scratch store against the tally, and runs `ledger verify` on it.
func (w *world) verify(ctx context.Context) ([]Check, error) {
	counted, err := w.counted(ctx)
	if err != nil {
		return nil, err
	}
	found := w.verified
	if found == nil {
		if found, err = w.Verify(ctx, w.at); err != nil {
			return nil, err
		}
	}
	verified := Check{Name: "ledger verify", OK: true}
	for _, c := range found {
		if !c.OK && verified.OK {
			verified.OK = false
			verified.Problem = fmt.Sprintf("%s: %s %s", c.Name, c.Position, c.Problem)
		}
	}
	return append(counted, verified), nil
}

// counted reads the log as whoever comes later does: with a ledger that has nothing in memory.
func (w *world) counted(ctx context.Context) (checks []Check, err error) {
	b, err := w.open(ctx)
	if err != nil {
		return nil, err
	}
	defer closing(b, &err)
	records, err := recordsIn(ctx, b)
	if err != nil {
		return nil, err
	}
	checks = append(checks, equal("records in the log", records, w.tally.records.Load()))
	if w.tally.merchant == "" {
		return checks, nil
	}
	hot, err := b.Ledger.Wallet(ctx, w.tally.merchant, money.INR)
	if err != nil {
		return nil, err
	}
	available, _ := hot.Available.Minor()
	locked, _ := hot.Locked.Minor()
	held, paid := w.tally.held.Load(), w.tally.paid.Load()
	return append(checks,
		equal("available in the hot wallet, in paisa", available, w.tally.funded.Load()-held),
		equal("locked in the hot wallet, in paisa", locked, held-paid)), nil
}

// recordsIn is how many records the log has.
func recordsIn(ctx context.Context, b *Book) (int64, error) {
	info, err := b.Log.Info(ctx)
	if err != nil {
		return 0, err
	}
	var n int64
	for p := range info.Partitions {
		head, err := b.Log.Head(ctx, p)
		if err != nil {
			return 0, err
		}
		n += head.Seq
	}
	return n, nil
}

func equal(name string, found, counted int64) Check {
	c := Check{Name: fmt.Sprintf("%s: %s", name, plainInt(found)), OK: found == counted}
	if !c.OK {
		c.Problem = fmt.Sprintf("%s were counted", plainInt(counted))
	}
	return c
}

func plainInt(n int64) string {
	if n == 0 {
		return "0"
	}
	return plain(float64(n), 0)
}
