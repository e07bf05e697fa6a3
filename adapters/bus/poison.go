package bus

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/message/router/middleware"
	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of poisoned records.
const (
	maxReason = 2000 // bytes of a stored reason
	maxPage   = 500  // entries of one List
)

// Poisoned is a record that a consumer could not handle, and that was taken out of its way.
type Poisoned struct {
	Consumer string // see Consumer
	Position eventstore.Position
	EventID  uuid.UUID
	Type     string
	Reason   string
	At       time.Time // UTC, microseconds
}

// Poison keeps poisoned records: where they are in the log, and why. It is work storage.
type Poison struct{ db *sql.DB }

// NewPoison keeps poisoned records in db, whose schema is that of the area "work". db stays the caller's to close.
func NewPoison(db *sql.DB) *Poison { return &Poison{db: db} }

// put stores p; a repeat for the same consumer and record keeps the newer reason.
func (q *Poison) put(ctx context.Context, p Poisoned) error {
	_, err := q.db.ExecContext(ctx, `INSERT INTO poison (consumer, partition, seq, event_id, type, reason, at) VALUES ($1, $2, $3, $4, $5, $6, $7)
		ON CONFLICT (consumer, partition, seq) DO UPDATE SET reason = excluded.reason, at = excluded.at`,
		p.Consumer, int64(p.Position.Partition), p.Position.Seq, p.EventID.String(), p.Type, p.Reason, p.At.UnixMicro())
	if err != nil {
		return fmt.Errorf("putting record %s of %s aside: %w", p.Position, p.Consumer, err)
	}
	return nil
}

// List returns up to limit poisoned records, the oldest first.
func (q *Poison) List(ctx context.Context, limit int) (list []Poisoned, err error) {
	rows, err := q.db.QueryContext(ctx, `SELECT consumer, partition, seq, event_id, type, reason, at FROM poison
		ORDER BY at, consumer, partition, seq LIMIT $1`, int64(max(1, min(limit, maxPage))))
	if err != nil {
		return nil, fmt.Errorf("listing poisoned records: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var p Poisoned
		var id string
		var at int64
		if err := rows.Scan(&p.Consumer, &p.Position.Partition, &p.Position.Seq, &id, &p.Type, &p.Reason, &at); err != nil {
			return nil, fmt.Errorf("listing poisoned records: %w", err)
		}
		if p.EventID, err = uuid.Parse(id); err != nil {
			return nil, fmt.Errorf("poisoned record %s of %s: %w", p.Position, p.Consumer, err)
		}
		p.At = time.UnixMicro(at).UTC()
		list = append(list, p)
	}
	return list, rows.Err()
}

// Count is the number of poisoned records: anything but 0 is for a person to look at.
func (q *Poison) Count(ctx context.Context) (int64, error) {
	var n int64
	if err := q.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM poison`).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting poisoned records: %w", err)
	}
	return n, nil
}

// holds tells whether the consumer's record is poisoned.
func (q *Poison) holds(ctx context.Context, consumer string, at eventstore.Position) (bool, error) {
	var n int64
	err := q.db.QueryRowContext(ctx, `SELECT COUNT(*) FROM poison WHERE consumer = $1 AND partition = $2 AND seq = $3`, consumer, int64(at.Partition), at.Seq).Scan(&n)
	if err != nil {
		return false, fmt.Errorf("looking for poisoned record %s of %s: %w", at, consumer, err)
	}
	return n > 0, nil
}

// remove forgets a record.
func (q *Poison) remove(ctx context.Context, consumer string, at eventstore.Position) error {
	_, err := q.db.ExecContext(ctx, `DELETE FROM poison WHERE consumer = $1 AND partition = $2 AND seq = $3`, consumer, int64(at.Partition), at.Seq)
	if err != nil {
		return fmt.Errorf("removing poisoned record %s of %s: %w", at, consumer, err)
	}
	return nil
}

// poisonPublisher is where watermill's PoisonQueue puts messages.
type poisonPublisher struct{ router *Router }

// Publish stores where the records are and why they are poisoned.
func (p poisonPublisher) Publish(_ string, messages ...*message.Message) error {
	for _, msg := range messages {
		at, err := eventstore.ParsePosition(msg.Metadata.Get(MetaPosition))
		if err != nil {
			return fmt.Errorf("putting message %s aside: %w", msg.UUID, err)
		}
		id, err := uuid.Parse(msg.UUID)
		if err != nil {
			return fmt.Errorf("putting message %s aside: %w", msg.UUID, err)
		}
		entry := Poisoned{
			Consumer: msg.Metadata.Get(middleware.PoisonedHandlerKey), Position: at, EventID: id, Type: msg.Metadata.Get(MetaType),
			Reason: cut(msg.Metadata.Get(middleware.ReasonForPoisonedKey)), At: time.Now(),
		}
		// A retry ends with the message's context when the subscriber is closed; what it gave up by then is not poison.
		if err := p.router.poison.put(msg.Context(), entry); err != nil {
			return err
		}
		p.router.logger.Error("a record cannot be handled and was put aside; see the table poison",
			"consumer", entry.Consumer, "position", at.String(), "event", entry.EventID.String(), "type", entry.Type, "reason", entry.Reason)
	}
	return nil
}

// Close does nothing.
func (poisonPublisher) Close() error { return nil }

// cut makes a reason storable.
func cut(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "?"), "\x00", "?")
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "")
	}
	return s
}
