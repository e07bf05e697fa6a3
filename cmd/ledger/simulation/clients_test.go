package simulation

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
)

// outcome is what a client was told.
type outcome string

// The outcomes.
const (
	untold   outcome = ""         // nothing yet, or for ever: it may have been carried out
	accepted outcome = "accepted" // it is in the log
	known    outcome = "known"    // an earlier one of the same key is in the log
	declined outcome = "declined" // by the rules: it is not in the log
	undone   outcome = "undone"   // try again: it is not in the log
)

// request is what a client wants done, once, however often it asks.
type request struct {
	number   int
	merchant string
	key      string // dedupe key
	amount   string
	payin    string // of a refund
	command  func(payment string) wallet.Command
	made     func(payment string) // told of the first acceptance
	attempts []*attempt
	left     int // attempts
	due      time.Time
	underway bool
}

// attempt is one time of asking.
type attempt struct {
	command uuid.UUID
	payment string
	outcome outcome
	at      eventstore.Position // that the client was told
}

// ask sends a request to a process.
func (w *world) ask(r *request, p *process) {
	r.left--
	r.underway = true
	n := len(r.attempts)
	a := &attempt{command: uuid.NewSHA1(uuid.Nil, fmt.Appendf(nil, "%d request %d attempt %d", w.seed, r.number, n)), payment: fmt.Sprintf("txn_%06d%02d", r.number, n)}
	r.attempts = append(r.attempts, a)
	w.attempts++
	w.note("request %d of %s is sent to %s", r.number, r.key, p.name)
	patience := 30 * time.Second
	if w.chance(100) {
		patience = w.between(time.Millisecond, 2*time.Second)
	}
	ctx, cancel := context.WithTimeout(context.WithValue(context.Background(), labels{}, fmt.Sprintf("request %d.%d", r.number, n)), patience)
	c := r.command(a.payment)
	go func() {
		defer cancel()
		o := eventstore.Origin{Command: a.command, Actor: "client"}
		if len(c.Keys()) == 0 {
			o.IdempotencyKey = r.key
		}
		port := p.port("client")
		_, res, err := port.submit(ctx, c, o)
		w.told(p, r, a, err, res.First)
	}()
}

// told notes what a client learns: nothing, when the process has died meanwhile.
func (w *world) told(p *process, r *request, a *attempt, err error, first eventstore.Position) {
	w.mu.Lock()
	defer w.mu.Unlock()
	r.underway = false
	r.due = time.Now().Add(time.Duration(len(r.attempts)) * 700 * time.Millisecond)
	if p.isDead() {
		return
	}
	var duplicate *executor.DuplicateError
	switch {
	case err == nil:
		a.outcome, a.at = accepted, first
		if r.made != nil {
			r.made(a.payment)
		}
	case errors.As(err, &duplicate):
		a.outcome, a.at = known, duplicate.Position
	case domain.CodeOf(err) != "":
		a.outcome = declined
	case errors.Is(err, executor.ErrBusy), errors.Is(err, executor.ErrClosed), errors.Is(err, executor.ErrStore), errors.Is(err, executor.ErrContended):
		a.outcome = undone
	case errors.Is(err, executor.ErrOutcomeUnknown):
	default:
		w.wrongLocked("request %d: an answer that nobody knows: %v", r.number, err)
	}
}

func (r *request) answered() bool {
	for _, a := range r.attempts {
		if a.outcome == accepted || a.outcome == known || a.outcome == declined {
			return true
		}
	}
	return false
}

// again picks the requests whose clients ask again: those without an answer, and a few that have one.
func (w *world) again() []*request {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []*request
	for _, r := range w.requests {
		if r.left > 0 && !r.underway && !r.due.After(time.Now()) {
			out = append(out, r)
		}
	}
	return out
}

func rupees(s string) money.Amount { return money.MustParse(s, money.INR) }

func (w *world) base(merchant, payment string) wallet.Base {
	return wallet.Base{Of: wallet.Of{Merchant: merchant, Currency: money.INR, Payment: payment}, At: eventstore.Micros(w.now())}
}

func (w *world) add(r *request) {
	w.numbers++
	r.number = w.numbers
	w.requests = append(w.requests, r)
}

// fund gives a wallet money.
func (w *world) fund(merchant, amount string) *request {
	r := &request{merchant: merchant, key: fmt.Sprintf("idempotency:%s:fund%d", merchant, w.numbers+1), amount: amount, left: 1000}
	r.command = func(payment string) wallet.Command {
		return wallet.AdjustWallet{Base: w.base(merchant, payment), Amount: rupees(amount), Reason: "funds", Actor: "simulation"}
	}
	w.add(r)
	return r
}

func charge(commission, tax string) fee.Charge {
	return fee.Charge{Commission: rupees(commission), Tax: rupees(tax), Rule: fee.Rule{Plan: "default", Version: 1}}
}

// anyAmount is from 1 to most rupees, and some paisa.
func (w *world) anyAmount(most int) string {
	return fmt.Sprintf("%d.%02d", 1+w.dice.IntN(most), w.dice.IntN(100))
}

