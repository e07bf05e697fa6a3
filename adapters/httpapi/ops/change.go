package ops

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
	"unicode"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of a change.
const (
	maxBody      = merchant.MaxApprovalBytes // the longest body is a rule
	submitWithin = 15 * time.Second
)

// sent is the JSON object that came with a request.
type sent struct {
	body   []byte
	fields httpapi.Object
}

// change serves a request with a body, as handler does one without.
type change func(r *http.Request, by merchant.Operator, s sent) (any, error)

// guardChange admits a request as guard does, reads its body, and answers it.
func (a *API) guardChange(may func(merchant.Role) bool, serve change) http.Handler {
	return a.guardBody(may, maxBody, serve)
}

// guardBody is guardChange for a body of up to limit bytes.
func (a *API) guardBody(may func(merchant.Role) bool, limit int64, serve change) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		by, ok := a.admit(w, r, may)
		if !ok {
			return
		}
		s, ok := read(w, r, limit)
		if !ok {
			return
		}
		place, ok := a.opts.Gate.Admit(w, r, by.ID)
		if !ok {
			return
		}
		defer place.Leave()
		ctx, cancel := context.WithTimeout(r.Context(), submitWithin)
		defer cancel()
		data, err := serve(r.WithContext(ctx), by, s)
		a.answer(w, r, data, err)
	})
}

// read reads a body. It answers for itself when it returns false.
func read(w http.ResponseWriter, r *http.Request, limit int64) (s sent, ok bool) {
	body, err := httpapi.ReadJSON(w, r, limit)
	var fields httpapi.Object
	if err == nil {
		fields, err = httpapi.DecodeObject(body)
	}
	switch {
	case err == nil:
		return sent{body, fields}, true
	case errors.Is(err, httpapi.ErrMediaType):
		httpapi.Fail(w, http.StatusUnsupportedMediaType, httpapi.MessageMediaType)
	case errors.Is(err, httpapi.ErrBodies):
		httpapi.Refuse(w, r, err)
	case errors.Is(err, httpapi.ErrTooLarge):
		httpapi.Fail(w, http.StatusRequestEntityTooLarge, httpapi.MessageTooLarge)
	default:
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageMalformed)
	}
	return sent{}, false
}

// origin says where a change comes from. What is personal in it, the body and the address, is evidence, which gets sealed.
func origin(r *http.Request, by merchant.Operator, body []byte) eventstore.Origin {
	x, sum := httpapi.From(r.Context()), sha256.Sum256(body)
	b := httpapi.AppendString([]byte(`{"operator_id":`), by.ID)
	b = httpapi.AppendString(append(b, `,"client_ip":`...), x.Client.String())
	b = httpapi.AppendString(append(b, `,"request_id":`...), x.ID)
	return eventstore.Origin{
		Actor: actor(by), Request: x.ID, BodyHash: hex.EncodeToString(sum[:]),
		Evidence: []eventstore.Evidence{
			{MediaType: "application/json", Body: body},
			{MediaType: "application/vnd.khata.origin+json", Body: append(b, '}')},
		},
	}
}

// actor is the operator as events name one.
func actor(by merchant.Operator) string { return "operator:" + by.ID }

// reasonFault allows what an event can hold.
func reasonFault(s string, limit int) string {
	switch {
	case strings.TrimSpace(s) == "":
		return "must not be blank"
	case len(s) > limit:
		return fmt.Sprintf("must not be longer than %d bytes", limit)
	case strings.ContainsFunc(s, unicode.IsControl) || !eventstore.ValidText(s):
		return "must not contain control characters"
	}
	return ""
}

// approvalView is the approval rule of a merchant as it is answered.
type approvalView struct {
	Approval merchant.ApprovalRule `json:"approval"`
}

// ruleView shows a rule without bands as one with an empty list.
func ruleView(rule merchant.ApprovalRule) merchant.ApprovalRule {
	if rule.Bands == nil {
		rule.Bands = []merchant.Band{}
	}
	return rule
}

