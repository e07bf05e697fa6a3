package ops_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/projections"
)

// desk decides about the disputes of one payin as the ledger does.
type desk struct {
	payment wallet.Payment
	wallet  *wallet.Wallet
	asked   []projections.DisputeFilter
	origins []eventstore.Origin
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{wallet: wallet.NewWallet("mer_a", money.INR)}
	base := wallet.Base{Of: wallet.Of{Merchant: "mer_a", Currency: money.INR, Payment: "txn_1"}, At: day}
	zero, amount := money.Zero(money.INR), money.MustParse("1000", money.INR)
	priced := wallet.Priced{Amount: amount, Commission: zero, Tax: zero}
	d.take(&wallet.PayinCreated{Of: base.Of, Priced: priced, Gateway: "sandbox"})
	d.take(&wallet.PayinSucceeded{Of: base.Of, Priced: priced, Gateway: "sandbox", PaymentID: "pay_1"})
	return d
}

func (d *desk) take(e wallet.Event) {
	d.wallet.Evolve(e)
	d.payment.Evolve(e, day)
}

func (d *desk) Disputes(_ context.Context, f projections.DisputeFilter) (page projections.DisputePage, err error) {
	d.asked = append(d.asked, f)
	for _, found := range d.payment.Disputes {
		if f.Statuses == nil || slices.Contains(f.Statuses, found.Status) {
			page.Items = append(page.Items, projections.DisputeEntry{Dispute: found, Of: d.payment.Of, OpenedAt: day, ChangedAt: day})
		}
	}
	return page, nil
}

func (d *desk) Dispute(_ context.Context, id string) (projections.DisputeEntry, error) {
	found, there := d.payment.Dispute(id)
	if !there {
		return projections.DisputeEntry{}, domain.Errorf(domain.NotFound, "none")
	}
	return projections.DisputeEntry{Dispute: found, Of: d.payment.Of, OpenedAt: day, ChangedAt: day}, nil
}

func (d *desk) Payin(_ context.Context, id string) (wallet.Payment, error) {
	if id != "txn_1" {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "none")
	}
	return d.payment, nil
}

func (d *desk) Submit(_ context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, wallet.Wallet, error) {
	if o.IdempotencyKey != "" && slices.ContainsFunc(d.origins, func(known eventstore.Origin) bool { return known.IdempotencyKey == o.IdempotencyKey }) {
		return wallet.Payment{}, wallet.Wallet{}, &executor.DuplicateError{Key: o.IdempotencyKey}
	}
	events, err := wallet.Decide(d.wallet, &d.payment, c)
	if err != nil {
		return wallet.Payment{}, wallet.Wallet{}, err
	}
	d.origins = append(d.origins, o)
	for _, e := range events {
		d.take(e)
	}
	return d.payment, *d.wallet, nil
}

func (*desk) NewID() string { return "dsp_1" }

// at sends a request with an operator's key, and returns status and body.
func (d *desk) at(logs *bytes.Buffer) func(method, path, key, body string) (int, string) {
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: newOffice(), Disputes: d, Refunds: d}, ops.Options{
		Clock: func() time.Time { return day }, Logger: slog.New(slog.NewJSONHandler(logs, nil)),
	}).Register(rt)
	h := &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	return func(method, path, key, body string) (int, string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		key, once, _ := strings.Cut(key, " ")
		if once != "" {
			r.Header.Set("Idempotency-Key", once)
		}
		r.Header.Set("X-Operator-Key", key)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
}

const openBody = `{"phase":"chargeback","reason":"fraud","respond_by":"2026-04-07","amount":"900.00","case_id":"CB-1"}`

