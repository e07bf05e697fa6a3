package simulation

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/wallet"
)

// bankName is the name of the simulated bank.
const bankName = "simbank"

// macHeader carries the bank's signature of a callback.
const macHeader = "X-Simulated-Mac"

var bankSecret = []byte("what the simulated bank signs with")

// plan is what the bank makes of a transfer or of a refund.
type plan string

// The plans of transfers. The last two digits of the account number choose.
const (
	pays         plan = "pays at once"
	fails        plan = "fails at once"
	paysLater    plan = "pays later"
	failsLater   plan = "fails later"
	returns      plan = "pays, and it comes back"
	keepsPending plan = "stays pending for ever"
	paysSilently plan = "pays, and never answers the request"
	firstErrors  plan = "answers the first request with an error, and does nothing"
	neverTakes   plan = "takes no request"
	paysAfterAll plan = "says that it failed, and pays after all"
	paysUntold   plan = "pays later, and sends no callback"
	paysGarbling plan = "pays, and answers the request with garbage"
)

var transferPlans = []plan{
	pays, fails, paysLater, failsLater, returns, keepsPending, paysSilently, firstErrors, neverTakes, paysAfterAll, paysUntold, paysGarbling,
}

// refundPlans are those of refunds.
var refundPlans = []plan{pays, paysLater, fails, failsLater, paysAfterAll, paysSilently, paysUntold, firstErrors, keepsPending}

// deed is something that the bank was asked for: a transfer, or a refund.
type deed struct {
	reference string
	amount    string
	plan      plan
	requests  int
	state     gateway.State
	paid      int // how often money has left the bank
	back      int // how often it has come back
	utr       string
	at        time.Time // of its state
	payin     string    // of a refund: the reference of the payment
}

// collected is a payment of a customer.
type collected struct {
	id, reference, amount, utr string
	paid                       bool
	at                         time.Time
}

// notice is a callback that the bank delivers until it is answered with 200.
type notice struct {
	number   int
	body     []byte
	due      time.Time
	again    int // deliveries beyond the one that was taken
	taken    bool
	underway int
}

// bank is the other side: it keeps its own truth.
type bank struct {
	mu       sync.Mutex
	world    *world
	requests map[string]int // by reference: those that got through, also when nothing was done
	deeds    map[string]*deed
	refunds  map[string]*deed
	payments []*collected
	messages []*notice
	later    []event
	numbers  int
}

// event is something that happens later.
type event struct {
	at   time.Time
	name string
	do   func()
}

func newBank(w *world) *bank {
	return &bank{world: w, requests: map[string]int{}, deeds: map[string]*deed{}, refunds: map[string]*deed{}}
}

// plan puts something off; the caller holds mu.
func (b *bank) plan(after time.Duration, name string, do func()) {
	b.later = append(b.later, event{time.Now().Add(after), name, do})
	slices.SortStableFunc(b.later, func(a, b event) int { return cmp.Or(a.at.Compare(b.at), strings.Compare(a.name, b.name)) })
}

// next is when something happens at the bank.
func (b *bank) next() (time.Time, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var at time.Time
	if len(b.later) > 0 {
		at = b.later[0].at
	}
	for _, m := range b.messages {
		if m.wanted() && (at.IsZero() || m.due.Before(at)) {
			at = m.due
		}
	}
	return at, !at.IsZero()
}

// happen does the first of what is due. It is false when nothing is.
func (b *bank) happen() bool {
	b.mu.Lock()
	if len(b.later) == 0 || b.later[0].at.After(time.Now()) {
		b.mu.Unlock()
		return false
	}
	e := b.later[0]
	b.later = b.later[1:]
	b.mu.Unlock()
	b.world.note("bank: %s", e.name)
	e.do()
	return true
}

// wanted tells whether a message is still to be delivered.
func (m *notice) wanted() bool { return m.underway == 0 && (!m.taken || m.again > 0) }

// due are the messages that can be delivered now, in order.
func (b *bank) due() []*notice {
	b.mu.Lock()
	defer b.mu.Unlock()
	var out []*notice
	for _, m := range b.messages {
		if m.wanted() && !m.due.After(time.Now()) {
			out = append(out, m)
		}
	}
	return out
}

