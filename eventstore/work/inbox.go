package work

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// InboxState is what became of a message that is kept.
type InboxState string

// The states: early -> (absent) | unmatched.
const (
	InboxEarly     InboxState = "early"     // verified; what it is about is not known yet
	InboxUnmatched InboxState = "unmatched" // verified; what it is about was never known
	InboxRefused   InboxState = "refused"   // not believed
)

// Bounds of the inbox.
const (
	MaxInboxBytes = 1 << 20 // of a sealed message
	MaxInboxPage  = 1000    // messages of one Inbox
)

// InboxItem is a message of a payment company that is kept.
type InboxItem struct {
	ID       uuid.UUID // what Sealed is bound to
	Merchant string
	Config   string // gateway configuration; "" when it named none of the merchant's
	Gateway  string
	State    InboxState
	Reason   string // why it is kept
	Digest   string // SHA-256 of the message, hexadecimal: the same one is kept once in each state
	Sealed   []byte
	Repeats  int       // how often it came again
	At       time.Time // UTC, microseconds
}

func (i *InboxItem) check() error {
	err := errors.Join(checkName("merchant of a message", i.Merchant), checkName("gateway of a message", i.Gateway),
		checkName("reason of a message", i.Reason), checkName("digest of a message", i.Digest))
	if err == nil && (len(i.Config) > MaxNameBytes || len(i.Sealed) > MaxInboxBytes || i.At.IsZero() || i.ID == uuid.Nil) {
		err = fmt.Errorf("%w: message %s of %d bytes at %s", ErrInvalid, i.ID, len(i.Sealed), i.At)
	}
	return err
}

// KeepInbox keeps a message; that it is kept already only counts as a repeat. Of one configuration the newest `most` in a state are kept: of
// those beyond, early ones become unmatched, and others are deleted. It returns the message as it stands.
func (s *Store) KeepInbox(ctx context.Context, i InboxItem, most int) (InboxItem, error) {
	if err := i.check(); err != nil {
		return InboxItem{}, err
	}
	stands := i
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		var id string
		var repeats, at int64
		err := tx.QueryRowContext(ctx, `INSERT INTO inbox (id, merchant, config, gateway, state, reason, digest, sealed, received_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
			ON CONFLICT (merchant, config, state, digest) DO UPDATE SET repeats = inbox.repeats + 1
			RETURNING id, repeats, received_at`,
			i.ID.String(), i.Merchant, i.Config, i.Gateway, string(i.State), i.Reason, i.Digest, stored(i.Sealed), micros(i.At)).Scan(&id, &repeats, &at)
		if err != nil {
			return err
		}
		if stands.ID, err = uuid.Parse(id); err != nil {
			return err
		}
		stands.Repeats, stands.At = int(repeats), fromMicros(at)
		if repeats > 0 {
			return nil
		}
		return trimInbox(ctx, tx, i, most)
	})
	if err != nil {
		return InboxItem{}, fmt.Errorf("keeping a message of %s for %s %s: %w", i.Gateway, i.Merchant, i.Config, err)
	}
	return stands, nil
}

// trimAtOnce bounds what one new message makes go; there is rarely more than one.
const trimAtOnce = 1000

// trimInbox makes room in the state of a message that was just kept.
func trimInbox(ctx context.Context, tx *sql.Tx, i InboxItem, most int) error {
	const beyond = `(SELECT id FROM inbox WHERE merchant = $1 AND config = $2 AND state = $3 ORDER BY received_at DESC, id DESC LIMIT $4 OFFSET $5)`
	if i.State != InboxEarly {
		_, err := tx.ExecContext(ctx, `DELETE FROM inbox WHERE id IN `+beyond, i.Merchant, i.Config, string(i.State), trimAtOnce, most)
		return err
	}
	// Those that stand among the unmatched already must not stand there twice.
	_, err := tx.ExecContext(ctx, `DELETE FROM inbox WHERE merchant = $1 AND config = $2 AND state = 'unmatched' AND digest IN
		(SELECT digest FROM inbox WHERE id IN `+beyond+`)`, i.Merchant, i.Config, string(i.State), trimAtOnce, most)
	if err != nil {
		return err
	}
	res, err := changed(tx.ExecContext(ctx, `UPDATE inbox SET state = 'unmatched', reason = $6 WHERE id IN `+beyond,
		i.Merchant, i.Config, string(i.State), trimAtOnce, most, "too many early ones"))
	if err != nil || res == 0 {
		return err
	}
	i.State = InboxUnmatched
	return trimInbox(ctx, tx, i, most)
}

