package klyropay_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/batch"
)

// threeBatches are one of two items and one of each of two merchants more.
func threeBatches(s *bench) {
	s.send("POST", batchesPath, batchBody)
	s.send("POST", batchesPath, strings.Replace(batchBody, "SALARY-1", "SALARY-2", 1))
	s.send("POST", batchesPath, batchBody, "X-Api-Key: "+keyB)
}

// manyItems is a batch whose every tenth item failed.
func manyItems(s *bench, n int) *heldBatch {
	s.t.Helper()
	if r := s.sendType("POST", batchesPath+"?batch_ref=MANY", lines(n), ofNDJSON); r.status != 202 {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	h := s.works.batches[0]
	for i := 10; i <= n; i += 10 {
		s.works.end(h, i, "failed", "", "account_closed")
	}
	return h
}

func TestBatchList(t *testing.T) {
	s := serve(t)
	s.send("GET", batchesPath, "").want(t, 200, `{"success":true,"data":{"batches":[],"limit":15,"next_cursor":null}}`)
	threeBatches(s)
	summary := func(id, ref string) string {
		d := strings.Replace(strings.TrimPrefix(batchData("processing"), `{"success":true,"data":`), "bat_0000000000000001", id, 1)
		return strings.Replace(d[:strings.Index(d, `,"counts"`)], "SALARY-1", ref, 1) + "}"
	}
	one, two := summary("bat_0000000000000001", "SALARY-1"), summary("bat_0000000000000002", "SALARY-2")
	s.send("GET", batchesPath, "").want(t, 200, `{"success":true,"data":{"batches":[`+two+","+one+`],"limit":15,"next_cursor":null}}`)
	s.send("GET", batchesPath+"?limit=1", "").want(t, 200, `{"success":true,"data":{"batches":[`+two+`],"limit":1,"next_cursor":"bat_0000000000000002"}}`)
	s.send("GET", batchesPath+"?limit=1&cursor=bat_0000000000000002", "").want(t, 200, `{"success":true,"data":{"batches":[`+one+`],"limit":1,"next_cursor":null}}`)
	s.send("GET", batchesPath+"?batch_ref=SALARY-1", "").want(t, 200, `{"success":true,"data":{"batches":[`+one+`],"limit":15,"next_cursor":null}}`)
	for _, none := range []string{"?batch_ref=SALARY-3", "?batch_ref=a%2Fb", "?batch_ref=SALARY-1&cursor=bat_0000000000000001", "?cursor=bat_0000000000000001"} {
		s.send("GET", batchesPath+none, "").want(t, 200, `{"success":true,"data":{"batches":[],"limit":15,"next_cursor":null}}`)
	}
	for _, cursor := range []string{"x", "bat_", "bat_000000000000000%00", "bat_0000000000000003", "bat_ZZZZZZZZZZZZZZZZ"} { // the third is another merchant's
		s.send("GET", batchesPath+"?cursor="+cursor, "").want(t, 422, validation("cursor", "The cursor is not one that was given out."))
	}
	s.send("GET", batchesPath+"?limit=101", "").want(t, 422, validation("limit", "The limit must not be more than 100."))
	s.send("GET", batchesPath+"?%zz", "").want(t, 400, failure("Malformed query string"))
}

func TestSingleBatch(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody)
	h := s.works.batches[0]
	h.state.Status = batch.Receiving
	s.send("GET", firstBatch, "").want(t, 200, batchData("processing"))
	h.state.Status = batch.Processing
	s.works.end(h, 1, "success", "432109876543", "")
	r := s.send("GET", firstBatch, "")
	if r.get(t, "data", "progress") != "50" || r.get(t, "data", "counts", "success") != "1" || r.get(t, "data", "sums", "success") != "100000.50" || r.get(t, "data", "sums", "pending") != "5000.00" {
		t.Errorf("%s", r.body)
	}
	unknown := failure("Batch not found")
	for _, path := range []string{noBatch, batchesPath + "/x", batchesPath + "/bat_000000000000000%2F", batchesPath + "/bat_%00000000000000000"} {
		s.send("GET", path, "").want(t, 404, unknown)
	}
	for _, of := range []string{"", "/items", "/results"} {
		s.send("GET", firstBatch+of, "", "X-Api-Key: "+keyB).want(t, 404, unknown)
	}
	s.send("POST", firstBatch+"/cancel", `{"reason":"x"}`, "X-Api-Key: "+keyB).want(t, 404, unknown)
	if r := s.send("GET", firstBatch, "", "X-Api-Key: "+keyMaker); r.status != 200 {
		t.Errorf("a maker's look: %d", r.status)
	}
}

