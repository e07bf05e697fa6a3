package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Answer is what was answered to a request with an Idempotency-Key.
type Answer struct {
	Merchant string
	Scope    string // what the key is unique within, beside the merchant: method and path
	Key      string
	Status   int       // HTTP
	Body     []byte    // byte for byte; the caller seals what is personal in it
	At       time.Time // UTC, microseconds
}

// PutAnswer stores an answer unless there is one, and returns the one that stands.
func (s *Store) PutAnswer(ctx context.Context, a Answer) (Answer, error) {
	err := errors.Join(checkName("merchant", a.Merchant), checkName("scope", a.Scope), checkName("idempotency key", a.Key))
	if err != nil {
		return Answer{}, err
	}
	if len(a.Body) > MaxAnswerBytes || a.At.IsZero() {
		return Answer{}, fmt.Errorf("%w: answer of %d bytes (at most %d) at %s", ErrInvalid, len(a.Body), MaxAnswerBytes, a.At)
	}
	n, err := changed(s.quick.ExecContext(ctx, `INSERT INTO answers (merchant, scope, key, body_hash, status, body, created_at)
		VALUES ($1, $2, $3, '', $4, $5, $6) ON CONFLICT DO NOTHING`, // body_hash: the log has a keyed one
		a.Merchant, a.Scope, a.Key, int64(a.Status), stored(a.Body), micros(a.At)))
	if err != nil {
		return Answer{}, fmt.Errorf("storing the answer of %s to %s: %w", a.Merchant, a.Scope, err)
	}
	if n == 1 {
		return a, nil
	}
	first, ok, err := s.Answer(ctx, a.Merchant, a.Scope, a.Key)
	if err == nil && !ok {
		err = fmt.Errorf("storing the answer of %s to %s: the earlier one was pruned meanwhile", a.Merchant, a.Scope)
	}
	return first, err
}

// Answer returns the stored answer; false if there is none.
func (s *Store) Answer(ctx context.Context, merchant, scope, key string) (Answer, bool, error) {
	a := Answer{Merchant: merchant, Scope: scope, Key: key}
	var status, at int64
	err := s.quick.QueryRowContext(ctx, `SELECT status, body, created_at FROM answers WHERE merchant = $1 AND scope = $2 AND key = $3`,
		merchant, scope, key).Scan(&status, &a.Body, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return Answer{}, false, nil
	}
	if err != nil {
		return Answer{}, false, fmt.Errorf("stored answer of %s to %s: %w", merchant, scope, err)
	}
	a.Status, a.At = int(status), fromMicros(at)
	return a, true, nil
}

// pruneAtOnce bounds one transaction of PruneAnswers.
const pruneAtOnce = 5000

// PruneAnswers deletes the answers given before that time, and returns how many those were.
func (s *Store) PruneAnswers(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		n, err := changed(s.quick.ExecContext(ctx, `DELETE FROM answers WHERE (merchant, scope, key) IN
			(SELECT merchant, scope, key FROM answers WHERE created_at < $1 ORDER BY created_at LIMIT $2)`, micros(before), pruneAtOnce))
		total += n
		if err != nil {
			return total, fmt.Errorf("pruning answers: %w", err)
		}
		if n < pruneAtOnce {
			return total, nil
		}
	}
}
