package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Refunding is the view of what is on its way.
func (l *memoryLedger) Refunding(_ context.Context, after string, limit int) ([]wallet.Payment, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var out []wallet.Payment
	for id, p := range l.payments {
		if id > after && slices.ContainsFunc(p.Refunds, func(r wallet.Refund) bool { return r.Status == wallet.RefundPending }) {
			out = append(out, *p)
		}
	}
	slices.SortFunc(out, func(a, b wallet.Payment) int { return strings.Compare(a.Of.Payment, b.Of.Payment) })
	return out[:min(limit, len(out))], nil
}

// finding is the ledger of a process, which also looks keys up.
type finding struct{ mortalLedger }

func (l finding) Lookup(_ context.Context, _, key string) (eventstore.Position, bool, error) {
	l.p.w.ledger.mu.Lock()
	defer l.p.w.ledger.mu.Unlock()
	seq, taken := l.p.w.ledger.keys[key]
	return eventstore.Position{Seq: seq}, taken, nil
}

// mortalRefunds is the bank as a process reaches it while it lives.
type mortalRefunds struct {
	gateway.Refunds
	p *process
}

func (g mortalRefunds) Refund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	g.p.hook("before Refund", g.p)
	if g.p.dead.Load() {
		return gateway.RefundAnswer{}, errDead
	}
	g.p.sends.Add(1)
	out, err := g.Refunds.Refund(ctx, a, r)
	g.p.hook("after Refund", g.p)
	if g.p.dead.Load() {
		return gateway.RefundAnswer{}, errDead
	}
	return out, err
}

func (g mortalRefunds) InquireRefund(ctx context.Context, a gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	g.p.hook("before InquireRefund", g.p)
	if g.p.dead.Load() {
		return gateway.RefundAnswer{}, errDead
	}
	return g.Refunds.InquireRefund(ctx, a, r)
}

func quickRefunds() gateway.RefundPolicy {
	return gateway.RefundPolicy{
		CallTimeout: 900 * time.Millisecond, FirstInquiry: 20 * time.Millisecond, MaxInquiryGap: 100 * time.Millisecond, ResendGap: 30 * time.Millisecond, Concurrency: 4,
	}
}

// refunder prepares a process that makes refunds, by this gateway; nil is the bank.
func (w *world) refunder(file string, by gateway.Refunds, accounts gateway.Accounts, hook func(string, *process)) (*process, *gateway.Refunder) {
	w.t.Helper()
	p := w.prepare(file, shortPolicy(), hook)
	if by == nil {
		by = w.client()
	}
	f, err := gateway.NewRefunder(finding{mortalLedger{p}}, p.jobs,
		[]gateway.RefundRoute{{Gateway: "sandbox", Refunds: mortalRefunds{by, p}, Policy: quickRefunds()}, {Gateway: "other", Policy: quickRefunds()}}, w.options())
	if err != nil {
		w.t.Fatal(err)
	}
	if accounts != nil {
		f.Use(accounts)
	}
	return p, f
}

// refunding starts it.
func (w *world) refunding(file string, by gateway.Refunds, hook func(string, *process)) (*process, *gateway.Refunder) {
	w.t.Helper()
	p, f := w.refunder(file, by, nil, hook)
	p.makeRefunds(f)
	return p, f
}

func (p *process) makeRefunds(f *gateway.Refunder) {
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.ended.Go(func() {
		if err := f.Run(ctx); err != nil {
			p.w.t.Error(err)
		}
	})
	p.ended.Go(func() {
		for after := 0; ctx.Err() == nil; {
			records, change := p.w.ledger.since(after)
			for _, r := range records {
				if slices.Contains(f.Types(), r.Type) {
					if err := f.Handle(ctx, r); err != nil {
						if !p.dead.Load() && ctx.Err() == nil {
							p.w.t.Errorf("record %d: %v", r.Seq, err)
						}
						return
					}
				}
				after++
			}
			select {
			case <-change:
			case <-ctx.Done():
			}
		}
	})
}

// paid makes a payin of 1000, and pays it.
func (w *world) paid() (id string) {
	w.t.Helper()
	id, ref := w.payin(time.Hour)
	w.pay(ref, "success", "")
	w.untilStatus(id, wallet.Success)
	return id
}

