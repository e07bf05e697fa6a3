// Package testpg gives tests a real PostgreSQL: a private cluster in a temporary folder, never one that was there before.
//
// Where the server comes from, in this order: LEDGER_TEST_POSTGRES, the address of a server on which databases can be
// created; else PostgreSQL's programs on this machine, from PATH or from Debian's folders, the newest. Without either, the test
// fails. A cluster is stopped and removed when its process ends, in whatever way.
package testpg

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Env names the variable with the address of a server to use instead of a cluster of one's own. Its user must be allowed to
// create databases.
const Env = "LEDGER_TEST_POSTGRES"

// patience bounds what a test waits for the server: to start, to make a database.
const patience = 60 * time.Second

// shared is the server of this process: the tests of a package need one, and it takes a second to start.
var shared = sync.OnceValues(func() (string, error) {
	if address := os.Getenv(Env); address != "" {
		return address, nil
	}
	cluster, err := Start()
	if err != nil {
		return "", err
	}
	return cluster.URL(), nil // it is stopped when the process ends
})

// DSN makes a fresh, empty database and returns its address, a URL. The database is dropped when the test ends.
func DSN(tb testing.TB) string {
	tb.Helper()
	server, err := shared()
	if err != nil {
		tb.Fatal(err)
	}
	name := "test_" + randomName()
	if err := execute(server, "CREATE DATABASE "+name); err != nil {
		tb.Fatalf("make a test database: %v", err)
	}
	tb.Cleanup(func() {
		// FORCE: a test that was killed in the middle may have left connections.
		if err := execute(server, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			tb.Errorf("drop the test database: %v", err)
		}
	})
	address, err := onDatabase(server, name)
	if err != nil {
		tb.Fatal(err)
	}
	return address
}

func execute(server, statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return err
	}
	defer conn.Close(ctx) //nolint:errcheck // the statement's own outcome is what counts
	_, err = conn.Exec(ctx, statement)
	return err
}

// onDatabase is the server's address as a URL, with another database. What is not said in the address (PGPASSWORD and so
// on) stays with the environment.
func onDatabase(server, database string) (string, error) {
	if u, err := url.Parse(server); err == nil && (u.Scheme == "postgres" || u.Scheme == "postgresql") {
		u.Path = "/" + database
		return u.String(), nil
	}
	config, err := pgx.ParseConfig(server)
	if err != nil {
		return "", fmt.Errorf("%s is not the address of a PostgreSQL server: %w", Env, err)
	}
	q := url.Values{"host": {config.Host}, "port": {fmt.Sprint(config.Port)}}
	if config.TLSConfig == nil {
		q.Set("sslmode", "disable")
	}
	u := url.URL{Scheme: "postgres", User: url.UserPassword(config.User, config.Password), Path: "/" + database, RawQuery: q.Encode()}
	return u.String(), nil
}

func randomName() string {
	b := make([]byte, 8)
	rand.Read(b) //nolint:errcheck // never fails
	return hex.EncodeToString(b)
}