// quiet tells whether everything was told and nothing is planned.
func (b *bank) quiet() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.later) == 0 && !slices.ContainsFunc(b.messages, func(m *notice) bool { return !m.taken || m.underway > 0 })
}

// underway tells whether a callback is being delivered.
func (b *bank) underway() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.ContainsFunc(b.messages, func(m *notice) bool { return m.underway > 0 })
}

// said is a callback's body.
type said struct {
	Number    int    `json:"number"`
	Kind      string `json:"kind"` // transfer, payment, refund
	Reference string `json:"reference"`
	Payin     string `json:"payin,omitempty"`
	State     string `json:"state"`
	Amount    string `json:"amount"`
	ID        string `json:"id,omitempty"`
	UTR       string `json:"utr,omitempty"`
	At        int64  `json:"at"`
}

// tell plans a callback; the caller holds mu. Its way takes a random time, so that callbacks overtake each other.
func (b *bank) tell(s said, dice uint64) {
	b.numbers++
	s.Number = b.numbers
	body, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	m := &notice{number: s.Number, body: body, due: time.Now().Add(delay(dice, 20*time.Second))}
	if dice%5 == 0 {
		m.again = int(dice/5%2) + 1
	}
	b.messages = append(b.messages, m)
}

// delay is a short or a long time, at most so long.
func delay(dice uint64, most time.Duration) time.Duration {
	if dice%3 > 0 {
		most /= 20
	}
	return time.Duration(dice / 7 % uint64(most))
}

// become moves a deed on, and tells of it; the caller holds mu.
func (b *bank) become(d *deed, kind string, to gateway.State, dice uint64) {
	d.state, d.at = to, time.Now()
	switch to {
	case gateway.Paid:
		d.paid++
	case gateway.Returned:
		d.back++
	default:
	}
	if d.plan != paysUntold {
		b.tell(said{Kind: kind, Reference: d.reference, Payin: d.payin, State: string(to), Amount: d.amount, UTR: d.utr, At: d.at.UnixMicro()}, dice)
	}
}

// take takes a request for a transfer or a refund in. It is false when the bank answers with an error and does nothing.
func (b *bank) take(in map[string]*deed, d deed, kind string, dice uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[d.reference]++
	if have := in[d.reference]; have != nil {
		have.requests++
		return true
	}
	if d.plan == neverTakes || d.plan == firstErrors && b.requests[d.reference] == 1 {
		return false
	}
	d.requests, d.state, d.at, d.utr = 1, gateway.Pending, time.Now(), fmt.Sprintf("%012d", dice%1_000_000_000_000)
	made := &d
	in[d.reference] = made
	move := func(after time.Duration, to gateway.State, salt uint64) {
		b.plan(after, fmt.Sprintf("%s %s is %s", kind, d.reference, to), func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.become(made, kind, to, dice/salt)
		})
	}
	soon := time.Second + delay(dice, 30*time.Second)
	switch d.plan {
	case pays, paysSilently, firstErrors, paysGarbling:
		b.become(made, kind, gateway.Paid, dice)
	case fails:
		b.become(made, kind, gateway.Failed, dice)
	case paysLater, paysUntold:
		move(soon, gateway.Paid, 3)
	case failsLater:
		move(soon, gateway.Failed, 3)
	case returns:
		b.become(made, kind, gateway.Paid, dice)
		move(soon, gateway.Returned, 3)
	case paysAfterAll:
		b.become(made, kind, gateway.Failed, dice)
		move(soon, gateway.Paid, 3)
	default: // it stays pending
	}
	return true
}

// pay plays a customer.
func (b *bank) pay(reference, amount string, paid bool, dice uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := &collected{
		id: fmt.Sprintf("pay_%016x", dice), reference: reference, amount: amount, utr: fmt.Sprintf("%012d", dice%1_000_000_000_000),
		paid: paid, at: time.Now(),
	}
	b.payments = append(b.payments, p)
	state := gateway.Paid
	if !paid {
		state = gateway.Failed
	}
	b.tell(said{Kind: "payment", Reference: reference, State: string(state), Amount: amount, ID: p.id, UTR: p.utr, At: p.at.UnixMicro()}, dice/3)
}

