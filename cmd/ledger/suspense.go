package main

import (
	"context"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// suspenseCommand is `ledger suspense`: money that came and fits no payin.
type suspenseCommand struct {
	List   suspenseList   `cmd:"" help:"List money in suspense."`
	Credit suspenseCredit `cmd:"" help:"Give it to the merchant, less the commission of the payin's own fee plan."`
	Refund suspenseRefund `cmd:"" help:"Send it back through the gateway that brought it."`
}

type suspenseList struct {
	storeFlags
	Merchant string `help:"Of this merchant alone." placeholder:"ID"`
	Status   string `enum:"open,credited,refunded,all" default:"open" help:"open, credited, refunded or all."`
}

// suspenseEntries is the answer of `suspense list`.
type suspenseEntries struct {
	Entries []suspenseJSON `json:"suspense"`
}

// suspenseJSON is an entry as it is shown.
type suspenseJSON struct {
	ID          string                     `json:"id"`
	Merchant    string                     `json:"merchant_id"`
	Transaction string                     `json:"transaction_id"` // of the payin
	Status      projections.SuspenseStatus `json:"status"`
	Amount      string                     `json:"amount"` // what was paid
	Asked       string                     `json:"asked"`
	Currency    money.Currency             `json:"currency"`
	Cause       string                     `json:"cause"` // amount_mismatch or second_payment
	Gateway     string                     `json:"gateway"`
	PaymentID   string                     `json:"payment_id"` // the gateway's own
	UTR         string                     `json:"utr"`
	OpenedAt    time.Time                  `json:"opened_at"`
	ClosedAt    time.Time                  `json:"closed_at,omitzero"`
	Reason      string                     `json:"reason,omitempty"` // of closing it
	Actor       string                     `json:"actor,omitempty"`
}

func suspenseView(e *projections.SuspenseEntry) suspenseJSON {
	return suspenseJSON{
		ID: e.ID, Merchant: e.Merchant, Transaction: e.Payment, Status: e.Status, Amount: e.Amount.Fixed(), Asked: e.Asked.Fixed(),
		Currency: e.Amount.Currency(), Cause: e.Cause, Gateway: e.Gateway, PaymentID: e.PaymentID, UTR: e.UTR,
		OpenedAt: e.OpenedAt, ClosedAt: e.ClosedAt, Reason: e.Reason, Actor: e.Actor,
	}
}

// Run lists.
func (c *suspenseList) Run(ctx context.Context, t *terminal) error {
	filter := projections.SuspenseFilter{Merchant: c.Merchant, Status: projections.SuspenseStatus(c.Status), Limit: projections.MaxLimit}
	if c.Status == "all" {
		filter.Status = ""
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		out := suspenseEntries{Entries: []suspenseJSON{}}
		for {
			page, err := views.SuspenseList(ctx, filter)
			if err != nil {
				return err
			}
			for i := range page {
				out.Entries = append(out.Entries, suspenseView(&page[i]))
			}
			if len(page) < filter.Limit {
				return t.answer(out)
			}
			filter.After = page[len(page)-1].ID
		}
	})
}

// suspenseSettle is what crediting and refunding share.
type suspenseSettle struct {
	storeFlags
	actorFlag
	reasonFlag
	ID string `arg:"" help:"Entry."`
}

type suspenseCredit struct{ suspenseSettle }

// Run credits.
func (c *suspenseCredit) Run(ctx context.Context, t *terminal) error {
	return c.settle(ctx, t, "suspense credit", projections.SuspenseCredited,
		func(ctx context.Context, s *stores, l *ledger.Ledger, base wallet.Base, amount money.Amount, reason, actor string) (wallet.Command, error) {
			p, err := l.Payment(ctx, base.Merchant, base.Payment)
			if err != nil {
				return nil, err
			}
			plan, err := planOf(ctx, s, base.Merchant, base.Currency, p.Fee)
			if err != nil {
				return nil, err
			}
			charge, err := plan.PayinCharge(amount)
			return wallet.CreditSuspense{Base: base, Suspense: c.ID, Charge: charge, Reason: reason, Actor: actor}, err
		})
}

