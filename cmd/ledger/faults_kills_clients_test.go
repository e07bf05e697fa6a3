package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/wallet"
)

// payout asks for a payout under an Idempotency-Key.
func (c *traffic) payout() {
	n := c.number()
	ref, body := fmt.Sprintf("P-%d", n), payoutBody(loadAccount, "1000", fmt.Sprintf("P-%d", n))
	ask := func() (string, bool) {
		o, ok := c.ask(http.StatusOK, c.m, http.MethodPost, payoutPath, body, "Idempotency-Key", ref)
		return o.text("data", "transaction", "transaction_id") + " " + o.text("data", "transaction", "net_amount"), ok
	}
	first, ok := ask()
	if !ok {
		return
	}
	id, _, _ := strings.Cut(first, " ")
	c.acknowledged("payouts", ref, func(l *logged) error { return l.under(wallet.PayoutKey(c.m.ID, ref), id) })
	c.repeatable(func() error { return same("payout "+ref, first, ask) })
}

// same asks again for what was answered.
func same(what, first string, ask func() (string, bool)) error {
	if second, ok := ask(); !ok || second != first {
		return fmt.Errorf("%s was answered as %q, and again as %q (%t)", what, first, second, ok)
	}
	return nil
}

// payin makes a payin, and pays it: once, or twice, or too little.
func (c *traffic) payin() {
	n := c.number()
	order := fmt.Sprintf("O-%d", n)
	body := fmt.Sprintf(`{"order_id":%q,"amount":500,"customer_phone":"9876543210","customer_name":"Asha Rao"}`, order)
	var link string
	ask := func() (string, bool) {
		o, ok := c.ask(http.StatusCreated, c.m, http.MethodPost, payinPath, body, "Idempotency-Key", order)
		link = o.text("data", "intent_url")
		return o.text("data", "transaction_id") + " " + o.text("data", "txn_ref") + " " + o.text("data", "commission"), ok
	}
	first, ok := ask()
	if !ok {
		return
	}
	parts := strings.Split(first, " ")
	c.acknowledged("payins", order, func(l *logged) error { return l.under(wallet.PayinKey(c.m.ID, order), parts[0]) })
	c.repeatable(func() error { return same("payin "+order, first, ask) })
	amounts := []string{"500"}
	switch n % 5 {
	case 1:
		amounts = []string{"500", "500"}
	case 2:
		amounts = []string{"499"}
	default:
		c.mu.Lock()
		c.open[parts[1]] = payin{parts[0], parts[1], []string{"200", "200.01"}[n%2]}
		c.mu.Unlock()
	}
	for _, amount := range amounts {
		c.atBank(link, amount, "payin "+order)
	}
}