func TestBatchPathsAndMethods(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody)
	for path, allow := range map[string]string{
		batchesPath: "GET, HEAD, OPTIONS, POST", batchesPath + "/template": "GET, HEAD, OPTIONS", firstBatch: "GET, HEAD, OPTIONS",
		firstBatch + "/items": "GET, HEAD, OPTIONS", firstBatch + "/results": "GET, HEAD, OPTIONS", firstBatch + "/cancel": "OPTIONS, POST",
		firstBatch + "/approve": "OPTIONS, POST", firstBatch + "/reject": "OPTIONS, POST", firstBatch + "/retry-failed": "OPTIONS, POST",
	} {
		r := s.send("DELETE", path, "")
		if r.want(t, 405, failure("Method not allowed")); r.header.Get("Allow") != allow {
			t.Errorf("%s: Allow %q", path, r.header.Get("Allow"))
		}
		if allow == "OPTIONS, POST" {
			continue
		}
		get, head := s.send("GET", path, ""), s.send("HEAD", path, "")
		if head.status != 200 || head.body != "" || head.header.Get("Content-Type") != get.header.Get("Content-Type") {
			t.Errorf("HEAD %s: %d %v %q", path, head.status, head.header, head.body)
		}
	}
	if r := s.send("GET", batchesPath+"/template", ""); r.body != csvHeader+"\r\n" || r.header.Get("Content-Disposition") != `attachment; filename="payout-batch-template.csv"` {
		t.Errorf("template %v %q", r.header, r.body)
	}
}

