package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/batches"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// batchBook is what the oracle makes of batches, from the log as it is stored. It also answers what the product asks its views.
type batchBook struct {
	world   *world
	mu      sync.Mutex
	read    []int64 // by partition
	batches map[string]*batchFacts
	rows    map[string]*rowFacts // by payment: those that became payouts
}

// batchFacts are what is known of a batch.
type batchFacts struct {
	id, merchant, ref  string
	status             batch.Status
	terms              batch.Terms
	count              int
	amount, commission *big.Int
	rows               map[int]*rowFacts
	whole              bool
	approvals          []string
	drawn              int // chunks
	held, left         *big.Int
	released           bool // done: it holds nothing any more
	maker              string
}

// rowFacts are what is known of a row.
type rowFacts struct {
	batchEntry
	batch   *batchFacts
	payouts int
	refused string // code; "" for none
	open    bool   // a payout that is pending
}

// batchEntry is a row as it is stored.
type batchEntry struct {
	Index      int    `json:"index"`
	Payment    string `json:"payment"`
	RequestID  string `json:"partner_request_id"`
	Amount     paisa  `json:"amount"`
	Commission paisa  `json:"commission"`
	Last4      string `json:"account_last4"`
}

func (e *batchEntry) gross() *big.Int { return plus(&e.Amount.Int, &e.Commission.Int) }

// batchFact is a record of a batch, or about one, as it is stored.
type batchFact struct {
	batchEntry
	Merchant string       `json:"merchant"`
	Batch    string       `json:"batch"`
	Ref      string       `json:"batch_ref"`
	Terms    batch.Terms  `json:"terms"`
	Count    int          `json:"count"`
	Actor    string       `json:"actor"`
	Chunk    int          `json:"chunk"`
	Last     bool         `json:"last"`
	Items    []batchEntry `json:"items"`
	Missing  int          `json:"missing"`
	FromHold bool         `json:"from_hold"`
	Done     bool         `json:"done"`
	Refused  []struct {
		Index int    `json:"index"`
		Code  string `json:"code"`
	} `json:"refused"`
}

func newBatchBook(w *world) *batchBook {
	return &batchBook{world: w, read: make([]int64, w.profile.partitions), batches: map[string]*batchFacts{}, rows: map[string]*rowFacts{}}
}

// follow reads what was appended since, and judges it.
func (k *batchBook) follow() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.followLocked()
}

func (k *batchBook) followLocked() {
	for p := range k.read {
		records, err := k.world.log.Read(context.Background(), p, k.read[p], 1<<20)
		if err != nil {
			panic(err)
		}
		for i := range records {
			k.add(&records[i])
			k.read[p] = records[i].Seq
		}
	}
}

func (k *batchBook) add(r *eventstore.Record) {
	inside, wallets := strings.HasPrefix(r.Stream, "batch:"), strings.HasPrefix(r.Type, "batch.") || strings.HasPrefix(r.Type, "payout.")
	if !inside && !wallets {
		return
	}
	var f batchFact
	if err := json.Unmarshal(r.Data, &f); err != nil {
		k.world.wrong("record %s cannot be read: %v", r.Position(), err)
		return
	}
	if inside {
		k.batch(r, &f)
		return
	}
	k.money(r, &f)
}

// batch follows a record of a batch's stream.
func (k *batchBook) batch(r *eventstore.Record, f *batchFact) {
	b, w := k.batches[f.Batch], k.world
	if (b == nil) != (r.Type == "batch.submitted") {
		w.wrong("%s (%s): batch %s is there already, or is not", r.Position(), r.Type, f.Batch)
		return
	}
	switch r.Type {
	case "batch.submitted":
		k.batches[f.Batch] = &batchFacts{
			id: f.Batch, merchant: f.Merchant, ref: f.Ref, status: batch.Receiving, terms: f.Terms, count: f.Count, amount: &f.Amount.Int,
			commission: &f.Commission.Int, rows: map[int]*rowFacts{}, held: new(big.Int), left: new(big.Int), maker: f.Actor,
		}
		return
	case "batch.items":
		k.items(r, b, f)
	case "batch.approved":
		if slices.Contains(b.approvals, f.Actor) || f.Actor == b.maker || b.status != batch.Awaiting {
			w.wrong("%s: %s approves batch %s, which is %s, of %s, and approved by %q", r.Position(), f.Actor, b.id, b.status, b.maker, b.approvals)
		}
		if b.approvals = append(b.approvals, f.Actor); len(b.approvals) == b.checkers() {
			b.status = batch.Processing
		}
	case "batch.rejected":
		k.end(r, b, batch.Rejected, b.status == batch.Awaiting || b.status == batch.Processing && b.terms.Mode == batch.Atomic && b.payouts() == 0)
	case "batch.cancelled":
		k.end(r, b, batch.Cancelled, b.status != batch.Completed && b.status != batch.Rejected)
	case "batch.completed":
		k.end(r, b, batch.Completed, b.status == batch.Processing)
		for i := 1; i <= b.count; i++ {
			if row := b.rows[i]; row == nil || row.open || row.payouts == 0 && row.refused == "" {
				w.wrong("%s: batch %s is completed, and its row %d has not ended", r.Position(), b.id, i)
			}
		}
	case "batch.drawn":
		k.drawn(r, b, f)
	case "batch.closed":
	default:
		w.wrong("the oracle does not know %s (%s)", r.Type, r.Position())
	}
}

