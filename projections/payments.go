package projections

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// payments holds every payment, and how many there are by day and status.
type payments struct{}

func (payments) name() string   { return "payments" }
func (payments) version() int64 { return 5 }
func (payments) shape() int64   { return 5 }
func (payments) schemas() []*schema {
	return []*schema{&paymentTable.schema, &statusTable.schema, &dayTable.schema}
}

// statusRow puts a payment in the list of its status. These rows come and go, so that those of paymentTable, which are ten
// times as wide, change in no column that has an index.
type statusRow struct {
	merchant, kind, status string
	createdAt, seq         int64
	id                     string
}

var statusTable = newTable(schema{
	name: "payment_status", key: 5, indexes: []index{{name: "pending", columns: "kind, id", where: "status = 'pending'"}},
}, []column[statusRow]{
	{"merchant", func(r *statusRow) any { return &r.merchant }},
	{"kind", func(r *statusRow) any { return &r.kind }},
	{"status", func(r *statusRow) any { return &r.status }},
	{"created_at", func(r *statusRow) any { return &r.createdAt }},
	{"seq", func(r *statusRow) any { return &r.seq }},
	{"id", func(r *statusRow) any { return &r.id }},
})

// dayRow counts the payments of a merchant by the UTC day of their creation, so that lists know their total, and find a page
// far down, without counting payments one by one.
type dayRow struct {
	merchant, kind, status string
	day, n                 int64 // days since 1970
}

var dayTable = newTable(schema{name: "payment_days", key: 4, adds: []string{"n"}}, []column[dayRow]{
	{"merchant", func(r *dayRow) any { return &r.merchant }},
	{"kind", func(r *dayRow) any { return &r.kind }},
	{"status", func(r *dayRow) any { return &r.status }},
	{"day", func(r *dayRow) any { return &r.day }},
	{"n", func(r *dayRow) any { return &r.n }},
})

const dayMicros = int64(24 * time.Hour / time.Microsecond)

// dayOf is the UTC day of a moment, also before 1970.
func dayOf(us int64) int64 {
	day := us / dayMicros
	if us < day*dayMicros {
		day--
	}
	return day
}

type paymentKey struct{ merchant, id string }

// paymentFold is a payment on its way through a batch.
type paymentFold struct {
	payment                 wallet.Payment
	partition, seq, changed int64         // position of the first record, and seq of the last one
	stored                  wallet.Status // as its row has it; "" without a row
	touched                 bool          // it differs from its row
}