// payout asks for a payout. Some clients use a reference again that another one has used.
func (w *world) payout() {
	merchant := w.merchant()
	id := fmt.Sprintf("REQ-%d", w.numbers+1)
	if w.chance(80) && w.numbers > 0 {
		id = fmt.Sprintf("REQ-%d", 1+w.dice.IntN(w.numbers))
	}
	amount := w.anyAmount(400)
	if w.chance(50) {
		amount = w.anyAmount(20000) // most likely more than there is
	}
	account := fmt.Sprintf("40091122%02d", w.dice.IntN(100)/len(transferPlans)*len(transferPlans)+w.dice.IntN(len(transferPlans)))
	if w.chance(400) {
		account = "4009112200"
	}
	account = account[:10]
	sealed, err := json.Marshal(wallet.Beneficiary{Name: "A B", AccountNo: account, Mobile: "9876543210"})
	if err != nil {
		panic(err)
	}
	r := &request{merchant: merchant, key: wallet.PayoutKey(merchant, id), amount: amount, left: 1 + w.dice.IntN(4)}
	r.command = func(payment string) wallet.Command {
		return wallet.InitiatePayout{
			Base: w.base(merchant, payment), Amount: rupees(amount), Charge: charge("5.90", "0.90"), RequestID: id, IFSC: "SBIN0001234",
			BankName: "State Bank of India", AccountLast4: account[6:], TransferType: "5", Sealed: string(sealed),
		}
	}
	w.add(r)
}

// payin asks for a payment; customers pay those that were accepted.
func (w *world) payin() {
	merchant, amount := w.merchant(), w.anyAmount(900)
	if amount < "2" {
		amount = "100.00"
	}
	order := fmt.Sprintf("ORDER-%d", w.numbers+1)
	lasts := w.between(10*time.Second, 90*time.Second)
	r := &request{merchant: merchant, key: wallet.PayinKey(merchant, order), amount: amount, left: 1 + w.dice.IntN(4)}
	r.command = func(payment string) wallet.Command {
		b := w.base(merchant, payment)
		return wallet.CreatePayin{
			Base: b, Amount: rupees(amount), Charge: charge("1.00", "0.15"), OrderID: order, TxnRef: "REF" + payment,
			IntentURL: "upi://pay?tr=REF" + payment, Gateway: bankName, ExpiresAt: b.At.Add(lasts),
		}
	}
	r.made = func(payment string) { w.payins = append(w.payins, payable{merchant, payment, amount}) }
	w.add(r)
}

// payable is a payin that customers know.
type payable struct{ merchant, payment, amount string }

// anyPayin is one that customers know.
func (w *world) anyPayin() (payable, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.payins) == 0 {
		return payable{}, false
	}
	slices.SortFunc(w.payins, func(a, b payable) int { return strings.Compare(a.payment, b.payment) }) // answers come several at a time
	return w.payins[w.dice.IntN(len(w.payins))], true
}

// pay has a customer pay: most of the time once and rightly.
func (w *world) pay() {
	p, is := w.anyPayin()
	if !is {
		return
	}
	amount, paid := p.amount, true
	switch w.dice.IntN(8) {
	case 0:
		amount = w.anyAmount(900)
	case 1:
		paid = false
	}
	w.note("a customer pays %s of %s: %t", amount, p.payment, paid)
	w.bank.pay("REF"+p.payment, amount, paid, w.dice.Uint64())
}

// giveBack asks for a refund of a payin; one refund each.
func (w *world) giveBack() {
	p, is := w.anyPayin()
	if !is {
		return
	}
	if w.refunds[p.payment] {
		return
	}
	w.refunds[p.payment] = true
	id := fmt.Sprintf("rfd_%016x", w.dice.Uint64())
	amount := money.Amount{}
	if w.chance(500) {
		amount = rupees(w.anyAmount(50))
	}
	r := &request{merchant: p.merchant, key: wallet.RefundKey(id), payin: p.payment, left: 3 + w.dice.IntN(4)}
	r.command = func(string) wallet.Command {
		return wallet.RefundPayin{Base: w.base(p.merchant, p.payment), Refund: id, Amount: amount, Reason: "goods returned", Actor: "simulation"}
	}
	w.add(r)
}

// deliver gives a callback of the bank to a process.
func (w *world) deliver(m *notice, p *process) {
	w.note("message %d is delivered to %s", m.number, p.name)
	w.callbacks++
	w.deliveries++
	ctx := context.WithValue(context.Background(), labels{}, fmt.Sprintf("message %d.%d", m.number, w.deliveries))
	forged := w.chance(20)
	signature := mac(m.body)
	if forged {
		signature = mac(append([]byte("x"), m.body...))
	}
	lostAnswer := w.storming && w.chance(w.profile.lostAnswers)
	w.bank.mu.Lock()
	m.underway++
	gap := time.Second + delay(w.dice.Uint64(), 10*time.Second)
	w.bank.mu.Unlock()
	go func() {
		r := httptest.NewRequestWithContext(ctx, http.MethodPost, "/gateways/"+bankName+"/callback", bytes.NewReader(m.body))
		r.Header.Set(macHeader, signature)
		rec := httptest.NewRecorder()
		p.inbound.ServeHTTP(rec, r)
		w.bank.mu.Lock()
		defer w.bank.mu.Unlock()
		m.underway--
		m.due = time.Now().Add(gap)
		switch {
		case p.isDead() || lostAnswer:
		case forged && rec.Code != http.StatusUnauthorized:
			w.wrong("a forged callback was answered with %d", rec.Code)
		case forged:
		case rec.Code == http.StatusOK && !m.taken:
			m.taken = true
		case rec.Code == http.StatusOK:
			m.again--
		case rec.Code != http.StatusServiceUnavailable:
			w.wrong("callback %s was answered with %d: %s", m.body, rec.Code, rec.Body)
		}
	}()
}