// checkers is how many have to approve a batch.
func (b *batchFacts) checkers() int {
	if b.terms.Approval == batch.NoApproval {
		return 0
	}
	return max(b.terms.Checkers, 1)
}

// payouts are how many rows became payouts.
func (b *batchFacts) payouts() (n int) {
	for _, row := range b.rows {
		n += row.payouts
	}
	return n
}

func (k *batchBook) end(r *eventstore.Record, b *batchFacts, s batch.Status, may bool) {
	if !may {
		k.world.wrong("%s: batch %s was %s, and is %s", r.Position(), b.id, b.status, s)
	}
	b.status = s
}

// items takes rows in. Those of a whole batch make up what it was announced with.
func (k *batchBook) items(r *eventstore.Record, b *batchFacts, f *batchFact) {
	for _, i := range f.Items {
		if i.Index != len(b.rows)+1 || i.Index > b.count {
			k.world.wrong("%s: row %d of batch %s is number %d of %d", r.Position(), i.Index, b.id, len(b.rows)+1, b.count)
		}
		b.rows[i.Index] = &rowFacts{batchEntry: i, batch: b}
	}
	if b.whole = len(b.rows) == b.count; b.whole != f.Last {
		k.world.wrong("%s: batch %s has %d rows of %d, and this is the last one: %t", r.Position(), b.id, len(b.rows), b.count, f.Last)
	}
	if !b.whole {
		return
	}
	amount, commission := new(big.Int), new(big.Int)
	for _, row := range b.rows {
		amount, commission = plus(amount, &row.Amount.Int), plus(commission, &row.Commission.Int)
	}
	if amount.Cmp(b.amount) != 0 || commission.Cmp(b.commission) != 0 {
		k.world.wrong("%s: the rows of batch %s are %s and %s paisa, and it says %s and %s", r.Position(), b.id, amount, commission, b.amount, b.commission)
	}
	if b.status = batch.Processing; b.checkers() > 0 {
		b.status = batch.Awaiting
	}
}

// drawn notes a chunk: each of its rows is a payout, or refused.
func (k *batchBook) drawn(r *eventstore.Record, b *batchFacts, f *batchFact) {
	if b.drawn++; f.Chunk != b.drawn || b.status != batch.Processing && b.status != batch.Cancelled {
		k.world.wrong("%s: chunk %d of batch %s, which is %s and has drawn %d", r.Position(), f.Chunk, b.id, b.status, b.drawn-1)
	}
	for _, x := range f.Refused {
		row := b.rows[x.Index]
		if row == nil || row.refused != "" || row.payouts > 0 {
			k.world.wrong("%s: row %d of batch %s is refused, and it has ended before", r.Position(), x.Index, b.id)
			continue
		}
		row.refused = x.Code
	}
	for i := (f.Chunk-1)*batch.ChunkSize + 1; i <= min(f.Chunk*batch.ChunkSize, b.count); i++ {
		if row := b.rows[i]; row == nil || (row.payouts == 1) == (row.refused != "") {
			k.world.wrong("%s: chunk %d of batch %s is drawn, and its row %d is no payout and not refused, or both", r.Position(), f.Chunk, b.id, i)
		}
	}
}

