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

// Stray returns the position of the first message that no record of the partition accounts for; false for none. It reads
// all of them: for verification.
func (s *Store) Stray(ctx context.Context, partition int) (message eventstore.Position, found bool, err error) {
	message.Partition = partition
	switch err := s.readers.QueryRowContext(ctx, strayMessage, partition).Scan(&message.Seq); {
	case errors.Is(err, sql.ErrNoRows):
		return message, false, nil
	case err != nil:
		return message, false, fmt.Errorf("look for what belongs to no record of partition %d: %w", partition, explain(err))
	}
	return message, true, nil
}