func TestBatchItems(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody)
	h := s.works.batches[0]
	s.works.end(h, 2, "rejected", "", "insufficient_balance")
	first := `{"index":1,"transaction_id":null,"partner_request_id":"S-1","status":"pending","amount":100000.50,"charge":10.00,"net_amount":100010.50,"beneficiary_name":"Rahul Sharma","account_no":"XXXXXX7890","ifsc":"SBIN0001234","bank_name":"State Bank of India","utr":null,"failure_reason":null,"updated_at":"2024-04-30T10:00:00.000000Z"}`
	second := `{"index":2,"transaction_id":null,"partner_request_id":"PRQ-42OCP65Y7DIO64DZ","status":"rejected","amount":5000.00,"charge":10.00,"net_amount":5010.00,"beneficiary_name":"Asha Verma","account_no":"XXXXXXX6789","ifsc":"HDFC0000001","bank_name":"HDFC Bank","utr":null,"failure_reason":"insufficient_balance","updated_at":"2024-04-30T10:00:00.000000Z"}`
	answer := func(items, tail string) string {
		return `{"success":true,"data":{"batch_id":"bat_0000000000000001","items":[` + items + `],` + tail + `}}`
	}
	s.send("GET", firstBatch+"/items", "").want(t, 200, answer(first+","+second, `"page":1,"limit":100,"total":2,"pages":1,"next_cursor":null`))
	s.send("GET", firstBatch+"/items?status=rejected", "").want(t, 200, answer(second, `"page":1,"limit":100,"total":1,"pages":1,"next_cursor":null`))
	s.send("GET", firstBatch+"/items?status=success", "").want(t, 200, answer("", `"page":1,"limit":100,"total":0,"pages":0,"next_cursor":null`))
	s.send("GET", firstBatch+"/items?limit=1", "").want(t, 200, answer(first, `"page":1,"limit":1,"total":2,"pages":2,"next_cursor":"1"`))
	s.send("GET", firstBatch+"/items?limit=1&page=2", "").want(t, 200, answer(second, `"page":2,"limit":1,"total":2,"pages":2,"next_cursor":null`))
	h.items[0].Status = "queued"
	s.send("GET", firstBatch+"/items?status=queued", "").want(t, 200, answer(strings.Replace(first, "pending", "queued", 1), `"page":1,"limit":100,"total":1,"pages":1,"next_cursor":null`))
	first = strings.Replace(first, `"transaction_id":null`, `"transaction_id":"txn_0000000000000001"`, 1) // from here on there is a payout
	s.works.end(h, 1, "pending", "", "")
	s.send("GET", firstBatch+"/items?status=pending", "").want(t, 200, answer(first, `"page":1,"limit":100,"total":1,"pages":1,"next_cursor":null`))
	s.books.erased[h.items[0].SealID] = true
	s.works.end(h, 1, "refunded", "432109876543", "account_closed")
	gone := strings.NewReplacer(`"Rahul Sharma"`, "null", `"pending"`, `"refunded"`, `"utr":null,"failure_reason":null`, `"utr":"432109876543","failure_reason":"account_closed"`).Replace(first)
	s.send("GET", firstBatch+"/items?status=refunded", "").want(t, 200, answer(gone, `"page":1,"limit":100,"total":1,"pages":1,"next_cursor":null`))
	for _, c := range []struct{ query, field, problem string }{
		{"status=paid", "status", "must be pending, queued, success, refunded, failed, rejected, cancelled"}, {"limit=1001", "limit", "must not be more than 1000"},
		{"page=0", "page", "must be at least 1"}, {"cursor=x", "cursor", "is not one that was given out"}, {"cursor=0", "cursor", "is not one that was given out"},
		{"cursor=100001", "cursor", "is not one that was given out"}, {"cursor=%2B1", "cursor", "is not one that was given out"},
	} {
		s.send("GET", firstBatch+"/items?"+c.query, "").want(t, 422, validation(c.field, "The "+c.field+" "+c.problem+"."))
	}
}

// Pages and cursors lead through the same items, with and without a status.
func TestBatchItemPages(t *testing.T) {
	s := serve(t)
	manyItems(s, 2_345)
	indexes := func(r reply) []string {
		var all []string
		for part := range strings.SplitSeq(r.body, `{"index":`) {
			index, _, _ := strings.Cut(part, ",")
			all = append(all, index)
		}
		return all[1:]
	}
	for _, c := range []struct {
		status            string
		limit, n, pages   int
		third, beginsWith string
	}{{"", 1000, 2345, 3, "2001", "1"}, {"failed", 100, 234, 3, "2010", "10"}, {"pending", 1000, 2111, 3, "2223", "1"}, {"", 7, 2345, 335, "15", "1"}} {
		query := fmt.Sprintf("/items?status=%s&limit=%d", c.status, c.limit)
		var paged, followed []string
		for page := 1; page <= c.pages; page++ {
			r := s.send("GET", fmt.Sprintf("%s%s&page=%d", firstBatch, query, page), "")
			if page == 3 && !strings.Contains(r.body, `"items":[{"index":`+c.third+`,`) || r.get(t, "data", "pages") != fmt.Sprint(c.pages) || r.get(t, "data", "total") != fmt.Sprint(c.n) {
				t.Errorf("%s, page %d: %.300s", query, page, r.body)
			}
			paged = append(paged, indexes(r)...)
		}
		for cursor := "?"; cursor != "<nil>"; {
			r := s.send("GET", firstBatch+query+strings.TrimSuffix("&cursor="+cursor, "&cursor=?"), "")
			followed = append(followed, indexes(r)...)
			cursor = r.get(t, "data", "next_cursor")
		}
		if len(paged) != c.n || paged[0] != c.beginsWith || strings.Join(paged, " ") != strings.Join(followed, " ") {
			t.Errorf("%s: %d by pages, %d by cursors", query, len(paged), len(followed))
		}
		if r := s.send("GET", fmt.Sprintf("%s%s&page=%d", firstBatch, query, c.pages+1), ""); len(indexes(r)) != 0 || r.status != 200 {
			t.Errorf("%s: a page past the end: %d %s", query, r.status, r.body)
		}
	}
}

