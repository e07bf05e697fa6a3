package simulation

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/bus"
	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

// calmFor is how long a world has, by its own clock, to end everything when nothing fails any more.
const calmFor = time.Hour

// calmSteps bounds the same by steps, should the clock not get on.
const calmSteps = 60_000

// profile is what a seed makes of a world: how large it is, and how bad its weather. Chances are in a thousand.
type profile struct {
	partitions, merchants int
	queue, batch          int
	requests              int // of clients
	steps                 int // of the storm

	appends, reads, work, bank, lostAnswers int // calls that fail
	stalls                                  int // calls that hang until their context ends
	crashes, pauses, jumps, claims          int // of steps
	sooner                                  int // steps on which a parked call is let go on, rather than time passing
}

func newProfile(dice *rand.Rand) profile {
	pick := func(values ...int) int { return values[dice.IntN(len(values))] }
	return profile{
		partitions: pick(1, 2), merchants: pick(1, 2, 3), queue: pick(2, 64), batch: pick(1, 3, 64),
		requests: 15 + dice.IntN(45), steps: 400 + dice.IntN(800),
		appends: pick(0, 30, 200), reads: pick(0, 5, 30), work: pick(0, 20, 100), bank: pick(0, 50, 300), lostAnswers: pick(0, 100, 300),
		stalls: pick(0, 5, 20), crashes: pick(0, 3, 10, 25), pauses: pick(0, 3), jumps: pick(0, 3), claims: pick(0, 5),
		sooner: pick(700, 900, 980),
	}
}

// plant is a bug that is put into the world, to see that the oracle finds it. The zero value of each hook changes nothing.
type plant struct {
	append       func(h *handle, v verdict, head eventstore.Head, records []eventstore.Record) error
	committed    func(h *handle, records []eventstore.Record) (bool, error)
	lookup       func(keys []string) map[string]int64
	silenceFails bool // a request to the bank without an answer counts as failed
	ledger       func(gateway.Ledger) gateway.Ledger
	bank         func(gateway.Payouts) gateway.Payouts
	inbound      func(http.Handler) http.Handler
	handler      func(bus.Handler) bus.Handler
}

func (p plant) withDefaults() plant {
	if p.ledger == nil {
		p.ledger = func(l gateway.Ledger) gateway.Ledger { return l }
	}
	if p.bank == nil {
		p.bank = func(b gateway.Payouts) gateway.Payouts { return b }
	}
	if p.inbound == nil {
		p.inbound = func(h http.Handler) http.Handler { return h }
	}
	if p.handler == nil {
		p.handler = func(h bus.Handler) bus.Handler { return h }
	}
	return p
}

// world is one run.
type world struct {
	*schedule
	seed    uint64
	verbose bool
	profile profile
	plant   plant
	log     *memory.Store
	work    *database
	index   *index
	bank    *bank
	skew    atomic.Int64 // what the clock of the processes shows too much

	// Owned by the world's goroutine.
	storming   bool
	ending     bool // nothing comes from outside any more
	alive      []*process
	all        []*process
	processes  int
	numbers    int
	attempts   int
	callbacks  int
	deliveries int
	records    int             // in the log, at the end
	lasted     time.Duration   // by its own clock
	balances   balances        // available, by merchant: of the oracle
	refunds    map[string]bool // payins that were asked to be refunded
	old        []byte          // an older image of the work database

	mu       sync.Mutex // guards what follows, and the requests' attempts
	doubts   []inDoubt
	requests []*request
	payins   []payable
	counts   map[string]int
	findings []string
}

func newWorld(seed uint64, planted plant, emptyWork []byte) (*world, error) {
	w := &world{
		schedule: &schedule{arrived: make(chan struct{}, 1), dice: rand.New(rand.NewPCG(seed, 20)), trace: sha256.New(), begun: time.Now()},
		seed:     seed, plant: planted.withDefaults(), refunds: map[string]bool{}, counts: map[string]int{}, storming: true, old: emptyWork,
	}
	w.profile = newProfile(w.dice)
	w.log = memory.New(w.profile.partitions)
	info := eventstore.Info{LedgerID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, seed)), Partitions: w.profile.partitions}
	if err := w.log.Adopt(context.Background(), info); err != nil {
		return nil, err
	}
	w.index, w.bank = newIndex(w.log, w.profile.partitions), newBank(w)
	var err error
	w.work, err = openDatabase(emptyWork)
	return w, err
}

// now is what the clock of the processes shows.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) }

func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

func (w *world) wrong(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.wrongLocked(format, args...)
}

func (w *world) wrongLocked(format string, args ...any) {
	w.findings = append(w.findings, fmt.Sprintf(format, args...))
}

func (w *world) merchant() string { return fmt.Sprintf("mer_%016d", w.dice.IntN(w.profile.merchants)) }

