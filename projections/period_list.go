package projections

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// Period is a close of a period, and what became of it.
type Period struct {
	books.Closed
	Position eventstore.Position // of its record
	ClosedAt time.Time
	Request  *PeriodRequest // to reopen it, that was approved or waits for another person; nil: none
	Reopened time.Time      // zero: it stands
	Reopener string         // who approved that
	Late     []LateTotal    // of a close that stands: what was recorded behind it with a value date in the period; by currency
}

// PeriodRequest asks for a close to be reopened.
type PeriodRequest struct {
	Reason, Actor string
	At            time.Time
}

// LateTotal sums what is late up in a currency. Amount is the sum of the debits.
type LateTotal struct {
	Records int64
	Amount  money.Amount
}

// Periods lists the closes in the order of closing, also those that are reopened, after Reach.
func (v *Views) Periods(ctx context.Context) ([]Period, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	return v.periods(ctx)
}

func (v *Views) periods(ctx context.Context) ([]Period, error) {
	closes, err := query(ctx, v, periods{}, closeTable, "ORDER BY number")
	if err != nil {
		return nil, err
	}
	requests, err := query(ctx, v, periods{}, requestTable, "ORDER BY seq")
	if err != nil {
		return nil, err
	}
	reopenings, err := query(ctx, v, periods{}, reopenTable, "ORDER BY number")
	if err != nil {
		return nil, err
	}
	all := make([]Period, len(closes))
	for i := range closes {
		if all[i], err = newPeriod(&closes[i]); err != nil {
			return nil, err
		}
		p := &all[i]
		reopened := slices.IndexFunc(reopenings, func(r reopenRow) bool { return r.number == closes[i].number })
		for n := range requests {
			r := &requests[n]
			dropped := closes[len(closes)-1].seq > r.seq // by a close behind it; but the last one may have been approved before that
			if r.number == closes[i].number && (reopened >= 0 || !dropped) {
				p.Request = &PeriodRequest{r.reason, r.actor, instant(r.recordedAt)}
			}
		}
		if reopened >= 0 {
			p.Reopened, p.Reopener = instant(reopenings[reopened].recordedAt), reopenings[reopened].actor
			continue
		}
		if p.Late, err = v.late(ctx, p); err != nil {
			return nil, err
		}
	}
	return all, nil
}

func newPeriod(r *closeRow) (Period, error) {
	p := Period{
		Closed: books.Closed{
			Number: int(r.number), Period: books.Period{Name: r.name, Zone: r.zone, To: instant(r.to)}, From: instant(r.from),
			Trial: books.Trial{Accounts: int(r.accounts), Digest: r.digest}, Actor: r.actor,
		},
		Position: eventstore.Position{Partition: int(r.partition), Seq: r.seq}, ClosedAt: instant(r.recordedAt),
	}
	closing, err := r.closing()
	if err != nil {
		return p, err
	}
	p.Positions = closing.Marks
	if err := json.Unmarshal([]byte(r.totals), &p.Totals); err != nil {
		return p, fmt.Errorf("read close %d: %w", r.number, err)
	}
	for i := range p.Totals {
		t := &p.Totals[i]
		if t.Debit, err = t.Debit.In(t.Currency); err != nil {
			return p, err
		}
		if t.Credit, err = t.Credit.In(t.Currency); err != nil {
			return p, err
		}
	}
	return p, nil
}
