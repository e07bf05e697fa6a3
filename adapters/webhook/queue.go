package webhook

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// This file is what the Sender does to the store.

// eligible holds for a delivery d at time $1 that may be attempted: it is pending, due, not under way, and no earlier one of its
// transaction is pending.
const eligible = `d.state = 'pending' AND d.due_at <= $1 AND d.lease_until <= $1 AND NOT EXISTS (SELECT 1 FROM deliveries o
	WHERE o.state = 'pending' AND o.merchant = d.merchant AND o.subject = d.subject AND (o.seq, o.id) < (d.seq, d.id))`

// due returns up to limit deliveries that may be attempted at now, those due longest first, of
// merchants that are not among the skipped ones.
func (s *Store) due(ctx context.Context, now time.Time, limit int, skipped []string) ([]Delivery, error) {
	text := strings.Builder{}
	text.WriteString(`SELECT ` + columns + ` FROM deliveries d WHERE ` + eligible)
	args := []any{now.UnixMicro(), int64(limit)}
	for i, m := range skipped {
		if i == 0 {
			text.WriteString(` AND d.merchant NOT IN (`)
		} else {
			text.WriteByte(',')
		}
		args = append(args, m)
		text.WriteString("$" + strconv.Itoa(len(args)))
	}
	if len(skipped) > 0 {
		text.WriteByte(')')
	}
	text.WriteString(` ORDER BY d.due_at, d.id LIMIT $2`)
	list, err := s.query(ctx, text.String(), args...)
	if err != nil {
		return nil, fmt.Errorf("looking for callbacks that are due: %w", err)
	}
	return list, nil
}

// begin counts an attempt and takes the lease, before the attempt is made; false when the delivery may not be attempted any
// more: another process was faster.
func (s *Store) begin(ctx context.Context, id, token string, now, leaseUntil time.Time) (Delivery, bool, error) {
	var d Delivery
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		var err error
		d, err = scan(tx.QueryRowContext(ctx, `UPDATE deliveries AS d SET attempts = attempts + 1, lease_until = $2, lease_token = $3
			WHERE id = $4 AND `+eligible+` RETURNING `+columns, now.UnixMicro(), leaseUntil.UnixMicro(), token, id))
		if err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO delivery_attempts (delivery, attempt, started_at, answer) VALUES ($1, $2, $3, $4)`,
			id, int64(d.Attempts), now.UnixMicro(), []byte{})
		return err
	})
	if errors.Is(err, sql.ErrNoRows) {
		return Delivery{}, false, nil
	}
	if err != nil {
		return Delivery{}, false, fmt.Errorf("beginning an attempt of callback %s: %w", id, err)
	}
	return d, true, nil
}

// finish records what came of the attempt that d began. state is Delivered or Failed, or Pending to try again at due. Who has lost the
// lease still records the attempt, and that it was delivered.
func (s *Store) finish(ctx context.Context, d *Delivery, o *outcome, state State, now, due time.Time) error {
	answer := o.answer
	if answer == nil {
		answer = []byte{}
	}
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `UPDATE delivery_attempts SET finished_at = $3, http_status = $4, latency_us = $5, error = $6, answer = $7
			WHERE delivery = $1 AND attempt = $2`,
			d.ID, int64(d.Attempts), now.UnixMicro(), int64(o.status), o.latency.Microseconds(), o.problem, answer)
		if err != nil {
			return err
		}
		switch state {
		case Delivered:
			_, err = tx.ExecContext(ctx, `UPDATE deliveries SET state = 'delivered', delivered_at = $2, lease_until = 0, lease_token = '' WHERE id = $1`,
				d.ID, now.UnixMicro())
		case Failed:
			_, err = tx.ExecContext(ctx, `UPDATE deliveries SET state = `+givenUp+`, lease_until = 0, lease_token = ''
				WHERE id = $1 AND lease_token = $2`, d.ID, d.token)
		case Pending:
			_, err = tx.ExecContext(ctx, `UPDATE deliveries SET due_at = $3, lease_until = 0, lease_token = ''
				WHERE id = $1 AND lease_token = $2`, d.ID, d.token, due.UnixMicro())
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("finishing attempt %d of callback %s: %w", d.Attempts, d.ID, err)
	}
	return nil
}

// givenUp is the state of a delivery whose attempts are used up.
const givenUp = `CASE WHEN delivered_at > 0 THEN 'delivered' ELSE 'failed' END`

// giveUp ends a delivery whose last attempt was cut short, by a kill of the program.
func (s *Store) giveUp(ctx context.Context, d *Delivery, now time.Time) error {
	_, err := s.quick.ExecContext(ctx, `UPDATE deliveries SET state = `+givenUp+`, lease_until = 0, lease_token = ''
		WHERE id = $1 AND state = 'pending' AND lease_until <= $2 AND attempts = $3`, d.ID, now.UnixMicro(), int64(d.Attempts))
	if err != nil {
		return fmt.Errorf("giving up callback %s: %w", d.ID, err)
	}
	return nil
}

// putOff moves a delivery that could not be attempted, for reasons of ours: that counts nothing. Where another process has made the attempt
// meanwhile, the time of the next one stays.
func (s *Store) putOff(ctx context.Context, id string, now, due time.Time) error {
	_, err := s.quick.ExecContext(ctx, `UPDATE deliveries SET due_at = $3 WHERE id = $1 AND state = 'pending' AND lease_until <= $2 AND due_at < $3`,
		id, now.UnixMicro(), due.UnixMicro())
	if err != nil {
		return fmt.Errorf("putting off callback %s: %w", id, err)
	}
	return nil
}

// transaction runs f in one. f's first statement must write, so that SQLite locks before it reads.
func (s *Store) transaction(ctx context.Context, f func(tx *sql.Tx) error) error {
	tx, err := s.quick.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		if rollback := tx.Rollback(); rollback != nil && !errors.Is(rollback, sql.ErrTxDone) {
			err = errors.Join(err, rollback)
		}
		return err
	}
	return tx.Commit()
}
