package ops

import (
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Period is of whole days of a zone, both included. A zero day is no such end. Of a day, only year, month and day count.
type Period struct {
	From, To time.Time
	Zone     *time.Location
}

// DefaultZone is whose days a period has unless another one is named.
const DefaultZone = "Asia/Kolkata"

// Bounds are the first instant of the period and the first one behind it; zero where it has no such end. False when it ends before it begins.
func (p Period) Bounds() (from, until time.Time, ok bool) {
	if !p.From.IsZero() {
		from = time.Date(p.From.Year(), p.From.Month(), p.From.Day(), 0, 0, 0, 0, p.Zone)
	}
	if !p.To.IsZero() {
		until = time.Date(p.To.Year(), p.To.Month(), p.To.Day()+1, 0, 0, 0, 0, p.Zone)
	}
	return from, until, from.IsZero() || until.IsZero() || from.Before(until)
}

// period reads ?from=, ?to= and ?time_zone=.
func (p *params) period() Period {
	period := Period{From: p.day("from"), To: p.day("to")}
	zone := p.text("time_zone")
	if zone == "" {
		zone = DefaultZone
	}
	var err error
	if period.Zone, err = time.LoadLocation(zone); err != nil || zone == "Local" { // the server's own is nobody's business
		p.wrong["time_zone"] = "is not known"
		period.Zone = time.UTC
	}
	if _, _, ok := period.Bounds(); !ok {
		p.wrong["to"] = "must not be before from"
	}
	return period
}

// day is a date; zero without one.
func (p *params) day(name string) time.Time {
	s := p.text(name)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.IsZero() {
		p.wrong[name] = "must be a day such as 2026-04-01"
		return time.Time{}
	}
	return t
}

// must is a text that has to be there.
func (p *params) must(name string, choices ...string) string {
	s := p.text(name, choices...)
	if _, wrong := p.wrong[name]; s == "" && !wrong {
		p.wrong[name] = "is missing"
	}
	return s
}

// currency is ?currency=, rupees without it.
func (p *params) currency() money.Currency {
	c := money.Currency(p.text("currency"))
	if c == "" {
		return money.INR
	}
	if _, known := c.Exponent(); !known {
		p.wrong["currency"] = "is not known"
	}
	return c
}
