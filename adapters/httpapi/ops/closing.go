package ops

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Periods are closed and reopened.
type Periods interface {
	// Periods lists the closes in their order. projections.ErrBehind.
	Periods(ctx context.Context) ([]projections.Period, error)
	// FrozenBalance reads the trial balance of a close anew, and writes its canonical form.
	FrozenBalance(ctx context.Context, p *projections.Period, out io.Writer) (projections.TrialBalance, books.Trial, error)
	// ClosePeriod closes a period. domain.Invalid for one that has not ended, domain.Stale for one that is closed.
	ClosePeriod(ctx context.Context, p books.Period, actor string, o eventstore.Origin) error
	// SubmitBooks carries out the two steps of a reopening. domain.NotFound, domain.Stale; domain.Forbidden when one person does both.
	SubmitBooks(ctx context.Context, c books.Command, o eventstore.Origin) error
}

// PeriodView is a close, and what became of it.
type PeriodView struct {
	Number    int          `json:"close"`
	Period    string       `json:"period"`
	Zone      string       `json:"time_zone"`
	From      time.Time    `json:"from,omitzero"` // end of the close before; absent: from the beginning
	To        time.Time    `json:"to"`            // exclusive
	ClosedAt  time.Time    `json:"closed_at"`
	ClosedBy  string       `json:"closed_by"`
	Position  string       `json:"position"`  // of the close in the log
	Positions []books.Mark `json:"positions"` // up to which it counts records; what is behind them is late
	Accounts  int          `json:"accounts"`
	Totals    []TotalView  `json:"totals"`
	Digest    string       `json:"digest"`
	Late      []LateView   `json:"late"`
	Request   *RequestView `json:"reopen_requested,omitempty"`
	Reopened  time.Time    `json:"reopened_at,omitzero"`
	Reopener  string       `json:"reopened_by,omitempty"` // who approved it
}

// TotalView sums the balances of a kind of accounts up, by the side on which they stand.
type TotalView struct {
	Currency money.Currency `json:"currency"`
	Kind     books.Kind     `json:"kind"`
	Debit    string         `json:"debit"`
	Credit   string         `json:"credit"`
}

// LateView is what was recorded after the close with a value date in its period, in a currency.
type LateView struct {
	Currency money.Currency `json:"currency"`
	Records  int64          `json:"records"`
	Amount   string         `json:"amount"` // sum of the debits
}

// RequestView asks for a close to be reopened.
type RequestView struct {
	Reason string    `json:"reason"`
	Actor  string    `json:"by"`
	At     time.Time `json:"at"`
}

// NewPeriodView gives a close its shape for readers.
func NewPeriodView(p *projections.Period) PeriodView {
	v := PeriodView{
		Number: p.Number, Period: p.Name, Zone: p.Zone, From: p.From, To: p.To, ClosedAt: p.ClosedAt, ClosedBy: p.Actor, Position: p.Position.String(),
		Positions: p.Positions, Accounts: p.Accounts, Totals: []TotalView{}, Digest: p.Digest, Late: []LateView{}, Reopened: p.Reopened, Reopener: p.Reopener,
	}
	for _, t := range p.Totals {
		v.Totals = append(v.Totals, TotalView{t.Currency, t.Kind, t.Debit.Fixed(), t.Credit.Fixed()})
	}
	for _, l := range p.Late {
		v.Late = append(v.Late, LateView{l.Amount.Currency(), l.Records, l.Amount.Fixed()})
	}
	if r := p.Request; r != nil {
		v.Request = &RequestView{r.Reason, r.Actor, r.At}
	}
	return v
}

// FindPeriod is the last close of a period: the one that stands, if one does. domain.NotFound.
func FindPeriod(all []projections.Period, name string) (*projections.Period, error) {
	for i := len(all) - 1; i >= 0; i-- {
		if all[i].Name == name {
			return &all[i], nil
		}
	}
	return nil, domain.Errorf(domain.NotFound, "%s was never closed", name)
}

// approves are who may approve what another operator asks for.
func approves(r merchant.Role) bool { return r == merchant.Owner || r == merchant.Checker }

func (a *API) periods(r *http.Request, _ merchant.Operator) (any, error) {
	all, err := a.ports.Periods.Periods(r.Context())
	if err != nil {
		return nil, err
	}
	views := make([]PeriodView, len(all))
	for i := range all {
		views[i] = NewPeriodView(&all[i])
	}
	return struct {
		Periods []PeriodView `json:"periods"`
	}{views}, nil
}

