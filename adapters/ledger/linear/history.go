package linear

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// Op is what a client asks for.
type Op int

// The operations.
const (
	Look    Op = iota // reads the balance
	Adjust            // adds Amount, which may be negative, to what is available
	Pay               // initiates payout Ref: Amount and its commission become locked
	Create            // creates payin Ref, of which Amount less its commission will be credited
	Settle            // payout Ref is paid: what it locked is gone
	Refund            // payout Ref has failed: what it locked is available again
	Collect           // payin Ref is paid
)

func (o Op) String() string {
	return [...]string{"look", "adjust", "pay", "create", "settle", "refund", "collect"}[o]
}

// Input is what a client asks for.
type Input struct {
	Op     Op
	Ref    string // of all but Look and Adjust: a reference, which is unique
	Key    string // of Pay and Create: an Idempotency-Key; "" for none
	Amount int64  // minor units: what moves, with commission
}

// Kind is how an operation ended.
type Kind int

// The ends of operations.
const (
	Done     Kind = iota
	Unknown       // no answer, or one that does not tell
	Absent        // refused, and certainly not carried out
	Poor          // refused: what is available does not cover it
	TakenRef      // refused: the reference is taken
	TakenKey      // refused: the Idempotency-Key is taken
)

func (k Kind) String() string {
	return [...]string{"done", "unknown", "absent", "too poor", "reference taken", "key taken"}[k]
}

// Output is what a client was answered. Shown: with the wallet's balance behind the operation, in minor units.
type Output struct {
	Kind              Kind
	Shown             bool
	Available, Locked int64
}

// never is when an operation returns that has no end.
const never = math.MaxInt64

// bound is how long the search for an order may take. Histories of some hundred operations take milliseconds.
const bound = 2 * time.Minute

// History is what clients did. It is safe for concurrent use.
type History struct {
	replays bool // a repeat under its Idempotency-Key is answered like the original; else it is TakenKey, whatever it asks

	mu    sync.Mutex
	clock int64
	names map[string]int // of references and keys, from 0
	ops   []porcupine.Operation
}

// New begins a history. See History.replays.
func New(replays bool) *History { return &History{replays: replays, names: map[string]int{}} }

// Do carries an operation out and keeps it. A client does one thing at a time.
func (h *History) Do(client int, in Input, carryOut func() Output) Output {
	called := h.Now()
	out := carryOut()
	h.Add(client, in, out, called, h.Now())
	return out
}

// Now is an instant of the history's own clock; no two are equal.
func (h *History) Now() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clock++
	return h.clock
}

// Never is the return of an operation whose end nobody has seen.
func (h *History) Never() int64 { return never }

// Add keeps an operation that began and ended at instants of Now.
func (h *History) Add(client int, in Input, out Output, called, returned int64) {
	if out.Kind == Absent {
		return
	}
	if out.Kind == Unknown {
		returned = never
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	given := asked{Input: in, ref: h.number("ref " + in.Ref), key: h.number("key " + in.Key)}
	h.ops = append(h.ops, porcupine.Operation{ClientId: client, Input: given, Output: out, Call: called, Return: returned})
}

// asked is an input with the numbers of its names.
type asked struct {
	Input
	ref, key int
}

// number gives a name its number; the caller holds mu.
func (h *History) number(name string) int {
	n, known := h.names[name]
	if !known {
		n = len(h.names)
		h.names[name] = n
	}
	return n
}

// Resolve leaves out the payments of unknown outcome that were not made: those whose reference is not taken in the end, as taken tells, and
// those whose reference was taken by a request that was answered. That spares the search the orders in which they were.
func (h *History) Resolve(taken func(ref string) bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	makers := map[string][]string{} // the keys under which each reference was answered as made
	for _, o := range h.ops {
		if in := o.Input.(asked); (in.Op == Pay || in.Op == Create) && o.Output.(Output).Kind == Done {
			makers[in.Ref] = append(makers[in.Ref], in.Key)
		}
	}
	h.ops = slices.DeleteFunc(h.ops, func(o porcupine.Operation) bool {
		in := o.Input.(asked)
		if o.Output.(Output).Kind != Unknown || in.Op != Pay && in.Op != Create {
			return false
		}
		by := makers[in.Ref]
		mayBe := len(by) == 0 || in.Key != "" && slices.Contains(by, in.Key) && !slices.Contains(by, "") // the answer was a replay
		return !taken(in.Ref) || !mayBe
	})
}

// Counts says how many operations ended in which way.
func (h *History) Counts() map[Kind]int {
	h.mu.Lock()
	defer h.mu.Unlock()
	counts := map[Kind]int{}
	for _, o := range h.ops {
		counts[o.Output.(Output).Kind]++
	}
	return counts
}

// ErrNotLinear is the verdict on a history that fits no order.
var ErrNotLinear = errors.New("no order of the operations explains the answers")

// Check looks for an order. ErrNotLinear, with the history as text, when there is none.
func (h *History) Check() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch porcupine.CheckOperationsTimeout(h.model(), h.ops, bound) {
	case porcupine.Ok:
		return nil
	case porcupine.Illegal:
		return fmt.Errorf("%w:\n%s", ErrNotLinear, h.text())
	case porcupine.Unknown:
	}
	return fmt.Errorf("no order was found within %s, and none ruled out:\n%s", bound, h.text())
}

// text is the history, an operation a line, by call; the caller holds mu.
func (h *History) text() string {
	ops := slices.Clone(h.ops)
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
	var b strings.Builder
	for _, o := range ops {
		until := fmt.Sprint(o.Return)
		if o.Return == never {
			until = "-"
		}
		fmt.Fprintf(&b, "%d..%s client %d: %s\n", o.Call, until, o.ClientId, describe(o.Input.(asked), o.Output.(Output)))
	}
	return b.String()
}

func describe(in asked, out Output) string {
	s := fmt.Sprintf("%s %s %d.%02d", in.Op, in.Ref, in.Amount/100, max(in.Amount, -in.Amount)%100)
	if in.Key != "" {
		s += " under " + in.Key
	}
	if s += ": " + out.Kind.String(); out.Shown {
		s += fmt.Sprintf(", %d.%02d available, %d.%02d locked", out.Available/100, out.Available%100, out.Locked/100, out.Locked%100)
	}
	return s
}
