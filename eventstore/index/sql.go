package index

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/eventstore"
)

// DB is the database of the log, in which the index lives too. The statements are the same for every database, but for Among.
type DB struct {
	// Read reads; nothing is written by it.
	Read *sql.DB
	// Events reads whole records, by what stands behind FROM events.
	Events func(ctx context.Context, where string, args ...any) ([]eventstore.Record, error)
	// Write runs change in a transaction of its own.
	Write func(ctx context.Context, change func(ctx context.Context, tx Tx) error) error
	// Among is the condition that a column of integers is one of those that a text lists, with commas in between.
	Among func(column, placeholder string) string
}

// Tx is a transaction.
type Tx interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// States of a run in the database.
const (
	building = 0 // its pages are being written
	live     = 1
	dead     = 2 // merged into another one: its pages are being deleted
)

// errMoved: another process has moved the checkpoint or swapped runs, so that what memory says of them is old.
var errMoved = errors.New("the index was changed by another process")

// checkpoint is how far the runs reach.
type checkpoint struct {
	seq  int64
	hash eventstore.Hash // of the record there
}

// readRuns returns the checkpoint and the live runs, without fences and filters, of one moment.
func (db *DB) readRuns(ctx context.Context, partition int) (at checkpoint, runs []*run, err error) {
	rows, err := db.Read.QueryContext(ctx, `SELECT s.seq, s.hash, COALESCE(r.run, 0), COALESCE(r.from_seq, 0), COALESCE(r.to_seq, 0),
			COALESCE(r.level, 0), COALESCE(r.entries, 0), COALESCE(r.names, 0), COALESCE(r.digest, 0), COALESCE(r.pages, 0), COALESCE(r.extra, 0)
		FROM index_checkpoints s LEFT JOIN index_runs r ON r.partition = s.partition AND r.state = 1
		WHERE s.partition = $1 ORDER BY r.from_seq`, partition)
	if err != nil {
		return at, nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r, hash, digest := &run{}, []byte{}, int64(0)
		if err := rows.Scan(&at.seq, &hash, &r.id, &r.from, &r.to, &r.level, &r.entries, &r.names, &digest, &r.pages, &r.extra); err != nil {
			return at, nil, err
		}
		r.sum = uint64(digest)
		copy(at.hash[:], hash)
		if r.id > 0 {
			runs = append(runs, r)
		}
	}
	return at, runs, rows.Err()
}

// readCheckpoint returns how far the runs reach; the zero checkpoint when there are none.
func (db *DB) readCheckpoint(ctx context.Context, partition int) (checkpoint, error) {
	var at checkpoint
	var hash []byte
	err := db.Read.QueryRowContext(ctx, "SELECT seq, hash FROM index_checkpoints WHERE partition = $1", partition).Scan(&at.seq, &hash)
	if errors.Is(err, sql.ErrNoRows) {
		return checkpoint{}, nil
	}
	copy(at.hash[:], hash)
	return at, err
}

// readTail returns up to limit records from position from on, with nothing but their names and hashes.
func (db *DB) readTail(ctx context.Context, partition int, from int64, limit int) (records []eventstore.Record, err error) {
	rows, err := db.Read.QueryContext(ctx, `SELECT seq, stream, subject, dedupe_key, hash FROM events
		WHERE partition = $1 AND seq >= $2 ORDER BY seq LIMIT $3`, partition, from, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		r := eventstore.Record{Partition: partition}
		var keys string
		var hash []byte
		if err := rows.Scan(&r.Seq, &r.Stream, &r.Subject, &keys, &hash); err != nil {
			return nil, err
		}
		if len(hash) != len(r.Hash) {
			return nil, fmt.Errorf("%w: record %s: hash of %d bytes", eventstore.ErrBroken, r.Position(), len(hash))
		}
		r.Keys, r.Hash = eventstore.SplitKeys(keys), eventstore.Hash(hash)
		records = append(records, r)
	}
	return records, rows.Err()
}

// readKeys calls found with the dedupe keys of each of the records.
func (db *DB) readKeys(ctx context.Context, partition int, seqs []int64, found func(seq int64, keys []string)) (err error) {
	rows, err := db.Read.QueryContext(ctx, "SELECT seq, dedupe_key FROM events WHERE partition = $1 AND "+db.Among("seq", "$2"), partition, List(seqs)) //nolint:gosec // constants only
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var seq int64
		var keys string
		if err := rows.Scan(&seq, &keys); err != nil {
			return err
		}
		found(seq, eventstore.SplitKeys(keys))
	}
	return rows.Err()
}

