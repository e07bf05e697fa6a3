package postgres_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/migrations"
)

func open(t *testing.T, dsn string) *postgres.Store {
	t.Helper()
	store, err := postgres.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func connect(t *testing.T, dsn string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}

func behind(t *testing.T, store *postgres.Store, n int) (eventstore.Head, []eventstore.Record) {
	t.Helper()
	head, err := store.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	records := make([]eventstore.Record, n)
	for i := range records {
		records[i] = eventstore.Record{
			Stream: "s", Version: head.Seq + 1 + int64(i), Subject: "p", Type: "payin.created", Schema: 1, EventID: uuid.New(),
			EffectiveAt: time.Now(), RecordedAt: time.Now(), Data: []byte(`{"amount":"1.00"}`), Meta: []byte("{}"),
		}
	}
	eventstore.Chain(head, records)
	return head, records
}

// count reads everything and checks the chain.
func count(t *testing.T, store *postgres.Store) int {
	t.Helper()
	info, err := store.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	records, err := store.Read(t.Context(), 0, 0, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	tip, err := eventstore.Follow(eventstore.Head{Hash: eventstore.Genesis(info.LedgerID, 0)}, records)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := store.Head(t.Context(), 0); err != nil || head.Hash != tip.Hash {
		t.Fatalf("the head is %v, %v", head, err)
	}
	return len(records)
}

func TestOpenRefuses(t *testing.T) {
	if _, err := postgres.Open(t.Context(), "postgres://nobody:secret@127.0.0.1:1/none?sslmode=disable"); err == nil ||
		!strings.Contains(err.Error(), "cannot be reached") || strings.Contains(err.Error(), "secret") {
		t.Errorf("no server: %v", err)
	}
	dsn := testpg.DSN(t)
	if _, err := postgres.Open(t.Context(), dsn); !errors.Is(err, migrations.ErrPending) {
		t.Errorf("not migrated: %v", err)
	}
	if err := postgres.Migrate(t.Context(), dsn, -1); !errors.Is(err, eventstore.ErrInvalid) {
		t.Errorf("minus one partition: %v", err)
	}
	if err := postgres.Migrate(t.Context(), dsn, 0); err != nil {
		t.Fatal(err)
	}
	if info, err := open(t, dsn).Info(t.Context()); err != nil || info.Partitions != postgres.Partitions {
		t.Errorf("%+v, %v", info, err)
	}
	if err := postgres.Migrate(t.Context(), dsn, 7); err != nil { // once more: nothing changes
		t.Fatal(err)
	}
	if info, err := open(t, dsn).Info(t.Context()); err != nil || info.Partitions != postgres.Partitions {
		t.Errorf("%+v, %v", info, err)
	}
	if err := execute(t.Context(), dsn, "INSERT INTO goose_log (version_id, is_applied) VALUES (999, true)"); err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Open(t.Context(), dsn); !errors.Is(err, eventstore.ErrNewer) || !strings.Contains(err.Error(), "version 999") {
		t.Errorf("newer: %v", err)
	}
	if err := postgres.Migrate(t.Context(), dsn, 4); !errors.Is(err, eventstore.ErrNewer) {
		t.Errorf("newer: %v", err)
	}
}

// TestMigrateTogether: several processes start at once on an empty database. All find the same ledger.
func TestMigrateTogether(t *testing.T) {
	dsn := testpg.DSN(t)
	ids := make([]uuid.UUID, 6)
	errs := make([]error, len(ids))
	var group sync.WaitGroup
	for i := range ids {
		group.Go(func() {
			if errs[i] = postgres.Migrate(t.Context(), dsn, 2); errs[i] != nil {
				return
			}
			store, err := postgres.Open(t.Context(), dsn)
			if err != nil {
				errs[i] = err
				return
			}
			info, err := store.Info(t.Context())
			ids[i], errs[i] = info.LedgerID, errors.Join(err, store.Close())
		})
	}
	group.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("several ledgers: %v", ids)
		}
	}
}

// TestSearchPath: the log is in public, whatever the address or the user's settings say.
func TestSearchPath(t *testing.T) {
	dsn := testpg.DSN(t)
	if err := execute(t.Context(), dsn, "CREATE SCHEMA views"); err != nil {
		t.Fatal(err)
	}
	elsewhere := dsn + "&search_path=views&pool_max_conns=3"
	if err := postgres.Migrate(t.Context(), elsewhere, 1); err != nil {
		t.Fatal(err)
	}
	store := open(t, elsewhere)
	head, records := behind(t, store, 2)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	if n := count(t, open(t, dsn)); n != 2 {
		t.Errorf("%d records in public", n)
	}
}