func (payments) apply(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error {
	if err := loadPayments(ctx, w, known, generation, facts); err != nil {
		return err
	}
	days := map[dayRow]int64{}
	for i := range facts {
		if !listed(&facts[i]) {
			continue
		}
		f := known.payments[paymentOf(&facts[i])]
		f.evolve(&facts[i], days)
		if !f.touched {
			f.touched = true
			known.touched = append(known.touched, f)
		}
	}
	if err := writePayments(ctx, w, known, generation); err != nil {
		return err
	}
	counts := make([]dayRow, 0, len(days))
	for key, n := range days {
		key.n = n
		counts = append(counts, key)
	}
	return dayTable.merge(ctx, w, generation, counts)
}

// listed tells which facts the lists show. What is about to be sent to a bank is not among them: every payout is, and its row
// need not be written for that. Who has to know folds the log. What is held for a batch is no payment.
func listed(f *fact) bool {
	switch f.wallet.(type) {
	case nil, *wallet.PayoutSubmitted, *wallet.BatchQueued, *wallet.BatchHeld, *wallet.BatchReleased:
		return false
	}
	return true
}

func paymentOf(f *fact) paymentKey {
	of := f.wallet.Header()
	return paymentKey{of.Merchant, of.Payment}
}

// loadPayments makes all payments of the batch known: from their rows, where they are not made in it.
func loadPayments(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error {
	var ids []string
	for i := range facts {
		if !listed(&facts[i]) {
			continue
		}
		key := paymentOf(&facts[i])
		if known.payments[key] != nil {
			continue
		}
		known.payments[key] = &paymentFold{}
		if !creates(facts[i].wallet) {
			ids = append(ids, key.id)
		}
	}
	rows, err := paymentTable.load(ctx, w, generation, "id", ids)
	if err != nil {
		return err
	}
	for i := range rows {
		r := &rows[i]
		f := known.payments[paymentKey{r.merchant, r.id}]
		if f == nil {
			continue // another merchant's of the same id
		}
		f.stored, f.partition, f.seq, f.changed = wallet.Status(r.status), r.partition, r.seq, r.changed
		if f.payment, err = r.payment(); err != nil {
			return err
		}
	}
	return nil
}

// writePayments writes what has changed. Those that are pending wait, in the middle of a transaction: they will soon change again.
func writePayments(ctx context.Context, w *writer, known *cache, generation int64) error {
	due := known.touched
	known.touched = nil
	if known.more && len(known.payments) <= cached {
		due = slices.DeleteFunc(due, func(f *paymentFold) bool {
			waits := f.payment.Status == wallet.Pending
			if waits {
				known.touched = append(known.touched, f)
			}
			return waits
		})
	}
	if err := writeRows(ctx, w, generation, due, known.filling); err != nil {
		return err
	}
	for _, f := range due {
		if f.touched = false; f.payment.Status != wallet.Pending { // it will hardly change again
			delete(known.payments, paymentKey{f.payment.Merchant, f.payment.Of.Payment})
		}
	}
	return nil
}

// writeRows writes payments, and, but for filling, moves them to the lists of their status.
func writeRows(ctx context.Context, w *writer, generation int64, touched []*paymentFold, filling bool) error {
	var made, changed []paymentRow
	var left, entered []statusRow
	for _, f := range touched {
		if f.payment.Kind == "" {
			continue
		}
		row := paymentRow{partition: f.partition, seq: f.seq, changed: f.changed}
		if err := row.fill(&f.payment); err != nil {
			return err
		}
		if f.stored == "" {
			made = append(made, row)
		} else {
			changed = append(changed, row)
		}
		if f.stored == f.payment.Status {
			continue
		}
		if filling {
			f.stored = f.payment.Status
			continue
		}
		place := statusRow{row.merchant, row.kind, row.status, row.createdAt, row.seq, row.id}
		entered = append(entered, place)
		if f.stored != "" {
			place.status = string(f.stored)
			left = append(left, place)
		}
		f.stored = f.payment.Status
	}
	slices.SortFunc(made, func(a, b paymentRow) int { return strings.Compare(a.id, b.id) }) // neighbours in the index come one after the other
	if err := paymentTable.insert(ctx, w, generation, made); err != nil {
		return err
	}
	if err := paymentTable.update(ctx, w, generation, changed); err != nil {
		return err
	}
	if err := statusTable.remove(ctx, w, generation, left); err != nil {
		return err
	}
	return statusTable.insert(ctx, w, generation, entered)
}

// complete lists the payments by status.
func (payments) complete(ctx context.Context, w *writer, generation int64) error {
	list := statusTable.list()
	table := statusTable.in(generation)
	key := statusTable.list(statusTable.every()[:statusTable.key]...)
	fill := fmt.Sprintf("INSERT INTO %s (%s) SELECT %s FROM %s", table, list, list, paymentTable.in(generation))
	if w.dialect == SQLite {
		return w.ddl(ctx, fill+" ORDER BY "+key)
	}
	return w.ddl(ctx, "SET LOCAL enable_seqscan = on",
		fmt.Sprintf("ALTER TABLE %s DROP CONSTRAINT %s_pkey", table, table), fill, fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (%s)", table, key))
}

// creates tells the events that are the first of their payment.
func creates(e wallet.Event) bool {
	switch e.(type) {
	case *wallet.PayinCreated, *wallet.PayoutInitiated, *wallet.WalletAdjusted, *wallet.WalletHeld:
		return true
	}
	return false
}

// evolve folds one fact, and notes the change of status in days.
func (f *paymentFold) evolve(from *fact, days map[dayRow]int64) {
	r := from.record
	if f.payment.Kind == "" {
		f.partition, f.seq = int64(r.Partition), r.Seq
		f.payment.SealID = r.EventID.String()
	}
	f.changed = r.Seq
	was, before := f.payment.Kind, f.payment.Status
	f.payment.Evolve(from.wallet, r.EffectiveAt)
	if f.payment.Kind == "" || was != "" && before == f.payment.Status {
		return
	}
	key := dayRow{
		merchant: f.payment.Merchant, kind: string(f.payment.Kind), status: string(f.payment.Status), day: dayOf(micros(f.payment.CreatedAt)),
	}
	days[key]++
	if was != "" {
		key.status = string(before)
		days[key]--
	}
}
