package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// fact is what the oracle reads of a record, in its own way: the stored JSON.
type fact struct {
	Merchant   string         `json:"merchant"`
	Currency   money.Currency `json:"currency"`
	Payment    string         `json:"payment"`
	Amount     paisa          `json:"amount"`
	Commission paisa          `json:"commission"`
	Taken      paisa          `json:"taken"`
	Owed       paisa          `json:"owed"`
	TxnRef     string         `json:"txn_ref"`
	RequestID  string         `json:"partner_request_id"`
	OrderID    string         `json:"order_id"`
	Gateway    string         `json:"gateway"`
	PaymentID  string         `json:"payment_id"`
	Refund     string         `json:"refund"`
	Suspense   string         `json:"suspense"`
	Attempt    int            `json:"attempt"`
	FromHold   bool           `json:"from_hold"`
	ExpiresAt  time.Time      `json:"expires_at"`
}

func (f *fact) of() wallet.Of {
	return wallet.Of{Merchant: f.Merchant, Currency: f.Currency, Payment: f.Payment}
}

// paisa is an amount in minor units, as a decimal with two places is read by hand.
type paisa struct{ big.Int }

// UnmarshalJSON reads "12.30".
func (p *paisa) UnmarshalJSON(b []byte) error {
	text := strings.Trim(string(b), `"`)
	if text == "null" {
		return nil
	}
	whole, cents, dot := strings.Cut(text, ".")
	if !dot || len(cents) != 2 {
		return fmt.Errorf("amount %s has no two places", b)
	}
	if _, ok := p.SetString(whole+cents, 10); !ok {
		return fmt.Errorf("amount %s", b)
	}
	return nil
}

func plus(a, b *big.Int) *big.Int  { return new(big.Int).Add(a, b) }
func minus(a, b *big.Int) *big.Int { return new(big.Int).Sub(a, b) }

// books are what the oracle makes of the log.
type books struct {
	w         *world
	available map[string]*big.Int // by merchant
	locked    map[string]*big.Int
	owed      map[string]*big.Int
	payouts   map[string]*paidOut
	payins    map[string]*paidIn
	refunds   map[string]*givenBack
	payments  map[string][]fact // by the bank's payment id
	keys      map[string]int
	commands  map[string][]eventstore.Position // first event of each command
	keyed     map[eventstore.Position][]string
}

type paidOut struct {
	fact
	out     bool // the money has left
	pending bool
	sends   int
}

type paidIn struct {
	fact
	pending bool
}

type givenBack struct {
	fact
	done, pending bool
}

// judge compares everything with everything.
func (w *world) judge() {
	b := &books{
		w: w, available: map[string]*big.Int{}, locked: map[string]*big.Int{}, owed: map[string]*big.Int{}, payouts: map[string]*paidOut{},
		payins: map[string]*paidIn{}, refunds: map[string]*givenBack{}, payments: map[string][]fact{}, keys: map[string]int{},
		commands: map[string][]eventstore.Position{}, keyed: map[eventstore.Position][]string{},
	}
	ctx := context.Background()
	info, err := w.log.Info(ctx)
	if err != nil {
		w.wrong("the log: %v", err)
		return
	}
	for p := range info.Partitions {
		b.partition(info, p)
	}
	w.balances = b.available
	b.clients()
	b.bankTruth()
	b.ended()
	w.extras.judge(b)
	checks, err := ledger.Verify(ctx, w.log, func(done, total int64) {})
	if err != nil {
		w.wrong("verify: %v", err)
	}
	for _, c := range checks {
		if !c.OK && (c.Name != "snapshots" || len(w.cut) == 0) {
			w.wrong("verify finds %s wrong at %s: %s", c.Name, c.Position, c.Problem)
		}
	}
}