func TestBatchResults(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody)
	h := s.works.batches[0]
	s.works.end(h, 1, "success", "432109876543", "")
	s.works.end(h, 2, "rejected", "", "insufficient_balance")
	want := csvHeader + ",transaction_id,status,utr,failure_reason\n" +
		"9876543210,Rahul Sharma,1234567890,SBIN0001234,State Bank of India,100000.50,5,S-1,txn_0000000000000001,success,432109876543,\n" +
		"9876543211,Asha Verma,00123456789,HDFC0000001,HDFC Bank,5000.00,5,PRQ-42OCP65Y7DIO64DZ,,rejected,,insufficient_balance\n"
	for format, kind := range map[string]string{"": "text/csv; charset=utf-8", "?format=csv": "text/csv; charset=utf-8", "?format=xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"} {
		body, name := want, "bat_0000000000000001.csv"
		if strings.HasSuffix(format, "xlsx") {
			body, name = "workbook\n"+want, "bat_0000000000000001.xlsx"
		}
		r := s.send("GET", firstBatch+"/results"+format, "")
		if r.want(t, 200, body); r.header.Get("Content-Type") != kind || r.header.Get("Content-Disposition") != `attachment; filename="`+name+`"` || r.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v", format, r.header)
		}
	}
	h.items[1].Status, h.items[1].Reason = "pending", ""
	if r := s.send("GET", firstBatch+"/results", ""); !strings.Contains(r.body, "PRQ-42OCP65Y7DIO64DZ,,pending,,\n") {
		t.Errorf("what is no payout yet has an id: %s", r.body)
	}
	s.books.erased[h.items[0].SealID] = true
	if r := s.send("GET", firstBatch+"/results", ""); !strings.Contains(r.body, "\n,,,SBIN0001234,State Bank of India,100000.50,5,S-1,txn_0000000000000001,success") {
		t.Errorf("erased: %s", r.body)
	}
	s.send("GET", firstBatch+"/results?format=pdf", "").want(t, 422, validation("format", `The format must be "csv" or "xlsx".`))
}

// A batch that came as a sheet goes back as one: its columns, in its order, as its header called them.
func TestBatchResultsHaveTheSubmittedColumns(t *testing.T) {
	s := serve(t)
	sheet := strings.Replace(batchSheet, "account_no,mobile_no,amount", "Account No,MOBILE NO,Amount", 1)
	s.send("POST", batchesPath+"?batch_ref=SALARY-1", sheet, ofCSV).want(t, 202, batchData("processing"))
	s.works.end(s.works.batches[0], 1, "success", "432109876543", "")
	want := "Account No,MOBILE NO,Amount,beneficiary_name,ifsc,bank_name,transfer_type,partner_request_id,transaction_id,status,utr,failure_reason\n" +
		"1234567890,9876543210,100000.50,Rahul Sharma,SBIN0001234,State Bank of India,5,S-1,txn_0000000000000001,success,432109876543,\n" +
		"00123456789,9876543211,5000.00,Asha Verma,HDFC0000001,HDFC Bank,5,PRQ-42OCP65Y7DIO64DZ,,pending,,\n"
	s.send("GET", firstBatch+"/results", "").want(t, 200, want)
	s.send("GET", firstBatch+"/results?format=xlsx", "").want(t, 200, "workbook\n"+want)
	s.send("POST", batchesPath, batchBody) // the same batch in another form changes nothing of that
	s.send("GET", firstBatch+"/results", "").want(t, 200, want)
}

