package klyropay_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

const idem = "Idempotency-Key: K-1 ~"

func isReplay(r reply) bool { return r.header.Get("Idempotent-Replayed") == "true" }

func TestRepeatGetsTheFirstAnswer(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "100000.00")
	for path, body := range map[string]string{payinPath: payinBody, payoutPath: payoutBody} {
		first := s.send("POST", path, body, idem)
		if first.status >= 300 || isReplay(first) {
			t.Fatalf("first: %d %s", first.status, first.body)
		}
		again := s.send("POST", path, body, idem)
		again.want(t, first.status, first.body)
		if !isReplay(again) {
			t.Error("the repeat does not say that it is one")
		}
		s.send("POST", path, body+" ", idem).want(t, 422, failure("Idempotency-Key was used with a different request"))
		s.send("POST", path, "{", idem).want(t, 422, failure("Idempotency-Key was used with a different request"))
		s.send("POST", path, body).want(t, 409, failure("Duplicate request"))
		s.send("POST", path, body, "Idempotency-Key: K-2").want(t, 409, failure("Duplicate request"))
		s.send("POST", path, body, "Idempotency-Key: K-2").want(t, 409, failure("Duplicate request"))
	}
	s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":94990.00,"locked_balance":0.00}}`)
	if r := s.send("POST", payinPath, payinBody, idem, "X-Api-Key: "+keyB); r.status != 201 || isReplay(r) {
		t.Errorf("another merchant's key: %d %s", r.status, r.body)
	}
}

// The first answer is repeated even when the payment has gone on since.
func TestRepeatOfPending(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.GatewayWait = 0 })
	s.books.bank = nil
	s.books.fund(merchantA, "10000.00")
	first := s.send("POST", payoutPath, payoutBody, idem)
	s.books.settle(wallet.InitiatePayout{Base: wallet.Base{Of: wallet.Of{
		Merchant: merchantA, Currency: money.INR, Payment: first.get(t, "data", "transaction", "transaction_id"),
	}, At: day}}, wallet.OutcomePaid)
	s.send("POST", payoutPath, payoutBody, idem).want(t, 200, first.body)
}

// When the first answer was never stored, the repeat is answered from the payment's present state, and so are those behind it.
func TestRepeatOfLostAnswer(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "10000.00")
	lose := func() {
		s.books.mu.Lock()
		defer s.books.mu.Unlock()
		clear(s.books.answers)
	}
	payin := s.send("POST", payinPath, payinBody, idem)
	lose()
	s.advance(2*time.Minute + 500*time.Millisecond)
	again := s.send("POST", payinPath, payinBody, idem)
	again.want(t, 201, strings.Replace(payin.body, `"expires_in":600`, `"expires_in":480`, 1))
	s.advance(time.Hour)
	s.send("POST", payinPath, payinBody, idem).want(t, 201, again.body)
	lose()
	s.send("POST", payinPath, payinBody, idem).want(t, 201, strings.Replace(payin.body, `"expires_in":600`, `"expires_in":0`, 1))

	payout := s.send("POST", payoutPath, payoutBody, idem)
	lose()
	s.send("POST", payoutPath, payoutBody, idem).want(t, 200, payout.body)
	s.send("POST", payoutPath, payoutBody+"\n", idem).want(t, 422, failure("Idempotency-Key was used with a different request"))
}

// The log was restored from a backup that is older than the stored answers: a request of the lost time is carried out anew, and
// its answer names the payment that exists.
func TestAnswersOfALostHistory(t *testing.T) {
	lost, s := serve(t), serve(t)
	for _, one := range []*bench{lost, s} {
		one.books.fund(merchantA, "100000.00")
	}
	before := lost.send("POST", payoutPath, payoutBody, idem)
	s.books.mu.Lock()
	s.books.answers = lost.books.answers
	s.books.mu.Unlock()
	id := func(r reply) string { return r.get(t, "data", "transaction", "transaction_id") }
	first := s.send("POST", payoutPath, payoutBody, idem)
	if first.status != http.StatusOK || id(first) == id(before) {
		t.Fatalf("answered with the lost payment: %d %s", first.status, first.body)
	}
	again := s.send("POST", payoutPath, payoutBody, idem)
	again.want(t, 200, first.body)
	if !isReplay(again) {
		t.Error("the repeat does not say that it is one")
	}
	s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":94990.00,"locked_balance":0.00}}`)
}

