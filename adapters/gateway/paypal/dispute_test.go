package paypal_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
)

func TestInquireDispute(t *testing.T) {
	const name = "PP-000-042-663-135"
	f, g := newFake(t), newClient(t)
	said := disputed[strings.Index(disputed, `"resource":`)+len(`"resource":`) : len(disputed)-1]
	answers := func(body string) {
		f.all(func(w http.ResponseWriter, _ *http.Request) { f.write(w, 200, json.RawMessage(body)) })
	}
	answers(said)
	m, err := g.InquireDispute(t.Context(), f.account(), name)
	if err != nil || !strings.HasSuffix(f.log(), "GET /v1/customer/disputes/"+name) || m.Reference != "tx_000000001" || len(m.Body) == 0 {
		t.Fatalf("%+v, %v", m, err)
	}
	if d := m.Dispute; d.Case != name || d.PaymentID != "00D10444LD479031K" || d.Status != "open" || d.Amount != "3.00" {
		t.Errorf("%+v", d)
	}
	answers(strings.Replace(said, `"status":"OPEN"`, `"status":"RESOLVED","dispute_outcome":{"outcome_code":"RESOLVED_SELLER_FAVOUR"}`, 1))
	if m, err := g.InquireDispute(t.Context(), f.account(), name); err != nil || m.Dispute.Status != "won" {
		t.Errorf("%+v, %v", m, err)
	}
	declined := (*gateway.Declined)(nil)
	for what, body := range map[string]string{
		"of another": strings.Replace(said, name, "PP-1", 1), "of two payments": strings.Replace(said, `"disputed_transactions":[`, `"disputed_transactions":[{},`, 1),
		"of a payment elsewhere": strings.Replace(said, "tx_000000001", "", 1), "garbage": "[]",
	} {
		answers(body)
		if m, err := g.InquireDispute(t.Context(), f.account(), name); err == nil || errors.As(err, &declined) {
			t.Errorf("an answer %s: %+v, %v", what, m, err)
		}
	}
	for _, c := range []struct {
		status int
		name   string
		want   func(error) bool
	}{
		{404, "RESOURCE_NOT_FOUND", func(err error) bool { return errors.As(err, &declined) }},
		{403, "NOT_AUTHORIZED", func(err error) bool { return errors.Is(err, gateway.ErrCredentials) }},
		{500, "INTERNAL_SERVER_ERROR", func(err error) bool {
			return err != nil && !errors.As(err, &declined) && !errors.Is(err, gateway.ErrCredentials)
		}},
	} {
		f.all(func(w http.ResponseWriter, _ *http.Request) { f.fail(w, c.status, c.name, "ISSUE", "words") })
		if _, err := g.InquireDispute(t.Context(), f.account(), name); !c.want(err) {
			t.Errorf("%d: %v", c.status, err)
		}
	}
	if _, err := g.InquireDispute(t.Context(), f.account(), "../oauth2"); err == nil {
		t.Error("an id that is a path")
	}
}
