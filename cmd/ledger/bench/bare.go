package bench

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/migrations"
)

// sampleRecords is how many records bare inserts repeat, at most.
const sampleRecords = 30_000

// commitRows is a size of commit that bare inserts are fast with.
const commitRows = 5_000

// bare writes the records of a run again, with their evidence, into tables that have the same columns and a primary key, and
// nothing else. It prepares all that it can, so that what is timed is the store's.
type bare interface {
	// insert writes into new tables for a while, with so many connections, so many records a commit. It counts records.
	insert(ctx context.Context, during time.Duration, writers, rows int) (sample, error)
	// batch is how many records the ledger's own commits had, on average; 0 where the store does not tell.
	batch(ctx context.Context) (int, error)
	close() error
}

// excerpt is the part of a log that bare inserts repeat: records behind position after, up to upTo.
type excerpt struct {
	partition   int
	after, upTo int64
}

// limit measures bare inserts of what a scenario has written. Use it when the scenario has written something.
type limit struct {
	w    *world
	b    *Book
	bare bare
	rows int // of a commit: the faster of those that were tried
}

// run measures bare inserts by so many writers.
func (l *limit) run(ctx context.Context, writers int) (sample, error) {
	if l.bare == nil {
		if err := l.open(ctx); err != nil {
			return sample{}, err
		}
	}
	return l.bare.insert(ctx, l.w.opts.For, writers, l.rows)
}

// open takes the newest records of the hot wallet's partition, and finds out which size of commit is faster.
func (l *limit) open(ctx context.Context) (err error) {
	partition := l.b.Ledger.Partition(hotMerchant)
	head, err := l.b.Log.Head(ctx, partition)
	if err != nil {
		return err
	}
	// Without the newest: records behind the end of the excerpt have their places free.
	from := excerpt{partition: partition, after: max(head.Seq-sampleRecords, 1), upTo: head.Seq}
	if from.upTo <= from.after {
		return fmt.Errorf("there are no records to insert again: partition %d ends at %d", partition, head.Seq)
	}
	if l.w.at.Dialect == migrations.SQLite {
		l.bare, err = newBareSQLite(ctx, l.w.at, from)
	} else {
		l.bare, err = newBarePostgres(ctx, l.w.at, from)
	}
	if err != nil {
		return err
	}
	own, err := l.bare.batch(ctx)
	if err != nil {
		return err
	}
	l.rows = commitRows
	if own = min(own, eventstore.MaxAppend); own == 0 || own == commitRows {
		return nil
	}
	best := 0.0
	for _, rows := range []int{commitRows, own} {
		s, err := l.bare.insert(ctx, l.w.opts.For/2, 1, rows)
		if err != nil {
			return err
		}
		if s.rate() > best {
			best, l.rows = s.rate(), rows
		}
	}
	return nil
}

// name says what the limit was.
func (l *limit) name() string {
	how := "COPY"
	if l.w.at.Dialect == migrations.SQLite {
		how = "50 rows a statement"
	}
	return fmt.Sprintf("bare inserts of the same records, primary key only, %s, %s a commit", how, plainInt(int64(cmp.Or(l.rows, commitRows))))
}

func (l *limit) close() error {
	if l.bare == nil {
		return nil
	}
	return l.bare.close()
}
