package projections

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// readAhead is the number of decoded batches that wait to be written: the next ones are read meanwhile.
const readAhead = 2

// fill brings every partition of the build to where what serves is now, or, when nothing serves, to the head of the log.
func (b *build) fill(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	if b.v.dialect == SQLite {
		group.SetLimit(1) // there is one writer
	}
	for p := range b.v.info.Partitions {
		group.Go(func() error { return b.patiently(ctx, func() error { return b.fillPartition(ctx, p) }) })
	}
	return group.Wait()
}

// patiently does again what a store that is away for a short while has stopped.
func (b *build) patiently(ctx context.Context, do func() error) error {
	wait := backoffFirst
	begun := time.Now()
	before := b.records()
	for {
		err := do()
		if after := b.records(); after > before {
			before, begun, wait = after, time.Now(), backoffFirst
		}
		final := errors.Is(err, errFenced) || errors.Is(err, eventstore.ErrBroken) || errors.Is(err, ErrDamaged) || errors.Is(err, errNoTable)
		if err == nil || final || ctx.Err() != nil || time.Since(begun) > deadBehind {
			return err
		}
		b.v.opts.Logger.Warn("building views: trying again", "generation", b.generation, "error", err)
		if !pause(ctx, apart(wait, b.v.info.Partitions+2+int(b.generation%16))) {
			return ctx.Err()
		}
		wait = min(2*wait, backoffLast)
	}
}

// records is the number of records that are in the build.
func (b *build) records() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	var n int64
	for _, m := range b.marks {
		n += m.seq
	}
	return n
}

func (b *build) fillPartition(ctx context.Context, partition int) (err error) {
	w, err := openWriter(ctx, b.v.db, b.v.dialect)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	goal, err := b.goal(ctx, partition)
	if err != nil {
		return err
	}
	l := lane{number: b.generation, epoch: b.generation, partition: partition, targets: b.targets, filling: !b.completed}
	b.mu.Lock()
	from := b.marks[partition]
	b.mu.Unlock()

	group, ctx := errgroup.WithContext(ctx)
	stretches := make(chan stretch, readAhead)
	group.Go(func() error {
		defer close(stretches)
		return b.source(ctx, partition, from, goal, stretches)
	})
	group.Go(func() error {
		for first := range stretches {
			to, counted, err := b.span(ctx, w, l, from, first, stretches)
			if err != nil {
				return err
			}
			from = to
			b.took(partition, to, counted)
		}
		return nil
	})
	return group.Wait()
}

// span writes what belongs together, from its first stretch on, and moves the checkpoint, in one transaction. It counts what it has written.
func (b *build) span(ctx context.Context, w *writer, l lane, from mark, next stretch, stretches <-chan stretch) (to mark, counted tally, err error) {
	to, counted = from, newTally()
	err = w.atomic(ctx, func() error {
		for {
			if err := w.apply(ctx, l, to, next); err != nil {
				return err
			}
			to = next.to
			counted.add(next.facts)
			if !next.more {
				return w.move(ctx, l.number, l.partition, l.epoch, from, to)
			}
			var open bool
			if next, open = <-stretches; !open { // the source has failed, or is about to say so
				<-ctx.Done()
				return context.Cause(ctx)
			}
		}
	})
	return to, counted, err
}

// goal is where a partition of the build must get, for now.
func (b *build) goal(ctx context.Context, partition int) (int64, error) {
	at, err := b.v.refresh(ctx)
	if err != nil {
		return 0, err
	}
	var goal int64
	if at.marks != nil {
		goal = at.marks[partition].seq
	} else {
		head, err := b.v.log.Head(ctx, partition)
		if err != nil {
			return 0, fmt.Errorf("read the head of partition %d: %w", partition, err)
		}
		goal = head.Seq
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.goals[partition] = goal
	return goal, nil
}

// source reads and decodes up to goal.
func (b *build) source(ctx context.Context, partition int, from mark, goal int64, stretches chan<- stretch) error {
	written := 0 // stretches, in the transaction
	for from.seq < goal {
		next, err := b.v.read(ctx, partition, from, int(min(int64(b.v.opts.Batch), goal-from.seq)))
		if err != nil {
			return err
		}
		if len(next.facts) == 0 {
			return fmt.Errorf("record %d:%d: %w", partition, goal, eventstore.ErrNotFound)
		}
		if written++; written < b.together() && next.to.seq < goal {
			next.more = true
		} else {
			written = 0
		}
		select {
		case stretches <- next:
		case <-ctx.Done():
			return ctx.Err()
		}
		from = next.to
	}
	return nil
}

// spanStretches is how many stretches one transaction of a build holds on PostgreSQL, where nobody waits for it: the more it holds, the more
// payments begin and end in it, and are written once. On SQLite, whoever follows the log would wait.
const spanStretches = 32

func (b *build) together() int {
	if b.v.dialect == Postgres {
		return spanStretches
	}
	return 1
}

// took notes what is in the build.
func (b *build) took(partition int, to mark, counted tally) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.marks[partition] = to
	b.tally.join(counted)
	if b.progress == nil {
		return
	}
	var done, total int64
	for p := range b.marks {
		done += b.marks[p].seq
		total += max(b.goals[p], b.marks[p].seq)
	}
	b.progress(done, total)
}

