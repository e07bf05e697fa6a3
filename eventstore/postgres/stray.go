package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore"
)

const (
	strayKey = `SELECT k.seq FROM keys k LEFT JOIN events e ON e.partition = k.partition AND e.seq = k.seq
		WHERE k.partition = $1 AND (e.seq IS NULL OR
			strpos(chr(10) || e.dedupe_key || chr(10), chr(10) || k.key || chr(10)) = 0)
		ORDER BY k.seq LIMIT 1`
	strayMessage = `SELECT m.seq FROM evidence m LEFT JOIN events e ON e.partition = m.partition AND e.seq = m.seq
		WHERE m.partition = $1 AND (e.seq IS NULL OR m.n < 0 OR 32 * (m.n + 1) > length(e.evidence_digests))
		ORDER BY m.seq LIMIT 1`
)

// Stray returns the position of the first dedupe key, and of the first message, that no record of the partition accounts
// for; Seq is 0 for none. It reads all of them: for verification.
func (s *Store) Stray(ctx context.Context, partition int) (key, message eventstore.Position, err error) {
	key.Partition, message.Partition = partition, partition
	for query, into := range map[string]*int64{strayKey: &key.Seq, strayMessage: &message.Seq} {
		err := s.pool.QueryRow(ctx, query, partition).Scan(into)
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return key, message, fmt.Errorf("look for what belongs to no record of partition %d: %w", partition, explain(err))
		}
	}
	return key, message, nil
}
