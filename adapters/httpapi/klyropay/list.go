package klyropay

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of lists.
const (
	DefaultLimit = 15
	MaxLimit     = 100
	maxPage      = 1_000_000_000
	maxCursor    = 400 // bytes
)

// finder finds one payment of a merchant by some id.
type finder func(ctx context.Context, merchantID, id string) (wallet.Payment, error)

// maxID bounds the ids that are looked for, in bytes.
const maxID = 100

// find asks only for what can be there.
func (a *API) find(ctx context.Context, c *caller, find finder, id string) (wallet.Payment, error) {
	if len(id) > maxID || !eventstore.ValidText(id) {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "no transaction has such an id")
	}
	return find(ctx, c.merchant.ID, id)
}

// params reads the query string, and gathers what is wrong with it. Empty parameters are like absent ones.
type params struct {
	values   url.Values
	problems problems
}

func (p *params) text(name string) string {
	v := p.values[name]
	switch len(v) {
	case 0:
		return ""
	case 1:
		return v[0]
	}
	p.problems.add(name, "must be given once")
	return ""
}

func (p *params) number(name string, preset, highest int) int {
	s := p.text(name)
	if s == "" {
		return preset
	}
	if !digits(s) {
		p.problems.add(name, "must be a whole number")
		return preset
	}
	n, err := strconv.Atoi(s)
	switch {
	case err != nil || n > highest:
		p.problems.add(name, "must not be more than "+strconv.Itoa(highest))
	case n < 1:
		p.problems.add(name, "must be at least 1")
	}
	return n
}

// day reads YYYY-MM-DD: the first instant of that day in the zone, or zero.
func (p *params) day(name string, zone *time.Location) time.Time {
	s := p.text(name)
	if s == "" {
		return time.Time{}
	}
	day, err := time.ParseInLocation(time.DateOnly, s, zone)
	if err != nil {
		p.problems.add(name, "must be a date of the form YYYY-MM-DD")
	}
	return day
}

func (p *params) status() wallet.Status {
	switch s := wallet.Status(p.text("status")); s {
	case "", wallet.Success, wallet.Pending, wallet.Failed, wallet.Refunded:
		return s
	default:
		p.problems.add("status", "must be success, pending, failed or refunded")
		return ""
	}
}

// paging reads page, limit and cursor.
func (p *params) paging(q *Query) {
	q.Page = p.number("page", 1, maxPage)
	q.Limit = p.number("limit", DefaultLimit, MaxLimit)
	if q.Cursor = p.text("cursor"); len(q.Cursor) > maxCursor || !eventstore.ValidText(q.Cursor) {
		p.problems.add("cursor", "is not one that was given out")
	}
}

func (a *API) payins(w http.ResponseWriter, r *http.Request, c *caller) {
	a.list(w, r, c, Query{Kind: wallet.KindPayin}, func(*params, *Query) {}, func(b []byte, p *wallet.Payment) ([]byte, error) {
		return appendPayin(b, p), nil
	})
}

func (a *API) payouts(w http.ResponseWriter, r *http.Request, c *caller) {
	a.list(w, r, c, Query{Kind: wallet.KindPayout}, a.payoutFilters, func(b []byte, p *wallet.Payment) ([]byte, error) {
		to, err := a.beneficiary(r.Context(), p)
		if err != nil {
			return nil, err
		}
		return appendPayout(b, p, to), nil
	})
}

// payoutFilters reads status and the days, both inclusive, in the configured zone.
func (a *API) payoutFilters(p *params, q *Query) {
	q.Status = p.status()
	q.From = p.day("from_date", a.opts.Zone)
	last := p.day("to_date", a.opts.Zone)
	if last.IsZero() {
		return
	}
	if q.From.After(last) {
		p.problems.add("to_date", "must not be before from_date")
	}
	q.Until = time.Date(last.Year(), last.Month(), last.Day()+1, 0, 0, 0, 0, a.opts.Zone)
}

func (a *API) list(w http.ResponseWriter, r *http.Request, c *caller, q Query, filters func(*params, *Query), item func([]byte, *wallet.Payment) ([]byte, error)) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		httpapi.Fail(w, http.StatusBadRequest, httpapi.MessageQuery)
		return
	}
	p := &params{values: values}
	q.Merchant = c.merchant.ID
	filters(p, &q)
	p.paging(&q)
	if len(p.problems) > 0 {
		p.problems.write(w)
		return
	}
	page, err := a.ports.Lists.List(r.Context(), q)
	if err != nil {
		a.refuse(w, r, "listing payments", err)
		return
	}
	b := append(make([]byte, 0, 256+512*len(page.Items)), `{"success":true,"data":{"transactions":[`...)
	for i := range page.Items {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = item(b, &page.Items[i]); err != nil {
			a.fault(w, r, "listing payments", err)
			return
		}
	}
	b = strconv.AppendInt(append(b, `],"page":`...), int64(q.Page), 10)
	b = strconv.AppendInt(append(b, `,"limit":`...), int64(q.Limit), 10)
	b = strconv.AppendInt(append(b, `,"total":`...), page.Total, 10)
	b = strconv.AppendInt(append(b, `,"pages":`...), (page.Total+int64(q.Limit)-1)/int64(q.Limit), 10)
	b = httpapi.AppendOptional(append(b, `,"next_cursor":`...), page.NextCursor)
	httpapi.Write(w, http.StatusOK, append(b, "}}"...))
}

func (a *API) balance(w http.ResponseWriter, r *http.Request, c *caller) {
	available, locked, err := a.ports.Lists.Balance(r.Context(), c.merchant.ID, c.merchant.Plan.Currency)
	if err != nil {
		a.refuse(w, r, "reading a balance", err)
		return
	}
	b := httpapi.AppendAmount([]byte(`{"success":true,"data":{"balance":`), available)
	b = httpapi.AppendAmount(append(b, `,"locked_balance":`...), locked)
	httpapi.Write(w, http.StatusOK, append(b, "}}"...))
}
