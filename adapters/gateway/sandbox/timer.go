package sandbox

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// Bounds of the timers and callbacks.
const (
	maxDeliveries   = 8 // callbacks on their way at a time
	callbackTimeout = 20 * time.Second
	firstGap        = 200 * time.Millisecond // between two tries of a callback; doubled each time
	maxGap          = 30 * time.Second
	callbackAge     = 72 * time.Hour // then a callback is dropped
	timersAtOnce    = 100
	longestSleep    = time.Minute
	faultGap        = time.Second // after a failure of the bank's own file
)

// Run makes the timers go and delivers callbacks until ctx is done; then it waits for what it began and returns nil. What is
// not done is done by the next Run, in this process or another.
func (b *Bank) Run(ctx context.Context) error {
	if !b.running.TryLock() {
		return errors.New("the sandbox bank runs already")
	}
	defer b.running.Unlock()
	d := deliveries{busy: map[string]bool{}, ended: make(chan string, maxDeliveries)}
	defer d.running.Wait()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-b.wake:
		case reference := <-d.ended:
			delete(d.busy, reference)
		}
		if ctx.Err() != nil {
			return nil
		}
		next, err := b.look(ctx, &d)
		if err != nil && ctx.Err() == nil {
			b.log.Error("the sandbox bank's timers stand still", "error", err)
			next = b.opts.Clock().Add(faultGap)
		}
		timer.Reset(min(max(next.Sub(b.opts.Clock()), time.Millisecond), longestSleep))
	}
}

// deliveries are the callbacks on their way. busy is owned by Run.
type deliveries struct {
	busy    map[string]bool // references
	ended   chan string
	running sync.WaitGroup
}

// look carries out what is due and returns when to look again.
func (b *Bank) look(ctx context.Context, d *deliveries) (time.Time, error) {
	due, err := b.fire(ctx)
	if err != nil {
		return due, err
	}
	next, err := b.deliver(ctx, d)
	if err != nil {
		return next, err
	}
	if due.Before(next) {
		next = due
	}
	return next, nil
}

// fire carries out the timers that are due, each with its effect in one transaction, and returns when the next one is.
func (b *Bank) fire(ctx context.Context) (next time.Time, err error) {
	never := b.opts.Clock().Add(longestSleep)
	for range timersAtOnce {
		next = never
		err := b.transaction(ctx, func(tx *sql.Tx) error {
			var id, due int64
			var reference, what string
			err := tx.QueryRowContext(ctx, `SELECT id, due_at, reference, act FROM timers ORDER BY due_at, id LIMIT 1`).Scan(&id, &due, &reference, &what)
			if errors.Is(err, sql.ErrNoRows) {
				return nil
			}
			if err != nil {
				return err
			}
			if next = time.UnixMicro(due); next.After(b.opts.Clock()) {
				return nil
			}
			if err := b.carryOut(ctx, tx, reference, act(what)); err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, `DELETE FROM timers WHERE id = $1`, id)
			return err
		})
		if err != nil {
			return next, fmt.Errorf("timers: %w", err)
		}
		if next.After(b.opts.Clock()) {
			return next, nil
		}
	}
	return next, nil
}

// callback is a row of callbacks.
type callback struct {
	id        int64
	reference string
	messageID string
	body      []byte
	dueAt     time.Time
	attempt   int
	createdAt time.Time
	url       string // of a webhook of a face; "" is a callback to the ledger
	headers   string
}

// taken tells whether the receiver's answer ends a callback. The companies are content with any 2xx.
func (c *callback) taken(status int) bool {
	return status == http.StatusOK || c.url != "" && status/100 == 2
}

