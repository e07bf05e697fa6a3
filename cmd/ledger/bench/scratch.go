package bench

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/migrations"
)

// Location is what --db names: the file of a log, or the address of a PostgreSQL server. What is there is never opened.
type Location struct {
	Dialect migrations.Dialect
	DSN     string
}

// Place is a scratch store.
type Place struct {
	Dialect       migrations.Dialect
	DB            string // as --db takes it
	DSN           string // file of the log, or URL
	MasterKeyFile string
	Folder        string // of the scratch's files; on SQLite the log is among them
}

// scratch is a Place that can be removed.
type scratch struct {
	Place
	server   string // address on which the database was made; "" on SQLite
	database string
}

// scratchName begins the names of scratch folders and databases.
const scratchName = "ledger_bench_"

// removeWithin bounds the removal, also after an interrupt.
const removeWithin = 30 * time.Second

// makeScratch makes an empty place beside db: a folder on the same disk, or a database on the same server. It has a master key of
// its own.
func makeScratch(ctx context.Context, db Location) (_ *scratch, err error) {
	parent := os.TempDir() // of the master key, where the store is elsewhere
	if db.Dialect == migrations.SQLite {
		parent = existing(filepath.Dir(db.DSN))
	}
	folder, err := os.MkdirTemp(parent, scratchName) // mode 0700
	if err != nil {
		return nil, fmt.Errorf("making a scratch folder: %w", err)
	}
	s := &scratch{Place: Place{Dialect: db.Dialect, Folder: folder, MasterKeyFile: filepath.Join(folder, "master.key")}}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.remove(ctx))
		}
	}()
	if _, err := vault.LoadOrCreateMaster(s.MasterKeyFile); err != nil {
		return nil, err
	}
	if db.Dialect == migrations.SQLite {
		s.DSN = filepath.Join(folder, "ledger.db")
		s.DB = "sqlite:" + s.DSN
		return s, nil
	}
	if err := s.makeDatabase(ctx, db.DSN); err != nil {
		return nil, err
	}
	return s, nil
}

// existing is the folder, or the nearest above it that is there: nothing is made that would stay.
func existing(folder string) string {
	for {
		if info, err := os.Stat(folder); err == nil && info.IsDir() {
			return folder
		}
		above := filepath.Dir(folder)
		if above == folder {
			return folder
		}
		folder = above
	}
}

// insufficientPrivilege is PostgreSQL's code for a missing right.
const insufficientPrivilege = "42501"

func (s *scratch) makeDatabase(ctx context.Context, server string) error {
	address, err := url.Parse(server)
	if err != nil {
		return errors.New("the address of the PostgreSQL server is not a URL") // without the address, which may hold a password
	}
	var random [8]byte
	rand.Read(random[:]) //nolint:errcheck // documented never to fail
	name := scratchName + hex.EncodeToString(random[:])
	err = onServer(ctx, server, "CREATE DATABASE "+name)
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == insufficientPrivilege {
		return fmt.Errorf("the user of --db may not create the scratch database; as an administrator: ALTER ROLE ... CREATEDB: %w", err)
	}
	if err != nil {
		return fmt.Errorf("making the scratch database: %w", err)
	}
	s.server, s.database = server, name
	address.Path = "/" + name
	s.DB = address.String()
	s.DSN = s.DB
	return nil
}

// onServer runs one statement on the server.
func onServer(ctx context.Context, server, statement string) (err error) {
	config, err := pgxpool.ParseConfig(server) // takes out what is meant for a pool
	if err != nil {
		return err
	}
	conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// remove removes the place, also when ctx has ended.
func (s *scratch) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeWithin)
	defer cancel()
	err := os.RemoveAll(s.Folder)
	if s.database != "" {
		err = errors.Join(err, onServer(ctx, s.server, "DROP DATABASE IF EXISTS "+s.database+" WITH (FORCE)"))
	}
	if err != nil {
		return fmt.Errorf("removing the scratch store %s: %w", s.Folder+s.database, err)
	}
	return nil
}