type suspenseRefund struct {
	suspenseSettle
	ByHand bool `help:"Only book it: the refund itself is made at the gateway, by hand."`
}

// Run refunds.
func (c *suspenseRefund) Run(ctx context.Context, t *terminal) error {
	return c.settle(ctx, t, "suspense refund", projections.SuspenseRefunded,
		func(_ context.Context, _ *stores, _ *ledger.Ledger, base wallet.Base, _ money.Amount, reason, actor string) (wallet.Command, error) {
			return wallet.RefundSuspense{Base: base, Suspense: c.ID, Send: !c.ByHand, Reason: reason, Actor: actor}, nil
		})
}

// settled is the answer of crediting and refunding.
type settled struct {
	ID          string                     `json:"id"`
	Merchant    string                     `json:"merchant_id"`
	Transaction string                     `json:"transaction_id"`
	Status      projections.SuspenseStatus `json:"status"`
	Amount      string                     `json:"amount"`
	Balance     string                     `json:"balance"`
	Locked      string                     `json:"locked_balance"`
}

type suspenseCommandMaker func(ctx context.Context, s *stores, l *ledger.Ledger, base wallet.Base, amount money.Amount, reason, actor string) (wallet.Command, error)

func (c *suspenseSettle) settle(ctx context.Context, t *terminal, name string, status projections.SuspenseStatus, command suspenseCommandMaker) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	reason, err := c.why()
	if err != nil {
		return err
	}
	from, err := origin(actor, name, map[string]string{"suspense": c.ID, "reason": reason})
	if err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		entry, err := views.SuspenseEntry(ctx, c.ID)
		if err != nil {
			return err
		}
		base := wallet.Base{
			Of: wallet.Of{Merchant: entry.Merchant, Currency: entry.Amount.Currency(), Payment: entry.Payment}, At: present(),
		}
		body, err := command(ctx, s, l, base, entry.Amount, reason, actor)
		if err != nil {
			return err
		}
		res, err := l.Submit(ctx, body, from)
		if err != nil {
			return err
		}
		return t.answer(settled{
			ID: c.ID, Merchant: entry.Merchant, Transaction: entry.Payment, Status: status, Amount: entry.Amount.Fixed(),
			Balance: res.Wallet.Available.Fixed(), Locked: res.Wallet.Locked.Fixed(),
		})
	})
}

// planOf finds the fee plan in a currency that a rule names, among all that the merchant ever had.
func planOf(ctx context.Context, s *stores, merchantID string, c money.Currency, rule fee.Rule) (fee.Plan, error) {
	const page = 500
	partition := eventstore.PartitionOf(merchantID, s.info.Partitions)
	for after := int64(0); ; {
		records, err := s.log.ReadStream(ctx, partition, merchant.Stream(merchantID), after, page)
		if err != nil {
			return fee.Plan{}, err
		}
		for i := range records {
			fact, err := ledger.DecodeFact(&records[i])
			if err != nil {
				return fee.Plan{}, fmt.Errorf("record %s: %w", records[i].Position(), err)
			}
			for _, plan := range plansIn(fact) {
				if plan.ID == rule.Plan && plan.Version == rule.Version && plan.Currency == c {
					return plan, nil
				}
			}
			after = records[i].Seq
		}
		if len(records) < page {
			return fee.Plan{}, fmt.Errorf("merchant %s never had version %d of fee plan %s, which priced the payin", merchantID, rule.Version, rule.Plan)
		}
	}
}

// plansIn are the fee plans that an event brings: an app has one for each currency.
func plansIn(fact any) []fee.Plan {
	switch e := fact.(type) {
	case *merchant.Created:
		return []fee.Plan{e.Plan}
	case *merchant.PlanSet:
		return []fee.Plan{e.Plan}
	case *merchant.AppOpened:
		plans := make([]fee.Plan, len(e.Currencies))
		for i := range e.Currencies {
			plans[i] = e.Currencies[i].Plan
		}
		return plans
	case *merchant.CurrencySet:
		return []fee.Plan{e.Currency.Plan}
	}
	return nil
}