// sendBack refunds an amount of a payin.
func (w *world) sendBack(id, amount string) (refund string) {
	w.t.Helper()
	refund = fmt.Sprintf("rfd_%016d", w.ids.Add(1))
	w.submit(wallet.RefundPayin{Base: w.base(id), Refund: refund, Amount: money.MustParse(amount, money.INR), Reason: "returned", Actor: "asha"})
	return refund
}

func (w *world) refundOf(id, refund string) wallet.Refund {
	w.t.Helper()
	p := w.payment(id)
	r, there := p.Refund(refund)
	if !there {
		w.t.Fatalf("payin %s has no refund %s", id, refund)
	}
	return r
}

func (w *world) untilRefund(id, refund string, s wallet.RefundStatus) {
	w.t.Helper()
	w.until(fmt.Sprintf("refund %s is %s", refund, s), func() bool { return w.refundOf(id, refund).Status == s })
}

// sentBack is the bank's own list of the refunds of a payment: status and amount by reference.
func (w *world) sentBack(paymentID string) map[string]string {
	w.t.Helper()
	res, err := http.Get(w.url + "/sandbox/upi/refunds?payment_id=" + paymentID)
	if err != nil {
		w.t.Fatal(err)
	}
	defer res.Body.Close()
	var list struct {
		Refunds []struct{ Reference, Status, Amount string }
	}
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil {
		w.t.Fatal(err)
	}
	out := map[string]string{}
	for _, r := range list.Refunds {
		if _, twice := out[r.Reference]; twice {
			w.t.Errorf("the bank has two refunds of %s", r.Reference)
		}
		out[r.Reference] = r.Status + " " + r.Amount
	}
	return out
}

// The table of the sandbox bank: how a refund whose amount has these decimals ends, and by which events behind "initiated submitted".
func TestRefundBehaviours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 30*time.Millisecond)
	p, _ := w.refunding("work.db", nil, nil)
	table := []struct {
		paise, bank string
		ends        wallet.RefundStatus
		events      string
	}{
		{"00", "refunded", wallet.RefundDone, "succeeded"},
		{"01", "refunded", wallet.RefundDone, "succeeded"},
		{"02", "failed", wallet.RefundIsFailed, "failed"},
		{"03", "refunded", wallet.RefundDone, "succeeded"},
		{"04", "", wallet.RefundPending, ""},
		{"06", "refunded", wallet.RefundDone, "failed paid_after_failure noted"},
		{"07", "refunded", wallet.RefundDone, "succeeded noted"},
		{"08", "pending", wallet.RefundPending, ""},
		{"09", "failed", wallet.RefundIsFailed, "failed"},
		{"10", "refunded", wallet.RefundDone, "submitted submitted succeeded"},
	}
	before := w.balance()
	ids, refunds := make([]string, len(table)), make([]string, len(table))
	for i, c := range table {
		ids[i] = w.paid()
		refunds[i] = w.sendBack(ids[i], "100."+c.paise)
	}
	w.until("the bank that never knows has been asked often", func() bool { return w.refundOf(ids[4], refunds[4]).Attempts > 3 })
	given, locked := money.Zero(money.INR), money.Zero(money.INR)
	for i, c := range table {
		want := strings.TrimSpace("created succeeded initiated submitted " + c.events)
		if c.events != "" {
			w.until(c.paise+" has ended", func() bool {
				events := w.ledger.types(ids[i])
				return events == want || events == want+" noted" // the callback and the inquiry may both tell
			})
		}
		w.untilRefund(ids[i], refunds[i], c.ends)
		r, at := w.refundOf(ids[i], refunds[i]), w.sentBack(w.payment(ids[i]).PaymentID)
		if c.bank == "" && len(at) != 0 || c.bank != "" && at[refunds[i]] != c.bank+" 100."+c.paise {
			t.Errorf("%s: the bank has %v", c.paise, at)
		}
		switch r.Status {
		case wallet.RefundDone:
			given = given.Add(r.Net())
			if r.RefundID == "" || r.UTR == "" || r.Late != (c.paise == "06") {
				t.Errorf("%s: %+v", c.paise, r)
			}
		case wallet.RefundPending:
			locked = locked.Add(r.Net())
		case wallet.RefundIsFailed:
			if r.Failure == "" {
				t.Errorf("%s: %+v", c.paise, r)
			}
		}
	}
	now := w.balance()
	brought := money.Zero(money.INR)
	for _, id := range ids {
		brought = brought.Add(w.payment(id).Net())
	}
	if want := before.Available.Add(brought).Sub(given).Sub(locked); !now.Available.Equal(want) || !now.Locked.Equal(locked) {
		t.Errorf("available %s, locked %s; want %s and %s", now.Available, now.Locked, want, locked)
	}
	w.until("two contradictions are counted", func() bool { return w.count(gateway.CountAnomaly) == 2 })
	w.until("three refusals are counted", func() bool { return w.count(gateway.CountRefundFailed) == 3 })
	if p.sends.Load() < int64(len(table)) {
		t.Error(p.sends.Load())
	}
}

