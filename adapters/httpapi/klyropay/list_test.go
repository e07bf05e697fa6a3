package klyropay_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain/wallet"
)

func TestPayinList(t *testing.T) {
	s := serve(t)
	empty := `{"success":true,"data":{"transactions":[],"page":1,"limit":15,"total":0,"pages":0,"next_cursor":null}}`
	s.send("GET", payinsPath, "").want(t, 200, empty)
	for i := range 17 {
		s.send("POST", payinPath, fmt.Sprintf(`{"order_id":"O-%02d","amount":%d,"customer_phone":"9876543210"}`, i, 300+i))
		s.advance(time.Second)
	}
	s.send("POST", payinPath, payinBody, "X-Api-Key: "+keyB)

	r := s.send("GET", payinsPath+"?limit=2", "")
	golden(t, r, 200, `{"success":true,"data":{"transactions":[`+
		`{"transaction_id":"<txn>","order_id":"O-16","txn_ref":"<ref>","amount":316.00,"commission":3.16,"utr":null,"status":"pending","created_at":"2024-04-30T10:00:16.000000Z"},`+
		`{"transaction_id":"<txn>","order_id":"O-15","txn_ref":"<ref>","amount":315.00,"commission":3.15,"utr":null,"status":"pending","created_at":"2024-04-30T10:00:15.000000Z"}`+
		`],"page":1,"limit":2,"total":17,"pages":9,"next_cursor":"2"}}`)
	for _, c := range []struct {
		query, first string
		n            int
		tail         string
	}{
		{"", "O-16", 15, `"page":1,"limit":15,"total":17,"pages":2,"next_cursor":"15"}}`},
		{"?page=2", "O-01", 2, `"page":2,"limit":15,"total":17,"pages":2,"next_cursor":null}}`},
		{"?page=3", "", 0, `"page":3,"limit":15,"total":17,"pages":2,"next_cursor":null}}`},
		{"?page=1000000000&limit=100", "", 0, `"page":1000000000,"limit":100,"total":17,"pages":1,"next_cursor":null}}`},
		{"?limit=100&page=", "O-16", 17, `"page":1,"limit":100,"total":17,"pages":1,"next_cursor":null}}`},
		{"?limit=2&cursor=2", "O-14", 2, `"page":1,"limit":2,"total":17,"pages":9,"next_cursor":"4"}}`},
		{"?status=success&colour=red", "O-16", 15, `"pages":2,"next_cursor":"15"}}`}, // the payin list has no filters
	} {
		r := s.send("GET", payinsPath+c.query, "")
		if n := strings.Count(r.body, `"transaction_id"`); r.status != 200 || n != c.n || !strings.HasSuffix(r.body, c.tail) {
			t.Errorf("%q: %d, %d items, %s", c.query, r.status, n, r.body)
		}
		if c.first != "" && r.get(t, "data", "transactions", 0, "order_id") != c.first {
			t.Errorf("%q begins with %s", c.query, r.body)
		}
	}
}

func TestPayoutFilters(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "100000.00")
	s.books.bank = func(c wallet.InitiatePayout) wallet.Outcome {
		if strings.HasPrefix(c.RequestID, "bad") {
			return wallet.OutcomeFailed
		}
		return wallet.OutcomePaid
	}
	pay := func(at, id string) {
		moment, err := time.Parse(time.RFC3339Nano, at)
		if err != nil {
			t.Fatal(err)
		}
		s.mu.Lock()
		s.now = moment
		s.mu.Unlock()
		if r := s.send("POST", payoutPath, with(t, payoutBody, "partner_request_id", quote(id))); r.status != 200 {
			t.Fatal(r.body)
		}
	}
	pay("2024-04-29T18:29:59.999999Z", "a") // the last microsecond of 29 April in India
	pay("2024-04-29T18:30:00Z", "b")        // the first of 30 April
	pay("2024-04-30T18:29:59.999999Z", "bad c")
	pay("2024-04-30T18:30:00Z", "d")
	for query, want := range map[string]string{
		"":                     "d,bad c,b,a",
		"from_date=2024-04-30": "d,bad c,b",
		"to_date=2024-04-30":   "bad c,b,a",
		"from_date=2024-04-30&to_date=2024-04-30": "bad c,b",
		"from_date=2024-05-02&to_date=2024-05-03": "",
		"status=success":  "d,b,a",
		"status=refunded": "bad c",
		"status=pending":  "",
		"status=failed":   "",
		"status=success&from_date=2024-04-30&limit=1":  "d",
		"status=&from_date=&to_date=&page=&limit=":     "d,bad c,b,a",
		"status=success&from_date=2024-04-30&cursor=1": "b",
	} {
		r := s.send("GET", payoutsPath+"?"+query, "")
		var got []string
		for i := range strings.Count(r.body, `"transaction_id"`) {
			got = append(got, r.get(t, "data", "transactions", i, "partner_request_id"))
		}
		if strings.Join(got, ",") != want {
			t.Errorf("%q: %v, want %s", query, got, want)
		}
	}
	utc := serve(t, func(o *klyropay.Options) { o.Zone = time.UTC })
	utc.books.wallets, utc.books.payments, utc.books.order = s.books.wallets, s.books.payments, s.books.order
	if r := utc.send("GET", payoutsPath+"?from_date=2024-04-30", ""); strings.Count(r.body, `"transaction_id"`) != 2 {
		t.Errorf("days in another zone: %s", r.body)
	}
}

