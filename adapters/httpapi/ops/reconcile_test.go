package ops_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
)

// reconcileDesk is reconciliation that remembers what it was asked.
type reconcileDesk struct {
	asked []string
	fault error
}

func (d *reconcileDesk) note(format string, args ...any) (any, error) {
	d.asked = append(d.asked, fmt.Sprintf(format, args...))
	return map[string]string{"is": "done"}, d.fault
}

func (d *reconcileDesk) ReconcileSources(_ context.Context, name string) (any, error) {
	return d.note("sources %s", name)
}

func (d *reconcileDesk) DeclareSource(_ context.Context, name string, c money.Currency, t reconcile.Terms, o eventstore.Origin) (any, error) {
	return d.note("declare %s %s %s %s %v %s %d %t by %s", name, c, t.Kind, t.Account, t.Books, t.Against, t.Late, t.Fee != nil, o.Actor)
}

func (d *reconcileDesk) ImportFile(_ context.Context, f ops.ReconcileFile, o eventstore.Origin) (any, error) {
	body, err := io.ReadAll(f.Body)
	if err != nil {
		return nil, err
	}
	return d.note("import %s %s %s map=%s %s by %s", f.Source, f.Name, f.Format, f.Mapping, body, o.Actor)
}

func (d *reconcileDesk) Reconcile(_ context.Context, q ops.ReconcileQuery, o eventstore.Origin) (any, error) {
	return d.note("run %s %s %d by %s", q.Source, q.Upto, q.Grace, o.Actor)
}

func (d *reconcileDesk) Breaks(_ context.Context, q ops.BreakQuery) (any, error) {
	return d.note("breaks %+v", q)
}

func (d *reconcileDesk) Break(_ context.Context, q ops.BreakDecision, o eventstore.Origin) (any, error) {
	if q.Proposal != 0 {
		q.Act = fmt.Sprintf("%s %d of", q.Act, q.Proposal)
	}
	return d.note("%s %s %q %+v by %s", q.Act, q.ID, q.Owner, q.Way, o.Actor)
}

func (d *reconcileDesk) TieBalances(_ context.Context, name string) (any, error) {
	return d.note("tie %s", name)
}

// reconciling returns a function that asks with an operator's key and a content type.
func reconciling(d *reconcileDesk) func(method, path, key, kind, body string) *httptest.ResponseRecorder {
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: newOffice(), Reconciliation: d}, ops.Options{}).Register(rt)
	h := &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	return func(method, path, key, kind, body string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, "/ops/v1/reconcile"+path, strings.NewReader(body))
		r.Header.Set("X-Operator-Key", key)
		r.Header.Set("Content-Type", kind)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
}