// money follows a record of the wallet's stream that is about a batch.
func (k *batchBook) money(r *eventstore.Record, f *batchFact) {
	w := k.world
	switch r.Type {
	case "payout.initiated":
		if f.Batch != "" {
			k.pays(r, f)
		}
		return
	case "payout.succeeded", "payout.failed", "payout.refunded":
		if row := k.rows[f.Payment]; row != nil {
			row.open = false
		}
		return
	case "batch.queued", "batch.held", "batch.released":
	default:
		return
	}
	b := k.batches[f.Payment]
	if b == nil || b.merchant != f.Merchant {
		w.wrong("%s (%s): there is no batch %s of %s", r.Position(), r.Type, f.Payment, f.Merchant)
		return
	}
	switch r.Type {
	case "batch.held":
		if b.status != batch.Processing || b.released || b.terms.Mode != batch.Atomic && b.terms.Shortage != batch.QueueShort || r.EffectiveAt.Before(b.terms.ScheduleAt) {
			w.wrong("%s: money is held for batch %s, which is %s", r.Position(), b.id, b.status)
		}
		b.held, b.left = plus(b.held, &f.Amount.Int), plus(b.left, &f.Amount.Int)
		if b.terms.Mode == batch.Atomic && b.held.Cmp(plus(b.amount, b.commission)) != 0 {
			w.wrong("%s: %s paisa are held for batch %s, of which all or nothing is to be held", r.Position(), b.held, b.id)
		}
	case "batch.released":
		b.left, b.released = minus(b.left, &f.Amount.Int), b.released || f.Done
		if f.Done && b.left.Sign() != 0 {
			w.wrong("%s: batch %s holds nothing any more, and %s paisa are left of it", r.Position(), b.id, b.left)
		}
	}
	if b.left.Sign() < 0 {
		w.wrong("%s: %s paisa are left of what is held for batch %s", r.Position(), b.left, b.id)
	}
}

// pays follows a payout of a row.
func (k *batchBook) pays(r *eventstore.Record, f *batchFact) {
	w, b := k.world, k.batches[f.Batch]
	if b == nil || b.merchant != f.Merchant || b.rows[f.Index] == nil {
		w.wrong("%s: payout %s is row %d of batch %s, which is not there", r.Position(), f.Payment, f.Index, f.Batch)
		return
	}
	row := b.rows[f.Index]
	if row.payouts++; row.payouts > 1 || row.refused != "" {
		w.wrong("%s: row %d of batch %s becomes %d payouts, and was refused: %q", r.Position(), f.Index, f.Batch, row.payouts, row.refused)
	}
	if b.status != batch.Processing || r.EffectiveAt.Before(b.terms.ScheduleAt) || len(b.approvals) < b.checkers() {
		w.wrong("%s: row %d of batch %s is paid, which is %s, approved by %q, and due at %s", r.Position(), f.Index, b.id, b.status, b.approvals, b.terms.ScheduleAt)
	}
	if row.Payment != f.Payment || row.RequestID != f.RequestID || row.Last4 != f.Last4 || row.Amount.Cmp(&f.Amount.Int) != 0 || row.Commission.Cmp(&f.Commission.Int) != 0 {
		w.wrong("%s: row %d of batch %s is %+v, and is paid as %+v", r.Position(), f.Index, b.id, row.batchEntry, f.batchEntry)
	}
	holds := b.terms.Mode == batch.Atomic || b.terms.Shortage == batch.QueueShort
	if f.FromHold != holds {
		w.wrong("%s: row %d of batch %s is paid from its hold: %t", r.Position(), f.Index, b.id, f.FromHold)
	}
	if holds {
		if b.left = minus(b.left, row.gross()); b.left.Sign() < 0 {
			w.wrong("%s: row %d of batch %s is paid from a hold that has no such money", r.Position(), f.Index, b.id)
		}
	}
	row.open = true
	k.rows[f.Payment] = row
}

// undecided are the batches that somebody can decide about, in order.
func (k *batchBook) undecided() (out []*batchFacts) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(k.batches)) {
		if b := k.batches[id]; !b.final() {
			out = append(out, b)
		}
	}
	return out
}

func (b *batchFacts) final() bool {
	return b.status == batch.Completed || b.status == batch.Rejected || b.status == batch.Cancelled
}

// open tells whether a payout of the batch is pending, and whether one of those will be so for ever.
func (b *batchFacts) open(w *world) (open, forEver bool) {
	for _, row := range b.rows {
		if row.open {
			open, forEver = true, forEver || w.bank.forEver(row.Payment)
		}
	}
	return open, forEver
}

// unended names a batch that has not ended, and for which something is to be done yet.
func (k *batchBook) unended() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.followLocked()
	for _, id := range slices.Sorted(maps.Keys(k.batches)) {
		b := k.batches[id]
		_, forEver := b.open(k.world)
		if b.left.Sign() != 0 || !b.final() && (!forEver || b.drawn < batch.Chunks(b.count)) {
			return fmt.Sprintf("batch %s, which is %s, of which %d chunks are drawn, and %s paisa held", b.id, b.status, b.drawn, b.left)
		}
	}
	return ""
}

