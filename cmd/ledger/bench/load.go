package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// How the load comes.
const (
	singles   = 64 // callers of one payout at a time
	pipelines = 16 // callers of many at once: Options.Batch
	gateway   = "bank"
)

// hotMerchant owns the hot wallet.
const hotMerchant = "mer_benchhot00000000"

// hotFunds and walletFunds are what wallets begin with, in paisa: a run can empty none.
const (
	hotFunds    = 1_000_000_000_000_00
	walletFunds = 10_000_000_000_00
)

// prices is how many different amounts the payouts have.
const prices = 16

// payer makes the commands of one caller. It is used by one goroutine at a time.
type payer struct {
	random  *rand.Rand
	amounts [prices]money.Amount
	charges [prices]fee.Charge
	gross   [prices]int64 // paisa
	sealed  string
	sealID  uuid.UUID
}

// newPayer prepares what the API makes of a request before the ledger sees it: the charge, and the sealed beneficiary. Its time
// is measured by `http`.
func newPayer(ctx context.Context, b *Book) (*payer, error) {
	p := newRandom()
	plan := fee.Default()
	for i := range prices {
		p.amounts[i] = money.FromMinor(int64(1_000_00+i*250_50), money.INR)
		charge, err := plan.PayoutCharge(p.amounts[i])
		if err != nil {
			return nil, err
		}
		p.charges[i] = charge
		gross, ok := p.amounts[i].Add(charge.Commission).Minor()
		if !ok {
			return nil, fmt.Errorf("%s is too much", p.amounts[i])
		}
		p.gross[i] = gross
	}
	var err error
	if p.sealID, err = uuid.NewV7(); err != nil {
		return nil, err
	}
	p.sealed, err = b.Vault.SealString(ctx, hotMerchant, p.sealID, `{"name":"Rahul Sharma","account_no":"1234567890","mobile":"9876543210"}`)
	return p, err
}

// newRandom makes a payer that can make ids alone.
func newRandom() *payer { return &payer{random: rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))} }

// newPayers makes one for each of so many callers.
func newPayers(ctx context.Context, b *Book, n int) ([]*payer, error) {
	out := make([]*payer, n)
	for i := range out {
		var err error
		if out[i], err = newPayer(ctx, b); err != nil {
			return nil, err
		}
	}
	return out, nil
}

const idAlphabet = "abcdefghijklmnopqrstuvwxyz234567"

// id makes an id of 80 random bits, as the API's are.
func (p *payer) id(prefix string) string {
	var b [40]byte
	n := copy(b[:], prefix)
	for range 2 {
		bits := p.random.Uint64()
		for range 8 {
			b[n] = idAlphabet[bits&31]
			n, bits = n+1, bits>>5
		}
	}
	return string(b[:n])
}

// initiate makes a payout and says how much it takes from the wallet, in paisa.
func (p *payer) initiate(merchantID string) (wallet.InitiatePayout, int64) {
	i := p.random.IntN(prices)
	return wallet.InitiatePayout{
		Base: p.base(merchantID, p.id("txn_")), Amount: p.amounts[i], Charge: p.charges[i], RequestID: p.id("PAYOUT-2026-"),
		IFSC: "SBIN0001234", BankName: "State Bank of India", AccountLast4: "7890",
		AccountFingerprint: "5f1d7a84db00d2fce00b31a7fc73224f", TransferType: "5", Sealed: p.sealed,
	}, p.gross[i]
}

func (p *payer) base(merchantID, payment string) wallet.Base {
	return wallet.Base{
		Of: wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: payment},
		At: eventstore.Micros(time.Now()),
	}
}

func (p *payer) origin() eventstore.Origin {
	return eventstore.Origin{Actor: "key:key_benchcaller00000", Request: p.id("req_")}
}

// fund gives a wallet its money, and counts the record.
func (w *world) fund(ctx context.Context, b *Book, p *payer, merchantID string, paisa int64) error {
	_, err := b.Ledger.Submit(ctx, wallet.AdjustWallet{
		Base: p.base(merchantID, p.id("txn_")), Amount: money.FromMinor(paisa, money.INR), Reason: "funds of a benchmark", Actor: "cli:bench",
	}, eventstore.Origin{Actor: "cli:bench"})
	if err != nil {
		return fmt.Errorf("funding %s: %w", merchantID, err)
	}
	w.tally.records.Add(1)
	return nil
}

// fundHot gives the hot wallet its money.
func (w *world) fundHot(ctx context.Context, b *Book) error {
	p, err := newPayer(ctx, b)
	if err != nil {
		return err
	}
	w.tally.merchant = hotMerchant
	w.tally.funded.Add(hotFunds)
	return w.fund(ctx, b, p, hotMerchant, hotFunds)
}

// payOne submits a payout from the hot wallet by itself.
func (w *world) payOne(ctx context.Context, b *Book, p *payer) (int64, error) {
	c, gross := p.initiate(hotMerchant)
	if _, err := b.Ledger.Submit(ctx, c, p.origin()); err != nil {
		return 0, err
	}
	w.tally.records.Add(1)
	w.tally.held.Add(gross)
	return 1, nil
}

// batches names the load of many callers of many payouts, for scripts and for people.
func (w *world) batches() (name, text string) {
	return fmt.Sprintf("%dx%d", pipelines, w.opts.Batch), fmt.Sprintf("%d callers of %s", pipelines, plainInt(int64(w.opts.Batch)))
}

// payMany submits n payouts from the hot wallet at once.
func (w *world) payMany(ctx context.Context, b *Book, p *payer, n int) (int64, error) {
	all, gross := make([]ledger.Submission, n), int64(0)
	from := p.origin() // one request
	for i := range all {
		c, g := p.initiate(hotMerchant)
		all[i], gross = ledger.Submission{Command: c, Origin: from}, gross+g
	}
	_, errs := b.Ledger.SubmitAll(ctx, hotMerchant, all)
	if err := firstOf(errs); err != nil {
		return 0, err
	}
	w.tally.records.Add(int64(n))
	w.tally.held.Add(gross)
	return int64(n), nil
}

// firstOf is the first error: a benchmark in which a command is refused measures something else.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// catcher is a log that has something trailing its commits.
type catcher interface {
	// CatchUp returns when every index has reached the heads of the log.
	CatchUp(ctx context.Context) error
}

// caughtUp waits until every index of the log has caught up. A log without CatchUp has nothing that trails.
func caughtUp(b *Book) func(context.Context) error {
	if log, trails := b.Log.(catcher); trails {
		return log.CatchUp
	}
	return nil
}