func mac(body []byte) string {
	h := hmac.New(sha256.New, bankSecret)
	h.Write(body)
	return hex.EncodeToString(h.Sum(nil))
}

// window is the bank as a process sees it: an adapter of a gateway.
type window struct{ of *process }

// Name is the bank's.
func (window) Name() string { return bankName }

// raw is an answer as it came.
func raw(parts ...any) gateway.Raw {
	body, err := json.Marshal(parts)
	if err != nil {
		panic(err)
	}
	return gateway.Raw{Body: body, MediaType: "application/json"}
}

// answer is what the bank says of a transfer; the caller holds mu.
func (d *deed) answer() gateway.Answer {
	a := gateway.Answer{
		State: d.state, Amount: d.amount, UTR: d.utr, At: d.at, Raw: raw(d.reference, d.state, d.amount, d.utr, d.at.UnixMicro()),
	}
	switch d.state {
	case gateway.Returned:
		a.ReturnReference, a.Reason = "back-"+d.utr, wallet.FailureAccountClosed
	case gateway.Failed:
		a.Reason = wallet.FailureAccountClosed
	default:
	}
	return a
}

// Send asks for a transfer.
func (w window) Send(ctx context.Context, t gateway.Transfer) (gateway.Answer, error) {
	b := w.of.world.bank
	v := w.of.world.park(ctx, w.of, "send", t.Reference, false)
	number := 0
	fmt.Sscanf(t.AccountNo[len(t.AccountNo)-2:], "%d", &number)
	d := deed{reference: t.Reference, amount: t.Amount.Fixed(), plan: transferPlans[number%len(transferPlans)]}
	return settle(ctx, b, v, b.deeds, d, "transfer", w.of.world.plant.silenceFails)
}

