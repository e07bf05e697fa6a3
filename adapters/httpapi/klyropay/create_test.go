package klyropay_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore/executor"
)

const (
	payoutBody = `{"mobile_no":"9876543210","beneficiary_name":"Rahul Sharma","account_no":"1234567890","ifsc":"SBIN0001234","bank_name":"State Bank of India","amount":5000,"transfer_type":"5","partner_request_id":"YOUR-UNIQUE-ORDER-ID"}`
	payinBody  = `{"order_id":"YOUR-ORDER-001","amount":1000,"customer_phone":"9876543210","customer_name":"Rahul Sharma"}`
)

// golden compares an answer byte for byte; ids and references that we made are in the pattern as <...>.
func golden(t *testing.T, r reply, status int, pattern string) {
	t.Helper()
	re := regexp.QuoteMeta(pattern)
	for name, ids := range map[string]string{
		"<txn>": `txn_[a-z0-9]{16}`, "<ref>": `PAYIN-REF-[A-Z0-9]{16}`, "<ord>": `ORD-[A-Z0-9]{16}`, "<prq>": `PRQ-[A-Z0-9]{16}`,
	} {
		re = strings.ReplaceAll(re, name, ids)
	}
	if r.status != status || !regexp.MustCompile("^"+re+"$").MatchString(r.body) {
		t.Errorf("answered %d %s\n    want %d %s", r.status, r.body, status, pattern)
	}
}

func TestPayinCreate(t *testing.T) {
	s := serve(t)
	r := s.send("POST", payinPath, payinBody)
	golden(t, r, 201, `{"success":true,"data":{"transaction_id":"<txn>","order_id":"YOUR-ORDER-001","txn_ref":"<ref>","amount":1000.00,"commission":10.00,"intent_url":"upi://pay?pa=klyro@sandbox&pn=Klyro%20Pay%20%26%20Co&tr=<ref>&am=1000.00&cu=INR&tn=Order%20YOUR-ORDER-001&mode=04","expires_in":600,"status":"pending"}}`)
	link, err := url.Parse(r.get(t, "data", "intent_url"))
	if err != nil {
		t.Fatal(err)
	}
	if q := link.Query(); q.Get("tr") != r.get(t, "data", "txn_ref") || q.Get("pa") != "klyro@sandbox" || q.Get("pn") != "Klyro Pay & Co" {
		t.Errorf("link %s", link)
	}

	status := `{"success":true,"data":{"transaction_id":"<txn>","order_id":"YOUR-ORDER-001","txn_ref":"<ref>","amount":1000.00,"commission":10.00,"utr":null,"status":"pending","created_at":"2024-04-30T10:00:00.000000Z"}}`
	golden(t, s.send("GET", "/api/v1/payin/status/"+r.get(t, "data", "txn_ref"), ""), 200, status)
	golden(t, s.send("GET", "/api/v1/payin/order/YOUR-ORDER-001", ""), 200, status)

	s.send("POST", payinPath, payinBody).want(t, 409, failure("Duplicate request"))
	if r := s.send("POST", payinPath, payinBody, "X-Api-Key: "+keyB); r.status != 201 {
		t.Errorf("another merchant's payin of the same order_id: %d %s", r.status, r.body)
	}
	if r := s.send("POST", payoutPath, strings.Replace(payoutBody, "YOUR-UNIQUE-ORDER-ID", "YOUR-ORDER-001", 1)); r.status != 422 || !strings.Contains(r.body, "Insufficient") {
		t.Errorf("a payout of a payin's reference: %d %s", r.status, r.body)
	}
}

