package webhook_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// The payload of each final event of a payin and of a payout, byte for byte.
func TestPayloadOfEachFinalEvent(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	s.join("mer_a", "https://shop.example/callback")
	payin := func(status, utr string) string {
		return `{"event":"transaction.updated","transaction_id":"txn_in","service":"payin","status":"` + status + `","amount":1000.5,"commission":10.05,` +
			`"net_amount":990.45,"order_id":"ORDER-1","txn_ref":"REF-1","utr":` + utr + `,"timestamp":"2026-03-31T12:00:00.123456Z"}`
	}
	payout := func(status, reference string) string {
		return `{"event":"transaction.updated","transaction_id":"txn_out","service":"payout","status":"` + status + `","amount":5000,"commission":10,` +
			`"net_amount":5010,"reference_id":` + reference + `,"partner_request_id":"REQ-1","timestamp":"2026-03-31T12:00:00.123456Z"}`
	}
	in, out := of("mer_a", "txn_in"), of("mer_a", "txn_out")
	inPrice, outPrice := price("1000.50", "10.05"), price("5000.00", "10.00")
	for _, step := range []struct {
		event wallet.Event
		want  string // "" for no callback
	}{
		{&wallet.PayinCreated{Of: in, Priced: inPrice, OrderID: "ORDER-1", TxnRef: "REF-1"}, ""},
		{&wallet.PayinFailed{Of: in, Reason: "declined"}, payin("failed", "null")},
		{&wallet.PayinExpired{Of: in}, payin("expired", "null")},
		{&wallet.PayinSuspended{Of: in, Suspense: "sus_1", Amount: rupees("1"), Asked: rupees("1000.50"), Reason: wallet.ReasonAmount}, ""},
		{&wallet.PayinSucceeded{Of: in, Priced: inPrice, UTR: "AXIS/407241812279", Late: true}, payin("success", `"AXIS-407241812279"`)},
		{&wallet.PayoutInitiated{Of: out, Priced: outPrice, RequestID: "REQ-1"}, ""},
		{&wallet.PayoutSubmitted{Of: out, Attempt: 1, Gateway: "sandbox", Reference: "txn_out"}, ""},
		{&wallet.PayoutFailed{Of: out, Priced: outPrice, Reason: "bank_unavailable"}, payout("failed", "null")},
		{&wallet.PayoutRefunded{Of: out, Priced: outPrice, Reason: "account_closed"}, payout("refunded", "null")},
		{&wallet.PayoutPaidAfterRefund{Of: out, Priced: outPrice, Taken: rupees("5010"), Owed: rupees("0"), UTR: "1", BankReference: "HDFC:1"}, payout("success", `"HDFC:1"`)},
		{&wallet.PayoutSucceeded{Of: out, Priced: outPrice, UTR: "1", BankReference: "नमः \"2\""}, payout("success", `"--- \"2\""`)},
		{&wallet.PayoutReturned{Of: out, Priced: outPrice, ReturnReference: "R1", Reason: "returned"}, payout("refunded", `"--- \"2\""`)},
	} {
		r := s.record(step.event)
		s.handle(r)
		d, _, err := s.store.Get(t.Context(), idOf(r))
		if step.want == "" {
			eq(t, r.Type, domain.CodeOf(err), domain.NotFound)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		eq(t, r.Type, string(d.Body), step.want)
		eq(t, "state", d.State, webhook.Pending)
	}
	// The body is that of the payment as it was: handled again later, from a fresh store, it is the same.
	again := newScene(t, sqliteWork(t)())
	again.records, again.merchants = s.records, s.merchants
	for _, r := range s.records {
		again.handle(r)
		d, _, err := s.store.Get(t.Context(), idOf(r))
		if domain.CodeOf(err) == domain.NotFound {
			continue
		}
		e, _ := again.get(idOf(r))
		eq(t, r.Type, string(e.Body), string(d.Body))
	}
}

func TestOutboxIgnoresAndRefuses(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	s.join("mer_none", "")
	s.asked("mer_none", "txn_1")
	r := s.paid("mer_none", "txn_1")
	s.handle(r)
	s.handle(eventstore.Record{Type: "merchant.created", Subject: "mer_none"})
	// What has ended before there was a URL stays untold; a URL that is set later is for what comes then.
	s.change("mer_none", func(m *merchant.Merchant) { m.CallbackURL = "https://shop.example/" })
	if _, _, err := s.store.Get(t.Context(), idOf(r)); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("a callback without a URL: %v", err)
	}
	counts, err := s.store.Count(t.Context())
	if err != nil || counts[webhook.Pending]+counts[webhook.Delivered]+counts[webhook.Failed] != 0 {
		t.Errorf("deliveries %v, %v", counts, err)
	}

	// What no other try can cure says so, and nothing else does.
	s.asked("mer_unknown", "txn_2")
	broken := s.paid("mer_none", "txn_3")
	broken.Subject = "txn_4"
	for name, hopeless := range map[string]eventstore.Record{"unknown merchant": s.paid("mer_unknown", "txn_2"), "no payment": broken} {
		err := s.box.Handle(t.Context(), hopeless)
		var permanent interface{ Permanent() bool }
		if !errors.As(err, &permanent) || !permanent.Permanent() {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOneDeliveryPerRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		s.join("mer_a", newReceiver(t).URL)
		s.asked("mer_a", "txn_1")
		r := s.paid("mer_a", "txn_1")
		var handlers sync.WaitGroup
		for range 8 {
			handlers.Go(func() {
				if err := s.box.Handle(t.Context(), r); err != nil {
					t.Error(err)
				}
			})
		}
		handlers.Wait()
		s.run(s.store, webhook.Options{})
		s.await(idOf(r), webhook.Delivered)
		s.handle(r) // the bus gives it again, after it was delivered
		s.barrier()
		d, attempts := s.get(idOf(r))
		eq(t, "attempts", len(attempts), 1)
		eq(t, "state", d.State, webhook.Delivered)
		page, next, err := s.store.List(t.Context(), webhook.Filter{Merchant: "mer_a"})
		if err != nil || len(page) != 1 || next != "" {
			t.Errorf("deliveries %v, next %q, %v", page, next, err)
		}
	})
}

