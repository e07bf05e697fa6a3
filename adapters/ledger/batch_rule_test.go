package ledger_test

import (
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// A batch that is begun while no approval is asked for, and becomes whole when two are, is not paid without any.
func TestBatchThatIsWholeUnderAnotherRule(t *testing.T) {
	log := memory.New(2)
	b := open(t, log)
	by := merchant.Of{Merchant: merchantA, Actor: "operator:asha"}
	if _, err := b.SubmitMerchant(t.Context(), merchant.Create{
		Of: by, Name: "A", Services: []merchant.Service{merchant.Payout}, Plan: fee.Default(), Key: key(merchantA), At: made,
	}, eventstore.Origin{Actor: by.Actor}); err != nil {
		t.Fatal(err)
	}
	of := batch.Base{Of: batch.Of{Merchant: merchantA, Currency: money.INR, Batch: "bat_1"}, At: made, Actor: "key:maya"}
	item := batch.Item{
		Index: 1, Payment: "txn_1", Event: uuid.New().String(), RequestID: "R-1", Amount: inr("1000"), Commission: inr("10"), Tax: inr("0"),
		IFSC: "HDFC0001234", AccountLast4: "9908", TransferType: "5", Sealed: "x",
	}
	if _, err := b.SubmitBatch(t.Context(), batch.Submit{
		Base: of, Ref: "MARCH", Digest: "d", Terms: batch.Terms{Approval: batch.NoApproval}, Count: 1,
		Amount: item.Amount, Commission: item.Commission, Fee: fee.Rule{Plan: "default", Version: 1},
	}, eventstore.Origin{Actor: of.Actor}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.SubmitMerchant(t.Context(), merchant.SetApproval{Of: by, Bands: []merchant.Band{{Checkers: 2}}}, eventstore.Origin{Actor: by.Actor}); err != nil {
		t.Fatal(err)
	}
	got, err := b.SubmitBatch(t.Context(), batch.AddItems{Base: of, Chunk: 1, Items: []batch.Item{item}}, eventstore.Origin{Actor: of.Actor})
	if domain.CodeOf(err) != domain.Stale && got.Status == batch.Processing {
		t.Errorf("two must approve it now, nobody has, and it is %s: %v", got.Status, err)
	}
}
