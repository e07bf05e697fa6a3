package simulation

import (
	"context"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"

	"github.com/khata-ledger/khata/adapters/webhook"
)

// extras are what only some worlds have: merchants that are told by callbacks, and clients that submit batches. They have dice of their
// own, so that what else happens in a world does not depend on them.
type extras struct {
	dice  *rand.Rand
	over  atomic.Bool   // the storm is
	calm  time.Duration // that may pass until everything has ended
	shops *shops
	hooks *hooks   // nil: no merchant has a callback URL
	desk  *counter // nil: nobody submits batches
}

// How many worlds, in a thousand, have callbacks, and batches.
const (
	worldsWithCallbacks = 150
	worldsWithBatches   = 150
)

func newExtras(w *world) *extras {
	x := &extras{dice: rand.New(rand.NewPCG(w.seed, 30)), calm: calmFor}
	callbacks, batches := x.dice.IntN(1000) < worldsWithCallbacks, x.dice.IntN(1000) < worldsWithBatches
	if all := os.Getenv("SIM_WITH"); all != "" { // SIM_WITH=callbacks,batches: every world has them
		callbacks, batches = strings.Contains(all, "callbacks"), strings.Contains(all, "batches")
	}
	return x.with(w, callbacks, batches)
}

// asked is what the environment asks for, as it does.
func asked() string {
	if all := os.Getenv("SIM_WITH"); all != "" {
		return "SIM_WITH=" + all + " "
	}
	return ""
}

// with gives a world what is asked for.
func (x *extras) with(w *world, callbacks, batches bool) *extras {
	x.shops = newShops(w, x.dice, callbacks)
	if callbacks {
		x.hooks = newHooks(w, x.dice, x.shops)
	}
	if batches {
		x.desk = newCounter(w, x.dice)
	}
	return x
}

// withExtras is an option of runSeed: the world has exactly these, and a shorter calm, since a bug may keep it from coming to an end.
func withExtras(callbacks, batches bool) func(*world) {
	return func(w *world) {
		w.extras = (&extras{dice: rand.New(rand.NewPCG(w.seed, 31)), calm: calmFor / 6}).with(w, callbacks, batches)
	}
}

// turn is what they do in a step of the world.
func (x *extras) turn(w *world) {
	if w.ending {
		return
	}
	if x.hooks != nil && !x.over.Load() && x.dice.IntN(1000) < 3 {
		x.shops.change(w, x.dice)
	}
	if x.desk != nil {
		x.desk.turn(w, x.dice)
	}
}

// unquiet says what of theirs is under way.
func (x *extras) unquiet() string {
	if x.desk != nil {
		if what := x.desk.unquiet(); what != "" {
			return what
		}
	}
	if x.hooks != nil {
		return x.hooks.unquiet()
	}
	return ""
}

// forEver tells of a job that nothing ends but people: that of a batch one of whose payouts is pending for ever.
func (x *extras) forEver(job string) bool { return x.desk != nil && x.desk.forEver(job) }

// underway tells whether somebody still waits for an answer.
func (x *extras) underway() bool {
	return x.hooks != nil && x.hooks.asleep.Load() > 0 || x.desk != nil && x.desk.underway()
}

// judge has their oracles look at the world.
func (x *extras) judge(b *books) {
	if x.hooks != nil {
		x.hooks.judge()
	}
	if x.desk != nil {
		x.desk.judge(b)
	}
}

// join starts what they need in a process.
func (x *extras) join(ctx context.Context, p *process, jobs *work.Store, logger *slog.Logger, run func(func(context.Context) error)) (consumers []consumer) {
	if x.hooks != nil {
		consumers = append(consumers, x.hooks.join(ctx, p, logger, run)...)
	}
	if x.desk != nil {
		consumers = append(consumers, x.desk.join(p, jobs, logger, run)...)
	}
	return consumers
}

// temper is how a merchant's server takes callbacks.
type temper string

// The tempers.
const (
	reliable temper = "answers 200"
	flaky    temper = "answers as it likes"
	broken   temper = "answers 500"
	silent   temper = "never answers"
	sluggish temper = "answers about when nobody waits any more"
	deaf     temper = "takes what it is told, and cuts the connection"
)

// shop is a merchant, with what only it and the vault know.
type shop struct {
	merchant.Merchant
	keys   map[string][]byte // API keys, by id
	urls   map[string]bool   // that it has had
	temper temper
}

