package ledger

import "github.com/khata-ledger/khata/eventstore/executor"

// Watched is how many payments somebody waits for.
func (l *Ledger) Watched() int {
	l.watches.mu.Lock()
	defer l.watches.mu.Unlock()
	return len(l.watches.channels)
}

// TheModel is the domain as the executor sees it.
func TheModel() executor.Model { return newModel() }
