package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite" // the driver of views, work and secrets

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/postgres"
	"github.com/khata-ledger/khata/eventstore/sqlite"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
	"github.com/khata-ledger/khata/projections"
)

// readConnections is how many connections to the views are for reads, beside those of their writers.
const readConnections = 8

// storeFlags are the flags of every command.
type storeFlags struct {
	DB            string `name:"db" default:"sqlite:data/ledger.db" help:"Where the log is: sqlite:FILE or postgres://user:password@host:5432/name."`
	MasterKeyFile string `help:"File of 64 hexadecimal characters. Made on the first start on SQLite (data/master.key unless given); must be given with PostgreSQL." placeholder:"FILE"`

	DBSilence time.Duration `name:"db-silence" default:"30s" help:"How long PostgreSQL may say nothing before its connections are given up and made anew."`
}

// newStore are the flags of the commands that make a store.
type newStore struct {
	Partitions int `default:"4" help:"Partitions of a new store on PostgreSQL, fixed for ever; one that exists keeps its own."`
}

// location is the parsed --db.
type location struct {
	dialect migrations.Dialect
	dsn     string // file of the log, or URL
	silence *postgres.Silence
}

func (f *storeFlags) location() (location, error) {
	scheme, rest, _ := strings.Cut(f.DB, ":")
	switch scheme {
	case "sqlite":
		rest = strings.TrimPrefix(rest, "//")
		if rest == "" {
			return location{}, usagef("--db %s names no file", f.DB)
		}
		return location{dialect: migrations.SQLite, dsn: rest}, nil
	case "postgres", "postgresql":
		if _, err := pgx.ParseConfig(f.DB); err != nil {
			return location{}, usagef("--db: %v", err)
		}
		return location{dialect: migrations.Postgres, dsn: f.DB, silence: postgres.NewSilence(f.DBSilence)}, nil
	}
	return location{}, usagef("--db must start with sqlite: or postgres://")
}

// file is a SQLite file beside the log: ledger.db -> ledger-views.db.
func (l location) file(area string) string {
	ext := filepath.Ext(l.dsn)
	return strings.TrimSuffix(l.dsn, ext) + "-" + area + ext
}

// beside is another file in the folder of the log.
func (l location) beside(name string) string { return filepath.Join(filepath.Dir(l.dsn), name) }

// masterKeyFile is where the master key is.
func (f *storeFlags) masterKeyFile(l location) (string, error) {
	switch {
	case f.MasterKeyFile != "":
		return f.MasterKeyFile, nil
	case l.dialect == migrations.SQLite:
		return filepath.Join("data", "master.key"), nil
	}
	return "", usagef("--master-key-file must be given with PostgreSQL: a file of 64 hexadecimal characters, such as `openssl rand -hex 32` prints")
}

// stores are the four kinds of storage, open.
type stores struct {
	location
	log       eventstore.Store
	info      eventstore.Info
	views     *sql.DB
	work      *work.Store
	workDB    *sql.DB
	workQuick *sql.DB // workDB's tables, for commits that need not wait for the disk; see package work
	workSure  *sql.DB // the same, for commits that no crash of the machine may undo
	spent     *work.Store
	secrets   *sql.DB
	vault     *vault.Vault
}

// migrate brings all schemas up to date, and makes what is not there.
func (f *storeFlags) migrate(ctx context.Context, partitions int) error {
	loc, err := f.location()
	if err != nil {
		return err
	}
	if loc.dialect == migrations.SQLite {
		if err := os.MkdirAll(filepath.Dir(loc.dsn), 0o700); err != nil {
			return fmt.Errorf("making the folder of the store: %w", err)
		}
		err = sqlite.Migrate(ctx, loc.dsn)
	} else {
		err = postgres.Migrate(ctx, loc.dsn, partitions)
	}
	if err != nil {
		return err
	}
	for _, area := range []string{migrations.Work, migrations.Secrets} {
		if err := migrateArea(ctx, loc, area); err != nil {
			return err
		}
	}
	return nil
}

func migrateArea(ctx context.Context, loc location, area string) error {
	loc.silence = postgres.NewSilence(24 * time.Hour) // to migrate may take its time
	db, err := loc.openArea(area)
	if err != nil {
		return err
	}
	err = migrations.Up(ctx, db, loc.dialect, area)
	return errors.Join(err, db.Close())
}