// atBank pays a link, as the customer's app does.
func (c *traffic) atBank(link, amount, what string) {
	body, err := json.Marshal(object{"intent_url": link, "outcome": "success", "amount": amount})
	if err != nil {
		c.w.t.Error(err)
		return
	}
	status, o, err := c.bank.try(testMerchant{}, http.MethodPost, "/sandbox/upi/pay", string(body))
	if err != nil || status != http.StatusOK || o.text("payment_id") == "" {
		c.w.t.Errorf("paying for %s at the bank: %d %v %v", what, status, o, err)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paid[o.text("payment_id")] = what
}

// payOrder pays an order at the company, of so many paise, over UPI.
func (c *traffic) payOrder(order string, amount int, what string) error {
	body := fmt.Sprintf(`{"amount":%d,"currency":"INR","order_id":%q,"email":"a@shop.example","contact":"+919876543210","method":"upi","upi":{"flow":"intent"}}`, amount, order)
	req, err := http.NewRequest(http.MethodPost, "http://"+c.bank.addr+"/sandbox/razorpay/v1/payments/create/upi", strings.NewReader(body))
	if err != nil {
		return err
	}
	req.SetBasicAuth(c.account.text("key_id"), c.account.text("key_secret"))
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.bank.httpc.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	var o object
	if err := json.NewDecoder(resp.Body).Decode(&o); err != nil {
		return fmt.Errorf("paying order %s: %d, %w", order, resp.StatusCode, err)
	}
	if o.text("link") == "" {
		return fmt.Errorf("paying order %s: %d %v", order, resp.StatusCode, o)
	}
	c.atBank(o.text("link"), fmt.Sprintf("%d.%02d", amount/100, amount%100), what)
	return nil
}

// refund refunds a part of a payin whose payment was acknowledged to the bank: so it must be known.
func (c *traffic) refund() {
	var p payin
	select {
	case p = <-c.refunds:
	default:
		return
	}
	body := fmt.Sprintf(`{"amount":%q,"reason":"one item returned","reference":"RET-%s"}`, p.back, p.ref)
	ask := func() (string, bool) {
		o, ok := c.ask(http.StatusOK, testMerchant{}, http.MethodPost, "/ops/v1/payins/"+p.id+"/refunds", body, "X-Operator-Key", c.operator)
		return o.text("data", "refund", "id") + " " + o.text("data", "refund", "net"), ok
	}
	first, ok := ask()
	if !ok {
		c.refunds <- p // once more, with the same reference: it may have been made
		return
	}
	id, _, _ := strings.Cut(first, " ")
	c.acknowledged("refunds", id, func(l *logged) error { return l.under(wallet.RefundReferenceKey(p.id, "RET-"+p.ref), p.id) })
	c.repeatable(func() error { return same("refund "+id, first, ask) })
}

// transaction initiates one of the app's transactions, has its order made, and pays it at the company.
func (c *traffic) transaction() {
	n := c.number()
	pair, err := json.Marshal(c.app.pair())
	if err != nil {
		c.w.t.Error(err)
		return
	}
	o, ok := c.ask(http.StatusCreated, testMerchant{}, http.MethodPost, "/v1/auth/generate-signature/"+c.app.ID, string(pair))
	if !ok {
		return
	}
	signature := o.text("result")
	o, ok = c.ask(http.StatusCreated, testMerchant{}, http.MethodPost, "/v1/transaction/initiate",
		fmt.Sprintf(`{"currencyId":%q,"paymentMethodId":%q,"amount":345.67,"referenceNumber":"T-%d"}`, rupees, netBanking, n), "x-signature", signature)
	if !ok {
		return
	}
	id := o.text("result", "pe_txnId")
	c.acknowledged("transactions of the app", id, func(l *logged) error { return once("payin.created of "+id, l.of(id, "payin.created")) })
	o, ok = c.ask(http.StatusCreated, testMerchant{}, http.MethodPost, "/v1/transaction/process", "", "x-signature", signature)
	if !ok {
		return
	}
	order := o.text("result", "providerOrderId")
	c.acknowledged("orders at the company", order, func(l *logged) error { return once("payin.ordered of "+id+" as "+order, l.orders[id+" "+order]) })
	if err := c.payOrder(order, 345_67, id); err != nil {
		c.w.t.Error(err)
	}
}

// tokens uses a refresh token, again and again.
func (c *traffic) tokens() {
	if c.chance(4) > 0 {
		return
	}
	pair, err := json.Marshal(c.app.pair())
	if err != nil {
		c.w.t.Error(err)
		return
	}
	c.mu.Lock()
	refresh := c.refresh
	c.mu.Unlock()
	path, headers := "/v1/auth/generate-token/"+c.app.ID, []string(nil)
	if refresh != "" {
		path, headers = refreshPath, []string{"Authorization", refresh}
	}
	o, ok := c.ask(http.StatusCreated, testMerchant{}, http.MethodPost, path, string(pair), headers...)
	c.mu.Lock()
	if c.refresh = o.text("result", "refreshToken"); ok && refresh != "" { // else it may be used up, or not: the way on is by the credentials
		c.spent = append(c.spent, refresh)
	}
	c.mu.Unlock()
	if ok && refresh != "" {
		c.acknowledged("refresh tokens", "", func(*logged) error { return nil }) // it is in no log: see tokensHold
	}
}

// batch submits one batch in a round, or in some rounds.
func (c *traffic) batch() {
	c.mu.Lock()
	busy := len(c.inBatch) > 0
	c.mu.Unlock()
	if busy {
		return
	}
	ref := fmt.Sprintf("B-%d", c.number())
	c.mu.Lock()
	c.inBatch[ref] = struct{}{}
	c.mu.Unlock()
	items := make([]string, c.rows)
	for i := range items {
		items[i] = payoutBody(loadAccount, "1000", fmt.Sprintf("%s-%d", ref, i))
	}
	body := fmt.Sprintf(`{"batch_ref":%q,"items":[%s]}`, ref, strings.Join(items, ","))
	ask := func(want int) (string, bool) {
		o, ok := c.ask(want, c.m, http.MethodPost, pathBatches, body)
		return o.text("data", "batch_id"), ok
	}
	id, ok := ask(http.StatusAccepted)
	if !ok {
		return
	}
	c.mu.Lock()
	c.sizes[ref] = c.rows
	c.mu.Unlock()
	c.acknowledged("batches", ref, func(l *logged) error { return l.under(batch.RefKey(c.m.ID, ref), id) })
	c.repeatable(func() error { return same("batch "+ref, id, func() (string, bool) { return ask(http.StatusOK) }) })
}

// operate runs an operator's command: a correction of a wallet, or what becomes of money in suspense. Now and then it is the command that is killed.
func (c *traffic) operate() {
	switch c.chance(20) { // a process each time, which costs as much as a hundred requests
	case 0:
	case 1:
		c.suspense()
		return
	default:
		return
	}
	reason := fmt.Sprintf("correction %d", c.number())
	var o object
	if !c.command(&o, "wallet", "adjust", "--merchant", c.m.ID, "--amount", "0.01", "--reason", reason) {
		return
	}
	c.acknowledged("corrections", reason, func(l *logged) error {
		return once("wallet.adjusted for "+reason, min(l.of(o.text("transaction_id"), "wallet.adjusted"), l.reasons[reason]))
	})
}

// suspense settles one entry.
func (c *traffic) suspense() {
	var list object
	if !c.command(&list, "suspense", "list") {
		return
	}
	entries, _ := list["suspense"].([]any)
	if len(entries) == 0 {
		return
	}
	id := object(entries[c.chance(len(entries))].(map[string]any)).text("id")
	what := []string{"credit", "refund"}[c.chance(2)]
	if !c.command(nil, "suspense", what, id, "--reason", "the customer said so") {
		return
	}
	c.acknowledged("entries of suspense", what+" "+id, func(l *logged) error { return once("ends of "+id, l.settled[id]) })
}

// command runs a command beside the server, and kills one of eight.
func (c *traffic) command(answer any, args ...string) bool {
	var out string
	var code int
	if c.chance(8) == 0 {
		out, code = c.w.killed(time.Duration(5+c.chance(150))*time.Millisecond, args...)
	} else {
		out, code = c.w.run(args...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case code < 0:
		c.lost++
	case code != 0:
		c.refused++
		c.failed = strings.Join(args, " ") + ": " + out
	case answer == nil:
		return true
	default:
		if err := json.Unmarshal([]byte(out), answer); err != nil {
			c.w.t.Errorf("%s answered %q: %v", strings.Join(args, " "), out, err)
			return false
		}
		return true
	}
	return false
}

// killed runs a subcommand on the stores and kills it after a while; the code is negative when it was not over by then.
func (w *world) killed(after time.Duration, args ...string) (out string, code int) {
	cmd := w.program(w.t.Context(), append(args, "--db", w.db, "--master-key-file", w.keyFile())...)
	var stdout bytes.Buffer
	cmd.Stdout = &stdout
	if err := cmd.Start(); err != nil {
		w.t.Error(err)
		return "", -1
	}
	timer := time.AfterFunc(after, func() { cmd.Process.Kill() })
	defer timer.Stop()
	cmd.Wait() // how it ended is its state
	return stdout.String(), cmd.ProcessState.ExitCode()
}

// linesWith are the lines of a log that have a text.
func linesWith(log, text string) string {
	var found strings.Builder
	for line := range strings.Lines(log) {
		if strings.Contains(line, text) {
			found.WriteString(line)
		}
	}
	return found.String()
}
