package simulation

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// plantMore are the joints of callbacks and batches at which a bug can be put in. The zero value of each changes nothing.
type plantMore struct {
	statement func(query string) string // of the deliverer
	buyers    func(webhook.Merchants) webhook.Merchants
	vault     func(webhook.Secrets) webhook.Secrets
	outboxed  func(bus.Handler) bus.Handler
	teller    func(batches.Ledger) batches.Ledger
	drawn     func(bus.Handler) bus.Handler
}

func (p *plantMore) sql(query string) string {
	if p.statement == nil {
		return query
	}
	return p.statement(query)
}

// put is what a joint has there.
func put[T any](bug func(T) T, there T) T {
	if bug == nil {
		return there
	}
	return bug(there)
}

func (p *plantMore) merchants(m webhook.Merchants) webhook.Merchants { return put(p.buyers, m) }
func (p *plantMore) secrets(s webhook.Secrets) webhook.Secrets       { return put(p.vault, s) }
func (p *plantMore) outbox(h bus.Handler) bus.Handler                { return put(p.outboxed, h) }
func (p *plantMore) batches(l batches.Ledger) batches.Ledger         { return put(p.teller, l) }
func (p *plantMore) batchJobs(h bus.Handler) bus.Handler             { return put(p.drawn, h) }

// says is a bug in what the deliverer's statements say.
func says(instead, right string) plant {
	return plant{plantMore: plantMore{statement: func(query string) string { return strings.ReplaceAll(query, right, instead) }}}
}

// careless acknowledges records whose effect could not be stored.
func careless(h bus.Handler) bus.Handler {
	return func(ctx context.Context, r eventstore.Record) error {
		if err := h(ctx, r); err != nil && ctx.Err() == nil {
			return nil //nolint:nilerr // that is the bug
		}
		return nil
	}
}

// stormy weather for the work database, and for nothing else that would put it right.
func stormy(p *profile) { p.work, p.crashes = 100, 0 }

// plantedCallbacks are bugs of callbacks.
func plantedCallbacks() map[string]plant {
	return map[string]plant{
		"an attempt is not counted": {plantMore: plantMore{statement: func(query string) string {
			return strings.NewReplacer("attempts = attempts + 1", "attempts = max(attempts, 1)", "INSERT INTO delivery_attempts", "INSERT OR IGNORE INTO delivery_attempts").Replace(query)
		}}},
		"callbacks of a payment overtake": says("o.subject = ''", "o.subject = d.subject"),
		"a lease is not looked at": {
			weather: func(p *profile) { p.crashes, p.stalls = 25, 200 }, // several processes, and servers that do not answer
			plantMore: plantMore{statement: func(query string) string {
				return strings.ReplaceAll(query, "d.lease_until <= $1", "d.lease_until <= $1 + 1000000000000")
			}},
		},
		"the gap is not kept":                 says("SET due_at = $3 - 1000000000, lease_until", "SET due_at = $3, lease_until"),
		"any answer counts as 200":            says("SET state = 'delivered', due_at = $3, lease_until", "SET due_at = $3, lease_until"),
		"a callback that fails is given up":   says("SET state = 'failed', due_at = $3, lease_until", "SET due_at = $3, lease_until"),
		"a record whose callback is not kept": {weather: stormy, plantMore: plantMore{outboxed: careless}},
		"a record is told twice, under another id": {plantMore: plantMore{outboxed: func(h bus.Handler) bus.Handler {
			return func(ctx context.Context, r eventstore.Record) error {
				err := h(ctx, r)
				r.EventID = uuid.NewSHA1(uuid.Nil, r.EventID[:])
				return errors.Join(err, h(ctx, r))
			}
		}}},
		"callbacks go where those of another merchant go": {plantMore: plantMore{buyers: func(m webhook.Merchants) webhook.Merchants {
			return mixedUp{m}
		}}},
		"callbacks are signed with another key": {plantMore: plantMore{vault: func(webhook.Secrets) webhook.Secrets {
			return oneKeyForAll{}
		}}},
	}
}

// mixedUp gives every merchant the URL of the first.
type mixedUp struct{ webhook.Merchants }

// Merchant gives a merchant, and a URL that is not its own.
func (m mixedUp) Merchant(ctx context.Context, id string) (merchant.Merchant, error) {
	found, err := m.Merchants.Merchant(ctx, id)
	if found.CallbackURL != "" {
		found.CallbackURL = "http://shop0.test/hooks/0"
	}
	return found, err
}

// oneKeyForAll signs for everybody alike.
type oneKeyForAll struct{}

