package wallet

import (
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

func paisa(a money.Amount) *big.Int { return a.Decimal().Shift(2).BigInt() }

// machine drives the decider and the naive model with the same commands, and checks every rule at every event.
type machine struct {
	t        *rapid.T
	w        *Wallet
	payments map[string]*Payment
	ids      []string
	accounts map[string]*big.Int // debits less credits
	log      []row
	model    *naive
	clock    time.Time
	serial   int
}

type row struct {
	typ    string
	schema int
	data   []byte
	at     time.Time
}

func TestAnySequence(t *testing.T) {
	actions := map[string]func(*machine){
		"payin": (*machine).createPayin, "payment": (*machine).reportPayment, "payin failure": (*machine).reportPayinFailure,
		"expiry": (*machine).expire, "suspense credit": (*machine).creditSuspense, "suspense refund": (*machine).refundSuspense,
		"payout": (*machine).initiate, "submission": (*machine).submit, "cancellation": (*machine).cancel, "answer": (*machine).report,
		"adjustment": (*machine).adjust, "hold": (*machine).hold, "release": (*machine).release, "spending": (*machine).spend, "sent payout": (*machine).sendPayout,
		"queueing": (*machine).queueBatch, "batch hold": (*machine).holdBatch, "drawing": (*machine).drawPayout, "batch release": (*machine).releaseBatch,
		"dispute": (*machine).dispute, "escalation": (*machine).escalate, "settlement": (*machine).settle, "evidence": (*machine).attach,
		"report of a dispute": (*machine).reportDispute,
		"refund":              (*machine).refund, "refund asked for": (*machine).submitRefund, "report of a refund": (*machine).reportRefund, "refund of suspense": (*machine).sendSuspended,
	}
	var names []string
	for range 3 { // first, since rapid prefers what comes first: what payouts are made of
		names = append(names, "answer", "sent payout", "submission", "spending", "dispute", "settlement", "report of a dispute", "escalation", "refund", "report of a refund")
	}
	names = append(names, slices.Sorted(maps.Keys(actions))...)
	check := func(t *rapid.T) {
		m := &machine{
			t: t, w: NewWallet("mer_1", money.INR), payments: map[string]*Payment{}, accounts: map[string]*big.Int{}, model: newNaive(), clock: noon,
		}
		length := rapid.SampledFrom([]int{100, 30, 10, 3}).Draw(t, "length") // rapid alone would make them short
		for _, name := range rapid.SliceOfN(rapid.SampledFrom(names), length, length).Draw(t, "actions") {
			actions[name](m)
			m.agree()
		}
		m.replay(t)
	}
	for range 5 { // rapid's default of a hundred is too few for what needs four steps in order
		rapid.Check(t, check)
	}
}

// do decides a command, takes each event through its stored form, and checks what must hold at each.
func (m *machine) do(c Command) {
	id := c.Target().Payment
	p := m.payments[id]
	if p == nil {
		p = &Payment{}
	}
	w, before := *m.w, m.text(m.w)+m.text(p)
	events, err := Decide(m.w, p, c)
	if m.text(m.w)+m.text(p) != before {
		m.t.Fatalf("deciding %T changed the state", c)
	}
	code := domain.CodeOf(err)
	if err != nil && code == "" {
		m.t.Fatalf("%T: %v", c, err)
	}
	if want := m.model.do(c); code != want {
		m.t.Fatalf("%T %+v\nof %s: code %q (%v), the model says %q", c, c, m.text(p), code, err, want)
	}
	for _, e := range events {
		m.take(e, p, c.Effective())
	}
	if len(events) > 0 && m.payments[id] == nil && !strings.HasPrefix(id, "bat_") {
		m.payments[id] = p
		m.ids = append(m.ids, id)
	}
	if len(events) > 0 && m.w.Owed.Sign() > 0 && m.w.Available.Sign() != 0 {
		m.t.Fatalf("%T: the merchant owes %s and has %s; before %s", c, m.w.Owed, m.w.Available, m.text(w))
	}
}

func (m *machine) take(e Event, p *Payment, at time.Time) {
	data, err := Encode(e)
	if err != nil {
		m.t.Fatal(err)
	}
	m.log = append(m.log, row{e.Type(), e.Schema(), data, at})
	m.split(e, p)
	sum := new(big.Int)
	for _, line := range Postings(e) {
		net := paisa(line.Debit.Sub(line.Credit))
		if line.Debit.Sign() < 0 || line.Credit.Sign() < 0 || net.Sign() == 0 || line.Debit.Sign()*line.Credit.Sign() != 0 {
			m.t.Fatalf("%s: line %+v", e.Type(), line)
		}
		sum.Add(sum, net)
		m.account(line.Account).Add(m.account(line.Account), net)
	}
	if sum.Sign() != 0 {
		m.t.Fatalf("%s is out of balance by %s paisa: %s", e.Type(), sum, data)
	}
	m.w.Evolve(e)
	p.Evolve(e, at)
	whole := *p
	if p.Pack().Unpack(p); !samePayment(p, &whole) {
		m.t.Fatalf("%s, packed and unpacked: %s", m.text(whole), m.text(p))
	}
	if m.w.Available.Sign() < 0 || m.w.Locked.Sign() < 0 || m.w.Owed.Sign() < 0 {
		m.t.Fatalf("after %s: %s", data, m.text(m.w))
	}
}

// split: every event about a payout carries the split that was decided when it was made.
func (m *machine) split(e Event, p *Payment) {
	var got Priced
	switch e := e.(type) {
	case *PayoutSucceeded:
		got = e.Priced
	case *PayoutFailed:
		got = e.Priced
	case *PayoutRefunded:
		got = e.Priced
	case *PayoutReturned:
		got = e.Priced
	case *PayoutPaidAfterRefund:
		got = e.Priced
		if !e.Taken.Add(e.Owed).Equal(e.Gross()) {
			m.t.Fatalf("taken %s and owed %s of %s", e.Taken, e.Owed, e.Gross())
		}
	default:
		return
	}
	if m.text(got) != m.text(p.Priced) {
		m.t.Fatalf("%s carries %s, decided was %s", e.Type(), m.text(got), m.text(p.Priced))
	}
}

// agree compares the wallet, the books and the model.
func (m *machine) agree() {
	holds := new(big.Int)
	for _, p := range m.payments {
		if p.Status == Pending && (p.Kind == KindPayout || p.Kind == KindHold) {
			holds.Add(holds, paisa(p.Gross()))
		}
		m.disputes(p, holds)
		m.refunds(p, holds)
	}
	for _, r := range m.w.Reserves {
		holds.Add(holds, paisa(r.Left))
		if r.Left.Sign() < 0 {
			m.t.Fatalf("batch %s has %s left", r.Batch, r.Left)
		}
	}
	minus := func(x *big.Int) *big.Int { return new(big.Int).Neg(x) }
	for _, c := range []struct {
		what string
		a, b *big.Int
	}{
		{"available and its account", paisa(m.w.Available), minus(m.account("merchant:mer_1:available"))},
		{"locked and its account", paisa(m.w.Locked), minus(m.account("merchant:mer_1:locked"))},
		{"owed and its account", paisa(m.w.Owed), m.account("merchant:mer_1:receivable")},
		{"locked and open holds", paisa(m.w.Locked), holds},
		{"available and the model", paisa(m.w.Available), m.model.available},
		{"locked and the model", paisa(m.w.Locked), m.model.locked},
		{"owed and the model", paisa(m.w.Owed), m.model.owed},
		{"commission and the model", minus(m.account("platform:commission")), m.model.commission},
		{"tax and the model", minus(m.account("tax:gst")), m.model.tax},
		{"suspense and the model", minus(m.account("suspense")), m.model.suspense},
		{"gateways and the model", new(big.Int).Add(m.account("gateway:one:receivable"), m.account("gateway:two:receivable")), m.model.collected},
	} {
		if c.a.Cmp(c.b) != 0 {
			m.t.Fatalf("%s: %s and %s paisa", c.what, c.a, c.b)
		}
	}
}

// replay folds the stored events anew: the same state must come out.
func (m *machine) replay(t *rapid.T) {
	w, payments := NewWallet("mer_1", money.INR), map[string]*Payment{}
	for _, s := range m.log {
		e, err := Decode(s.typ, s.schema, s.data)
		if err != nil {
			t.Fatal(err)
		}
		again, err := Encode(e)
		if err != nil || string(again) != string(s.data) {
			t.Fatalf("%s is read and written as %s (%v)", s.data, again, err)
		}
		id := e.Header().Payment
		w.Evolve(e)
		if strings.HasPrefix(id, "bat_") {
			continue
		}
		if payments[id] == nil {
			payments[id] = &Payment{}
		}
		payments[id].Evolve(e, s.at)
	}
	m.t = t
	if m.text(w) != m.text(m.w) || m.text(payments) != m.text(m.payments) {
		t.Fatalf("replayed\n%s\n%s\nlived\n%s\n%s", m.text(w), m.text(payments), m.text(m.w), m.text(m.payments))
	}
}

func (m *machine) account(name string) *big.Int {
	if m.accounts[name] == nil {
		m.accounts[name] = new(big.Int)
	}
	return m.accounts[name]
}

// What the commands are made of.

func (m *machine) fresh() Base {
	if len(m.ids) > 0 && rapid.IntRange(0, 19).Draw(m.t, "taken") == 0 {
		return m.base(rapid.SampledFrom(m.ids).Draw(m.t, "id"))
	}
	m.serial++
	return m.base(fmt.Sprint("txn_", m.serial))
}

// known is a payment, most often one of the kind, sometimes any, sometimes one that does not exist.
func (m *machine) known(k Kind) Base {
	var of []string
	for _, id := range m.ids {
		if m.payments[id].Kind == k {
			of = append(of, id)
		}
	}
	switch n := rapid.IntRange(0, 19).Draw(m.t, "which"); {
	case n == 0:
		return m.base("txn_none")
	case n == 1 && len(m.ids) > 0:
		of = m.ids
	}
	if len(of) == 0 {
		return m.base("txn_none")
	}
	// Most often one of the newest, so that one payment lives through much.
	return m.base(of[len(of)-1-min(rapid.IntRange(0, 5).Draw(m.t, "age")/2, len(of)-1)])
}

func (m *machine) base(id string) Base {
	m.clock = m.clock.Add(time.Duration(rapid.IntRange(0, 240).Draw(m.t, "seconds")) * time.Second)
	return Base{Of: Of{"mer_1", money.INR, id}, At: m.clock}
}

func (m *machine) amount(least, most int64) money.Amount {
	return money.FromMinor(rapid.Int64Range(least, most).Draw(m.t, "paisa"), money.INR)
}

// charge prices with one of several plans: what is decided must not depend on the plan of the day.
func (m *machine) charge(amount money.Amount, cut bool) fee.Charge {
	p := fee.Default()
	p.Version = rapid.IntRange(1, 9).Draw(m.t, "version")
	p.Payin.Commission = fee.Schedule{Percent: decimal.New(rapid.Int64Range(0, 500).Draw(m.t, "percent"), -2)}
	p.Payout.Commission = fee.Schedule{Flat: decimal.New(rapid.Int64Range(0, 5000).Draw(m.t, "flat"), -2)}
	gst := fee.GST{Rate: decimal.NewFromInt(18), Included: rapid.Bool().Draw(m.t, "included")}
	p.Payin.GST, p.Payout.GST = gst, gst
	price := p.PayoutCharge
	if cut {
		price = p.PayinCharge
	}
	c, err := price(amount)
	if err != nil {
		m.t.Fatal(err)
	}
	return c
}

func (m *machine) gateway() string {
	return rapid.SampledFrom([]string{"one", "one", "one", "two"}).Draw(m.t, "gateway")
}

func (m *machine) createPayin() {
	b, a := m.fresh(), m.amount(100, 300_000)
	m.do(CreatePayin{Base: b, Amount: a, Charge: m.charge(a, true), OrderID: b.Payment, Gateway: "one", ExpiresAt: b.At.Add(10 * time.Minute)})
}

func (m *machine) reportPayment() {
	b := m.known(KindPayin)
	a := m.amount(1, 300_000)
	if p := m.payments[b.Payment]; p != nil && p.Kind == KindPayin && rapid.IntRange(0, 3).Draw(m.t, "exact") > 0 {
		a = p.Amount
	}
	m.serial++
	m.do(ReportPayment{Base: b, Gateway: m.gateway(), PaymentID: fmt.Sprint("pay_", m.serial), Amount: a, Suspense: fmt.Sprint("sus_", m.serial)})
}

func (m *machine) reportPayinFailure() {
	m.do(ReportPayinFailure{Base: m.known(KindPayin), Gateway: m.gateway(), Reason: "declined"})
}

func (m *machine) expire() { m.do(ExpirePayin{m.known(KindPayin)}) }

func (m *machine) suspended(b Base) *Suspended {
	p := m.payments[b.Payment]
	if p == nil || len(p.Suspense) == 0 {
		return &Suspended{ID: "sus_none", Amount: inr("1")}
	}
	ids := make([]string, 0, len(p.Suspense))
	for i := range m.serial + 1 { // in a fixed order, so that a failure can be repeated
		if id := fmt.Sprint("sus_", i); p.Suspense[id] != nil {
			ids = append(ids, id)
		}
	}
	return p.Suspense[rapid.SampledFrom(ids).Draw(m.t, "suspense")]
}

func (m *machine) creditSuspense() {
	b := m.known(KindPayin)
	s := m.suspended(b)
	c := m.charge(s.Amount, true)
	if rapid.IntRange(0, 9).Draw(m.t, "dear") == 0 {
		c.Commission = s.Amount.Add(inr("0.01"))
	}
	m.do(CreditSuspense{Base: b, Suspense: s.ID, Charge: c, Reason: "r", Actor: "a"})
}

func (m *machine) refundSuspense() {
	b := m.known(KindPayin)
	m.do(RefundSuspense{Base: b, Suspense: m.suspended(b).ID, Send: rapid.Bool().Draw(m.t, "send"), Reason: "r", Actor: "a"})
}

func (m *machine) initiate() {
	b, a := m.fresh(), m.amount(1, 200_000)
	m.do(InitiatePayout{Base: b, Amount: a, Charge: m.charge(a, false), RequestID: b.Payment})
}

// sendPayout makes a payout that can be paid for, and sends it.
func (m *machine) sendPayout() {
	b, a := m.fresh(), m.amount(1, 200_000)
	fund := m.base("txn_fund_" + fmt.Sprint(len(m.log)))
	m.do(AdjustWallet{Base: fund, Amount: a.Add(inr("60")).Add(m.w.Owed), Reason: "r", Actor: "a"})
	m.ids = m.ids[:len(m.ids)-1] // nobody asks about it again
	m.do(InitiatePayout{Base: b, Amount: a, Charge: m.charge(a, false), RequestID: b.Payment})
	m.do(SubmitPayout{Base: b, Attempt: 1, Gateway: m.gateway()})
}

func (m *machine) submit() {
	b, n := m.known(KindPayout), 1
	if p := m.payments[b.Payment]; p != nil {
		n = p.Attempts + rapid.SampledFrom([]int{1, 1, 1, 1, 0, 2}).Draw(m.t, "attempt")
	}
	m.do(SubmitPayout{Base: b, Attempt: n, Gateway: m.gateway()})
}

func (m *machine) cancel() { m.do(CancelPayout{Base: m.known(KindPayout)}) }

func (m *machine) report() {
	o := rapid.SampledFrom([]Outcome{OutcomePaid, OutcomeFailed, OutcomeReturned}).Draw(m.t, "outcome")
	c := ReportPayout{Base: m.known(KindPayout), Gateway: m.gateway(), Outcome: o, Reason: FailureAccountClosed}
	if o == OutcomeReturned {
		c.ReturnReference = rapid.SampledFrom([]string{"RET-1", "RET-2"}).Draw(m.t, "return")
	} else {
		c.UTR = rapid.SampledFrom([]string{"", "1", "2"}).Draw(m.t, "utr")
	}
	m.do(c)
}

func (m *machine) adjust() {
	a := m.amount(-200_000, 400_000)
	if a.IsZero() {
		a = inr("0.01")
	}
	m.do(AdjustWallet{Base: m.fresh(), Amount: a, Reason: "r", Actor: "a"})
}

// spend locks all that there is, so that what comes after finds nothing to take from.
func (m *machine) spend() {
	if m.w.Available.Sign() > 0 {
		m.do(PlaceHold{Base: m.fresh(), Amount: m.w.Available, Reason: "r", Actor: "a"})
	}
}

func (m *machine) hold() {
	m.do(PlaceHold{Base: m.fresh(), Amount: m.amount(1, 100_000), Reason: "r", Actor: "a"})
}

func (m *machine) release() { m.do(ReleaseHold{Base: m.known(KindHold), Reason: "r", Actor: "a"}) }

func (m *machine) batch() Base {
	return m.base(rapid.SampledFrom([]string{"bat_1", "bat_2", "bat_3"}).Draw(m.t, "batch"))
}

func (m *machine) queueBatch() { m.do(QueueBatch{m.batch()}) }

func (m *machine) holdBatch() {
	c := HoldBatch{Base: m.batch(), Last: rapid.Bool().Draw(m.t, "last"), Amount: m.amount(1, 200_000)}
	r, _ := m.w.Reserve(c.Payment)
	c.From = r.Upto + rapid.SampledFrom([]int{0, 0, 0, 0, 1}).Draw(m.t, "from")
	c.Upto = c.From + rapid.SampledFrom([]int{3, 1, 0}).Draw(m.t, "items")
	m.do(c)
}

func (m *machine) drawPayout() {
	c := InitiatePayout{Base: m.fresh(), Amount: m.amount(1, 60_000), Batch: m.batch().Payment, FromHold: true}
	c.Charge, c.RequestID = m.charge(c.Amount, false), c.Payment
	r, _ := m.w.Reserve(c.Batch)
	c.Index = max(1, r.Upto+rapid.IntRange(-3, 1).Draw(m.t, "index"))
	m.do(c)
}

func (m *machine) releaseBatch() {
	c := ReleaseBatch{Base: m.batch(), Done: rapid.Bool().Draw(m.t, "done")}
	r, there := m.w.Reserve(c.Payment)
	c.Upto, c.Amount = r.Upto+rapid.SampledFrom([]int{0, 0, 0, 1}).Draw(m.t, "upto"), inr("1")
	if there && rapid.IntRange(0, 3).Draw(m.t, "exact") > 0 {
		c.Amount = r.Left
	}
	m.do(c)
}

func (m *machine) text(v any) string { return text(m.t, v) }
