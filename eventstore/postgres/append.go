package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/khata-ledger/khata/eventstore"
)

// Append writes records behind head, in one durable transaction. See eventstore.Store.
func (s *Store) Append(ctx context.Context, head eventstore.Head, records []eventstore.Record) error {
	if err := eventstore.CheckAppend(head, records); err != nil {
		return err
	}
	if err := s.checkPartition(ctx, head.Partition); err != nil {
		return err
	}
	if err := s.index.Ready(ctx, head); err != nil {
		return fmt.Errorf("append behind %d:%d: %w", head.Partition, head.Seq, explain(err))
	}
	err := s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return appendOn(ctx, conn.Conn().PgConn(), head, records)
	})
	if err != nil {
		last := records[len(records)-1].Seq
		return fmt.Errorf("append records %d:%d to %d: %w", head.Partition, records[0].Seq, last, explain(err))
	}
	s.index.Added(head, records)
	return nil
}

// lockHead begins a transaction and takes the head's row lock in it. Partition numbers are integers, so they are written
// into the text: simple queries go out together, in one round trip.
func lockHead(ctx context.Context, conn *pgconn.PgConn, partition int) (eventstore.Head, error) {
	results, err := conn.Exec(ctx, "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; "+
		"SELECT seq, encode(hash, 'hex'), epoch, recorded_at FROM heads WHERE partition = "+strconv.Itoa(partition)+" FOR UPDATE").ReadAll()
	if err != nil {
		return eventstore.Head{}, fmt.Errorf("lock the head: %w", err)
	}
	if len(results) != 2 || len(results[1].Rows) != 1 {
		return eventstore.Head{}, fmt.Errorf("lock the head: %w", eventstore.ErrPartition)
	}
	head, err := parseHead(partition, results[1].Rows[0])
	if err != nil {
		return eventstore.Head{}, fmt.Errorf("%w: the head of partition %d: %w", eventstore.ErrBroken, partition, err)
	}
	return head, nil
}

// parseHead reads a head in PostgreSQL's text format.
func parseHead(partition int, row [][]byte) (eventstore.Head, error) {
	head := eventstore.Head{Partition: partition}
	seq, seqErr := strconv.ParseInt(string(row[0]), 10, 64)
	hash, hashErr := eventstore.ParseHash(string(row[1]))
	epoch, epochErr := strconv.ParseInt(string(row[2]), 10, 64)
	if err := errors.Join(seqErr, hashErr, epochErr); err != nil {
		return eventstore.Head{}, err
	}
	head.Seq, head.Hash, head.Epoch = seq, hash, epoch
	if row[3] == nil {
		return head, nil
	}
	recorded, err := strconv.ParseInt(string(row[3]), 10, 64)
	if err != nil {
		return eventstore.Head{}, err
	}
	head.RecordedAt = time.UnixMicro(recorded).UTC()
	return head, nil
}

// Committed finds out whether an append whose outcome is unknown took effect. See eventstore.Store.
func (s *Store) Committed(ctx context.Context, records []eventstore.Record) (bool, error) {
	if len(records) == 0 {
		return false, fmt.Errorf("%w: no records to look for", eventstore.ErrInvalid)
	}
	found, err := s.committed(ctx, records)
	if err != nil {
		return false, fmt.Errorf("find out whether records %s to %d are committed: %w",
			records[0].Position(), records[len(records)-1].Seq, explain(err))
	}
	return found, nil
}

func (s *Store) committed(ctx context.Context, records []eventstore.Record) (found bool, err error) {
	config := s.pool.Config().ConnConfig
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := s.silence.prepare(ctx, conn); err != nil {
		return false, err
	}
	if _, err := lockHead(ctx, conn.PgConn(), records[0].Partition); err != nil {
		return false, err
	}
	rows, err := conn.Query(ctx, "SELECT event_id FROM events WHERE partition = $1 AND seq BETWEEN $2 AND $3 ORDER BY seq",
		records[0].Partition, records[0].Seq, records[len(records)-1].Seq)
	if err != nil {
		return false, err
	}
	if found, err = sameEvents(rows, records); err != nil {
		return false, err
	}
	// The answer is committed too. What is found is then where every commit has to be, on a standby too. What is not found may still
	// be on its way, in a proxy or in a server that has not read it yet: another epoch keeps it from being committed.
	change := "UPDATE heads SET epoch = epoch + 1 WHERE partition = $1"
	if found {
		change = "UPDATE heads SET seq = seq WHERE partition = $1"
	}
	if _, err := conn.Exec(ctx, change, records[0].Partition); err != nil {
		return false, err
	}
	if _, err := conn.Exec(ctx, "COMMIT"); err != nil {
		return false, err
	}
	return found, nil
}

func sameEvents(rows pgx.Rows, records []eventstore.Record) (bool, error) {
	defer rows.Close()
	n := 0
	for rows.Next() {
		var id [16]byte
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		if n >= len(records) || id != records[n].EventID {
			return false, nil
		}
		n++
	}
	return n == len(records), rows.Err()
}

// Claim raises the partition's epoch.
func (s *Store) Claim(ctx context.Context, partition int) (eventstore.Head, error) {
	if err := s.checkPartition(ctx, partition); err != nil {
		return eventstore.Head{}, err
	}
	before := s.index.Tip(partition)
	head, err := scanHead(partition, s.pool.QueryRow(ctx,
		"UPDATE heads SET epoch = epoch + 1 WHERE partition = $1 RETURNING seq, hash, epoch, recorded_at", partition))
	if err != nil {
		return eventstore.Head{}, fmt.Errorf("claim partition %d: %w", partition, explain(err))
	}
	s.index.Saw(before, head)
	return head, nil
}

// Adopt takes another ledger's id and number of partitions while the log is empty.
func (s *Store) Adopt(ctx context.Context, info eventstore.Info) error {
	if err := info.Check(); err != nil {
		return err
	}
	if err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error { return adopt(ctx, tx, info) }); err != nil {
		return fmt.Errorf("adopt ledger %s: %w", info.LedgerID, explain(err))
	}
	s.partitions.Store(int64(info.Partitions))
	return nil
}

func adopt(ctx context.Context, tx pgx.Tx, info eventstore.Info) error {
	// Locks first, in statements of their own: against another Adopt, then against every Append.
	if _, err := tx.Exec(ctx, "SELECT FROM ledger FOR UPDATE"); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "SELECT FROM heads ORDER BY partition FOR UPDATE"); err != nil {
		return err
	}
	var used int
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM heads WHERE seq > 0").Scan(&used); err != nil {
		return err
	}
	if used > 0 {
		return eventstore.ErrNotEmpty
	}
	if _, err := tx.Exec(ctx, "UPDATE ledger SET id = $1, partitions = $2", [16]byte(info.LedgerID), info.Partitions); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM heads WHERE partition >= $1", info.Partitions); err != nil {
		return err
	}
	return insertHeads(ctx, tx, info)
}
