package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/stored"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

func TestModelNeeds(t *testing.T) {
	t.Parallel()
	stream := executor.Need{Kind: executor.Stream, Name: wallet.Stream(merchantA, "INR")}
	for _, c := range []struct {
		command wallet.Command
		fresh   bool
	}{
		{initiate(merchantA, "txn_1", "P-1", "1000"), true},
		{wallet.CreatePayin{Base: base(merchantA, "txn_1")}, true},
		{submitted(merchantA, "txn_1"), false},
		{wallet.AdjustWallet{Base: base(merchantA, "txn_1")}, false}, // no key would refuse it again
		{wallet.PlaceHold{Base: base(merchantA, "txn_1")}, false},
	} {
		want := []executor.Need{stream, {Kind: executor.Subject, Name: "txn_1", Fresh: c.fresh}}
		if got := ledger.TheModel().Needs(c.command, nil); !slices.Equal(got, want) {
			t.Errorf("%T: %+v", c.command, got)
		}
	}
	if got := ledger.TheModel().Needs(42, nil); len(got) != 0 {
		t.Errorf("%+v", got)
	}
}

func TestModelRefusesWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	m := ledger.TheModel()
	for _, stream := range []string{"", "wallet", "wallet:mer_x", "nothing:mer_x"} {
		if _, err := m.New(executor.Need{Kind: executor.Stream, Name: stream}); err == nil {
			t.Errorf("stream %q has a state", stream)
		}
	}
	if _, err := m.Decide(42, nil, nil); domain.CodeOf(err) != domain.Invalid {
		t.Errorf("%v", err)
	}
	for _, typ := range []string{"payout.renamed", "merchant.renamed", "nonsense"} {
		if _, err := ledger.DecodeFact(&eventstore.Record{Stream: "wallet:mer_x:INR", Type: typ, Schema: 1, Data: []byte("{}")}); err == nil {
			t.Errorf("%s was read", typ)
		}
	}
	_, err := ledger.DecodeFact(&eventstore.Record{Stream: "wallet:mer_x:INR", Type: "payout.initiated", Schema: 99, Data: []byte("{}")})
	if !errors.Is(err, stored.ErrUnknownType) {
		t.Errorf("%v", err)
	}
}

// What the executor folds in memory is what the log folds to: for each wallet and payment of a history.
func TestAnswersAreWhatTheLogFoldsTo(t *testing.T) {
	t.Parallel()
	log := memory.New(1)
	b := open(t, log)
	b.history(merchantA)
	last := b.submit(reported(merchantA, "txn_out3aaaa", wallet.OutcomePaid))
	other := open(t, log) // has it all from the log
	p, err := other.Payment(t.Context(), merchantA, "txn_out3aaaa")
	if err != nil || p.Status != last.Payment.Status || p.SealID != last.Payment.SealID || p.UTR != last.Payment.UTR ||
		!p.CreatedAt.Equal(last.Payment.CreatedAt) || !p.UpdatedAt.Equal(last.Payment.UpdatedAt) || p.Attempts != last.Payment.Attempts {
		t.Errorf("%+v, want %+v, %v", p, last.Payment, err)
	}
	w, err := other.Wallet(t.Context(), merchantA, "INR")
	if err != nil || !w.Available.Equal(last.Wallet.Available) || !w.Locked.Equal(last.Wallet.Locked) || w.Payouts != last.Wallet.Payouts {
		t.Errorf("%+v, want %+v, %v", w, last.Wallet, err)
	}
	again := other.submit(wallet.ReleaseHold{Base: base(merchantA, "txn_holdaaaa"), Reason: "over", Actor: "test"})
	if got := again.Wallet.Locked.Fixed(); got != "0.00" || again.Payment.Status != wallet.Released {
		t.Errorf("locked %s, hold %s", got, again.Payment.Status)
	}
}
