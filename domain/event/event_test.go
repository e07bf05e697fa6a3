package event_test

import (
	"errors"
	"path/filepath"
	"testing"

	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

// Every stored event of every package is read from its kind of stream, and its double entry balances.
func TestEveryGoldenIsRead(t *testing.T) {
	for stream, folder := range streams {
		moving := 0
		for _, g := range golden.Events(t, filepath.Join("..", folder)) {
			e, err := event.Decode(stream, g.Type, g.Schema, g.Data)
			if err != nil {
				t.Errorf("%s on %s: %v", g.Name, stream, err)
				continue
			}
			postings := event.Postings(e)
			if len(postings) == 0 {
				continue
			}
			moving++
			sum := money.Zero(postings[0].Debit.Currency())
			for _, p := range postings {
				sum = sum.Add(p.Debit).Sub(p.Credit)
			}
			if !sum.IsZero() {
				t.Errorf("%s: debits less credits are %s", g.Name, sum)
			}
		}
		if moves := folder == "wallet" || folder == "books"; moves != (moving > 0) {
			t.Errorf("%s: %d events move money", folder, moving)
		}
	}
}

func TestOthersAreRefused(t *testing.T) {
	for _, stream := range []string{"", "wallets:mer_a:INR", "purse"} {
		if e, err := event.Decode(stream, "payin.created", 1, []byte("{}")); err == nil {
			t.Errorf("%q has %v", stream, e)
		}
	}
	if _, err := event.Decode("wallet:mer_a:INR", "books.closed", 1, []byte("{}")); !errors.Is(err, stored.ErrUnknownType) {
		t.Error(err)
	}
	if got := event.Postings(nil); got != nil {
		t.Errorf("nothing posts %v", got)
	}
}
