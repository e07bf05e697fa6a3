package main

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// ports gives the ledger and the views the shapes that their consumers ask for.
type ports struct {
	*ledger.Ledger
	views *projections.Views
}

// Submit returns the payment after a command.
func (p *ports) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	res, err := p.Ledger.Submit(ctx, c, o)
	return res.Payment, err
}

// ByKeyHash finds a merchant by the hash of one of its keys.
func (p *ports) ByKeyHash(ctx context.Context, hash string) (merchant.Merchant, merchant.Key, bool, error) {
	return p.views.MerchantByKeyHash(ctx, hash)
}

// Subject finds what a gateway's reference is about.
func (p *ports) Subject(ctx context.Context, reference string) (merchantID, id string, kind wallet.Kind, found bool, err error) {
	s, err := p.views.Subject(ctx, reference)
	if domain.CodeOf(err) == domain.NotFound {
		return "", "", "", false, nil
	}
	return s.Merchant, s.ID, s.Kind, err == nil, err
}

// List returns a page of payments.
func (p *ports) List(ctx context.Context, q klyropay.Query) (klyropay.Page, error) {
	filter := projections.Filter{
		Merchant: q.Merchant, Status: q.Status, From: q.From, To: q.Until, Page: q.Page, Limit: q.Limit, Cursor: q.Cursor,
	}
	list := p.views.ListPayins
	if q.Kind == wallet.KindPayout {
		list = p.views.ListPayouts
	}
	page, err := list(ctx, filter)
	if err != nil {
		return klyropay.Page{}, err
	}
	return klyropay.Page(page), nil
}

// Balance is a wallet's available and locked balance.
func (p *ports) Balance(ctx context.Context, merchantID string, c money.Currency) (available, locked money.Amount, err error) {
	b, err := p.views.Balance(ctx, merchantID, c)
	return b.Available, b.Locked, err
}

// PendingPayments lists the payments that still wait for something.
func (p *ports) PendingPayments(ctx context.Context, kind wallet.Kind, after string, limit int) ([]gateway.PendingPayment, error) {
	pending, err := p.views.Pending(ctx, kind, after, limit)
	if err != nil {
		return nil, fmt.Errorf("listing pending payments: %w", err)
	}
	out := make([]gateway.PendingPayment, len(pending))
	for i, x := range pending {
		if x.Kind == wallet.KindPayout { // which bank has it, if it was sent to one, is in the log alone
			if x, err = p.Payment(ctx, x.Merchant, x.Of.Payment); err != nil {
				return nil, err
			}
		}
		out[i] = gateway.PendingPayment{Merchant: x.Merchant, ID: x.Of.Payment, ExpiresAt: x.ExpiresAt, Gateway: x.Gateway, Batch: x.Batch}
	}
	return out, nil
}