func TestReconciliationAsks(t *testing.T) {
	var form bytes.Buffer
	parts := multipart.NewWriter(&form)
	file, err := io.Writer(nil), parts.WriteField("map", "columns: {}")
	if err == nil {
		file, err = parts.CreateFormFile("file", "march.csv")
	}
	if err == nil {
		_, err = io.WriteString(file, "a,b")
	}
	if err == nil {
		err = parts.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	const js = "application/json"
	for _, c := range []struct{ method, path, key, kind, body, want string }{
		{"GET", "/sources", "support", "", "", "sources "},
		{"GET", "/sources/hdfc", "auditor", "", "", "sources hdfc"},
		{
			"PUT", "/sources/hdfc", "maker", js, `{"kind":"bank","account":"12","books":"gateway:x:float,gateway:y:float","late_days":0}`,
			"declare hdfc INR bank 12 [gateway:x:float gateway:y:float]  0 false by operator:opr_maker",
		},
		{
			"PUT", "/sources/rzp", "owner", js, `{"kind":"settlement","account":"12","books":"gateway:x:receivable","fee_percent":"2"}`,
			"declare rzp INR settlement 12 [gateway:x:receivable]  3 true by operator:opr_owner",
		},
		{"POST", "/sources/hdfc/imports?format=csv&name=m.csv", "maker", "text/csv", "a,b", "import hdfc m.csv csv map= a,b by operator:opr_maker"},
		{"POST", "/sources/hdfc/imports", "maker", parts.FormDataContentType(), form.String(), "import hdfc march.csv  map=columns: {} a,b by operator:opr_maker"},
		{"POST", "/run?source=hdfc&upto=2026-03-31&grace_days=2", "maker", "", "", "run hdfc 2026-03-31 2 by operator:opr_maker"},
		{"GET", "/internal?source=hdfc", "auditor", "", "", "tie hdfc"},
		{
			"GET", "/breaks?source=hdfc&kind=fee&older_than_days=7&owner=meera&limit=3&after=brk_1&ended=true", "support", "", "",
			"breaks {Source:hdfc Owner:meera After:brk_1 Kind:fee OlderThan:7 Limit:3 Ended:true}",
		},
		{"GET", "/breaks/brk_1", "support", "", "", `show brk_1 "" {To: Merchant: Accept:false Reason: Actor:} by `},
		{"POST", "/breaks/brk_1/narration", "auditor", js, `{"reason":"who is it"}`, `narration brk_1 "" {To: Merchant: Accept:false Reason:who is it Actor:} by operator:opr_auditor`},
		{"POST", "/breaks/brk_1/assign", "checker", js, `{"owner":"meera"}`, `assign brk_1 "meera" {To: Merchant: Accept:false Reason: Actor:} by operator:opr_checker`},
		{"POST", "/breaks/brk_1/settle", "maker", js, `{"reason":"found","to":"suspense"}`, `settle brk_1 "" {To:suspense Merchant: Accept:false Reason:found Actor:} by operator:opr_maker`},
		{"POST", "/breaks/brk_1/approve", "checker", js, `{}`, `approve brk_1 "" {To: Merchant: Accept:false Reason: Actor:} by operator:opr_checker`},
		{"POST", "/breaks/brk_1/approve", "owner", js, `{"proposal":2}`, `approve 2 of brk_1 "" {To: Merchant: Accept:false Reason: Actor:} by operator:opr_owner`},
		{"POST", "/breaks/brk_1/reject", "owner", js, `{"reason":"no"}`, `reject brk_1 "" {To: Merchant: Accept:false Reason:no Actor:} by operator:opr_owner`},
	} {
		d := &reconcileDesk{}
		w := reconciling(d)(c.method, c.path, c.key, c.kind, c.body)
		if w.Code != http.StatusOK || len(d.asked) != 1 || d.asked[0] != c.want {
			t.Errorf("%s %s: %d %s\n asked %q\n  want %q", c.method, c.path, w.Code, w.Body, d.asked, c.want)
		}
	}
}

func TestReconciliationRefuses(t *testing.T) {
	const js = "application/json"
	for _, c := range []struct {
		method, path, key, kind, body string
		fault                         error
		status                        int
		want                          string
	}{
		{"POST", "/run", "checker", "", "", nil, 403, "role"},
		{"POST", "/breaks/brk_1/narration", "maker", js, `{"reason":"x"}`, nil, 403, "role"},
		{"POST", "/breaks/brk_1/narration", "owner", js, `{}`, nil, 422, `"reason"`},
		{"POST", "/breaks/brk_1/approve", "maker", js, `{}`, nil, 403, "role"},
		{"POST", "/breaks/brk_1/settle", "checker", js, `{"reason":"x"}`, nil, 403, "role"},
		{"GET", "/internal", "support", "", "", nil, 403, "role"},
		{"POST", "/breaks/brk_1/settle", "maker", js, `{}`, nil, 422, `"reason":["The reason is missing."]`},
		{"POST", "/breaks/brk_1/settle", "maker", js, `{"reason":"x","too":1}`, nil, 422, `"too"`},
		{"POST", "/breaks/brk_1/approve", "owner", js, `{"proposal":"last"}`, nil, 422, `"proposal"`},
		{"POST", "/breaks/brk_1/approve", "owner", js, `{"proposal":0}`, nil, 422, `"proposal"`},
		{"PUT", "/sources/a", "owner", js, `{"kind":"bank","account":"1","late_days":"5"}`, nil, 422, `"late_days"`},
		{"GET", "/breaks?kind=odd&older_than_days=-1", "owner", "", "", nil, 422, `"older_than_days"`},
		{"POST", "/run?grace_days=x&upto=tomorrow", "owner", "", "", nil, 422, `"upto"`},
		{"POST", "/sources/a/imports?format=pdf", "owner", "", "x", nil, 422, `"format"`},
		{"POST", "/sources/a/imports", "owner", "multipart/form-data; boundary=x", "--x--", nil, 422, `"file"`},
		{"POST", "/sources/a/imports", "owner", "", "x", domain.InvalidField("file", "m.csv: line 3, date: is no date"), 422, "line 3"},
		{"PUT", "/sources/a", "owner", js, `{"kind":"bank","account":"1","fee_percent":"many"}`, nil, 422, "percentage"},
		{"POST", "/breaks/brk_1/approve", "checker", js, `{}`, domain.Errorf(domain.Forbidden, "asha has proposed it"), 409, "asha has proposed it"},
		{"GET", "/breaks/brk_1", "owner", "", "", domain.Errorf(domain.NotFound, "none"), 404, "Not found"},
	} {
		w := reconciling(&reconcileDesk{fault: c.fault})(c.method, c.path, c.key, c.kind, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %s, want %d with %s", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}