func TestPayinDefaults(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.PayinExpiry = 90*time.Second + time.Nanosecond })
	for _, body := range []string{
		`{"amount":300,"customer_phone":"6000000000"}`,
		`{"amount":"300.00","customer_phone":"6000000000","order_id":null,"customer_name":null}`,
		`{"amount":300.0,"customer_phone":"6000000000","order_id":"","customer_name":"","colour":{"a":[1,{"b":null}]}}`,
		" \t\r\n{\"customer_phone\":\"\\u0036000000000\",\"amount\":3E2,\"amount \":1}",
	} {
		r := s.send("POST", payinPath, body)
		if strings.Contains(body, "3E2") {
			r.want(t, 422, validation("amount", "The amount must be a plain decimal number."))
			continue
		}
		golden(t, r, 201, `{"success":true,"data":{"transaction_id":"<txn>","order_id":"<ord>","txn_ref":"<ref>","amount":300.00,"commission":3.00,"intent_url":"upi://pay?pa=klyro@sandbox&pn=Klyro%20Pay%20%26%20Co&tr=<ref>&am=300.00&cu=INR&tn=Order%20<ord>&mode=04","expires_in":90,"status":"pending"}}`)
	}
}

func TestNoteIsCut(t *testing.T) {
	s := serve(t)
	r := s.send("POST", payinPath, `{"amount":300,"customer_phone":"6000000000","order_id":"`+strings.Repeat("a b", 33)+`"}`)
	link, err := url.Parse(r.get(t, "data", "intent_url"))
	if err != nil {
		t.Fatal(err)
	}
	if note := link.Query().Get("tn"); len(note) != 50 || !strings.HasPrefix("Order "+strings.Repeat("a b", 33), note) {
		t.Errorf("note %q", note)
	}
	if strings.Contains(r.body, "+") {
		t.Errorf("a space is not %%20 in %s", r.body)
	}
}

// validation is the answer to one wrong field.
func validation(field string, texts ...string) string {
	all, err := json.Marshal(texts)
	if err != nil {
		panic(err)
	}
	return `{"success":false,"message":"Validation failed","data":null,"errors":{` + quote(field) + `:` + string(all) + `}}`
}

func TestPayoutAnswers(t *testing.T) {
	transaction := func(status, reference string) string {
		return `"data":{"transaction":{"transaction_id":"<txn>","reference_id":` + reference + `,"partner_request_id":"YOUR-UNIQUE-ORDER-ID","status":"` + status + `","amount":5000.00,"charge":10.00,"net_amount":5010.00}}}`
	}
	for _, c := range []struct {
		outcome          wallet.Outcome
		wait             time.Duration
		want             string
		balance, locked  string
		reason, utr, ref string
	}{
		{wallet.OutcomePaid, 5 * time.Second, `{"success":true,"message":"Payout transferred successfully.",` + transaction("success", `"BANKYOUR-UNIQUE-ORDER-ID"`), "4990.00", "0.00", "null", `"432109876543"`, `"BANKYOUR-UNIQUE-ORDER-ID"`},
		{wallet.OutcomeFailed, 5 * time.Second, `{"success":true,"message":"Payout failed. Amount refunded to wallet.",` + transaction("refunded", "null"), "10000.00", "0.00", `"account_closed"`, "null", "null"},
		{"", 20 * time.Millisecond, `{"success":true,"message":"Payout is being processed. You will be notified once settled.",` + transaction("pending", "null"), "4990.00", "5010.00", "null", "null", "null"},
		{"", 0, `{"success":true,"message":"Payout is being processed. You will be notified once settled.",` + transaction("pending", "null"), "4990.00", "5010.00", "null", "null", "null"},
	} {
		t.Run(fmt.Sprintf("%s after %s", c.outcome, c.wait), func(t *testing.T) {
			s := serve(t, func(o *klyropay.Options) { o.GatewayWait = c.wait })
			s.books.bank = func(wallet.InitiatePayout) wallet.Outcome { return c.outcome }
			s.books.fund(merchantA, "10000.00")
			r := s.send("POST", payoutPath, payoutBody)
			golden(t, r, 200, c.want)
			s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":`+c.balance+`,"locked_balance":`+c.locked+`}}`)

			changed, status := "2024-04-30T10:00:01.250000Z", r.get(t, "data", "transaction", "status")
			if status == "pending" {
				changed = "2024-04-30T10:00:00.000000Z"
			}
			single := `{"success":true,"data":{"transaction":{"transaction_id":"<txn>","reference_id":` + c.ref + `,"partner_request_id":"YOUR-UNIQUE-ORDER-ID","status":"` + status + `","amount":5000.00,"charge":10.00,"net_amount":5010.00,"beneficiary_name":"Rahul Sharma","account_no":"XXXXXX7890","ifsc":"SBIN0001234","bank_name":"State Bank of India","utr":` + c.utr + `,"failure_reason":` + c.reason + `,"created_at":"2024-04-30T10:00:00.000000Z","updated_at":"` + changed + `"}}}`
			golden(t, s.send("GET", payoutsPath+"/"+r.get(t, "data", "transaction", "transaction_id"), ""), 200, single)
			golden(t, s.send("GET", payoutsPath+"/request/YOUR-UNIQUE-ORDER-ID", ""), 200, single)
		})
	}
}

