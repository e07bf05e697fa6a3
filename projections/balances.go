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

func (balances) apply(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error {
	if err := loadWallets(ctx, w, known, generation, facts); err != nil {
		return err
	}
	last := map[walletKey]*fact{} // the wallet's newest record of the batch
	for i := range facts {
		f := &facts[i]
		if f.wallet == nil {
			continue
		}
		key := walletOf(f)
		known.wallets[key].Evolve(f.wallet)
		last[key] = f
	}
	rows := make([]balanceRow, 0, len(last))
	for key, f := range last {
		row, err := newBalanceRow(known.wallets[key], f)
		if err != nil {
			return err
		}
		rows = append(rows, row)
	}
	return balanceTable.merge(ctx, w, generation, rows)
}

func walletOf(f *fact) walletKey {
	of := f.wallet.Header()
	return walletKey{of.Merchant, of.Currency}
}

// loadWallets makes all wallets of the batch known.
func loadWallets(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error {
	var merchants []string
	for i := range facts {
		if facts[i].wallet == nil {
			continue
		}
		key := walletOf(&facts[i])
		if known.wallets[key] == nil {
			known.wallets[key] = wallet.NewWallet(key.merchant, key.currency)
			merchants = append(merchants, key.merchant)
		}
	}
	rows, err := balanceTable.load(ctx, w, generation, "merchant", merchants)
	if err != nil {
		return err
	}
	for i := range rows {
		folded := rows[i].wallet()
		known.wallets[walletKey{folded.Merchant, folded.Currency}] = folded
	}
	return nil
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
