package ledger

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Repricing is what a subject's priced events would have been under another fee plan.
type Repricing struct {
	Subject   string           `json:"subject"`
	Plan      fee.Rule         `json:"plan"`
	UpTo      string           `json:"up_to,omitempty"` // position of the last record that was read
	Priced    int64            `json:"priced"`          // events, and items of batches, that a plan has priced
	Different int64            `json:"different"`       // of those
	First     *PriceDifference `json:"first,omitempty"` // in the order of the log
	// Commission, which includes its tax, is what was earned by what has been paid.
	Commission Effect `json:"commission"`
	// Wallet is everything that the wallet has behind the last record, available and locked, less what is owed.
	Wallet Effect `json:"wallet"`
}

// PriceDifference is an event, or an item of a batch, that the plan would have priced otherwise, or refused.
type PriceDifference struct {
	Position string `json:"position"`
	Type     string `json:"type"`
	Subject  string `json:"subject"`        // the payment
	Item     int    `json:"item,omitempty"` // of the batch, from 1
	Amount   string `json:"amount"`
	Recorded Price  `json:"recorded"`
	Repriced *Price `json:"repriced,omitempty"` // nil: refused
	Refused  string `json:"refused,omitempty"`  // why the plan would have refused the payment
}

// Price is a commission and the tax in it, and what plan they come from.
type Price struct {
	Plan       fee.Rule `json:"plan"`
	Commission string   `json:"commission"`
	Tax        string   `json:"tax"`
}

// Effect is a sum as it was recorded, as it would be, and by how much that is more.
type Effect struct {
	Recorded   string `json:"recorded"`
	Repriced   string `json:"repriced"`
	Difference string `json:"difference"`
}

// ErrNoPlan says that there is no such version of a merchant's plan.
var ErrNoPlan = errors.New("no such plan")

// PlanVersion returns a version of the fee plan that prices a subject, from its merchant's stream: the merchant's, and of an app, that of the currency of the
// subject's wallet. domain.NotFound for a subject that there is not; ErrNoPlan.
func (l *Ledger) PlanVersion(ctx context.Context, subject string, version int) (fee.Plan, error) {
	partition, stream, err := l.find(ctx, subject)
	if err != nil {
		return fee.Plan{}, err
	}
	owner := strings.Split(stream, ":")
	if owner[0] != "wallet" && owner[0] != "batch" && owner[0] != "merchant" {
		return fee.Plan{}, fmt.Errorf("%w: %s belongs to no merchant", ErrNoPlan, subject)
	}
	plans := planHistory{version: version}
	if owner[0] == "wallet" {
		plans.currency = money.Currency(owner[2])
	}
	err = l.eachOf(ctx, partition, merchant.Stream(owner[1]), func(r *eventstore.Record) (bool, error) {
		e, err := merchant.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return true, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		plans.take(e)
		return false, nil
	})
	switch {
	case err != nil:
		return fee.Plan{}, err
	case plans.app && plans.currency == "":
		return fee.Plan{}, fmt.Errorf("%w: app %s has one for each currency: name a transaction or a wallet", ErrNoPlan, owner[1])
	case plans.found == nil:
		return fee.Plan{}, fmt.Errorf("%w: merchant %s has no version %d of its plan, the newest is %d", ErrNoPlan, owner[1], version, plans.last)
	}
	return *plans.found, nil
}

// planHistory looks through the events of a merchant for a version of its plan.
type planHistory struct {
	currency money.Currency // of the wallet that is priced
	version  int
	app      bool // its plans are those of its currencies
	last     int
	found    *fee.Plan
}

func (h *planHistory) take(e merchant.Event) {
	switch e := e.(type) {
	case *merchant.Created:
		h.plan(&e.Plan)
	case *merchant.PlanSet:
		if !h.app {
			h.plan(&e.Plan)
		}
	case *merchant.AppOpened:
		h.app, h.last, h.found = true, 0, nil
		for i := range e.Currencies {
			h.currencyPlan(&e.Currencies[i])
		}
	case *merchant.CurrencySet:
		h.currencyPlan(&e.Currency)
	}
}