// readPages returns pages by their numbers, those that are there.
func (db *DB) readPages(ctx context.Context, partition int, pages []int64) (bodies map[int64][]byte, err error) {
	rows, err := db.Read.QueryContext(ctx, "SELECT page, body FROM index_pages WHERE partition = $1 AND "+db.Among("page", "$2"), partition, List(pages)) //nolint:gosec // constants only
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	bodies = make(map[int64][]byte, len(pages))
	for rows.Next() {
		var page int64
		var body []byte
		if err := rows.Scan(&page, &body); err != nil {
			return nil, err
		}
		bodies[page] = body
	}
	return bodies, rows.Err()
}

// List writes integers for DB.Among.
func List(numbers []int64) string {
	b := make([]byte, 0, 12*len(numbers))
	for i, n := range numbers {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(b, n, 10)
	}
	return string(b)
}

// pagesPerInsert is how many pages one statement writes.
const pagesPerInsert = 16

func insertPages(ctx context.Context, tx Tx, partition int, first int64, pages [][]byte) error {
	for len(pages) > 0 {
		n := min(len(pages), pagesPerInsert)
		var text strings.Builder
		args := make([]any, 0, 3*n)
		for i := range n {
			text.WriteString([...]string{"", ", "}[min(i, 1)])
			fmt.Fprintf(&text, "($%d, $%d, $%d)", 3*i+1, 3*i+2, 3*i+3)
			args = append(args, partition, first+int64(i), pages[i])
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO index_pages (partition, page, body) VALUES "+text.String(), args...); err != nil {
			return err
		}
		first, pages = first+int64(n), pages[n:]
	}
	return nil
}

func insertRun(ctx context.Context, tx Tx, partition int, r *run, state int) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO index_runs
			(partition, run, state, made_at, from_seq, to_seq, level, entries, names, digest, pages, extra)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
		partition, r.id, state, time.Now().UnixMicro(), r.from, r.to, r.level, r.entries, r.names, int64(r.sum), r.pages, r.extra)
	return err
}

// exactly checks how many rows a statement has changed; errMoved when it is another number.
func exactly(want int64, result sql.Result, err error) error {
	if err != nil {
		return err
	}
	changed, err := result.RowsAffected()
	if err == nil && changed != want {
		err = errMoved
	}
	return err
}

// addRun puts a run behind the others and moves the checkpoint to its end. errMoved when the checkpoint is not at its begin, or
// the log does not hold the record at its end.
func (db *DB) addRun(ctx context.Context, partition int, r *run, to checkpoint, pages [][]byte) error {
	return db.Write(ctx, func(ctx context.Context, tx Tx) error {
		_, err := tx.ExecContext(ctx, "INSERT INTO index_checkpoints (partition, seq, hash) VALUES ($1, 0, $2) ON CONFLICT DO NOTHING", partition, []byte{})
		if err != nil {
			return err
		}
		result, err := tx.ExecContext(ctx, "UPDATE index_checkpoints SET seq = $1, hash = $2 WHERE partition = $3 AND seq = $4",
			to.seq, to.hash[:], partition, r.from)
		if err := exactly(1, result, err); err != nil {
			return err
		}
		var stands int64
		err = tx.QueryRowContext(ctx, "SELECT count(*) FROM events WHERE partition = $1 AND seq = $2 AND hash = $3", partition, to.seq, to.hash[:]).Scan(&stands)
		if err == nil && stands != 1 {
			err = errMoved
		}
		if err != nil {
			return err
		}
		if err := insertRun(ctx, tx, partition, r, live); err != nil {
			return err
		}
		return insertPages(ctx, tx, partition, r.page(0), pages)
	})
}