// Copies that arrive together, some before the first is recorded: one payment, one answer.
func TestCopiesWithAKey(t *testing.T) {
	for _, blind := range []bool{false, true} {
		s := serve(t)
		s.books.fund(merchantA, "100000.00")
		s.books.blindLookup = blind // the key is found by Submit, not before
		body := strings.Replace(payoutBody, `,"partner_request_id":"YOUR-UNIQUE-ORDER-ID"`, "", 1)
		replies := make([]reply, 16)
		var all sync.WaitGroup
		for i := range replies {
			all.Go(func() { replies[i] = s.send("POST", payoutPath, body, idem) })
		}
		all.Wait()
		firsts := 0
		for _, r := range replies {
			r.want(t, 200, replies[0].body)
			if !isReplay(r) {
				firsts++
			}
		}
		if firsts != 1 {
			t.Errorf("%d of the copies say that they are the first", firsts)
		}
		s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":94990.00,"locked_balance":0.00}}`)
		s.send("POST", payoutPath, body+" ", idem).want(t, 422, failure("Idempotency-Key was used with a different request"))
	}
}

func TestRefusalBindsNoKey(t *testing.T) {
	s := serve(t)
	s.send("POST", payoutPath, payoutBody, idem).want(t, 422, failure("Insufficient wallet balance"))
	if r := s.send("POST", payoutPath, with(t, payoutBody, "amount", "1"), idem); r.status != 422 || isReplay(r) {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.books.fund(merchantA, "10000.00")
	if r := s.send("POST", payoutPath, payoutBody, idem); r.status != 200 || isReplay(r) {
		t.Errorf("after a refusal: %d %s", r.status, r.body)
	}
	s.send("POST", payoutPath, payoutBody, "Idempotency-Key: other").want(t, 409, failure("Duplicate request"))
	if r := s.send("POST", payoutPath, with(t, payoutBody, "partner_request_id", `"NEW"`), "Idempotency-Key: other"); r.status != 422 {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.books.fund(merchantA, "10000.00")
	if r := s.send("POST", payoutPath, with(t, payoutBody, "partner_request_id", `"NEW"`), "Idempotency-Key: other"); r.status != 200 || isReplay(r) {
		t.Errorf("a 409 bound the key: %d %s", r.status, r.body)
	}
}

func TestKeyFormat(t *testing.T) {
	s := serve(t)
	wrong := validation("Idempotency-Key", "The Idempotency-Key must be 1 to 255 printable ASCII characters, given once.")
	head := "POST " + payinPath + " HTTP/1.1\nHost: x\nX-Api-Key: " + keyA + "\nContent-Type: application/json\nConnection: close\nContent-Length: 2\n"
	s.raw(head+"Idempotency-Key:\n\n{}").want(t, 422, wrong)
	s.raw(head+"Idempotency-Key: a\nIdempotency-Key: a\n\n{}").want(t, 422, wrong)
	s.raw(head+"Idempotency-Key: "+strings.Repeat("k", 256)+"\n\n{}").want(t, 422, wrong)
	s.raw(head+"Idempotency-Key: caf\xc3\xa9\n\n{}").want(t, 422, wrong)
	if r := s.send("POST", payinPath, payinBody, "Idempotency-Key: "+strings.Repeat("k", 255)); r.status != 201 {
		t.Errorf("a key of 255: %d %s", r.status, r.body)
	}
}

// Without the store of answers a payment is made and answered all the same; a repeat has to wait for the store.
func TestAnswersAway(t *testing.T) {
	s := serve(t)
	s.books.answersFault = errAway
	first := s.send("POST", payinPath, payinBody, idem)
	if first.status != http.StatusCreated {
		t.Fatalf("%d %s", first.status, first.body)
	}
	if r := s.send("POST", payinPath, payinBody, idem); r.status != 503 || isReplay(r) {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.books.answersFault = nil
	s.send("POST", payinPath, payinBody, idem).want(t, 201, first.body)
}
