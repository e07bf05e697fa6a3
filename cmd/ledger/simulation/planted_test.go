package simulation

import (
	"bytes"
	"context"
	"database/sql/driver"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// plantedWithin is how many seeds it may take to find a planted bug.
const plantedWithin = 40

// planted are bugs that a ledger could have, each put in at a joint of the product.
func planted() map[string]plant {
	return map[string]plant{
		"an append is answered before it is durable": {append: answerEarly},
		"a COMMIT in doubt is believed to have failed": {committed: func(*handle, []eventstore.Record) (bool, error) {
			return false, nil
		}},
		"dedupe keys are not looked up": {lookup: func([]string) map[string]int64 { return map[string]int64{} }},
		"a snapshot is older than it says": {snapshot: func(before, kept eventstore.Snapshot) eventstore.Snapshot {
			if before.State != nil {
				kept.State = before.State
			}
			return kept
		}},
		"a view commits its checkpoint before its rows":                 {weather: overViews, views: checkpointFirst},
		"a view commits its checkpoint behind its rows":                 {weather: overViews, views: checkpointLast},
		"a view goes on where another process has moved the checkpoint": {weather: overViews, views: unfenced},
		"a send without an answer counts as failed":                     {silenceFails: true},
		"a send without an answer is repeated under another reference": {bank: func(b gateway.Payouts) gateway.Payouts {
			return repeats{b}
		}},
		"a send is not preceded by its intent": {ledger: func(l gateway.Ledger) gateway.Ledger { return intentless{l} }},
		"a payment that is told twice is credited twice": {ledger: func(l gateway.Ledger) gateway.Ledger {
			return &forgetful{Ledger: l}
		}},
		"a callback is answered with 200 and forgotten": {inbound: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner := httptest.NewRecorder()
				if h.ServeHTTP(inner, r); inner.Code == http.StatusServiceUnavailable {
					inner.Code = http.StatusOK
				}
				w.WriteHeader(inner.Code)
			})
		}},
		"a record whose job could not be put is acknowledged": {weather: func(p *profile) { p.work, p.crashes = 100, 0 }, handler: func(h bus.Handler) bus.Handler {
			return func(ctx context.Context, r eventstore.Record) error {
				if err := h(ctx, r); err != nil && ctx.Err() == nil {
					return nil //nolint:nilerr // that is the bug
				}
				return nil
			}
		}},
		"a forged callback is believed": {inbound: func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					panic(err)
				}
				r.Body = io.NopCloser(bytes.NewReader(body))
				r.Header.Set(macHeader, mac(body))
				h.ServeHTTP(w, r)
			})
		}},
	}
}

// overViews is the weather in which views suffer.
func overViews(p *profile) {
	p.views, p.work, p.crashes, p.pauses, p.batch, p.rebuilds = true, 60, 10, 3, 3, 0
}

// checkpointFirst moves the checkpoint in a transaction of its own: when the next one fails, records are skipped.
func checkpointFirst(ctx context.Context, c *viewsConn, query string, args []driver.NamedValue) (driver.Result, error) {
	res, err := c.run(ctx, query, args)
	for _, text := range []string{"COMMIT", "BEGIN IMMEDIATE"} {
		if err == nil {
			_, err = run(c.conn, text)
		}
	}
	return res, err
}

// checkpointLast moves the checkpoint behind the transaction: when that fails, records are applied twice.
func checkpointLast(ctx context.Context, c *viewsConn, query string, args []driver.NamedValue) (driver.Result, error) {
	c.behind = func() error {
		if _, err := c.enter(ctx, query, args, true); err != nil {
			return err
		}
		_, err := c.run(ctx, query, args)
		return err
	}
	return driver.RowsAffected(1), nil
}

// unfenced applies records whether or not the checkpoint is where it was expected.
func unfenced(ctx context.Context, c *viewsConn, query string, args []driver.NamedValue) (driver.Result, error) {
	_, err := c.run(ctx, query, args)
	return driver.RowsAffected(1), err
}

// answerEarly answers an append at once. What was cut off is lost.
func answerEarly(h *handle, v verdict, head eventstore.Head, records []eventstore.Record) error {
	err := h.append(context.Background(), v, head, records)
	if errors.Is(err, errCut) {
		return nil
	}
	return err
}

// repeats sends again when there was no answer, and makes up a reference for it.
type repeats struct{ gateway.Payouts }

// Send sends, and sends.
func (g repeats) Send(ctx context.Context, t gateway.Transfer) (gateway.Answer, error) {
	a, err := g.Payouts.Send(ctx, t)
	if err != nil && !errors.Is(err, errDead) {
		t.Reference += "-2"
		return g.Payouts.Send(ctx, t)
	}
	return a, err
}

// intentless sends without having recorded that it will.
type intentless struct{ gateway.Ledger }

// Submit says that the intent is recorded.
func (l intentless) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	if s, is := c.(wallet.SubmitPayout); is {
		p, err := l.Ledger.Payment(ctx, s.Merchant, s.Payment)
		p.Attempts++
		return p, err
	}
	return l.Ledger.Submit(ctx, c, o)
}

// forgetful takes each time that a payment is told for another payment.
type forgetful struct {
	gateway.Ledger
	seen []string
}

// Submit makes up a payment id for what has been told before.
func (l *forgetful) Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error) {
	if r, is := c.(wallet.ReportPayment); is {
		if slices.Contains(l.seen, r.PaymentID) {
			r.PaymentID += "-again"
			c = r
		} else {
			l.seen = append(l.seen, r.PaymentID)
		}
	}
	return l.Ledger.Submit(ctx, c, o)
}

// TestPlantedBugs puts bugs into the product, one at a time: the oracle finds each of them within a few worlds.
func TestPlantedBugs(t *testing.T) {
	image := emptyWork(t)
	for name, bug := range planted() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(plantedWithin) {
				if w := runSeed(t, seed+1, bug, image); len(w.findings) > 0 {
					t.Logf("found by seed %d: %s", seed+1, w.findings[0])
					return
				}
			}
			t.Errorf("%d worlds with this bug, and the oracle has found nothing", plantedWithin)
		})
	}
}
