package projections

// datedRow is a line of the journal that was recorded more than near away from its value date, on either side: what balances by
// value date must add or take away, beside what they find in the journal around their instant. amount is debit less credit.
//
// The key puts together the lines of a class of gap, in the order of time: of each class only those count that were recorded within the
// class's reach of the instant, so a query reads no others.
type datedRow struct {
	gap, recordedAt, partition, seq, line int64
	account, amount, effectiveAt          int64
}

var datedTable = newTable(schema{name: "journal_dated", key: 5}, []column[datedRow]{
	{"gap", func(r *datedRow) any { return &r.gap }},
	{"recorded_at", func(r *datedRow) any { return &r.recordedAt }},
	{"partition", func(r *datedRow) any { return &r.partition }},
	{"seq", func(r *datedRow) any { return &r.seq }},
	{"line", func(r *datedRow) any { return &r.line }},
	{"account", func(r *datedRow) any { return &r.account }},
	{"amount", func(r *datedRow) any { return &r.amount }},
	{"effective_at", func(r *datedRow) any { return &r.effectiveAt }},
})

func newDated(l *lineRow, gap int64) datedRow {
	return datedRow{
		gap: gap, recordedAt: l.recordedAt, partition: l.partition, seq: l.seq, line: l.line,
		account: l.account, amount: l.debit - l.credit, effectiveAt: l.effectiveAt,
	}
}

// near is how far from its value date a line may be recorded without being in datedTable, in microseconds.
const near = int64(1_000_000)

// widest is the widest class: its reach of 4^20 seconds is more than all the years that a time can be written with.
const widest = 20

// reach is the most, in microseconds, that lines of a class are recorded away from their value date.
func reach(class int64) int64 { return near << (2 * class) }

// gapClass is n for a line that was recorded up to 4^n seconds behind its value date, -n for one that was recorded before it, and 0 for one
// that was recorded within a second of it.
func gapClass(recordedAt, effectiveAt int64) int64 {
	gap, sign := recordedAt-effectiveAt, int64(1)
	if gap < 0 {
		gap, sign = -gap, -1
	}
	class := int64(0)
	for class < widest && gap > reach(class) {
		class++
	}
	return sign * class
}