// Whatever instruction a process dies at, the next one goes on, and nothing is given back twice.
func TestRefunderKilledAtEachStep(t *testing.T) {
	t.Parallel()
	const asking = "before SubmitRefund,after SubmitRefund,before Refund,after Refund"
	for paise, list := range map[string]string{
		"00": asking + ",before ReportRefund,after ReportRefund",
		"01": asking + ",before InquireRefund",
		"02": "after Refund,before ReportRefund,after ReportRefund",
		"03": asking + ",before InquireRefund,before ReportRefund",
		"10": asking + ",before InquireRefund,before ReportRefund,after ReportRefund",
	} {
		for point := range strings.SplitSeq(list, ",") {
			t.Run(paise+" "+point, func(t *testing.T) {
				t.Parallel()
				callback := 60 * time.Millisecond
				if point == "before InquireRefund" {
					callback = 2 * time.Second // on a slow machine, it would end the refund before anybody inquires
				}
				w := newWorld(t, callback)
				first, _ := w.refunding("work.db", nil, func(at string, p *process) {
					if at == point {
						p.kill()
					}
				})
				id := w.paid()
				refund := w.sendBack(id, "250."+paise)
				<-first.crashed
				first.stop()
				_, second := w.refunding("work.db", nil, nil)
				if err := second.Recover(t.Context(), w.ledger); err != nil {
					t.Fatal(err)
				}
				ends, bank := wallet.RefundDone, "refunded 250."+paise
				if paise == "02" {
					ends, bank = wallet.RefundIsFailed, "failed 250."+paise
				}
				w.untilRefund(id, refund, ends)
				if at := w.sentBack(w.payment(id).PaymentID); len(at) != 1 || at[refund] != bank {
					t.Errorf("the bank has %v", at)
				}
				if locked := w.balance().Locked; !locked.IsZero() {
					t.Errorf("%s is locked", locked)
				}
				if events := w.ledger.types(id); strings.Count(events, "succeeded")+strings.Count(events, "failed") != 2 { // one is the payin's
					t.Error(events)
				}
			})
		}
	}
}