// Five attempts in all, five minutes apart, each one kept, with the same bytes; then none.
func TestFiveAttemptsWithGaps(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		server := receiverThat(t, answering(http.StatusServiceUnavailable, strings.Repeat("x", 5000)))
		s.join("mer_a", server.URL)
		id := s.callback("mer_a", "txn_1")
		s.run(s.store, webhook.Options{})
		for n := 1; n <= 5; n++ {
			d, a := s.awaitAttempt(id, n)
			eq(t, "number", a.Number, n)
			eq(t, "status", a.Status, http.StatusServiceUnavailable)
			eq(t, "kept", string(a.Answer), strings.Repeat("x", 1024))
			eq(t, "at", a.StartedAt, s.clock.Now())
			if n == 5 {
				break
			}
			eq(t, "state", d.State, webhook.Pending)
			eq(t, "due", d.Due, s.clock.Now().Add(5*time.Minute))
			s.clock.advance(5*time.Minute - time.Microsecond)
			s.barrier()
			eq(t, "calls before it is due", len(server.got()), n)
			s.clock.advance(time.Microsecond)
		}
		s.await(id, webhook.Failed)
		s.clock.advance(24 * time.Hour)
		s.barrier()
		calls := server.got()
		eq(t, "calls", len(calls), 5)
		for _, c := range calls {
			eq(t, "body", string(c.body), string(calls[0].body))
			eq(t, "id", c.header.Get("webhook-id"), id)
			eq(t, "signature", c.header.Get("X-KlyroPay-Signature"), calls[0].header.Get("X-KlyroPay-Signature"))
		}
	})
}

func TestOnly200IsSuccess(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	elsewhere := newReceiver(t)
	s.run(s.store, webhook.Options{Attempts: 1})
	for status, want := range map[int]webhook.State{
		200: webhook.Delivered, 201: webhook.Failed, 202: webhook.Failed, 204: webhook.Failed, 206: webhook.Failed, 301: webhook.Failed, 302: webhook.Failed,
		303: webhook.Failed, 307: webhook.Failed, 308: webhook.Failed, 400: webhook.Failed, 401: webhook.Failed, 410: webhook.Failed, 500: webhook.Failed,
	} {
		for _, location := range []string{elsewhere.URL, "http://[broken", ""} {
			server := receiverThat(t, func(w http.ResponseWriter, _ *http.Request) {
				if location != "" {
					w.Header().Set("Location", location)
				}
				w.WriteHeader(status)
			})
			name := fmt.Sprintf("mer_%d_%d", status, len(location))
			s.join(name, server.URL)
			id := s.callback(name, "txn_"+name)
			until(t, "an end", func() bool { d, _ := s.get(id); return d.State != webhook.Pending })
			d, attempts := s.get(id)
			eq(t, fmt.Sprintf("state after %d to %q", status, location), d.State, want)
			eq(t, "status", attempts[0].Status, status)
			eq(t, "calls", len(server.got()), 1)
		}
	}
	eq(t, "redirects followed", len(elsewhere.got()), 0)
}

