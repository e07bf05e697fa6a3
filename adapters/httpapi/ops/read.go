package ops

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Bounds of pages.
const (
	DefaultLimit = 50
	MaxLimit     = 200
	maxText      = 400 // bytes of an id or cursor
)

// invalid is the 422 of a domain.Invalid, in the envelope of the merchants' API.
func invalid(err error) []byte {
	b := []byte(`{"success":false,"message":"` + messageValidation + `","data":null,"errors":{`)
	var refusal *domain.Error
	if errors.As(err, &refusal) {
		for i, field := range slices.Sorted(maps.Keys(refusal.Details)) {
			if i > 0 {
				b = append(b, ',')
			}
			b = httpapi.AppendString(b, field)
			b = httpapi.AppendString(append(b, `:[`...), "The "+field+" "+refusal.Details[field]+".")
			b = append(b, ']')
		}
	}
	return append(b, "}}"...)
}

// params reads a query string; what is wrong with it is one domain.Invalid.
type params struct {
	values url.Values
	wrong  map[string]string
}

func query(r *http.Request) *params {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &params{values: values, wrong: map[string]string{}}
	if err != nil {
		p.wrong["query"] = "cannot be decoded"
	}
	return p
}

func (p *params) text(name string, choices ...string) string {
	s := p.values.Get(name)
	switch {
	case len(p.values[name]) > 1:
		p.wrong[name] = "must be given once"
	case len(s) > maxText || !eventstore.ValidText(s):
		p.wrong[name] = "is too long or no text"
	case s != "" && len(choices) > 0 && !slices.Contains(choices, s):
		p.wrong[name] = "must be one of " + strings.Join(choices, ", ")
	}
	return s
}

func (p *params) limit() int {
	s := p.text("limit")
	if s == "" {
		return DefaultLimit
	}
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil || n < 1 || n > MaxLimit {
		p.wrong["limit"] = fmt.Sprintf("must be from 1 to %d", MaxLimit)
	}
	return int(n)
}

func (p *params) err() error {
	if len(p.wrong) == 0 {
		return nil
	}
	return &domain.Error{Code: domain.Invalid, Message: messageValidation, Details: p.wrong}
}

// id is the path's, refused when nothing can have it.
func id(r *http.Request) (string, error) {
	s := r.PathValue("id")
	if len(s) > maxText || !eventstore.ValidText(s) {
		return "", domain.Errorf(domain.NotFound, "no id is like that")
	}
	return s, nil
}

// merchantView is a merchant without the hashes of its keys.
type merchantView struct {
	ID           string                `json:"id"`
	Name         string                `json:"name"`
	Services     []merchant.Service    `json:"services"`
	Keys         []keyView             `json:"keys"`
	AllowedIPs   []netip.Prefix        `json:"allowed_ips"`
	CallbackURL  string                `json:"callback_url"`
	Dialect      merchant.Dialect      `json:"dialect,omitempty"`
	BatchUpdates bool                  `json:"batch_updates"` // callbacks also about batches themselves
	Plan         fee.Plan              `json:"plan"`
	Approval     merchant.ApprovalRule `json:"approval"` // of payout batches
	Suspended    bool                  `json:"suspended"`
	CreatedAt    time.Time             `json:"created_at"`
}

type keyView struct {
	ID        string        `json:"id"`
	Last4     string        `json:"last4"`
	Role      merchant.Role `json:"role"`
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
	Active    bool          `json:"active"`
}

func (a *API) view(m *merchant.Merchant) merchantView {
	v := merchantView{
		ID: m.ID, Name: m.Name, Services: m.Services, Keys: make([]keyView, len(m.Keys)), AllowedIPs: m.AllowedIPs,
		CallbackURL: m.CallbackURL, Dialect: m.Dialect, BatchUpdates: !m.BatchQuiet, Plan: m.Plan, Approval: ruleView(m.Approval),
		Suspended: m.Suspended, CreatedAt: m.CreatedAt,
	}
	for i, k := range m.Keys {
		v.Keys[i] = keyView{ID: k.ID, Last4: k.Last4, Role: k.Role, CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt, Active: k.Active(a.opts.Clock())}
	}
	return v
}

