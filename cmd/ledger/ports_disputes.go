package main

import (
	"context"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// disputeDesk is where disputes are read and changed.
type disputeDesk struct {
	*projections.Views
	ledger *ledger.Ledger
}

// Payin returns a payin as the log has it.
func (d disputeDesk) Payin(ctx context.Context, id string) (wallet.Payment, error) {
	of, err := d.Subject(ctx, id)
	if err != nil && domain.CodeOf(err) != domain.NotFound {
		return wallet.Payment{}, err
	}
	if err != nil || of.Kind != wallet.KindPayin {
		return wallet.Payment{}, notFound("payin", id)
	}
	return d.ledger.Payment(ctx, of.Merchant, of.ID)
}

// Submit carries out a command about a dispute.
func (d disputeDesk) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, wallet.Wallet, error) {
	res, err := d.ledger.Submit(ctx, c, o)
	return res.Payment, res.Wallet, err
}

// NewID makes the id of a dispute.
func (disputeDesk) NewID() string { return newID("dsp_") }
