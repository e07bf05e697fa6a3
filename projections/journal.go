package projections

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
)

// journal holds every posting, with the balance of its account behind it.
type journal struct{}

func (journal) name() string       { return "journal" }
func (journal) version() int64     { return 1 }
func (journal) shape() int64       { return 1 }
func (journal) schemas() []*schema { return []*schema{&lineTable.schema, &accountTable.schema} }

// lineRow is one line of the journal. Amounts in minor units; balance is debits less credits of the account, in this
// partition, up to and including the line: what a merchant has is a liability, so its balance is negative.
type lineRow struct {
	partition, seq, line    int64
	account, currency       string
	debit, credit, balance  int64
	effectiveAt, recordedAt int64
	subject                 string
}

var lineTable = newTable(schema{
	name: "journal", key: 3, fixed: true,
	indexes: []index{{name: "account", columns: "account, currency, partition, recorded_at, seq, line"}},
}, []column[lineRow]{
	{"partition", func(r *lineRow) any { return &r.partition }},
	{"seq", func(r *lineRow) any { return &r.seq }},
	{"line", func(r *lineRow) any { return &r.line }},
	{"account", func(r *lineRow) any { return &r.account }},
	{"currency", func(r *lineRow) any { return &r.currency }},
	{"debit", func(r *lineRow) any { return &r.debit }},
	{"credit", func(r *lineRow) any { return &r.credit }},
	{"balance", func(r *lineRow) any { return &r.balance }},
	{"effective_at", func(r *lineRow) any { return &r.effectiveAt }},
	{"recorded_at", func(r *lineRow) any { return &r.recordedAt }},
	{"subject", func(r *lineRow) any { return &r.subject }},
})

// accountRow is an account's total in one partition.
type accountRow struct {
	account, currency string
	partition         int64
	debits, credits   int64
	seq               int64 // of the newest record that touched it
}

var accountTable = newTable(schema{name: "accounts", key: 3}, []column[accountRow]{
	{"account", func(r *accountRow) any { return &r.account }},
	{"currency", func(r *accountRow) any { return &r.currency }},
	{"partition", func(r *accountRow) any { return &r.partition }},
	{"debits", func(r *accountRow) any { return &r.debits }},
	{"credits", func(r *accountRow) any { return &r.credits }},
	{"seq", func(r *accountRow) any { return &r.seq }},
})

type accountKey struct {
	account, currency string
}

func (journal) apply(ctx context.Context, w *writer, generation int64, facts []fact) error {
	totals := map[accountKey]*accountRow{}
	var accounts []string
	lines := 0
	for i := range facts {
		for j := range facts[i].postings {
			key := keyOf(&facts[i], j)
			lines++
			if totals[key] == nil {
				totals[key] = &accountRow{partition: int64(w.partition), account: key.account, currency: key.currency}
				accounts = append(accounts, key.account)
			}
		}
	}
	if lines == 0 {
		return nil
	}
	rows, err := accountTable.load(ctx, w, generation, "account", accounts)
	if err != nil {
		return err
	}
	for _, row := range rows {
		if total := totals[accountKey{row.account, row.currency}]; total != nil && row.partition == int64(w.partition) {
			*total = row
		}
	}
	entries := make([]lineRow, 0, lines)
	for i := range facts {
		for j := range facts[i].postings {
			entry, err := newLine(&facts[i], j, totals[keyOf(&facts[i], j)])
			if err != nil {
				return err
			}
			entries = append(entries, entry)
		}
	}
	if err := lineTable.write(ctx, w, generation, entries); err != nil {
		return err
	}
	rows = rows[:0]
	for _, total := range totals {
		rows = append(rows, *total)
	}
	return accountTable.write(ctx, w, generation, rows)
}

func keyOf(f *fact, j int) accountKey {
	return accountKey{f.postings[j].Account, string(f.wallet.Header().Currency)}
}

// newLine is posting j of a fact; it moves the total of its account.
func newLine(f *fact, j int, total *accountRow) (lineRow, error) {
	p := &f.postings[j]
	row := lineRow{
		partition: int64(f.record.Partition), seq: f.record.Seq, line: int64(j + 1),
		account: total.account, currency: total.currency, subject: f.record.Subject,
		effectiveAt: micros(f.record.EffectiveAt), recordedAt: micros(f.record.RecordedAt),
	}
	for _, side := range []struct {
		to, sum *int64
		amount  money.Amount
	}{{&row.debit, &total.debits, p.Debit}, {&row.credit, &total.credits, p.Credit}} {
		var fits bool
		if *side.to, fits = side.amount.Minor(); !fits {
			return lineRow{}, fmt.Errorf("record %s: a posting of %s does not fit 64 bits", f.record.Position(), side.amount)
		}
		*side.sum += *side.to
	}
	total.seq = f.record.Seq
	row.balance = total.debits - total.credits
	return row, nil
}
