package ledger

import (
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
	if suspense {
		return o.o.add(itemSuspended, r, change)
	}
	return o.o.add(itemLocked, r, change)
}

// Overdrawn returns the first record that gives back too much.
func (o OpenItems) Overdrawn() (at eventstore.Position, suspense bool, err error) {
	kind, at, err := o.o.overdrawn()
	return at, kind == itemSuspended, err
}

// Spilled tells whether there is a file.
func (o OpenItems) Spilled() bool { return o.o.file != nil }

// Close removes the file.
func (o OpenItems) Close() error { return o.o.close() }
