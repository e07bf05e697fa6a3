package simulation

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// TestForgedLogs has the oracle read logs that no ledger would write: each rule of its books says so.
func TestForgedLogs(t *testing.T) {
	of := wallet.Of{Merchant: "mer_0000000000000000", Currency: money.INR, Payment: "txn_1"}
	priced := wallet.Priced{Amount: rupees("100.00"), Commission: rupees("5.90"), Tax: rupees("0.90")}
	funds := &wallet.WalletAdjusted{Of: of, Amount: rupees("50.00"), Reason: "funds", Actor: "test"}
	initiated := &wallet.PayoutInitiated{Of: of, Priced: priced, RequestID: "REQ-1"}
	enough := &wallet.WalletAdjusted{Of: of, Amount: rupees("200.00"), Reason: "funds", Actor: "test"}
	created := &wallet.PayinCreated{Of: of, Priced: priced, OrderID: "O", TxnRef: "REFtxn_1", Gateway: bankName}
	paid := &wallet.PayinSucceeded{Of: of, Priced: priced, Gateway: bankName, PaymentID: "pay_1"}
	for want, events := range map[string][]wallet.Event{
		"available of mer_0000000000000000 is -5590 paisa":       {funds, initiated},
		"locked of mer_0000000000000000 is -10590 paisa":         {enough, initiated, &wallet.PayoutSucceeded{Of: of, Priced: priced, Gateway: bankName}, &wallet.PayoutRefunded{Of: of, Priced: priced, Gateway: bankName}},
		"payout txn_1 is pending for ever":                       {enough, initiated},
		"payin txn_1 is pending for ever":                        {created},
		"the ledger says that money is gone: true":               {enough, initiated, &wallet.PayoutSucceeded{Of: of, Priced: priced, Gateway: bankName}},
		"the ledger has payment pay_1, which nobody made":        {created, paid},
		"attempt 2 of txn_1 follows 0":                           {enough, initiated, &wallet.PayoutSubmitted{Of: of, Attempt: 2, Gateway: bankName, Reference: "txn_1"}},
		"takes 0 and owes 0 of 10590":                            {enough, initiated, &wallet.PayoutPaidAfterRefund{Of: of, Priced: priced, Taken: rupees("0.00"), Owed: rupees("0.00"), Gateway: bankName}},
		"the postings of 0:3 (payout.paid_after_refund) sum to ": {enough, initiated, &wallet.PayoutPaidAfterRefund{Of: of, Priced: priced, Taken: rupees("1.00"), Owed: rupees("0.00"), Gateway: bankName}},
	} {
		t.Run(want, func(t *testing.T) {
			w, err := newWorld(1, plant{}, emptyWork(t), t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			head, err := w.log.Head(t.Context(), 0)
			if err != nil {
				t.Fatal(err)
			}
			var records []eventstore.Record
			for i, e := range events {
				data, err := wallet.Encode(e)
				if err != nil {
					t.Fatal(err)
				}
				records = append(records, eventstore.Record{
					Stream: wallet.Stream(of.Merchant, of.Currency), Version: int64(i) + 1, Subject: of.Payment, Type: e.Type(), Schema: e.Schema(),
					EventID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)), EffectiveAt: time.Unix(1, 0).UTC(), RecordedAt: time.Unix(1, 0).UTC(), Data: data, Meta: []byte("{}"),
				})
			}
			eventstore.Chain(head, records)
			if err := w.log.Append(t.Context(), head, records); err != nil {
				t.Fatal(err)
			}
			w.judge()
			if found := strings.Join(w.findings, "\n"); !strings.Contains(found, want) {
				t.Errorf("the oracle finds only:\n%s", found)
			}
			if err := w.work.close(); err != nil {
				t.Error(err)
			}
		})
	}
}
