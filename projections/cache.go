package projections

import (
	"github.com/transparency-dev/merkle/compact"

	"github.com/khata-ledger/khata/domain/wallet"
)

// cache is what a writer has written last and will likely need for the next batch, so that it need not read it back. It is
// true only of one lane at one checkpoint, while nobody else has written.
type cache struct {
	lane      int64
	epoch     int64
	partition int
	at        mark
	filling   bool // as of the lane
	more      bool // as of the stretch that is being written

	wallets  map[walletKey]*wallet.Wallet
	accounts map[accountKey]*accountRow
	payments map[paymentKey]*paymentFold // those that are pending
	touched  []*paymentFold              // those of them that differ from their rows; none at the end of a transaction
	tree     *compact.Range              // of the partition's records; nil: not loaded
}

// cached bounds each of the maps of a cache. What is forgotten is read back.
const cached = 20_000

// recall returns the writer's cache of a lane at a checkpoint: empty, if it is of another.
func (w *writer) recall(l lane, at mark) *cache {
	m := w.cache
	if m == nil || m.lane != l.number || m.epoch != l.epoch || m.partition != l.partition || m.at != at {
		w.cache = &cache{
			lane: l.number, epoch: l.epoch, partition: l.partition, filling: l.filling,
			wallets: map[walletKey]*wallet.Wallet{}, accounts: map[accountKey]*accountRow{}, payments: map[paymentKey]*paymentFold{},
		}
	}
	return w.cache
}

// moved notes that what is cached stands at a checkpoint, and forgets what has become too much.
func (m *cache) moved(to mark) {
	m.at = to
	trim(m.wallets)
	trim(m.accounts)
	trim(m.payments)
}

func trim[K comparable, V any](m map[K]V) {
	if len(m) > cached {
		clear(m)
	}
}
