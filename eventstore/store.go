package eventstore

import (
	"context"
	"errors"
	"fmt"
)

// Store is a log. Every implementation passes storetest, which is its specification. Readers declare the narrower
// interface that they need.
type Store interface {
	// Info returns the ledger's id and its number of partitions.
	Info(ctx context.Context) (Info, error)

	// Head returns the tip of a partition.
	Head(ctx context.Context, partition int) (Head, error)

	// Append writes records (placed by Chain behind head) and moves the head, in one durable transaction.
	// ErrConflict, ErrDeposed: nothing was written. ErrUnknown: ask Committed. ErrInvalid: a fault of the caller (a bound is
	// exceeded, the records were not placed by Chain), and nothing was written. That no dedupe key is taken is for the caller
	// to know: who has looked the keys up as of head cannot be overtaken, since then the head has moved.
	Append(ctx context.Context, head Head, records []Record) error

	// Committed finds out whether an append whose outcome is unknown took effect. It waits out the transaction in doubt
	// by taking the head's lock on a new connection, then looks for the records' own event ids. What it denies cannot come any more:
	// where it still could, the epoch is raised.
	Committed(ctx context.Context, records []Record) (bool, error)

	// Claim raises the partition's epoch, so that appends of every former owner fail with ErrDeposed.
	Claim(ctx context.Context, partition int) (Head, error)

	// Read returns up to limit records behind position after, in order. Empty at the head.
	Read(ctx context.Context, partition int, after int64, limit int) ([]Record, error)

	// ReadStream returns up to limit records of a stream behind position after, in order.
	ReadStream(ctx context.Context, partition int, stream string, after int64, limit int) ([]Record, error)

	// ReadSubjects returns the records of the subjects, in order of position. What a payment can gather is bounded by
	// the domain, so there is no limit.
	ReadSubjects(ctx context.Context, partition int, subjects []string) ([]Record, error)

	// Lookup returns, for those of the dedupe keys that are taken, the position of the record that holds them: the first one,
	// should a key have been claimed twice. Every record up to position upTo counts; newer ones may.
	Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error)

	// Snapshot returns the newest snapshot of a stream; false when there is none.
	Snapshot(ctx context.Context, partition int, stream string) (Snapshot, bool, error)

	// KeepSnapshot keeps a snapshot in place of the stream's former one. It is no part of the log: losing one costs time.
	KeepSnapshot(ctx context.Context, s Snapshot) error

	// Evidence returns the raw messages of one record, in order.
	Evidence(ctx context.Context, p Position) ([]Evidence, error)

	// Adopt makes an empty store a copy of another ledger: it takes its id and number of partitions, so that an import has
	// equal hashes. ErrNotEmpty when there are records.
	Adopt(ctx context.Context, info Info) error

	Close() error
}

// Errors of a store. Compare with errors.Is.
var (
	ErrConflict  = errors.New("the head has moved")
	ErrDeposed   = errors.New("the partition has a new owner")
	ErrUnknown   = errors.New("the outcome of the commit is unknown")
	ErrInvalid   = errors.New("invalid record")
	ErrBroken    = errors.New("the log is broken")
	ErrNotEmpty  = errors.New("the store is not empty")
	ErrNewer     = errors.New("the store was made by a newer version")
	ErrNotFound  = errors.New("no such record")
	ErrPartition = errors.New("no such partition")
)

// CheckPage refuses a page that no reader can mean (ErrInvalid).
func CheckPage(after int64, limit int) error {
	if after < 0 || limit < 1 {
		return fmt.Errorf("%w: a page of %d records behind %d", ErrInvalid, limit, after)
	}
	return nil
}
