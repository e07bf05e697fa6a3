package postgres_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/testpg"
)

// A server whose synchronous standby is away.
func TestSyncReplication(t *testing.T) {
	cluster, err := testpg.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer cluster.Stop()
	dsn := cluster.URL()
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	for _, q := range []string{"ALTER SYSTEM SET synchronous_standby_names = 'nobody'", "SELECT pg_reload_conf()", "SELECT pg_sleep(1)"} {
		if err := execute(t.Context(), dsn, q); err != nil {
			t.Fatal(err)
		}
	}
	store := open(t, dsn)
	head, records := behind(t, store, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	err = store.Append(ctx, head, records)
	if err == nil {
		t.Error("an append that no standby has confirmed is answered as durable")
	}
	t.Log(err)
}

// held is a proxy that takes what a client sends, and passes it on late, though the client is gone.
type held struct {
	release chan struct{}
	done    chan struct{}
	seen    chan struct{}
}

func (h *held) pass(client, server net.Conn, text string) {
	go io.Copy(client, server)
	buf := make([]byte, 256<<10)
	for {
		n, err := client.Read(buf)
		if n > 0 {
			if strings.Contains(string(buf[:n]), text) {
				client.Close() // the client sees a broken connection
				close(h.seen)
				<-h.release
				server.Write(buf[:n])
				time.Sleep(time.Second)
				server.Close()
				close(h.done)
				return
			}
			server.Write(buf[:n])
		}
		if err != nil {
			server.Close()
			return
		}
	}
}

// What Committed has denied must not come true afterwards.
func TestLateAppend(t *testing.T) {
	dsn := testpg.DSN(t)
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	h := &held{release: make(chan struct{}), done: make(chan struct{}), seen: make(chan struct{})}
	to := u.Host
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				client.Close()
				continue
			}
			go h.pass(client, server, "SELECT move_head")
		}
	}()
	u.Host = l.Addr().String()
	store := open(t, u.String())
	direct := open(t, dsn)
	head, records := behind(t, store, 1)
	if err := store.Append(t.Context(), head, records); !errors.Is(err, eventstore.ErrUnknown) {
		t.Fatal(err)
	}
	found, err := store.Committed(t.Context(), records)
	if err != nil || found {
		t.Fatal(found, err)
	}
	close(h.release)
	<-h.done
	if n := count(t, direct); n != 0 {
		t.Errorf("Committed said no; now there are %d records", n)
	}
}

// A DSN as for a pooler.
func TestExecModes(t *testing.T) {
	for _, mode := range []string{"cache_describe", "describe_exec"} {
		t.Run(mode, func(t *testing.T) {
			dsn := testpg.DSN(t)
			if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
				t.Fatal(err)
			}
			sep := "?"
			if strings.Contains(dsn, "?") {
				sep = "&"
			}
			store := open(t, dsn+sep+"default_query_exec_mode="+mode)
			head, records := behind(t, store, 3)
			if err := store.Append(t.Context(), head, records); err != nil {
				t.Fatal(err)
			}
			if _, err := store.Read(t.Context(), 0, 0, 10); err != nil {
				t.Error(err)
			}
			if _, err := store.Lookup(t.Context(), 0, 3, []string{"k"}); err != nil {
				t.Error(err)
			}
		})
	}
}

// The log went back (a standby that lacks the newest records took over), others appended, and the one who always comes second
// claims the partition: he must not look keys up in what memory holds of the other history.
func TestClaimAfterTheLogWentBack(t *testing.T) {
	dsn := testpg.DSN(t)
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	a, b := open(t, dsn), open(t, dsn)
	head, records := behind(t, a, 5)
	if err := a.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	at3 := head.Behind(records[:3])
	for _, q := range []string{
		"ALTER TABLE events DISABLE TRIGGER ALL", "ALTER TABLE heads DISABLE TRIGGER ALL",
		"DELETE FROM events WHERE seq > 3",
		"UPDATE heads SET seq = 3, hash = '\\x" + at3.Hash.String() + "'",
		"ALTER TABLE events ENABLE TRIGGER ALL", "ALTER TABLE heads ENABLE TRIGGER ALL",
	} {
		if err := execute(t.Context(), dsn, q); err != nil {
			t.Fatal(err)
		}
	}
	head, records = behind(t, b, 1)
	records[0].Keys = []string{"payout:1"}
	eventstore.Chain(head, records)
	if err := b.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	head, err := a.Claim(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	taken, err := a.Lookup(t.Context(), 0, head.Seq, []string{"payout:1"})
	if err != nil || taken["payout:1"] != 4 {
		t.Errorf("payout:1 is at 4, and Lookup up to %d says %v, %v", head.Seq, taken, err)
		again := []eventstore.Record{records[0]}
		eventstore.Chain(head, again)
		t.Logf("a second record with the key: %v", a.Append(t.Context(), head, again))
	}
}

// Cancellations (of an operator, of a pooler's other client) that hit an append before its BEGIN: no answer "durable", and no message without its record.
func TestCancelBeforeBegin(t *testing.T) {
	dsn := testpg.DSN(t)
	if err := postgres.Migrate(t.Context(), dsn, 1); err != nil {
		t.Fatal(err)
	}
	store := open(t, dsn)
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
	defer cancel()
	watch, killer := connect(t, dsn), connect(t, dsn)
	head, records := behind(t, store, 1)
	if err := store.Append(t.Context(), head, records); err != nil {
		t.Fatal(err)
	}
	go func() {
		for ctx.Err() == nil {
			_, err := killer.Exec(ctx, `DO $$ BEGIN FOR i IN 1..3000 LOOP
				PERFORM pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%COMMIT%';
				PERFORM pg_stat_clear_snapshot(); END LOOP; END $$`)
			if err != nil && ctx.Err() == nil {
				t.Log(err)
			}
		}
	}()
	said, refused, lies := 0, 0, 0
	for i := 0; ctx.Err() == nil; i++ {
		var seq int64
		var hash []byte
		if err := watch.QueryRow(context.Background(), "SELECT seq, hash FROM heads").Scan(&seq, &hash); err != nil {
			t.Fatal(err)
		}
		head := eventstore.Head{Seq: seq, Hash: eventstore.Hash(hash)}
		r := records[:1:1]
		r[0].Subject, r[0].Version = "p"+strconv.Itoa(i), seq+1
		r[0].Evidence = []eventstore.Evidence{{MediaType: "a/b", Body: []byte("x")}}
		eventstore.Chain(head, r)
		err := store.Append(context.Background(), head, r)
		var now int64
		if err := watch.QueryRow(context.Background(), "SELECT seq FROM heads").Scan(&now); err != nil {
			t.Fatal(err)
		}
		if err == nil {
			said++
			if now != seq+1 {
				lies++
			}
		} else {
			refused++
			if refused%3000 == 1 {
				t.Log(err)
			}
		}
	}
	var stray int
	if err := watch.QueryRow(context.Background(), "SELECT count(*) FROM evidence m WHERE NOT EXISTS (SELECT FROM events e WHERE e.seq = m.seq)").Scan(&stray); err != nil {
		t.Fatal(err)
	}
	t.Logf("answered as durable %d, refused %d, untrue %d, stray evidence %d", said, refused, lies, stray)
	if lies > 0 || stray > 0 {
		t.Error("untrue")
	}
}
