package gateway_test

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// The table of contracts/klyropay.md: how a payout to an account with these last digits ends, and by which events.
var behaviours = []struct {
	digits   string
	ends     wallet.Status
	events   string // after "initiated submitted"; "" is not compared
	attempts int
}{
	{"22", wallet.Success, "succeeded", 1},
	{"01", wallet.Success, "", 1},
	{"02", wallet.Refunded, "refunded", 1},
	{"03", wallet.Success, "succeeded", 1},
	{"04", wallet.Refunded, "", 4},
	{"05", wallet.Refunded, "succeeded returned", 1},
	{"06", wallet.Success, "", 1},
	{"07", wallet.Success, "", 1},
	{"08", wallet.Pending, "", 1},
	{"09", wallet.Refunded, "", 1},
	{"10", wallet.Success, "submitted submitted succeeded", 3},
}

func TestTenBehaviours(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.start("work.db", gateway.SandboxPolicy(), nil)
	var ids []string
	for _, b := range behaviours {
		ids = append(ids, w.payout(b.digits))
	}
	for i, b := range behaviours {
		w.untilStatus(ids[i], b.ends)
	}
	w.until("the contradicting callback of 07 has come", func() bool { return strings.Contains(w.ledger.types(ids[7]), "anomaly") })
	for i, b := range behaviours {
		p, events := w.payment(ids[i]), w.ledger.types(ids[i])
		if b.events != "" && events != "initiated submitted "+b.events {
			t.Errorf("%s: %s", b.digits, events)
		}
		if p.Attempts != b.attempts {
			t.Errorf("%s: %d attempts, want %d", b.digits, p.Attempts, b.attempts)
		}
		if n := strings.Count(events, "succeeded"); (b.ends == wallet.Success && n != 1) || n > 1 {
			t.Errorf("%s: succeeded %d times: %s", b.digits, n, events)
		}
		if b.ends == wallet.Success && len(p.UTR) != 12 {
			t.Errorf("%s: UTR %q", b.digits, p.UTR)
		}
		if strings.Contains(events, "anomaly") != (b.digits == "07") {
			t.Errorf("%s: %s", b.digits, events)
		}
	}
	if p := w.payment(ids[4]); p.Reason != wallet.FailureNotFound {
		t.Errorf("given up for %q", p.Reason)
	}
	if p := w.payment(ids[2]); p.Reason != wallet.FailureAccountClosed {
		t.Errorf("rejected for %q", p.Reason)
	}
	w.agree(ids...)
	for e, want := range map[gateway.Event]int64{gateway.CountGivenUp: 1, gateway.CountAnomaly: 1} {
		w.until(fmt.Sprintf("%s is counted", e), func() bool { return w.count(e) == want })
	}
	if !strings.Contains(w.logs.String(), `"payment":"`+ids[7]+`","gateway":"sandbox","event":"payout.anomaly"`) {
		t.Error("the log does not tell which payment is contradicted")
	}
	if w.count(gateway.CountSent) < 16 || w.count(gateway.CountUnknown) < 6 || w.count(gateway.CountInquired) < 5 || w.count(gateway.CountCallback) < 8 {
		t.Errorf("sent %d, unknown %d, inquired %d, callbacks %d", w.count(gateway.CountSent), w.count(gateway.CountUnknown),
			w.count(gateway.CountInquired), w.count(gateway.CountCallback))
	}
}

// Evidence is the bank's answer, byte for byte.
func TestEvidenceIsKept(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	w.start("work.db", shortPolicy(), nil)
	id := w.payout("22")
	w.untilStatus(id, wallet.Success)
	records, _ := w.ledger.since(0)
	last := records[len(records)-1]
	w.ledger.mu.Lock()
	defer w.ledger.mu.Unlock()
	kept := w.ledger.evidence[last.Seq]
	if len(kept) != 1 || kept[0].MediaType != "application/json" || !strings.HasPrefix(string(kept[0].Body), `{"reference":"`+id+`","status":"paid"`) {
		t.Errorf("evidence of %s: %q", last.Type, kept)
	}
}

