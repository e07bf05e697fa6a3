package klyropay_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
)

const (
	batchesPath = "/api/v1/services/payout/batches"
	noBatch     = batchesPath + "/bat_zzzzzzzzzzzzzzzz"
	firstBatch  = batchesPath + "/bat_0000000000000001"

	itemOne = `{"mobile_no":"9876543210","beneficiary_name":"Rahul Sharma","account_no":"1234567890","ifsc":"SBIN0001234","bank_name":"State Bank of India","amount":100000.50,"transfer_type":"5","partner_request_id":"S-1"}`
	itemTwo = `{"mobile_no":"9876543211","beneficiary_name":"Asha Verma","account_no":"00123456789","ifsc":"HDFC0000001","bank_name":"HDFC Bank","amount":"5000","transfer_type":"5"}`

	batchBody  = `{"batch_ref":"SALARY-1","items":[` + itemOne + ",\n" + itemTwo + `]}`
	batchLines = itemOne + "\n" + itemTwo + "\n"
	batchSheet = "account_no,mobile_no,amount,beneficiary_name,ifsc,bank_name,transfer_type,partner_request_id\r\n" +
		`1234567890,9876543210,"1,00,000.50",Rahul Sharma,SBIN0001234,State Bank of India,5,S-1` + "\r\n" +
		`00123456789,9876543211,"5,000",Asha Verma,HDFC0000001,"HDFC Bank",5,` + "\r\n"

	ofCSV    = "Content-Type: text/csv"
	ofNDJSON = "Content-Type: application/x-ndjson"
)

// batchData is the answer about the two items, all pending.
func batchData(status string) string {
	return `{"success":true,"data":{"batch_id":"bat_0000000000000001","batch_ref":"SALARY-1","status":"` + status + `","count":2,` +
		`"total_amount":105000.50,"commission":20.00,"net_amount":105020.50,"submitted_by":"key:key_` + sha(keyA)[:16] + `","decided_by":null,"reason":null,` +
		`"mode":"partial","approval":"none","approvals":{"needed":0,"given":0,"by":[]},"on_insufficient_balance":"reject","schedule_at":null,"retry_of":null,"stopped_by":null,` +
		`"created_at":"2024-04-30T10:00:00.000000Z","updated_at":"2024-04-30T10:00:00.000000Z",` +
		`"counts":{"pending":2,"queued":0,"success":0,"refunded":0,"failed":0,"rejected":0,"cancelled":0},` +
		`"sums":{"pending":105000.50,"queued":0.00,"success":0.00,"refunded":0.00,"failed":0.00,"rejected":0.00,"cancelled":0.00},"progress":0}}`
}

// The same content in every format is the same batch: the first one makes it, the others find it.
func TestBatchFormats(t *testing.T) {
	forms := []struct{ name, query, body, kind string }{
		{"JSON", "", batchBody, "Content-Type: application/json; charset=UTF-8"},
		{"JSON with its options behind", "", `{"items":[` + itemOne + "," + itemTwo + `],"mode":"partial","approval":"none","on_insufficient_balance":"reject","schedule_at":null,"batch_ref":"SALARY-1"}`, "Content-Type: application/json"},
		{"CSV", "?batch_ref=SALARY-1", batchSheet, ofCSV + "; header=present; charset=utf-8"},
		{"CSV with a byte order mark", "?batch_ref=SALARY-1&mode=partial&approval=none&on_insufficient_balance=reject&schedule_at=&dry_run=false", "\ufeff" + batchSheet, ofCSV},
		{"NDJSON", "?batch_ref=SALARY-1", batchLines, ofNDJSON},
		{"NDJSON under its other name", "?batch_ref=SALARY-1&mode=partial", batchLines, "Content-Type: application/ndjson"},
	}
	for _, first := range forms {
		t.Run(first.name, func(t *testing.T) {
			s := serve(t)
			s.send("POST", batchesPath+first.query, first.body, first.kind).want(t, 202, batchData("processing"))
			for _, again := range forms {
				s.send("POST", batchesPath+again.query, again.body, again.kind).want(t, 200, batchData("processing"))
			}
			h := s.works.batches[0]
			if len(s.works.batches) != 1 || len(h.paid) != 2 {
				t.Fatalf("%d batches, %d items", len(s.works.batches), len(h.paid))
			}
			one, two := h.paid[0], h.paid[1]
			if one.RequestID != "S-1" || one.Amount.Fixed() != "100000.50" || one.IFSC != "SBIN0001234" || one.BankName != "State Bank of India" || one.TransferType != "5" ||
				one.To.Name != "Rahul Sharma" || one.To.AccountNo != "1234567890" || one.To.Mobile != "9876543210" {
				t.Errorf("item 1 is %+v", one)
			}
			if two.RequestID != "PRQ-42OCP65Y7DIO64DZ" || two.To.AccountNo != "00123456789" {
				t.Errorf("item 2 is %+v", two)
			}
			if r := h.request; r.Plain != goldenDigest || r.Digest != "keyed:"+merchantA+":"+goldenDigest || r.Terms.Approval != batch.NoApproval || r.Merchant.ID != merchantA {
				t.Errorf("submitted as %+v", r)
			}
		})
	}
}

