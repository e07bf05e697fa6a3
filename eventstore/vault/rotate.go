package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// RotateMaster wraps everything anew, from the master key old to next, in one transaction, and goes on with next.
// ErrWrongMaster if the store is not bound to old; ErrTampered if something in it does not open; then nothing has changed.
func (v *Vault) RotateMaster(ctx context.Context, old, next Key) error {
	v.turn.Lock()
	defer v.turn.Unlock()
	from, to := newMaster(old), newMaster(next)
	err := v.transaction(ctx, func(tx *sql.Tx) error {
		err := bound(tx.ExecContext(ctx, `UPDATE master SET writes = writes + 1, check_value = $1 WHERE id = 1 AND check_value = $2`,
			to.check, from.check))
		if err != nil {
			return err
		}
		return rewrap(ctx, tx, from, to)
	})
	if err != nil {
		return fmt.Errorf("rotating the master key: %w", err)
	}
	v.master = to
	return nil
}

func rewrap(ctx context.Context, tx *sql.Tx, from, to *master) error {
	all, err := readContents(ctx, tx)
	if err != nil {
		return err
	}
	for _, k := range all.keys {
		binding := k.binding()
		secret, err := from.wrap.Open(nil, nil, k.Wrapped, binding)
		if err != nil {
			return fmt.Errorf("%w: data key %s", ErrTampered, k.ID)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE data_keys SET wrapped = $1 WHERE key_id = $2`, to.seal(secret, binding), k.ID[:]); err != nil {
			return err
		}
	}
	for _, s := range all.secrets {
		binding := bindSecret(s.Name)
		secret, err := from.wrap.Open(nil, nil, s.Wrapped, binding)
		if err != nil {
			return fmt.Errorf("%w: secret %s", ErrTampered, s.Name)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE named_secrets SET wrapped = $1 WHERE name = $2`, to.seal(secret, binding), s.Name); err != nil {
			return err
		}
	}
	return nil
}

// RotateMasterFile gives the store in db a new random master key and writes that to the key file at path. The new key is
// durable in path.next before the store changes, and takes the place of path after it; a call that was killed in
// between is completed by the next one.
func RotateMasterFile(ctx context.Context, db *sql.DB, path string) error {
	old, err := LoadMaster(path)
	if err != nil {
		return err
	}
	next, err := LoadOrCreateMaster(path + ".next")
	if err != nil {
		return err
	}
	v, err := Open(ctx, db, old)
	switch {
	case err == nil:
		err = v.RotateMaster(ctx, old, next)
	case errors.Is(err, ErrWrongMaster): // perhaps since an earlier call came as far as changing the store
		if _, other := Open(ctx, db, next); other == nil {
			err = nil
		}
	}
	if err != nil {
		return err
	}
	if err := os.Rename(path+".next", path); err != nil {
		return fmt.Errorf("the store has the new master key, %s.next; putting it in place: %w", path, err)
	}
	return syncDir(filepath.Dir(path))
}