// swap puts a run whose pages are written in the place of those that it was merged from. errMoved when one of these is not
// there any more, or when pages are missing: somebody took them for left over.
func (db *DB) swap(ctx context.Context, partition int, made *run, sources []*run) error {
	return db.Write(ctx, func(ctx context.Context, tx Tx) error {
		var ids []int64
		for _, r := range sources {
			ids = append(ids, r.id)
		}
		// The checkpoint's row orders it with a process that forgets the whole index.
		result, err := tx.ExecContext(ctx, "UPDATE index_checkpoints SET seq = seq WHERE partition = $1", partition)
		if err := exactly(1, result, err); err != nil {
			return err
		}
		result, err = tx.ExecContext(ctx, "UPDATE index_runs SET state = 2 WHERE partition = $1 AND state = 1 AND "+db.Among("run", "$2"), partition, List(ids))
		if err := exactly(int64(len(sources)), result, err); err != nil {
			return err
		}
		var pages int64
		err = tx.QueryRowContext(ctx, "SELECT count(*) FROM index_pages WHERE partition = $1 AND page >= $2 AND page < $3",
			partition, made.page(0), made.page(made.pages+made.extra)).Scan(&pages)
		if err == nil && pages != made.pages+made.extra {
			err = errMoved
		}
		if err != nil {
			return err
		}
		result, err = tx.ExecContext(ctx, "DELETE FROM index_runs WHERE partition = $1 AND run = $2 AND state = 0", partition, made.id)
		if err := exactly(1, result, err); err != nil {
			return err
		}
		return insertRun(ctx, tx, partition, made, live)
	})
}

// pagesPerDelete bounds a transaction that deletes.
const pagesPerDelete = 256

// remove deletes the pages of a run, and then its row, unless it is in use.
func (db *DB) remove(ctx context.Context, partition int, id int64) error {
	doomed := false
	err := db.Write(ctx, func(ctx context.Context, tx Tx) error { // it cannot come into use any more
		result, err := tx.ExecContext(ctx, "UPDATE index_runs SET state = 2 WHERE partition = $1 AND run = $2 AND state <> 1", partition, id)
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		doomed = n > 0
		return err
	})
	if err != nil || !doomed {
		return err
	}
	first, end := id<<pageBits, (id+1)<<pageBits
	for done := false; !done; {
		err := db.Write(ctx, func(ctx context.Context, tx Tx) error {
			result, err := tx.ExecContext(ctx, `DELETE FROM index_pages WHERE partition = $1 AND page IN
				(SELECT page FROM index_pages WHERE partition = $1 AND page >= $2 AND page < $3 ORDER BY page LIMIT $4)`, partition, first, end, pagesPerDelete)
			if err != nil {
				return err
			}
			n, err := result.RowsAffected()
			if err != nil || n == pagesPerDelete {
				return err
			}
			done = true
			_, err = tx.ExecContext(ctx, "DELETE FROM index_runs WHERE partition = $1 AND run = $2 AND state <> 1", partition, id)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// leftover returns the runs that nobody needs any more: merged ones, and those whose writer must have died.
func (db *DB) leftover(ctx context.Context, partition int, before time.Time) (ids []int64, err error) {
	rows, err := db.Read.QueryContext(ctx, "SELECT run FROM index_runs WHERE partition = $1 AND (state = 2 OR state = 0 AND made_at < $2)", partition, before.UnixMicro())
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// forget drops the whole index of a partition, which is of another history than the log: it is made again.
func (db *DB) forget(ctx context.Context, partition int, at checkpoint) error {
	return db.Write(ctx, func(ctx context.Context, tx Tx) error {
		result, err := tx.ExecContext(ctx, "DELETE FROM index_checkpoints WHERE partition = $1 AND seq = $2", partition, at.seq)
		if err := exactly(1, result, err); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, "UPDATE index_runs SET state = 2 WHERE partition = $1 AND state = 1", partition)
		return err
	})
}

// loadExtra reads the fences and filters of runs.
func (db *DB) loadExtra(ctx context.Context, partition int, runs []*run) error {
	for _, r := range runs {
		numbers := make([]int64, r.extra)
		for i := range numbers {
			numbers[i] = r.page(r.pages + int64(i))
		}
		var b []byte
		for chunk := range slices.Chunk(numbers, 512) {
			bodies, err := db.readPages(ctx, partition, chunk)
			if err != nil {
				return err
			}
			for _, n := range chunk {
				if bodies[n] == nil {
					return errMoved
				}
				part, err := unseal(bodies[n])
				if err != nil {
					return fmt.Errorf("run %d of partition %d: %w", r.id, partition, err)
				}
				b = append(b, part...)
			}
		}
		if err := r.parseExtra(b); err != nil {
			return fmt.Errorf("run %d of partition %d: %w", r.id, partition, err)
		}
	}
	return nil
}
