package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// logged is what the log itself has, read behind the product's back.
type logged struct {
	records  int
	keys     map[string][]string       // subjects by dedupe key
	types    map[string]map[string]int // of records, by subject
	subjects map[string][]string       // by type
	payments map[string]int            // events that book a payment, by the gateway's id of it
	refunded map[string]int            // refund.succeeded, by refund
	begun    map[string]object         // refund.initiated, by refund
	orders   map[string]int            // payin.ordered, by payin and order
	settled  map[string]int            // ends of entries of suspense
	reasons  map[string]int            // wallet.adjusted, by reason
}

// of counts a subject's records of a type.
func (l *logged) of(subject, kind string) int { return l.types[subject][kind] }

// under says that there is one record with a key, and that it is about a subject.
func (l *logged) under(key, subject string) error {
	if got := l.keys[key]; !slices.Equal(got, []string{subject}) {
		return fmt.Errorf("under %s the log has %v, want %s", key, got, subject)
	}
	return nil
}

// logged reads the log.
func (w *world) logged() *logged {
	w.t.Helper()
	l := &logged{
		keys: map[string][]string{}, types: map[string]map[string]int{}, subjects: map[string][]string{}, payments: map[string]int{}, refunded: map[string]int{},
		begun: map[string]object{}, orders: map[string]int{}, settled: map[string]int{}, reasons: map[string]int{},
	}
	db := w.sql("log")
	defer db.Close()
	// Of what clients write into it, a log's data is text on one store and bytes on the other.
	rows, err := db.QueryContext(w.t.Context(), "SELECT subject, type, dedupe_key, data FROM events")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var subject, kind, keys string
		var data []byte
		if err := rows.Scan(&subject, &kind, &keys, &data); err != nil {
			w.t.Fatal(err)
		}
		if err := l.add(subject, kind, keys, data); err != nil {
			w.t.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return l
}

func (l *logged) add(subject, kind, keys string, data []byte) error {
	l.records++
	if l.types[subject] == nil {
		l.types[subject] = map[string]int{}
	}
	l.types[subject][kind]++
	l.subjects[kind] = append(l.subjects[kind], subject)
	for key := range strings.SplitSeq(keys, "\n") {
		if key != "" {
			l.keys[key] = append(l.keys[key], subject)
		}
	}
	var o object
	switch kind {
	case "payin.succeeded", "payin.suspended", "payin.ordered", "refund.initiated", "refund.succeeded", "suspense.credited", "suspense.refunded", "wallet.adjusted":
		if err := json.Unmarshal(data, &o); err != nil {
			return fmt.Errorf("%s of %s: %w", kind, subject, err)
		}
	default:
		return nil
	}
	switch kind {
	case "payin.succeeded", "payin.suspended":
		l.payments[o.text("payment_id")]++
	case "payin.ordered":
		l.orders[subject+" "+o.text("order")]++
	case "refund.initiated":
		l.begun[o.text("refund")] = o
	case "refund.succeeded":
		l.refunded[o.text("refund")]++
	case "suspense.credited", "suspense.refunded":
		l.settled[o.text("suspense")]++
	case "wallet.adjusted":
		l.reasons[o.text("reason")]++
	}
	return nil
}

// wantHolds checks the first n acknowledgements, and that nothing that may happen once is in the log twice.
func (c *traffic) wantHolds(l *logged, n int) {
	t := c.w.t
	t.Helper()
	c.mu.Lock()
	acks := slices.Clone(c.acks[:n])
	c.mu.Unlock()
	for _, a := range acks {
		if err := a.holds(l); err != nil {
			t.Errorf("%s was acknowledged, and there is not what it needs: %v", a.what, err)
		}
	}
	for key, subjects := range l.keys {
		if len(subjects) != 1 {
			t.Errorf("the log has %s several times: %v", key, subjects)
		}
	}
	for what, counted := range map[string]map[string]int{
		"booked": l.payments, "refunded": l.refunded, "ordered": l.orders, "settled": l.settled, "corrected": l.reasons,
	} {
		for id, n := range counted {
			if n != 1 && id != "opening balance" {
				t.Errorf("%s is %s %d times", id, what, n)
			}
		}
	}
}

// acknowledgements is how many there are.
func (c *traffic) acknowledgements() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.acks)
}

// more waits until so many more were acknowledged.
func (c *traffic) more(n int, when string) {
	c.w.t.Helper()
	before := c.acknowledgements()
	c.w.eventually(60*time.Second, fmt.Sprintf("%d more are acknowledged %s", n, when), func() bool { return c.acknowledgements() >= before+n })
}

// repeats asks once more for what was acknowledged last, and looks whether refresh tokens that are used up are, and the others are not.
func (c *traffic) repeats() {
	t := c.w.t
	t.Helper()
	c.mu.Lock()
	again := c.again[max(0, len(c.again)-againAtMost):]
	c.again = nil
	if c.rounds++; c.rounds < 4 || c.rounds%4 == 0 { // in a long run payouts of batches would be all that there is
		c.inBatch = map[string]struct{}{}
	}
	spent, unspent := c.spent[max(0, len(c.spent)-spentLooked):], c.refresh
	c.refresh = ""
	c.mu.Unlock()
	for _, ask := range again {
		if err := ask(); err != nil {
			t.Error(err)
		}
	}
	c.repeated += len(again)
	for _, token := range spent {
		if status, o := c.w.kspay(http.MethodPost, refreshPath, c.app.pair(), "Authorization", token); status/100 != 4 {
			t.Errorf("a refresh token that is used up: %d %v", status, o)
		}
	}
	if unspent == "" {
		return
	}
	status, o := c.w.kspay(http.MethodPost, refreshPath, c.app.pair(), "Authorization", unspent)
	if status != http.StatusCreated {
		t.Errorf("a refresh token that was given and never used: %d %v", status, o)
	}
	c.mu.Lock()
	c.refresh = o.text("result", "refreshToken")
	c.mu.Unlock()
}

