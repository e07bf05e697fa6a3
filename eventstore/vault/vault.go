package vault

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/subtle"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Bounds.
const (
	MaxPlaintextBytes = 8 << 20   // one sealed value
	MaxSecretBytes    = 128 << 10 // one named secret
	MaxNameBytes      = 200       // an owner, the name of a secret
	MaxCachedKeys     = 10_000    // keys in memory
	CacheTTL          = time.Minute
)

// Errors of the vault. Compare with errors.Is.
var (
	ErrWrongMaster = errors.New("the master key is not the one that these secrets were stored under")
	ErrErased      = errors.New("the data key is gone: this can never be opened again")
	ErrTampered    = errors.New("the sealed value is damaged, altered or not this event's")
	ErrNotFound    = errors.New("no such secret")
	ErrConflict    = errors.New("the secrets to import contradict those in the store")
	ErrInvalid     = errors.New("invalid input to the vault")
)

// Vault seals, opens and keeps secrets. It is safe for concurrent use. Its database is the caller's to close.
type Vault struct {
	db     *sql.DB
	now    func() time.Time
	source func() (Key, error) // may be nil
	keys   cache

	// turn is held for reading from the load of a wrapped value until it is unwrapped and cached, for writing while
	// the master key changes or keys are erased.
	turn   sync.RWMutex
	master *master // guarded by turn
}

// master is what a master key gives.
type master struct {
	check []byte      // stored in clear: tells the right key, and nothing else about it
	wrap  cipher.AEAD // with random nonces, in front of the ciphertext
}

func newMaster(k Key) *master {
	return &master{check: k.derive("check"), wrap: newAEAD(k.derive("wrap"))}
}

func newAEAD(key []byte) cipher.AEAD {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic("vault: AES refuses a key of 32 bytes: " + err.Error())
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic("vault: GCM refuses AES: " + err.Error())
	}
	return aead
}

// Option changes a setting of Open.
type Option func(*Vault)

// WithClock replaces time.Now, which chooses the month of a seal key.
func WithClock(now func() time.Time) Option { return func(v *Vault) { v.now = now } }

// WithMasterSource tells where to look for the master key again when the store turns out to have been rotated to another:
// a function such as LoadMaster of the key file. Without it, such calls fail with ErrWrongMaster.
func WithMasterSource(source func() (Key, error)) Option {
	return func(v *Vault) { v.source = source }
}

// Open opens the secrets in db, whose schema is that of the area "secrets". The first call on an empty store binds it to
// the master key; later ones with another give ErrWrongMaster.
func Open(ctx context.Context, db *sql.DB, key Key, options ...Option) (*Vault, error) {
	v := &Vault{db: db, now: time.Now, master: newMaster(key)}
	for _, o := range options {
		o(v)
	}
	v.keys.limit = MaxCachedKeys
	_, err := db.ExecContext(ctx, `INSERT INTO master (id, check_value) VALUES (1, $1) ON CONFLICT DO NOTHING`, v.master.check)
	if err != nil {
		return nil, fmt.Errorf("opening the secrets: %w", err)
	}
	if err := checkMaster(ctx, db, v.master); err != nil {
		return nil, err
	}
	return v, nil
}

// querier is what *sql.DB and *sql.Tx have in common.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// with runs f with the master key, while that cannot change. If the store was rotated to another and the source has that
// one, f runs once more with it.
func (v *Vault) with(ctx context.Context, f func(m *master) error) error {
	err := v.once(f)
	if !errors.Is(err, ErrWrongMaster) || v.source == nil {
		return err
	}
	if reload := v.reload(ctx); reload != nil {
		return errors.Join(err, reload)
	}
	return v.once(f)
}

func (v *Vault) once(f func(m *master) error) error {
	v.turn.RLock()
	defer v.turn.RUnlock()
	return f(v.master)
}

func (v *Vault) reload(ctx context.Context) error {
	key, err := v.source()
	if err != nil {
		return fmt.Errorf("loading the master key again: %w", err)
	}
	v.turn.Lock()
	defer v.turn.Unlock()
	m := newMaster(key)
	if err := checkMaster(ctx, v.db, m); err != nil {
		return err
	}
	v.master = m
	return nil
}

// checkMaster returns ErrWrongMaster unless the store is bound to m.
func checkMaster(ctx context.Context, q querier, m *master) error {
	var stored []byte
	if err := q.QueryRowContext(ctx, `SELECT check_value FROM master WHERE id = 1`).Scan(&stored); err != nil {
		return fmt.Errorf("reading the master key's check value: %w", err)
	}
	if subtle.ConstantTimeCompare(stored, m.check) != 1 {
		return ErrWrongMaster
	}
	return nil
}

// writing runs f in a transaction that holds the master row's lock, so that what f wraps with m is not overtaken by a
// rotation. ErrWrongMaster if the store is bound to another key.
func (v *Vault) writing(ctx context.Context, m *master, f func(tx *sql.Tx) error) error {
	return v.transaction(ctx, func(tx *sql.Tx) error {
		if err := bound(tx.ExecContext(ctx, `UPDATE master SET writes = writes + 1 WHERE id = 1 AND check_value = $1`, m.check)); err != nil {
			return err
		}
		return f(tx)
	})
}

// bound judges an update of the master row that asks for the check value.
func bound(res sql.Result, err error) error {
	if err != nil {
		return fmt.Errorf("locking the master key's row: %w", err)
	}
	n, err := res.RowsAffected()
	if err == nil && n == 0 {
		err = ErrWrongMaster
	}
	return err
}

func (v *Vault) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := v.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("beginning a transaction: %w", err)
	}
	if err := f(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("committing: %w", err)
	}
	return nil
}

// unwrap opens a wrapped value read from the store. If that fails it asks whether the master key has been rotated since.
func (m *master) unwrap(ctx context.Context, q querier, wrapped, binding []byte) ([]byte, error) {
	plain, err := m.wrap.Open(nil, nil, wrapped, binding)
	if err == nil {
		return plain, nil
	}
	if err := checkMaster(ctx, q, m); err != nil {
		return nil, err
	}
	return nil, fmt.Errorf("%w: a wrapped value in the secrets", ErrTampered)
}

func (m *master) seal(plain, binding []byte) []byte {
	return m.wrap.Seal(nil, nil, plain, binding) //nolint:gosec // the nonce is random, made by the AEAD itself
}

// bind is the associated data of a wrapped value: what it is, so that rows cannot be exchanged for one another.
func bind(what string, parts ...string) []byte {
	var b bytes.Buffer
	b.WriteString(what)
	for _, p := range parts {
		fmt.Fprintf(&b, "\n%d:%s", len(p), p)
	}
	return b.Bytes()
}

func checkName(what, s string) error {
	if s == "" || len(s) > MaxNameBytes {
		return fmt.Errorf("%w: %s of %d bytes (1 to %d)", ErrInvalid, what, len(s), MaxNameBytes)
	}
	return nil
}
