package projections

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// balances holds what each wallet has now.
type balances struct{}

func (balances) name() string       { return "balances" }
func (balances) version() int64     { return 1 }
func (balances) shape() int64       { return 1 }
func (balances) schemas() []*schema { return []*schema{&balanceTable.schema} }

// balanceRow is a wallet; amounts in minor units.
type balanceRow struct {
	merchant, currency              string
	available, locked, owed         int64
	payins, payouts                 int64 // made so far
	version, partition, seq, moment int64 // of the wallet's newest record
}

var balanceTable = newTable(schema{name: "balances", key: 2}, []column[balanceRow]{
	{"merchant", func(r *balanceRow) any { return &r.merchant }},
	{"currency", func(r *balanceRow) any { return &r.currency }},
	{"available", func(r *balanceRow) any { return &r.available }},
	{"locked", func(r *balanceRow) any { return &r.locked }},
	{"owed", func(r *balanceRow) any { return &r.owed }},
	{"payins", func(r *balanceRow) any { return &r.payins }},
	{"payouts", func(r *balanceRow) any { return &r.payouts }},
	{"version", func(r *balanceRow) any { return &r.version }},
	{"partition", func(r *balanceRow) any { return &r.partition }},
	{"seq", func(r *balanceRow) any { return &r.seq }},
	{"recorded_at", func(r *balanceRow) any { return &r.moment }},
})

type walletKey struct {
	merchant string
	currency money.Currency
}

func (balances) apply(ctx context.Context, w *writer, generation int64, facts []fact) error {
	last := map[walletKey]*fact{} // the wallet's newest record of the batch
	var merchants []string
	for i := range facts {
		f := &facts[i]
		if f.wallet == nil {
			continue
		}
		of := f.wallet.Header()
		key := walletKey{of.Merchant, of.Currency}
		if last[key] == nil {
			merchants = append(merchants, of.Merchant)
		}
		last[key] = f
	}
	if len(last) == 0 {
		return nil
	}
	rows, err := balanceTable.load(ctx, w, generation, "merchant", merchants)
	if err != nil {
		return err
	}
	wallets := map[walletKey]*wallet.Wallet{}
	for i := range rows {
		folded := rows[i].wallet()
		wallets[walletKey{folded.Merchant, folded.Currency}] = folded
	}
	for i := range facts {
		if facts[i].wallet == nil {
			continue
		}
		of := facts[i].wallet.Header()
		key := walletKey{of.Merchant, of.Currency}
		if wallets[key] == nil {
			wallets[key] = wallet.NewWallet(of.Merchant, of.Currency)
		}
		wallets[key].Evolve(facts[i].wallet)
	}
	rows = rows[:0]
	for key, f := range last {
		row, err := newBalanceRow(wallets[key], f)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return balanceTable.write(ctx, w, generation, rows)
}

func newBalanceRow(folded *wallet.Wallet, f *fact) (balanceRow, error) {
	row := balanceRow{
		merchant: folded.Merchant, currency: string(folded.Currency), payins: folded.Payins, payouts: folded.Payouts,
		version: f.record.Version, partition: int64(f.record.Partition), seq: f.record.Seq, moment: micros(f.record.RecordedAt),
	}
	for _, a := range []struct {
		to   *int64
		from money.Amount
	}{{&row.available, folded.Available}, {&row.locked, folded.Locked}, {&row.owed, folded.Owed}} {
		var fits bool
		if *a.to, fits = a.from.Minor(); !fits {
			return balanceRow{}, fmt.Errorf("record %s: wallet %s: %s does not fit 64 bits", f.record.Position(), f.record.Stream, a.from)
		}
	}
	return row, nil
}

func (r *balanceRow) wallet() *wallet.Wallet {
	c := money.Currency(r.currency)
	return &wallet.Wallet{
		Merchant: r.merchant, Currency: c, Payins: r.payins, Payouts: r.payouts,
		Available: money.FromMinor(r.available, c), Locked: money.FromMinor(r.locked, c), Owed: money.FromMinor(r.owed, c),
	}
}
