package webhook

import (
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

func sampleBatch() batch.Batch {
	return batch.Batch{
		Of: batch.Of{Merchant: "mer_1", Currency: money.INR, Batch: "bat_xxxxxxxxxxxxxxxx"}, Ref: "SALARIES-MARCH", Status: batch.Completed,
		Count: 10000, Amount: inr("10000000.50"), Commission: inr("100000.00"),
	}
}

// anyBatch is a batch that any callback may be about.
func anyBatch(t *rapid.T) (batch.Batch, *eventstore.Record) {
	b := batch.Batch{
		Of:         batch.Of{Merchant: "mer_1", Currency: money.INR, Batch: "bat_" + rapid.StringMatching(`[a-z0-9]{16}`).Draw(t, "id")},
		Ref:        anyText().Draw(t, "ref"),
		Status:     rapid.SampledFrom([]batch.Status{batch.Processing, batch.Completed, batch.Rejected, batch.Cancelled}).Draw(t, "status"),
		Reason:     anyText().Draw(t, "reason"),
		Count:      rapid.IntRange(1, batch.MaxItems).Draw(t, "count"),
		Amount:     money.FromMinor(rapid.Int64Range(1, math.MaxInt64/4).Draw(t, "amount"), money.INR),
		Commission: money.FromMinor(rapid.Int64Range(0, 1e12).Draw(t, "commission"), money.INR),
	}
	return b, &eventstore.Record{RecordedAt: time.UnixMicro(rapid.Int64Range(0, 4e15).Draw(t, "at"))}
}

// Fields, their order, and the signature: merchants' programs are written against these bytes.
func TestGoldenVectorOfABatch(t *testing.T) {
	const want = `{"event":"batch.updated","batch_id":"bat_xxxxxxxxxxxxxxxx","batch_ref":"SALARIES-MARCH","status":"completed","reason":null,` +
		`"stopped_by":null,"count":10000,"total_amount":10000000.5,"commission":100000,"timestamp":"2024-04-30T10:05:00.000000Z"}`
	b := sampleBatch()
	body := buildBatchBody(at("2024-04-30T15:35:00+05:30"), &b, merchant.Stable)
	equal(t, "body", string(body), want)
	for _, d := range []merchant.Dialect{merchant.Stable, merchant.PHP, merchant.Node, merchant.Raw} {
		h, err := headers(&Delivery{ID: "cb_1", Type: "batch.completed", Dialect: d, Body: body},
			[]vault.Midstates{vault.NewMidstates([]byte(documentKey))}, time.Unix(1, 0))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "signature for "+string(d), sent(h, "X-KlyroPay-Signature"), hexHMAC(documentKey, want))
		equal(t, "event", sent(h, "X-KlyroPay-Event"), "batch.updated")
	}
}

// A reason is what people type. The stable form keeps what all verifiers re-encode alike of it, and so much of it.
func TestReasonOfABatchByDialect(t *testing.T) {
	b := sampleBatch()
	b.Status, b.Reason = batch.Rejected, "wrong/ग\n"+strings.Repeat("x", 300)
	for d, want := range map[merchant.Dialect]string{
		merchant.Stable: `"reason":"wrong---` + strings.Repeat("x", maxText-len("wrong---")) + `",`,
		merchant.PHP:    `"reason":"wrong/ग\u000a` + strings.Repeat("x", 300) + `",`,
		merchant.Node:   `"reason":"wrong/ग\u000a` + strings.Repeat("x", 300) + `",`,
		merchant.Raw:    `"reason":"wrong/ग\u000a` + strings.Repeat("x", 300) + `",`,
	} {
		body := string(buildBatchBody(at("2024-04-30T10:05:00Z"), &b, d))
		if !strings.Contains(body, want) {
			t.Errorf("%q: %s lacks %s", d, body, want)
		}
		if raw := strings.Contains(body, `"total_amount":10000000.50,"commission":100000.00,`); raw != (d == merchant.Raw) {
			t.Errorf("%q: amounts of %s", d, body)
		}
	}
}

// Every type of record that is handed to the outbox is told under one of the two events.
func TestEventOfEachType(t *testing.T) {
	for _, typ := range (*Outbox)(nil).Types() {
		want := TransactionUpdated
		if strings.HasPrefix(typ, "batch.") {
			want = BatchUpdated
		}
		equal(t, typ, eventOf(typ), want)
		if _, final := finalStatus(typ); final == (want == BatchUpdated) {
			t.Errorf("%s: a final status: %v", typ, final)
		}
	}
}
