package klyropay_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
)

const (
	retryFirst  = firstBatch + "/retry-failed"
	secondBatch = batchesPath + "/bat_0000000000000002"
)

// ended is a batch of eight items that has ended in every way that an item can, the last one still to come.
func ended(s *bench) *heldBatch {
	s.t.Helper()
	var items []string
	for i, id := range []string{"ok", "failed", "refunded-r1", "short", "used", "cancelled", "odd-r0", "refunded-r9"} {
		items = append(items, strings.NewReplacer("S-1", id, "100000.50", fmt.Sprint(1000+i), "1234567890", fmt.Sprint(1234567800+i)).Replace(itemOne))
	}
	if r := s.send("POST", batchesPath, `{"batch_ref":"SALARY-1","items":[`+strings.Join(items, ",")+`]}`); r.status != 202 {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	h := s.works.batches[0]
	for i, end := range []struct{ status, reason, code string }{
		{"success", "", ""}, {"failed", "account_closed", ""}, {"refunded", "returned", ""}, {"rejected", "too little", string(domain.InsufficientBalance)},
		{"rejected", "used before", string(domain.Duplicate)}, {"cancelled", "stop", ""}, {"refunded", "returned", ""}, {"refunded", "returned", ""},
	} {
		s.works.end(h, i+1, end.status, "", end.reason)
		h.items[i].Code = end.code
	}
	h.state.Status = batch.Completed
	return h
}

// What definitely failed is tried again, under ids that follow from the old ones.
func TestRetry(t *testing.T) {
	s := serve(t)
	ended(s)
	first := s.send("POST", retryFirst, "", idem, "Content-Type:")
	if first.status != 202 || first.get(t, "data", "batch_ref") != "SALARY-1-retry" || first.get(t, "data", "retry_of") != "bat_0000000000000001" ||
		first.get(t, "data", "batch_id") != "bat_0000000000000002" || first.get(t, "data", "status") != "processing" || first.get(t, "data", "mode") != "partial" ||
		first.get(t, "data", "count") != "5" || first.get(t, "data", "total_amount") != "5019.00" || first.get(t, "data", "commission") != "50.00" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	h := s.works.batches[1]
	var got []string
	for _, p := range h.paid {
		got = append(got, p.RequestID+" "+p.Amount.Fixed()+" "+p.To.AccountNo+" "+p.To.Name+" "+p.To.Mobile+" "+p.IFSC+" "+p.BankName+" "+p.TransferType)
	}
	const who = " Rahul Sharma 9876543210 SBIN0001234 State Bank of India 5"
	want := []string{
		"failed-r1 1001.00 1234567801" + who, "refunded-r2 1002.00 1234567802" + who, "short 1003.00 1234567803" + who,
		"odd-r0-r1 1006.00 1234567806" + who, "refunded-r10 1007.00 1234567807" + who,
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if terms := h.request.Terms; terms != (batch.Terms{Approval: batch.NoApproval, RetryOf: "bat_0000000000000001"}) || len(h.request.Columns) != 0 {
		t.Errorf("%+v", h.request)
	}
	if o := s.works.origins[1]; o.IdempotencyKey != "idem:"+merchantA+":POST "+retryFirst+":K-1 ~" || o.Actor != keyID(keyA) {
		t.Errorf("origin %+v", o)
	}
	again := s.send("POST", retryFirst, `{"batch_ref":"SALARY-1-retry","mode":"partial"}`, idem)
	again.want(t, 200, first.body)
	if !isReplay(again) {
		t.Error("the repeat does not say that it is one")
	}
	s.works.end(s.works.batches[0], 1, "refunded", "", "returned") // after all: it is in no retry yet, and the same request is still the same one
	s.send("POST", retryFirst, "").want(t, 200, first.body)
	s.send("POST", retryFirst, `{"batch_ref":"other"}`, idem).want(t, 422, failure("Idempotency-Key was used with a different request"))
	if r := s.send("POST", retryFirst, `{"batch_ref":"other"}`); r.status != 202 || r.get(t, "data", "count") != "6" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.send("GET", secondBatch, ""); r.get(t, "data", "retry_of") != "bat_0000000000000001" {
		t.Errorf("%s", r.body)
	}
}

// A retry of a retry has ids that follow on.
func TestRetryOfARetry(t *testing.T) {
	s := serve(t)
	ended(s)
	s.send("POST", retryFirst, "")
	h := s.works.batches[1]
	s.works.end(h, 1, "failed", "", "account_closed")
	s.works.end(h, 3, "refunded", "", "account_closed")
	h.state.Status = batch.Completed
	if r := s.send("POST", secondBatch+"/retry-failed", ""); r.status != 202 || r.get(t, "data", "batch_ref") != "SALARY-1-retry-retry" || r.get(t, "data", "retry_of") != "bat_0000000000000002" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if paid := s.works.batches[2].paid; len(paid) != 2 || paid[0].RequestID != "failed-r2" || paid[1].RequestID != "short-r1" {
		t.Errorf("%+v", paid)
	}
}

// A retry is submitted under the options that it is sent with, today's rule and the role of the key.
func TestRetryTerms(t *testing.T) {
	s := serve(t)
	ended(s)
	s.books.rule(bands(2, "1", "2"))
	const body = `{"batch_ref":"B","mode":"atomic","on_insufficient_balance":"queue","schedule_at":"2024-05-01T00:00:00Z"}`
	first := s.send("POST", retryFirst, body, by+keyMaker)
	want := batch.Terms{
		Approval: batch.ApprovalRequired, Checkers: 2, Rule: 2, Mode: batch.Atomic, Shortage: batch.QueueShort, ScheduleAt: day.AddDate(0, 0, 1).Truncate(24 * 3600e9), RetryOf: "bat_0000000000000001",
	}
	if got := s.works.batches[1].request.Terms; first.status != 202 || got != want || first.get(t, "data", "status") != "awaiting_approval" {
		t.Errorf("%d %+v %s", first.status, got, first.body)
	}
	s.books.rule(merchant.ApprovalRule{})
	s.send("POST", retryFirst, body).want(t, 200, first.body)
	for _, other := range []string{
		`{"batch_ref":"B"}`, strings.Replace(body, "atomic", "partial", 1), strings.Replace(body, "queue", "reject", 1), strings.Replace(body, "05-01", "05-02", 1),
		strings.Replace(body, `"mode"`, `"approval":"required","mode"`, 1), // it is required, but was not by the request: a difference that cannot be told
	} {
		status := 409
		if strings.Contains(other, "approval") {
			status = 200
		}
		if r := s.send("POST", retryFirst, other); r.status != status {
			t.Errorf("%s: %d %s", other, r.status, r.body)
		}
	}
	s.send("POST", retryFirst, `{"batch_ref":"SALARY-1"}`).want(t, 409, failure("Duplicate request"))
	if len(s.works.batches) != 2 {
		t.Errorf("%d batches", len(s.works.batches))
	}
	s.works.stop = stopAt(2, "its partner_request_id was used before")
	if r := s.send("POST", retryFirst, `{"batch_ref":"C","mode":"atomic"}`); r.status != 422 || r.get(t, "problems", 0, "partner_request_id") != "refunded-r2" {
		t.Errorf("%d %s", r.status, r.body)
	}
	s.send("POST", retryFirst, `{"schedule_at":"2024-04-30T10:00:00Z"}`).want(t, 422,
		`{"success":false,"message":"Validation failed","data":null,"errors":{"schedule_at":["The schedule_at must be in the future."]},"problems":[],"more":0}`)
}

// Nothing is retried of a batch that may yet pay it, or that has nothing that failed.
func TestRetryInItsTime(t *testing.T) {
	s := serve(t)
	h := ended(s)
	open, none := failure("Batch has not ended: its failed items can be retried then"), failure("Batch has no failed items")
	for _, status := range []batch.Status{batch.Receiving, batch.Awaiting, batch.Processing} {
		h.state.Status = status
		s.send("POST", retryFirst, "").want(t, 409, open)
	}
	h.state.Status = batch.Rejected
	s.send("POST", retryFirst, "").want(t, 409, none)
	h.state.Status = batch.Cancelled
	s.works.end(h, 1, "pending", "", "") // a payout whose outcome is not known yet
	s.send("POST", retryFirst, "").want(t, 409, open)
	s.works.end(h, 1, "success", "", "")
	if r := s.send("POST", retryFirst+"?dry_run=true", ""); r.status != 200 || r.get(t, "data", "dry_run") != "true" || r.get(t, "data", "count") != "5" || len(s.works.batches) != 1 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.send("POST", retryFirst, "", "Prefer: wait=0"); r.status != 202 {
		t.Errorf("%d %s", r.status, r.body)
	}
	for i := range h.items {
		s.works.end(h, i+1, "success", "", "")
	}
	s.send("POST", retryFirst, `{"batch_ref":"other"}`).want(t, 409, none)
	s.send("POST", secondBatch+"/retry-failed", "", by+keyB).want(t, 404, failure("Batch not found"))
	s.send("POST", batchesPath+"/x/retry-failed", "").want(t, 404, failure("Batch not found"))
}

// What cannot be tried again is told with the index and the id that it has in the old batch, and then nothing is.
func TestRetryProblems(t *testing.T) {
	s := serve(t)
	h := ended(s)
	h.items[1].RequestID = strings.Repeat("x", 98) // it would have 101 characters
	h.items[3].RequestID = "refunded-r2"           // that of item 3, too: it is rejected and keeps its own
	s.books.erased[h.items[6].SealID] = true       // by its owner's wish
	plan := s.books.owners[sha(keyA)]              // payouts of less than 1007 are not taken any more
	plan.Plan.Payout.Min = h.items[7].Amount.Decimal()
	s.books.owners[sha(keyA)] = plan
	r := s.send("POST", retryFirst, "")
	problem := func(index int, id, field, text string) string {
		return fmt.Sprintf(`{"index":%d,"line":null,"column":null,"field":%q,"partner_request_id":%q,"message":%q}`, index, field, id, text)
	}
	x := h.items[1].RequestID
	r.want(t, 422, `{"success":false,"message":"Validation failed","data":null,"errors":{"items":[`+
		`"item 2, partner_request_id `+x+` (amount): must be at least 1007","item 2, partner_request_id `+x+` (partner_request_id): is too long to be retried under another one that follows from it",`+
		`"item 3, partner_request_id refunded-r1 (amount): must be at least 1007","item 4, partner_request_id refunded-r2 (amount): must be at least 1007",`+
		`"item 4, partner_request_id refunded-r2 (partner_request_id): would be that of item 3, too","item 7, partner_request_id odd-r0 (account_no): is no longer known: it was erased"]},"problems":[`+
		problem(2, x, "amount", "must be at least 1007")+","+problem(2, x, "partner_request_id", "is too long to be retried under another one that follows from it")+","+
		problem(3, "refunded-r1", "amount", "must be at least 1007")+","+problem(4, "refunded-r2", "amount", "must be at least 1007")+","+
		problem(4, "refunded-r2", "partner_request_id", "would be that of item 3, too")+","+problem(7, "odd-r0", "account_no", "is no longer known: it was erased")+`],"more":0}`)
	if len(s.works.batches) != 1 {
		t.Error("a batch was made")
	}
}

func TestRetryRequests(t *testing.T) {
	s := serve(t)
	h := ended(s)
	for body, c := range map[string]struct{ field, text string }{
		`{"batch_ref":"a/b"}`:             {"batch_ref", "must be printable ASCII without a slash"},
		`{"batch_ref":7}`:                 {"batch_ref", "must be a string"},
		`{"mode":"both"}`:                 {"mode", `must be "partial" or "atomic"`},
		`{"approval":true}`:               {"approval", "must be a string"},
		`{"on_insufficient_balance":"x"}`: {"on_insufficient_balance", `must be "reject" or "queue"`},
		`{"schedule_at":"soon"}`:          {"schedule_at", "must be a time with its zone, such as 2026-04-01T09:30:00+05:30 (in a query, + is written %2B)"},
	} {
		s.send("POST", retryFirst, body).want(t, 422, validation(c.field, "The "+c.field+" "+c.text+"."))
	}
	s.send("POST", retryFirst+"?mode=atomic", "").want(t, 422, validation("mode", "The mode belongs into the body."))
	s.send("POST", retryFirst+"?dry_run=yes", "").want(t, 422, validation("dry_run", `The dry_run must be "true" or "false".`))
	s.send("POST", retryFirst, `{"on_low_balance":"queue"}`).want(t, 422, validation("on_low_balance", "The on_low_balance is not a field of a retry."))
	s.send("POST", retryFirst+"?dry-run=true", "").want(t, 422, validation("dry-run", "The dry-run is not a parameter of a batch."))
	s.send("POST", retryFirst+"?%zz", "").want(t, 400, failure("Malformed query string"))
	s.send("POST", retryFirst, "[]").want(t, 400, failure("Malformed JSON"))
	h.state.Ref = strings.Repeat("x", 95)
	s.send("POST", retryFirst, "").want(t, 422, validation("batch_ref", "The batch_ref is required: with -retry behind it that of the batch is too long."))
	h.state.Ref = "SALARY-1"
	away := failure("Service temporarily unavailable, please try again")
	s.works.itemsFault = errAway
	s.send("POST", retryFirst, "").want(t, 503, away)
	s.works.itemsFault, s.books.sealFault = nil, errAway
	s.send("POST", retryFirst, "").want(t, 503, away)
	s.books.sealFault, s.works.submitFault = nil, errAway
	s.send("POST", retryFirst, "").want(t, 503, away)
	s.works.submitFault, s.books.logFault = nil, errAway
	s.send("POST", retryFirst, "", idem).want(t, 503, away)
	s.books.logFault = nil
	if len(s.works.batches) != 1 {
		t.Error("a batch was made")
	}
	raw := s.raw("POST " + retryFirst + " HTTP/1.1\nHost: x\nX-Api-Key: " + keyA + "\nIdempotency-Key: a\nIdempotency-Key: b\nConnection: close\n\n")
	raw.want(t, http.StatusUnprocessableEntity, validation("Idempotency-Key", "The Idempotency-Key must be 1 to 255 printable ASCII characters, given once."))
}

// All pages of a large batch are gone through.
func TestRetryOfManyItems(t *testing.T) {
	s := serve(t, func(o *klyropay.Options) { o.TempDir = t.TempDir() })
	h := manyItems(s, 2_345)
	h.state.Status = batch.Completed
	if r := s.send("POST", retryFirst, ""); r.status != 202 || r.get(t, "data", "count") != "234" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	for i, p := range s.works.batches[1].paid {
		if want := fmt.Sprintf("R-%d-r1", 10*i+9); p.RequestID != want {
			t.Fatalf("item %d is %s, not %s", i+1, p.RequestID, want)
		}
	}
}
