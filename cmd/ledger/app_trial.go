package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// kspayCode is the number of an error of the KS Pay API, by its module and name: "gatewayErrors.credentialStepFailed".
func kspayCode(name string) (code string, known bool) {
	for _, r := range kspay.Errors() {
		if r.Module+"."+r.Name == name || r.Module == "(top)" && r.Name == name {
			return fmt.Sprint(r.Code), true
		}
	}
	return "", false
}

// Trial starts the trial order of a gateway configuration: a payin that may go through that one alone, and a link under which it is paid. The payin is made
// first: one that no set-up waits for expires and harms nothing, and a set-up that waited for a payin that there is not would wait for ever.
func (d *appDesk) Trial(ctx context.Context, app, config, amount string, c money.Currency, o eventstore.Origin) (ops.Trial, error) {
	m, err := d.app(ctx, app)
	if err != nil {
		return ops.Trial{}, err
	}
	start := merchant.StartTrial{Of: merchant.Of{Merchant: app, Actor: o.Actor}, Config: config, Transaction: newAlnum("tx_")}
	if _, err := merchant.Decide(&m, start); err != nil {
		return ops.Trial{}, kspayError(err)
	}
	g, _ := m.App.Gateway(config)
	if c == "" && len(g.Ranks) > 0 {
		c = g.Ranks[0].Currency
	}
	create, err := d.trialPayin(ctx, &m, &g, start.Transaction, amount, c)
	if err != nil {
		return ops.Trial{}, err
	}
	made := o
	made.Command = create.id
	for try := 1; ; try++ {
		_, err = d.ledger.Submit(ctx, create.CreatePayin, made)
		if domain.CodeOf(err) != domain.Duplicate || try == idTries {
			break
		}
		start.Transaction = newAlnum("tx_")
		create.Payment, create.TxnRef, create.OrderID = start.Transaction, start.Transaction, trialReference(start.Transaction)
	}
	if err != nil {
		return ops.Trial{}, err
	}
	if _, err := d.ledger.SubmitMerchant(ctx, start, o); err != nil {
		return ops.Trial{}, kspayError(err)
	}
	return ops.Trial{
		App: app, Config: config, Transaction: start.Transaction, Amount: create.Amount.Fixed(), Currency: string(c),
		Link: d.links.checkout(app, start.Transaction, create.ExpiresAt), ExpiresAt: create.ExpiresAt,
	}, nil
}

// trialReference is the reference number of a trial order.
func trialReference(transaction string) string { return "trial-" + transaction }

// sealedPayin is a payin whose sealed data is bound to the id of its command.
type sealedPayin struct {
	wallet.CreatePayin
	id uuid.UUID
}

func (d *appDesk) trialPayin(ctx context.Context, m *merchant.Merchant, g *merchant.Gateway, tx, text string, c money.Currency) (sealedPayin, error) {
	plan, takes := m.App.Plan(c)
	if !takes || !slices.ContainsFunc(g.Ranks, func(r merchant.Rank) bool { return r.Currency == c }) {
		return sealedPayin{}, kspayError(&domain.Error{
			Code: domain.Invalid, Message: fmt.Sprintf("Invalid currency ID provided, check if currency is valid or disabled by administration: %s", c),
			Details: map[string]string{merchant.KSPayError: "gatewayErrors.invalidCurrencyId", "currency": "must be one that the app and the gateway configuration take"},
		})
	}
	amount, err := money.Parse(text, c)
	if err != nil {
		return sealedPayin{}, domain.InvalidField("amount", "must be a plain decimal in "+string(c))
	}
	if err := plan.Payin.CheckAmount(amount); err != nil {
		return sealedPayin{}, err
	}
	charge, err := plan.PayinCharge(amount)
	if err != nil {
		return sealedPayin{}, err
	}
	id, err := uuid.NewV7()
	if err != nil {
		return sealedPayin{}, err
	}
	customer, err := json.Marshal(wallet.Customer{Name: "Trial order"})
	if err != nil {
		return sealedPayin{}, err
	}
	sealed, err := d.vault.SealString(ctx, m.ID, id, string(customer))
	if err != nil {
		return sealedPayin{}, err
	}
	at := present()
	return sealedPayin{wallet.CreatePayin{
		Base: wallet.Base{Of: wallet.Of{Merchant: m.ID, Currency: c, Payment: tx}, At: at}, Amount: amount, Charge: charge,
		OrderID: trialReference(tx), TxnRef: tx, Sealed: sealed, Gateway: wallet.Unrouted, ExpiresAt: at.Add(d.expiry), Trial: g.ID,
	}, id}, nil
}

// keeper has the messages of gateways that were kept without being booked; *gateway.Checkouts is one.
type keeper interface {
	Kept(ctx context.Context, app, config string, limit int) ([]gateway.KeptMessage, error)
}

// Kept are the newest messages of a configuration's gateway that were kept without being booked.
func (d *appDesk) Kept(ctx context.Context, app, config string) ([]ops.KeptMessage, error) {
	if _, err := d.app(ctx, app); err != nil {
		return nil, err
	}
	kept, err := d.kept.Kept(ctx, app, config, ops.MaxLimit)
	if err != nil {
		return nil, err
	}
	out := make([]ops.KeptMessage, len(kept))
	for i := range kept {
		k := &kept[i]
		out[i] = ops.KeptMessage{
			ID: k.ID, State: k.State, Reason: k.Reason, Gateway: k.Gateway, ReceivedAt: k.At, Repeats: k.Repeats, Digest: k.Digest,
			MediaType: k.MediaType, Bytes: k.Length,
		}
	}
	return out, nil
}
