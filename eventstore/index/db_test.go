package index_test

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/uuid"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/index"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

// places are the databases that every test runs on: the schema of the real logs, written to around the stores.
var places = map[string]func(tb testing.TB) *place{"sqlite": sqlitePlace, "postgres": postgresPlace}

// place is a log of one partition that a test writes, and a handle that its indexes use.
type place struct {
	tb    testing.TB
	db    *sql.DB
	among func(column, placeholder string) string
}

func sqlitePlace(tb testing.TB) *place {
	tb.Helper()
	path := filepath.Join(tb.TempDir(), "log.db")
	if err := sqlite.Migrate(tb.Context(), path); err != nil {
		tb.Fatal(err)
	}
	return newPlace(tb, "sqlite", "file:"+path+"?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=synchronous(OFF)",
		func(column, placeholder string) string {
			return column + " IN (SELECT value FROM json_each('[' || " + placeholder + " || ']'))"
		})
}

func postgresPlace(tb testing.TB) *place {
	tb.Helper()
	dsn := testpg.DSN(tb)
	if err := postgres.Migrate(tb.Context(), dsn, 1); err != nil {
		tb.Fatal(err)
	}
	return newPlace(tb, "pgx", dsn, func(column, placeholder string) string {
		return column + " = ANY (string_to_array(" + placeholder + ", ',')::bigint[])"
	})
}

func newPlace(tb testing.TB, driver, dsn string, among func(column, placeholder string) string) *place {
	tb.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &place{tb: tb, db: db, among: among}
}

// index opens an index on the place, as another process would.
func (p *place) index(records int64) *index.Index {
	return p.closing(index.New(index.DB{Read: p.db, Events: p.events, Write: p.write, Among: p.among}, index.Options{Records: records}))
}

// closing closes an index at the end of the test, before its database.
func (p *place) closing(x *index.Index) *index.Index {
	p.tb.Cleanup(func() { _ = x.Close() }) // the database of some tests takes nothing any more
	return x
}

func (p *place) write(ctx context.Context, change func(context.Context, index.Tx) error) error {
	tx, err := p.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := change(ctx, tx); err != nil {
		return errors.Join(err, tx.Rollback())
	}
	return tx.Commit()
}

func (p *place) events(ctx context.Context, where string, args ...any) (records []eventstore.Record, err error) {
	rows, err := p.db.QueryContext(ctx, "SELECT seq, stream, subject, dedupe_key FROM events "+where, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r eventstore.Record
		var keys string
		if err := rows.Scan(&r.Seq, &r.Stream, &r.Subject, &keys); err != nil {
			return nil, err
		}
		r.Keys = eventstore.SplitKeys(keys)
		records = append(records, r)
	}
	return records, rows.Err()
}

func (p *place) exec(query string, args ...any) {
	p.tb.Helper()
	if _, err := p.db.ExecContext(p.tb.Context(), query, args...); err != nil {
		p.tb.Fatalf("%s: %v", query, err)
	}
}

func (p *place) count(query string, args ...any) (n int64) {
	p.tb.Helper()
	if err := p.db.QueryRowContext(context.Background(), query, args...).Scan(&n); err != nil {
		p.tb.Fatalf("%s: %v", query, err)
	}
	return n
}

// put writes a record into the log.
func (p *place) put(r *eventstore.Record) {
	p.tb.Helper()
	id := uuid.New()
	p.exec(`INSERT INTO events (partition, seq, stream, version, subject, type, schema, event_id, effective_at, recorded_at,
			dedupe_key, data, meta, evidence_digests, hash)
		VALUES (0, $1, $2, 1, $3, 't', 1, $4, 1, 1, $5, $6, $6, $6, $7)`,
		r.Seq, r.Stream, r.Subject, id[:], r.DedupeKey(), []byte{}, r.Hash[:])
}

// record is a record of a history: histories of another salt have other hashes.
func record(salt string, seq int64, stream, subject string, keys ...string) eventstore.Record {
	return eventstore.Record{
		Seq: seq, Stream: stream, Subject: subject, Keys: keys, Hash: sha256.Sum256(fmt.Appendf(nil, "%s %d", salt, seq)),
	}
}
