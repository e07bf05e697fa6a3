package main

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
)

// deliveries gives callbacks the shape of the operator API.
type deliveries struct{ store *webhook.Store }

// List returns a page of callbacks.
func (d deliveries) List(ctx context.Context, q ops.DeliveryQuery) ([]ops.Delivery, string, error) {
	page, next, err := d.store.List(ctx, webhook.Filter{Merchant: q.Merchant, State: webhook.State(q.Status), Limit: q.Limit, Cursor: q.Cursor})
	if err != nil {
		return nil, "", err
	}
	out := make([]ops.Delivery, len(page))
	for i := range page {
		out[i] = operatorsDelivery(&page[i])
	}
	return out, next, nil
}

// Resend has a callback sent again.
func (d deliveries) Resend(ctx context.Context, id string) (ops.Delivery, error) {
	sent, err := d.store.Resend(ctx, id, time.Now())
	return operatorsDelivery(&sent), err
}

func operatorsDelivery(d *webhook.Delivery) ops.Delivery {
	out := ops.Delivery{
		ID: d.ID, Merchant: d.Merchant, Transaction: d.Transaction, Event: d.Type, Position: d.Position.String(),
		PaymentStatus: d.Status, Status: string(d.State), Attempts: d.Attempts, CreatedAt: d.CreatedAt, DeliveredAt: d.DeliveredAt,
	}
	if d.State == webhook.Pending {
		out.NextAttemptAt = d.Due
	}
	return out
}

// timeline gives a payment's events the shape of the operator API.
type timeline struct{ ledger *ledger.Ledger }

// Timeline returns a payment's events in order.
func (t timeline) Timeline(ctx context.Context, id string) (events []ops.Event, err error) {
	err = t.ledger.Timeline(ctx, id, func(m ledger.Moment) error {
		e := ops.Event{
			Position: m.Position, Type: m.Type, EffectiveAt: m.EffectiveAt, RecordedAt: m.RecordedAt, Actor: m.Actor,
			Request: m.Request, Data: m.Data, Hash: m.Hash,
		}
		if m.Before != nil && m.After != nil {
			before, after := ops.Balances(*m.Before), ops.Balances(*m.After)
			e.Before, e.After = &before, &after
		}
		events = append(events, e)
		return nil
	})
	return events, err
}
