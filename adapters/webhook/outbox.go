package webhook

import (
	"context"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Log gives the records of payments and the beginnings of streams; see eventstore.Store.
type Log interface {
	ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error)
	// ReadStream returns up to limit records of a stream behind position after, in order.
	ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error)
}

// Merchants gives a merchant as it is now; domain.NotFound when there is none.
type Merchants interface {
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
}

// Outbox turns records into deliveries.
type Outbox struct {
	log       Log
	merchants Merchants
	store     *Store
	now       func() time.Time
}

// NewOutbox makes an outbox that puts deliveries into store.
func NewOutbox(log Log, merchants Merchants, store *Store, now func() time.Time) *Outbox {
	return &Outbox{log: log, merchants: merchants, store: store, now: now}
}

// hopeless is an error that another try cannot cure.
type hopeless struct{ err error }

func (e *hopeless) Error() string { return e.err.Error() }
func (e *hopeless) Unwrap() error { return e.err }

// Permanent says so to the bus.
func (*hopeless) Permanent() bool { return true }

// Types are the types of record that Handle is for.
func (*Outbox) Types() []string { return append(finalTypes(), batchTypes()...) }

// news is what a record tells a merchant.
type news struct {
	merchant string
	status   string
	body     func(d merchant.Dialect) []byte
}

// Handle stores the delivery that a record calls for, if it tells of a payment's final status or of what has become of a batch, and the
// merchant has a callback URL. To handle a record again changes nothing. It is a handler of the bus, and may be called for several
// subjects at a time.
func (b *Outbox) Handle(ctx context.Context, r eventstore.Record) error {
	if err := b.tell(ctx, &r); err != nil {
		return fmt.Errorf("callback about %s: %w", r.Subject, err)
	}
	return nil
}

func (b *Outbox) tell(ctx context.Context, r *eventstore.Record) error {
	find, aboutBatch := b.paymentNews, ofBatch(r)
	if aboutBatch {
		find = b.batchNews
	}
	n, err := find(ctx, r)
	if n == nil || err != nil {
		return err
	}
	m, err := b.merchants.Merchant(ctx, n.merchant)
	switch {
	case domain.CodeOf(err) == domain.NotFound:
		return &hopeless{err}
	case err != nil:
		return err
	case m.CallbackURL == "" || aboutBatch && m.BatchQuiet:
		return nil
	}
	now := b.now()
	return b.store.add(ctx, &Delivery{
		ID: deliveryID(r.EventID), Merchant: n.merchant, Transaction: r.Subject, Position: r.Position(), Type: r.Type, Status: n.status,
		Dialect: m.Dialect, Body: n.body(m.Dialect), Due: now, CreatedAt: now,
	})
}

// paymentNews is what the merchant is told by a record of a payment; nil when that is nothing.
func (b *Outbox) paymentNews(ctx context.Context, r *eventstore.Record) (*news, error) {
	status, final := finalStatus(r.Type)
	if !final {
		return nil, nil
	}
	p, err := b.paymentAsOf(ctx, r)
	if err != nil {
		return nil, err
	}
	return &news{p.Merchant, string(status), func(d merchant.Dialect) []byte { return buildBody(r, p, status, d) }}, nil
}

// paymentAsOf folds the payment of a record up to that record, so that the body is the same whenever it is made.
func (b *Outbox) paymentAsOf(ctx context.Context, r *eventstore.Record) (*wallet.Payment, error) {
	records, err := b.log.ReadSubjects(ctx, r.Partition, []string{r.Subject})
	if err != nil {
		return nil, err
	}
	p := &wallet.Payment{}
	for i := range records {
		at := &records[i]
		if at.Seq > r.Seq {
			break
		}
		e, err := wallet.Decode(at.Type, at.Schema, at.Data)
		if err != nil {
			return nil, &hopeless{fmt.Errorf("record %s: %w", at.Position(), err)}
		}
		p.Evolve(e, at.EffectiveAt)
	}
	if p.Kind != wallet.KindPayin && p.Kind != wallet.KindPayout {
		return nil, &hopeless{fmt.Errorf("record %s (%s) belongs to no payin or payout", r.Position(), r.Type)}
	}
	return p, nil
}