func (p *process) isDead() bool {
	p.world.schedule.mu.Lock()
	defer p.world.schedule.mu.Unlock()
	return p.dead
}

// run is the whole history: storm, calm, and the end.
func (w *world) run() {
	for m := range w.profile.merchants {
		w.fund(fmt.Sprintf("mer_%016d", m), "3000.00")
	}
	w.begin()
	for range w.profile.steps {
		w.turn()
	}
	w.calm()
	w.end()
}

func (w *world) begin() {
	p, err := w.start()
	if err != nil {
		w.wrong("starting a process: %v", err)
		return
	}
	w.all = append(w.all, p)
	w.note("%s is started", p.name)
	w.stand()
}

// urgent lets everything go on that goes first.
func (w *world) urgent() {
	w.stand()
	for {
		calls, prompt := w.waiting()
		if !prompt || len(calls) == 0 {
			return
		}
		c := calls[0]
		w.release(c, w.trouble(c))
	}
}

// trouble draws what happens to a call.
func (w *world) trouble(c *call) fault {
	f := fine
	pick := func(p int, faults ...fault) {
		if w.storming && w.chance(p) {
			f = faults[w.dice.IntN(len(faults))]
		}
	}
	expired := c.expired || c.of.dead
	switch c.kind {
	case "append":
		if pick(w.profile.appends, refused, lost, doubt); expired {
			f = []fault{refused, lost, doubt}[w.dice.IntN(3)]
		}
	case "work":
		if pick(w.profile.work, refused, lost); expired {
			f = []fault{refused, lost}[w.dice.IntN(2)]
		}
	case "send", "refund":
		if pick(w.profile.bank, refused, lost, doubt, garbled); expired {
			f = []fault{refused, lost, doubt}[w.dice.IntN(3)]
		}
	case "inquire", "inquire refund", "payments":
		pick(w.profile.bank, refused, garbled)
	case "committed", "pending":
		pick(w.profile.appends, refused)
	case "head", "read", "stream", "subjects", "lookup", "claim":
		pick(w.profile.reads, refused)
	}
	if f != fine {
		why := ""
		if expired {
			why = " as its process died or its time was over"
		}
		w.count(fmt.Sprintf("%s %s%s", c.kind, f, why))
	}
	return f
}

// turn is one step of the storm.
func (w *world) turn() {
	w.urgent()
	w.weather()
	w.urgent()
	if len(w.requests) < w.profile.requests && w.chance(60) {
		w.want()
	}
	if !w.ending {
		w.ambassadors()
	}
	w.urgent()
	for w.bank.happen() {
		w.urgent()
	}
	calls, _ := w.waiting()
	if len(calls) == 0 || !w.chance(w.profile.sooner) {
		w.idle(w.between(time.Millisecond, 400*time.Millisecond))
		return
	}
	c := calls[w.dice.IntN(len(calls))]
	if w.storming && w.chance(w.profile.stalls) && stallable(c.kind) {
		w.count(c.kind + " hangs")
		w.note("%s hangs", c.key)
		c.stalled = true
		return
	}
	w.release(c, w.trouble(c))
}

// stallable are calls that somebody waits for a bounded time.
func stallable(kind string) bool {
	return slices.Contains([]string{"append", "send", "inquire", "payments", "refund", "inquire refund", "committed"}, kind)
}

// idle lets time pass: until something is parked, or the bank does something, or somebody wakes up, or most is over.
func (w *world) idle(most time.Duration) {
	until := func(at time.Time) { most = max(0, min(most, time.Until(at))) }
	if at, planned := w.bank.next(); planned {
		until(at)
	}
	w.pass(most)
}

// want adds a request, or has a customer pay.
func (w *world) want() {
	switch w.dice.IntN(10) {
	case 0, 1, 2, 3:
		w.payout()
	case 4, 5:
		w.payin()
	case 6, 7:
		w.pay()
	default:
		w.giveBack()
	}
}

// ambassadors bring what comes from outside to a process: requests, callbacks.
func (w *world) ambassadors() {
	if len(w.alive) == 0 {
		return
	}
	someone := func() *process { return w.alive[w.dice.IntN(len(w.alive))] }
	if again := w.again(); len(again) > 0 && w.chance(300) {
		r := again[w.dice.IntN(len(again))]
		if r.answered() && !w.chance(100) {
			r.left = 0
		} else {
			w.ask(r, someone())
		}
		w.stand()
	}
	if due := w.bank.due(); len(due) > 0 && w.chance(300) {
		w.deliver(due[w.dice.IntN(len(due))], someone())
		w.stand()
	}
}

