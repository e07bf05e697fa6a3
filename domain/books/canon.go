package books

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Canon makes the trial balance of a close of its balances. Its canonical form is text: a line that names the end of the period, one with the
// positions, and one for each balance that is not zero, with tabs between partition, currency, account and debits less credits:
//
//	trial balance before 2026-03-31T18:30:00Z
//	positions 0:120 1:88
//	0	INR	adjustments	1000.00
//
// Lines come by partition, currency and account, compared by their bytes. So the balances of one partition are known before those of the
// next are needed, and nothing as large as the books is held in memory or in the log.
type Canon struct {
	digest    hash.Hash
	out       io.Writer
	positions []Mark
	totals    map[totalKey]*Total
	accounts  int
	err       error // the first one
}

type totalKey struct {
	currency money.Currency
	kind     Kind
}

// NewCanon begins. What makes up the digest is written to each of the writers, too.
func NewCanon(to time.Time, positions []Mark, writers ...io.Writer) *Canon {
	c := &Canon{digest: sha256.New(), positions: positions, totals: map[totalKey]*Total{}}
	c.out = io.MultiWriter(append(writers, c.digest)...)
	texts := make([]string, len(positions))
	for i, m := range positions {
		texts[i] = m.String()
	}
	c.printf("trial balance before %s\npositions %s\n", to.UTC().Format(time.RFC3339Nano), strings.Join(texts, " "))
	return c
}

func (c *Canon) printf(format string, args ...any) {
	if c.err == nil {
		_, c.err = fmt.Fprintf(c.out, format, args...)
	}
}

// Add adds the next balance, debits less credits.
func (c *Canon) Add(partition int, account string, balance money.Amount) {
	if balance.IsZero() {
		return
	}
	c.printf("%d\t%s\t%s\t%s\n", partition, balance.Currency(), account, balance.Fixed())
	c.accounts++
	a, known := ParseAccount(account)
	if !known && c.err == nil {
		c.err = fmt.Errorf("account %q is not in the chart of accounts", account)
	}
	key := totalKey{balance.Currency(), a.Kind}
	t := c.totals[key]
	if t == nil {
		t = &Total{Currency: key.currency, Kind: key.kind, Debit: money.Zero(key.currency), Credit: money.Zero(key.currency)}
		c.totals[key] = t
	}
	if balance.Sign() > 0 {
		t.Debit = t.Debit.Add(balance)
	} else {
		t.Credit = t.Credit.Sub(balance)
	}
}

// Trial is what has come together. The error is of a writer, or an account that is not in the chart of accounts.
func (c *Canon) Trial() (Trial, error) {
	t := Trial{Positions: c.positions, Totals: []Total{}, Accounts: c.accounts, Digest: hex.EncodeToString(c.digest.Sum(nil))}
	for _, currency := range currencies(c.totals) {
		for _, kind := range Chart() {
			if total := c.totals[totalKey{currency, kind}]; total != nil {
				t.Totals = append(t.Totals, *total)
			}
		}
	}
	return t, c.err
}

func currencies(totals map[totalKey]*Total) []money.Currency {
	seen := map[money.Currency]bool{}
	for key := range totals {
		seen[key.currency] = true
	}
	return slices.Sorted(maps.Keys(seen))
}
