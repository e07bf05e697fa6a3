package klyropay_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/merchant"
)

// rule makes the approval rule of merchant A.
func (b *books) rule(r merchant.ApprovalRule) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for hash, m := range b.owners {
		if m.ID == merchantA {
			m.Approval = r
			b.owners[hash] = m
		}
	}
}

// ruleVersion is that of a merchant's approval rule.
func (b *books) ruleVersion(merchantID string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, m := range b.owners {
		if m.ID == merchantID {
			return m.Approval.Version
		}
	}
	return 0
}

// bands asks for one checker above 50,000, and for two above what the batch of the tests costs.
func bands(version int, one, two string) merchant.ApprovalRule {
	return merchant.ApprovalRule{Version: version, Bands: []merchant.Band{
		{UpTo: decimal.RequireFromString(one)}, {UpTo: decimal.RequireFromString(two), Checkers: 1}, {Checkers: 2},
	}}
}

// with options, in the body.
func optioned(options string) string { return strings.Replace(batchBody, "{", "{"+options+",", 1) }

func TestBatchTerms(t *testing.T) {
	tomorrow := time.Date(2024, 5, 1, 4, 0, 0, 123456000, time.UTC)
	for _, c := range []struct {
		name, options, key string
		rule               merchant.ApprovalRule
		want               batch.Terms
	}{
		{"nothing said", `"mode":null`, keyA, merchant.ApprovalRule{}, batch.Terms{Approval: batch.NoApproval}},
		{"the usual said", `"mode":"partial","approval":"none","on_insufficient_balance":"reject"`, keyA, merchant.ApprovalRule{}, batch.Terms{Approval: batch.NoApproval}},
		{"everything else", `"mode":"atomic","approval":"required","on_insufficient_balance":"queue","schedule_at":"2024-05-01T09:30:00.1234567+05:30"`, keyA, merchant.ApprovalRule{},
			batch.Terms{Approval: batch.ApprovalRequired, Checkers: 1, Mode: batch.Atomic, Shortage: batch.QueueShort, ScheduleAt: tomorrow}},
		{"a maker", `"approval":"none"`, keyMaker, merchant.ApprovalRule{}, batch.Terms{Approval: batch.ApprovalRequired, Checkers: 1}},
		{"a total below the rule", `"mode":null`, keyA, bands(3, "105020.50", "200000"), batch.Terms{Approval: batch.NoApproval, Rule: 3}},
		{"a maker below the rule", `"mode":null`, keyMaker, bands(3, "105020.50", "200000"), batch.Terms{Approval: batch.ApprovalRequired, Checkers: 1, Rule: 3}},
		{"a total that its commission puts under the rule", `"approval":"none"`, keyA, bands(4, "105020.49", "200000"), batch.Terms{Approval: batch.ApprovalRequired, Checkers: 1, Rule: 4}},
		{"two checkers", `"approval":"none"`, keyA, bands(5, "1", "105020.49"), batch.Terms{Approval: batch.ApprovalRequired, Checkers: 2, Rule: 5}},
		{"two checkers for a maker", `"approval":"required"`, keyMaker, bands(5, "1", "105020.49"), batch.Terms{Approval: batch.ApprovalRequired, Checkers: 2, Rule: 5}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			s.books.rule(c.rule)
			r := s.send("POST", batchesPath, optioned(c.options), "X-Api-Key: "+c.key)
			if r.status != 202 {
				t.Fatalf("%d %s", r.status, r.body)
			}
			if got := s.works.batches[0].request.Terms; !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v\nwant %+v", got, c.want)
			}
			status := "processing"
			if c.want.Checkers > 0 {
				status = "awaiting_approval"
			}
			for _, answer := range []reply{r, s.send("GET", firstBatch, "")} {
				if answer.get(t, "data", "status") != status || answer.get(t, "data", "approval") != string(c.want.Approval) ||
					answer.get(t, "data", "approvals", "needed") != fmt.Sprint(c.want.Checkers) {
					t.Errorf("%s", answer.body)
				}
			}
		})
	}
}