// settle takes a request to the bank, as the verdict has it.
func settle(ctx context.Context, b *bank, v verdict, in map[string]*deed, d deed, kind string, silenceFails bool) (gateway.Answer, error) {
	taken := false
	switch {
	case v.fault == doubt: // it is somewhere in the network, and arrives later than anybody waits for it
		b.mu.Lock()
		b.plan(time.Second+delay(v.draw, 3*time.Minute), kind+" "+d.reference+" arrives late", func() {
			b.world.count("a request reached the bank late")
			b.take(in, d, kind, v.draw/5)
		})
		b.mu.Unlock()
	case v.done():
		taken = b.take(in, d, kind, v.draw)
	}
	if !taken || !v.answered() || d.plan == paysSilently {
		if silenceFails && !v.dead {
			return gateway.Answer{State: gateway.Failed, Reason: wallet.FailureOther, Raw: raw("no answer", d.reference)}, nil
		}
		return gateway.Answer{}, v.err(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	a := in[d.reference].answer()
	if v.fault == garbled || d.plan == paysGarbling {
		a = nonsense(a, v.draw)
	}
	return a, nil
}

// nonsense is an answer that is none.
func nonsense(a gateway.Answer, dice uint64) gateway.Answer {
	switch dice % 4 {
	case 0:
		a.State = "maybe"
	case 1:
		a.Amount = "0.01"
	case 2:
		a.Body = nil
	default:
		a.Amount = "a lot"
	}
	return a
}

// Inquire asks what has become of a transfer.
func (w window) Inquire(ctx context.Context, reference string) (gateway.Answer, error) {
	b := w.of.world.bank
	v := w.of.world.park(ctx, w.of, "inquire", reference, false)
	if !v.answered() && v.fault != garbled {
		return gateway.Answer{}, v.err(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.deeds[reference]
	switch {
	case v.dead || v.expired:
		return gateway.Answer{}, v.err(ctx)
	case d == nil:
		return gateway.Answer{State: gateway.NotFound, Raw: raw(reference, "not found", v.draw)}, nil
	case v.fault == garbled:
		return nonsense(d.answer(), v.draw), nil
	}
	return d.answer(), nil
}

// Payments are what customers have paid for a reference.
func (w window) Payments(ctx context.Context, reference string) (gateway.Payments, error) {
	b := w.of.world.bank
	v := w.of.world.park(ctx, w.of, "payments", reference, false)
	if !v.answered() {
		return gateway.Payments{}, v.err(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var found []gateway.Payment
	for _, p := range b.payments {
		if p.reference == reference {
			found = append(found, p.said())
		}
	}
	return gateway.Payments{List: found, Raw: raw(reference, len(found), v.draw)}, nil
}

func (p *collected) said() gateway.Payment {
	s := gateway.Payment{PaymentID: p.id, Reference: p.reference, Amount: p.amount, UTR: p.utr, Paid: p.paid, At: p.at}
	if !p.paid {
		s.Reason = wallet.FailureLowBalance
	}
	return s
}

// Refund asks for a refund.
func (w window) Refund(ctx context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	b := w.of.world.bank
	v := w.of.world.park(ctx, w.of, "refund", r.Reference, false)
	number := sha256.Sum256([]byte(r.Reference))
	d := deed{reference: r.Reference, amount: r.Amount.Fixed(), payin: r.Payin, plan: refundPlans[int(number[0])%len(refundPlans)]}
	a, err := settle(ctx, b, v, b.refunds, d, "refund", false)
	return refunded(a), err
}

// InquireRefund asks what has become of one.
func (w window) InquireRefund(ctx context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	b := w.of.world.bank
	v := w.of.world.park(ctx, w.of, "inquire refund", r.Reference, false)
	if !v.answered() {
		return gateway.RefundAnswer{}, v.err(ctx)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	d := b.refunds[r.Reference]
	if d == nil {
		return gateway.RefundAnswer{State: gateway.RefundUnknown, Raw: raw(r.Reference, "unknown", v.draw)}, nil
	}
	return refunded(d.answer()), nil
}

// refunded is an answer about a deed as one about a refund. Another amount is not told, nor looked at.
func refunded(a gateway.Answer) gateway.RefundAnswer {
	states := map[gateway.State]gateway.RefundState{
		gateway.Paid: gateway.RefundDone, gateway.Failed: gateway.RefundFailed, gateway.Pending: gateway.RefundPending,
	}
	out := gateway.RefundAnswer{State: states[a.State], UTR: a.UTR, Reason: a.Reason, At: a.At, Raw: a.Raw}
	if a.UTR != "" {
		out.RefundID = "bank-" + a.UTR
	}
	return out
}

// ParseCallback verifies a callback, and reads it.
func (w window) ParseCallback(header http.Header, body []byte, _ time.Time) ([]gateway.Message, error) {
	if !hmac.Equal([]byte(header.Get(macHeader)), []byte(mac(body))) {
		return nil, gateway.ErrSignature
	}
	var s said
	if err := json.Unmarshal(body, &s); err != nil {
		return nil, fmt.Errorf("%w: %w", gateway.ErrMalformed, err)
	}
	m := gateway.Message{
		ID: fmt.Sprint("message ", s.Number), Reference: s.Reference, Amount: s.Amount, Raw: gateway.Raw{Body: body, MediaType: "application/json"},
	}
	at := time.UnixMicro(s.At).UTC()
	d := deed{reference: s.Reference, amount: s.Amount, state: gateway.State(s.State), utr: s.UTR, at: at}
	a := d.answer()
	a.Raw = m.Raw
	switch s.Kind {
	case "transfer":
		m.Transfer = &a
	case "payment":
		p := (&collected{id: s.ID, reference: s.Reference, amount: s.Amount, utr: s.UTR, paid: s.State == string(gateway.Paid), at: at}).said()
		m.Payment = &p
		m.Amount = ""
	case "refund":
		r := refunded(a)
		m.Refund, m.OrderID = &r, s.Payin
	}
	return []gateway.Message{m}, nil
}

var (
	_ gateway.Gateway = window{}
	_ gateway.Refunds = window{}
)
