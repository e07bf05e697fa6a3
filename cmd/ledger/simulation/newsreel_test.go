package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"sync"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
)

// newsreel is the oracle of callbacks: what merchants are to be told, read from the log as it is stored.
type newsreel struct {
	world *world
	mu    sync.Mutex
	read  []int64 // by partition
	items map[string]*newsItem
	of    map[string]*told // by payment or batch
}

// newsItem is one callback that has to be made.
type newsItem struct {
	merchant, subject, body string
	at                      eventstore.Position
	kind                    string
}

// told is what the oracle remembers of a payment or batch for the callbacks about it.
type told struct {
	fact
	Batch     string `json:"batch"`
	Ref       string `json:"batch_ref"`
	Count     int    `json:"count"`
	Reference string `json:"bank_reference"`
	UTR       string `json:"utr"`
	Missing   int    `json:"missing"`
	Reason    string `json:"reason"`
	Item      int    `json:"item"`
}

func newNewsreel(w *world) *newsreel {
	return &newsreel{world: w, read: make([]int64, w.profile.partitions), items: map[string]*newsItem{}, of: map[string]*told{}}
}

// follow reads what was appended since.
func (n *newsreel) follow() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for p := range n.read {
		records, err := n.world.log.Read(context.Background(), p, n.read[p], 1<<20)
		if err != nil {
			panic(err)
		}
		for i := range records {
			n.add(&records[i])
			n.read[p] = records[i].Seq
		}
	}
}

func (n *newsreel) add(r *eventstore.Record) {
	var f told
	if err := json.Unmarshal(r.Data, &f); err != nil {
		panic(err)
	}
	tells := n.payment
	if strings.HasPrefix(r.Stream, "batch:") {
		tells = n.batch
	}
	body := tells(r, &f)
	m, is := n.world.extras.shops.find(f.Merchant)
	if body == "" || !is || m.CallbackURL == "" {
		return
	}
	id := "cb_" + strings.ReplaceAll(r.EventID.String(), "-", "")
	n.items[id] = &newsItem{merchant: f.Merchant, subject: r.Subject, body: body, at: r.Position(), kind: r.Type}
}

