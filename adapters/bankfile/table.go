package bankfile

import (
	"strings"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
)

// table makes a statement of a CSV's records.
type table struct {
	o      *Options
	m      *Mapping
	l      *layout
	n      numerals
	dates  *dates
	utrs   *utrFinder
	re     compiled
	debits map[string]bool // what a direction column says
	credit map[string]bool

	currency money.Currency
	said     bool // by a column, that is
	account  string
	spoken   int // line on which the account was first said
	others   map[string]bool

	lines    []reconcile.Line
	balances []balance // behind lines
	opening  stated
	closing  stated
	count    stated
	ended    int // line on which the table ended; 0: not yet
}

// balance is the balance behind a line.
type balance struct {
	line int // index in the statement
	is   money.Amount
}

// stated is an amount or a number that the file states of itself.
type stated struct {
	line   int // 0: not stated
	field  string
	amount money.Amount
	number int
}

func newTable(at found, o *Options) (*table, error) {
	m := at.mapping
	headers := at.headers
	l, err := place(m, headers, at.line)
	if err != nil {
		return nil, err
	}
	d, err := newDates(m, o.Zone)
	if err != nil {
		return nil, err
	}
	t := &table{o: o, m: m, l: l, n: m.numerals(), dates: d, utrs: newUTRFinder(m), re: m.compile(), others: map[string]bool{}}
	t.debits = words(m.DebitWords, "d", "dr", "debit", "withdrawal")
	t.credit = words(m.CreditWords, "c", "cr", "credit", "deposit")
	t.account = m.Account
	switch t.currency = m.Currency; {
	case t.currency == "" && o.Currency == "":
		t.currency = money.INR
	case t.currency == "":
		t.currency = o.Currency
	case o.Currency != "" && o.Currency != t.currency:
		return nil, fault(0, "", "the mapping says %s, and %s is asked for", t.currency, o.Currency)
	}
	return t, nil
}

func words(given []string, usual ...string) map[string]bool {
	if len(given) > 0 {
		usual = given
	}
	all := map[string]bool{}
	for _, w := range usual {
		all[fold(w)] = true
	}
	return all
}

// outside reads what a line before or behind the table says of the whole.
func (t *table) outside(line int, text string) error {
	if t.re.account != nil {
		if g := t.re.account.FindStringSubmatch(text); g != nil {
			if err := t.ofAccount(line, "account_pattern", strings.TrimSpace(g[1])); err != nil {
				return err
			}
		}
	} else if t.account == "" && t.l.account < 0 && t.ended == 0 {
		if account := accountIn(text); account != "" {
			t.account, t.spoken = account, line
		}
	}
	if t.re.opening != nil {
		if err := t.state(&t.opening, line, "opening_pattern", t.re.opening.FindStringSubmatch(text)); err != nil {
			return err
		}
		if err := t.state(&t.closing, line, "closing_pattern", t.re.closing.FindStringSubmatch(text)); err != nil {
			return err
		}
	}
	if t.re.count != nil {
		if g := t.re.count.FindStringSubmatch(text); g != nil {
			n, ok := digitsOf(strings.ReplaceAll(strings.TrimSpace(g[1]), ",", ""), "", 0)
			if !ok || g[1] == "" || t.count.line > 0 {
				return fault(line, "count_pattern", "does not find one number")
			}
			t.count = stated{line: line, number: int(min(n, 1<<40))}
		}
	}
	return nil
}

// state takes over a balance that a pattern or a column says. It must say the same wherever it stands.
func (t *table) state(of *stated, line int, field string, groups []string) error {
	if groups == nil {
		return nil
	}
	a, problem := t.n.parse(groups[1], t.currency)
	switch {
	case problem != "":
		return fault(line, field, "%s", problem)
	case of.line > 0 && !of.amount.Equal(a):
		return fault(line, field, "is another balance than on line %d", of.line)
	case of.line == 0:
		*of = stated{line: line, field: field, amount: a}
	}
	return nil
}

// record takes one record of the file.
func (t *table) record(s *csvScanner) error {
	switch {
	case s.blank() && (!s.open || len(s.cells) == 1):
		return nil
	case s.open && !t.m.OpenEnd:
		return fault(s.first, "", "the last line has no line end: the file may have been cut off (if it is whole, put a line end behind it, "+
			"or set open_end in the mapping)")
	case s.blank(), ornament(s.cells):
		return nil
	}
	raw, footer := "", t.re.end == nil && t.ended == 0 && t.footer(s.cells)
	if t.re.end != nil || t.re.ignore != nil || t.ended > 0 || footer {
		raw = strings.Join(s.cells, string(s.comma))
	}
	switch {
	case t.ended > 0 && t.isLine(s.cells):
		return fault(s.first, "", "a line of the statement stands behind the end of its table, which is line %d", t.ended)
	case t.ended == 0 && (t.re.end != nil && t.re.end.MatchString(raw) || footer):
		t.ended = s.first
		return t.outside(s.first, raw)
	case t.ended > 0:
		return t.outside(s.first, raw)
	case t.re.ignore != nil && t.re.ignore.MatchString(raw):
		return t.outside(s.first, raw)
	}
	if err := t.whole(s); err != nil {
		return err
	}
	for _, f := range t.l.only {
		if !f.values[strings.ToLower(s.cells[f.column])] {
			return nil
		}
	}
	if len(t.lines) == t.o.Limits.Lines {
		return fault(s.first, "", "the file has more than %d lines", t.o.Limits.Lines)
	}
	return t.line(s.first, s.cells)
}