// periodNow answers with a period as it is now.
func (a *API) periodNow(ctx context.Context, name string) (any, error) {
	all, err := a.ports.Periods.Periods(ctx)
	if err != nil {
		return nil, err
	}
	p, err := FindPeriod(all, name)
	if err != nil {
		return nil, err
	}
	return struct {
		Period PeriodView `json:"period"`
	}{NewPeriodView(p)}, nil
}

// closePeriod closes {"period":"2026-03"}, of days of "time_zone", or of DefaultZone.
func (a *API) closePeriod(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields("period", "time_zone"); err != nil {
		return nil, err
	}
	f := s.read()
	period, name := f.text("period", false, maxText), f.text("time_zone", false, maxText)
	if err := f.err(); err != nil {
		return nil, err
	}
	if name == "" {
		name = DefaultZone
	}
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" { // the server's own is nobody's business
		return nil, domain.InvalidField("time_zone", "is not known")
	}
	p, err := books.ParsePeriod(period, zone)
	if err != nil {
		return nil, err
	}
	if err := a.ports.Periods.ClosePeriod(r.Context(), p, actor(by), origin(r, by, s.body)); err != nil {
		return nil, conflict(err)
	}
	a.opts.Logger.Info("a period is closed", "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "period", p.Name)
	return a.periodNow(r.Context(), p.Name)
}

// requestReopen asks for a period to be reopened, because of {"reason":"..."}.
func (a *API) requestReopen(r *http.Request, by merchant.Operator, s sent) (any, error) {
	reason, err := readReason(s.fields)
	if err != nil {
		return nil, err
	}
	return a.reopen(r, by, s, "a period's reopening is asked for", books.RequestReopen{
		Name: r.PathValue("period"), Reason: reason, Actor: actor(by), At: eventstore.Micros(a.opts.Clock()),
	})
}

// approveReopen reopens a period that another operator has asked for. Its body is an empty object.
func (a *API) approveReopen(r *http.Request, by merchant.Operator, s sent) (any, error) {
	if err := s.knownFields(); err != nil {
		return nil, err
	}
	return a.reopen(r, by, s, "a period is reopened", books.ApproveReopen{
		Name: r.PathValue("period"), Actor: actor(by), At: eventstore.Micros(a.opts.Clock()),
	})
}

func (a *API) reopen(r *http.Request, by merchant.Operator, s sent, done string, c books.Command) (any, error) {
	if err := a.ports.Periods.SubmitBooks(r.Context(), c, origin(r, by, s.body)); err != nil {
		return nil, conflict(err)
	}
	a.opts.Logger.Info(done, "request_id", httpapi.From(r.Context()).ID, "operator", by.ID, "period", r.PathValue("period"))
	return a.periodNow(r.Context(), r.PathValue("period"))
}

// conflict says what is in the way, in the domain's words.
func conflict(err error) error {
	if code := domain.CodeOf(err); code == domain.Stale || code == domain.Forbidden {
		return &Refuted{Problem: err.Error()}
	}
	return err
}

// frozenBalance answers with the trial balance that the last close of ?period= has frozen, read anew.
func (a *API) frozenBalance(ctx context.Context, name string, zero bool) (any, error) {
	all, err := a.ports.Periods.Periods(ctx)
	if err != nil {
		return nil, err
	}
	p, err := FindPeriod(all, name)
	if err != nil {
		return nil, err
	}
	found, trial, err := a.ports.Periods.FrozenBalance(ctx, p, io.Discard)
	if err != nil {
		return nil, err
	}
	if trial.Digest != p.Digest {
		return nil, &Refuted{Problem: NotAsFrozen(p, &trial)}
	}
	answer, err := NewTrialBalance(&found, zero)
	if err == nil {
		answer.Frozen.Digest = trial.Digest
	}
	return answer, err
}

// NotAsFrozen says that a trial balance, read anew, is not the one of its close.
func NotAsFrozen(p *projections.Period, trial *books.Trial) string {
	return "the trial balance of " + p.Name + " has digest " + trial.Digest + ", and was frozen with " + p.Digest + ": `ledger verify` tells whether the log or a view is wrong"
}
