package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

func (b *book) timeline(subject string) (moments []ledger.Moment) {
	b.t.Helper()
	err := b.Timeline(b.t.Context(), subject, func(m ledger.Moment) error {
		moments = append(moments, m)
		return nil
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return moments
}

func types(moments []ledger.Moment) (out []string) {
	for _, m := range moments {
		out = append(out, m.Type)
	}
	return out
}

func TestTimeline(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(4))
	b.history(merchantA)
	b.history(merchantB)

	payout := b.timeline("txn_out2aaaa") // the third of A's payouts came back
	if got := types(payout); !slices.Equal(got, []string{"payout.initiated", "payout.submitted", "payout.succeeded", "payout.returned"}) {
		t.Fatal(got)
	}
	for i, want := range []struct{ before, after ledger.Balances }{
		{ledger.Balances{"20969.01", "0.00", "0.00"}, ledger.Balances{"19959.01", "1010.00", "0.00"}},
		{ledger.Balances{"19959.01", "1010.00", "0.00"}, ledger.Balances{"19959.01", "1010.00", "0.00"}},
		{ledger.Balances{"19959.01", "1010.00", "0.00"}, ledger.Balances{"19959.01", "0.00", "0.00"}},
		{ledger.Balances{"19959.01", "0.00", "0.00"}, ledger.Balances{"20969.01", "0.00", "0.00"}},
	} {
		m := payout[i]
		if *m.Before != want.before || *m.After != want.after {
			t.Errorf("%s: %+v to %+v, want %+v", m.Type, *m.Before, *m.After, want)
		}
		at, err := eventstore.ParsePosition(m.Position)
		if err != nil {
			t.Fatal(err)
		}
		r, err := b.Record(t.Context(), at)
		if err != nil || r.Hash.String() != m.Hash || r.EventID.String() != m.EventID || string(r.Data) != string(m.Data) ||
			m.Stream != wallet.Stream(merchantA, "INR") || m.Subject != "txn_out2aaaa" || m.Actor != "test" {
			t.Errorf("%+v, %v", m, err)
		}
	}
	if len(payout[0].Evidence) != 1 || len(payout[3].Evidence) != 0 { // one command, one body: with its first event
		t.Errorf("evidence %v, %v", payout[0].Evidence, payout[3].Evidence)
	}

	whole := b.timeline(wallet.Stream(merchantA, "INR"))
	for i := 1; i < len(whole); i++ {
		if *whole[i].Before != *whole[i-1].After {
			t.Errorf("%s: %+v, and before it %+v", whole[i].Position, *whole[i].Before, *whole[i-1].After)
		}
	}
	w, err := b.Wallet(t.Context(), merchantA, "INR")
	if last := whole[len(whole)-1].After; err != nil || last.Available != w.Available.Fixed() || last.Locked != w.Locked.Fixed() {
		t.Errorf("%+v, %+v, %v", last, w, err)
	}

	if got := b.timeline(merchantB); !slices.Equal(types(got), []string{"merchant.created", "merchant.key_added"}) || got[0].Before != nil || got[0].Stream != merchant.Stream(merchantB) {
		t.Errorf("%+v", got)
	}
	if err := b.Timeline(t.Context(), "txn_none", nil); domain.CodeOf(err) != domain.NotFound {
		t.Error(err)
	}
	enough, calls := errors.New("enough"), 0
	err = b.Timeline(t.Context(), "txn_out2aaaa", func(ledger.Moment) error { calls++; return enough })
	if !errors.Is(err, enough) || calls != 1 {
		t.Errorf("%v after %d calls", err, calls)
	}
	if _, err := b.Owner(t.Context(), merchantA); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("a merchant is no payment: %v", err)
	}
}