// A repeat is the same batch when the rule or the role has changed since; the form of a time makes no other batch, another time does.
func TestTermsAreNotContent(t *testing.T) {
	s := serve(t)
	const at = `"schedule_at":"2024-05-01T09:30:00+05:30"`
	first := s.send("POST", batchesPath, optioned(at))
	if first.status != 202 || first.get(t, "data", "schedule_at") != "2024-05-01T04:00:00.000000Z" || first.get(t, "data", "status") != "processing" {
		t.Fatalf("%d %s", first.status, first.body)
	}
	s.books.rule(bands(1, "1", "2"))
	const query = "?batch_ref=SALARY-1&schedule_at="
	for _, again := range []reply{
		s.send("POST", batchesPath, optioned(at)),
		s.send("POST", batchesPath, optioned(at), "X-Api-Key: "+keyMaker),
		s.send("POST", batchesPath, optioned(`"schedule_at":"2024-05-01T04:00:00.000Z"`)),
		s.send("POST", batchesPath+query+"2024-05-01T09:30:00%2B05:30", batchSheet, ofCSV),
		s.send("POST", batchesPath+query+"2024-04-30T23:00:00.0000001-05:00", batchLines, ofNDJSON),
	} {
		again.want(t, 200, first.body)
	}
	s.advance(24 * time.Hour) // its time is over, and that of the repeat with it
	s.send("POST", batchesPath, optioned(at)).want(t, 200, first.body)
	s.send("POST", batchesPath+"?dry_run=true", optioned(at)).want(t, 200,
		`{"success":true,"data":{"dry_run":true,"batch_ref":"SALARY-1","count":2,"total_amount":105000.50,"commission":20.00,"net_amount":105020.50}}`)
	for _, other := range []string{batchBody, optioned(`"schedule_at":"2024-05-01T09:30:01+05:30"`), optioned(at + `,"mode":"atomic"`), optioned(at + `,"approval":"required"`)} {
		s.send("POST", batchesPath, other).want(t, 409, failure("Duplicate request"))
	}
	if len(s.works.batches) != 1 {
		t.Errorf("%d batches", len(s.works.batches))
	}
}

func TestBatchSchedule(t *testing.T) {
	s := serve(t)
	for at, problem := range map[string]string{
		"2024-04-30T10:00:00Z":              "must be in the future",
		"2024-04-30T15:30:00.0000009+05:30": "must be in the future",
		"1999-01-01T00:00:00Z":              "must be in the future",
		"2024-07-29T10:00:00.000001Z":       "must not be more than 90 days ahead",
		"9999-12-31T23:59:59-12:00":         "must not be more than 90 days ahead",
	} {
		want := `{"success":false,"message":"Validation failed","data":null,"errors":{"schedule_at":["The schedule_at ` + problem + `."]},"problems":[],"more":0}`
		s.send("POST", batchesPath, optioned(`"schedule_at":`+quote(at))).want(t, 422, want)
		s.send("POST", batchesPath+"?dry_run=true", optioned(`"schedule_at":`+quote(at))).want(t, 422, want)
		s.send("POST", batchesPath+"?batch_ref=B&schedule_at="+strings.ReplaceAll(at, "+", "%2B"), batchSheet, ofCSV).want(t, 422, want)
	}
	s.works.viewFault = errAway
	s.send("POST", batchesPath, optioned(`"schedule_at":"1999-01-01T00:00:00Z"`)).want(t, 503, failure("Service temporarily unavailable, please try again"))
	s.works.viewFault = nil
	if len(s.works.batches) != 0 {
		t.Error("a batch was made")
	}
	for i, at := range []string{"2024-04-30T10:00:00.000001Z", "2024-07-29T10:00:00Z"} {
		r := s.send("POST", batchesPath, strings.Replace(optioned(`"schedule_at":`+quote(at)), "SALARY-1", fmt.Sprint("B-", i), 1))
		if r.status != 202 {
			t.Errorf("%s: %d %s", at, r.status, r.body)
		}
	}
}

// What a key may do is its role's.
func TestRoles(t *testing.T) {
	const no = "You do not have access to this service"
	for _, c := range []struct {
		method, path, body   string
		full, maker, checker int
	}{
		{"POST", payinPath, payinBody, 201, 201, 403},
		{"POST", payoutPath, payoutBody, 200, 403, 403},
		{"POST", batchesPath, strings.Replace(batchBody, "SALARY-1", "SALARY-2", 1), 202, 202, 403},
		{"POST", batchesPath + "?dry_run=true", batchBody, 200, 200, 403},
		{"POST", firstBatch + "/approve", "", 200, 403, 200},
		{"POST", firstBatch + "/reject", `{"reason":"x"}`, 200, 403, 200},
		{"POST", firstBatch + "/cancel", `{"reason":"x"}`, 200, 200, 200},
		{"POST", firstBatch + "/retry-failed", "", 409, 409, 403},
		{"GET", balancePath, "", 200, 200, 200},
		{"GET", payinsPath, "", 200, 200, 200},
		{"GET", payoutsPath, "", 200, 200, 200},
		{"GET", batchesPath, "", 200, 200, 200},
		{"GET", batchesPath + "/template", "", 200, 200, 200},
		{"GET", firstBatch, "", 200, 200, 200},
		{"GET", firstBatch + "/items", "", 200, 200, 200},
		{"GET", firstBatch + "/results", "", 200, 200, 200},
	} {
		for key, want := range map[string]int{keyA: c.full, keyMaker: c.maker, keyCheck: c.checker} {
			s := serve(t)
			s.books.fund(merchantA, "100000.00")
			s.books.admit(s.books.owners[sha(keyA)], "klyro_first", merchant.Key{Role: merchant.Maker})
			s.send("POST", batchesPath, batchBody, "X-Api-Key: klyro_first")
			r := s.send(c.method, c.path, c.body, "X-Api-Key: "+key)
			if r.status != want || want == 403 && r.body != failure(no) {
				t.Errorf("%s %s by %s: %d %s", c.method, c.path, s.books.apiKeys[sha(key)].Role, r.status, r.body)
			}
		}
	}
}
