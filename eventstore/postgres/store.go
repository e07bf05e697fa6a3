package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/index"
	"github.com/khata-ledger/khata/migrations"
)

// maxConnections of a store's pool, where the address does not say pool_max_conns.
const maxConnections = 16

// settings of every connection, beside those of Silence.Settings. They are set by a statement, not while connecting, which poolers in between may refuse.
//
//   - Every question is for a range of a primary key, or for single ones. PostgreSQL knows too little of a table that has just grown
//     to see that by itself: it would read and sort all of it, for each page of a history.
//   - An answer means durable, so the database's default is not taken where it says otherwise. Waiting for standbys
//     (remote_apply and so on) is left as it is.
const settings = `SET search_path = public;
	SET enable_seqscan = off;
	SET enable_bitmapscan = off;
	SET jit = off;
	SET max_parallel_workers_per_gather = 0;
	SET plan_cache_mode = force_generic_plan;
	SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'`

// Store is a log in PostgreSQL. It is safe for concurrent use.
type Store struct {
	pool       *pgxpool.Pool
	silence    *Silence
	index      *index.Index
	reads      *sql.DB      // over pool, as the index wants it
	partitions atomic.Int64 // as last read; Adopt changes it
}

var _ eventstore.Store = (*Store)(nil)

// Option is an option of Open.
type Option func(*options)

type options struct{ silence *Silence }

// WithSilence bounds how long the server may say nothing; DefaultSilence otherwise.
func WithSilence(s *Silence) Option { return func(o *options) { o.silence = s } }

// Open opens the log in the database at dsn, a URL or key=value pairs, which Migrate has prepared. migrations.ErrPending when
// it is not up to date, eventstore.ErrNewer when a newer program has made it.
func Open(ctx context.Context, dsn string, with ...Option) (*Store, error) {
	o := options{silence: NewSilence(0)}
	for _, set := range with {
		set(&o)
	}
	s, err := open(ctx, dsn, o)
	if err != nil {
		return nil, fmt.Errorf("open the log in PostgreSQL: %w", explain(err))
	}
	return s, nil
}

func open(ctx context.Context, dsn string, o options) (*Store, error) {
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, err
	}
	if !strings.Contains(dsn, "pool_max_conns") {
		config.MaxConns = maxConnections
	}
	switch config.ConnConfig.DefaultQueryExecMode {
	case pgx.QueryExecModeSimpleProtocol, pgx.QueryExecModeExec: // rows are read in the binary format
		return nil, fmt.Errorf("default_query_exec_mode=%s is not supported: leave it out, or use cache_describe",
			config.ConnConfig.DefaultQueryExecMode)
	default:
	}
	config.AfterConnect = o.silence.prepare
	o.silence.Bound(&config.ConnConfig.Config, 1)
	config.PrepareConn = func(_ context.Context, conn *pgx.Conn) (bool, error) { return o.silence.Alive(conn.PgConn()), nil }
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Store{pool: pool, silence: o.silence, reads: stdlib.OpenDBFromPool(pool)}
	s.index = index.New(index.DB{Read: s.reads, Events: s.events, Write: s.writeIndex, Among: among}, index.Options{})
	if err := s.check(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// prepare makes a new connection ready.
func (s *Silence) prepare(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.PgConn().Exec(ctx, s.Settings(1)+settings).ReadAll(); err != nil {
		return fmt.Errorf("set up the connection: %w", err)
	}
	return nil
}

func (s *Store) check(ctx context.Context) error {
	if err := migrations.Check(ctx, s.reads, migrations.Postgres, migrations.Log); err != nil {
		return err
	}
	_, err := s.Info(ctx)
	return err
}

// Info returns the ledger's id and its number of partitions. eventstore.ErrBroken where the heads are not so many.
func (s *Store) Info(ctx context.Context) (eventstore.Info, error) {
	var info eventstore.Info
	var heads int
	err := s.pool.QueryRow(ctx, "SELECT id, partitions, (SELECT count(*) FROM heads) FROM ledger").Scan((*[16]byte)(&info.LedgerID), &info.Partitions, &heads)
	if errors.Is(err, pgx.ErrNoRows) {
		return eventstore.Info{}, fmt.Errorf("the log has no id yet: %w", migrations.ErrPending)
	}
	if err != nil {
		return eventstore.Info{}, fmt.Errorf("read the ledger's id: %w", explain(err))
	}
	if heads != info.Partitions { // with another number, a merchant would be looked for where it is not
		return eventstore.Info{}, fmt.Errorf("%w: it says that it has %d partitions, and there are the heads of %d", eventstore.ErrBroken, info.Partitions, heads)
	}
	s.partitions.Store(int64(info.Partitions))
	return info, nil
}

// checkPartition refuses a partition that the log does not have.
func (s *Store) checkPartition(ctx context.Context, partition int) error {
	if partition >= 0 && int64(partition) < s.partitions.Load() {
		return nil
	}
	info, err := s.Info(ctx) // another process may have adopted more of them
	if err != nil {
		return err
	}
	if partition < 0 || partition >= info.Partitions {
		return fmt.Errorf("partition %d of %d: %w", partition, info.Partitions, eventstore.ErrPartition)
	}
	return nil
}

// Close waits for operations in progress and closes the connections. The store cannot be used afterwards.
func (s *Store) Close() error {
	err := errors.Join(s.index.Close(), s.reads.Close())
	s.pool.Close()
	if err != nil {
		return fmt.Errorf("close the log in PostgreSQL: %w", explain(err))
	}
	return nil
}
