package ops

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Books are the accounts of everybody; *projections.Views has them.
type Books interface {
	// TrialBalance returns the balances of all accounts at an instant. projections.ErrBehind.
	TrialBalance(ctx context.Context, q projections.TrialQuery) (projections.TrialBalance, error)
	// FirstImbalance reads the log for the first record at which a trial balance does not sum to zero; false when every record balances.
	FirstImbalance(ctx context.Context, t *projections.TrialBalance) (projections.Imbalance, bool, error)
}

// TrialBalance is a trial balance as auditors read it.
type TrialBalance struct {
	By         projections.Basis `json:"by"`
	At         time.Time         `json:"at"`
	KnownAt    time.Time         `json:"known_at"`
	Positions  []string          `json:"positions"` // the newest record of each partition that was known
	Balanced   bool              `json:"balanced"`
	Currencies []TrialCurrency   `json:"currencies"`
	FirstWrong *TrialWrong       `json:"first_wrong,omitempty"`
	Frozen     *TrialClose       `json:"frozen_by,omitempty"` // it is of a moment in a closed period: what is late for that does not count
}

// TrialClose is the close that freezes a trial balance.
type TrialClose struct {
	Number int    `json:"close"`
	Period string `json:"period"`
	Digest string `json:"digest,omitempty"` // of the trial balance itself, where that is what the close has frozen
}

// TrialCurrency is the trial balance of one currency. Debit and Credit are the totals, Difference the one less the other.
type TrialCurrency struct {
	Currency   money.Currency `json:"currency"`
	Debit      string         `json:"debit"`
	Credit     string         `json:"credit"`
	Difference string         `json:"difference"`
	Accounts   []TrialAccount `json:"accounts"`
}

// TrialAccount is an account. Its balance stands in Debit or in Credit, the other is zero. Balance is the same with a sign: positive on the
// side on which accounts of its type grow.
type TrialAccount struct {
	Account string     `json:"account"`
	Kind    books.Kind `json:"kind"`
	Type    books.Type `json:"type"`
	Debit   string     `json:"debit"`
	Credit  string     `json:"credit"`
	Balance string     `json:"balance"`
	Side    books.Side `json:"side"` // on which it stands; zero stands on the normal side
}

// TrialWrong says where the books stop to sum to zero. Position is empty when every record balances, and the view is at fault.
type TrialWrong struct {
	Position string `json:"position,omitempty"`
	Problem  string `json:"problem"`
}

// NewTrialBalance gives a trial balance its shape for readers: accounts whose balance is zero are left out, unless they are asked for. An error
// when an account is not in the chart of accounts.
func NewTrialBalance(found *projections.TrialBalance, zero bool) (TrialBalance, error) {
	b := TrialBalance{
		By: found.By, At: found.At.UTC(), KnownAt: found.KnownAt.UTC(), Positions: make([]string, len(found.Positions)),
		Balanced: found.Balanced(), Currencies: []TrialCurrency{},
	}
	for i, p := range found.Positions {
		b.Positions[i] = p.String()
	}
	if f := found.Frozen; f != nil {
		b.Frozen = &TrialClose{Number: f.Number, Period: f.Name}
	}
	for _, total := range found.Totals() {
		b.Currencies = append(b.Currencies, TrialCurrency{
			Currency: total.Currency, Debit: total.Debit.Fixed(), Credit: total.Credit.Fixed(), Difference: total.Debit.Sub(total.Credit).Fixed(),
			Accounts: []TrialAccount{},
		})
	}
	at := 0
	for i := range found.Accounts {
		for b.Currencies[at].Currency != found.Accounts[i].Balance.Currency() {
			at++
		}
		if !zero && found.Accounts[i].Balance.IsZero() {
			continue
		}
		a, err := newTrialAccount(&found.Accounts[i])
		if err != nil {
			return TrialBalance{}, err
		}
		b.Currencies[at].Accounts = append(b.Currencies[at].Accounts, a)
	}
	return b, nil
}

