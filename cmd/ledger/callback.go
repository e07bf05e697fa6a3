package main

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/adapters/webhook"
)

// callbackCommand is `ledger callback`.
type callbackCommand struct {
	List   callbackList   `cmd:"" help:"List callbacks, the newest first."`
	Show   callbackShow   `cmd:"" help:"Show a callback with its attempts."`
	Resend callbackResend `cmd:"" help:"Have a callback sent again, with the same bytes; the server does it."`
}

type callbackList struct {
	storeFlags
	Merchant string `help:"Of this merchant alone." placeholder:"ID"`
	Status   string `enum:"all,pending,delivered,failed" default:"all" help:"Of this status alone: pending, delivered, failed."`
	Limit    int    `default:"100" help:"How many, at most 500."`
	Cursor   string `help:"Where to go on: next_cursor of the page before."`
}

// callbacks is the answer of `callback list`.
type callbacks struct {
	Callbacks []callbackJSON `json:"callbacks"`
	Next      string         `json:"next_cursor,omitempty"`
}

// callbackJSON is a callback as it is shown.
type callbackJSON struct {
	ID            string        `json:"id"`
	Merchant      string        `json:"merchant_id"`
	Transaction   string        `json:"transaction_id"` // or the batch that it is about
	Event         string        `json:"event"`
	Position      string        `json:"position"`
	PaymentStatus string        `json:"payment_status"` // what the callback tells, of the payment or of the batch
	Status        webhook.State `json:"status"`
	Attempts      int           `json:"attempts"`
	NextAttemptAt time.Time     `json:"next_attempt_at,omitzero"`
	CreatedAt     time.Time     `json:"created_at"`
	DeliveredAt   time.Time     `json:"delivered_at,omitzero"`
}

func callbackView(d *webhook.Delivery) callbackJSON {
	v := callbackJSON{
		ID: d.ID, Merchant: d.Merchant, Transaction: d.Transaction, Event: d.Type, Position: d.Position.String(),
		PaymentStatus: d.Status, Status: d.State, Attempts: d.Attempts, CreatedAt: d.CreatedAt, DeliveredAt: d.DeliveredAt,
	}
	if d.State == webhook.Pending {
		v.NextAttemptAt = d.Due
	}
	return v
}

// Run lists.
func (c *callbackList) Run(ctx context.Context, t *terminal) error {
	if c.Limit < 1 || c.Limit > webhook.MaxPage {
		return usagef("--limit must be from 1 to %d", webhook.MaxPage)
	}
	state := webhook.State(c.Status)
	if c.Status == "all" {
		state = ""
	}
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		page, next, err := webhook.NewStore(s.workDB, s.workQuick).List(ctx, webhook.Filter{
			Merchant: c.Merchant, State: state, Limit: c.Limit, Cursor: c.Cursor,
		})
		if err != nil {
			return err
		}
		out := callbacks{Callbacks: make([]callbackJSON, len(page)), Next: next}
		for i := range page {
			out.Callbacks[i] = callbackView(&page[i])
		}
		return t.answer(out)
	})
}

type callbackShow struct {
	storeFlags
	ID string `arg:"" help:"Callback."`
}

// callbackWhole is the answer of `callback show`.
type callbackWhole struct {
	callbackJSON
	Body string        `json:"body"` // byte for byte
	Log  []attemptJSON `json:"attempt_log"`
}

type attemptJSON struct {
	Number     int       `json:"attempt"`
	StartedAt  time.Time `json:"started_at"`
	HTTPStatus int       `json:"http_status"` // 0: no answer
	LatencyMs  int64     `json:"latency_ms"`
	Error      string    `json:"error,omitempty"`
	Answer     string    `json:"answer,omitempty"` // its first KB
}

// Run shows.
func (c *callbackShow) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		d, attempts, err := webhook.NewStore(s.workDB, s.workQuick).Get(ctx, c.ID)
		if err != nil {
			return err
		}
		out := callbackWhole{callbackJSON: callbackView(&d), Body: string(d.Body), Log: make([]attemptJSON, len(attempts))}
		for i, a := range attempts {
			out.Log[i] = attemptJSON{a.Number, a.StartedAt, a.Status, a.Latency.Milliseconds(), a.Error, string(a.Answer)}
		}
		return t.answer(out)
	})
}

type callbackResend struct {
	storeFlags
	ID string `arg:"" help:"Callback."`
}

// Run puts the callback back into the queue.
func (c *callbackResend) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		d, err := webhook.NewStore(s.workDB, s.workQuick).Resend(ctx, c.ID, present())
		if err != nil {
			return err
		}
		return t.answer(callbackView(&d))
	})
}