// open opens the stores, which migrate has made. makeKey makes a master key that is not there, on SQLite, while the store is
// new: a key that is made later would not open what is sealed already.
func (f *storeFlags) open(ctx context.Context, makeKey bool) (*stores, error) {
	loc, err := f.location()
	if err != nil {
		return nil, err
	}
	keyFile, err := f.masterKeyFile(loc)
	if err != nil {
		return nil, err
	}
	s, err := openDatabases(ctx, loc)
	if err != nil {
		return nil, err
	}
	if makeKey {
		makeKey, err = s.unsealed(ctx)
	}
	if err == nil {
		err = s.checkSecrets(ctx)
	}
	if err == nil {
		s.vault, err = openVault(ctx, s.secrets, keyFile, makeKey)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openToRead opens the stores for a command that seals nothing. It does without a master key where none is given, so that
// whoever audits the books need not hold it; one that is there must be the right one. Secrets that are bound to no key yet
// stay so: they may have to be imported.
func (f *storeFlags) openToRead(ctx context.Context) (*stores, error) {
	loc, err := f.location()
	if err != nil {
		return nil, err
	}
	s, err := openDatabases(ctx, loc)
	if err != nil {
		return nil, err
	}
	keyFile := f.MasterKeyFile
	if keyFile == "" && loc.dialect == migrations.SQLite {
		if keyFile, err = f.masterKeyFile(loc); err != nil {
			return nil, errors.Join(err, s.Close())
		}
		if _, err := os.Stat(keyFile); errors.Is(err, os.ErrNotExist) {
			keyFile = ""
		}
	}
	if keyFile == "" {
		return s, nil
	}
	bound, err := s.bound(ctx)
	if err == nil && bound {
		s.vault, err = openVault(ctx, s.secrets, keyFile, false)
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// openDatabases opens everything but the vault.
func openDatabases(ctx context.Context, loc location) (*stores, error) {
	s := &stores{location: loc}
	if err := s.openAll(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *stores) openAll(ctx context.Context) (err error) {
	if s.log, err = s.openLog(ctx); err != nil {
		return err
	}
	if s.info, err = s.log.Info(ctx); err != nil {
		return err
	}
	limitMemory(s.info.Partitions)
	for area, db := range map[string]**sql.DB{migrations.Work: &s.workDB, migrations.Secrets: &s.secrets} {
		if *db, err = s.openArea(area); err != nil {
			return err
		}
		if err := migrations.Check(ctx, *db, s.dialect, area); err != nil {
			return err
		}
	}
	if s.workQuick, err = s.openQuickWork(); err != nil {
		return err
	}
	if s.workSure, err = s.openSureWork(); err != nil {
		return err
	}
	s.work, s.spent = work.New(s.workDB, s.workQuick), work.New(s.workSure, s.workQuick)
	return nil
}

// openViewsDatabase opens what the views are in. On SQLite a file that is damaged is made anew where renew says so, for a
// server may be using it; else that is projections.ErrDamaged, and a missing file is fs.ErrNotExist.
func (s *stores) openViewsDatabase(ctx context.Context, renew bool) (err error) {
	switch {
	case s.dialect == migrations.Postgres:
		s.views, err = s.openArea("views")
	case renew:
		s.views, err = projections.OpenSQLite(ctx, s.file("views"), slog.Default())
	default:
		s.views, err = projections.OpenExistingSQLite(ctx, s.file("views"))
	}
	if err != nil {
		return err
	}
	// Their writers keep connections for as long as they run: with fewer, a build would wait for ever.
	limit := projections.Connections(s.info.Partitions) + readConnections
	s.views.SetMaxOpenConns(limit)
	s.views.SetMaxIdleConns(limit)
	return nil
}

// makeRoom lets the pool of the views hold what so many exports read at once beside everything else: a statement by value date has a connection
// for each partition, as long as it is sent.
func (s *stores) makeRoom(exports int) {
	s.views.SetMaxOpenConns(projections.Connections(s.info.Partitions) + readConnections + exports*s.info.Partitions)
}

// openLog opens the log alone.
func (l location) openLog(ctx context.Context) (eventstore.Store, error) {
	if l.dialect == migrations.SQLite {
		return openLog(sqlite.Open(ctx, l.dsn))
	}
	return openLog(postgres.Open(ctx, l.dsn, postgres.WithSilence(l.silence)))
}

// unsealed tells whether no key can be missing: a store on SQLite that is empty and bound to no master key.
func (s *stores) unsealed(ctx context.Context) (bool, error) {
	if s.dialect != migrations.SQLite {
		return false, nil
	}
	for p := range s.info.Partitions {
		head, err := s.log.Head(ctx, p)
		if err != nil || head.Seq > 0 {
			return false, err
		}
	}
	bound, err := s.bound(ctx)
	return !bound, err
}

// bound tells whether the secrets are bound to a master key.
func (s *stores) bound(ctx context.Context) (bool, error) {
	var n int
	if err := s.secrets.QueryRowContext(ctx, `SELECT COUNT(*) FROM master`).Scan(&n); err != nil {
		return false, fmt.Errorf("looking whether the secrets have a master key: %w", err)
	}
	return n > 0, nil
}

// openLog turns a typed nil into none.
func openLog[S eventstore.Store](store S, err error) (eventstore.Store, error) {
	if err != nil {
		return nil, err
	}
	return store, nil
}

func openVault(ctx context.Context, db *sql.DB, keyFile string, makeKey bool) (*vault.Vault, error) {
	load := func() (vault.Key, error) { return vault.LoadMaster(keyFile) }
	key, err := load()
	if errors.Is(err, os.ErrNotExist) && makeKey {
		if err := os.MkdirAll(filepath.Dir(keyFile), 0o700); err != nil {
			return nil, fmt.Errorf("making the folder of the master key: %w", err)
		}
		key, err = vault.LoadOrCreateMaster(keyFile)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the master key: %w", err)
	}
	v, err := vault.Open(ctx, db, key, vault.WithMasterSource(load))
	if err != nil {
		return nil, fmt.Errorf("opening the secrets with the master key of %s: %w", keyFile, err)
	}
	return v, nil
}

// Close closes what is open.
func (s *stores) Close() error {
	var errs []error
	for _, db := range []*sql.DB{s.views, s.workDB, s.workQuick, s.workSure, s.secrets} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if s.log != nil {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(errs...)
}

// openQuickWork opens the work area for commits that need not wait for the disk. On SQLite that is what workDB does already: what
// takes the newest commits away takes this process with it.
func (s *stores) openQuickWork() (*sql.DB, error) {
	if s.dialect == migrations.SQLite {
		return s.workDB, nil
	}
	return s.openPostgres(migrations.Work, "SET synchronous_commit = off")
}

// warnOfCrashes says what a database server is set to that makes a crash of its machine cost more than it need. It is no refusal: the server's file system
// may do what the setting would, and a trial has nothing to lose.
func (s *stores) warnOfCrashes(ctx context.Context, logger *slog.Logger) error {
	server, is := s.log.(interface {
		Durability(ctx context.Context) (doubts []string, err error)
	})
	if !is {
		return nil
	}
	doubts, err := server.Durability(ctx)
	for _, doubt := range doubts {
		logger.Warn("the database is not safe from crashes", "setting", doubt)
	}
	return err
}

// openSureWork opens the work area for what was used once and is in no log (work.Store.SpendOnce). On PostgreSQL workDB waits for the disk already. On
// SQLite it takes a connection that does.
func (s *stores) openSureWork() (*sql.DB, error) {
	if s.dialect == migrations.Postgres {
		return s.workDB, nil
	}
	return s.openSQLite(migrations.Work, "FULL")
}

// durable makes the commits of a connection wait for the disk whatever the default of the role is. Where the default asks for
// more than that, of a standby, it is kept.
const durable = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"

// openPostgres opens a pool of connections to the schema of an area, each of which begins with a statement.
func (l location) openPostgres(area, begin string) (*sql.DB, error) {
	config, err := pgx.ParseConfig(l.dsn)
	if err != nil {
		return nil, usagef("--db: %v", err)
	}
	config.RuntimeParams["search_path"] = area
	l.silence.Bound(&config.Config, silences(area))
	db := stdlib.OpenDB(*config, stdlib.OptionAfterConnect(func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.PgConn().Exec(ctx, l.silence.Settings(2)+begin).ReadAll()
		return err
	}), stdlib.OptionResetSession(func(_ context.Context, conn *pgx.Conn) error {
		if !l.silence.Alive(conn.PgConn()) {
			return driver.ErrBadConn
		}
		return nil
	}))
	db.SetMaxOpenConns(8)
	db.SetMaxIdleConns(8)
	return db, nil
}

// silences is how many silences an area's server may take for a statement: all of a statement by value date is sorted before its first line
// comes.
func silences(area string) int {
	if area == "views" {
		return 10
	}
	return 2
}

// openArea opens the database of work or secrets, and on PostgreSQL of views. A file that is made is its owner's only.
func (l location) openArea(area string) (*sql.DB, error) {
	if l.dialect == migrations.Postgres {
		return l.openPostgres(area, durable)
	}
	sync := "NORMAL" // of work: see package work
	if area == migrations.Secrets {
		sync = "FULL"
	}
	file, err := os.OpenFile(l.file(area), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", l.file(area), err)
	}
	if err := file.Close(); err != nil {
		return nil, fmt.Errorf("opening %s: %w", l.file(area), err)
	}
	return l.openSQLite(area, sync)
}

// openSQLite opens the file of an area, with this setting of synchronous.
func (l location) openSQLite(area, sync string) (*sql.DB, error) {
	path, err := filepath.Abs(l.file(area))
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", l.file(area), err)
	}
	u := url.URL{Scheme: "file", Path: filepath.ToSlash(path)}
	dsn := u.String() + "?_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(" + sync + ")"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", l.file(area), err)
	}
	db.SetMaxOpenConns(4)
	db.SetConnMaxIdleTime(5 * time.Minute)
	return db, nil
}
