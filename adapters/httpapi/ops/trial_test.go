package ops_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// TrialBalance answers with three accounts; of those of before 2024 with none, and after 2024 with one that nobody knows.
func (o *office) TrialBalance(_ context.Context, q projections.TrialQuery) (projections.TrialBalance, error) {
	o.asked = append(o.asked, q)
	t := projections.TrialBalance{TrialQuery: q, Positions: []eventstore.Position{{Partition: 0, Seq: 7}, {Partition: 1}}}
	inr := func(s string) money.Amount { return money.MustParse(s, money.INR) }
	switch {
	case q.At.Year() == 2022: // what somebody has made of the log
		t.Accounts = []projections.AccountBalance{{Name: "adjustments", Balance: inr("1000.00")}, {Name: "merchant:mer_a:available", Balance: inr("-999.00")}}
	case q.At.Year() > 2024:
		t.Accounts = []projections.AccountBalance{{Name: "nobody", Balance: inr("1.00")}}
	case q.At.Year() == 2024:
		t.Accounts = []projections.AccountBalance{
			{Name: "adjustments", Balance: inr("1000.00")}, {Name: "merchant:mer_a:available", Balance: inr("-1000.00")}, {Name: "merchant:mer_a:locked", Balance: inr("0")},
		}
	}
	return t, o.fault
}

// FirstImbalance finds the record, or is too slow.
func (o *office) FirstImbalance(ctx context.Context, _ *projections.TrialBalance) (projections.Imbalance, bool, error) {
	if o.slow != nil {
		o.slow <- struct{}{} // it has begun
		<-o.slow
		return projections.Imbalance{}, false, ctx.Err()
	}
	return projections.Imbalance{Position: eventstore.Position{Partition: 0, Seq: 5}, Excess: money.MustParse("1.00", money.INR)}, true, nil
}

// Books that do not balance name the first record at fault; as one of the exports that may be under way.
func TestTrialBalanceThatDoesNotBalance(t *testing.T) {
	const path = "/ops/v1/audit/trial-balance?at=2022-01-01T00:00:00Z"
	o := newOffice()
	if w := serve(o, ops.Options{})("GET", path, "auditor"); w.Code != 200 ||
		!strings.Contains(w.Body.String(), `"balanced":false`) || !strings.Contains(w.Body.String(), `"first_wrong":{"position":"0:5","problem":"debits less credits are 1.00 INR"}`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	o.slow = make(chan struct{})
	ask := serve(o, ops.Options{Exports: 1})
	first := make(chan int)
	go func() { first <- ask("GET", path, "auditor").Code }()
	<-o.slow // the first reads the log
	if w := ask("GET", path, "auditor"); w.Code != 200 || !strings.Contains(w.Body.String(), "run `ledger audit trial-balance`") {
		t.Errorf("the second: %d %s", w.Code, w.Body)
	}
	o.slow <- struct{}{}
	if code := <-first; code != 200 {
		t.Errorf("the first: %d", code)
	}
}

func TestTrialBalance(t *testing.T) {
	o := newOffice()
	ask := serve(o, ops.Options{})
	const path = "/ops/v1/audit/trial-balance"
	expect(t, ask("GET", path+"?zero=true", "auditor"), 200, `{"success":true,"data":{"by":"value","at":"2024-04-30T10:00:00Z","known_at":"2024-04-30T10:00:00Z",`+
		`"positions":["0:7","1:0"],"balanced":true,"currencies":[{"currency":"INR","debit":"1000.00","credit":"1000.00","difference":"0.00","accounts":[`+
		`{"account":"adjustments","kind":"adjustments","type":"asset","debit":"1000.00","credit":"0.00","balance":"1000.00","side":"debit"},`+
		`{"account":"merchant:mer_a:available","kind":"merchant_available","type":"liability","debit":"0.00","credit":"1000.00","balance":"1000.00","side":"credit"},`+
		`{"account":"merchant:mer_a:locked","kind":"merchant_locked","type":"liability","debit":"0.00","credit":"0.00","balance":"0.00","side":"credit"}]}]}}`)
	expect(t, ask("GET", path+"?by=recording&at=2023-03-31T18:00:00%2B05:30&known_at=2024-04-01T00:00:00Z", "support"), 200,
		`{"success":true,"data":{"by":"recording","at":"2023-03-31T12:30:00Z","known_at":"2024-04-01T00:00:00Z","positions":["0:7","1:0"],"balanced":true,"currencies":[]}}`)
	want := projections.TrialQuery{
		By: projections.ByRecording, At: time.Date(2023, 3, 31, 12, 30, 0, 0, time.UTC), KnownAt: time.Date(2024, 4, 1, 0, 0, 0, 0, time.UTC),
	}
	if got := o.asked[1].(projections.TrialQuery); got.By != want.By || !got.At.Equal(want.At) || !got.KnownAt.Equal(want.KnownAt) {
		t.Errorf("asked was %+v, want %+v", got, want)
	}
	if w := ask("GET", path, "auditor"); w.Code != 200 || strings.Contains(w.Body.String(), "locked") || !strings.Contains(w.Body.String(), "available") {
		t.Errorf("without accounts of zero: %d %s", w.Code, w.Body)
	}
	for query, field := range map[string]string{"at=now": "at", "by=day": "by", "known_at=2024-04-30T10:00:01Z": "known_at", "at=2024-04-30": "at", "zero=1": "zero"} {
		if w := ask("GET", path+"?"+query, "auditor"); w.Code != 422 || !strings.Contains(w.Body.String(), `"`+field+`":[`) {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
	expect(t, ask("GET", path, "stranger"), 403, failure("Your role does not allow this"))
	if w := ask("GET", path+"?at=2025-01-01T00:00:00Z", "auditor"); w.Code != 503 {
		t.Errorf("an account that is not in the chart: %d %s", w.Code, w.Body)
	}
	o.fault = projections.ErrBehind
	if w := ask("GET", path, "auditor"); w.Code != 503 {
		t.Errorf("views that are behind: %d %s", w.Code, w.Body)
	}
}