// shops are the merchants, as the product reads them: no records of the log, which the ledger would read by the executor.
type shops struct {
	world *world
	mu    sync.Mutex
	byID  map[string]*shop
}

func newShops(w *world, dice *rand.Rand, callbacks bool) *shops {
	s := &shops{world: w, byID: map[string]*shop{}}
	tempers := []temper{reliable, reliable, reliable, reliable, flaky, flaky, flaky, broken, silent, sluggish, deaf}
	dialects := []merchant.Dialect{merchant.Stable, merchant.Stable, merchant.PHP, merchant.Node, merchant.Raw}
	for n := range w.profile.merchants {
		m := &shop{keys: map[string][]byte{}, urls: map[string]bool{}, temper: tempers[dice.IntN(len(tempers))]}
		m.Merchant = merchant.Merchant{
			ID: fmt.Sprintf("mer_%016d", n), Services: []merchant.Service{merchant.Payin, merchant.Payout}, Plan: fee.Default(),
			Dialect: dialects[dice.IntN(len(dialects))],
		}
		s.byID[m.ID] = m
		if told := dice.IntN(4) > 0 || n == 0; callbacks && told {
			m.rekey(dice, w.now())
			m.move(n, 0)
		}
	}
	return s
}

// move gives a merchant another URL, on a server of its own.
func (m *shop) move(number, times int) {
	m.CallbackURL = fmt.Sprintf("http://shop%d.test/hooks/%d", number, times)
	m.urls[m.CallbackURL] = true
}

// rekey gives a merchant another key, the newest.
func (m *shop) rekey(dice *rand.Rand, at time.Time) {
	k := merchant.Key{ID: fmt.Sprintf("key_%016x", dice.Uint64()), Role: merchant.Full, CreatedAt: at}
	m.keys[k.ID] = fmt.Appendf(nil, "klyro_%032x", dice.Uint64())
	m.Keys = append(append([]merchant.Key(nil), m.Keys...), k)
}

// change has a merchant change something.
func (s *shops) change(w *world, dice *rand.Rand) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := dice.IntN(len(s.byID))
	m := s.byID[fmt.Sprintf("mer_%016d", n)]
	if m.CallbackURL == "" {
		return
	}
	if dice.IntN(2) == 0 {
		m.move(n, len(m.urls))
		w.note("%s has another callback URL", m.ID)
		return
	}
	m.rekey(dice, w.now())
	w.note("%s has another key", m.ID)
}

// find returns a merchant as it is now.
func (s *shops) find(id string) (merchant.Merchant, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.byID[id]
	if m == nil {
		return merchant.Merchant{}, false
	}
	return m.Merchant, true
}

// key returns an API key; nil when there is none of that name.
func (s *shops) key(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.byID {
		for id, key := range m.keys {
			if webhook.SecretName(id) == name {
				return key
			}
		}
	}
	return nil
}

// away tells whether something cannot be had just now: for some seconds at a time, so that it does not matter who asks first.
func (w *world) away(what string) bool {
	if w.extras.over.Load() {
		return false
	}
	h := fnv.New64a()
	fmt.Fprint(h, w.seed, what, time.Since(w.begun)/(3*time.Second))
	return h.Sum64()%1000 < uint64(w.profile.work)
}

// clerk is what a process asks about merchants.
type clerk struct{ of *process }

// Merchant gives a merchant as it is now.
func (c clerk) Merchant(_ context.Context, id string) (merchant.Merchant, error) {
	w := c.of.world
	switch {
	case c.of.isDead():
		return merchant.Merchant{}, errDead
	case w.away("merchant " + id):
		return merchant.Merchant{}, errCut
	}
	m, is := w.extras.shops.find(id)
	if !is {
		return m, domain.Errorf(domain.NotFound, "there is no merchant %s", id)
	}
	return m, nil
}

// Secret gives what a key signs with.
func (c clerk) Secret(_ context.Context, name string) ([]byte, error) {
	w := c.of.world
	switch {
	case c.of.isDead():
		return nil, errDead
	case w.away("secret " + name):
		return nil, errCut
	}
	key := w.extras.shops.key(name)
	if key == nil {
		return nil, vault.ErrNotFound
	}
	m := vault.NewMidstates(key)
	return m[:], nil
}