// Whatever instruction a process dies at, the next one goes on, and nothing is paid twice.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	const sending, asking, reporting = "before SubmitPayout,after SubmitPayout,before Send,after Send", ",before Inquire", ",before ReportPayout,after ReportPayout"
	points := map[string]string{
		"22": sending + reporting,
		"01": sending + asking, // what ends it is the callback
		"02": "after Send" + reporting,
		"03": sending + asking + reporting,
		"04": sending + asking + reporting,
		"05": "after Send" + reporting,
		"10": "before SubmitPayout,after Send" + asking + reporting,
	}
	for digits, list := range points {
		for point := range strings.SplitSeq(list, ",") {
			t.Run(digits+" "+point, func(t *testing.T) {
				t.Parallel()
				callback := 60 * time.Millisecond
				if point == "before Inquire" {
					callback = 2 * time.Second // on a slow machine, it would end the payout before anybody inquires
				}
				w := newWorld(t, callback)
				first := w.start("work.db", shortPolicy(), func(at string, p *process) {
					if at == point {
						p.kill()
					}
				})
				id := w.payout(digits)
				<-first.crashed
				first.stop()
				second := w.start("work.db", shortPolicy(), nil)
				if err := second.dispatcher.Recover(t.Context(), w.ledger); err != nil {
					t.Fatal(err)
				}
				want := wallet.Success
				if digits == "02" || digits == "04" || digits == "05" {
					want = wallet.Refunded
				}
				w.untilStatus(id, want)
				w.agree(id)
				if sent, recorded := first.sends.Load()+second.sends.Load(), w.payment(id).Attempts; sent > int64(recorded) {
					t.Errorf("sent %d times, %d attempts recorded", sent, recorded)
				}
				if n := strings.Count(w.ledger.types(id), "succeeded"); n > 1 {
					t.Errorf("succeeded %d times", n)
				}
			})
		}
	}
}

// A process that stood still between the record of an attempt and the call does not send any more: others may have concluded
// from its silence.
func TestAnAttemptRecordedTooLongAgoIsNotSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	var stood atomic.Bool
	p := w.start("work.db", shortPolicy(), func(at string, _ *process) {
		if at == "after SubmitPayout" && stood.CompareAndSwap(false, true) {
			w.ahead.Store(int64(time.Minute))
		}
	})
	id := w.payout("22")
	w.untilStatus(id, wallet.Success)
	if attempts := w.payment(id).Attempts; attempts != 2 || p.sends.Load() != 1 {
		t.Errorf("%d attempts, %d sent", attempts, p.sends.Load())
	}
	w.agree(id)
}

// Two processes that both believe to have the job, and that both are about to record the first attempt: the log decides who
// sends it, and the other one asks.
func TestTwoDispatchersSendEachAttemptOnce(t *testing.T) {
	t.Parallel()
	for _, digits := range []string{"22", "03", "10"} {
		t.Run(digits, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			var both sync.WaitGroup
			both.Add(2)
			abreast := func() func(string, *process) {
				var once sync.Once
				return func(at string, _ *process) {
					if at == "before SubmitPayout" {
						once.Do(func() {
							both.Done()
							both.Wait()
						})
					}
				}
			}
			one := w.start("one.db", shortPolicy(), abreast())
			two := w.start("two.db", shortPolicy(), abreast())
			id := w.payout(digits)
			w.untilStatus(id, wallet.Success)
			if sent, recorded := one.sends.Load()+two.sends.Load(), w.payment(id).Attempts; sent > int64(recorded) {
				t.Errorf("sent %d times, %d attempts recorded", sent, recorded)
			}
			w.agree(id)
		})
	}
}

// A bank that answers nonsense for a while: the payout stays pending, and ends as the bank's sane word says.
func TestUnknownIsNeverFailed(t *testing.T) {
	t.Parallel()
	answers := map[string]func(w http.ResponseWriter, r *http.Request){
		"500":        func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "boom", http.StatusInternalServerError) },
		"garbage":    func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>failed</html>") },
		"html 404":   func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
		"redirected": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"dropped":    func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
		"failed, of another": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, `{"reference":"txn_other","status":"failed","amount":"5000.00"}`)
		},
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, 0)
			var asked atomic.Int64
			fault := func(rw http.ResponseWriter, r *http.Request) bool {
				if !strings.HasPrefix(r.URL.Path, "/sandbox/bank/transfers") || asked.Add(1) > 4 {
					return false
				}
				answer(rw, r)
				return true
			}
			w.fault.Store(&fault)
			w.start("work.db", shortPolicy(), nil)
			id := w.payout("22")
			w.until("the bank was asked a few times", func() bool { return asked.Load() > 4 })
			w.untilStatus(id, wallet.Success)
			if events := w.ledger.types(id); strings.Contains(events, "refunded") || strings.Contains(events, "anomaly") {
				t.Error(events)
			}
			w.agree(id)
		})
	}
}