// everything waits until each kind was acknowledged: else nothing would be tried of it.
func (c *traffic) everything() {
	c.w.t.Helper()
	kinds := []string{
		"payouts", "payins", "refunds", "batches", "corrections", "entries of suspense", "transactions of the app", "orders at the company", "refresh tokens",
		"bank's messages of payments", "bank's messages of refunds", "webhooks of captured payments",
	}
	c.w.eventually(60*time.Second, "each kind is acknowledged", func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		return !slices.ContainsFunc(kinds, func(kind string) bool { return c.counts[kind] == 0 })
	})
}

// settled waits until everything has ended, and compares the log with the bank's and the company's own books.
func (c *traffic) settled() {
	w, t := c.w, c.w.t
	t.Helper()
	l := c.ended()
	c.wantHolds(l, c.acknowledgements())
	_, o := c.bank.call(c.m, http.MethodGet, "/sandbox/bank/transfers", "")
	paid := map[string]int{}
	for _, x := range o["transfers"].([]any) {
		if tr := object(x.(map[string]any)); tr.text("status") == "paid" {
			paid[tr.text("reference")]++
		}
	}
	succeeded := l.subjects["payout.succeeded"]
	for _, id := range succeeded {
		if paid[id] != 1 {
			t.Errorf("payout %s has succeeded, and the bank has paid it %d times", id, paid[id])
		}
	}
	if len(succeeded) != len(paid) {
		t.Errorf("%d payouts have succeeded, the bank has paid %d", len(succeeded), len(paid))
	}
	for id, begun := range l.begun {
		c.wantGiven(id, begun)
	}
	for ref, n := range c.sizes {
		for i := range n {
			if key := wallet.PayoutKey(c.m.ID, fmt.Sprintf("%s-%d", ref, i)); len(l.keys[key]) != 1 {
				t.Errorf("row %d of batch %s was drawn %d times", i, ref, len(l.keys[key]))
			}
		}
	}
	w.verify()
	w.wantTrialBalance("INR")
}

// stuck is for how long nothing may happen before it is held that nothing will. Thousands of payouts may be under way: how long they take in all is
// the machine's affair.
const stuck = 60 * time.Second

// ended waits until everything has come to its end, and returns the log.
func (c *traffic) ended() *logged {
	w, t := c.w, c.w.t
	t.Helper()
	for was, since := "", time.Now(); ; time.Sleep(100 * time.Millisecond) {
		locked := "?"
		status, o := w.call(c.m, http.MethodGet, "/api/v1/wallet/balance", "")
		if status == http.StatusOK {
			locked = o.text("data", "locked_balance")
		}
		if locked != was {
			was, since = locked, time.Now()
		}
		if locked == "0.00" {
			break
		}
		if time.Since(since) > stuck {
			t.Fatalf("for %v, %s have been locked", stuck, locked)
		}
	}
	for records, since := 0, time.Now(); ; time.Sleep(200 * time.Millisecond) {
		l := w.logged()
		open := c.unended(l)
		if open == "" {
			return l
		}
		if l.records != records {
			records, since = l.records, time.Now()
		}
		if time.Since(since) > stuck {
			t.Fatalf("it does not end: %s", open)
		}
	}
}

// unended names something that has to come to an end and has not.
func (c *traffic) unended(l *logged) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	for id, what := range c.paid {
		if l.payments[id] == 0 {
			return fmt.Sprintf("payment %s, of %s, is not booked", id, what)
		}
	}
	for _, id := range l.subjects["payout.initiated"] {
		if l.of(id, "payout.succeeded") == 0 {
			return fmt.Sprintf("payout %s is not paid", id)
		}
	}
	for id := range l.begun {
		if l.refunded[id] == 0 {
			return fmt.Sprintf("refund %s is not made", id)
		}
	}
	for _, id := range l.subjects["batch.submitted"] {
		if l.of(id, "batch.completed") == 0 {
			return fmt.Sprintf("batch %s is not completed: %v", id, l.types[id])
		}
	}
	return ""
}

// wantGiven compares a refund with what the bank has given back.
func (c *traffic) wantGiven(id string, begun object) {
	c.w.t.Helper()
	_, o := c.bank.call(testMerchant{}, http.MethodGet, "/sandbox/upi/refunds?payment_id="+begun.text("payment_id"), "")
	n := 0
	all, _ := o["refunds"].([]any)
	for _, at := range all {
		if at := object(at.(map[string]any)); at.text("reference") == id && at.text("status") == "refunded" {
			n++
		}
	}
	if n != 1 {
		c.w.t.Errorf("the bank has made refund %s %d times: %v", id, n, o)
	}
}

// summary is what was tried.
func (c *traffic) summary() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var kinds []string
	for kind, n := range c.counts {
		kinds = append(kinds, fmt.Sprintf("%d %s", n, kind))
	}
	slices.Sort(kinds)
	return fmt.Sprintf("%d acknowledgements (%s), %d of them repeated; %d requests without an answer, %d refused for now",
		len(c.acks), strings.Join(kinds, ", "), c.repeated, c.lost, c.refused)
}