// Secret gives the same for each name.
func (oneKeyForAll) Secret(context.Context, string) ([]byte, error) {
	m := vault.NewMidstates([]byte("klyro_"))
	return m[:], nil
}

// plantedBatches are bugs of batches.
func plantedBatches() map[string]plant {
	bug := func(f func(batches.Ledger) batches.Ledger) plant { return plant{plantMore: plantMore{teller: f}} }
	return map[string]plant{
		"a record whose job is not kept":      {weather: func(p *profile) { p.work, p.crashes = 400, 0 }, plantMore: plantMore{drawn: careless}},
		"a row without an answer is repeated": bug(func(l batches.Ledger) batches.Ledger { return repeater{l} }),
		"refused rows are forgotten": bug(func(l batches.Ledger) batches.Ledger {
			return revised{l, func(c batch.Command) batch.Command {
				if n, is := c.(batch.NoteDrawn); is {
					n.Refused = nil
					return n
				}
				return c
			}}
		}),
		"nobody has to approve": bug(func(l batches.Ledger) batches.Ledger {
			return revised{l, func(c batch.Command) batch.Command {
				if s, is := c.(batch.Submit); is {
					s.Terms.Approval, s.Terms.Checkers = batch.NoApproval, 0
					return s
				}
				return c
			}}
		}),
		"a cancellation is acknowledged and forgotten": bug(func(l batches.Ledger) batches.Ledger {
			return revised{l, func(c batch.Command) batch.Command {
				if s, is := c.(batch.Cancel); is && s.Actor != batches.Actor {
					return batch.Look{Base: s.Base}
				}
				return c
			}}
		}),
		"a part of what is held is given back twice": bug(func(l batches.Ledger) batches.Ledger { return generous{l} }),
	}
}

// repeater makes the payouts again of which it has not heard, under other names.
type repeater struct{ batches.Ledger }

// Initiate makes payouts, and makes payouts.
func (l repeater) Initiate(ctx context.Context, m string, payouts []wallet.InitiatePayout, ids []uuid.UUID, o eventstore.Origin) []error {
	errs := l.Ledger.Initiate(ctx, m, payouts, ids, o)
	for n, err := range errs {
		if err != nil && domain.CodeOf(err) == "" && !errors.Is(err, errDead) {
			again := payouts[n]
			again.Payment, again.RequestID = again.Payment+"b", again.RequestID+"b"
			errs[n] = l.Ledger.Initiate(ctx, m, []wallet.InitiatePayout{again}, []uuid.UUID{uuid.NewSHA1(uuid.Nil, ids[n][:])}, o)[0]
		}
	}
	return errs
}

// revised submits other commands than it was given.
type revised struct {
	batches.Ledger
	to func(batch.Command) batch.Command
}

// SubmitBatch submits what it has made of a command.
func (l revised) SubmitBatch(ctx context.Context, c batch.Command, o eventstore.Origin) (batch.Batch, error) {
	return l.Ledger.SubmitBatch(ctx, l.to(c), o)
}

// generous ends what is held for a batch before its payouts are made.
type generous struct{ batches.Ledger }

// Reserve gives back what it has held.
func (l generous) Reserve(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Wallet, error) {
	w, err := l.Ledger.Reserve(ctx, c, o)
	if h, is := c.(wallet.HoldBatch); is && err == nil {
		return l.Ledger.Reserve(ctx, wallet.ReleaseBatch{Base: h.Base, Upto: h.Upto, Amount: h.Amount}, eventstore.Origin{Actor: o.Actor})
	}
	return w, err
}

// TestPlantedCallbackBugs puts bugs into the deliverer, one at a time: the oracle finds each within a few worlds that have callbacks.
func TestPlantedCallbackBugs(t *testing.T) {
	findPlanted(t, plantedCallbacks(), withExtras(true, false))
}

// TestPlantedBatchBugs does the same with batches.
func TestPlantedBatchBugs(t *testing.T) { findPlanted(t, plantedBatches(), withExtras(false, true)) }

func findPlanted(t *testing.T, bugs map[string]plant, with func(*world)) {
	t.Helper()
	image := emptyWork(t)
	for _, name := range slices.Sorted(maps.Keys(bugs)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(plantedWithin) {
				if w := runSeed(t, seed+1, bugs[name], image, with); len(w.findings) > 0 {
					t.Logf("found by seed %d: %s", seed+1, w.findings[0])
					return
				}
			}
			t.Errorf("%d worlds with this bug, and the oracle has found nothing", plantedWithin)
		})
	}
}
