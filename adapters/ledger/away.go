package ledger

import (
	"errors"
	"fmt"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// away marks a failure to read the log as one that passes, executor.ErrStore, whatever words the store has for it; all but those that stay.
func away(err error) error {
	for _, stays := range []error{
		eventstore.ErrBroken, eventstore.ErrInvalid, eventstore.ErrNotFound, eventstore.ErrNewer, eventstore.ErrPartition,
	} {
		if errors.Is(err, stays) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", executor.ErrStore, err)
}