// What was stored under a digest, and the ids that follow from a batch_ref, must never change.
func TestBatchDigestIsStable(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody)
	if got := s.works.batches[0].request.Plain; got != goldenDigest {
		t.Errorf("digest %s", got)
	}
	for _, other := range []string{
		strings.Replace(batchBody, "100000.50", "100000.51", 1), strings.Replace(batchBody, "Asha", "Usha", 1), strings.Replace(batchBody, `"S-1"`, `"S-2"`, 1),
		`{"batch_ref":"SALARY-1","items":[` + itemTwo + "," + itemOne + `]}`, `{"batch_ref":"SALARY-1","items":[` + itemOne + `]}`,
		strings.Replace(batchBody, "9876543211", "9876543212", 1), strings.Replace(batchBody, "HDFC0000001", "HDFC0000002", 1),
	} {
		s.send("POST", batchesPath, other).want(t, 409, failure("Duplicate request"))
	}
	s.send("POST", batchesPath, batchBody, "X-Api-Key: "+keyB)
	if n := len(s.works.batches); n != 2 {
		t.Errorf("%d batches: another merchant's batch_ref is its own", n)
	}
}

// goldenDigest was computed from the description of the digest, by another program.
const goldenDigest = "de3e701972b3de3ca10774e1c9025b1f293479fe0ee009d9713020235900074a"

func TestBatchDryRun(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath+"?dry_run=true", batchBody, idem).want(t, 200,
		`{"success":true,"data":{"dry_run":true,"batch_ref":"SALARY-1","count":2,"total_amount":105000.50,"commission":20.00,"net_amount":105020.50}}`)
	if r := s.send("POST", batchesPath+"?dry_run=true&batch_ref=X", "mobile_no\n1\n", ofCSV); r.status != 422 {
		t.Errorf("a wrong batch was priced: %d %s", r.status, r.body)
	}
	if len(s.works.batches) != 0 || len(s.books.keys) != 0 {
		t.Error("a dry run left something behind")
	}
	s.send("POST", batchesPath, batchBody).want(t, 202, batchData("processing"))
	other := strings.Replace(batchBody, "Rahul", "Rohan", 1)
	s.send("POST", batchesPath+"?dry_run=true", other).want(t, 409, failure("Duplicate request")) // as it would be answered if it were meant
	if r := s.send("POST", batchesPath+"?dry_run=true", batchBody); r.status != 200 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// one is a batch of one item with a field of it changed.
func one(t *testing.T, field, raw string) string {
	return `{"batch_ref":"B","items":[` + with(t, itemOne, field, raw) + `]}`
}