// The job's row is lost: what is on its way is found again.
func TestRefundsAreRecovered(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id := w.paid()
	refund := w.sendBack(id, "1000.00")
	p, f := w.refunder("work.db", nil, nil, nil)
	if err := f.Recover(t.Context(), w.ledger); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	p.ended.Go(func() {
		if err := f.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	w.untilRefund(id, refund, wallet.RefundDone)
	if r := w.refundOf(id, refund); !r.Commission.Equal(money.MustParse("10", money.INR)) {
		t.Errorf("%+v", r)
	}
}

// A payment in suspense is really sent back; what the bank refuses waits there again, and has another name the next time.
func TestRefundOfSuspense(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.refunding("work.db", nil, nil)
	id, ref := w.payin(time.Hour)
	suspended := func(amount string) wallet.Suspended {
		known := len(w.payment(id).Suspense)
		w.pay(ref, "success", amount)
		w.until("it is in suspense", func() bool { return len(w.payment(id).Suspense) == known+1 })
		for _, s := range w.payment(id).Suspense {
			if s.Amount.Equal(money.MustParse(amount, money.INR)) {
				return *s
			}
		}
		t.Fatal("it is not in suspense")
		return wallet.Suspended{}
	}
	send := func(s wallet.Suspended) {
		t.Helper()
		w.submit(wallet.RefundSuspense{Base: w.base(id), Suspense: s.ID, Send: true, Reason: "wrong amount", Actor: "asha"})
	}
	fine, refused, byHand := suspended("999.00"), suspended("500.02"), suspended("400.00")
	send(fine)
	w.untilRefund(id, fine.ID, wallet.RefundDone)
	if at := w.sentBack(fine.PaymentID); at[fine.ID] != "refunded 999.00" {
		t.Errorf("the bank has %v", at)
	}
	send(refused)
	w.untilRefund(id, refused.ID, wallet.RefundIsFailed)
	if s := w.payment(id).Suspense[refused.ID]; !s.Open {
		t.Errorf("%+v", s)
	}
	send(refused)
	w.untilRefund(id, refused.ID+"-2", wallet.RefundIsFailed)
	w.submit(wallet.RefundSuspense{Base: w.base(id), Suspense: byHand.ID, Reason: "wrong amount", Actor: "asha"})
	if at := w.sentBack(byHand.PaymentID); len(at) != 0 || len(w.payment(id).Refunds) != 3 {
		t.Errorf("what is made by hand is not the bank's to make: %v, %+v", at, w.payment(id).Refunds)
	}
	w.until("the refusals are counted", func() bool { return w.count(gateway.CountRefundFailed) == 2 })
}

// scripted answers as the test says.
type scripted struct {
	mu      sync.Mutex
	refund  []func() (gateway.RefundAnswer, error)
	inquiry []func() (gateway.RefundAnswer, error)
	asked   []gateway.Refund
}

func next(list *[]func() (gateway.RefundAnswer, error)) (gateway.RefundAnswer, error) {
	if len(*list) == 0 {
		return gateway.RefundAnswer{}, errors.New("the script is over")
	}
	f := (*list)[0]
	*list = (*list)[1:]
	return f()
}

func (s *scripted) Refund(_ context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	return next(&s.refund)
}

func (s *scripted) InquireRefund(_ context.Context, _ gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked = append(s.asked, r)
	return next(&s.inquiry)
}

func says(state gateway.RefundState, id string) func() (gateway.RefundAnswer, error) {
	return func() (gateway.RefundAnswer, error) {
		return gateway.RefundAnswer{State: state, RefundID: id, Raw: gateway.Raw{Body: []byte(string(state) + id), MediaType: "text/plain"}}, nil
	}
}

func fails(err error) func() (gateway.RefundAnswer, error) {
	return func() (gateway.RefundAnswer, error) { return gateway.RefundAnswer{}, err }
}

type steps = []func() (gateway.RefundAnswer, error)

// Silence, garbage, refusals: what is believed, and what is asked about.
func TestRefundAnswers(t *testing.T) {
	t.Parallel()
	silent, refused := fails(errors.New("timeout")), fails(&gateway.Declined{Code: "BAD_REQUEST", Reason: "The refund was made already"})
	empty := func() (gateway.RefundAnswer, error) { return gateway.RefundAnswer{State: gateway.RefundFailed}, nil }
	for _, c := range []struct {
		name            string
		refund, inquiry steps
		ends            wallet.RefundStatus
		events          string
		left            int // steps of the script that are not taken
	}{
		{"refused at once", steps{refused}, nil, wallet.RefundIsFailed, "submitted failed", 0},
		{"silence, then made", steps{silent}, steps{silent, says(gateway.RefundPending, "r1"), says(gateway.RefundDone, "r1")}, wallet.RefundDone, "submitted succeeded", 0},
		{"silence, not known, made", steps{silent, says(gateway.RefundDone, "r1")}, steps{says(gateway.RefundUnknown, "")}, wallet.RefundDone, "submitted submitted succeeded", 0},
		{"made, and the repetition refused", steps{silent, refused}, steps{says(gateway.RefundUnknown, ""), says(gateway.RefundDone, "r1")}, wallet.RefundDone, "submitted submitted succeeded", 0},
		{"not made, and the repetition refused", steps{silent, refused}, steps{says(gateway.RefundUnknown, ""), says(gateway.RefundUnknown, "")}, wallet.RefundIsFailed, "submitted submitted failed", 0},
		{"refused, and nobody tells why", steps{silent, refused, says(gateway.RefundDone, "r1")},
			steps{says(gateway.RefundUnknown, ""), silent, says(gateway.RefundUnknown, "")}, wallet.RefundDone, "submitted submitted submitted succeeded", 0},
		{"a failure without evidence", steps{empty}, steps{empty, says(gateway.RefundDone, "r1")}, wallet.RefundDone, "submitted succeeded", 0},
		{"not known, to a request", steps{says(gateway.RefundUnknown, "")}, steps{says(gateway.RefundDone, "r1")}, wallet.RefundDone, "submitted succeeded", 0},
		{"of a state that nobody knows", steps{says("perhaps", "")}, steps{says(gateway.RefundDone, "r1")}, wallet.RefundDone, "submitted succeeded", 0},
		{"credentials", steps{fails(gateway.ErrCredentials), says(gateway.RefundDone, "r1")}, steps{fails(gateway.ErrCredentials), says(gateway.RefundUnknown, "")}, wallet.RefundDone, "submitted submitted succeeded", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			s := &scripted{refund: c.refund, inquiry: c.inquiry}
			w.refunding("work.db", s, nil)
			id := w.paid()
			refund := w.sendBack(id, "123.45")
			w.untilRefund(id, refund, c.ends)
			if got := w.ledger.types(id); got != "created succeeded initiated "+c.events {
				t.Error(got)
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			if left := len(s.refund) + len(s.inquiry); left != c.left {
				t.Errorf("%d steps of the script are left", left)
			}
			p := w.payment(id)
			for _, r := range s.asked {
				if r.Reference != refund || r.PaymentID != p.PaymentID || r.Payin != id || r.Amount.Fixed() != "123.45" || r.Total.Fixed() != "1000.00" || r.Reason != "returned" {
					t.Errorf("asked for %+v", r)
				}
			}
		})
	}
}

// A gateway that knows nothing of a refund for ever is asked for ever; only so many of the attempts are recorded.
func TestRefundIsNeverGivenUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	s := &scripted{}
	for range wallet.MaxAttempts + 3 {
		s.refund = append(s.refund, fails(errors.New("timeout")))
		s.inquiry = append(s.inquiry, says(gateway.RefundUnknown, ""))
	}
	s.refund = append(s.refund, says(gateway.RefundDone, "r1"))
	p, _ := w.refunding("work.db", s, nil)
	id := w.paid()
	refund := w.sendBack(id, "123.45")
	w.untilRefund(id, refund, wallet.RefundDone)
	if r := w.refundOf(id, refund); r.Attempts != wallet.MaxAttempts || p.sends.Load() != wallet.MaxAttempts+4 {
		t.Errorf("%d attempts, sent %d times", r.Attempts, p.sends.Load())
	}
}

// oneAccount has one gateway configuration.
type oneAccount struct {
	gateway.Checkout
	by   *scripted
	name string
	away atomic.Bool
}

func (a *oneAccount) Spec() gateway.Spec { return gateway.Spec{Name: a.name} }

func (a *oneAccount) Refund(ctx context.Context, of gateway.Account, r gateway.Refund) (gateway.RefundAnswer, error) {
	if of.Config != "gc_a1B2c3D4e" {
		return gateway.RefundAnswer{}, errors.New("another account")
	}
	return a.by.Refund(ctx, of, r)
}

func (a *oneAccount) Account(_ context.Context, _, config string) (gateway.Checkout, gateway.Account, error) {
	if a.away.Load() {
		return nil, gateway.Account{}, errors.New("the vault is away")
	}
	return a, gateway.Account{Config: config}, nil
}

// A refund goes through the account that has the payment, and webhooks about it find it by its id, and by the gateway's order.
func TestRefundThroughAnAccount(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	a := &oneAccount{name: "other", by: &scripted{refund: steps{says(gateway.RefundPending, "r1"), says(gateway.RefundPending, "r2")}}}
	a.away.Store(true)
	p, f := w.refunder("work.db", nil, a, nil)
	p.makeRefunds(f)
	id := "tx_123456789"
	b := w.base(id)
	w.submit(wallet.CreatePayin{
		Base: b, Amount: money.MustParse("1000", money.INR), Charge: charge("10"), OrderID: id, TxnRef: id, Gateway: wallet.Unrouted, ExpiresAt: b.At.Add(time.Hour),
	})
	w.submit(wallet.RoutePayin{Base: b, Attempt: 1, Candidates: []route.Candidate{
		{Config: "gc_a1B2c3D4e", Gateway: "other", Priority: 1, Enabled: true, Verified: true, Currency: true, Method: true},
	}})
	w.submit(wallet.RecordOrder{Base: b, Attempt: 1, Config: "gc_a1B2c3D4e", Order: "order_1"})
	w.submit(wallet.ReportPayment{Base: b, Gateway: "other", Config: "gc_a1B2c3D4e", PaymentID: "pay_1", Amount: money.MustParse("1000", money.INR), Suspense: "sus_1"})
	first := w.sendBack(id, "400.00")
	second := w.sendBack(id, "100.00")
	w.until("it is put off", func() bool { return strings.Contains(w.logs.String(), "the vault is away") })
	if r := w.refundOf(id, first); r.Attempts != 0 || r.Config != "gc_a1B2c3D4e" {
		t.Errorf("%+v", r)
	}
	a.away.Store(false)
	w.until("both are asked for", func() bool { a.by.mu.Lock(); defer a.by.mu.Unlock(); return len(a.by.refund) == 0 })
	said := func(m gateway.Message, body string) (bool, error) {
		m.Raw = gateway.Raw{Body: []byte(body), MediaType: "application/json"}
		m.ID, m.Refund = body, &gateway.RefundAnswer{State: gateway.RefundDone, RefundID: m.Refund.RefundID}
		return f.ReportRefund(t.Context(), merchantID, "gc_a1B2c3D4e", m)
	}
	r1 := &gateway.RefundAnswer{RefundID: "r1"}
	for _, c := range []struct {
		name  string
		m     gateway.Message
		found bool
		fails bool
	}{
		{"of nobody", gateway.Message{Reference: "rfd_none", Refund: r1}, false, false},
		{"of another amount", gateway.Message{Reference: first, Amount: "40000.00", Refund: r1}, true, true},
		{"by its id", gateway.Message{Reference: first, Amount: "400.00", Refund: r1}, true, false},
		{"by the order, and its id", gateway.Message{Reference: second, OrderID: "order_1", Refund: &gateway.RefundAnswer{RefundID: "r2"}}, true, false},
		{"by the order, and the gateway's id", gateway.Message{OrderID: "order_1", Refund: r1}, true, false},
		{"by the order, of another", gateway.Message{OrderID: "order_1", Refund: &gateway.RefundAnswer{RefundID: "r3"}}, false, false},
	} {
		if found, err := said(c.m, c.name); found != c.found || (err != nil) != c.fails {
			t.Errorf("%s: %v, %v", c.name, found, err)
		}
	}
	if found, err := f.ReportRefund(t.Context(), merchantID, "gc_other0000", gateway.Message{Reference: first, Refund: r1}); found || err != nil {
		t.Errorf("through another account: %v, %v", found, err)
	}
	w.untilRefund(id, first, wallet.RefundDone)
	w.untilRefund(id, second, wallet.RefundDone)
	if got := w.ledger.types(id); strings.Count(got, "succeeded") != 3 || !strings.HasSuffix(got, "noted") {
		t.Error(got)
	}
}

func TestRefundCallbacksRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	id := w.paid()
	ref := w.payment(id).TxnRef
	refund := w.sendBack(id, "100.00")
	w.submit(wallet.SubmitRefund{Base: w.base(id), Refund: refund, Attempt: 1})
	body := func(reference, refund, status, amount string) string {
		return fmt.Sprintf(`{"message_id":"msg_r","kind":"refund","reference":%q,"refund":%q,"refund_id":"r1","status":%q,"amount":%q}`, reference, refund, status, amount)
	}
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"nobody's", body("nobody", refund, "refunded", "100.00"), http.StatusNotFound},
		{"another refund", body(ref, "rfd_none", "refunded", "100.00"), http.StatusNotFound},
		{"a payout", body(w.submitted(), refund, "refunded", "100.00"), http.StatusBadRequest},
		{"another amount", body(ref, refund, "refunded", "100.01"), http.StatusConflict},
		{"no amount", body(ref, refund, "refunded", "much"), http.StatusBadRequest},
		{"no such status", body(ref, refund, "perhaps", "100.00"), http.StatusBadRequest},
		{"no refund", body(ref, "", "refunded", "100.00"), http.StatusBadRequest},
		{"still pending", body(ref, refund, "pending", "100.00"), http.StatusOK},
		{"fine", body(ref, refund, "refunded", "100.00"), http.StatusOK},
		{"fine, and again", body(ref, refund, "refunded", "100.00"), http.StatusOK},
	} {
		if got := w.callback(secret, time.Now(), "msg_r", c.body); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if got := w.ledger.types(id); got != "created succeeded initiated submitted succeeded" {
		t.Error(got)
	}
}

