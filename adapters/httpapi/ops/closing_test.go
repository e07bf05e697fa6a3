package ops_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// bookkeeper decides on a general ledger in memory. Trial balances are all alike.
type bookkeeper struct {
	general books.Books
	list    []projections.Period
	origins []eventstore.Origin
	altered bool // the trial balance, read anew, is another one
}

func (k *bookkeeper) trial() books.Trial {
	t := books.Trial{
		Positions: []books.Mark{{Partition: 0, Seq: 7}}, Accounts: 1, Digest: strings.Repeat("ab", 32),
		Totals: []books.Total{{Currency: money.INR, Kind: books.Suspense, Debit: money.Zero(money.INR), Credit: money.Zero(money.INR)}},
	}
	if k.altered {
		t.Digest = strings.Repeat("cd", 32)
	}
	return t
}

func (k *bookkeeper) Periods(context.Context) ([]projections.Period, error) { return k.list, nil }

func (k *bookkeeper) FrozenBalance(_ context.Context, p *projections.Period, _ io.Writer) (projections.TrialBalance, books.Trial, error) {
	return projections.TrialBalance{
		TrialQuery: projections.TrialQuery{By: projections.ByValue, At: p.To.Add(-1), KnownAt: p.ClosedAt},
		Positions:  []eventstore.Position{{Seq: 7}}, Frozen: &books.Closing{Number: p.Number, Name: p.Name},
	}, k.trial(), nil
}

func (k *bookkeeper) ClosePeriod(ctx context.Context, p books.Period, actor string, o eventstore.Origin) error {
	return k.SubmitBooks(ctx, books.Close{Period: p, Trial: k.trial(), Changes: k.general.Changes, Actor: actor, At: day}, o)
}

func (k *bookkeeper) SubmitBooks(_ context.Context, c books.Command, o eventstore.Origin) error {
	events, err := books.Decide(&k.general, c)
	for _, e := range events {
		k.general.Evolve(e)
		k.origins = append(k.origins, o)
		switch e := e.(type) {
		case *books.Closed:
			k.list = append(k.list, projections.Period{
				Closed: *e, Position: eventstore.Position{Seq: 8}, ClosedAt: day, Late: []projections.LateTotal{{Records: 2, Amount: money.MustParse("5", money.INR)}},
			})
		case *books.ReopenRequested:
			k.list[len(k.list)-1].Request = &projections.PeriodRequest{Reason: e.Reason, Actor: e.Actor, At: day}
		case *books.Reopened:
			k.list[len(k.list)-1].Reopened, k.list[len(k.list)-1].Reopener = day, e.Actor
		}
	}
	return err
}

func TestPeriods(t *testing.T) {
	k, o := &bookkeeper{}, newOffice()
	var logs bytes.Buffer
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: o, Books: o, Periods: k}, ops.Options{
		Clock: func() time.Time { return day }, Logger: slog.New(slog.NewJSONHandler(&logs, nil)),
	}).Register(rt)
	h := &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	do := func(method, path, role, body string) *httptest.ResponseRecorder {
		t.Helper()
		r := httptest.NewRequest(method, "/ops/v1/audit/"+path, strings.NewReader(body))
		r.Header.Set("X-Operator-Key", role)
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", "req-1")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	const march = `{"period":"2024-03"}`
	const asked = `{"reason":"a bill was missing"}`
	expect(t, do("GET", "periods", "support", ""), 200, `{"success":true,"data":{"periods":[]}}`)
	expect(t, do("POST", "periods/2024-03/reopen", "maker", asked), 404, failure("Not found"))
	closed := `{"close":1,"period":"2024-03","time_zone":"Asia/Kolkata","to":"2024-03-31T18:30:00Z","closed_at":"2024-04-30T10:00:00Z","closed_by":"operator:opr_maker",` +
		`"position":"0:8","positions":["0:7"],"accounts":1,"totals":[{"currency":"INR","kind":"suspense","debit":"0.00","credit":"0.00"}],"digest":"` +
		strings.Repeat("ab", 32) + `","late":[{"currency":"INR","records":2,"amount":"5.00"}]`
	expect(t, do("POST", "periods", "maker", march), 200, `{"success":true,"data":{"period":`+closed+`}}}`)
	wantOrigin(t, k.origins[0], "operator:opr_maker", march)
	expect(t, do("POST", "periods", "owner", march), 409, failure("2024-03 is closed already"))
	expect(t, do("GET", "trial-balance?period=2024-03", "auditor", ""), 200,
		`{"success":true,"data":{"by":"value","at":"2024-03-31T18:29:59.999999999Z","known_at":"2024-04-30T10:00:00Z","positions":["0:7"],"balanced":true,"currencies":[],`+
			`"frozen_by":{"close":1,"period":"2024-03","digest":"`+strings.Repeat("ab", 32)+`"}}}`)
	k.altered = true
	if w := do("GET", "trial-balance?period=2024-03", "auditor", ""); w.Code != 409 || !strings.Contains(w.Body.String(), "was frozen with abab") {
		t.Errorf("%d %s", w.Code, w.Body)
	}

	expect(t, do("POST", "periods/2024-03/reopen/approve", "checker", `{}`), 409, failure("nobody has asked for 2024-03 to be reopened"))
	request := `,"reopen_requested":{"reason":"a bill was missing","by":"operator:opr_owner","at":"2024-04-30T10:00:00Z"}`
	for range 2 { // the same again changes nothing
		expect(t, do("POST", "periods/2024-03/reopen", "owner", asked), 200, `{"success":true,"data":{"period":`+closed+request+`}}}`)
	}
	expect(t, do("POST", "periods/2024-03/reopen/approve", "owner", `{}`), 409, failure("operator:opr_owner has asked for it: another person must approve"))
	expect(t, do("POST", "periods/2024-03/reopen/approve", "checker", `{}`), 200,
		`{"success":true,"data":{"period":`+closed+request+`,"reopened_at":"2024-04-30T10:00:00Z","reopened_by":"operator:opr_checker"}}}`)
	expect(t, do("POST", "periods/2024-03/reopen/approve", "checker", `{}`), 404, failure("Not found"))
	if len(k.origins) != 3 || !strings.Contains(logs.String(), `"msg":"a period is reopened","request_id":"req-1","operator":"opr_checker","period":"2024-03"`) {
		t.Errorf("%d changes; logged %s", len(k.origins), &logs)
	}
}

