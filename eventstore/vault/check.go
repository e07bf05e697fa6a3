package vault

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/google/uuid"
)

// Check opens every data key and every named secret of the store, one at a time, and returns how many there are, with the erased keys. wrong is
// called with each that does not open, or is there although it was erased. Nothing is written. The error is a fault of reading: ErrWrongMaster when
// the master key was rotated to one that the source does not have.
func (v *Vault) Check(ctx context.Context, wrong func(error)) (Count, error) {
	var n Count
	var found []error
	err := v.with(ctx, func(m *master) (err error) { // again from the beginning, when it was rotated
		n, found, err = v.check(ctx, m)
		return err
	})
	if err != nil {
		return n, fmt.Errorf("checking the secrets: %w", err)
	}
	for _, err := range found {
		wrong(err)
	}
	return n, nil
}

// maxFound bounds the findings that Check keeps.
const maxFound = 100

func (v *Vault) check(ctx context.Context, m *master) (n Count, found []error, err error) {
	note := func(err error) error {
		if !errors.Is(err, ErrTampered) {
			return err
		}
		if len(found) < maxFound {
			found = append(found, err)
		}
		return nil
	}
	err = each(ctx, v.db, `SELECT key_id, owner, kind, period, wrapped FROM data_keys ORDER BY owner, kind, period`, func(scan func(...any) error) error {
		var k keyRow
		if err := scan((*id)(&k.ID), &k.Owner, &k.Kind, &k.Period, &k.Wrapped); err != nil {
			return err
		}
		n.Keys++
		if _, err := m.unwrap(ctx, v.db, k.Wrapped, k.binding()); err != nil {
			return note(fmt.Errorf("data key %s (%s of %s): %w", k.ID, k.Kind, k.Owner, err))
		}
		return nil
	})
	if err == nil {
		err = each(ctx, v.db, `SELECT name, wrapped FROM named_secrets ORDER BY name`, func(scan func(...any) error) error {
			var s secretRow
			if err := scan(&s.Name, &s.Wrapped); err != nil {
				return err
			}
			n.Secrets++
			if _, err := m.unwrap(ctx, v.db, s.Wrapped, bindSecret(s.Name)); err != nil {
				return note(fmt.Errorf("secret %s: %w", s.Name, err))
			}
			return nil
		})
	}
	if err == nil {
		err = each(ctx, v.db, `SELECT e.key_id, k.key_id FROM erased_keys e LEFT JOIN data_keys k ON k.key_id = e.key_id`, func(scan func(...any) error) error {
			var gone uuid.UUID
			var there []byte
			if err := scan((*id)(&gone), &there); err != nil {
				return err
			}
			n.Erased++
			if there != nil {
				return note(fmt.Errorf("%w: data key %s is there, and it was erased", ErrTampered, gone))
			}
			return nil
		})
	}
	return n, found, err
}

// each calls f for each row of a query.
func each(ctx context.Context, db *sql.DB, query string, f func(scan func(...any) error) error) (err error) {
	rows, err := db.QueryContext(ctx, query)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// KeyOf is the id of the data key that a value was sealed with. ErrTampered when it is none that Seal has given.
func KeyOf(sealed []byte) (uuid.UUID, error) {
	if len(sealed) < sealHeader+sealOverhead || sealed[0] != sealVersion {
		return uuid.Nil, fmt.Errorf("%w: %d bytes are no sealed value of version %d", ErrTampered, len(sealed), sealVersion)
	}
	return uuid.UUID(sealed[1:sealHeader]), nil
}

// KeyOfCommitment is the id of the data key that a commitment was made with.
func KeyOfCommitment(committed string) (uuid.UUID, error) {
	key, _, err := parseCommitment(committed)
	return key, err
}

// Erased tells whether a data key was erased on purpose. One that is not there and was not erased is lost: of a backup that is too old, or by damage.
func (v *Vault) Erased(ctx context.Context, key uuid.UUID) (bool, error) {
	var n int
	if err := v.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM erased_keys WHERE key_id = $1`, key[:]).Scan(&n); err != nil {
		return false, fmt.Errorf("looking whether data key %s was erased: %w", key, err)
	}
	return n > 0, nil
}
