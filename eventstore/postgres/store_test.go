package postgres_test

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/storetest"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

func backend() storetest.Backend {
	return storetest.Backend{
		New:     newLog,
		Open:    func(ctx context.Context, dsn string) (eventstore.Store, error) { return postgres.Open(ctx, dsn) },
		Durable: true,
		Execute: execute,
		Cut: func(tb testing.TB, dsn string) (eventstore.Store, func(arrives bool)) {
			proxy := testpg.NewProxy(tb, dsn)
			store, err := postgres.Open(tb.Context(), proxy.DSN())
			if err != nil {
				tb.Fatal(err)
			}
			return store, func(arrives bool) { proxy.Cut("COMMIT\x00", arrives) }
		},
	}
}

func newLog(tb testing.TB, partitions int) string {
	tb.Helper()
	dsn := testpg.DSN(tb)
	if err := postgres.Migrate(tb.Context(), dsn, partitions); err != nil {
		tb.Fatal(err)
	}
	return dsn
}

// execute runs a statement as another program would.
func execute(ctx context.Context, dsn, statement string) (err error) {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

func TestStore(t *testing.T) { storetest.Run(t, backend()) }

func BenchmarkAppend(b *testing.B) { storetest.Benchmark(b, backend()) }
