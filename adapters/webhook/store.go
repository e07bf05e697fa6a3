package webhook

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/groupcommit"
)

// State of a delivery.
type State string

// The states. A delivery that was delivered once stays so, even if a resend of it fails.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Failed    State = "failed"
)

// Delivery is one callback.
type Delivery struct {
	ID          string // "cb_" and the event's id; the header webhook-id
	Merchant    string
	Transaction string              // or the batch that it is about
	Position    eventstore.Position // of the event
	Type        string              // of the event
	Status      string              // what the callback tells, of the payment or of the batch
	Dialect     merchant.Dialect
	Body        []byte // what is sent, byte for byte
	State       State
	Attempts    int       // made, of all rounds
	Round       int       // of those, the ones of the present round: a resend begins one
	Due         time.Time // of the next attempt, while pending
	CreatedAt   time.Time
	DeliveredAt time.Time // zero: never

	token string // of the lease, while an attempt is under way
}

// Attempt is one try of a delivery.
type Attempt struct {
	Number     int // from 1
	StartedAt  time.Time
	FinishedAt time.Time // zero while it is under way, and if the program was killed meanwhile
	Status     int       // HTTP; 0 without an answer
	Latency    time.Duration
	Error      string // why there was no answer
	Answer     []byte // its first KB
}

// MaxPage bounds a page of List.
const MaxPage = 500

// Store keeps deliveries in work storage. It is safe for concurrent use, by several processes too.
type Store struct {
	db    *sql.DB
	quick *sql.DB // for what a crash of the database may undo
	adds  *groupcommit.Pool[*Delivery]
	wake  chan struct{} // of capacity one: there is something new
}

// Bounds of a transaction that callers of add share.
const (
	addTogetherMost   = 64
	addTogetherWithin = 30 * time.Second
)

// NewStore keeps deliveries in db, whose schema is that of the area "work". quick is a pool of connections to the same database
// whose commits need not wait for the disk; it may be db. Both stay the caller's to close.
func NewStore(db, quick *sql.DB) *Store {
	s := &Store{db: db, quick: quick, wake: make(chan struct{}, 1)}
	s.adds = groupcommit.New(addTogetherMost, addTogetherWithin, s.addTogether)
	return s
}

func deliveryID(event uuid.UUID) string { return "cb_" + strings.ReplaceAll(event.String(), "-", "") }

func (s *Store) wakeUp() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// add stores a new delivery; one that exists is left alone. Callers that add at the same time share a transaction.
func (s *Store) add(ctx context.Context, d *Delivery) error {
	if err := s.adds.Do(ctx, d); err != nil {
		return fmt.Errorf("storing callback %s: %w", d.ID, err)
	}
	return nil
}

// deliveryFields are how many columns of a new delivery are given.
const deliveryFields = 11

// addTogether stores the deliveries of several callers with one statement. The number of rows is rounded up to a power of two, by
// repeating the last one, which changes nothing: so there are only a few statements, each of which a connection prepares once.
func (s *Store) addTogether(ctx context.Context, list []*Delivery) error {
	list = slices.SortedFunc(slices.Values(list), func(a, b *Delivery) int { return cmp.Compare(a.ID, b.ID) }) // so that processes do not wait in a circle
	rows := 1 << bits.Len(uint(len(list)-1))
	args := make([]any, 0, deliveryFields*rows)
	for i := range rows {
		d := list[min(i, len(list)-1)]
		args = append(args, d.ID, d.Merchant, d.Transaction, int64(d.Position.Partition), d.Position.Seq, d.Type, d.Status,
			string(d.Dialect), d.Body, d.Due.UnixMicro(), d.CreatedAt.UnixMicro())
	}
	if _, err := s.db.ExecContext(ctx, insertText(rows), args...); err != nil {
		return err
	}
	s.wakeUp()
	return nil
}

// insertText inserts so many deliveries.
func insertText(rows int) string {
	var text strings.Builder
	text.WriteString(`INSERT INTO deliveries
		(id, merchant, subject, partition, seq, type, status, dialect, body, due_at, created_at, state) VALUES `)
	for i := range rows {
		if i > 0 {
			text.WriteByte(',')
		}
		text.WriteByte('(')
		for field := range deliveryFields {
			text.WriteString("$" + strconv.Itoa(i*deliveryFields+field+1) + ",")
		}
		text.WriteString("'pending')")
	}
	text.WriteString(` ON CONFLICT DO NOTHING`)
	return text.String()
}

// columns are what scan reads.
const columns = `id, merchant, subject, partition, seq, type, status, dialect, body, state, attempts, round_from, due_at, created_at, delivered_at, lease_token`

func scan(row interface{ Scan(...any) error }) (Delivery, error) {
	var d Delivery
	var from, due, created, delivered int64
	err := row.Scan(&d.ID, &d.Merchant, &d.Transaction, &d.Position.Partition, &d.Position.Seq, &d.Type, &d.Status, &d.Dialect, &d.Body,
		&d.State, &d.Attempts, &from, &due, &created, &delivered, &d.token)
	if err != nil {
		return Delivery{}, err
	}
	d.Round = d.Attempts - int(from)
	d.Due, d.CreatedAt, d.DeliveredAt = moment(due), moment(created), moment(delivered)
	return d, nil
}

// moment reads a stored time: Unix microseconds, 0 for none.
func moment(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}

