package ledger

import (
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// A wallet's stream is long, so it is kept in snapshots. Merchants and operators have few records, payments are many and short.
var _ executor.Snapshotter = (*walletState)(nil)

// foldVersion is how this program folds wallets: a snapshot made by another one is not believed.
const foldVersion = wallet.FoldVersion

// Fold is the version of the wallet's fold. Snapshot and Restore are the wallet's own.
func (s *walletState) Fold() int { return foldVersion }

// snapshotOf is what a snapshot of the wallet must hold, byte for byte, when it was made by this program's fold.
func snapshotOf(w *wallet.Wallet) ([]byte, error) { return w.Snapshot() }