// The rules of an item are those of a single payout, in the same words.
func TestBatchItemRules(t *testing.T) {
	s := serve(t)
	for _, c := range []struct{ field, raw string }{
		{"mobile_no", `"5876543210"`}, {"mobile_no", `""`}, {"beneficiary_name", `" "`}, {"beneficiary_name", quote(strings.Repeat("x", 101))}, {"beneficiary_name", `"a\u0007b"`},
		{"account_no", `"1234567"`}, {"account_no", `""`}, {"ifsc", `"sbin0001234"`}, {"ifsc", `""`}, {"bank_name", `""`}, {"amount", `999.99`}, {"amount", `200000.01`}, {"amount", `0`},
		{"amount", `-5`}, {"transfer_type", `"6"`}, {"transfer_type", `""`}, {"partner_request_id", `"a/b"`}, {"partner_request_id", `"é"`}, {"partner_request_id", quote(strings.Repeat("x", 101))},
	} {
		single := s.send("POST", payoutPath, with(t, payoutBody, c.field, c.raw))
		text := strings.TrimSuffix(strings.TrimPrefix(single.get(t, "errors", c.field, 0), "The "+c.field+" "), ".")
		s.send("POST", batchesPath, one(t, c.field, c.raw)).want(t, 422, `{"success":false,"message":"Validation failed","data":null,"errors":{"items":[`+
			quote("item 1, line 1 ("+c.field+"): "+text)+`]},"problems":[{"index":1,"line":1,"column":null,"field":"`+c.field+`","message":`+quote(text)+`}],"more":0}`)
	}
	if len(s.works.batches) != 0 {
		t.Error("a batch was made")
	}
}

func TestBatchOptions(t *testing.T) {
	s := serve(t)
	const zoned = "must be a time with its zone, such as 2026-04-01T09:30:00+05:30 (in a query, + is written %2B)"
	for _, c := range []struct{ field, value, problem string }{
		{"mode", "both", `must be "partial" or "atomic"`}, {"mode", "Atomic", `must be "partial" or "atomic"`},
		{"approval", "two", `must be "none" or "required"`}, {"on_insufficient_balance", "wait", `must be "reject" or "queue"`},
		{"schedule_at", "tomorrow", zoned}, {"schedule_at", "2024-05-01T09:30:00", zoned}, {"schedule_at", "2024-05-01", zoned},
	} {
		text := quote("The " + c.field + " " + c.problem + ".")
		s.send("POST", batchesPath, `{"batch_ref":"B",`+quote(c.field)+":"+quote(c.value)+`,"items":[`+itemOne+`]}`).want(t, 422,
			`{"success":false,"message":"Validation failed","data":null,"errors":{"`+c.field+`":[`+text+`]},"problems":[],"more":0}`)
		query := c.field + "=" + c.value
		s.send("POST", batchesPath+"?batch_ref=B&"+query, batchLines, ofNDJSON).want(t, 422, validation(c.field, "The "+c.field+" "+c.problem+"."))
		s.send("POST", batchesPath+"?"+query, batchBody).want(t, 422, validation(c.field, "The "+c.field+" belongs into the body."))
	}
	s.send("POST", batchesPath, `{"items":[`+itemOne+`]}`).want(t, 422,
		`{"success":false,"message":"Validation failed","data":null,"errors":{"batch_ref":["The batch_ref is required."]},"problems":[],"more":0}`)
	s.send("POST", batchesPath, batchSheet, ofCSV).want(t, 422, validation("batch_ref", "The batch_ref is required."))
	s.send("POST", batchesPath+"?batch_ref=a%2Fb", batchSheet, ofCSV).want(t, 422, validation("batch_ref", "The batch_ref must be printable ASCII without a slash."))
	s.send("POST", batchesPath+"?batch_ref=a&batch_ref=b", batchSheet, ofCSV).want(t, 422,
		`{"success":false,"message":"Validation failed","data":null,"errors":{"batch_ref":["The batch_ref must be given once."]}}`)
	s.send("POST", batchesPath+"?dry_run=yes", batchBody).want(t, 422, validation("dry_run", `The dry_run must be "true" or "false".`))
	for _, sent := range []struct{ body, kind string }{{batchBody, "Content-Type: application/json"}, {batchSheet, ofCSV}, {batchLines, ofNDJSON}} { // mistyped, and not passed over
		option := "?"
		if sent.body != batchBody {
			option = "?batch_ref=B&"
		}
		s.send("POST", batchesPath+option+"dry-run=true&shedule_at=2099-01-01", sent.body, sent.kind).want(t, 422, `{"success":false,"message":"Validation failed","data":null,`+
			`"errors":{"dry-run":["The dry-run is not a parameter of a batch."],"shedule_at":["The shedule_at is not a parameter of a batch."]}}`)
	}
	s.send("POST", batchesPath+"?%zz", batchBody).want(t, 400, failure("Malformed query string"))
	s.send("POST", batchesPath, `{"batch_ref":"B","mode":"atomic","items":[`).want(t, 400, failure("Malformed JSON, line 1"))
	s.send("POST", batchesPath, `{"batch_ref":"","mode":"quick","items":[`+itemOne+`]}`).want(t, 422, // the reader's own
		`{"success":false,"message":"Validation failed","data":null,"errors":{"batch_ref":["The batch_ref is required."],"mode":["The mode is not known."]},"problems":[{"index":null,"line":1,"column":null,"field":"mode","message":"is not known"}],"more":0}`)
	s.send("POST", batchesPath, `{"batch_ref":"","items":[]}`).want(t, 422,
		`{"success":false,"message":"Validation failed","data":null,"errors":{"batch_ref":["The batch_ref is required."],"items":["there is no item in the batch"]},"problems":[{"index":null,"line":null,"column":null,"field":null,"message":"there is no item in the batch"}],"more":0}`)
}