// payment is the body of the callback about a payment; "" for none.
func (n *newsreel) payment(r *eventstore.Record, f *told) string {
	p := n.of[f.Payment]
	if r.Type == "payin.created" || r.Type == "payout.initiated" {
		n.of[f.Payment] = f
		return ""
	}
	status := map[string]string{
		"payin.succeeded": "success", "payin.failed": "failed", "payin.expired": "expired", "payout.succeeded": "success", "payout.failed": "failed",
		"payout.refunded": "refunded", "payout.returned": "refunded", "payout.paid_after_refund": "success",
	}[r.Type]
	if status == "" {
		return ""
	}
	switch r.Type {
	case "payin.succeeded", "payout.succeeded", "payout.paid_after_refund":
		p.UTR, p.Reference = f.UTR, f.Reference
	}
	service, _, _ := strings.Cut(r.Type, ".")
	amount := n.amounts(f.Merchant)
	body := fmt.Sprintf(`{"event":"transaction.updated","transaction_id":%q,"service":%q,"status":%q,"amount":%s,"commission":%s`,
		p.Payment, service, status, amount(&p.Amount.Int), amount(&p.Commission.Int))
	if service == "payin" {
		body += fmt.Sprintf(`,"net_amount":%s,"order_id":%q,"txn_ref":%q,"utr":%s`, amount(minus(&p.Amount.Int, &p.Commission.Int)), p.OrderID, p.TxnRef, orNull(p.UTR))
	} else {
		body += fmt.Sprintf(`,"net_amount":%s,"reference_id":%s,"partner_request_id":%q`, amount(plus(&p.Amount.Int, &p.Commission.Int)), orNull(p.Reference), p.RequestID)
	}
	return body + fmt.Sprintf(`,"timestamp":%q}`, r.RecordedAt.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

// batch is the body of the callback about a batch; "" for none.
func (n *newsreel) batch(r *eventstore.Record, f *told) string {
	status := map[string]string{
		"batch.approved": "processing", "batch.rejected": "rejected", "batch.completed": "completed", "batch.cancelled": "cancelled",
	}[r.Type]
	switch {
	case r.Type == "batch.submitted":
		n.of[f.Batch] = f
		return ""
	case status == "" || f.Missing > 0:
		return ""
	}
	b, stopper, amount := n.of[f.Batch], "null", n.amounts(f.Merchant)
	if f.Item > 0 {
		stopper = fmt.Sprint(f.Item)
	}
	return fmt.Sprintf(`{"event":"batch.updated","batch_id":%q,"batch_ref":%q,"status":%q,"reason":%s,"stopped_by":%s,"count":%d,"total_amount":%s,"commission":%s,"timestamp":%q}`,
		f.Batch, b.Ref, status, orNull(f.Reason), stopper, b.Count, amount(&b.Amount.Int), amount(&b.Commission.Int), r.RecordedAt.UTC().Format("2006-01-02T15:04:05.000000Z"))
}

func orNull(s string) string {
	if s == "" {
		return "null"
	}
	return fmt.Sprintf("%q", s)
}

// amounts is how a merchant's callbacks write amounts.
func (n *newsreel) amounts(id string) func(*big.Int) string {
	m, _ := n.world.extras.shops.find(id)
	return func(p *big.Int) string {
		if m.Dialect == merchant.Raw {
			return decimal(p)
		}
		return strings.TrimSuffix(strings.TrimRight(decimal(p), "0"), ".")
	}
}

// judge compares a callback that has arrived with what is to be told.
func (n *newsreel) judge(name, id, shop string, body []byte) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch item := n.items[id]; {
	case item == nil:
		n.world.wrong("%s: nothing of the log calls for it", name)
	case item.merchant != shop:
		n.world.wrong("%s is about a payment of %s", name, item.merchant)
	case item.body != string(body):
		n.world.wrong("%s says\n%s\nand ought to say\n%s", name, body, item.body)
	}
}

// unquiet says what is not told yet.
func (h *hooks) unquiet() string {
	h.news.follow()
	found, err := h.world.work.query("SELECT COUNT(*), SUM(state = 'pending') FROM deliveries", nil)
	if err != nil {
		return err.Error()
	}
	h.news.mu.Lock()
	defer h.news.mu.Unlock()
	pending, _ := found.values[0][1].(int64)
	if there := found.values[0][0].(int64); pending > 0 || there < int64(len(h.news.items)) {
		return fmt.Sprintf("callbacks: %d to be made, %d there, %d pending", len(h.news.items), there, pending)
	}
	return ""
}

// delivery is what the work database has of a callback, at the end.
type delivery struct {
	merchant, subject, state, body string
	attempts                       int64
	at                             eventstore.Position
	starts, ends                   []int64
}

func (h *hooks) deliveries() (map[string]*delivery, error) {
	out := map[string]*delivery{}
	found, err := h.world.work.query("SELECT id, merchant, subject, partition, seq, state, attempts, body FROM deliveries", nil)
	if err != nil {
		return nil, err
	}
	for _, v := range found.values {
		out[v[0].(string)] = &delivery{
			merchant: v[1].(string), subject: v[2].(string), at: eventstore.Position{Partition: int(v[3].(int64)), Seq: v[4].(int64)},
			state: v[5].(string), attempts: v[6].(int64), body: string(v[7].([]byte)),
		}
	}
	found, err = h.world.work.query("SELECT delivery, started_at, finished_at FROM delivery_attempts ORDER BY delivery, attempt", nil)
	if err != nil {
		return nil, err
	}
	for _, v := range found.values {
		d := out[v[0].(string)]
		d.starts, d.ends = append(d.starts, v[1].(int64)), append(d.ends, v[2].(int64))
	}
	return out, nil
}

// judge compares, at the end, what was to be told with what was told.
func (h *hooks) judge() {
	h.news.follow()
	w := h.world
	there, err := h.deliveries()
	if err != nil {
		w.wrong("the callbacks: %v", err)
		return
	}
	for _, id := range slices.Sorted(maps.Keys(there)) {
		if h.news.items[id] == nil {
			w.wrong("callback %s about %s is stored, and nothing of the log calls for it", id, there[id].subject)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(h.news.items)) {
		item, d := h.news.items[id], there[id]
		name := fmt.Sprintf("callback %s about %s of %s", id, item.kind, item.subject)
		if d == nil {
			w.wrong("%s was never made", name)
			continue
		}
		if d.merchant != item.merchant || d.subject != item.subject || d.at != item.at || d.body != item.body {
			w.wrong("%s is stored as %+v", name, *d)
		}
		h.ended(name, id, d)
		h.spaced(name, d)
	}
}

// ended checks how a callback has ended: it was delivered, or tried as often as it is to be tried.
func (h *hooks) ended(name, id string, d *delivery) {
	w := h.world
	thanked := slices.ContainsFunc(h.received[id], func(r receipt) bool { return r.thanked })
	switch {
	case d.state == "delivered" && !thanked:
		w.wrong("%s counts as delivered, and no answer to it was 200", name)
	case d.state == "failed" && d.attempts != int64(h.attempts):
		w.wrong("%s was given up after %d attempts of %d", name, d.attempts, h.attempts)
	case d.state != "delivered" && d.state != "failed":
		w.wrong("%s is %s for ever", name, d.state)
	case d.attempts != int64(len(d.starts)):
		w.wrong("%s: %d attempts are counted, and %d are kept", name, d.attempts, len(d.starts))
	}
	w.saw("callbacks " + d.state)
}

// spaced checks the time between two attempts: the gap behind one that has ended, and the lease of one that has not.
func (h *hooks) spaced(name string, d *delivery) {
	for i := range d.starts[:max(0, len(d.starts)-1)] {
		least := d.starts[i] + patience.Microseconds()
		if ended := d.ends[i]; ended > 0 && ended < d.starts[i+1] {
			least = ended + h.gap.Microseconds()
		}
		if d.starts[i+1] < least {
			h.world.wrong("%s: attempt %d begins %dus after the one before, which ended after %dus; the gap is %s", name, i+2,
				d.starts[i+1]-d.starts[i], d.ends[i]-d.starts[i], h.gap)
		}
	}
}