// Stopped in the middle, deliveries go on in the next process, with the count of attempts as it was.
func TestRestartContinuesTheCount(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		server := receiverThat(t, answering(http.StatusInternalServerError, "down"))
		s.join("mer_a", server.URL)
		id := s.callback("mer_a", "txn_1")
		for n := 1; n <= 5; n++ {
			stop := s.run(newStore(open()), webhook.Options{})
			s.awaitAttempt(id, n)
			stop()
			s.clock.advance(5 * time.Minute)
		}
		d, attempts := s.await(id, webhook.Failed)
		eq(t, "attempts", d.Attempts, 5)
		eq(t, "kept", len(attempts), 5)
		s.run(newStore(open()), webhook.Options{})
		s.barrier()
		eq(t, "calls", len(server.got()), 5)
	})
}

// Several processes share the deliveries: each attempt is made once.
func TestProcessesShareTheWork(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		server := newReceiver(t)
		s.join("mer_a", server.URL)
		var ids []string
		for i := range 40 {
			ids = append(ids, s.callback("mer_a", "txn_"+strconv.Itoa(i)))
		}
		for range 3 {
			s.run(newStore(open()), webhook.Options{})
		}
		for _, id := range ids {
			_, attempts := s.await(id, webhook.Delivered)
			eq(t, "attempts of "+id, len(attempts), 1)
		}
		eq(t, "calls", len(server.got()), 40)
	})
}

// Callbacks about one transaction go in the order of its events: the later one waits until the earlier one has ended.
func TestOrderWithinATransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		server := receiverThat(t, answering(http.StatusInternalServerError, ""))
		s.join("mer_a", server.URL)
		s.asked("mer_a", "txn_1")
		expired := s.record(&wallet.PayinExpired{Of: of("mer_a", "txn_1")})
		late := s.paid("mer_a", "txn_1")
		s.handle(late) // even if it comes into the queue first
		s.handle(expired)
		other := s.callback("mer_a", "txn_2")
		s.run(s.store, webhook.Options{Attempts: 2})
		s.awaitAttempt(other, 1)
		s.awaitAttempt(idOf(expired), 1)
		s.barrier()
		d, _ := s.get(idOf(late))
		eq(t, "attempts of the later one", d.Attempts, 0)
		s.clock.advance(5 * time.Minute)
		s.await(idOf(expired), webhook.Failed) // given up: now the later one may go
		s.awaitAttempt(idOf(late), 1)
		var about []string
		for _, c := range server.got() {
			if id := c.header.Get("webhook-id"); id != other {
				about = append(about, id)
			}
		}
		eq(t, "order", fmt.Sprint(about), fmt.Sprint([]string{idOf(expired), idOf(expired), idOf(late)}))
	})
}

// A merchant who does not answer holds its own callbacks up, up to its bound, and nobody else's.
func TestASlowMerchantHoldsUpNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		release := make(chan struct{})
		slow := receiverThat(t, func(http.ResponseWriter, *http.Request) { <-release })
		quick := newReceiver(t)
		s.join("mer_slow", slow.URL)
		s.join("mer_quick", quick.URL)
		var ids []string
		for i := range 30 {
			ids = append(ids, s.callback("mer_slow", "txn_slow"+strconv.Itoa(i)))
		}
		s.run(s.store, webhook.Options{PerMerchant: 2, Concurrency: 4})
		until(t, "the slow one is at its bound", func() bool { return len(slow.got()) == 2 })
		for i := range 10 {
			s.await(s.callback("mer_quick", "txn_quick"+strconv.Itoa(i)), webhook.Delivered)
		}
		eq(t, "under way at the slow one", len(slow.got()), 2)
		close(release)
		for _, id := range ids {
			s.await(id, webhook.Delivered)
		}
		eq(t, "calls", len(slow.got()), 30)
	})
}