// tally counts, from the facts alone, what a build's tables must hold.
type tally struct {
	payments, lines, suspended int64
	disputed                   int64
	debits, credits            int64 // minor units of all currencies together
	batches, items, refused    int64
	submitted                  int64 // by the items of batches; minor units of all currencies together
	closes                     int64
	wallets, owners            map[string]bool
}

func newTally() tally { return tally{wallets: map[string]bool{}, owners: map[string]bool{}} }

// join adds what another has counted.
func (t *tally) join(o tally) {
	t.payments += o.payments
	t.lines += o.lines
	t.suspended += o.suspended
	t.disputed += o.disputed
	t.closes += o.closes
	t.debits += o.debits
	t.credits += o.credits
	t.batches += o.batches
	t.items += o.items
	t.refused += o.refused
	t.submitted += o.submitted
	maps.Copy(t.wallets, o.wallets)
	maps.Copy(t.owners, o.owners)
}

func (t *tally) add(facts []fact) {
	for i := range facts {
		f := &facts[i]
		switch {
		case f.merchant != nil:
			t.owners[f.record.Stream] = true
			continue
		case f.batch != nil:
			t.addBatch(f.batch)
			continue
		case f.wallet != nil:
			t.addWallet(f)
		}
		if _, closes := f.books.(*books.Closed); closes {
			t.closes++
		}
		for _, p := range f.postings {
			t.lines++
			debit, _ := p.Debit.Minor() // a posting that does not fit was refused when it was written
			credit, _ := p.Credit.Minor()
			t.debits += debit
			t.credits += credit
		}
	}
}

func (t *tally) addWallet(f *fact) {
	t.wallets[f.record.Stream] = true
	if creates(f.wallet) {
		t.payments++
	}
	switch f.wallet.(type) {
	case *wallet.PayinSuspended:
		t.suspended++
	case *wallet.DisputeOpened:
		t.disputed++
	}
}

func (t *tally) addBatch(e batch.Event) {
	switch e := e.(type) {
	case *batch.Submitted:
		t.batches++
	case *batch.ItemsAdded:
		t.items += int64(len(e.Items))
		for i := range e.Items {
			amount, _ := e.Items[i].Amount.Minor() // one that does not fit was refused when it was written
			t.submitted += amount
		}
	case *batch.Drawn:
		t.refused += int64(len(e.Refused))
	}
}

// check compares the tables of the build with the tally.
func (b *build) check(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	expected := map[string][]struct {
		query string
		want  int64
	}{
		"balances": {{"SELECT count(*) FROM balances_%d", int64(len(b.tally.wallets))}},
		"payments": {
			{"SELECT count(*) FROM payments_%d", b.tally.payments},
			{"SELECT count(*) FROM payment_status_%d", b.tally.payments},
			{"SELECT CAST(coalesce(sum(n), 0) AS BIGINT) FROM payment_days_%d", b.tally.payments},
		},
		"journal": {
			{"SELECT count(*) FROM journal_%d", b.tally.lines},
			{"SELECT CAST(coalesce(sum(debit), 0) AS BIGINT) FROM journal_%d", b.tally.debits},
			{"SELECT CAST(coalesce(sum(credits), 0) AS BIGINT) FROM accounts_%d", b.tally.credits},
		},
		"suspense": {{"SELECT count(*) FROM suspense_%d", b.tally.suspended}},
		"disputes": {{"SELECT count(*) FROM disputes_%d", b.tally.disputed}},
		"merchants": {
			{"SELECT (SELECT count(*) FROM merchants_%[1]d) + (SELECT count(*) FROM operators_%[1]d)", int64(len(b.tally.owners))},
		},
		"batches": {
			{"SELECT count(*) FROM batches_%d", b.tally.batches},
			{"SELECT count(*) FROM batch_items_%d", b.tally.items},
			{"SELECT CAST(coalesce(sum(amount), 0) AS BIGINT) FROM batch_items_%d", b.tally.submitted},
			{"SELECT count(*) FROM batch_refusals_%d", b.tally.refused},
		},
		"periods": {{"SELECT count(*) FROM period_closes_%d", b.tally.closes}},
		"proofs":  {{"SELECT count(*) FROM proof_nodes_%d", treeNodes(b.marks)}},
	}
	for _, t := range b.targets {
		for _, e := range expected[t.name()] {
			query := fmt.Sprintf(e.query, b.generation)
			var found int64
			if err := b.v.db.QueryRowContext(ctx, query).Scan(&found); err != nil {
				return fmt.Errorf("%s: %w", query, explain(err))
			}
			if found != e.want {
				return fmt.Errorf("the new %s are wrong: %s is %d, not %d", t.name(), query, found, e.want)
			}
		}
	}
	return nil
}
