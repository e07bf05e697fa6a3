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
// second are possible, and the head's lock is held for as long only as the server works.
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
		time.AfterFunc(commitTimeout, cancel)
		conn.CancelRequest(soon) //nolint:errcheck // the answer is waited for in any case
	})
	unblock := context.AfterFunc(patient, func() {
		conn.Conn().SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a broken connection ends the write by itself
	})
	w := &wire{to: conn.Conn()}
	w.append(head, records)
	got := answers{broken: w.err}
	if w.err == nil {
		got.read(patient, conn)
	}
	intact := unblock() && stop()
	if !intact || got.broken != nil {
		cancel()
		if ctx.Err() != nil {
			<-gone // the cancellation must not hit what the connection is used for next
		}
		conn.Close(patient) //nolint:errcheck // the answer stands, whatever becomes of the connection
	}
	return got.outcome()
}

// queries is how many an append consists of.
const queries = 2

// append writes the messages of an append: one query for everything up to COMMIT, so that an error ends all of it, and the server
// ignores the rows that follow; and COMMIT.
func (w *wire) append(head eventstore.Head, records []eventstore.Record) {
	to := head.Behind(records)
	messages := 0
	for i := range records {
		messages += len(records[i].Evidence)
	}
	text := fmt.Sprintf("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT move_head(%d, %d, '\\x%s', %d, %d, '\\x%s', %d); COPY %s FROM STDIN BINARY",
		head.Partition, head.Seq, head.Hash, head.Epoch, to.Seq, to.Hash, to.RecordedAt.UnixMicro(), eventColumns)
	if messages > 0 {
		text += "; COPY " + evidenceColumns + " FROM STDIN BINARY"
	}
	w.query(text)
	w.copy(records, encodeEvent)
	if messages > 0 {
		w.copy(records, encodeEvidence)
	}
	w.query("COMMIT")
	w.flush()
}

// answers are what the server says to an append.
type answers struct {
	refused   *pgconn.PgError // the first refusal
	warned    bool            // about the transaction
	committed bool            // COMMIT was answered as such
	broken    error           // the connection
}

// read reads the answers to all queries.
func (a *answers) read(ctx context.Context, conn *pgconn.PgConn) {
	for ready := 0; ready < queries; {
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
		case *pgproto3.NoticeResponse:
			a.warned = a.warned || m.SeverityUnlocalized == "WARNING"
		case *pgproto3.CommandComplete:
			a.committed = string(m.CommandTag) == "COMMIT"
		case *pgproto3.ReadyForQuery:
			ready++
		}
	}
}

// outcome is what became of the append. It is in the log when nothing was refused and COMMIT has committed: behind a transaction that
// never began, COMMIT commits nothing, and says COMMIT. With a warning, it is committed here and perhaps not on the standby that
// should have it. When the connection breaks, and when a server says that it goes down, COMMIT may have been read all the
// same. ErrUnknown then.
func (a *answers) outcome() error {
	switch {
	case a.broken != nil:
		return fmt.Errorf("%w: %w", eventstore.ErrUnknown, a.broken)
	case a.refused != nil:
		return a.refused
	case a.committed && a.warned:
		return fmt.Errorf("%w: the server has committed with a warning", eventstore.ErrUnknown)
	case a.committed:
		return nil
	}
	return errors.New("commit: the server rolled the transaction back")
}