// A resend sends the same bytes, whatever became of the delivery, in a new round of attempts.
func TestResend(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		var mu sync.Mutex
		status := http.StatusInternalServerError
		answer := func(code int) { mu.Lock(); defer mu.Unlock(); status = code }
		server := receiverThat(t, func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			w.WriteHeader(status)
		})
		s.join("mer_a", server.URL)
		id := s.callback("mer_a", "txn_1")
		s.run(s.store, webhook.Options{Attempts: 2})
		s.awaitAttempt(id, 1)
		s.clock.advance(5 * time.Minute)
		s.await(id, webhook.Failed)

		answer(http.StatusOK)
		// The command line resends through a store of its own.
		if _, err := newStore(open()).Resend(t.Context(), id, s.clock.Now()); err != nil {
			t.Fatal(err)
		}
		d, attempts := s.await(id, webhook.Delivered)
		eq(t, "attempts", len(attempts), 3)
		eq(t, "of the round", d.Round, 1)

		// One that was delivered stays so, if nobody takes it the second time.
		answer(http.StatusTeapot)
		s.clock.advance(time.Second)
		d, err := s.store.Resend(t.Context(), id, s.clock.Now())
		if err != nil {
			t.Fatal(err)
		}
		eq(t, "state", d.State, webhook.Pending)
		s.awaitAttempt(id, 4)
		s.clock.advance(5 * time.Minute)
		d, attempts = s.await(id, webhook.Delivered)
		eq(t, "attempts", len(attempts), 5)
		calls := server.got()
		eq(t, "calls", len(calls), 5)
		for _, c := range calls {
			eq(t, "body", string(c.body), string(d.Body))
			eq(t, "id", c.header.Get("webhook-id"), id)
		}
		if calls[0].header.Get("webhook-timestamp") == calls[4].header.Get("webhook-timestamp") {
			t.Error("the time of the attempt is not the attempt's own")
		}
		if _, err := s.store.Resend(t.Context(), "cb_none", s.clock.Now()); domain.CodeOf(err) != domain.NotFound {
			t.Errorf("resend of none: %v", err)
		}
	})
}

// Pending callbacks go where the merchant's URL points to at the time of the attempt.
func TestPendingCallbacksFollowTheURL(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	old, fresh := receiverThat(t, answering(http.StatusNotFound, "")), newReceiver(t)
	s.join("mer_a", old.URL)
	id := s.callback("mer_a", "txn_1")
	s.run(s.store, webhook.Options{})
	s.awaitAttempt(id, 1)
	s.change("mer_a", func(m *merchant.Merchant) { m.CallbackURL = "" })
	s.clock.advance(5 * time.Minute)
	_, a := s.awaitAttempt(id, 2)
	eq(t, "problem", a.Error, "the merchant has no callback URL")
	eq(t, "status", a.Status, 0)
	s.change("mer_a", func(m *merchant.Merchant) { m.CallbackURL = fresh.URL })
	s.clock.advance(5 * time.Minute)
	_, attempts := s.await(id, webhook.Delivered)
	eq(t, "attempts", len(attempts), 3)
	eq(t, "calls of the old server", len(old.got()), 1)
	eq(t, "calls of the new server", len(fresh.got()), 1)
}

func sum(key, text string) []byte {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return h.Sum(nil)
}

// The newest active key of role full signs; the headers of Standard Webhooks carry all of those.
func TestTheNewestActiveFullKeySigns(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	server := newReceiver(t)
	s.join("mer_a", server.URL)
	now := s.clock.Now()
	key := func(id string, age time.Duration) merchant.Key {
		return merchant.Key{ID: id, Role: merchant.Full, CreatedAt: now.Add(-age)}
	}
	s.change("mer_a", func(m *merchant.Merchant) { m.Keys = nil })
	newest := key("key_new", time.Hour)
	leaving := key("key_old", 9*time.Hour)
	leaving.ExpiresAt = now.Add(time.Minute)
	maker, revoked, expired := key("key_maker", time.Minute), key("key_revoked", time.Minute), key("key_expired", time.Minute)
	maker.Role, revoked.Revoked, expired.ExpiresAt = merchant.Maker, true, now
	for _, k := range []merchant.Key{leaving, newest, maker, revoked, expired} {
		s.addKey("mer_a", k, "clear-"+k.ID)
	}
	s.run(s.store, webhook.Options{})
	check := func(payment string, keys ...string) {
		t.Helper()
		s.await(s.callback("mer_a", payment), webhook.Delivered)
		calls := server.got()
		c := calls[len(calls)-1]
		eq(t, "signature", c.header.Get("X-KlyroPay-Signature"), hex.EncodeToString(sum(keys[0], string(c.body))))
		signed := c.header.Get("webhook-id") + "." + c.header.Get("webhook-timestamp") + "." + string(c.body)
		var want []string
		for _, k := range keys {
			want = append(want, "v1,"+base64.StdEncoding.EncodeToString(sum(k, signed)))
		}
		eq(t, "webhook-signature", c.header.Get("webhook-signature"), strings.Join(want, " "))
		eq(t, "webhook-timestamp", c.header.Get("webhook-timestamp"), strconv.FormatInt(s.clock.Now().Unix(), 10))
		eq(t, "event", c.header.Get("X-KlyroPay-Event"), "transaction.updated")
		eq(t, "type", c.header.Get("Content-Type"), "application/json")
	}
	check("txn_1", "clear-key_new", "clear-key_old")
	s.clock.advance(time.Minute) // the overlap is over
	check("txn_2", "clear-key_new")

	// Without a key, the attempt counts and says why; nothing unsigned is ever sent.
	s.change("mer_a", func(m *merchant.Merchant) { m.Keys = m.Keys[2:] })
	_, a := s.awaitAttempt(s.callback("mer_a", "txn_3"), 1)
	eq(t, "status", a.Status, 0)
	if !strings.Contains(a.Error, "no active key") {
		t.Errorf("problem %q", a.Error)
	}
	eq(t, "calls", len(server.got()), 2)
}