// Every problem has its place; a hundred are told, and how many more there are.
func TestBatchProblems(t *testing.T) {
	s := serve(t)
	sheet := csvHeader + "\n" +
		"9876543210,A,1234567890,SBIN0001234,SBI,5000,5,X\n" +
		"9876543210,B,123,SBIN0001234,SBI,abc,5,Y\n" +
		"9876543210,\"C\nC\",1234567890,SBIN0001234,SBI,5000,5,\n" +
		"9876543210,D,1234567890,SBIN0001234,SBI,5000,5,X\n"
	s.send("POST", batchesPath+"?batch_ref=B", sheet, ofCSV).want(t, 422, `{"success":false,"message":"Validation failed","data":null,"errors":{"items":[`+
		`"item 2, line 3, column 6 (amount): must be a plain decimal number","item 2, line 3, column 3 (account_no): must be 8 to 20 digits",`+
		`"item 3, line 4, column 2 (beneficiary_name): must not contain control characters",`+
		`"item 4, line 6, column 8 (partner_request_id): is that of item 1 (line 2), too"]},"problems":[`+
		`{"index":2,"line":3,"column":6,"field":"amount","message":"must be a plain decimal number"},{"index":2,"line":3,"column":3,"field":"account_no","message":"must be 8 to 20 digits"},`+
		`{"index":3,"line":4,"column":2,"field":"beneficiary_name","message":"must not contain control characters"},`+
		`{"index":4,"line":6,"column":8,"field":"partner_request_id","message":"is that of item 1 (line 2), too"}],"more":0}`)
	r := s.send("POST", batchesPath+"?batch_ref=B", strings.Repeat(with(t, itemOne, "account_no", `"1"`)+"\n", 70), ofNDJSON) // the id 69 times again
	if r.status != 422 || r.get(t, "more") != "39" || strings.Count(r.body, `"index"`) != 100 {
		t.Errorf("%d, %s more: %.500s", r.status, r.get(t, "more"), r.body)
	}
	if len(s.works.batches) != 0 {
		t.Error("a batch was made")
	}
}