// A bank that cannot be reached at all leaves the payout pending, however long it is asked.
func TestUnreachableBankLeavesItPending(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	fault := func(rw http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path == "/sandbox/bank/transfers" && r.Method == http.MethodGet {
			return false
		}
		panic(http.ErrAbortHandler)
	}
	w.fault.Store(&fault)
	w.start("work.db", shortPolicy(), nil)
	id := w.payout("22")
	w.until("it was asked often", func() bool { return w.count(gateway.CountInquired) > 15 })
	if p := w.payment(id); p.Status != wallet.Pending || p.Attempts != 1 {
		t.Errorf("%s after %d attempts", p.Status, p.Attempts)
	}
	w.agree(id)
}

// The window is over, and the bank has stopped making sense: the payout is asked about on and on, and given up only when the
// bank says once more that it has no trace of it.
func TestGivenUpOnlyByTheBanksWord(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	var missing, mad atomic.Int64
	var sane atomic.Bool
	sane.Store(true)
	fault := func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, "/sandbox/bank/transfers") {
			return false
		}
		if r.Method == http.MethodPost {
			panic(http.ErrAbortHandler)
		}
		reference := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		rw.Header().Set("Content-Type", "application/json")
		if sane.Load() {
			missing.Add(1)
			rw.WriteHeader(http.StatusNotFound)
			fmt.Fprintf(rw, `{"reference":%q,"status":"not_found"}`, reference)
			return true
		}
		mad.Add(1) // a return without its reference
		fmt.Fprintf(rw, `{"reference":%q,"status":"returned","amount":"5000.00"}`, reference)
		return true
	}
	w.fault.Store(&fault)
	policy := shortPolicy()
	policy.QuietWindow = time.Hour
	w.start("work.db", policy, nil)
	id := w.payout("22")
	w.until("all sends are used", func() bool { return w.payment(id).Attempts == policy.MaxSends })
	before := missing.Load()
	w.until("the bank knows nothing of the last one", func() bool { return missing.Load() > before+1 })
	sane.Store(false)
	w.until("the last sane answer is past", func() bool { return mad.Load() > 0 })
	w.ahead.Store(int64(2 * time.Hour))
	w.until("the bank was asked often", func() bool { return mad.Load() > 20 })
	if p := w.payment(id); p.Status != wallet.Pending {
		t.Errorf("%s: %s", p.Status, w.ledger.types(id))
	}
	sane.Store(true)
	w.untilStatus(id, wallet.Refunded)
	records, _ := w.ledger.since(0)
	if last := records[len(records)-1]; last.Type != "payout.refunded" || !strings.Contains(string(w.ledger.evidence[last.Seq][0].Body), "not_found") {
		t.Errorf("%s with evidence %s", last.Type, w.ledger.evidence[last.Seq])
	}
}

// A bank whose answer is about another amount: nothing can be concluded from it, and somebody is told.
func TestAnotherAmountIsNoAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	var odd atomic.Bool
	odd.Store(true)
	fault := func(rw http.ResponseWriter, r *http.Request) bool {
		switch {
		case !strings.HasPrefix(r.URL.Path, "/sandbox/bank/transfers") || !odd.Load():
			return false
		case r.Method == http.MethodPost:
			panic(http.ErrAbortHandler)
		}
		reference := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(rw, `{"reference":%q,"status":"paid","amount":"1.00","utr":"612345678901"}`, reference)
		return true
	}
	w.fault.Store(&fault)
	w.start("work.db", shortPolicy(), nil)
	id := w.payout("22")
	w.until("the bank was asked a few times", func() bool { return w.count(gateway.CountAnomaly) > 3 })
	if p := w.payment(id); p.Status != wallet.Pending || p.Attempts != 1 {
		t.Errorf("%s after %d attempts", p.Status, p.Attempts)
	}
	odd.Store(false)
	w.untilStatus(id, wallet.Success)
	w.agree(id)
}

func TestRecoverAfterWorkWasLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t, time.Hour)
	first := w.start("work.db", shortPolicy(), nil)
	pending, fresh := w.payout("01"), w.payout("03")
	w.untilStatus(fresh, wallet.Success)
	w.until("01 is sent", func() bool { return w.payment(pending).Attempts == 1 })
	held := w.prepare("lost.db", shortPolicy(), nil)
	held.dispatcher.Hold()
	first.stop()
	unsent := w.payout("22")

	// A new work file: nothing is known in it, and the bus's checkpoint is taken to be at the end already.
	if err := held.dispatcher.Recover(t.Context(), w.ledger); err != nil {
		t.Fatal(err)
	}
	n, err := held.jobs.Count(t.Context(), gateway.PayoutJobs("sandbox"))
	if err != nil || n != 2 {
		t.Fatalf("%d jobs recovered: %v", n, err)
	}
	held.run()
	held.dispatcher.Resume()
	w.untilStatus(unsent, wallet.Success)
	w.until("01 is inquired about", func() bool { return w.count(gateway.CountInquired) > 1 })
	w.agree(pending, fresh, unsent)
}

