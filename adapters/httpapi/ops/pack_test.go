package ops_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/eventstore"
)

// packs makes packs that say for whom they are.
type packs struct {
	made    []ops.Opening
	origins []eventstore.Origin
}

func (p *packs) Pack(_ context.Context, payment string, o ops.Opening, from eventstore.Origin) ([]byte, error) {
	switch payment {
	case "txn_none":
		return nil, domain.Errorf(domain.NotFound, "none")
	case "bat_1":
		return nil, domain.InvalidField("id", "must be a payin or a payout")
	}
	p.made, p.origins = append(p.made, o), append(p.origins, from)
	return []byte("PK of " + payment), nil
}

func TestPacks(t *testing.T) {
	p := &packs{}
	rt := httpapi.NewRouter()
	ops.New(ops.Ports{Views: newOffice(), Packer: p}, ops.Options{}).Register(rt)
	front := &httpapi.Front{Next: rt, Logger: slog.New(slog.DiscardHandler)}
	ask := func(method, path, key string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(method, path, nil)
		r.Header.Set("X-Operator-Key", key)
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		return w
	}
	for _, role := range []string{"owner", "maker", "checker", "auditor", "support"} {
		w := ask(http.MethodGet, "/ops/v1/transactions/txn_1/pack", role)
		if h := w.Header(); w.Code != http.StatusOK || w.Body.String() != "PK of txn_1" || h.Get("Content-Type") != "application/zip" ||
			h.Get("Content-Disposition") != `attachment; filename="txn_1.zip"` || h.Get("Cache-Control") != "no-store" {
			t.Errorf("as %s: %d %v %q", role, w.Code, h, w.Body)
		}
		if last := p.made[len(p.made)-1]; last != (ops.Opening{Actor: "operator:opr_" + role}) {
			t.Errorf("as %s it is opened for %+v", role, last)
		}
	}
	before := len(p.made)
	for _, role := range []string{"owner", "auditor"} {
		w := ask(http.MethodGet, "/ops/v1/transactions/txn_1/pack?unmasked=true&reason=chargeback+7", role)
		if last := p.made[len(p.made)-1]; w.Code != http.StatusOK || last != (ops.Opening{Actor: "operator:opr_" + role, Reason: "chargeback 7", Unmasked: true}) {
			t.Errorf("as %s: %d, opened for %+v", role, w.Code, last)
		}
	}
	from := p.origins[before]
	if from.Actor != "operator:opr_owner" || from.Request == "" || from.BodyHash != "" || len(from.Evidence) != 1 || !strings.Contains(string(from.Evidence[0].Body), `"operator_id":"opr_owner"`) {
		t.Errorf("the origin of a pack is %+v", from)
	}
	before = len(p.made)
	for _, tt := range []struct {
		method, path, role string
		status             int
		says               string
	}{
		{"GET", "txn_1/pack?unmasked=true&reason=x", "support", 403, "role"},
		{"GET", "txn_1/pack?unmasked=true&reason=x", "maker", 403, "role"},
		{"GET", "txn_1/pack?unmasked=true&reason=x", "checker", 403, "role"},
		{"GET", "txn_1/pack", "stranger", 403, "role"},
		{"GET", "txn_1/pack?unmasked=true", "owner", 422, "The reason must not be blank."},
		{"GET", "txn_1/pack?unmasked=yes", "owner", 422, "The unmasked must be one of true, false."},
		{"GET", "txn_1/pack?reason=a%0Ab", "owner", 422, "The reason must not contain control characters."},
		{"GET", "txn_none/pack", "owner", 404, "not found"},
		{"GET", "bat_1/pack", "owner", 422, "The id must be a payin or a payout."},
		{"HEAD", "txn_1/pack", "owner", 200, ""},
		{"POST", "txn_1/pack", "owner", 405, ""},
	} {
		w := ask(tt.method, "/ops/v1/transactions/"+tt.path, tt.role)
		if w.Code != tt.status || !strings.Contains(strings.ToLower(w.Body.String()), strings.ToLower(tt.says)) {
			t.Errorf("%s %s as %s: %d %s", tt.method, tt.path, tt.role, w.Code, w.Body)
		}
	}
	if len(p.made) != before {
		t.Errorf("data was opened for what was refused, or for headers: %+v", p.made[before:])
	}
}
