// Package storetest is the specification of eventstore.Store: every store passes it.
package storetest

import (
	"context"
	"os"
	"testing"

	"github.com/khata-ledger/khata/eventstore"
)

// Backend is a kind of store under test. What a kind cannot do is left nil, and then what follows from it is not asked.
type Backend struct {
	// New makes an empty log of so many partitions and returns its location, by which Open finds it.
	New func(tb testing.TB, partitions int) string
	// Open opens one more handle on the log at location, as another process would. The suite closes it.
	Open func(ctx context.Context, location string) (eventstore.Store, error)
	// Durable: the location means the same log in another process, and after this one has ended.
	Durable bool
	// Execute runs a statement of SQL on the log at location, around the store.
	Execute func(ctx context.Context, location, statement string) error
	// Cut opens a handle over a connection that can be broken in the middle of a COMMIT: cut(arrives) breaks it at the next
	// one, in front of the server or behind its answer.
	Cut func(tb testing.TB, location string) (store eventstore.Store, cut func(arrives bool))
}

// childEnv names the location for the child of the test that kills it.
const childEnv = "LEDGER_STORETEST_CHILD"

// Run runs the suite. It must be called by a test function that does nothing else before it, since the test of a killed
// process runs that function again, in a process of its own.
func Run(t *testing.T, backend Backend) {
	if location := os.Getenv(childEnv); location != "" {
		appendUntilKilled(t, backend, location)
		return
	}
	tests := []struct {
		name string
		test func(*testing.T, Backend)
	}{
		{"EmptyLog", emptyLog},
		{"RoundTrip", roundTrip},
		{"Batches", batches},
		{"Refusals", refusals},
		{"ClaimedTwice", claimedTwice},
		{"Conflict", conflict},
		{"Deposed", deposed},
		{"EndedContext", endedContext},
		{"Paging", paging},
		{"Subjects", subjects},
		{"Lookup", lookup},
		{"Snapshots", snapshots},
		{"Evidence", evidence},
		{"Committed", committed},
		{"Adopt", adopt},
		{"TwoHandles", twoHandles},
		{"Partitions", partitions},
		{"ConcurrentAppenders", concurrentAppenders},
		{"Tailing", tailing},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.test(t, backend) })
	}
	if backend.Durable {
		t.Run("Reopened", func(t *testing.T) { reopened(t, backend) })
		name := t.Name()
		t.Run("Killed", func(t *testing.T) { killed(t, backend, name) })
	}
	if backend.Execute != nil {
		t.Run("AppendOnly", func(t *testing.T) { appendOnly(t, backend) })
	}
	if backend.Cut != nil {
		t.Run("CutBeforeCommit", func(t *testing.T) { cutCommit(t, backend, false) })
		t.Run("CutBehindCommit", func(t *testing.T) { cutCommit(t, backend, true) })
	}
}
