package ledger_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

func settled(p wallet.Payment) bool { return p.Status != wallet.Pending }

type awaited struct {
	wallet.Payment
	err  error
	took time.Duration
}

// await waits in the background.
func (b *book) await(ctx context.Context, id string) <-chan awaited {
	c := make(chan awaited, 1)
	begun := time.Now()
	go func() {
		p, err := b.Await(ctx, merchantA, id, settled)
		c <- awaited{p, err, time.Since(begun)}
	}()
	return c
}

func TestAwait(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := memory.New(2)
		b, other := open(t, log), open(t, log)
		b.fund(merchantA, "txn_fund", "50000")
		for _, id := range []string{"txn_1", "txn_2", "txn_3"} {
			b.submit(initiate(merchantA, id, id, "1000"))
			b.submit(submitted(merchantA, id))
		}

		first, second := b.await(t.Context(), "txn_1"), b.await(t.Context(), "txn_1")
		short, stop := context.WithTimeout(t.Context(), 10*time.Second)
		defer stop()
		never := b.await(short, "txn_3")
		synctest.Wait()
		b.submit(reported(merchantA, "txn_1", wallet.OutcomePaid))
		for _, c := range []<-chan awaited{first, second} { // what this process appends is told at once
			if a := <-c; a.err != nil || a.Status != wallet.Success || a.took != 0 {
				t.Errorf("%s after %s, %v", a.Status, a.took, a.err)
			}
		}
		if a := <-b.await(t.Context(), "txn_1"); a.err != nil || a.took != 0 {
			t.Errorf("it holds already: %+v", a)
		}

		elsewhere := b.await(t.Context(), "txn_2") // what another one appends is found soon
		synctest.Wait()
		other.submit(reported(merchantA, "txn_2", wallet.OutcomeFailed))
		if a := <-elsewhere; a.err != nil || a.Status != wallet.Refunded || a.took > time.Second {
			t.Errorf("%s after %s, %v", a.Status, a.took, a.err)
		}

		if a := <-never; !errors.Is(a.err, context.DeadlineExceeded) || a.Payment.Payment != "txn_3" || a.Status != wallet.Pending || a.took != 10*time.Second {
			t.Errorf("%+v", a)
		}
		if a := <-b.await(t.Context(), "txn_4"); domain.CodeOf(a.err) != domain.NotFound {
			t.Errorf("%+v", a)
		}
		if n := b.Watched(); n != 0 {
			t.Errorf("%d payments are still watched", n)
		}
	})
}

// overtaken is a log in which a payment changes just after it was read.
type overtaken struct {
	eventstore.Store
	then func()
}

func (o *overtaken) ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	records, err := o.Store.ReadSubjects(ctx, partition, subjects)
	if then := o.then; then != nil {
		o.then = nil
		then()
	}
	return records, err
}

// The payment changes between the first look and the waiting: the news is not lost.
func TestAwaitHearsWhatHappensMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &overtaken{Store: memory.New(1)}
		b := open(t, log)
		b.fund(merchantA, "txn_fund", "50000")
		b.submit(initiate(merchantA, "txn_1", "P-1", "1000"))
		b.submit(submitted(merchantA, "txn_1"))
		log.then = func() { b.submit(reported(merchantA, "txn_1", wallet.OutcomePaid)) }
		if a := <-b.await(t.Context(), "txn_1"); a.err != nil || a.Status != wallet.Success || a.took != 0 {
			t.Errorf("%s after %s, %v", a.Status, a.took, a.err)
		}
	})
}

// silent is a log that does not answer.
type silent struct {
	eventstore.Store
	mute bool
}

func (s *silent) ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error) {
	if s.mute {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.Store.ReadSubjects(ctx, partition, subjects)
}

// A store that stops answering does not keep a caller for ever.
func TestAwaitOnASilentStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := open(t, &silent{Store: memory.New(1), mute: true})
		ctx, stop := context.WithTimeout(t.Context(), time.Second)
		defer stop()
		if a := <-b.await(ctx, "txn_1"); !errors.Is(a.err, context.DeadlineExceeded) || a.took > time.Minute {
			t.Errorf("%v after %s", a.err, a.took)
		}
	})
}
