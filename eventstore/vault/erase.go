package vault

import (
	"context"
	"database/sql"
	"fmt"
	"time"
)

// Erase deletes, for ever, the owner's seal keys of the months that ended at or before that time, and with the last seal
// key the fingerprint key. It returns how many keys it deleted. To erase everything, give a time after the present
// month; then first see to it that nothing more is sealed for the owner, since other processes may go on
// with the present month's key for up to CacheTTL.
func (v *Vault) Erase(ctx context.Context, owner string, before time.Time) (int, error) {
	v.turn.Lock() // a key that is being loaded must not get into the cache behind the drop below
	defer v.turn.Unlock()
	erased := 0
	err := v.transaction(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE master SET writes = writes + 1 WHERE id = 1`); err != nil {
			return err
		}
		n, err := erase(ctx, tx, rememberMonths, v.now().UnixMicro(), owner, periodOf(before))
		if err != nil {
			return err
		}
		last, err := erase(ctx, tx, rememberLast, v.now().UnixMicro(), owner)
		erased = n + last
		return err
	})
	v.keys.drop(func(k *dataKey) bool { return k.name.owner == owner })
	if err != nil {
		return 0, fmt.Errorf("erasing keys of %s: %w", owner, err)
	}
	return erased, nil
}

// Statements that remember the ids of keys to erase, at time $1, of owner $2.
const (
	rememberMonths = `INSERT INTO erased_keys (key_id, owner, erased_at)
		SELECT key_id, owner, CAST($1 AS BIGINT) FROM data_keys WHERE owner = $2 AND kind = 'seal' AND period < $3`
	rememberLast = `INSERT INTO erased_keys (key_id, owner, erased_at)
		SELECT key_id, owner, CAST($1 AS BIGINT) FROM data_keys WHERE owner = $2 AND kind = 'fingerprint'
		AND NOT EXISTS (SELECT 1 FROM data_keys s WHERE s.owner = $2 AND s.kind = 'seal')`
)

// erase remembers keys by the statement and deletes them. It returns how many those were.
func erase(ctx context.Context, tx *sql.Tx, remember string, args ...any) (int, error) {
	if _, err := tx.ExecContext(ctx, remember, args...); err != nil {
		return 0, err
	}
	return count(tx.ExecContext(ctx, `DELETE FROM data_keys WHERE owner = $1 AND key_id IN (SELECT key_id FROM erased_keys WHERE owner = $1)`, args[1]))
}