func (h *planHistory) currencyPlan(k *merchant.AppCurrency) {
	if k.Currency == h.currency {
		h.plan(&k.Plan)
	}
}

func (h *planHistory) plan(p *fee.Plan) {
	if h.last = p.Version; h.last == h.version {
		h.found = p
	}
}

// Reprice decides the priced events of a payment, wallet, batch or merchant again, as if plan had been the merchant's all along: of a merchant,
// those of its wallet in the plan's currency; of a batch, its items and the payouts made of them. within tells which records count; the first that
// does not ends it. The stream of the wallet is read as it is folded, whatever its length. domain.NotFound; domain.Invalid for a subject that no plan
// prices, or one in another currency than the plan.
func (l *Ledger) Reprice(ctx context.Context, subject string, plan fee.Plan, within func(*eventstore.Record) (bool, error)) (Repricing, error) {
	partition, stream, err := l.find(ctx, subject)
	if err != nil {
		return Repricing{}, err
	}
	p := repricer{
		l: l, plan: plan, within: within, partition: partition,
		out: Repricing{Subject: subject, Plan: fee.Rule{Plan: plan.ID, Version: plan.Version}},
	}
	of := strings.Split(stream, ":")
	switch of[0] {
	case "wallet":
		if stream != subject {
			p.counts = func(of *wallet.Of, _ wallet.Event) bool { return of.Payment == subject }
			if p.last, err = l.lastOf(ctx, partition, subject); err != nil {
				return Repricing{}, err
			}
		}
	case "merchant":
		stream = wallet.Stream(of[1], plan.Currency)
	case "batch":
		p.counts = func(_ *wallet.Of, e wallet.Event) bool { return batchOf(e) == subject }
		if stream, err = p.items(ctx, stream); err != nil {
			return Repricing{}, err
		}
	default:
		return Repricing{}, domain.Errorf(domain.Invalid, "no fee plan prices %s", subject)
	}
	if !strings.HasSuffix(stream, ":"+string(plan.Currency)) {
		return Repricing{}, domain.Errorf(domain.Invalid, "the plan is in %s, and %s is in %s", plan.Currency, subject, stream[strings.LastIndexByte(stream, ':')+1:])
	}
	if err := p.wallet(ctx, stream); err != nil {
		return Repricing{}, err
	}
	return p.out, nil
}

// lastOf is the position of the newest record about a subject.
func (l *Ledger) lastOf(ctx context.Context, partition int, subject string) (int64, error) {
	records, err := l.log.ReadSubjects(ctx, partition, []string{subject})
	if err != nil {
		return 0, fmt.Errorf("reading %s: %w", subject, err)
	}
	return records[len(records)-1].Seq, nil
}

// repricer is a Repricing that is being made.
type repricer struct {
	l         *Ledger
	plan      fee.Plan
	within    func(*eventstore.Record) (bool, error)
	partition int
	counts    func(*wallet.Of, wallet.Event) bool // nil: every event of the wallet does
	byItem    bool                                // what is compared is a batch's items, not the payouts made of them
	last      int64                               // the record with which it ends; 0: the stream's last
	out       Repricing
}

// items prices those of a batch, and returns the stream of the wallet that pays them.
func (p *repricer) items(ctx context.Context, stream string) (pays string, err error) {
	p.byItem = true
	var rule fee.Rule
	err = p.l.eachOf(ctx, p.partition, stream, func(r *eventstore.Record) (bool, error) {
		if in, err := p.within(r); err != nil || !in {
			return true, err
		}
		e, err := batch.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return true, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		switch e := e.(type) {
		case *batch.Submitted:
			pays, rule = wallet.Stream(e.Merchant, e.Currency), e.Fee
		case *batch.ItemsAdded:
			for i := range e.Items {
				item := &e.Items[i]
				// What an item is priced at is what its payout is initiated with.
				made := wallet.PayoutInitiated{Priced: wallet.Priced{Amount: item.Amount, Commission: item.Commission, Tax: item.Tax, Fee: rule}}
				charge, refusal := wallet.Reprice(&made, &p.plan)
				p.compare(r, item.Payment, item.Index, &made.Priced, charge, refusal)
			}
		}
		p.out.UpTo = r.Position().String()
		return false, nil
	})
	if err == nil && pays == "" {
		err = domain.Errorf(domain.NotFound, "the batch had not been submitted by then")
	}
	return pays, err
}