// weather is what befalls processes, the clock and the store.
func (w *world) weather() {
	if !w.storming {
		return
	}
	if len(w.alive) == 0 {
		if w.chance(200) {
			w.begin()
		}
		return
	}
	p := w.alive[w.dice.IntN(len(w.alive))]
	for _, sleeper := range w.alive {
		if sleeper.paused && !time.Now().Before(sleeper.wake) {
			w.pause(sleeper, false)
		}
	}
	switch {
	case w.chance(w.profile.crashes):
		w.crash(p)
	case w.chance(w.profile.pauses) && !p.paused:
		p.wake = time.Now().Add(w.between(100*time.Millisecond, 20*time.Second))
		w.pause(p, true)
		w.count("processes paused")
		if len(w.alive) == 1 && w.chance(700) {
			w.begin() // somebody takes its place, and it does not know
		}
	case w.chance(w.profile.crashes) && len(w.alive) < 2:
		w.begin()
		w.count("second processes")
	case w.chance(w.profile.jumps):
		by := w.between(-2*time.Second, 2*time.Second)
		if w.chance(300) {
			by = w.between(0, 10*time.Minute)
		}
		w.skew.Add(int64(by))
		w.note("the clock jumps by %s", by)
		w.count("jumps of the clock")
	case w.chance(w.profile.claims):
		if _, err := w.log.Claim(context.Background(), w.dice.IntN(w.profile.partitions)); err != nil {
			w.wrong("claiming: %v", err)
		}
		w.note("the epoch moves")
		w.count("epochs moved")
	}
	w.mu.Lock()
	var d *inDoubt
	if len(w.doubts) > 0 && w.dice.IntN(10) == 0 {
		d = &w.doubts[0]
		w.doubts = w.doubts[1:]
	}
	w.mu.Unlock()
	if d != nil {
		w.land(*d)
		w.note("a COMMIT in doubt ends")
	}
}

func (w *world) pause(p *process, paused bool) {
	w.schedule.mu.Lock()
	p.paused = paused
	w.schedule.mu.Unlock()
	w.note("%s paused: %t", p.name, paused)
}

// crash kills a process: what it has parked is done or not, and nobody hears of it.
func (w *world) crash(p *process) {
	w.schedule.mu.Lock()
	p.dead = true
	w.schedule.mu.Unlock()
	w.alive = slices.DeleteFunc(w.alive, func(other *process) bool { return other == p })
	w.note("%s is killed", p.name)
	w.count("crashes")
	p.stop()
	w.urgent()
	if len(w.alive) > 0 {
		return
	}
	var err error
	switch {
	case w.chance(100):
		w.count("the work database is lost")
		w.note("the work is lost")
		err = w.work.restore(w.old)
	case w.chance(100):
		w.note("the work is copied")
		w.old, err = w.work.image()
	}
	if err != nil {
		w.wrong("the work database: %v", err)
	}
}

// calm repairs everything, and lets time pass until nothing is under way.
func (w *world) calm() {
	w.note("calm")
	w.storming = false
	w.profile.sooner = 1000
	w.schedule.mu.Lock()
	for _, c := range w.parked {
		c.stalled = false
	}
	w.schedule.mu.Unlock()
	for _, p := range w.alive {
		w.pause(p, false)
	}
	for _, d := range w.doubts {
		w.land(d)
	}
	w.doubts = nil
	if len(w.alive) == 0 {
		w.begin()
	}
	for begun, n := time.Now(), 0; ; n++ {
		w.turn()
		if n%64 == 0 && w.quiet() {
			return
		}
		if time.Since(begun) > calmFor || n == calmSteps {
			w.wrong("not everything has ended %s and %d steps after the storm: %s", time.Since(begun), n, w.unquiet())
			return
		}
	}
}

// end stops the processes in order.
func (w *world) end() {
	w.ending = true
	for _, p := range w.alive {
		w.note("%s is stopped", p.name)
		p.stop()
	}
	for _, p := range w.all {
		for ended := false; !ended; {
			w.stand()
			select {
			case <-p.ended:
				ended = true
			default:
				w.turn()
			}
		}
	}
	for w.busy() {
		w.turn()
	}
}

// busy tells whether somebody still waits for an answer.
func (w *world) busy() bool {
	w.schedule.mu.Lock()
	parked := len(w.parked) > 0
	w.schedule.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	return parked || w.bank.underway() || slices.ContainsFunc(w.requests, func(r *request) bool { return r.underway })
}

// runSeed runs a world in a bubble, and has the oracle look at it.
func runSeed(t *testing.T, seed uint64, planted plant, emptyWork []byte, options ...func(*world)) (out *world) {
	t.Helper()
	bubble(t, func() {
		w, err := newWorld(seed, planted, emptyWork)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range options {
			o(w)
		}
		out = w
		w.run()
		w.lasted = time.Since(w.begun)
		w.judge()
		if err := w.work.close(); err != nil {
			t.Error(err)
		}
	})
	return out
}