// lines is a body that is made as it is read.
func lines(n int) io.Reader {
	r, w := io.Pipe()
	go func() {
		for i := range n {
			if _, err := fmt.Fprintf(w, `{"mobile_no":"9876543210","beneficiary_name":"A","account_no":"%014d","ifsc":"SBIN0001234","bank_name":"B","amount":1000,"transfer_type":"5","partner_request_id":"R-%d"}`+"\n", i, i); err != nil {
				break
			}
		}
		w.Close()
	}()
	return r
}

func TestBatchOfManyItems(t *testing.T) {
	s := serve(t)
	r := s.sendType("POST", batchesPath+"?batch_ref=B&dry_run=true", lines(100_001), ofNDJSON)
	if r.status != 422 || r.get(t, "problems", 0, "message") != "a batch has at most 100000 items" || r.get(t, "problems", 0, "index") != "100001" {
		t.Errorf("100001 items: %d %s", r.status, r.body)
	}
	r = s.sendType("POST", batchesPath+"?batch_ref=B", lines(20_000), ofNDJSON)
	if r.status != 202 || r.get(t, "data", "count") != "20000" || r.get(t, "data", "total_amount") != "20000000.00" || r.get(t, "data", "commission") != "200000.00" {
		t.Fatalf("20000 items: %d %s", r.status, r.body)
	}
	for i, p := range s.works.batches[0].paid {
		if p.RequestID != fmt.Sprintf("R-%d", i) || p.To.AccountNo != fmt.Sprintf("%014d", i) {
			t.Fatalf("item %d is %+v", i+1, p)
		}
	}
}

func TestBatchBodies(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.MaxBatchBody = int64(len(batchBody)) })
	s.send("POST", batchesPath, batchBody).want(t, 202, batchData("processing"))
	large := failure("Request body is too large")
	s.send("POST", batchesPath, batchBody+" ").want(t, 413, large)
	s.sendType("POST", batchesPath, io.MultiReader(strings.NewReader(batchBody), strings.NewReader("  ")), "Content-Type: application/json").want(t, 413, large) // chunked
	kind := failure("Content-Type must be application/json, text/csv or application/x-ndjson")
	for _, h := range []string{"", " text/plain", " application/json; charset=latin1", " application/json; header=present", " text/csv; header=absent", " application/jsonl; x", " multipart/form-data"} {
		s.send("POST", batchesPath, batchBody, "Content-Type:"+h).want(t, 415, kind)
	}
	s.send("POST", batchesPath, batchBody, "Content-Encoding: gzip").want(t, 415, kind)
	head := "POST " + batchesPath + " HTTP/1.1\nHost: x\nX-Api-Key: " + keyA + "\nContent-Type: application/json\nConnection: half\nContent-Length: 400\n"
	s.raw(head+"\n{").want(t, 400, failure("Request body was cut off"))
	s.raw(head+"Idempotency-Key: a\nIdempotency-Key: b\n\n{").want(t, 422, validation("Idempotency-Key", "The Idempotency-Key must be 1 to 255 printable ASCII characters, given once."))
}

// A client that goes away in the middle of its upload leaves no batch and no file, and what it had is free for others.
func TestBatchOfAClientThatGoesAway(t *testing.T) {
	dir := t.TempDir()
	s := serve(t, func(o *klyropay.Options) { o.TempDir = dir })
	address, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		conn, err := net.Dial("tcp", address.Host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST %s?batch_ref=B HTTP/1.1\r\nHost: x\r\nX-Api-Key: %s\r\nContent-Type: application/x-ndjson\r\nContent-Length: 100000\r\n\r\n%s", batchesPath, keyA, batchLines)
		conn.Close()
	}
	for deadline := time.Now().Add(10 * time.Second); strings.Count(s.logs.String(), `"msg":"request"`) < 3 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if n := strings.Count(s.logs.String(), `"msg":"request"`); n != 3 {
		t.Fatalf("%d requests ended", n)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 || len(s.works.batches) > 0 {
		t.Errorf("left: %v, %d batches, %v", left, len(s.works.batches), err)
	}
	s.send("POST", batchesPath, batchBody).want(t, 202, batchData("processing"))
}

// Two batches of a merchant are taken at the same time. A third one waits for its turn, as long as there may be one.
func TestBatchesAtTheSameTime(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.SubmitWithin = 20 * time.Millisecond })
	block := make(chan struct{})
	s.works.enters, s.works.block = make(chan struct{}, 2), block
	answers := make(chan reply, 2)
	for i := range 2 {
		go func() {
			answers <- s.send("POST", batchesPath, strings.Replace(batchBody, "SALARY-1", fmt.Sprint("B-", i), 1))
		}()
		<-s.works.enters
	}
	third := s.send("POST", batchesPath, batchBody)
	third.want(t, 429, failure("Rate limit exceeded"))
	if third.header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if r := s.send("POST", batchesPath+"?dry_run=true", batchBody, "X-Api-Key: "+keyB); r.status != 200 {
		t.Errorf("another merchant's: %d %s", r.status, r.body)
	}
	close(block)
	for range 2 {
		if r := <-answers; r.status != 202 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	if r := s.send("POST", batchesPath, batchBody); r.status != 202 {
		t.Errorf("afterwards: %d %s", r.status, r.body)
	}
}