// A payout that was cancelled before it was sent, while its caller waited.
func TestPayoutFailedWithoutMoney(t *testing.T) {
	s := serve(t)
	s.books.bank = func(c wallet.InitiatePayout) wallet.Outcome {
		s.books.do(wallet.CancelPayout{Base: wallet.Base{Of: c.Of, At: c.At}})
		return ""
	}
	s.books.fund(merchantA, "10000.00")
	golden(t, s.send("POST", payoutPath, strings.Replace(payoutBody, `,"partner_request_id":"YOUR-UNIQUE-ORDER-ID"`, "", 1)), 200,
		`{"success":true,"message":"Payout failed.","data":{"transaction":{"transaction_id":"<txn>","reference_id":null,"partner_request_id":"<prq>","status":"failed","amount":5000.00,"charge":10.00,"net_amount":5010.00}}}`)
}

func TestPayoutRefusals(t *testing.T) {
	s := serve(t)
	s.send("POST", payoutPath, payoutBody).want(t, 422, failure("Insufficient wallet balance"))
	s.books.fund(merchantA, "5009.99")
	s.send("POST", payoutPath, payoutBody).want(t, 422, failure("Insufficient wallet balance"))
	s.books.fund(merchantA, "0.01")
	if r := s.send("POST", payoutPath, payoutBody); r.status != 200 {
		t.Fatalf("a refusal bound the reference: %d %s", r.status, r.body)
	}
	s.send("POST", payoutPath, payoutBody).want(t, 409, failure("Duplicate request"))
	s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":0.00,"locked_balance":0.00}}`)
}

func TestSixteenCopies(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "100000.00")
	var statuses sync.Map
	var all sync.WaitGroup
	for i := range 16 {
		all.Go(func() { statuses.Store(i, s.send("POST", payoutPath, payoutBody).status) })
	}
	all.Wait()
	counts := map[any]int{}
	statuses.Range(func(_, status any) bool { counts[status]++; return true })
	if counts[200] != 1 || counts[409] != 15 {
		t.Errorf("%v, want one 200 and fifteen 409", counts)
	}
	s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":94990.00,"locked_balance":0.00}}`)
}

func TestPlanSetsBoundsAndPrice(t *testing.T) {
	s := serve(t)
	m := s.books.owners[sha(keyA)]
	m.Plan.Payin.Min, m.Plan.Payin.Max = decimal.NewFromInt(10), decimal.RequireFromString("99.5")
	m.Plan.Payin.GST.Rate = decimal.NewFromInt(18)
	s.books.admit(m, keyA, merchant.Key{})
	pay := func(amount string) reply {
		return s.send("POST", payinPath, `{"amount":`+amount+`,"customer_phone":"9876543210"}`)
	}
	pay("9.99").want(t, 422, validation("amount", "The amount must be at least 10."))
	pay("99.51").want(t, 422, validation("amount", "The amount must be at most 99.5."))
	if r := pay("99.50"); r.status != 201 || r.get(t, "data", "commission") != "1.18" { // 1 % is 1.00, GST 0.18
		t.Errorf("%d %s", r.status, r.body)
	}
}