func (a *API) merchants(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	after, limit := p.text("after"), p.limit()
	if err := p.err(); err != nil {
		return nil, err
	}
	page, err := a.ports.Views.Merchants(r.Context(), after, limit)
	if err != nil {
		return nil, err
	}
	views := make([]merchantView, len(page))
	for i := range page {
		views[i] = a.view(&page[i])
	}
	next := ""
	if len(page) == limit {
		next = page[limit-1].ID
	}
	return struct {
		Merchants []merchantView `json:"merchants"`
		Next      string         `json:"next_after,omitempty"`
	}{views, next}, nil
}

// find is the merchant that the path names.
func (a *API) find(r *http.Request) (merchant.Merchant, error) {
	name, err := id(r)
	if err != nil {
		return merchant.Merchant{}, err
	}
	return a.ports.Views.Merchant(r.Context(), name)
}

func (a *API) merchant(r *http.Request, _ merchant.Operator) (any, error) {
	m, err := a.find(r)
	if err != nil {
		return nil, err
	}
	return struct {
		Merchant merchantView `json:"merchant"`
	}{a.view(&m)}, nil
}

// suspenseView is an entry as it is shown.
type suspenseView struct {
	ID          string    `json:"id"`
	Merchant    string    `json:"merchant_id"`
	Transaction string    `json:"transaction_id"`
	Status      string    `json:"status"`
	Amount      string    `json:"amount"` // what was paid
	Asked       string    `json:"asked"`
	Currency    string    `json:"currency"`
	Cause       string    `json:"cause"`
	Gateway     string    `json:"gateway"`
	PaymentID   string    `json:"payment_id"`
	UTR         string    `json:"utr"`
	OpenedAt    time.Time `json:"opened_at"`
	ClosedAt    time.Time `json:"closed_at,omitzero"`
	Reason      string    `json:"reason,omitempty"`
	Actor       string    `json:"actor,omitempty"`
}

func (a *API) suspense(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	f := projections.SuspenseFilter{
		Status: projections.SuspenseStatus(p.text("status",
			string(projections.SuspenseOpen), string(projections.SuspenseCredited), string(projections.SuspenseRefunded))),
		Merchant: p.text("merchant"), After: p.text("after"), Limit: p.limit(),
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	entries, err := a.ports.Views.SuspenseList(r.Context(), f)
	if err != nil {
		return nil, err
	}
	views := make([]suspenseView, len(entries))
	for i, e := range entries {
		views[i] = suspenseView{
			ID: e.ID, Merchant: e.Merchant, Transaction: e.Payment, Status: string(e.Status), Amount: e.Amount.Fixed(), Asked: e.Asked.Fixed(),
			Currency: string(e.Amount.Currency()), Cause: e.Cause, Gateway: e.Gateway, PaymentID: e.PaymentID, UTR: e.UTR,
			OpenedAt: e.OpenedAt, ClosedAt: e.ClosedAt, Reason: e.Reason, Actor: e.Actor,
		}
	}
	next := ""
	if len(entries) == f.Limit {
		next = entries[f.Limit-1].ID
	}
	return struct {
		Suspense []suspenseView `json:"suspense"`
		Next     string         `json:"next_after,omitempty"`
	}{views, next}, nil
}

func (a *API) deliveries(r *http.Request, _ merchant.Operator) (any, error) {
	p := query(r)
	q := DeliveryQuery{
		Merchant: p.text("merchant"), Status: p.text("status", "pending", "delivered", "failed"), Limit: p.limit(), Cursor: p.text("cursor"),
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	page, next, err := a.ports.Deliveries.List(r.Context(), q)
	if err != nil {
		return nil, err
	}
	if page == nil {
		page = []Delivery{}
	}
	return struct {
		Deliveries []Delivery `json:"deliveries"`
		Next       string     `json:"next_cursor,omitempty"`
	}{page, next}, nil
}

func (a *API) resend(r *http.Request, by merchant.Operator) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	d, err := a.ports.Deliveries.Resend(r.Context(), name)
	if err != nil {
		return nil, err
	}
	a.opts.Logger.Info("a callback is sent again", "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "delivery", d.ID)
	return struct {
		Delivery Delivery `json:"delivery"`
	}{d}, nil
}

func (a *API) transaction(r *http.Request, _ merchant.Operator) (any, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	events, err := a.ports.Timeline.Timeline(r.Context(), name)
	if err != nil {
		return nil, err
	}
	for i := range events {
		if events[i].Data, err = Mask(events[i].Data); err != nil {
			return nil, fmt.Errorf("event %s: %w", events[i].Position, err)
		}
	}
	return struct {
		Transaction string  `json:"transaction_id"`
		Events      []Event `json:"events"`
	}{name, events}, nil
}