func newTrialAccount(a *projections.AccountBalance) (TrialAccount, error) {
	account, ok := wallet.ParseAccount(a.Name)
	if !ok {
		return TrialAccount{}, fmt.Errorf("account %q is not in the chart of accounts", a.Name)
	}
	typ := account.Kind.Type()
	side, balance := typ.Normal(), a.Balance
	if side == books.CreditSide {
		balance = balance.Neg()
	}
	switch a.Balance.Sign() {
	case 1:
		side = books.DebitSide
	case -1:
		side = books.CreditSide
	}
	return TrialAccount{
		Account: a.Name, Kind: account.Kind, Type: typ, Debit: a.Debit().Fixed(), Credit: a.Credit().Fixed(), Balance: balance.Fixed(), Side: side,
	}, nil
}

// trialBalance answers with the books as of ?at=, as known on ?known_at=, by ?by=value or recording; now, and by value, without them; with
// ?zero=true also accounts whose balance is zero. With ?period= it is the one that the period's close has frozen. When they do not
// balance, it names the first record at fault, as far as the log can be read for it within a request.
func (a *API) trialBalance(r *http.Request, _ merchant.Operator) (any, error) {
	now := eventstore.Micros(a.opts.Clock())
	p := query(r)
	q := projections.TrialQuery{
		By: projections.Basis(p.text("by", string(projections.ByValue), string(projections.ByRecording))), At: p.instant("at", now), KnownAt: p.instant("known_at", now),
	}
	zero := p.text("zero", "true", "false") == "true"
	if q.KnownAt.After(now) {
		p.wrong["known_at"] = "must not be in the future"
	}
	period := p.text("period")
	for _, other := range []string{"at", "known_at", "by"} {
		if period != "" && p.text(other) != "" {
			p.wrong[other] = "does not go with period, which says it"
		}
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if period != "" {
		return a.frozenBalance(r.Context(), period, zero)
	}
	if q.By == "" {
		q.By = projections.ByValue
	}
	found, err := a.ports.Books.TrialBalance(r.Context(), q)
	if err != nil {
		return nil, err
	}
	answer, err := NewTrialBalance(&found, zero)
	if err == nil && !answer.Balanced {
		answer.FirstWrong, err = a.firstWrong(r.Context(), &found)
	}
	return answer, err
}

// firstWrongWithin bounds reading the log within a request.
const firstWrongWithin = 20 * time.Second

// firstWrong is FirstWrong as one of the exports that are under way at once, or the word how to find it.
func (a *API) firstWrong(ctx context.Context, found *projections.TrialBalance) (*TrialWrong, error) {
	elsewhere := &TrialWrong{Problem: "the log is too long to be read for it now: run `ledger audit trial-balance`"}
	select {
	case a.exports <- struct{}{}:
		defer func() { <-a.exports }()
	default:
		return elsewhere, nil
	}
	ctx, cancel := context.WithTimeout(ctx, firstWrongWithin)
	defer cancel()
	wrong, err := FirstWrong(ctx, a.ports.Books, found)
	if ctx.Err() != nil {
		return elsewhere, nil
	}
	return wrong, err
}

// FirstWrong names the first record at which the books do not sum to zero.
func FirstWrong(ctx context.Context, b Books, found *projections.TrialBalance) (*TrialWrong, error) {
	first, there, err := b.FirstImbalance(ctx, found)
	if err != nil {
		return nil, err
	}
	if !there {
		return &TrialWrong{Problem: "every record balances, so the view of the journal is not what the log says: run `ledger rebuild journal`"}, nil
	}
	return &TrialWrong{Position: first.Position.String(), Problem: fmt.Sprintf("debits less credits are %s", first.Excess)}, nil
}

// instant is a time in RFC 3339, or another one without it.
func (p *params) instant(name string, preset time.Time) time.Time {
	s := p.text(name)
	if s == "" {
		return preset
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		p.wrong[name] = "must be a time such as 2026-03-31T18:00:00Z"
		return preset
	}
	return eventstore.Micros(t)
}