func TestSixteenCopiesOfABatch(t *testing.T) {
	s := serve(t)
	var statuses [16]int
	var all sync.WaitGroup
	for i := range statuses {
		all.Go(func() {
			for statuses[i] == 0 || statuses[i] == http.StatusTooManyRequests { // one merchant has eight of those who wait to be read
				statuses[i] = s.send("POST", batchesPath, batchBody).status
			}
		})
	}
	all.Wait()
	slices.Sort(statuses[:])
	if statuses[0] != 200 || statuses[14] != 200 || statuses[15] != 202 || len(s.works.batches) != 1 {
		t.Errorf("%v, %d batches", statuses, len(s.works.batches))
	}
}

func TestBatchIdempotencyKey(t *testing.T) {
	s := serve(t)
	first := s.send("POST", batchesPath, batchBody, idem)
	first.want(t, 202, batchData("processing"))
	again := s.send("POST", batchesPath+"?batch_ref=SALARY-1", batchLines, idem, ofNDJSON)
	again.want(t, 200, first.body)
	if isReplay(first) || !isReplay(again) {
		t.Error("the repeat does not say that it is one")
	}
	reused := failure("Idempotency-Key was used with a different request")
	s.send("POST", batchesPath, strings.Replace(batchBody, "SALARY-1", "SALARY-2", 1), idem).want(t, 422, reused) // a name for each attempt
	s.send("POST", batchesPath, strings.Replace(batchBody, "Asha", "Usha", 1), idem).want(t, 422, reused)
	s.send("POST", batchesPath, strings.Replace(batchBody, "Asha", "Usha", 1), "Idempotency-Key: other").want(t, 409, failure("Duplicate request"))
	if len(s.works.batches) != 1 {
		t.Errorf("%d batches", len(s.works.batches))
	}
	s.books.logFault = errAway
	s.send("POST", batchesPath, batchBody, idem).want(t, 503, failure("Service temporarily unavailable, please try again"))
}

func TestBatchWaits(t *testing.T) {
	finish := func(n int, h *heldBatch) {
		if n == 3 {
			h.items[0].Status, h.items[1].Status, h.state.Status = "success", "rejected", batch.Completed
		}
	}
	s := serve(t)
	s.works.look = finish
	r := s.send("POST", batchesPath, batchBody, `Prefer: respond-async, Wait="600"; x`)
	if r.status != 202 || r.get(t, "data", "status") != "completed" || r.get(t, "data", "progress") != "100" || r.get(t, "data", "sums", "rejected") != "5000.00" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if got := r.header.Get("Preference-Applied"); got != "wait=30" {
		t.Errorf("Preference-Applied %q", got)
	}
	s = serve(t)
	r = s.send("POST", batchesPath, batchBody, "Prefer: wait=1")
	r.want(t, 202, batchData("processing"))
	if got := r.header.Get("Preference-Applied"); got != "wait=1" {
		t.Errorf("Preference-Applied %q", got)
	}
	for _, h := range []string{"wait=", "wait=-1", "wait=soon", "wait", "return=minimal", "wait=0"} {
		if r := s.send("POST", batchesPath, batchBody, "Prefer: "+h); r.status != 200 || r.header.Get("Preference-Applied") != "" {
			t.Errorf("Prefer: %s was answered %d %v", h, r.status, r.header)
		}
	}
	s = serve(t)
	s.works.viewFault = errAway // the batch exists all the same
	s.send("POST", batchesPath, batchBody, "Prefer: wait=9").want(t, 202, batchData("processing"))
	s.send("POST", batchesPath, batchBody, "Prefer: wait=9").want(t, 503, failure("Service temporarily unavailable, please try again"))
}