// forEver tells of the job of a batch that will never end.
func (c *counter) forEver(job string) bool {
	id, _, _ := strings.Cut(job, " ")
	c.book.mu.Lock()
	defer c.book.mu.Unlock()
	b := c.book.batches[id]
	if b == nil {
		return false
	}
	_, forEver := b.open(c.world)
	return forEver && b.drawn == batch.Chunks(b.count)
}

// bookView is the book as the views of a process.
type bookView struct {
	*batchBook
	of *process
}

func (k *batchBook) as(p *process) bookView { return bookView{k, p} }

// Open tells whether the outcome of any of a batch's items is not final. Sometimes the views have not come so far.
func (v bookView) Open(ctx context.Context, merchantID, id string) (bool, error) {
	if called := v.world.park(ctx, v.of, "pending", "open "+id, false); !called.answered() {
		return false, called.err(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.followLocked()
	b := v.batches[id]
	if b == nil || b.merchant != merchantID || v.world.away("view of "+id) {
		return false, domain.Errorf(domain.NotFound, "there is no batch %s", id)
	}
	open, _ := b.open(v.world)
	return open, nil
}

// Unfinished lists batches that have not ended, or for which something is held yet.
func (v bookView) Unfinished(ctx context.Context, after string, limit int) (list []batches.Unfinished, err error) {
	if called := v.world.park(ctx, v.of, "pending", "batches"+after, false); !called.answered() {
		return nil, called.err(ctx)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.followLocked()
	for _, id := range slices.Sorted(maps.Keys(v.batches)) {
		b := v.batches[id]
		if id > after && len(list) < limit && (!b.final() || b.left.Sign() != 0) {
			list = append(list, batches.Unfinished{Of: batch.Of{Merchant: b.merchant, Currency: money.INR, Batch: id}, Status: b.status, Terms: b.terms})
		}
	}
	return list, nil
}

// judge compares, at the end, what clients and deciders were told with the log.
func (c *counter) judge(b *books) {
	k, w := c.book, c.world
	k.follow()
	if what := k.unended(); what != "" {
		w.wrong("%s has not ended", what)
	}
	for _, r := range c.wishes {
		c.judgeWish(r)
	}
	for _, id := range slices.Sorted(maps.Keys(k.batches)) {
		at := k.batches[id]
		w.saw("batches " + string(at.status))
		if !slices.ContainsFunc(c.wishes, func(r *wish) bool { return r.merchant == at.merchant && r.ref == at.ref && r.is(at) }) {
			w.wrong("batch %s (%s) of %s is not one that a client has submitted", id, at.ref, at.merchant)
		}
	}
	for _, a := range c.acts {
		at := b.commands[a.command.String()]
		facts := k.batches[a.of.Batch]
		done := map[string]bool{
			"approve": slices.Contains(facts.approvals, a.actor), "reject": facts.status == batch.Rejected, "cancel": facts.status == batch.Cancelled,
		}[a.kind]
		if a.outcome == accepted && !done || a.outcome == declined && len(at) > 0 {
			w.wrong("%s was to %s batch %s, which was %s, and the log has it at %v", a.actor, a.kind, a.of.Batch, a.outcome, at)
		}
	}
}

// is tells whether a batch of the log is the one that the client wants.
func (r *wish) is(b *batchFacts) bool {
	if b.count != r.announced || b.amount.Cmp(r.amount.Decimal().Shift(2).BigInt()) != 0 || b.maker != "maker" || b.terms.Mode != r.terms.Mode ||
		b.terms.Shortage != r.terms.Shortage || b.terms.Approval != r.terms.Approval || !b.terms.ScheduleAt.Equal(r.terms.ScheduleAt.Truncate(time.Microsecond)) {
		return false
	}
	for i, row := range b.rows {
		want := &r.rows[i-1]
		account := want.To.AccountNo
		if row.RequestID != want.RequestID || row.Amount.Cmp(want.Amount.Decimal().Shift(2).BigInt()) != 0 || row.Last4 != account[len(account)-4:] ||
			decimal(&row.Commission.Int) != feeOfRow {
			return false
		}
	}
	return true
}

// judgeWish checks a client's batch: one that it was told of is there, once, and as it was submitted; and whole, but when the client was told
// that it is cancelled.
func (c *counter) judgeWish(r *wish) {
	ids, w := map[string]bool{}, c.world
	for _, t := range r.tries {
		if t.outcome != accepted {
			continue
		}
		ids[t.batch] = true
		b := c.book.batches[t.batch]
		if b == nil || b.ref != r.ref || !r.is(b) || !b.whole && t.status != batch.Cancelled || len(ids) > 1 {
			w.wrong("batch %d (%s) of %s was taken in as %s, %s, and the log does not have it so", r.number, r.ref, r.merchant, t.batch, t.status)
		}
	}
}