// TestGoesAway: PostgreSQL cannot be reached for a while. Every operation says so, nothing is written, and the same store
// works again afterwards.
func TestGoesAway(t *testing.T) {
	proxy := testpg.NewProxy(t, newLog(t, 1))
	store := open(t, proxy.DSN())
	head, records := behind(t, store, 3)
	proxy.Down()
	if err := store.Append(t.Context(), head, records); err == nil || errors.Is(err, eventstore.ErrUnknown) {
		t.Fatalf("append: %v", err)
	}
	if _, err := store.Head(t.Context(), 0); err == nil {
		t.Fatal("a head from nowhere")
	}
	if _, err := store.Committed(t.Context(), records); err == nil {
		t.Fatal("an outcome from nowhere")
	}
	proxy.Up()
	var err error
	for range 20 { // as many broken connections as the pool may still hold
		if err = store.Append(t.Context(), head, records); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	if n := count(t, store); n != 3 {
		t.Errorf("%d records", n)
	}
}

// TestTerminated: the server ends the connection in the middle of an append, before COMMIT.
func TestTerminated(t *testing.T) {
	dsn := newLog(t, 1)
	store, other := open(t, dsn), connect(t, dsn)
	head, records := behind(t, store, 3)
	tx := lockHead(t, other)
	done := make(chan error)
	go func() { done <- store.Append(t.Context(), head, records) }()
	pid := waiting(t, dsn)
	if err := execute(t.Context(), dsn, "SELECT pg_terminate_backend("+pid+")"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; !errors.Is(err, eventstore.ErrUnknown) || !strings.Contains(err.Error(), "going down") {
		t.Fatalf("got %v: a server that goes down may have committed", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if committed, err := store.Committed(t.Context(), records); err != nil || committed {
		t.Fatalf("committed: %t, %v", committed, err)
	}
	if err := store.Append(t.Context(), head, records); !errors.Is(err, eventstore.ErrDeposed) {
		t.Fatalf("what was denied could still come: %v", err)
	}
	head, err := store.Head(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	if n := count(t, store); n != 3 {
		t.Errorf("%d records", n)
	}
}

// TestCommittedWaits: the transaction in doubt is still running. Committed gives no answer before it is over.
func TestCommittedWaits(t *testing.T) {
	for _, commits := range []bool{true, false} {
		dsn := newLog(t, 1)
		store, other := open(t, dsn), connect(t, dsn)
		_, records := behind(t, store, 1)
		tx := lockHead(t, other)
		if _, err := tx.Exec(t.Context(), `INSERT INTO events
			SELECT 0, 1, 1, 1, 0, 0, $1, '', 's', 'p', 't', '', '', '{}', '{}'`, [16]byte(records[0].EventID)); err != nil {
			t.Fatal(err)
		}
		type answer struct {
			found bool
			err   error
		}
		done := make(chan answer)
		go func() {
			found, err := store.Committed(t.Context(), records)
			done <- answer{found, err}
		}()
		waiting(t, dsn)
		select {
		case early := <-done:
			t.Fatalf("an answer before the end: %+v", early)
		default:
		}
		finish := tx.Rollback
		if commits {
			finish = tx.Commit
		}
		if err := finish(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got.err != nil || got.found != commits {
			t.Errorf("%+v, want %v", got, commits)
		}
	}
}

func lockHead(t *testing.T, conn *pgx.Conn) pgx.Tx {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), "SELECT FROM heads WHERE partition = 0 FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	return tx
}

// waiting returns the server process that waits for a lock, as soon as there is one.
func waiting(t *testing.T, dsn string) (pid string) {
	t.Helper()
	conn := connect(t, dsn)
	for {
		err := conn.QueryRow(t.Context(), `SELECT pid::text FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&pid)
		if err == nil {
			return pid
		}
		if !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
	}
}

// TestTruncateRefused: what DELETE may not, TRUNCATE may not either.
func TestTruncateRefused(t *testing.T) {
	dsn := newLog(t, 1)
	store := open(t, dsn)
	head, records := behind(t, store, 2)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"TRUNCATE events", "TRUNCATE evidence", "TRUNCATE heads", "TRUNCATE ledger", "TRUNCATE events, heads",
		"INSERT INTO events SELECT * FROM events ON CONFLICT (partition, seq) DO UPDATE SET data = '{}'",
	} {
		if err := execute(t.Context(), dsn, change); err == nil || !strings.Contains(err.Error(), "append-only") {
			t.Errorf("%s: %v", change, err)
		}
	}
	if n := count(t, store); n != 2 {
		t.Errorf("%d records", n)
	}
}

// TestEventsJSON: the view shows what the bytes say.
func TestEventsJSON(t *testing.T) {
	dsn := newLog(t, 1)
	store := open(t, dsn)
	head, records := behind(t, store, 1)
	records[0].EffectiveAt = time.Date(1947, 8, 15, 0, 0, 0, 123456000, time.UTC)
	eventstore.Chain(head, records)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	var amount, hash string
	var effective, recorded time.Time
	err := connect(t, dsn).QueryRow(t.Context(), "SELECT data->>'amount', hash, effective_at, recorded_at FROM events_json").
		Scan(&amount, &hash, &effective, &recorded)
	if err != nil {
		t.Fatal(err)
	}
	if amount != "1.00" || hash != records[0].Hash.String() || !effective.Equal(records[0].EffectiveAt) ||
		!recorded.Equal(eventstore.Micros(records[0].RecordedAt)) {
		t.Errorf("%s %s %s %s", amount, hash, effective, recorded)
	}
}

// TestSynchronous: an answer means durable, also where the database's default says otherwise.
func TestSynchronous(t *testing.T) {
	dsn := newLog(t, 1)
	conn := connect(t, dsn)
	var name string
	if err := conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "ALTER DATABASE "+name+" SET synchronous_commit = off"); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), `CREATE TABLE seen (setting text);
		CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO seen VALUES (current_setting('synchronous_commit')); RETURN NULL; END $$;
		CREATE TRIGGER see AFTER INSERT ON events EXECUTE FUNCTION see()`); err != nil {
		t.Fatal(err)
	}
	store := open(t, dsn)
	head, records := behind(t, store, 1)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	var setting string
	if err := conn.QueryRow(t.Context(), "SELECT setting FROM seen").Scan(&setting); err != nil || setting != "on" {
		t.Errorf("synchronous_commit is %q, %v", setting, err)
	}
}