func (a *API) approval(r *http.Request, _ merchant.Operator) (any, error) {
	m, err := a.find(r)
	return approvalView{ruleView(m.Approval)}, err
}

// setApproval sets the rule. It is the same however often it is asked for.
func (a *API) setApproval(r *http.Request, by merchant.Operator, s sent) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	bands, reason, err := merchant.ParseApproval(s.body)
	if err != nil {
		return nil, err
	}
	if fault := reasonFault(reason, merchant.MaxReason); reason != "" && fault != "" {
		return nil, domain.InvalidField("reason", fault)
	}
	m, err := a.ports.Merchants.SubmitMerchant(r.Context(), merchant.SetApproval{
		Of: merchant.Of{Merchant: name, Actor: actor(by)}, Bands: bands, Reason: reason,
	}, origin(r, by, s.body))
	if err != nil {
		return nil, err
	}
	a.opts.Logger.Info("an approval rule is set", "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "merchant", m.ID, "version", m.Approval.Version)
	return approvalView{ruleView(m.Approval)}, nil
}

// batchView is a batch as it is after a decision. How its payouts stand is the merchants' API's to tell.
type batchView struct {
	ID         string       `json:"batch_id"`
	Merchant   string       `json:"merchant_id"`
	Ref        string       `json:"batch_ref"`
	Status     batch.Status `json:"status"`
	Total      int          `json:"total"` // items
	Amount     string       `json:"amount"`
	Commission string       `json:"commission"`
	Currency   string       `json:"currency"`
	Actor      string       `json:"actor"` // who decided
	Reason     string       `json:"reason"`
}

// cancelBatch stops a merchant's batch. It is the same however often it is asked for.
func (a *API) cancelBatch(r *http.Request, by merchant.Operator, s sent) (any, error) {
	reason, err := readReason(s.fields)
	if err != nil {
		return nil, err
	}
	name := r.PathValue("batch")
	if !isBatchID(name) {
		return nil, domain.Errorf(domain.NotFound, "no batch is called that")
	}
	m, err := a.find(r)
	if err != nil {
		return nil, err
	}
	of := batch.Of{Merchant: m.ID, Currency: m.Plan.Currency, Batch: name}
	b, err := a.ports.Batches.Cancel(r.Context(), of, reason, origin(r, by, s.body))
	if domain.CodeOf(err) == domain.Stale {
		return nil, domain.Errorf(domain.Stale, messageStale)
	}
	if err != nil {
		return nil, err
	}
	a.opts.Logger.Info("a batch is cancelled", "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "merchant", m.ID, "batch", name)
	return struct {
		Batch batchView `json:"batch"`
	}{batchView{
		ID: b.Batch, Merchant: b.Merchant, Ref: b.Ref, Status: b.Status, Total: b.Count, Amount: b.Amount.Fixed(),
		Commission: b.Commission.Fixed(), Currency: string(b.Currency), Actor: b.Decided, Reason: b.Reason,
	}}, nil
}

// readReason reads {"reason":"..."}.
func readReason(object httpapi.Object) (string, error) {
	for _, m := range object {
		if m.Name != "reason" {
			return "", domain.InvalidField(m.Name, "is not known")
		}
	}
	reason := object.Get("reason")
	switch {
	case reason.Kind == httpapi.Absent:
		return "", domain.InvalidField("reason", "is missing")
	case reason.Kind != httpapi.String:
		return "", domain.InvalidField("reason", "must be a string")
	}
	if fault := reasonFault(reason.Text, batch.MaxReason); fault != "" {
		return "", domain.InvalidField("reason", fault)
	}
	return reason.Text, nil
}

// isBatchID tells whether a batch can have an id: bat_ and 16 letters and digits.
func isBatchID(s string) bool {
	rest, ok := strings.CutPrefix(s, "bat_")
	return ok && len(rest) == 16 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}
