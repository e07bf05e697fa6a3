package ledger

import (
	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// Watched is how many payments somebody waits for.
func (l *Ledger) Watched() int {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	return len(l.watches.channels)
}

// TheModel is the domain as the executor sees it.
func TheModel() executor.Model { return newModel() }

// OpenItems are what Verify counts open payments with.
type OpenItems struct{ o *openItems }

// NewOpenItems keeps so many changes in memory.
func NewOpenItems(limit int) OpenItems { return OpenItems{newOpenItems(limit)} }

// Add adds a change: of what is in suspense, or locked.
func (o OpenItems) Add(suspense bool, r *eventstore.Record, change money.Amount) error {
	kind := itemLocked
	if suspense {
		kind = itemSuspended
	}
	return o.o.add(kind, r, r.Subject, change, 0)
}

// AddOf adds a change of what is locked, by an event that names a batch.
func (o OpenItems) AddOf(batch uint32, r *eventstore.Record, change money.Amount) error {
	return o.o.add(itemLocked, r, r.Subject, change, batch)
}

// Overdrawn returns the first record that gives back too much.
func (o OpenItems) Overdrawn() (at eventstore.Position, suspense bool, err error) {
	f, err := o.o.findings()
	return f.at, f.kind == itemSuspended, err
}

// Batches returns the first record that names another batch than its payment's first one, and by partition the newest record behind
// which a payout of a batch was open that an event without a batch has ended.
func (o OpenItems) Batches() (strange eventstore.Position, unnamed map[int]int64, err error) {
	f, err := o.o.findings()
	return f.strange, f.unnamed, err
}

// Spilled tells whether there is a file.
func (o OpenItems) Spilled() bool { return o.o.file != nil }

// Close removes the file.
func (o OpenItems) Close() error { return o.o.close() }

// SealedIn is how many sealed texts VerifySealed finds in an event.
func SealedIn(fact any) int { return len(sealedIn(fact, uuid.New())) }
