package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
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
	case code == "53100":
		return fmt.Errorf("PostgreSQL's disk is full: %w", err)
	case code == "53300":
		return fmt.Errorf("PostgreSQL has no connection to spare: %w", err)
	case code == "25006":
		return fmt.Errorf("PostgreSQL is read-only, a standby perhaps: %w", err)
	case strings.HasPrefix(code, "28"):
		return fmt.Errorf("PostgreSQL refuses the user or the password: %w", err)
	case strings.HasPrefix(code, "57P"):
		return fmt.Errorf("PostgreSQL is going down or coming up: %w", err)
	}
	return err
}

// refused tells whether an error of the message with COMMIT is the server's definite refusal, so that nothing was
// written. Everything else leaves the outcome open: a broken connection; a server that is going down, which may say so
// after it has committed and while it waits for a standby; a pooler or a server that itself does not know.
//
// pgconn.SafeToRetry must not be asked. When a connection breaks while the answer is read, pgconn reports that it is closed by the
// same error as when it was closed before anything was sent, and that error calls itself safe.
func refused(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.SeverityUnlocalized == "ERROR" && !strings.HasPrefix(e.Code, "08") && e.Code != "40003"
}
