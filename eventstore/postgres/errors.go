package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/khata-ledger/khata/eventstore"
)

// What the function move_head raises.
const (
	headMoved   = "KH001"
	otherEpoch  = "KH002"
	noPartition = "KH003"
)

// explain says what a failure of PostgreSQL means to the one who must mend it. The server's own text is kept.
func explain(err error) error {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return explainCode(e.Code, err)
	}
	var connect *pgconn.ConnectError
	if errors.As(err, &connect) {
		return fmt.Errorf("PostgreSQL cannot be reached: %w", err)
	}
	return err
}

// explainCode does it for an answer of the server.
func explainCode(code string, err error) error {
	switch {
	case code == headMoved:
		return fmt.Errorf("%w: %w", eventstore.ErrConflict, err)
	case code == otherEpoch:
		return fmt.Errorf("%w: %w", eventstore.ErrDeposed, err)
	case code == noPartition:
		return fmt.Errorf("%w: %w", eventstore.ErrPartition, err)
	case code == "53100":
		return fmt.Errorf("PostgreSQL's disk is full: %w", err)
	case code == "53300":
		return fmt.Errorf("PostgreSQL has no connection to spare: %w", err)
	case code == "25006", code == "0A000": // the latter is what a standby says to a transaction that is to write
		return fmt.Errorf("PostgreSQL is read-only, a standby perhaps: %w", err)
	case strings.HasPrefix(code, "28"):
		return fmt.Errorf("PostgreSQL refuses the user or the password: %w", err)
	case strings.HasPrefix(code, "57P"):
		return fmt.Errorf("PostgreSQL is going down or coming up: %w", err)
	}
	return err
}
