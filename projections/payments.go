package projections

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/domain/wallet"
)

// payments holds every payment, and how many there are by day and status.
type payments struct{}

func (payments) name() string       { return "payments" }
func (payments) version() int64     { return 1 }
func (payments) shape() int64       { return 1 }
func (payments) schemas() []*schema { return []*schema{&paymentTable.schema, &dayTable.schema} }

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
	row     paymentRow // where its records stand; the rest of it as loaded
	payment wallet.Payment
}

func (payments) apply(ctx context.Context, w *writer, generation int64, facts []fact) error {
	folds, order, err := loadPayments(ctx, w, generation, facts)
	if err != nil {
		return err
	}
	days := map[dayRow]int64{}
	for i := range facts {
		if facts[i].wallet == nil {
			continue
		}
		of := facts[i].wallet.Header()
		folds[paymentKey{of.Merchant, of.Payment}].evolve(&facts[i], days)
	}
	rows := make([]paymentRow, 0, len(order))
	for _, key := range order {
		f := folds[key]
		if f.payment.Kind == "" {
			continue
		}
		if err := f.row.fill(&f.payment); err != nil {
			return err
		}
		rows = append(rows, f.row)
	}
	if err := paymentTable.write(ctx, w, generation, rows); err != nil {
		return err
	}
	counts := make([]dayRow, 0, len(days))
	for key, n := range days {
		key.n = n
		counts = append(counts, key)
	}
	return dayTable.write(ctx, w, generation, counts)
}

// loadPayments makes the folds of all payments of the batch, from their rows where they are not made in it.
func loadPayments(ctx context.Context, w *writer, generation int64, facts []fact) (map[paymentKey]*paymentFold, []paymentKey, error) {
	folds := map[paymentKey]*paymentFold{}
	var order []paymentKey
	var known []string
	for i := range facts {
		if facts[i].wallet == nil {
			continue
		}
		of := facts[i].wallet.Header()
		key := paymentKey{of.Merchant, of.Payment}
		if folds[key] != nil {
			continue
		}
		folds[key] = &paymentFold{}
		order = append(order, key)
		if !creates(facts[i].wallet) {
			known = append(known, of.Payment)
		}
	}
	rows, err := paymentTable.load(ctx, w, generation, "id", known)
	if err != nil {
		return nil, nil, err
	}
	for i := range rows {
		f := folds[paymentKey{rows[i].merchant, rows[i].id}]
		if f == nil {
			continue // another merchant's of the same id
		}
		f.row = rows[i]
		if f.payment, err = rows[i].payment(); err != nil {
			return nil, nil, err
		}
	}
	return folds, order, nil
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
		f.row.partition, f.row.seq = int64(r.Partition), r.Seq
		f.payment.SealID = r.EventID.String()
	}
	f.row.changed = r.Seq
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