// partition reads the records of a partition, and checks their chain.
func (b *books) partition(info eventstore.Info, p int) {
	w, ctx := b.w, context.Background()
	hash := eventstore.Genesis(info.LedgerID, p)
	records, err := w.log.Read(ctx, p, 0, 1<<20)
	if err != nil {
		w.wrong("reading partition %d: %v", p, err)
		return
	}
	w.records += len(records)
	ids := map[string]bool{}
	for i := range records {
		r := &records[i]
		if r.Seq != int64(i)+1 {
			w.wrong("record %s is at place %d", r.Position(), i+1)
		}
		if next, _ := r.Next(hash, nil); next != r.Hash {
			w.wrong("record %s is not chained to the one before", r.Position())
		}
		hash = r.Hash
		if ids[r.EventID.String()] {
			w.wrong("event %s is in the log twice", r.EventID)
		}
		ids[r.EventID.String()] = true
		for _, k := range r.Keys {
			if b.keys[k]++; b.keys[k] > 1 {
				w.wrong("dedupe key %s is claimed twice, again by %s", k, r.Position())
			}
		}
		b.keyed[r.Position()] = r.Keys
		b.commands[r.EventID.String()] = append(b.commands[r.EventID.String()], r.Position())
		b.record(r)
	}
	w.note("partition %d ends with %s", p, hash)
	head, err := w.log.Head(ctx, p)
	if err != nil || head.Hash != hash {
		w.wrong("the head of partition %d is not that of its last record (%v)", p, err)
	}
}

// move changes a balance, which is never below zero.
func (b *books) move(of map[string]*big.Int, name, merchant string, by *big.Int, r *eventstore.Record) {
	if of[merchant] == nil {
		of[merchant] = new(big.Int)
	}
	of[merchant] = plus(of[merchant], by)
	if of[merchant].Sign() < 0 {
		b.w.wrong("%s of %s is %s paisa at %s (%s)", name, merchant, of[merchant], r.Position(), r.Type)
	}
}

// record posts a record by the oracle's own rules.
func (b *books) record(r *eventstore.Record) {
	if strings.HasPrefix(r.Stream, "batch:") {
		return // batchBook follows it; it moves nothing
	}
	var f fact
	if err := json.Unmarshal(r.Data, &f); err != nil {
		b.w.wrong("record %s cannot be read: %v", r.Position(), err)
		return
	}
	gross, net := plus(&f.Amount.Int, &f.Commission.Int), minus(&f.Amount.Int, &f.Commission.Int)
	none := new(big.Int)
	available, locked, owed := none, none, none
	neg := func(x *big.Int) *big.Int { return new(big.Int).Neg(x) }
	switch r.Type {
	case "wallet.adjusted":
		available = &f.Amount.Int
	case "wallet.recovered":
		available, owed = neg(&f.Amount.Int), neg(&f.Amount.Int)
	case "payin.succeeded":
		available = net
	case "payout.initiated":
		if !f.FromHold { // else it is locked already
			available, locked = neg(gross), gross
		}
	case "batch.queued":
	case "batch.held":
		available, locked = neg(&f.Amount.Int), &f.Amount.Int
	case "batch.released":
		available, locked = &f.Amount.Int, neg(&f.Amount.Int)
	case "payout.succeeded":
		locked = neg(gross)
	case "payout.refunded", "payout.failed":
		available, locked = gross, neg(gross)
	case "payout.returned":
		available = gross
	case "payout.paid_after_refund":
		available, owed = neg(&f.Taken.Int), &f.Owed.Int
		if plus(&f.Taken.Int, &f.Owed.Int).Cmp(gross) != 0 {
			b.w.wrong("%s takes %s and owes %s of %s", r.Position(), &f.Taken.Int, &f.Owed.Int, gross)
		}
	case "refund.initiated":
		available, locked = neg(net), net
	case "refund.succeeded":
		locked = neg(net)
	case "refund.failed":
		available, locked = net, neg(net)
	case "refund.paid_after_failure":
		available, owed = neg(&f.Taken.Int), &f.Owed.Int
	case "payin.created", "payin.suspended", "payin.failed", "payin.expired", "payin.noted",
		"payout.submitted", "payout.noted", "payout.anomaly", "refund.submitted":
	default:
		b.w.wrong("the oracle does not know %s (%s)", r.Type, r.Position())
	}
	b.move(b.available, "available", f.Merchant, available, r)
	b.move(b.locked, "locked", f.Merchant, locked, r)
	b.move(b.owed, "owed", f.Merchant, owed, r)
	b.balanced(r, f.Merchant, available, locked)
	b.follow(r, f)
}