// A dispute's life over HTTP.
func TestDisputes(t *testing.T) {
	d, logs := newDesk(t), &bytes.Buffer{}
	do := d.at(logs)
	step := func(method, path, key, body string, want ...string) {
		t.Helper()
		status, got := do(method, path, key, body)
		for _, w := range want {
			if status != http.StatusOK || !strings.Contains(got, w) {
				t.Errorf("%s %s: %d %s, want %s", method, path, status, got, w)
			}
		}
	}
	step("POST", "/ops/v1/transactions/txn_1/disputes", "maker", openBody,
		`"id":"dsp_1","merchant_id":"mer_a","transaction_id":"txn_1","case_id":"CB-1","gateway":"sandbox","phase":"chargeback","status":"open"`,
		`"amount":"900.00","held":"900.00"`, `"respond_by":"2026-04-07T18:29:59Z"`, `"wallet":{"balance":"100.00","locked_balance":"900.00","owed":"0.00"}`)
	step("GET", "/ops/v1/disputes", "support", "", `"disputes":[{"id":"dsp_1"`)
	step("GET", "/ops/v1/disputes?status=lost", "support", "", `"disputes":[]`)
	step("GET", "/ops/v1/disputes/dsp_1", "auditor", "", `"dispute":{"id":"dsp_1"`)
	document := base64.StdEncoding.EncodeToString([]byte("%PDF-1.7 the bill"))
	step("POST", "/ops/v1/disputes/dsp_1/evidence", "owner",
		`{"kind":"billing_proof","name":"bill.pdf","document":"`+document+`","submitted":true}`, `"status":"under_review"`, `"documents":1`)
	kept := d.origins[len(d.origins)-1]
	if len(kept.Evidence) != 3 || string(kept.Evidence[2].Body) != "%PDF-1.7 the bill" || kept.Evidence[2].MediaType != "application/pdf" || string(kept.Evidence[1].Body) != `{"name":"bill.pdf"}` || kept.BodyHash == "" {
		t.Errorf("kept %+v", kept)
	}
	step("POST", "/ops/v1/disputes/dsp_1/escalate", "maker", `{"phase":"arbitration","reason":"on","respond_by":"2026-05-01T00:00:00Z"}`, `"phase":"arbitration","status":"open"`)
	step("POST", "/ops/v1/disputes/dsp_1/lose", "maker", `{"reason":"no proof","amount":"500","fee":25.5}`, `"status":"lost"`, `"lost":"500.00","fee":"25.50"`, `"balance":"474.50","locked_balance":"0.00"`)
	step("POST", "/ops/v1/disputes/dsp_1/reverse", "maker", `{"reason":"won after all"}`, `"status":"won"`, `"lost":"0.00","fee":"0.00"`, `"balance":"1000.00"`)
	if !strings.Contains(logs.String(), `"operator":"opr_maker","dispute":"dsp_1","status":"won"`) {
		t.Errorf("logged %s", logs)
	}
}

func TestDisputesEndOtherwise(t *testing.T) {
	for path, want := range map[string]string{"win": "won", "close": "closed"} {
		d := newDesk(t)
		do := d.at(&bytes.Buffer{})
		do("POST", "/ops/v1/transactions/txn_1/disputes", "owner", openBody)
		if status, got := do("POST", "/ops/v1/disputes/dsp_1/"+path, "owner", `{"reason":"r"}`); status != http.StatusOK || !strings.Contains(got, `"status":"`+want+`"`) {
			t.Errorf("%s: %d %s", path, status, got)
		}
	}
	d := newDesk(t)
	if status, got := d.at(&bytes.Buffer{})("POST", "/ops/v1/transactions/txn_1/disputes", "owner", strings.Replace(openBody, `"chargeback"`, `"retrieval","hold":false`, 1)); status != http.StatusOK || !strings.Contains(got, `"held":"0.00"`) {
		t.Errorf("%d %s", status, got)
	}
	d = newDesk(t) // null is as if it were left out
	if status, got := d.at(&bytes.Buffer{})("POST", "/ops/v1/transactions/txn_1/disputes", "owner", strings.Replace(openBody, `"chargeback"`, `"retrieval","hold":null`, 1)); status != http.StatusOK || !strings.Contains(got, `"held":"900.00"`) {
		t.Errorf("%d %s", status, got)
	}
}

// A request whose answer was lost is sent again with its key, and done once.
func TestDisputesAreChangedOnce(t *testing.T) {
	d := newDesk(t)
	do := d.at(&bytes.Buffer{})
	for range 2 {
		if status, got := do("POST", "/ops/v1/transactions/txn_1/disputes", "owner one", openBody); status != http.StatusOK || !strings.Contains(got, `"status":"open"`) {
			t.Fatalf("%d %s", status, got)
		}
	}
	id := d.payment.Disputes[0].ID
	do("POST", "/ops/v1/disputes/"+id+"/lose", "owner", `{"reason":"r"}`)
	for range 2 {
		if status, got := do("POST", "/ops/v1/disputes/"+id+"/reverse", "owner two", `{"reason":"r","amount":"400"}`); status != http.StatusOK || !strings.Contains(got, `"lost":"500.00"`) {
			t.Errorf("%d %s", status, got)
		}
	}
	if status, got := do("POST", "/ops/v1/disputes/"+id+"/reverse", "owner three", `{"reason":"r","amount":"400"}`); status != http.StatusOK || !strings.Contains(got, `"lost":"100.00"`) {
		t.Errorf("%d %s", status, got)
	}
	if status, got := do("POST", "/ops/v1/disputes/"+id+"/reverse", "owner "+strings.Repeat("x", 256), `{"reason":"r","amount":"1"}`); status != http.StatusUnprocessableEntity || !strings.Contains(got, "Idempotency-Key") {
		t.Errorf("%d %s", status, got)
	}
	if len(d.payment.Disputes) != 1 {
		t.Errorf("%d disputes", len(d.payment.Disputes))
	}
}