func TestListProblems(t *testing.T) {
	s := serve(t)
	for query, want := range map[string]string{
		"limit=101":                    validation("limit", "The limit must not be more than 100."),
		"limit=0":                      validation("limit", "The limit must be at least 1."),
		"limit=-1":                     validation("limit", "The limit must be a whole number."),
		"limit=%2B5":                   validation("limit", "The limit must be a whole number."),
		"limit=5.0":                    validation("limit", "The limit must be a whole number."),
		"limit=ten":                    validation("limit", "The limit must be a whole number."),
		"limit=5&limit=6":              validation("limit", "The limit must be given once."),
		"page=0":                       validation("page", "The page must be at least 1."),
		"page=99999999999999999999":    validation("page", "The page must not be more than 1000000000."),
		"status=expired":               validation("status", "The status must be success, pending, failed or refunded."),
		"status=SUCCESS":               validation("status", "The status must be success, pending, failed or refunded."),
		"from_date=30-04-2024":         validation("from_date", "The from_date must be a date of the form YYYY-MM-DD."),
		"from_date=2024-4-30":          validation("from_date", "The from_date must be a date of the form YYYY-MM-DD."),
		"from_date=2024-02-30":         validation("from_date", "The from_date must be a date of the form YYYY-MM-DD."),
		"to_date=2024-04-30T00:00:00Z": validation("to_date", "The to_date must be a date of the form YYYY-MM-DD."),
		"from_date=2024-05-01&to_date=2024-04-30": validation("to_date", "The to_date must not be before from_date."),
		"cursor=nonsense":                         validation("cursor", "The cursor is not one that was given out."),
		"cursor=%00":                              validation("cursor", "The cursor is not one that was given out."),
		"cursor=%ff":                              validation("cursor", "The cursor is not one that was given out."),
		"cursor=" + url.QueryEscape(strings.Repeat("c", 401)): validation("cursor", "The cursor is not one that was given out."),
		"status=x&limit=y": `{"success":false,"message":"Validation failed","data":null,"errors":{"status":["The status must be success, pending, failed or refunded."],"limit":["The limit must be a whole number."]}}`,
	} {
		s.send("GET", payoutsPath+"?"+query, "").want(t, 422, want)
		if strings.HasPrefix(query, "limit") || strings.HasPrefix(query, "page") || strings.HasPrefix(query, "cursor") {
			s.send("GET", payinsPath+"?"+query, "").want(t, 422, want)
		}
	}
	for _, query := range []string{"a=%zz", "a;b=1"} {
		s.send("GET", payoutsPath+"?"+query, "").want(t, 400, failure("Malformed query string"))
	}
}