// balanced checks the product's own postings: they sum to zero, and move a wallet as the oracle does.
func (b *books) balanced(r *eventstore.Record, merchant string, available, locked *big.Int) {
	e, err := wallet.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		b.w.wrong("record %s: %v", r.Position(), err)
		return
	}
	sum, moved := new(big.Int), map[string]*big.Int{}
	for _, p := range wallet.Postings(e) {
		credit := minus(p.Credit.Decimal().Shift(2).BigInt(), p.Debit.Decimal().Shift(2).BigInt())
		sum.Add(sum, credit)
		if moved[p.Account] == nil {
			moved[p.Account] = new(big.Int)
		}
		moved[p.Account].Add(moved[p.Account], credit)
	}
	if sum.Sign() != 0 {
		b.w.wrong("the postings of %s (%s) sum to %s", r.Position(), r.Type, sum)
	}
	for name, want := range map[string]*big.Int{"available": available, "locked": locked} {
		got := moved["merchant:"+merchant+":"+name]
		if got == nil {
			got = new(big.Int)
		}
		if got.Cmp(want) != 0 {
			b.w.wrong("%s (%s) moves %s by %s, the oracle has %s", r.Position(), r.Type, name, got, want)
		}
	}
}

// follow keeps what has become of payments.
func (b *books) follow(r *eventstore.Record, f fact) {
	switch r.Type {
	case "payout.initiated":
		b.payouts[f.Payment] = &paidOut{fact: f, pending: true}
	case "payout.submitted":
		p := b.payouts[f.Payment]
		if p.sends++; p.sends != f.Attempt {
			b.w.wrong("attempt %d of %s follows %d", f.Attempt, f.Payment, p.sends-1)
		}
	case "payout.succeeded", "payout.paid_after_refund":
		b.payouts[f.Payment].out, b.payouts[f.Payment].pending = true, false
	case "payout.refunded", "payout.failed", "payout.returned":
		b.payouts[f.Payment].out, b.payouts[f.Payment].pending = false, false
	case "payin.created":
		b.payins[f.Payment] = &paidIn{fact: f, pending: true}
	case "payin.succeeded", "payin.suspended":
		b.payments[f.PaymentID] = append(b.payments[f.PaymentID], f)
		if r.Type == "payin.succeeded" {
			b.payins[f.Payment].pending = false
		}
	case "payin.failed", "payin.expired":
		b.payins[f.Payment].pending = false
	case "refund.initiated":
		b.refunds[f.Refund] = &givenBack{fact: f, pending: true}
	case "refund.succeeded", "refund.paid_after_failure":
		b.refunds[f.Refund].done, b.refunds[f.Refund].pending = true, false
	case "refund.failed":
		b.refunds[f.Refund].pending = false
	}
}

// clients compares what clients were told with the log.
func (b *books) clients() {
	for _, r := range b.w.requests {
		for _, a := range r.attempts {
			at := b.commands[a.command.String()]
			name := fmt.Sprintf("request %d (%s), attempt %s", r.number, r.key, a.payment)
			switch a.outcome {
			case accepted:
				if len(at) != 1 || at[0] != a.at {
					b.w.wrong("%s was accepted as %s, and the log has it at %v", name, a.at, at)
				}
			case known:
				if !slices.Contains(b.keyed[a.at], r.key) {
					b.w.wrong("%s was told that %s has its key, which has %v", name, a.at, b.keyed[a.at])
				}
			case declined, undone:
				if len(at) > 0 {
					b.w.wrong("%s was not carried out (%s), and the log has it at %v", name, a.outcome, at)
				}
			default:
				if len(at) > 1 {
					b.w.wrong("%s is in the log at %v", name, at)
				}
			}
		}
	}
}