// Get returns a delivery and its attempts, the first one first. domain.NotFound when there is none.
func (s *Store) Get(ctx context.Context, id string) (Delivery, []Attempt, error) {
	d, err := scan(s.db.QueryRowContext(ctx, `SELECT `+columns+` FROM deliveries WHERE id = $1`, id))
	if errors.Is(err, sql.ErrNoRows) {
		return Delivery{}, nil, domain.Errorf(domain.NotFound, "there is no callback %s", id)
	}
	if err != nil {
		return Delivery{}, nil, fmt.Errorf("callback %s: %w", id, err)
	}
	attempts, err := s.attempts(ctx, id)
	if err != nil {
		return Delivery{}, nil, fmt.Errorf("attempts of callback %s: %w", id, err)
	}
	return d, attempts, nil
}

// OfEvent returns the delivery about an event, as Get does.
func (s *Store) OfEvent(ctx context.Context, event uuid.UUID) (Delivery, []Attempt, error) {
	return s.Get(ctx, deliveryID(event))
}

func (s *Store) attempts(ctx context.Context, id string) (list []Attempt, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT attempt, started_at, finished_at, http_status, latency_us, error, answer
		FROM delivery_attempts WHERE delivery = $1 ORDER BY attempt`, id)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var a Attempt
		var started, finished, latency int64
		if err := rows.Scan(&a.Number, &started, &finished, &a.Status, &latency, &a.Error, &a.Answer); err != nil {
			return nil, err
		}
		a.StartedAt, a.FinishedAt, a.Latency = moment(started), moment(finished), time.Duration(latency)*time.Microsecond
		list = append(list, a)
	}
	return list, rows.Err()
}

// Filter chooses deliveries. Its zero value means all, a page of MaxPage.
type Filter struct {
	Merchant string
	State    State
	Limit    int    // at most MaxPage, which is also the default
	Cursor   string // from the page before
}

// List returns a page of deliveries, the newest first, and the cursor of the next page: "" after the last one. domain.Invalid
// for a cursor that is none.
func (s *Store) List(ctx context.Context, f Filter) (page []Delivery, next string, err error) {
	text, args, err := f.query()
	if err != nil {
		return nil, "", err
	}
	limit := f.Limit
	if limit <= 0 || limit > MaxPage {
		limit = MaxPage
	}
	text += ` ORDER BY created_at DESC, id DESC LIMIT ` + strconv.Itoa(limit+1)
	page, err = s.query(ctx, `SELECT `+columns+` FROM deliveries`+text, args...)
	if err != nil {
		return nil, "", fmt.Errorf("listing callbacks: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = strconv.FormatInt(last.CreatedAt.UnixMicro(), 10) + "." + last.ID
	}
	return page, next, nil
}

// query is the filter as a WHERE clause.
func (f *Filter) query() (string, []any, error) {
	var conditions []string
	var args []any
	add := func(condition string, values ...any) {
		for _, v := range values {
			args = append(args, v)
			condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(args)), 1)
		}
		conditions = append(conditions, condition)
	}
	if f.Merchant != "" {
		add("merchant = ?", f.Merchant)
	}
	if f.State != "" {
		add("state = ?", string(f.State))
	}
	if f.Cursor != "" {
		at, id, ok := strings.Cut(f.Cursor, ".")
		created, err := strconv.ParseInt(at, 10, 64)
		if err != nil || !ok {
			return "", nil, domain.InvalidField("cursor", "is not one that was returned")
		}
		add("(created_at < ? OR created_at = ? AND id < ?)", created, created, id)
	}
	if len(conditions) == 0 {
		return "", nil, nil
	}
	return " WHERE " + strings.Join(conditions, " AND "), args, nil
}

func (s *Store) query(ctx context.Context, text string, args ...any) (list []Delivery, err error) {
	rows, err := s.db.QueryContext(ctx, text, args...)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		d, err := scan(rows)
		if err != nil {
			return nil, err
		}
		list = append(list, d)
	}
	return list, rows.Err()
}

// Count returns how many deliveries there are of each state.
func (s *Store) Count(ctx context.Context) (counts map[State]int64, err error) {
	rows, err := s.db.QueryContext(ctx, `SELECT state, COUNT(*) FROM deliveries GROUP BY state`)
	if err != nil {
		return nil, fmt.Errorf("counting callbacks: %w", err)
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	counts = map[State]int64{Pending: 0, Delivered: 0, Failed: 0}
	for rows.Next() {
		var state State
		var n int64
		if err := rows.Scan(&state, &n); err != nil {
			return nil, fmt.Errorf("counting callbacks: %w", err)
		}
		counts[state] = n
	}
	return counts, rows.Err()
}

// Resend has a delivery sent again with the same bytes, whatever became of it: with a new round of attempts, beginning at now. One
// that is pending anyway is tried at now, in its present round. domain.NotFound when there is none.
func (s *Store) Resend(ctx context.Context, id string, now time.Time) (Delivery, error) {
	res, err := s.db.ExecContext(ctx, `UPDATE deliveries SET
		round_from = CASE WHEN state = 'pending' THEN round_from ELSE attempts END, state = 'pending', due_at = $2 WHERE id = $1`, id, now.UnixMicro())
	if err != nil {
		return Delivery{}, fmt.Errorf("resending callback %s: %w", id, err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return Delivery{}, fmt.Errorf("resending callback %s: %w", id, err)
	} else if n == 0 {
		return Delivery{}, domain.Errorf(domain.NotFound, "there is no callback %s", id)
	}
	s.wakeUp()
	d, _, err := s.Get(ctx, id)
	return d, err
}
