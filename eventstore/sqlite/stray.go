package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
)

const strayMessage = `SELECT m.seq FROM evidence m LEFT JOIN events e ON e.partition = m.partition AND e.seq = m.seq
		WHERE m.partition = $1 AND (e.seq IS NULL OR m.n < 0 OR 32 * (m.n + 1) > length(e.evidence_digests))
		ORDER BY m.seq LIMIT 1`

// Stray returns the position of the first message that no record of the partition accounts for; Seq is 0 for none. It reads
// all of them: for verification.
func (s *Store) Stray(ctx context.Context, partition int) (eventstore.Position, error) {
	message := eventstore.Position{Partition: partition}
	err := s.readers.QueryRowContext(ctx, strayMessage, partition).Scan(&message.Seq)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return message, fmt.Errorf("look for what belongs to no record of partition %d: %w", partition, explain(err))
	}
	return message, nil
}
