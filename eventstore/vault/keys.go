package vault

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/google/uuid"
)

// Kinds of data keys.
const (
	kindSeal        = "seal"
	kindFingerprint = "fingerprint"
)

// keyName says what a data key is for. The period is 0 for a key that is not monthly.
type keyName struct {
	owner, kind string
	period      int64
}

// dataKey is an unwrapped key, ready for use.
type dataKey struct {
	id    uuid.UUID
	name  keyName
	aead  cipher.AEAD // of a seal key
	mac   Midstates   // of a fingerprint key; of a seal key, that which keys of commitments are made with
	until time.Time   // when to look at the store again
}

// periodOf is the calendar month of t in UTC, counted from the year 0.
func periodOf(t time.Time) int64 {
	y, m, _ := t.UTC().Date()
	return int64(y)*12 + int64(m) - 1
}

func newDataKey(id uuid.UUID, name keyName, secret []byte) *dataKey {
	k := &dataKey{id: id, name: name}
	if name.kind == kindSeal {
		k.aead = newAEAD(secret)
		k.mac = NewMidstates(derive(secret, "commitment"))
	} else {
		k.mac = NewMidstates(secret)
	}
	return k
}

func bindKey(id uuid.UUID, n keyName) []byte {
	return bind("data key", id.String(), n.owner, n.kind, strconv.FormatInt(n.period, 10))
}

// ownerKey returns the key of that name, and makes it if there is none.
func (v *Vault) ownerKey(ctx context.Context, name keyName, now time.Time) (*dataKey, error) {
	if k := v.keys.byName(name, now); k != nil {
		return k, nil
	}
	if err := checkName("owner", name.owner); err != nil {
		return nil, err
	}
	var k *dataKey
	err := v.with(ctx, func(m *master) (err error) {
		k, err = v.loadByName(ctx, m, name)
		if errors.Is(err, sql.ErrNoRows) {
			if err = v.makeKey(ctx, m, name, now); err == nil {
				k, err = v.loadByName(ctx, m, name)
			}
		}
		if err == nil {
			v.keys.put(k, now)
		}
		return err
	})
	return k, err
}

// makeKey stores a new key unless another process was faster.
func (v *Vault) makeKey(ctx context.Context, m *master, name keyName, now time.Time) error {
	id, err := uuid.NewRandom()
	if err != nil {
		return fmt.Errorf("id of a data key: %w", err)
	}
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	err = v.writing(ctx, m, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO data_keys (key_id, owner, kind, period, wrapped, created_at)
			VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (owner, kind, period) DO NOTHING`,
			id[:], name.owner, name.kind, name.period, m.seal(secret, bindKey(id, name)), now.UnixMicro())
		return err
	})
	if err != nil {
		return fmt.Errorf("storing a data key: %w", err)
	}
	return nil
}

// loadByName returns sql.ErrNoRows if there is no such key.
func (v *Vault) loadByName(ctx context.Context, m *master, name keyName) (*dataKey, error) {
	var id, wrapped []byte
	err := v.db.QueryRowContext(ctx, `SELECT key_id, wrapped FROM data_keys WHERE owner = $1 AND kind = $2 AND period = $3`,
		name.owner, name.kind, name.period).Scan(&id, &wrapped)
	if err != nil {
		return nil, fmt.Errorf("loading a data key: %w", err)
	}
	return v.open(ctx, m, id, name, wrapped)
}

func (v *Vault) open(ctx context.Context, m *master, id []byte, name keyName, wrapped []byte) (*dataKey, error) {
	keyID, err := uuid.FromBytes(id)
	if err != nil {
		return nil, fmt.Errorf("id of a data key: %w", err)
	}
	secret, err := m.unwrap(ctx, v.db, wrapped, bindKey(keyID, name))
	if err != nil {
		return nil, fmt.Errorf("data key %s: %w", keyID, err)
	}
	return newDataKey(keyID, name, secret), nil
}

// keyByID returns the seal key of that id; ErrErased if it is gone.
func (v *Vault) keyByID(ctx context.Context, id uuid.UUID, now time.Time) (*dataKey, error) {
	if k := v.keys.byID(id, now); k != nil {
		return k, nil
	}
	var k *dataKey
	err := v.with(ctx, func(m *master) (err error) {
		if k, err = v.loadByID(ctx, m, id); err == nil {
			v.keys.put(k, now)
		}
		return err
	})
	return k, err
}

func (v *Vault) loadByID(ctx context.Context, m *master, id uuid.UUID) (*dataKey, error) {
	name := keyName{kind: kindSeal}
	var wrapped []byte
	err := v.db.QueryRowContext(ctx, `SELECT owner, period, wrapped FROM data_keys WHERE key_id = $1 AND kind = $2`, id[:], kindSeal).
		Scan(&name.owner, &name.period, &wrapped)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("%w (key %s)", ErrErased, id)
	}
	if err != nil {
		return nil, fmt.Errorf("loading data key %s: %w", id, err)
	}
	return v.open(ctx, m, id[:], name, wrapped)
}
