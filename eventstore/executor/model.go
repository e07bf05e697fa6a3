package executor

import (
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Command asks for a change of a partition.
type Command struct {
	// ID survives retries. It is also the event id of the first event that the command causes.
	ID uuid.UUID
	// Keys are the dedupe keys that the command claims, in the order in which they are checked. The first of its
	// events carries them.
	Keys []string
	// Body is what the Model decides.
	Body any
	// Meta goes with each event, Evidence (sealed) with the first.
	Meta     []byte
	Evidence []eventstore.Evidence
}

// Result is the answer to an accepted command.
type Result struct {
	// First and Last are the positions of the command's events; equal positions for one event, zero Seq for none.
	First, Last eventstore.Position
	// Answer is what Model.Answer returned.
	Answer any
}

// Model is the domain as the executor sees it: pure functions over states. It is called from one goroutine.
type Model interface {
	// Needs appends the states that a command is decided on, MaxNeeds at most.
	Needs(body any, needs []Need) []Need
	// New returns the state of a stream or subject without history.
	New(Need) (State, error)
	// Decide appends the events that the command causes, or says why it is refused. It changes nothing. The states are those
	// that Needs named, in that order. Each event's stream must be among them. It keeps neither slice.
	Decide(body any, states []State, events []Event) ([]Event, error)
	// Answer is called when the events have been applied to the states. It copies what it returns, and keeps neither slice.
	Answer(body any, states []State, events []Event) any
	// Decode reads a record back into an event. An error is a broken log.
	Decode(r *eventstore.Record) (Event, error)
}

// MaxNeeds bounds the states that one command is decided on.
const MaxNeeds = 3

// State is what is known of one stream or subject. Evolve cannot fail.
type State interface{ Evolve(Event) }

// Copier is a State that can be copied cheaply. When an append fails, the state is then as it was before, instead of being
// read again from the first event of its stream: with a long stream and a second process that appends too, that could take
// longer than the other one needs to append again.
type Copier interface {
	State
	// Copy returns a state that shares nothing with this one that Evolve changes.
	Copy() State
}

// Snapshotter is the State of a stream that can be kept beside the log and taken up again, so that a long stream is not folded
// from its first event at each start.
type Snapshotter interface {
	Copier
	// Fold is the version of Evolve, from 1: another one whenever the same events give another state, or the encoding changes.
	Fold() int
	// Snapshot encodes the state, in eventstore.MaxSnapshotBytes at most.
	Snapshot() ([]byte, error)
	// Restore makes a new state what Snapshot has encoded. After an error the state is not used.
	Restore(encoded []byte) error
}

// Kind says what a state is folded from.
type Kind byte

// The kinds.
const (
	Stream  Kind = 's'
	Subject Kind = 'p'
)

// Need names a state.
type Need struct {
	Kind Kind
	Name string
	// Fresh says that nothing has that name yet (a new random id), so that nothing is read.
	Fresh bool
}

// Event is a decided event, or a record decoded.
type Event struct {
	ID          uuid.UUID // set by the executor
	Stream      string
	Subject     string
	Type        string
	Schema      int
	EffectiveAt time.Time
	Data        []byte
	Fact        any // the domain's own event
}

// Errors of Submit. A refusal by the model is returned as the model gave it.
var (
	// ErrBusy: the queue is full. Nothing was done; try again.
	ErrBusy = errors.New("the ledger is busy")
	// ErrClosed: the executor stops. Nothing was done.
	ErrClosed = errors.New("the ledger is shutting down")
	// ErrOutcomeUnknown: the caller went away. The command may still be carried out; its keys tell.
	ErrOutcomeUnknown = errors.New("the outcome is not known yet")
	// ErrStore: the store failed. Nothing was done.
	ErrStore = errors.New("the store is not available")
	// ErrContended: other processes kept moving the head. Nothing was done; try again.
	ErrContended = errors.New("too many conflicting writers")
)

// DuplicateError says that a dedupe key is taken, and by which record.
type DuplicateError struct {
	Key      string
	Position eventstore.Position
}

func (e *DuplicateError) Error() string {
	return fmt.Sprintf("%s is taken by record %s", e.Key, e.Position)
}

// EventID is the id of a command's n-th event: the command's own for the first, derived from it for the others, so that
// it is the same however often the command is decided.
func EventID(command uuid.UUID, n int) uuid.UUID {
	if n == 0 {
		return command
	}
	return uuid.NewSHA1(command, []byte{byte(n >> 8), byte(n)})
}