// wallet folds the wallet's stream, and prices what counts of it.
func (p *repricer) wallet(ctx context.Context, stream string) error {
	s, err := newModel().New(streamNeed(stream))
	if err != nil {
		return err
	}
	state := &s.(*walletState).Wallet
	zero := money.Zero(p.plan.Currency)
	earned, moreWorth, moreEarned := zero, zero, zero // more: what the plan adds
	err = p.l.eachOf(ctx, p.partition, stream, func(r *eventstore.Record) (bool, error) {
		if in, err := p.within(r); err != nil || !in {
			return true, err
		}
		e, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil {
			return true, fmt.Errorf("record %s: %w", r.Position(), err)
		}
		state.Evolve(e)
		p.out.UpTo = r.Position().String()
		priced := wallet.PricedOf(e)
		if priced == nil || p.counts != nil && !p.counts(e.Header(), e) {
			return r.Seq == p.last, nil
		}
		charge, refusal := wallet.Reprice(e, &p.plan)
		if !p.byItem {
			p.compare(r, r.Subject, 0, priced, charge, refusal)
		}
		hasWas, earnedWas := effects(e)
		has, earns := zero, zero
		if refusal == nil {
			priced.Commission, priced.Tax = charge.Commission, charge.Tax
			has, earns = effects(repriced(e))
		}
		earned = earned.Add(earnedWas)
		moreWorth, moreEarned = moreWorth.Add(has).Sub(hasWas), moreEarned.Add(earns).Sub(earnedWas)
		return r.Seq == p.last, nil
	})
	if err != nil {
		return err
	}
	worth := state.Available.Add(state.Locked).Sub(state.Owed)
	p.out.Wallet = effect(worth, moreWorth)
	p.out.Commission = effect(earned, moreEarned)
	return nil
}

// repriced makes an event whole that has been given other figures: of what a wallet could not cover, the rest is owed.
func repriced(e wallet.Event) wallet.Event {
	if e, ok := e.(*wallet.PayoutPaidAfterRefund); ok {
		e.Owed = e.Gross().Sub(e.Taken)
	}
	return e
}

// effects are what an event gives its merchant, in all of the merchant's accounts together, and the platform's commission with its tax.
func effects(e wallet.Event) (merchant, commission money.Amount) {
	c := e.Header().Currency
	merchant, commission = money.Zero(c), money.Zero(c)
	for _, line := range wallet.Postings(e) {
		more := line.Credit.Sub(line.Debit)
		switch {
		case line.Account == wallet.AccountCommission, line.Account == wallet.AccountTax:
			commission = commission.Add(more)
		case strings.HasPrefix(line.Account, "merchant:"):
			merchant = merchant.Add(more)
		}
	}
	return merchant, commission
}

func effect(recorded, more money.Amount) Effect {
	return Effect{Recorded: recorded.Fixed(), Repriced: recorded.Add(more).Fixed(), Difference: more.Fixed()}
}

// compare counts what was priced, and keeps the first that would be otherwise.
func (p *repricer) compare(r *eventstore.Record, payment string, item int, was *wallet.Priced, charge fee.Charge, refusal error) {
	p.out.Priced++
	if refusal == nil && charge.Commission.Equal(was.Commission) && charge.Tax.Equal(was.Tax) {
		return
	}
	if p.out.Different++; p.out.First != nil {
		return
	}
	d := PriceDifference{
		Position: r.Position().String(), Type: r.Type, Subject: payment, Item: item, Amount: was.Amount.Fixed(),
		Recorded: Price{Plan: was.Fee, Commission: was.Commission.Fixed(), Tax: was.Tax.Fixed()},
	}
	if refusal == nil {
		d.Repriced = &Price{Plan: charge.Rule, Commission: charge.Commission.Fixed(), Tax: charge.Tax.Fixed()}
	} else {
		d.Refused = refusal.Error()
	}
	p.out.First = &d
}
