package sandbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/base32"
	"errors"
	"fmt"
	"html/template"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver, by the name "sqlite"

	"github.com/khata-ledger/khata/eventstore"
)

// Options of a Bank. Secret and CallbackBase are required; other zero values mean the defaults.
type Options struct {
	Secret       []byte           // shared with the Client, at least 16 bytes
	CallbackBase string           // where callbacks go: {base}/gateways/sandbox/callback
	PublicBase   string           // where others reach the same ledger: webhooks of the faces may go there, too; "" is CallbackBase
	Delay        time.Duration    // after which what is pending happens; default 1 s
	Latency      time.Duration    // of every answer about transfers; default none
	Clock        func() time.Time // default time.Now
	Log          *slog.Logger     // default slog.Default()
}

// Bank is the sandbox bank. It is an http.Handler for /sandbox/; Run makes its timers go and delivers its callbacks.
type Bank struct {
	opts    Options
	log     *slog.Logger
	mux     *http.ServeMux
	client  *http.Client // of callbacks
	target  string       // of callbacks
	writer  *sql.DB      // one connection
	readers *sql.DB
	wake    chan struct{} // a timer or a callback was added; capacity 1
	running sync.Mutex    // held by Run: one at a time
	pages   *template.Template
}

// applicationID marks the file in SQLite's header: "KHSB".
const applicationID = 0x4b485342

// schemaVersion is the user_version of a file that has all of schemas.
const schemaVersion = 2

// schemas are the steps from an empty file to schemaVersion: the n-th makes version n+1 of version n.
func schemas() []string { return []string{schema, schemaFaces + schemaRefunds} }

const schema = `
CREATE TABLE transfers (
    seq              INTEGER PRIMARY KEY AUTOINCREMENT,
    reference        TEXT    NOT NULL UNIQUE,
    fingerprint      TEXT    NOT NULL, -- keyed hash of account, IFSC and amount: tells another transfer under the same reference
    digits           TEXT    NOT NULL, -- last two of the account
    amount           INTEGER NOT NULL, -- minor units
    currency         TEXT    NOT NULL,
    status           TEXT    NOT NULL CHECK (status IN ('paid', 'returned', 'failed', 'pending')),
    utr              TEXT    NOT NULL DEFAULT '',
    bank_reference   TEXT    NOT NULL DEFAULT '',
    return_reference TEXT    NOT NULL DEFAULT '',
    reason           TEXT    NOT NULL DEFAULT '',
    created_at       INTEGER NOT NULL, -- Unix microseconds, UTC, like all times here
    updated_at       INTEGER NOT NULL
) STRICT;

CREATE TABLE payments (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    payment_id TEXT    NOT NULL UNIQUE,
    reference  TEXT    NOT NULL,
    amount     INTEGER NOT NULL,
    currency   TEXT    NOT NULL,
    status     TEXT    NOT NULL CHECK (status IN ('success', 'failure')),
    utr        TEXT    NOT NULL,
    reason     TEXT    NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX payments_reference ON payments (reference, seq);

-- Sends answered with 500 so far.
CREATE TABLE faults (
    reference TEXT    PRIMARY KEY,
    answered  INTEGER NOT NULL
) STRICT;

CREATE TABLE timers (
    id        INTEGER PRIMARY KEY AUTOINCREMENT,
    due_at    INTEGER NOT NULL,
    reference TEXT    NOT NULL,
    act       TEXT    NOT NULL
) STRICT;
CREATE INDEX timers_due ON timers (due_at, id);

-- Callbacks that were not answered with 200 yet.
CREATE TABLE callbacks (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    reference  TEXT    NOT NULL,
    message_id TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    due_at     INTEGER NOT NULL,
    attempt    INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX callbacks_due ON callbacks (due_at, id);
CREATE INDEX callbacks_reference ON callbacks (reference, id);

-- The number that the next UTR and bank reference are made of.
CREATE TABLE numbers (one INTEGER PRIMARY KEY CHECK (one = 1), next INTEGER NOT NULL) STRICT;
INSERT INTO numbers (one, next) VALUES (1, 1);
`

// Open opens the bank's file at path, and makes it, with its folder, when it is not there. eventstore.ErrNewer when a newer
// program has made it. Close it when Run has returned and no request is served any more.
func Open(ctx context.Context, path string, opts Options) (*Bank, error) {
	b, err := open(ctx, path, opts)
	if err != nil {
		return nil, fmt.Errorf("open the sandbox bank %s: %w", path, err)
	}
	return b, nil
}