// Ids in paths are percent-decoded once, whatever they hold.
func TestIDsInPaths(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "1000000.00")
	for _, id := range []string{"A B", "a?b", "100%", "%41", "a#b", "a&b=c", "..", ".", "a;b", "x+y", `q"'\`, "{order_id}", "~"} {
		s.send("POST", payinPath, with(t, payinBody, "order_id", quote(id)))
		s.send("POST", payoutPath, with(t, payoutBody, "partner_request_id", quote(id)))
		escaped := url.PathEscape(id)
		if strings.Trim(id, ".") == "" {
			escaped = strings.ReplaceAll(id, ".", "%2E")
		}
		if r := s.send("GET", "/api/v1/payin/order/"+escaped, ""); r.status != 200 || r.get(t, "data", "order_id") != id {
			t.Errorf("payin %q: %d %s", id, r.status, r.body)
		}
		if r := s.send("GET", payoutsPath+"/request/"+escaped, ""); r.status != 200 || r.get(t, "data", "transaction", "partner_request_id") != id {
			t.Errorf("payout %q: %d %s", id, r.status, r.body)
		}
	}
}

func TestOnlyOnesOwn(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "10000.00")
	payin := s.send("POST", payinPath, payinBody)
	payout := s.send("POST", payoutPath, payoutBody).get(t, "data", "transaction", "transaction_id")
	other := "X-Api-Key: " + keyB
	missing := failure("Transaction not found")
	for _, path := range []string{
		"/api/v1/payin/status/" + payin.get(t, "data", "txn_ref"), "/api/v1/payin/order/YOUR-ORDER-001",
		payoutsPath + "/" + payout, payoutsPath + "/request/YOUR-UNIQUE-ORDER-ID",
	} {
		if r := s.send("GET", path, ""); r.status != 200 {
			t.Errorf("%s: %d", path, r.status)
		}
		s.send("GET", path, "", other).want(t, 404, missing)
	}
	for _, path := range []string{
		"/api/v1/payin/status/PAYIN-REF-XXXXXXXXXX", "/api/v1/payin/status/" + payin.get(t, "data", "transaction_id"),
		"/api/v1/payin/order/nothing", "/api/v1/payin/order/a%2Fb", "/api/v1/payin/order/%00", "/api/v1/payin/order/%ff",
		"/api/v1/payin/order/" + strings.Repeat("x", 2000), payoutsPath + "/txn_0000000000000000",
		payoutsPath + "/" + payin.get(t, "data", "transaction_id"), payoutsPath + "/request/nothing",
	} {
		s.send("GET", path, "").want(t, 404, missing)
	}
	s.send("GET", payinsPath, "", other).want(t, 200, `{"success":true,"data":{"transactions":[],"page":1,"limit":15,"total":0,"pages":0,"next_cursor":null}}`)
	s.send("GET", balancePath, "", other).want(t, 200, `{"success":true,"data":{"balance":0.00,"locked_balance":0.00}}`)
}

// What was erased is null; the rest of the payout stays readable.
func TestErasedBeneficiary(t *testing.T) {
	s := serve(t)
	s.books.fund(merchantA, "10000.00")
	s.send("POST", payoutPath, with(t, payoutBody, "account_no", `"12345678901234567890"`))
	path := payoutsPath + "/request/YOUR-UNIQUE-ORDER-ID"
	if got := s.send("GET", path, "").get(t, "data", "transaction", "account_no"); got != "XXXXXXXXXXXXXXXX7890" {
		t.Errorf("masked %s", got)
	}
	payout := s.books.payments[s.books.order[1]]
	s.books.erased[payout.SealID] = true
	for _, p := range []string{path, payoutsPath} {
		if r := s.send("GET", p, ""); !strings.Contains(r.body, `"beneficiary_name":null,"account_no":"XXXXXX7890","ifsc":"SBIN0001234"`) {
			t.Errorf("%s", r.body)
		}
	}
	if strings.Contains(s.logs.String(), "cannot be read") {
		t.Error("an erasure was logged as a fault")
	}
	s.books.erased = map[string]bool{}
	for _, damage := range []func(){
		func() { payout.Sealed = "AAAA" },
		func() { payout.SealID = "no uuid" },
	} {
		damage()
		if r := s.send("GET", path, ""); r.status != 200 || !strings.Contains(r.body, `"beneficiary_name":null,"account_no":"XXXXXX7890"`) {
			t.Errorf("damaged: %d %s", r.status, r.body)
		}
	}
	if n := strings.Count(s.logs.String(), "the sealed data of a payout cannot be read"); n != 2 {
		t.Errorf("damage was logged %d times", n)
	}
}

func TestBalanceFollowsPayins(t *testing.T) {
	s := serve(t)
	r := s.send("POST", payinPath, payinBody)
	of := s.books.payments[r.get(t, "data", "transaction_id")].Of
	amount := s.books.payments[of.Payment].Amount
	s.books.do(wallet.ReportPayment{Base: wallet.Base{Of: of, At: day.Add(time.Minute)}, Gateway: "sandbox", PaymentID: "p1", Amount: amount, UTR: "407241812279"})
	s.send("GET", balancePath, "").want(t, 200, `{"success":true,"data":{"balance":990.00,"locked_balance":0.00}}`)
	golden(t, s.send("GET", "/api/v1/payin/order/YOUR-ORDER-001", ""), 200,
		`{"success":true,"data":{"transaction_id":"<txn>","order_id":"YOUR-ORDER-001","txn_ref":"<ref>","amount":1000.00,"commission":10.00,"utr":"407241812279","status":"success","created_at":"2024-04-30T10:00:00.000000Z"}}`)
}
