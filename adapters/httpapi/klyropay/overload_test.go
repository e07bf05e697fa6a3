package klyropay_test

import (
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/wallet"
)

// payoutNamed is a payout of that partner_request_id.
func payoutNamed(request string) string {
	return `{"mobile_no":"9876543210","beneficiary_name":"Rahul Sharma","account_no":"1234567890","ifsc":"SBIN0001234",` +
		`"bank_name":"State Bank of India","amount":1000,"transfer_type":"5","partner_request_id":"` + request + `"}`
}

// A slow bank keeps nobody out: who waits for it has no place in work, and whom there is no room to wait with is answered at once, with a payout that is
// pending. What is refused is not made.
func TestWhoWaitsForTheBankHasNoPlace(t *testing.T) {
	one := httpapi.Bounds{Most: 1, Share: 1}
	commands, waits := httpapi.NewGate("commands", one), httpapi.NewGate("waits", one)
	s := serve(t, func(o *klyropay.Options) { o.Commands, o.Waits = commands, waits })
	s.books.fund(merchantA, "100000.00")
	asked, answer := make(chan struct{}, 3), make(chan struct{})
	s.books.bank = func(wallet.InitiatePayout) wallet.Outcome {
		asked <- struct{}{}
		<-answer
		return wallet.OutcomePaid
	}
	status := func(r reply) string {
		_, rest, _ := strings.Cut(r.body, `"status":"`)
		got, _, _ := strings.Cut(rest, `"`)
		return got
	}

	var first reply
	var waiting sync.WaitGroup
	waiting.Go(func() { first = s.send(http.MethodPost, klyropay.PathPayoutProcess, payoutNamed("slow-1")) })
	<-asked
	for place, err := waits.Enter(t.Context(), ""); err == nil; place, err = waits.Enter(t.Context(), "") { // until the first one waits
		place.Leave()
	}
	second := s.send(http.MethodPost, klyropay.PathPayoutProcess, payoutNamed("slow-2"))
	if second.status != http.StatusOK || status(second) != "pending" {
		t.Errorf("without room to wait: %d %s", second.status, second.body)
	}

	place, err := commands.Enter(t.Context(), "somebody else") // there is a place, although two payouts have no answer from the bank
	if err != nil {
		t.Fatal(err)
	}
	refused := s.send(http.MethodPost, klyropay.PathPayoutProcess, payoutNamed("slow-3"))
	if refused.status != http.StatusServiceUnavailable || refused.header.Get("Retry-After") != "1" {
		t.Errorf("without room to work: %d %v %s", refused.status, refused.header, refused.body)
	}
	place.Leave()
	close(answer)
	waiting.Wait()
	if first.status != http.StatusOK || status(first) != "success" {
		t.Errorf("who waited: %d %s", first.status, first.body)
	}
	if r := s.send(http.MethodGet, strings.Replace(klyropay.PathPayoutByRequest, "{partner_request_id}", "slow-3", 1), ""); r.status != http.StatusNotFound {
		t.Errorf("what was refused: %d %s", r.status, r.body)
	}
}

// Reads and commands have places of their own, and one merchant has half of them.
func TestReadsHavePlacesOfTheirOwn(t *testing.T) {
	commands, reads := httpapi.NewGate("commands", httpapi.Bounds{Most: 1, Share: 1}), httpapi.NewGate("reads", httpapi.Bounds{Most: 2})
	s := serve(t, func(o *klyropay.Options) { o.Commands, o.Reads = commands, reads })
	s.books.fund(merchantA, "100000.00")
	if _, err := reads.Enter(t.Context(), merchantA); err != nil {
		t.Fatal(err)
	}
	if r := s.send(http.MethodGet, klyropay.PathBalance, ""); r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") != "1" {
		t.Errorf("beyond its share: %d %s", r.status, r.body)
	}
	if r := s.send(http.MethodGet, klyropay.PathBalance, "", "X-Api-Key: "+keyB); r.status != http.StatusOK {
		t.Errorf("another merchant: %d %s", r.status, r.body)
	}
	if r := s.send(http.MethodPost, klyropay.PathPayoutProcess, payoutNamed("beside")); r.status != http.StatusOK {
		t.Errorf("a command: %d %s", r.status, r.body)
	}
}