func open(ctx context.Context, path string, opts Options) (*Bank, error) {
	if len(opts.Secret) < minSecretBytes {
		return nil, fmt.Errorf("a secret of %d bytes (at least %d)", len(opts.Secret), minSecretBytes)
	}
	target, err := url.JoinPath(opts.CallbackBase, "gateways", Name, "callback")
	if err != nil || opts.CallbackBase == "" {
		return nil, fmt.Errorf("callback base %q: not a URL", opts.CallbackBase)
	}
	if opts.Delay <= 0 {
		opts.Delay = time.Second
	}
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	if opts.Log == nil {
		opts.Log = slog.Default()
	}
	b := &Bank{
		opts: opts, log: opts.Log, target: target,
		client: newHTTPClient(callbackTimeout), wake: make(chan struct{}, 1),
		pages: parsePages(),
	}
	b.routes()
	if err := b.openFile(ctx, path); err != nil {
		return nil, err
	}
	return b, nil
}

func (b *Bank) openFile(ctx context.Context, path string) error {
	abs, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(abs), 0o700); err != nil {
		return err
	}
	// SQLite would make it readable by others.
	file, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the operator's own setting
	if err != nil {
		return err
	}
	if err := file.Close(); err != nil {
		return err
	}
	dsn := (&url.URL{Scheme: "file", Path: filepath.ToSlash(abs)}).String() + "?mode=rw&_pragma=busy_timeout(10000)"
	if b.writer, err = sql.Open("sqlite", dsn+"&_txlock=immediate&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"); err != nil {
		return err
	}
	b.writer.SetMaxOpenConns(1)
	if b.readers, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		return errors.Join(err, b.writer.Close())
	}
	b.readers.SetMaxOpenConns(4)
	b.readers.SetMaxIdleConns(4)
	if err := b.transaction(ctx, prepare(ctx)); err != nil {
		return errors.Join(err, b.Close())
	}
	return nil
}

// prepare makes the tables of a new file, and those that an older one lacks; it refuses a file of somebody else.
func prepare(ctx context.Context) func(tx *sql.Tx) error {
	return func(tx *sql.Tx) error {
		var id, version, tables int64
		for query, into := range map[string]*int64{
			"PRAGMA application_id": &id, "PRAGMA user_version": &version, "SELECT count(*) FROM sqlite_master": &tables,
		} {
			if err := tx.QueryRowContext(ctx, query).Scan(into); err != nil {
				return err
			}
		}
		switch {
		case id == applicationID && version == schemaVersion:
			return nil
		case id == applicationID && version > schemaVersion:
			return fmt.Errorf("%w: version %d of the sandbox bank's file, this program knows %d", eventstore.ErrNewer, version, schemaVersion)
		case id != applicationID && (id != 0 || tables != 0 || version != 0) || version < 0:
			return errors.New("it is a SQLite database, but not a sandbox bank's")
		}
		for _, step := range schemas()[version:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, schemaVersion))
		return err
	}
}

// Close closes the file.
func (b *Bank) Close() error {
	b.client.CloseIdleConnections()
	return errors.Join(b.writer.Close(), b.readers.Close())
}

// ServeHTTP serves the paths of the package comment.
func (b *Bank) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, pattern := b.mux.Handler(r); pattern == "" {
		b.serveNothing(w, r)
		return
	}
	b.mux.ServeHTTP(w, r)
}

// transaction runs f in a transaction that holds the write lock, and commits. It is durable when transaction returns.
func (b *Bank) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := b.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if back := tx.Rollback(); back != nil && !errors.Is(back, sql.ErrTxDone) {
			return errors.Join(err, back)
		}
		return err
	}
	return tx.Commit()
}

func (b *Bank) now() time.Time { return eventstore.Micros(b.opts.Clock()) }

func (b *Bank) signal() {
	select {
	case b.wake <- struct{}{}:
	default: // it is going to look anyway
	}
}

// number takes the next number.
func number(ctx context.Context, tx *sql.Tx) (int64, error) {
	var n int64
	err := tx.QueryRowContext(ctx, "UPDATE numbers SET next = next + 1 RETURNING next - 1").Scan(&n)
	return n, err
}

// utr makes the twelve digits of a retrieval reference number: last digit of the year, day of the year, hour, and a number.
func utr(n int64, at time.Time) string {
	return fmt.Sprintf("%d%03d%02d%06d", at.Year()%10, at.YearDay(), at.Hour(), n%1_000_000)
}

// randomID is a prefix and 16 random lower-case letters and digits.
func randomID(prefix string) string {
	var b [10]byte
	rand.Read(b[:]) //nolint:errcheck // crypto/rand.Read never fails; it ends the program
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
