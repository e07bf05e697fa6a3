package wallet

import (
	"bytes"
	"encoding/json"
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
)

// FoldVersion is the version of what Wallet.Evolve makes of a history, and of how Snapshot writes it. It must be raised whenever
// the same events give another wallet: a snapshot is believed by every program with the same version.
const FoldVersion = 2

// kept is the stored form of a wallet.
type kept struct {
	Merchant  string         `json:"merchant"`
	Currency  money.Currency `json:"currency"`
	Available money.Amount   `json:"available"`
	Locked    money.Amount   `json:"locked"`
	Owed      money.Amount   `json:"owed"`
	Payins    int64          `json:"payins"`
	Payouts   int64          `json:"payouts"`
	Reserves  []Reserve      `json:"reserves,omitempty"`
}

// Snapshot writes the wallet: compact JSON, fields in a fixed order, amounts as decimal strings.
func (w *Wallet) Snapshot() ([]byte, error) {
	b, err := json.Marshal(kept(*w))
	if err != nil {
		return nil, fmt.Errorf("writing the wallet of %s: %w", w.Merchant, err)
	}
	return b, nil
}

// Restore makes a wallet without history what Snapshot has written of it. It is strict: what Snapshot would have written
// otherwise, another wallet, and a balance that no wallet has are errors. The wallet is then as it was.
func (w *Wallet) Restore(b []byte) error {
	var k kept
	if err := json.Unmarshal(b, &k); err != nil {
		return fmt.Errorf("a snapshot of the wallet of %s: %w", w.Merchant, err)
	}
	if k.Merchant != w.Merchant || k.Currency != w.Currency {
		return fmt.Errorf("the snapshot is of the wallet of %s in %s, not of %s in %s", k.Merchant, k.Currency, w.Merchant, w.Currency)
	}
	for _, a := range []*money.Amount{&k.Available, &k.Locked, &k.Owed} {
		in, err := a.In(w.Currency)
		if err != nil {
			return fmt.Errorf("a snapshot of the wallet of %s: %w", w.Merchant, err)
		}
		if in.Sign() < 0 {
			return fmt.Errorf("a snapshot of the wallet of %s has a balance of %s", w.Merchant, in)
		}
		*a = in
	}
	for i := range k.Reserves {
		r := &k.Reserves[i]
		var err error
		if r.Left, err = r.Left.In(w.Currency); err != nil {
			return fmt.Errorf("a snapshot of the wallet of %s: %w", w.Merchant, err)
		}
		if r.Left.Sign() < 0 {
			return fmt.Errorf("a snapshot of the wallet of %s has %s left for batch %s", w.Merchant, r.Left, r.Batch)
		}
	}
	if k.Payins < 0 || k.Payouts < 0 {
		return fmt.Errorf("a snapshot of the wallet of %s counts %d payins and %d payouts", w.Merchant, k.Payins, k.Payouts)
	}
	restored := Wallet(k)
	again, err := restored.Snapshot()
	if err != nil {
		return err
	}
	if !bytes.Equal(again, b) {
		return fmt.Errorf("a snapshot of the wallet of %s is not written as Snapshot writes it", w.Merchant)
	}
	*w = restored
	return nil
}
