package projections

import (
	"context"
	"fmt"

	"github.com/khata-ledger/khata/domain/money"
)

// journal holds every posting, with the balance of its account behind it.
type journal struct{}

func (journal) name() string   { return "journal" }
func (journal) version() int64 { return 3 }
func (journal) shape() int64   { return 3 }
func (journal) schemas() []*schema {
	return []*schema{&lineTable.schema, &accountTable.schema, &datedTable.schema}
}

// lineRow is one line of the journal. Amounts in minor units; balance is debits less credits of the account, in this
// partition, up to and including the line: what a merchant has is a liability, so its balance is negative.
//
// The key's is the one index that there is: an account's lines lie together in it, in the order of time, and each new one is
// the last of its account. Names of accounts and their currencies stand once, in accountTable.
type lineRow struct {
	partition, account, recordedAt, seq, line int64
	debit, credit, balance                    int64
	effectiveAt                               int64
	subject                                   string
}

var lineTable = newTable(schema{name: "journal", key: 5, fixed: true}, []column[lineRow]{
	{"partition", func(r *lineRow) any { return &r.partition }},
	{"account", func(r *lineRow) any { return &r.account }},
	{"recorded_at", func(r *lineRow) any { return &r.recordedAt }},
	{"seq", func(r *lineRow) any { return &r.seq }},
	{"line", func(r *lineRow) any { return &r.line }},
	{"debit", func(r *lineRow) any { return &r.debit }},
	{"credit", func(r *lineRow) any { return &r.credit }},
	{"balance", func(r *lineRow) any { return &r.balance }},
	{"effective_at", func(r *lineRow) any { return &r.effectiveAt }},
	{"subject", func(r *lineRow) any { return &r.subject }},
})

// accountRow is an account in one partition, with its total there.
type accountRow struct {
	name, currency  string
	partition       int64
	account         int64 // its number in the partition, by which its lines name it: see numbered
	debits, credits int64
	seq             int64 // of the newest record that touched it
}

var accountTable = newTable(schema{name: "accounts", key: 3}, []column[accountRow]{
	{"name", func(r *accountRow) any { return &r.name }},
	{"currency", func(r *accountRow) any { return &r.currency }},
	{"partition", func(r *accountRow) any { return &r.partition }},
	{"account", func(r *accountRow) any { return &r.account }},
	{"debits", func(r *accountRow) any { return &r.debits }},
	{"credits", func(r *accountRow) any { return &r.credits }},
	{"seq", func(r *accountRow) any { return &r.seq }},
})

type accountKey struct {
	name     string
	currency money.Currency
}

// mostLines is more than any record has.
const mostLines = 100

// numbered is the number of an account whose first line in the partition is line j of a record: no other account has it.
func numbered(f *fact, j int) int64 { return f.record.Seq*mostLines + int64(j) }

// firstOf is the position of the first record that has touched an account, by the account's number.
func firstOf(account int64) int64 { return account / mostLines }

func (journal) apply(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) error {
	lines, err := loadAccounts(ctx, w, known, generation, facts)
	if err != nil {
		return err
	}
	touched := map[*accountRow]bool{}
	entries := make([]lineRow, 0, lines)
	var dated []datedRow
	for i := range facts {
		for j := range facts[i].postings {
			account := known.accounts[accountOf(&facts[i], j)]
			entry, err := newLine(&facts[i], j, account)
			if err != nil {
				return err
			}
			entries = append(entries, entry)
			touched[account] = true
			if gap := gapClass(entry.recordedAt, entry.effectiveAt); gap != 0 {
				dated = append(dated, newDated(&entry, gap))
			}
		}
	}
	if err := lineTable.insert(ctx, w, generation, entries); err != nil {
		return err
	}
	if err := datedTable.insert(ctx, w, generation, dated); err != nil {
		return err
	}
	totals := make([]accountRow, 0, len(touched))
	for account := range touched {
		totals = append(totals, *account)
	}
	return accountTable.merge(ctx, w, generation, totals)
}

func accountOf(f *fact, j int) accountKey {
	return accountKey{f.postings[j].Account, f.postings[j].Debit.Currency()}
}

// loadAccounts makes all accounts of the batch known, and counts its lines.
func loadAccounts(ctx context.Context, w *writer, known *cache, generation int64, facts []fact) (lines int, err error) {
	var names []string
	for i := range facts {
		for j := range facts[i].postings {
			lines++
			key := accountOf(&facts[i], j)
			if known.accounts[key] == nil {
				known.accounts[key] = &accountRow{
					name: key.name, currency: string(key.currency), partition: int64(known.partition), account: numbered(&facts[i], j),
				}
				names = append(names, key.name)
			}
		}
	}
	rows, err := accountTable.load(ctx, w, generation, "name", names)
	if err != nil {
		return 0, err
	}
	for i := range rows {
		if rows[i].partition == int64(known.partition) {
			known.accounts[accountKey{rows[i].name, money.Currency(rows[i].currency)}] = &rows[i]
		}
	}
	return lines, nil
}

// newLine is posting j of a fact; it moves the total of its account.
func newLine(f *fact, j int, account *accountRow) (lineRow, error) {
	p := &f.postings[j]
	debit, fits := p.Debit.Minor()
	credit, fitsToo := p.Credit.Minor()
	if !fits || !fitsToo {
		return lineRow{}, fmt.Errorf("record %s: a posting of %s and %s does not fit 64 bits", f.record.Position(), p.Debit, p.Credit)
	}
	account.debits += debit
	account.credits += credit
	account.seq = f.record.Seq
	return lineRow{
		partition: account.partition, account: account.account, recordedAt: micros(f.record.RecordedAt), seq: f.record.Seq, line: int64(j + 1),
		debit: debit, credit: credit, balance: account.debits - account.credits,
		effectiveAt: micros(f.record.EffectiveAt), subject: f.record.Subject,
	}, nil
}
