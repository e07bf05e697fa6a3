package simulation

import (
	"context"
	"crypto/sha256"
	"database/sql/driver"
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
	snapshots             int64 // how many records a wallet grows by before its next one
	requests              int   // of clients
	steps                 int   // of the storm

	views                                    bool // they are built in it
	appends, reads, work, bank, lostAnswers  int  // calls that fail
	stalls                                   int  // calls that hang until their context ends
	crashes, pauses, jumps, claims, rebuilds int  // of steps
	sooner                                   int  // steps on which a parked call is let go on, rather than time passing
}

func newProfile(dice *rand.Rand) profile {
	pick := func(values ...int) int { return values[dice.IntN(len(values))] }
	return profile{
		partitions: pick(1, 2), merchants: pick(1, 2, 3), queue: pick(2, 64), batch: pick(1, 3, 64), snapshots: int64(pick(1, 4, 20)),
		requests: 15 + dice.IntN(45), steps: 400 + dice.IntN(800),
		appends: pick(0, 30, 200), reads: pick(0, 5, 30), work: pick(0, 20, 100), bank: pick(0, 50, 300), lostAnswers: pick(0, 100, 300),
		stalls: pick(0, 5, 20), crashes: pick(0, 3, 10, 25), pauses: pick(0, 3), jumps: pick(0, 3), claims: pick(0, 5),
		sooner: pick(700, 900, 980), views: dice.IntN(viewsOf) == 0, rebuilds: pick(0, 3),
	}
}

// plant is a bug that is put into the world, to see that the oracle finds it. The zero value of each hook changes nothing.
type plant struct {
	weather      func(*profile) // in which it shows
	append       func(h *handle, v verdict, head eventstore.Head, records []eventstore.Record) error
	committed    func(h *handle, records []eventstore.Record) (bool, error)
	snapshot     func(before, kept eventstore.Snapshot) eventstore.Snapshot
	lookup       func(keys []string) map[string]int64
	silenceFails bool // a request to the bank without an answer counts as failed
	ledger       func(gateway.Ledger) gateway.Ledger
	bank         func(gateway.Payouts) gateway.Payouts
	inbound      func(http.Handler) http.Handler
	handler      func(bus.Handler) bus.Handler
	views        func(ctx context.Context, c *viewsConn, query string, args []driver.NamedValue) (driver.Result, error) // moves a checkpoint
	plantMore
}

func (p plant) withDefaults() plant {
	if p.weather == nil {
		p.weather = func(*profile) {}
	}
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
	views   *viewsDB     // nil: there are none in this world
	folder  string       // of its files
	skew    atomic.Int64 // what the clock of the processes shows too much
	extras  *extras

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
	oldViews   *viewsDB        // an older copy of the views
	files      int             // made for views

	mu       sync.Mutex // guards what follows, and the requests' attempts
	doubts   []inDoubt
	requests []*request
	payins   []payable
	cut      map[string]bool // wallets whose snapshot is not whole
	seen     map[string]int  // what happened, and is no fault
	counts   map[string]int
	findings []string
}

func newWorld(seed uint64, planted plant, emptyWork []byte, folder string) (*world, error) {
	w := &world{
		schedule: &schedule{arrived: make(chan struct{}, 1), dice: rand.New(rand.NewPCG(seed, 20)), trace: sha256.New(), begun: time.Now()},
		seed:     seed, folder: folder, plant: planted.withDefaults(), refunds: map[string]bool{}, cut: map[string]bool{}, seen: map[string]int{}, counts: map[string]int{}, storming: true, old: emptyWork,
	}
	w.profile = newProfile(w.dice)
	w.plant.weather(&w.profile)
	w.log = memory.New(w.profile.partitions)
	info := eventstore.Info{LedgerID: uuid.NewSHA1(uuid.Nil, fmt.Append(nil, seed)), Partitions: w.profile.partitions}
	if err := w.log.Adopt(context.Background(), info); err != nil {
		return nil, err
	}
	w.index, w.bank = newIndex(w.log, w.profile.partitions), newBank(w)
	w.extras = newExtras(w)
	var err error
	if w.profile.views {
		if w.views, err = w.newViews(nil); err == nil && w.chance(800) {
			err = w.firstViews()
		}
		if err != nil {
			return nil, err
		}
	}
	w.work, err = openDatabase(emptyWork)
	return w, err
}

// now is what the clock of the processes shows.
func (w *world) now() time.Time { return time.Now().Add(time.Duration(w.skew.Load())) }

// count counts a fault.
func (w *world) count(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[what]++
}

// saw counts what is no fault.
func (w *world) saw(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen[what]++
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
		w.extras.turn(w)
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

// calm repairs everything, and lets time pass until nothing is under way.
func (w *world) calm() {
	w.note("calm")
	w.storming = false
	w.extras.over.Store(true)
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
		if time.Since(begun) > w.extras.calm || n == calmSteps {
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
	return parked || w.bank.underway() || w.extras.underway() || slices.ContainsFunc(w.requests, func(r *request) bool { return r.underway })
}

// runSeed runs a world in a bubble, and has the oracle look at it.
func runSeed(t *testing.T, seed uint64, planted plant, emptyWork []byte, options ...func(*world)) (out *world) {
	t.Helper()
	folder := t.TempDir()
	bubble(t, func() {
		w, err := newWorld(seed, planted, emptyWork, folder)
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
	out.judgeViews(t.Context())
	return out
}