func TestHold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	p := w.prepare("work.db", shortPolicy(), nil)
	p.dispatcher.Hold()
	p.run()
	// held initiates a payout, gives it time for what a payin takes to expire, and returns it unsent.
	held := func() string {
		t.Helper()
		id := w.payout("22")
		later, _ := w.payin(50 * time.Millisecond)
		w.untilStatus(later, wallet.Expired)
		if got := w.payment(id); got.Attempts != 0 {
			t.Fatal("sent while held back")
		}
		if _, found, err := p.jobs.Find(t.Context(), gateway.PayoutJobs("sandbox"), id); !found || err != nil {
			t.Fatalf("no job: %v", err)
		}
		return id
	}
	first := held()
	p.dispatcher.Resume()
	w.untilStatus(first, wallet.Success)
	p.dispatcher.Hold()
	second := held()
	p.dispatcher.Resume()
	w.untilStatus(second, wallet.Success)
}

// Payouts of batches have a queue of their own: one by itself, for whose answer somebody waits, does not stand behind them.
func TestBatchesDoNotHoldUpOthers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	p := w.prepare("work.db", shortPolicy(), nil)
	for id, of := range map[string]string{"txn_a": "", "txn_b": "bat_1"} {
		zero := money.Zero(money.INR)
		e := &wallet.PayoutInitiated{
			Of:     wallet.Of{Merchant: "mer_x", Currency: money.INR, Payment: id},
			Priced: wallet.Priced{Amount: zero, Commission: zero, Tax: zero}, Batch: of,
		}
		data, err := wallet.Encode(e)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.dispatcher.Handle(t.Context(), eventstore.Record{Type: e.Type(), Schema: e.Schema(), Data: data, Subject: id}); err != nil {
			t.Fatal(err)
		}
		kinds := []string{gateway.PayoutJobs("sandbox"), gateway.BatchJobs("sandbox")}
		for n, kind := range kinds {
			if _, found, err := p.jobs.Find(t.Context(), kind, id); err != nil || found != ((n == 1) == (of != "")) {
				t.Errorf("%s of batch %q is among %s: %t, %v", id, of, kind, found, err)
			}
		}
	}
	settled := eventstore.Record{Type: "payout.succeeded", Subject: "txn_b"}
	if err := p.dispatcher.Handle(t.Context(), settled); err != nil {
		t.Fatal(err)
	}
	if _, found, err := p.jobs.Find(t.Context(), gateway.BatchJobs("sandbox"), "txn_b"); err != nil || found {
		t.Errorf("the job of a settled payout is there: %t, %v", found, err)
	}
}

// A settled payout needs no job: the record of its end takes it away, though it was due much later.
func TestTerminalEventRemovesTheJob(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 100*time.Millisecond)
	slow := shortPolicy()
	slow.FirstInquiry, slow.MaxInquiryGap = time.Hour, time.Hour
	p := w.start("work.db", slow, nil)
	id := w.payout("01") // ends by its callback
	w.untilStatus(id, wallet.Success)
	w.until("the job is gone", func() bool {
		_, found, err := p.jobs.Find(t.Context(), gateway.PayoutJobs("sandbox"), id)
		return err == nil && !found
	})
	if n := w.count(gateway.CountInquired); n != 0 {
		t.Errorf("%d inquiries", n)
	}
}

func TestNewDispatcherRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 0)
	client := w.client()
	bad := shortPolicy()
	bad.QuietWindow = bad.SendTimeout
	for name, routes := range map[string][]gateway.Route{
		"no gateway":          nil,
		"one twice":           {{Payouts: client, Policy: shortPolicy()}, {Payouts: client, Policy: shortPolicy()}},
		"an impatient policy": {{Payouts: client, Policy: bad}},
	} {
		if _, err := gateway.NewDispatcher(w.ledger, nil, clearOpener{}, routes, w.options()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, p := range []gateway.Policy{gateway.DefaultPolicy(), gateway.SandboxPolicy()} {
		if err := p.Check(); err != nil {
			t.Error(err)
		}
	}
	if filepath.Base(gateway.PayoutJobs("x")) != "payout:x" {
		t.Error("the kind of jobs is stored: it must not change")
	}
}
