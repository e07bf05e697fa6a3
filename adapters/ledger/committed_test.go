package ledger_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// The digest of a gateway's message stands nowhere in the log: its fingerprint does, which finds the same message again.
func TestMessagesAreClaimedByFingerprint(t *testing.T) {
	t.Parallel()
	b := open(t, memory.New(4))
	b.fund(merchantA, "txn_fund", "5000")
	b.submit(initiate(merchantA, "txn_1", "P-1", "1000"))
	b.submit(submitted(merchantA, "txn_1"))
	report := wallet.ReportPayout{Base: base(merchantA, "txn_1"), Gateway: "sandbox", Outcome: wallet.OutcomePaid, UTR: "612345678901", Message: "digest"}
	at := b.submit(report).First
	r, err := b.Record(t.Context(), at)
	if err != nil {
		t.Fatal(err)
	}
	want := "message:txn_1:print of " + merchantA + " message:txn_1:digest"
	if !slices.Contains(r.Keys, want) || slices.Contains(r.Keys, "message:txn_1:digest") {
		t.Errorf("keys %q", r.Keys)
	}
	var taken *executor.DuplicateError
	if _, err := b.Submit(t.Context(), report, eventstore.Origin{}); !errors.As(err, &taken) || taken.Position != at {
		t.Errorf("the same message again: %v", err)
	}
	if keys := report.Keys(); !slices.Equal(keys, []string{"message:txn_1:digest"}) {
		t.Errorf("the command's own keys were changed: %q", keys)
	}
}