func TestPeriodsThatCannotBe(t *testing.T) {
	k, o := &bookkeeper{}, newOffice()
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: o, Books: o, Periods: k}, ops.Options{Clock: func() time.Time { return day }}).Register(rt)
	h := &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	for _, c := range []struct {
		method, path, role, body string
		status                   int
		field                    string
	}{
		{"POST", "periods", "checker", `{"period":"2024-03"}`, 403, ""},
		{"POST", "periods", "auditor", `{"period":"2024-03"}`, 403, ""},
		{"POST", "periods/2024-03/reopen", "checker", `{"reason":"r"}`, 403, ""},
		{"POST", "periods/2024-03/reopen/approve", "maker", `{}`, 403, ""},
		{"GET", "periods", "stranger", "", 403, ""},
		{"POST", "periods", "maker", `{"period":"2024-04"}`, 422, "period"}, // has not ended
		{"POST", "periods", "maker", `{"period":"April"}`, 422, "period"},
		{"POST", "periods", "maker", `{}`, 422, "period"},
		{"POST", "periods", "maker", `{"period":3}`, 422, "period"},
		{"POST", "periods", "maker", `{"period":"2024-03","time_zone":"Local"}`, 422, "time_zone"},
		{"POST", "periods", "maker", `{"period":"2024-03","time_zone":"Mars/Base"}`, 422, "time_zone"},
		{"POST", "periods", "maker", `{"period":"2024-03","force":"yes"}`, 422, "force"},
		{"POST", "periods", "maker", `[`, 400, ""},
		{"POST", "periods/2024-03/reopen", "maker", `{}`, 422, "reason"},
		{"POST", "periods/2024-03/reopen", "maker", `{"reason":" "}`, 422, "reason"},
		{"POST", "periods/2024-03/reopen/approve", "checker", `{"reason":"r"}`, 422, "reason"},
		{"GET", "trial-balance?period=2024-03", "auditor", "", 404, ""},
		{"GET", "trial-balance?period=2024-03&by=value", "auditor", "", 422, "by"},
		{"GET", "trial-balance?period=2024-03&at=2024-03-01T00:00:00Z", "auditor", "", 422, "at"},
	} {
		r := httptest.NewRequest(c.method, "/ops/v1/audit/"+c.path, strings.NewReader(c.body))
		r.Header.Set("X-Operator-Key", c.role)
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		var answer struct{ Errors map[string]any }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		if w.Code != c.status || c.field != "" && answer.Errors[c.field] == nil {
			t.Errorf("%s %s %s: %d %s, want %d about %q", c.method, c.path, c.body, w.Code, w.Body, c.status, c.field)
		}
	}
	if len(k.origins) != 0 {
		t.Error("something was changed")
	}
}