func TestListPages(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		s.join("mer_a", "https://a.example/")
		s.join("mer_b", "https://b.example/")
		var want []string // newest first; some are made at the same time
		for i := range 9 {
			if i%3 == 0 {
				s.clock.advance(time.Second)
			}
			want = append(want, s.callback("mer_a", "txn_a"+strconv.Itoa(i)))
			s.callback("mer_b", "txn_b"+strconv.Itoa(i))
		}
		seen := map[string]bool{}
		var last time.Time
		filter := webhook.Filter{Merchant: "mer_a", State: webhook.Pending, Limit: 2}
		for {
			page, next, err := s.store.List(t.Context(), filter)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range page {
				if seen[d.ID] || !last.IsZero() && d.CreatedAt.After(last) || d.Merchant != "mer_a" {
					t.Fatalf("%s is out of place", d.ID)
				}
				seen[d.ID], last = true, d.CreatedAt
			}
			if filter.Cursor = next; next == "" {
				break
			}
		}
		eq(t, "listed", len(seen), len(want))
		for _, bad := range []string{"x", "1", ".a", "1x.cb"} {
			if _, _, err := s.store.List(t.Context(), webhook.Filter{Cursor: bad}); domain.CodeOf(err) != domain.Invalid {
				t.Errorf("cursor %q: %v", bad, err)
			}
		}
		counts, err := s.store.Count(t.Context())
		if err != nil || counts[webhook.Pending] != 18 {
			t.Errorf("counts %v, %v", counts, err)
		}
	})
}

// More merchants hang than there are places for: once that is known they have half of them, and the others' callbacks go out.
func TestManySlowMerchantsHoldUpNobody(t *testing.T) {
	t.Parallel()
	s := newScene(t, sqliteWork(t)())
	slow := receiverThat(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	quick := newReceiver(t)
	s.join("mer_quick", quick.URL)
	for i := range 40 {
		name := "mer_slow" + strconv.Itoa(i)
		s.join(name, slow.URL)
		for n := range 20 {
			s.callback(name, fmt.Sprintf("txn_slow%d_%d", i, n))
		}
	}
	s.run(s.store, webhook.Options{PerMerchant: 2, Concurrency: 8, Timeout: 400 * time.Millisecond, Gap: time.Hour, Attempts: 2})
	until(t, "all places have met one that hangs", func() bool { return len(slow.got()) > 40*2 })
	before := len(slow.got())
	for i := range 50 {
		s.await(s.callback("mer_quick", "txn_quick"+strconv.Itoa(i)), webhook.Delivered)
	}
	t.Logf("%d calls to those that hang while 50 were delivered", len(slow.got())-before)
}

// A merchant whose receiver was slow once does not wait until those that hang have nothing due any more: they take turns.
func TestSlowMerchantsTakeTurns(t *testing.T) {
	t.Parallel()
	s := newScene(t, sqliteWork(t)())
	hanging := receiverThat(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	var met atomic.Bool
	once := receiverThat(t, func(_ http.ResponseWriter, r *http.Request) {
		if met.CompareAndSwap(false, true) {
			<-r.Context().Done()
		}
	})
	s.join("mer_once", once.URL)
	s.callback("mer_once", "txn_slow")
	s.run(s.store, webhook.Options{PerMerchant: 2, Concurrency: 8, Timeout: 400 * time.Millisecond, Gap: time.Hour, Attempts: 2})
	until(t, "it is slow", func() bool { return len(once.got()) == 1 })
	for i := range 10 {
		name := "mer_hangs" + strconv.Itoa(i)
		s.join(name, hanging.URL)
		for n := range 100 {
			s.callback(name, fmt.Sprintf("txn_hangs%d_%d", i, n))
		}
	}
	until(t, "the others are slow, too", func() bool { return len(hanging.got()) > 10*2+8 })
	s.await(s.callback("mer_once", "txn_quick"), webhook.Delivered)
}