// Waiting ends with the client, and the batch stays.
func TestBatchWaitEndsWithTheClient(t *testing.T) {
	s := serve(t)
	ctx, cancel := context.WithCancel(t.Context())
	s.works.look = func(n int, _ *heldBatch) {
		if n == 2 {
			cancel()
		}
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+batchesPath, strings.NewReader(batchBody))
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"X-Api-Key": {keyA}, "Content-Type": {"application/json"}, "Prefer": {"wait=30"}}
	if res, err := http.DefaultClient.Do(r); err == nil {
		res.Body.Close()
		t.Fatal("it was answered")
	}
	for deadline := time.Now().Add(20 * time.Second); !strings.Contains(s.logs.String(), `"msg":"request"`) && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond)
	}
	if !strings.Contains(s.logs.String(), `"status":202`) || len(s.works.batches) != 1 {
		t.Errorf("%d batches; %s", len(s.works.batches), s.logs)
	}
}

func TestBatchFaults(t *testing.T) {
	away := failure("Service temporarily unavailable, please try again")
	s := serve(t, func(o *klyropay.Options) { o.TempDir += "/nowhere" })
	s.send("POST", batchesPath, batchBody).want(t, 503, away)
	s = serve(t)
	s.works.submitFault = errAway
	s.send("POST", batchesPath, batchBody).want(t, 503, away)
	s.works.submitFault = domain.Errorf(domain.Stale, "begun under another plan")
	s.send("POST", batchesPath, batchBody).want(t, 409, failure("Batch never became whole, nothing of it is paid: use another batch_ref"))
	s.works.submitFault = nil
	s.books.sealFault = errAway
	s.send("POST", batchesPath, batchBody).want(t, 503, away)
	if len(s.works.batches) != 0 {
		t.Error("a batch was made")
	}
	for _, c := range []struct {
		key    string
		status int
	}{{keyCheck, 403}, {keyNone, 403}, {keyStop, 403}, {keyFar, 403}, {"x", 401}} {
		if r := s.send("POST", batchesPath, batchBody, "X-Api-Key: "+c.key); r.status != c.status {
			t.Errorf("%s: %d %s", c.key, r.status, r.body)
		}
	}
}

// What the log keeps of a submission: who and from where, and no body.
func TestBatchOrigin(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody, "X-Request-Id: req-1", idem)
	keyID := s.books.apiKeys[sha(keyA)].ID
	o := s.works.origins[0]
	if o.Actor != "key:"+keyID || o.Request != "req-1" || o.IdempotencyKey != "idem:"+merchantA+":POST "+batchesPath+":K-1 ~" || len(o.BodyHash) != 64 {
		t.Errorf("origin %+v", o)
	}
	if len(o.Evidence) != 1 || !bytes.Equal(o.Evidence[0].Body, []byte(`{"key_id":"`+keyID+`","client_ip":"127.0.0.1","request_id":"req-1"}`)) {
		t.Errorf("evidence %q", o.Evidence)
	}
	for _, secret := range []string{"Rahul", "1234567890", "9876543210", "SALARY-1", "S-1"} {
		if strings.Contains(s.logs.String(), secret) {
			t.Errorf("%q is in the logs", secret)
		}
	}
}
