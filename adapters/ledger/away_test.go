package ledger_test

import (
	"context"
	"errors"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// unread is a log that cannot be read now.
type unread struct {
	eventstore.Store
	err error
}

func (u *unread) Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.Store.Read(ctx, partition, after, limit)
}

func (u *unread) ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.Store.ReadSubjects(ctx, partition, subjects)
}

func (u *unread) ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]eventstore.Record, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.Store.ReadStream(ctx, partition, stream, after, limit)
}

func (u *unread) Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error) {
	if u.err != nil {
		return nil, u.err
	}
	return u.Store.Lookup(ctx, partition, upTo, keys)
}

// TestUnreadIsAway: a log that cannot be read is one that is not available, whatever words its store has for that: so whoever serves requests answers
// "try again". One that is broken is not: trying again would not mend it.
func TestUnreadIsAway(t *testing.T) {
	log := &unread{Store: memory.New(1)}
	b := open(t, log)
	b.fund(merchantA, "txn_aaaaaaaaaaaaaaaa", "100")
	for failure, away := range map[error]bool{
		errors.New("FATAL: terminating connection because of crash of another server process (SQLSTATE 57P02)"): true,
		eventstore.ErrBroken: false, eventstore.ErrNotFound: false, eventstore.ErrInvalid: false,
	} {
		log.err = failure
		_, payment := b.Payment(t.Context(), merchantA, "txn_aaaaaaaaaaaaaaaa")
		_, merchant := b.Merchant(t.Context(), merchantA)
		_, wallet := b.Wallet(t.Context(), merchantA, money.INR)
		_, record := b.Record(t.Context(), eventstore.Position{Seq: 1})
		_, _, lookup := b.Lookup(t.Context(), merchantA, "k")
		for what, err := range map[string]error{"payment": payment, "merchant": merchant, "wallet": wallet, "record": record, "lookup": lookup} {
			if !errors.Is(err, failure) || errors.Is(err, executor.ErrStore) != away {
				t.Errorf("%s with %q: %v", what, failure, err)
			}
		}
	}
	log.err = nil
}
