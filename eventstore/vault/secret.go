package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// PutSecret stores a named secret, wrapped by the master key; a former value is replaced.
func (v *Vault) PutSecret(ctx context.Context, name string, secret []byte) error {
	if err := checkName("name of a secret", name); err != nil {
		return err
	}
	if len(secret) > MaxSecretBytes {
		return fmt.Errorf("%w: secret %s of %d bytes (at most %d)", ErrInvalid, name, len(secret), MaxSecretBytes)
	}
	err := v.with(ctx, func(m *master) error {
		return v.writing(ctx, m, func(tx *sql.Tx) error {
			_, err := tx.ExecContext(ctx, `INSERT INTO named_secrets (name, wrapped, updated_at) VALUES ($1, $2, $3)
				ON CONFLICT (name) DO UPDATE SET wrapped = excluded.wrapped, updated_at = excluded.updated_at`,
				name, m.seal(secret, bindSecret(name)), v.now().UnixMicro())
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("storing secret %s: %w", name, err)
	}
	return nil
}

// Secret returns a named secret; ErrNotFound if there is none.
func (v *Vault) Secret(ctx context.Context, name string) ([]byte, error) {
	var plain []byte
	err := v.with(ctx, func(m *master) error {
		var wrapped []byte
		err := v.db.QueryRowContext(ctx, `SELECT wrapped FROM named_secrets WHERE name = $1`, name).Scan(&wrapped)
		if err == nil {
			plain, err = m.unwrap(ctx, v.db, wrapped, bindSecret(name))
		}
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("secret %s: %w", name, err)
	}
	return plain, nil
}

// MovingPrefix begins the names of secrets that move on by themselves, such as the newest of something: an import leaves the one that is
// there, whatever the export has.
const MovingPrefix = "moving/"

// ChangeSecret puts what change makes of a named secret in its place; nobody else, in any process, writes it meanwhile. change is given
// nil where there is none. An error of it changes nothing, and is returned.
func (v *Vault) ChangeSecret(ctx context.Context, name string, change func(old []byte) ([]byte, error)) error {
	if err := checkName("name of a secret", name); err != nil {
		return err
	}
	err := v.with(ctx, func(m *master) error {
		return v.writing(ctx, m, func(tx *sql.Tx) error {
			var wrapped, old []byte
			err := tx.QueryRowContext(ctx, `SELECT wrapped FROM named_secrets WHERE name = $1`, name).Scan(&wrapped)
			if err == nil {
				old, err = m.unwrap(ctx, tx, wrapped, bindSecret(name))
			}
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			next, err := change(old)
			switch {
			case err != nil:
				return err
			case len(next) > MaxSecretBytes:
				return fmt.Errorf("%w: %d bytes (at most %d)", ErrInvalid, len(next), MaxSecretBytes)
			}
			_, err = tx.ExecContext(ctx, `INSERT INTO named_secrets (name, wrapped, updated_at) VALUES ($1, $2, $3)
				ON CONFLICT (name) DO UPDATE SET wrapped = excluded.wrapped, updated_at = excluded.updated_at`,
				name, m.seal(next, bindSecret(name)), v.now().UnixMicro())
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("changing secret %s: %w", name, err)
	}
	return nil
}

// DeleteSecret removes a named secret; that there is none is no error.
func (v *Vault) DeleteSecret(ctx context.Context, name string) error {
	if _, err := v.db.ExecContext(ctx, `DELETE FROM named_secrets WHERE name = $1`, name); err != nil {
		return fmt.Errorf("deleting secret %s: %w", name, err)
	}
	return nil
}

func bindSecret(name string) []byte { return bind("secret", name) }
