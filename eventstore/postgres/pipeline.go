package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/khata-ledger/khata/eventstore"
)

// commitTimeout is how long the answer to COMMIT is waited for, whatever the caller's context says.
const commitTimeout = 15 * time.Second

// appendOn sends a whole append at once, and then reads the answers: with one round trip in place of four, many small appends a
// second are possible, and the head's lock is held for as long only as the server works. Whatever fails on the way, the server
// ignores the rows that follow, and answers COMMIT with ROLLBACK.
func appendOn(ctx context.Context, conn *pgconn.PgConn, head eventstore.Head, records []eventstore.Record) error {
	// The answer to COMMIT is waited for, so that a caller that goes away does not make an outcome unknown. What waits for the
	// lock then is cancelled by the server, which is an answer.
	patient, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	gone := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(gone)
		soon, done := context.WithTimeout(patient, commitTimeout)
		defer done()
		conn.CancelRequest(soon) //nolint:errcheck // the answer is waited for in any case
		time.AfterFunc(commitTimeout, cancel)
	})
	unblock := context.AfterFunc(patient, func() {
		conn.Conn().SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a broken connection ends the write by itself
	})
	w := &wire{to: conn.Conn()}
	asked := w.append(head, records)
	var got answers
	if w.err == nil {
		got.read(patient, conn, asked)
	}
	unblock()
	if !stop() {
		<-gone // the cancellation must not hit what the connection is used for next
		return errors.Join(got.outcome(w.err), conn.Close(patient))
	}
	if w.err != nil || got.broken != nil {
		return errors.Join(got.outcome(w.err), conn.Close(patient))
	}
	return got.outcome(nil)
}

// append writes the messages of an append, and returns how many queries are among them.
func (w *wire) append(head eventstore.Head, records []eventstore.Record) (queries int) {
	to := head.Behind(records)
	messages := 0
	for i := range records {
		messages += len(records[i].Evidence)
	}
	w.query(fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT move_head(%d, %d, '\\x%s', %d, %d, '\\x%s', %d); COPY %s FROM STDIN BINARY",
		head.Partition, head.Seq, head.Hash, head.Epoch, to.Seq, to.Hash, to.RecordedAt.UnixMicro(), eventColumns))
	w.copy(records, encodeEvent)
	queries = 2
	if messages > 0 {
		w.query("COPY " + evidenceColumns + " FROM STDIN BINARY")
		w.copy(records, encodeEvidence)
		queries++
	}
	w.query("COMMIT")
	w.flush()
	return queries
}

// answers are what the server says to an append.
type answers struct {
	ready     int             // queries that it has done with
	refused   *pgconn.PgError // the first
	committed bool
	broken    error // the connection
}

// read reads the answers to so many queries.
func (a *answers) read(ctx context.Context, conn *pgconn.PgConn, queries int) {
	for a.ready < queries {
		message, err := conn.ReceiveMessage(ctx)
		if err != nil {
			a.broken = err
			return
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			if a.refused == nil {
				a.refused = pgconn.ErrorResponseToPgError(m)
			}
		case *pgproto3.CommandComplete:
			a.committed = string(m.CommandTag) == "COMMIT"
		case *pgproto3.ReadyForQuery:
			a.ready++
		}
	}
}

// outcome is what became of the append. Only a server that has said so has committed, or has not: when the connection breaks, and
// when a server that goes down says so behind the first query, it may have committed all the same. ErrUnknown then.
func (a *answers) outcome(unsent error) error {
	var last *pgconn.PgError
	switch {
	case a.committed && a.broken == nil:
		return nil
	case a.refused != nil && a.broken == nil && unsent == nil:
		return a.refused
	case a.ready == 0 && errors.As(a.broken, &last):
		return last // COMMIT is read behind the end of the first query
	case a.broken == nil && unsent == nil:
		return errors.New("commit: the server rolled the transaction back")
	}
	return fmt.Errorf("%w: %w", eventstore.ErrUnknown, errors.Join(unsent, a.broken))
}
