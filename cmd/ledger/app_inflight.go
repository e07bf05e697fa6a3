package main

import (
	"context"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/projections"
)

// inFlight counts the payins and refunds that are under way through a gateway configuration.
type inFlight func(ctx context.Context, app, config string) (int, error)

// inFlightPage is how many payments are looked at at once.
const inFlightPage = 500

// inFlightIn counts in the views.
func inFlightIn(views *projections.Views) inFlight {
	return func(ctx context.Context, app, config string) (int, error) {
		n := 0
		for filter := (projections.Filter{Merchant: app, Status: wallet.Pending, Page: 1, Limit: inFlightPage}); ; {
			page, err := views.ListPayins(ctx, filter)
			if err != nil {
				return 0, err
			}
			for i := range page.Items {
				if k := &page.Items[i].Checkout; k.Config == config && (k.Order != "" || k.Open) {
					n++
				}
			}
			if filter.Cursor = page.NextCursor; filter.Cursor == "" {
				break
			}
		}
		for after := ""; ; {
			page, err := views.Refunding(ctx, after, inFlightPage)
			if err != nil {
				return 0, err
			}
			for i := range page {
				n += refundsThrough(&page[i], app, config)
			}
			if len(page) < inFlightPage {
				return n, nil
			}
			after = page[len(page)-1].Of.Payment
		}
	}
}

func refundsThrough(p *wallet.Payment, app, config string) (n int) {
	for i := range p.Refunds {
		if r := &p.Refunds[i]; p.Merchant == app && r.Config == config && r.Status == wallet.RefundPending {
			n++
		}
	}
	return n
}

// mayMove refuses to give a configuration another account while the present one still has payments to come: with its secrets gone, its webhooks
// would be held to be forged, and nobody could ask it any more.
func (d *appDesk) mayMove(ctx context.Context, app, config string) error {
	n, err := d.inFlight(ctx, app, config)
	if err != nil || n == 0 {
		return err
	}
	return domain.Errorf(domain.Stale, "%d payins or refunds are under way through the present account of %s: disable it, and give it another account "+
		"when they have ended; or add a configuration of its own for the other account", n, config)
}
