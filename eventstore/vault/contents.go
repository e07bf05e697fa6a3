package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// contents are all rows of the store, in a fixed order.
type contents struct {
	check   []byte
	erased  []erasedRow
	keys    []keyRow
	secrets []secretRow
}

type erasedRow struct {
	ID       uuid.UUID `json:"id"`
	Owner    string    `json:"owner"`
	ErasedAt int64     `json:"erased_at"` // Unix microseconds
}

type keyRow struct {
	ID        uuid.UUID `json:"id"`
	Owner     string    `json:"owner"`
	Kind      string    `json:"kind"`
	Period    int64     `json:"period"`
	Wrapped   []byte    `json:"wrapped"`
	CreatedAt int64     `json:"created_at"` // Unix microseconds
}

type secretRow struct {
	Name      string `json:"name"`
	Wrapped   []byte `json:"wrapped"`
	UpdatedAt int64  `json:"updated_at"` // Unix microseconds
}

func (k *keyRow) binding() []byte { return bindKey(k.ID, keyName{k.Owner, k.Kind, k.Period}) }

// readContents reads everything; tx holds the master row's lock, so that nothing wrapped is added meanwhile.
func readContents(ctx context.Context, tx *sql.Tx) (contents, error) {
	var c contents
	err := tx.QueryRowContext(ctx, `SELECT check_value FROM master WHERE id = 1`).Scan(&c.check)
	if err != nil {
		return c, fmt.Errorf("reading the master key's check value: %w", err)
	}
	c.erased, err = query(ctx, tx, `SELECT key_id, owner, erased_at FROM erased_keys ORDER BY key_id`,
		func(r *erasedRow) []any { return []any{(*id)(&r.ID), &r.Owner, &r.ErasedAt} })
	if err != nil {
		return c, fmt.Errorf("reading erased keys: %w", err)
	}
	c.keys, err = query(ctx, tx, `SELECT key_id, owner, kind, period, wrapped, created_at FROM data_keys ORDER BY owner, kind, period`,
		func(r *keyRow) []any {
			return []any{(*id)(&r.ID), &r.Owner, &r.Kind, &r.Period, &r.Wrapped, &r.CreatedAt}
		})
	if err != nil {
		return c, fmt.Errorf("reading data keys: %w", err)
	}
	c.secrets, err = query(ctx, tx, `SELECT name, wrapped, updated_at FROM named_secrets ORDER BY name`,
		func(r *secretRow) []any { return []any{&r.Name, &r.Wrapped, &r.UpdatedAt} })
	if err != nil {
		return c, fmt.Errorf("reading secrets: %w", err)
	}
	return c, nil
}

// id scans the 16 bytes of a key id.
type id uuid.UUID

func (i *id) Scan(src any) error {
	b, ok := src.([]byte)
	if !ok || len(b) != len(i) {
		return fmt.Errorf("a key id of type %T is not %d bytes", src, len(i))
	}
	copy(i[:], b)
	return nil
}

func query[T any](ctx context.Context, tx *sql.Tx, text string, fields func(*T) []any) (all []T, err error) {
	rows, err := tx.QueryContext(ctx, text)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var r T
		if err := rows.Scan(fields(&r)...); err != nil {
			return nil, err
		}
		all = append(all, r)
	}
	return all, rows.Err()
}