func TestDisputesRefused(t *testing.T) {
	d := newDesk(t)
	do := d.at(&bytes.Buffer{})
	const open = "/ops/v1/transactions/txn_1/disputes"
	do("POST", open, "owner", openBody)
	for _, c := range []struct {
		name, method, path, key, body string
		status                        int
		want                          string
	}{
		{"by an auditor", "POST", open, "auditor", openBody, 403, "role"},
		{"by support", "POST", "/ops/v1/disputes/dsp_1/win", "support", `{"reason":"r"}`, 403, "role"},
		{"of nothing", "POST", "/ops/v1/transactions/txn_2/disputes", "owner", openBody, 404, ""},
		{"again", "POST", open, "owner", openBody, 409, "dispute dsp_1 exists"},
		{"without anything", "POST", open, "owner", `{}`, 422, `"phase":["The phase is missing."],"reason":["The reason is missing."],"respond_by":["The respond_by is missing."]`},
		{"of another form", "POST", open, "owner", `{"phase":7,"reason":"r","respond_by":"soon","amount":"much","hold":"no"}`, 422, `"amount":["The amount must be an amount in INR."]`},
		{"with what is not known", "POST", open, "owner", `{"colour":"red"}`, 422, `"colour":["The colour is not known."]`},
		{"that is not there", "GET", "/ops/v1/disputes/dsp_2", "owner", "", 404, ""},
		{"listed by what is no status", "GET", "/ops/v1/disputes?status=odd", "owner", "", 422, `"status":["The status must be one of running, all`},
		{"listed by what is no time", "GET", "/ops/v1/disputes?due_by=soon", "owner", "", 422, "due_by"},
		{"no base64", "POST", "/ops/v1/disputes/dsp_1/evidence", "owner", `{"kind":"other","document":"***"}`, 422, "base64"},
		{"an empty document", "POST", "/ops/v1/disputes/dsp_1/evidence", "owner", `{"kind":"other","document":""}`, 422, "is empty"},
		{"a document that is too large", "POST", "/ops/v1/disputes/dsp_1/evidence", "owner",
			`{"kind":"other","document":"` + base64.StdEncoding.EncodeToString(make([]byte, ops.MaxDocument+1)) + `"}`, 422, "is larger than"},
		{"a body that is too large", "POST", "/ops/v1/disputes/dsp_1/evidence", "owner", `{"note":"` + strings.Repeat("x", 4<<20) + `"}`, 413, ""},
		{"won with an amount", "POST", "/ops/v1/disputes/dsp_1/win", "owner", `{"reason":"r","amount":"1"}`, 422, "amount"},
		{"more lost than claimed", "POST", "/ops/v1/disputes/dsp_1/lose", "owner", `{"reason":"r","amount":"900.01"}`, 422, "is more than the claim of 900.00"},
		{"reversed before it is lost", "POST", "/ops/v1/disputes/dsp_1/reverse", "owner", `{"reason":"r","amount":"1","fee":"0"}`, 409, "only a loss is reversed"},
	} {
		status, got := do(c.method, c.path, c.key, c.body)
		if status != c.status || !strings.Contains(got, c.want) || !json.Valid([]byte(got)) {
			t.Errorf("%s: %d %s, want %d %s", c.name, status, got, c.status, c.want)
		}
	}
	if len(d.payment.Disputes) != 1 || d.payment.Disputes[0].Status != wallet.DisputeOpen {
		t.Errorf("they changed something: %+v", d.payment.Disputes)
	}
}

func TestParseDeadline(t *testing.T) {
	for text, want := range map[string]string{
		"2026-04-07": "2026-04-07T18:29:59Z", "2026-04-07T12:00:00+05:30": "2026-04-07T06:30:00Z", "2026-04-31": "", "": "", "soon": "",
	} {
		got, err := ops.ParseDeadline(text)
		if (err != nil) != (want == "") || err == nil && got.Format(time.RFC3339) != want {
			t.Errorf("%q: %s, %v", text, got, err)
		}
	}
}