const inboxColumns = `id, merchant, config, gateway, state, reason, digest, sealed, repeats, received_at`

func scanInbox(scan func(...any) error) (InboxItem, error) {
	var i InboxItem
	var id, state string
	var repeats, at int64
	if err := scan(&id, &i.Merchant, &i.Config, &i.Gateway, &state, &i.Reason, &i.Digest, &i.Sealed, &repeats, &at); err != nil {
		return InboxItem{}, err
	}
	var err error
	if i.ID, err = uuid.Parse(id); err != nil {
		return InboxItem{}, fmt.Errorf("message %q: %w", id, err)
	}
	i.State, i.Repeats, i.At = InboxState(state), int(repeats), fromMicros(at)
	return i, nil
}

// InboxItem returns a message that is kept; false if there is none.
func (s *Store) InboxItem(ctx context.Context, id uuid.UUID) (InboxItem, bool, error) {
	i, err := scanInbox(s.db.QueryRowContext(ctx, `SELECT `+inboxColumns+` FROM inbox WHERE id = $1`, id.String()).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return InboxItem{}, false, nil
	}
	if err != nil {
		return InboxItem{}, false, fmt.Errorf("reading message %s: %w", id, err)
	}
	return i, true, nil
}

// Inbox returns the newest messages that are kept for a merchant's gateway configuration, newest first, at most MaxInboxPage; "" are those that
// named none of the merchant's.
func (s *Store) Inbox(ctx context.Context, merchant, config string, limit int) ([]InboxItem, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT `+inboxColumns+` FROM inbox WHERE merchant = $1 AND config = $2
		ORDER BY received_at DESC, id DESC LIMIT $3`, merchant, config, min(limit, MaxInboxPage))
	if err != nil {
		return nil, fmt.Errorf("reading the messages kept for %s %s: %w", merchant, config, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err says what went wrong
	var out []InboxItem
	for rows.Next() {
		i, err := scanInbox(rows.Scan)
		if err != nil {
			return nil, fmt.Errorf("reading the messages kept for %s %s: %w", merchant, config, err)
		}
		out = append(out, i)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading the messages kept for %s %s: %w", merchant, config, err)
	}
	return out, nil
}

// RemoveInbox deletes a message; that there is none is no error.
func (s *Store) RemoveInbox(ctx context.Context, id uuid.UUID) error {
	if _, err := s.db.ExecContext(ctx, `DELETE FROM inbox WHERE id = $1`, id.String()); err != nil {
		return fmt.Errorf("removing message %s: %w", id, err)
	}
	return nil
}

// GiveUpInbox makes an early message an unmatched one, of which the newest `most` are kept. That it is not early any more is no error.
func (s *Store) GiveUpInbox(ctx context.Context, id uuid.UUID, reason string, most int) error {
	err := s.transaction(ctx, func(tx *sql.Tx) error {
		i, err := scanInbox(tx.QueryRowContext(ctx, `UPDATE inbox SET reason = $2 WHERE id = $1 AND state = 'early' RETURNING `+inboxColumns,
			id.String(), reason).Scan)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		i.State = InboxUnmatched
		if _, err := tx.ExecContext(ctx, `DELETE FROM inbox WHERE merchant = $1 AND config = $2 AND state = 'unmatched' AND digest = $3`,
			i.Merchant, i.Config, i.Digest); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE inbox SET state = 'unmatched' WHERE id = $1`, id.String()); err != nil {
			return err
		}
		return trimInbox(ctx, tx, i, most)
	})
	if err != nil {
		return fmt.Errorf("giving up message %s: %w", id, err)
	}
	return nil
}

// PruneInbox deletes the messages that came before that time, and returns how many those were.
func (s *Store) PruneInbox(ctx context.Context, before time.Time) (int64, error) {
	var total int64
	for {
		n, err := changed(s.quick.ExecContext(ctx, `DELETE FROM inbox WHERE id IN
			(SELECT id FROM inbox WHERE received_at < $1 ORDER BY received_at LIMIT $2)`, micros(before), pruneAtOnce))
		total += n
		if err != nil {
			return total, fmt.Errorf("pruning messages: %w", err)
		}
		if n < pruneAtOnce {
			return total, nil
		}
	}
}