// deliver starts the callbacks that are due and whose turn it is, and returns when the next one is due.
func (b *Bank) deliver(ctx context.Context, d *deliveries) (next time.Time, err error) {
	next = b.opts.Clock().Add(longestSleep)
	list, err := b.dueCallbacks(ctx, len(d.busy)+maxDeliveries+1)
	if err != nil {
		return next, fmt.Errorf("callbacks: %w", err)
	}
	now := b.opts.Clock()
	for _, c := range list {
		switch {
		case d.busy[c.reference] || len(d.busy) == maxDeliveries:
			// Its end is told by ended.
		case c.dueAt.After(now):
			if c.dueAt.Before(next) {
				next = c.dueAt
			}
		default:
			d.busy[c.reference] = true
			d.running.Go(func() {
				defer func() { d.ended <- c.reference }()
				b.attempt(ctx, c)
			})
		}
	}
	return next, nil
}

// dueCallbacks returns the first undelivered callbacks of each reference, those due first.
func (b *Bank) dueCallbacks(ctx context.Context, limit int) (list []callback, err error) {
	rows, err := b.readers.QueryContext(ctx, `SELECT c.id, c.reference, c.message_id, c.body, c.due_at, c.attempt, c.created_at, c.url, c.headers
		FROM callbacks c
		WHERE NOT EXISTS (SELECT 1 FROM callbacks o WHERE o.reference = c.reference AND o.id < c.id)
		ORDER BY c.due_at, c.id LIMIT $1`, limit)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	for rows.Next() {
		var c callback
		var due, created int64
		if err := rows.Scan(&c.id, &c.reference, &c.messageID, &c.body, &due, &c.attempt, &created, &c.url, &c.headers); err != nil {
			return nil, err
		}
		c.dueAt, c.createdAt = time.UnixMicro(due), time.UnixMicro(created)
		list = append(list, c)
	}
	return list, rows.Err()
}

// attempt sends a callback once and stores what came of it.
func (b *Bank) attempt(ctx context.Context, c callback) {
	status, err := b.post(ctx, c)
	done := c.taken(status)
	if ctx.Err() != nil && !done {
		return // stopped: it is due as before
	}
	now := b.opts.Clock()
	if !done {
		problem := "" // status tells
		if err != nil {
			problem = err.Error()
		}
		b.log.Info("a callback was not taken", "message", c.messageID, "reference", c.reference, "attempt", c.attempt+1, "status", status, "problem", problem)
		if now.Sub(c.createdAt) > callbackAge {
			b.log.Error("a callback is dropped: nobody took it for days", "message", c.messageID, "reference", c.reference)
			done = true
		}
	}
	// Not under ctx: a callback that was taken should not be sent again only since the program stops.
	storing, cancel := context.WithTimeout(context.WithoutCancel(ctx), callbackTimeout)
	defer cancel()
	if done {
		_, err = b.writer.ExecContext(storing, `DELETE FROM callbacks WHERE id = $1`, c.id)
	} else {
		_, err = b.writer.ExecContext(storing, `UPDATE callbacks SET attempt = attempt + 1, due_at = $2 WHERE id = $1`,
			c.id, now.Add(gapAfter(c.attempt)).UnixMicro())
	}
	if err != nil {
		b.log.Error("the end of a callback was not stored, it is going to be sent again", "message", c.messageID, "error", err)
		select { // and not at once
		case <-time.After(faultGap):
		case <-ctx.Done():
		}
	}
}

func gapAfter(attempt int) time.Duration {
	gap := firstGap
	for range attempt {
		if gap *= 2; gap >= maxGap {
			return maxGap
		}
	}
	return gap
}

// request makes the HTTP request of a callback.
func (b *Bank) request(ctx context.Context, c callback) (*http.Request, error) {
	if c.url != "" {
		return c.request(ctx)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.target, bytes.NewReader(c.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	sign(req.Header, b.opts.Secret, c.messageID, c.body, b.opts.Clock())
	return req, nil
}

// post sends a callback, and returns the status of the answer.
func (b *Bank) post(ctx context.Context, c callback) (status int, err error) {
	req, err := b.request(ctx, c)
	if err != nil {
		return 0, err
	}
	res, err := b.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	// What it says does not matter; read, a little of it, so that the connection can be used again.
	if _, err := io.CopyN(io.Discard, res.Body, 4096); err != nil && !errors.Is(err, io.EOF) {
		return res.StatusCode, err
	}
	return res.StatusCode, nil
}