// What goes into the log: who asked, from where, with which bytes; personal data sealed.
func TestOriginOfCommands(t *testing.T) {
	s := serve(t)
	s.send("POST", payinPath, payinBody, "X-Request-Id: req-1", "Idempotency-Key: K1", "X-Forwarded-For: 127.0.0.1")
	s.books.fund(merchantA, "10000.00")
	s.send("POST", payoutPath, payoutBody)
	o := s.books.origins[0]
	keyID := s.books.apiKeys[sha(keyA)].ID
	if o.Actor != "key:"+keyID || o.Request != "req-1" || o.BodyHash != sha(payinBody) || o.IdempotencyKey != "idem:"+merchantA+":POST "+payinPath+":K1" {
		t.Errorf("origin %+v", o)
	}
	if len(o.Evidence) != 2 || o.Evidence[0].MediaType != "application/json" || string(o.Evidence[0].Body) != payinBody ||
		o.Evidence[1].MediaType != "application/vnd.khata.origin+json" ||
		string(o.Evidence[1].Body) != `{"key_id":"`+keyID+`","client_ip":"127.0.0.1","request_id":"req-1"}` {
		t.Errorf("evidence %q", o.Evidence)
	}
	if o := s.books.origins[2]; o.IdempotencyKey != "" || o.BodyHash != sha(payoutBody) {
		t.Errorf("origin without an Idempotency-Key %+v", o)
	}
	payout := s.books.payments[s.books.order[2]]
	text, err := s.books.UnsealString(t.Context(), s.books.origins[2].Command, payout.Sealed)
	if err != nil || text != `{"name":"Rahul Sharma","account_no":"1234567890","mobile":"9876543210"}` {
		t.Errorf("sealed %q, %v", text, err)
	}
	if payout.AccountLast4 != "7890" || payout.TransferType != "5" {
		t.Errorf("payout %+v", payout)
	}
	payin := s.books.payments[s.books.order[0]]
	if text, err := s.books.UnsealString(t.Context(), o.Command, payin.Sealed); err != nil || text != `{"phone":"9876543210","name":"Rahul Sharma"}` {
		t.Errorf("sealed %q, %v", text, err)
	}
	if want := day.Add(10 * time.Minute); !payin.ExpiresAt.Equal(want) {
		t.Errorf("expires at %s, want %s", payin.ExpiresAt, want)
	}
}

// When the payout is made, an error in waiting for its end is no reason to answer less than that it exists.
func TestWaitingFails(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "10000.00")
	s.books.bank, s.books.awaitFault = nil, errAway
	if r := s.send("POST", payoutPath, payoutBody); r.status != 200 || r.get(t, "data", "transaction", "status") != "pending" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestTryAgain(t *testing.T) {
	for _, fault := range []error{
		executor.ErrBusy, executor.ErrClosed, executor.ErrContended,
		fmt.Errorf("%w: %w", executor.ErrOutcomeUnknown, context.DeadlineExceeded), fmt.Errorf("%w: %w", executor.ErrStore, errAway),
	} {
		s := serve(t)
		s.books.submitFault = fault
		r := s.send("POST", payinPath, payinBody)
		r.want(t, 503, failure("Service temporarily unavailable, please try again"))
		if got := r.header.Get("Retry-After"); got != "1" {
			t.Errorf("%v: Retry-After %q", fault, got)
		}
	}
}

func TestNewRefusesHalfOptions(t *testing.T) {
	if _, err := klyropay.New(klyropay.Ports{}, klyropay.Options{VPA: "a@b", PayeeName: "x"}); err == nil {
		t.Error("options without a gateway were taken")
	}
}