// whole refuses a record that has not the cells that the header names. Blank ones may follow.
func (t *table) whole(s *csvScanner) error {
	n := t.l.columns()
	if len(s.cells) < n {
		return fault(s.first, "", "has %d columns where the header has %d", len(s.cells), n)
	}
	for _, c := range s.cells[n:] {
		if c != "" {
			hint := ""
			if s.comma == ',' {
				hint = ": a value with a comma, such as 1,00,000.00, must stand in quotation marks"
			}
			return fault(s.first, "", "has %d columns where the header has %d%s", len(s.cells), n, hint)
		}
	}
	return nil
}

// isLine says whether a record looks like a line of the table.
func (t *table) isLine(cells []string) bool {
	if len(cells) < t.l.columns() {
		return false
	}
	if _, ok := t.dates.read(cells[t.l.date]); !ok {
		return false
	}
	for _, c := range []int{t.l.amount, t.l.debit, t.l.credit} {
		if c >= 0 && cells[c] != "" {
			return true
		}
	}
	return false
}

// footer tells the first line of what banks put behind a table.
func (t *table) footer(cells []string) bool {
	if t.l.date < len(cells) {
		if _, ok := t.dates.read(cells[t.l.date]); ok {
			return false
		}
	}
	for _, c := range cells {
		if c == "" {
			continue
		}
		switch name := fold(c); {
		case strings.HasPrefix(name, "statementsummary"), strings.HasPrefix(name, "endofstatement"), strings.HasPrefix(name, "grandtotal"),
			strings.HasPrefix(name, "thisisacomputer"), strings.HasPrefix(name, "thisissystemgenerated"), strings.HasPrefix(name, "legend"),
			strings.HasPrefix(name, "generatedon"), strings.HasPrefix(name, "disclaimer"), strings.HasPrefix(name, "unlesstheconstituent"),
			strings.HasPrefix(name, "computergeneratedstatement"), name == "total", name == "totals":
			return true
		}
		return false
	}
	return false
}

// ornament tells a line of stars, hyphens or underscores.
func ornament(cells []string) bool {
	long := false
	for _, c := range cells {
		if strings.Trim(c, "*-_=") != "" {
			return false
		}
		long = long || len(c) >= 2
	}
	return long
}

// line takes one line of the statement.
func (t *table) line(number int, cells []string) error {
	l := t.l
	if mine, err := t.columnsOfWhole(number, cells); err != nil || !mine {
		return err
	}
	line := reconcile.Line{Number: number}
	var texts [2]string
	var problem error
	texts[0] = t.narration(cells)
	amount, given, err := t.amount(number, cells)
	if err != nil {
		return err
	}
	if !given {
		return t.balanceAlone(number, cells, texts[0])
	}
	line.Amount = amount
	var ok bool
	if line.Date, ok = t.dates.read(cells[l.date]); !ok {
		return fault(number, l.name(l.date), "is not a date as %s", strings.Join(t.layouts(), " or "))
	}
	if l.booked >= 0 && !blankValue(cells[l.booked]) {
		if line.Booked, ok = t.dates.read(cells[l.booked]); !ok {
			return fault(number, l.name(l.booked), "is not a date as %s", strings.Join(t.layouts(), " or "))
		}
	}
	if line.Fee, line.Tax, err = t.charges(number, cells); err != nil {
		return err
	}
	if err := t.net(number, cells, &line); err != nil {
		return err
	}
	value := func(columns []int) string {
		s, e := t.reference(number, cells, columns)
		if e != nil && problem == nil {
			problem = e
		}
		return s
	}
	line.UTR, line.Gateway, line.Reference, line.Settlement = value(l.utr), value(l.gateway), value(l.reference), value(l.settlement)
	if problem != nil {
		return problem
	}
	for _, c := range l.tail {
		if line.Tail = tailOf(cells[c]); line.Tail != "" {
			break
		}
	}
	line.Narration = texts[0]
	if line.UTR == "" && (len(l.utrFrom) > 0 || len(l.narration) > 0) {
		refs := make([]string, 0, 4)
		for _, c := range l.utrFrom {
			refs = append(refs, unquoted(cells[c]))
		}
		line.UTR = t.utrs.find(line.Narration, refs...)
	}
	t.lines = append(t.lines, line)
	if l.balance >= 0 && !blankValue(cells[l.balance]) {
		is, problem := t.n.parse(cells[l.balance], t.currency)
		if problem != "" {
			return fault(number, l.name(l.balance), "%s", problem)
		}
		t.balances = append(t.balances, balance{line: len(t.lines) - 1, is: is})
	}
	return nil
}

