package postgres

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/eventstore"
)

const strayMessage = `SELECT m.seq FROM evidence m LEFT JOIN events e ON e.partition = m.partition AND e.seq = m.seq
		WHERE m.partition = $1 AND m.seq BETWEEN $2 AND $3 AND (e.seq IS NULL OR m.n < 0 OR 32 * (m.n + 1) > length(e.evidence_digests))
		ORDER BY m.seq LIMIT 1`

// strayPage is how many messages one statement looks at: of all of them it would say nothing for longer than a connection is waited for (see Silence).
const strayPage = 100_000

// Stray returns the position of the first message that no record of the partition accounts for; false for none. It reads
// all of them: for verification.
func (s *Store) Stray(ctx context.Context, partition int) (message eventstore.Position, found bool, err error) {
	message.Partition = partition
	if message.Seq, found, err = s.stray(ctx, partition, strayPage); err != nil {
		return message, false, fmt.Errorf("look for what belongs to no record of partition %d: %w", partition, explain(err))
	}
	return message, found, nil
}

func (s *Store) stray(ctx context.Context, partition, page int) (seq int64, found bool, err error) {
	for from := int64(math.MinInt64); ; { // what was put in may be anywhere
		var to *int64
		err := s.pool.QueryRow(ctx, "SELECT max(seq) FROM (SELECT seq FROM evidence WHERE partition = $1 AND seq >= $2 ORDER BY seq LIMIT $3) page",
			partition, from, page).Scan(&to)
		if err != nil || to == nil {
			return 0, false, err
		}
		err = s.pool.QueryRow(ctx, strayMessage, partition, from, *to).Scan(&seq)
		if !errors.Is(err, pgx.ErrNoRows) {
			return seq, err == nil, err
		}
		if *to == math.MaxInt64 {
			return 0, false, nil
		}
		from = *to + 1
	}
}