func TestNextRefundStep(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	policy := gateway.RefundPolicy{FirstInquiry: time.Second, MaxInquiryGap: 10 * time.Second, ResendGap: 4 * time.Second}
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	pending := func(attempts int) wallet.Refund {
		return wallet.Refund{Status: wallet.RefundPending, Attempts: attempts}
	}
	for _, c := range []struct {
		name string
		r    wallet.Refund
		seen gateway.RefundSeen
		want gateway.Step
	}{
		{"new", pending(0), gateway.RefundSeen{}, gateway.Step{Act: gateway.Submit, Attempt: 1}},
		{"done", wallet.Refund{Status: wallet.RefundDone}, gateway.RefundSeen{}, gateway.Step{Act: gateway.Done}},
		{"failed", wallet.Refund{Status: wallet.RefundIsFailed}, gateway.RefundSeen{}, gateway.Step{Act: gateway.Done}},
		{"nothing is remembered", pending(1), gateway.RefundSeen{}, gateway.Step{Act: gateway.Inquire}},
		{"just called", pending(1), gateway.RefundSeen{At: now}, gateway.Step{Act: gateway.Wait, At: now.Add(time.Second)}},
		{"called", pending(1), gateway.RefundSeen{At: ago(time.Second)}, gateway.Step{Act: gateway.Inquire}},
		{"asked often", pending(1), gateway.RefundSeen{Last: gateway.RefundPending, At: now, Asked: 2}, gateway.Step{Act: gateway.Wait, At: now.Add(4 * time.Second)}},
		{"asked for ever", pending(1), gateway.RefundSeen{At: now, Asked: 1000}, gateway.Step{Act: gateway.Wait, At: now.Add(10 * time.Second)}},
		{"not known", pending(1), gateway.RefundSeen{Last: gateway.RefundUnknown, At: now}, gateway.Step{Act: gateway.Wait, At: now.Add(4 * time.Second)}},
		{"not known for a while", pending(3), gateway.RefundSeen{Last: gateway.RefundUnknown, At: ago(4 * time.Second)}, gateway.Step{Act: gateway.Submit, Attempt: 4}},
		{"not known, again", pending(1), gateway.RefundSeen{Last: gateway.RefundUnknown, At: now, Resends: 9}, gateway.Step{Act: gateway.Wait, At: now.Add(10 * time.Second)}},
		{"a clock that was set back", pending(1), gateway.RefundSeen{At: now.Add(time.Hour)}, gateway.Step{Act: gateway.Inquire}},
	} {
		if got := gateway.NextRefundStep(c.r, c.seen, now, policy); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestNewRefunderRefuses(t *testing.T) {
	t.Parallel()
	for _, routes := range [][]gateway.RefundRoute{{{}}, {{Gateway: "a"}, {Gateway: "a"}}} {
		if _, err := gateway.NewRefunder(nil, nil, routes, gateway.Options{}); err == nil {
			t.Errorf("%+v", routes)
		}
	}
}