// All items come, and a fault behind the first ones breaks the answer off instead of ending it.
func TestBatchResultsAreWhole(t *testing.T) {
	s := serve(t)
	manyItems(s, 2_345)
	if r := s.send("GET", firstBatch+"/results", ""); strings.Count(r.body, "\n") != 2_346 || !strings.Contains(r.body, ",R-2344,") {
		t.Errorf("%d lines", strings.Count(r.body, "\n"))
	}
	away := failure("Service temporarily unavailable, please try again")
	s.works.itemsFault, s.works.itemsBehind = errAway, 1000
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, s.url+firstBatch+"/results", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-Api-Key", keyA)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); !errors.Is(err, io.ErrUnexpectedEOF) || res.StatusCode != http.StatusOK {
		t.Errorf("%d, %d bytes, %v", res.StatusCode, len(b), err)
	}
	if !strings.Contains(s.logs.String(), "cut short") {
		t.Error("it was not logged")
	}
	s.works.itemsBehind = 0
	s.send("GET", firstBatch+"/results", "").want(t, 503, away)
	s.send("GET", firstBatch+"/items", "").want(t, 503, away)
	s.works.itemsFault, s.books.sealFault = nil, errAway
	s.send("GET", firstBatch+"/results", "").want(t, 503, away)
	s.send("GET", firstBatch+"/items", "").want(t, 503, away)
}

func TestBatchCancel(t *testing.T) {
	s := serve(t)
	s.send("POST", batchesPath, batchBody)
	cancel := firstBatch + "/cancel"
	for body, text := range map[string]string{
		`{}`: "is required", `{"reason":" "}`: "must not be blank", `{"reason":7}`: "must be a string", `{"reason":"a\u0000"}`: "must not contain control characters",
		`{"reason":` + quote(strings.Repeat("x", batch.MaxReason+1)) + `}`: fmt.Sprintf("must not be longer than %d bytes", batch.MaxReason),
	} {
		s.send("POST", cancel, body).want(t, 422, validation("reason", "The reason "+text+"."))
	}
	s.send("POST", cancel, `{`).want(t, 400, failure("Malformed JSON"))
	s.send("POST", cancel, `{"reason":"x"}`, ofCSV).want(t, 415, failure("Content-Type must be application/json"))
	s.send("POST", batchesPath+"/x/cancel", `{"reason":"x"}`).want(t, 404, failure("Batch not found"))
	if len(s.works.origins) != 1 {
		t.Error("a refusal was carried out")
	}
	first := s.send("POST", cancel, `{"reason":"the wrong month"}`, "X-Request-Id: req-2")
	if first.status != 200 || first.get(t, "data", "status") != "cancelled" || first.get(t, "data", "reason") != "the wrong month" ||
		first.get(t, "data", "decided_by") != "key:key_"+sha(keyA)[:16] || first.get(t, "data", "counts", "cancelled") != "2" || first.get(t, "data", "progress") != "100" {
		t.Errorf("%d %s", first.status, first.body)
	}
	o := s.works.origins[1]
	if o.Request != "req-2" || o.Actor != "key:key_"+sha(keyA)[:16] || len(o.Evidence) != 2 || string(o.Evidence[0].Body) != `{"reason":"the wrong month"}` {
		t.Errorf("origin %+v", o)
	}
	s.send("POST", cancel, `{"reason":"again"}`).want(t, 200, first.body)
	if r := s.send("GET", firstBatch+"/items?status=cancelled&limit=1", ""); r.get(t, "data", "items", 0, "transaction_id") != "<nil>" || r.get(t, "data", "items", 0, "failure_reason") != "the wrong month" {
		t.Errorf("%s", r.body)
	}
	s.works.batches[0].state.Status = batch.Completed
	s.send("POST", cancel, `{"reason":"late"}`).want(t, 409, failure("Batch has nothing left to cancel"))
	s.works.submitFault = errAway
	s.send("POST", cancel, `{"reason":"x"}`).want(t, 503, failure("Service temporarily unavailable, please try again"))
}