func (t *table) layouts() []string {
	if len(t.m.DateLayouts) > 0 {
		return t.m.DateLayouts
	}
	return usualLayouts()
}

// narration is the free text of a line.
func (t *table) narration(cells []string) string {
	switch columns := t.l.narration; len(columns) {
	case 0:
		return ""
	case 1:
		return cells[columns[0]]
	default:
		parts := make([]string, 0, len(columns))
		for _, c := range columns {
			if cells[c] != "" {
				parts = append(parts, cells[c])
			}
		}
		return strings.Join(parts, " ")
	}
}

// reference is the first of some columns that is not blank.
func (t *table) reference(number int, cells []string, columns []int) (string, error) {
	for _, c := range columns {
		s := unquoted(cells[c])
		if blankValue(s) || strings.Trim(s, "0") == "" {
			continue
		}
		if damaged(s) {
			return "", fault(number, t.l.name(c), "is a number that a spreadsheet has shortened, such as 4.09E+11: export the file anew, "+
				"or format the column as text before it is saved")
		}
		if len(s) > maxText {
			return "", fault(number, t.l.name(c), "has more than %d bytes", maxText)
		}
		return s, nil
	}
	return "", nil
}

// maxText bounds references, in bytes.
const maxText = 128

// unquoted takes off the apostrophe by which sheets mark text.
func unquoted(s string) string {
	if strings.HasPrefix(s, "'") {
		return strings.TrimSpace(s[1:])
	}
	return s
}

// damaged says whether a spreadsheet has taken a reference for a number: 4.09E+11, 409112345678.0.
func damaged(s string) bool {
	if s[0] < '0' || s[0] > '9' {
		return false
	}
	if whole, fraction, point := strings.Cut(s, "."); point && allDigits(whole) && strings.Trim(fraction, "0") == "" {
		return true
	}
	i := strings.IndexAny(s, "eE")
	if i < 1 || i+2 > len(s) || s[i+1] != '+' {
		return false
	}
	return allDigits(s[i+2:]) && allDigits(strings.Replace(strings.Replace(s[:i], ".", "", 1), ",", "", 1))
}

// columnsOfWhole reads what columns say of the statement: its account, its currency, its balances. False: the line is of another account.
func (t *table) columnsOfWhole(number int, cells []string) (mine bool, err error) {
	l := t.l
	if l.account >= 0 {
		account := unquoted(cells[l.account])
		if account == "" {
			return false, fault(number, l.name(l.account), "is blank")
		}
		if t.o.Account != "" && !SameAccount(account, t.o.Account) {
			t.others[shown(account)] = true
			return false, nil
		}
		if err := t.ofAccount(number, l.name(l.account), account); err != nil {
			return false, err
		}
	}
	if l.currency >= 0 && cells[l.currency] != "" {
		if err := t.ofCurrency(number, cells[l.currency]); err != nil {
			return false, err
		}
	}
	for _, b := range [...]struct {
		of     *stated
		column int
	}{{&t.opening, l.opening}, {&t.closing, l.closing}} {
		if b.column < 0 {
			continue
		}
		if err := t.state(b.of, number, l.name(b.column), []string{"", cells[b.column]}); err != nil {
			return false, err
		}
	}
	return true, nil
}

func (t *table) ofAccount(number int, field, account string) error {
	if t.account == "" {
		t.account, t.spoken = account, number
		return nil
	}
	if !SameAccount(account, t.account) {
		return fault(number, field, "is another account than before: the file holds several, say which is wanted")
	}
	return nil
}

func (t *table) ofCurrency(number int, said string) error {
	c := money.Currency(strings.ToUpper(said))
	if c == t.currency {
		t.said = true
		return nil
	}
	_, known := c.Exponent()
	switch {
	case !known:
		return fault(number, t.l.name(t.l.currency), "is a currency that the ledger does not know")
	case t.said || len(t.lines) > 0 || t.m.Currency != "" || t.o.Currency != "" || t.opening.line > 0:
		return fault(number, t.l.name(t.l.currency), "is another currency than %s, which the lines before it are in or which was asked for", t.currency)
	}
	t.currency, t.said = c, true
	return nil
}