// bankTruth compares what the bank did with the log.
func (b *books) bankTruth() {
	bank := b.w.bank
	for _, ref := range slices.Sorted(maps.Keys(bank.deeds)) {
		d, p := bank.deeds[ref], b.payouts[ref]
		if p == nil || d.amount != decimal(&p.Amount.Int) {
			b.w.wrong("the bank has a transfer %s of %s that the ledger does not have so", ref, d.amount)
			continue
		}
		if d.paid > 1 || d.requests > 0 && p.sends == 0 {
			b.w.wrong("the bank has paid %s %d times, for %d attempts in the log", ref, d.paid, p.sends)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.payouts)) {
		p, d := b.payouts[id], bank.deeds[id]
		gone := d != nil && d.paid-d.back == 1
		if p.out != gone {
			b.w.wrong("payout %s: the ledger says that money is gone: %t (pending: %t), the bank: %t", id, p.out, p.pending, gone)
		}
	}
	b.bankPayments()
	for _, ref := range slices.Sorted(maps.Keys(bank.refunds)) {
		if d, r := bank.refunds[ref], b.refunds[ref]; r == nil || d.amount != decimal(&r.Amount.Int) {
			b.w.wrong("the bank has a refund %s of %s that the ledger does not have so", ref, d.amount)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.refunds)) {
		r, d := b.refunds[id], bank.refunds[id]
		gone := d != nil && d.paid == 1
		if r.done != gone {
			b.w.wrong("refund %s: the ledger says that it is made: %t (pending: %t), the bank: %t", id, r.done, r.pending, gone)
		}
	}
}

// bankPayments compares what customers paid with what was booked.
func (b *books) bankPayments() {
	paid := map[string]bool{}
	for _, c := range b.w.bank.payments {
		if !c.paid {
			continue
		}
		paid[c.id] = true
		booked := b.payments[c.id]
		if len(booked) != 1 || decimal(&booked[0].Amount.Int) != c.amount || "REF"+booked[0].Payment != c.reference {
			b.w.wrong("a customer paid %s for %s (%s), and the ledger has booked it %d times", c.amount, c.reference, c.id, len(booked))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.payments)) {
		if !paid[id] {
			b.w.wrong("the ledger has payment %s, which nobody made", id)
		}
	}
}

// decimal writes paisa as rupees.
func decimal(p *big.Int) string {
	s := fmt.Sprintf("%03s", p.String())
	return s[:len(s)-2] + "." + s[len(s)-2:]
}

// forEver tells what the bank keeps pending for ever: nothing can end that but people.
func (b *bank) forEver(ref string) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.deeds[ref]
	if d == nil {
		d = b.refunds[ref]
	}
	return d != nil && d.plan == keepsPending
}

// ended checks that nothing is under way but what is so by design.
func (b *books) ended() {
	for _, id := range slices.Sorted(maps.Keys(b.payouts)) {
		if b.payouts[id].pending && !b.w.bank.forEver(id) {
			b.w.wrong("payout %s is pending for ever", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.payins)) {
		if b.payins[id].pending {
			b.w.wrong("payin %s is pending for ever", id)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(b.refunds)) {
		if b.refunds[id].pending && !b.w.bank.forEver(id) {
			b.w.wrong("refund %s is pending for ever", id)
		}
	}
}

// quiet tells whether nothing is under way any more.
func (w *world) quiet() bool { return w.unquiet() == "" }

// unquiet says what is under way.
func (w *world) unquiet() string {
	for _, kind := range []wallet.Kind{wallet.KindPayin, wallet.KindPayout} {
		for _, p := range w.index.pending(kind, "", 1<<20) {
			if !w.bank.forEver(p.ID) {
				return "payment " + p.ID
			}
		}
	}
	w.index.mu.Lock()
	refunds := slices.Sorted(maps.Keys(w.index.refunds))
	w.index.mu.Unlock()
	for _, r := range refunds {
		if !w.bank.forEver(r) {
			return "refund " + r
		}
	}
	if !w.bank.quiet() {
		return "the bank"
	}
	if behind := w.viewsBehind(); behind != "" {
		return behind
	}
	if what := w.extras.unquiet(); what != "" {
		return what
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range w.requests {
		if r.underway || r.left > 0 {
			return "request " + r.key
		}
	}
	jobs, err := w.work.query("SELECT kind, key FROM jobs", nil)
	if err != nil {
		return err.Error()
	}
	for _, j := range jobs.values {
		if key, _ := j[1].(string); !w.bank.forEver(key) && !w.extras.forEver(key) {
			return fmt.Sprintf("job %v", j)
		}
	}
	return ""
}
