package bankfile

import (
	"fmt"
	"iter"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// fold is a header without case, blanks and punctuation, by which headers are compared.
func fold(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

// columnNumber reads "#3": the third column, 2.
func columnNumber(name string) (int, bool) {
	number, ok := strings.CutPrefix(strings.TrimSpace(name), "#")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(number)
	return n - 1, err == nil && n >= 1 && n <= maxColumns
}

func itoa(n int) string { return strconv.Itoa(n) }

// each goes through the columns of a mapping in the order of their keys, so that of several mistakes always the same is told.
func (c *Columns) each() iter.Seq2[string, Names] {
	return func(yield func(string, Names) bool) {
		all := c.fields()
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if !yield(key, all[key]) {
				return
			}
		}
	}
}

// layout is where the columns of a mapping stand in a file.
type layout struct {
	headers []string
	line    int // of the header
	only    []filter

	date, booked, amount, direction, debit, credit, fee, tax int // -1: not there
	account, currency, balance, opening, closing             int
	utr, utrFrom, gateway, reference                         []int
	tail, settlement, narration                              []int
}

// filter says which lines count.
type filter struct {
	column int
	values map[string]bool
}

// place finds the columns of a mapping among headers. The errors list what is there. headers nil: there are none, and numbers name the columns.
func place(m *Mapping, headers []string, line int) (*layout, error) {
	l := &layout{headers: headers, line: line}
	seen := map[string]int{}
	for i, h := range headers {
		name := fold(h)
		if first, twice := seen[name]; twice && name != "" {
			return nil, fault(line, shown(h), "this header stands twice, in columns %d and %d", first+1, i+1)
		}
		seen[name] = i
	}
	find := func(key, name string) (int, error) {
		if n, numbered := columnNumber(name); numbered {
			if headers != nil && n >= len(headers) {
				return 0, fault(line, shown(name), "the mapping's %s is column %d, but there are %d", key, n+1, len(headers))
			}
			return n, nil
		}
		if i, ok := seen[fold(name)]; ok {
			return i, nil
		}
		return 0, fault(line, shown(name), "the mapping's %s is not among the columns: %s", key, listed(headers))
	}
	placed := map[string][]int{}
	for key, names := range m.Columns.each() {
		for _, name := range names {
			i, err := find("columns."+key, name)
			if err != nil {
				return nil, err
			}
			placed[key] = append(placed[key], i)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(m.Only)) {
		i, err := find("only", name)
		if err != nil {
			return nil, err
		}
		f := filter{column: i, values: map[string]bool{}}
		for _, v := range m.Only[name] {
			f.values[strings.ToLower(strings.TrimSpace(v))] = true
		}
		l.only = append(l.only, f)
	}
	l.assign(placed)
	return l, nil
}

func (l *layout) assign(placed map[string][]int) {
	single := func(key string) int {
		if at := placed[key]; len(at) > 0 {
			return at[0]
		}
		return -1
	}
	l.date, l.booked, l.amount, l.direction = single("date"), single("booked"), single("amount"), single("direction")
	l.debit, l.credit, l.fee, l.tax = single("debit"), single("credit"), single("fee"), single("tax")
	l.account, l.currency, l.balance = single("account"), single("currency"), single("balance")
	l.opening, l.closing = single("opening"), single("closing")
	l.utr, l.utrFrom, l.gateway, l.reference = placed["utr"], placed["utr_from"], placed["gateway_id"], placed["reference"]
	l.tail, l.settlement, l.narration = placed["tail"], placed["settlement"], placed["narration"]
}

// columns is how many a line must have.
func (l *layout) columns() int { return len(l.headers) }

// name is what a column is called in messages.
func (l *layout) name(column int) string {
	if column < len(l.headers) && l.headers[column] != "" {
		return shown(l.headers[column])
	}
	return "column " + itoa(column+1)
}

func listed(headers []string) string {
	names := make([]string, 0, len(headers))
	for _, h := range headers {
		if h != "" {
			names = append(names, strconv.Quote(shown(h)))
		}
	}
	const most = 60
	if len(names) > most {
		names = append(names[:most], "…")
	}
	return strings.Join(names, ", ")
}

// usual are the headers that Indian banks use, folded, by the field they are for; among several of a field, the first counts.
func usual() map[string][]string {
	return map[string][]string{
		"date":      {"valuedt", "valuedat", "valuedate", "txndate", "transactiondate", "trandate", "date", "txnposteddate", "postdate", "postingdate"},
		"booked":    {"txnposteddate", "txndate", "transactiondate", "trandate", "postdate", "postingdate", "date"},
		"debit":     {"withdrawalamt", "withdrawalamount", "withdrawals", "withdrawal", "debit", "debitamount", "debitamt", "debits", "dr", "dramount"},
		"credit":    {"depositamt", "depositamount", "deposits", "deposit", "credit", "creditamount", "creditamt", "credits", "cr", "cramount"},
		"amount":    {"amount", "transactionamount", "txnamount", "amt"},
		"direction": {"drcr", "crdr", "debitcredit", "creditdebit", "drcrindicator", "crdrindicator"},
		"balance":   {"closingbalance", "balance", "runningbalance", "bal", "balanceamount", "availablebalance"},
		"narration": {"narration", "description", "particulars", "transactionparticulars", "transactionremarks", "transactiondetails", "remarks", "details"},
		"utr":       {"utr", "utrno", "utrnumber", "rrn"},
		"utr_from":  {"chqrefno", "chqrefnumber", "refnochequeno", "chequerefno", "refno", "referenceno", "referencenumber", "chqno", "chequeno", "chequenumber"},
		"currency":  {"currency", "ccy"},
	}
}

// recognise makes a mapping of headers that are usual; nil when they are not.
func recognise(headers []string) *Mapping {
	if len(headers) < 4 {
		return nil
	}
	by := map[string]string{}
	for _, h := range headers {
		names := []string{fold(h)}
		for _, unit := range []string{"ininr", "inr", "inrs", "rs"} { // Withdrawal Amount (INR )
			if short, ok := strings.CutSuffix(names[0], unit); ok {
				names = append(names, short)
			}
		}
		for _, name := range names {
			if _, twice := by[name]; !twice {
				by[name] = h
			}
		}
	}
	if m := recogniseGateway(by); m != nil {
		return m
	}
	pick := func(field string) Names {
		for _, name := range usual()[field] {
			if h, ok := by[name]; ok {
				return Names{h}
			}
		}
		return nil
	}
	m := &Mapping{Name: "a bank's statement"}
	c := &m.Columns
	c.Date, c.Narration, c.Balance, c.UTR, c.UTRFrom = pick("date"), pick("narration"), pick("balance"), pick("utr"), pick("utr_from")
	c.Debit, c.Credit, c.Currency = pick("debit"), pick("credit"), pick("currency")
	if c.Debit == nil || c.Credit == nil {
		c.Debit, c.Credit, c.Amount, c.Direction = nil, nil, pick("amount"), pick("direction")
		if c.Amount == nil || c.Direction == nil && c.Balance == nil { // a sign alone may mean anything, a balance shows what it means
			return nil
		}
	}
	if c.Date == nil || c.Narration == nil {
		return nil
	}
	if booked := pick("booked"); booked != nil && booked[0] != c.Date[0] {
		c.Booked = booked
	}
	return m
}

// recogniseGateway knows exports such as Razorpay's settlement recon: amount is gross, debit and credit are net, the fee includes its tax.
func recogniseGateway(by map[string]string) *Mapping {
	for _, name := range []string{"entityid", "type", "debit", "credit", "amount", "fee", "tax", "createdat"} {
		if by[name] == "" {
			return nil
		}
	}
	list := func(names ...string) (all Names) {
		for _, name := range names {
			if h, ok := by[name]; ok {
				all = append(all, h)
			}
		}
		return all
	}
	return &Mapping{
		Name: "a gateway's settlements", FeeIncludesTax: true,
		DateLayouts: append(usualLayouts(), "DD/MM/YYYY hh:mm:ss", "DD/MM/YYYY hh:mm", "YYYY-MM-DD hh:mm:ss", "DD-MM-YYYY hh:mm:ss", "unix"),
		Columns: Columns{
			Date: list("createdat"), Amount: list("amount"), Debit: list("debit"), Credit: list("credit"), Fee: list("fee"), Tax: list("tax"),
			Gateway: list("entityid"), Reference: list("orderreceipt", "orderid"), Settlement: list("settlementutr", "settlementid"),
			UTR: list("rrn", "utr"), Narration: list("description"), Currency: list("currency"),
		},
	}
}

// howToMap tells how to go on with columns that are not known.
func howToMap(headers []string) string {
	return fmt.Sprintf("the columns are not those of a bank or gateway that is known: %s. Write a mapping and give it with --map FILE:\n"+
		"  columns: {date: \"...\", debit: \"...\", credit: \"...\", narration: \"...\", utr: \"...\", balance: \"...\"}\n"+
		"  date_layouts: [DD/MM/YYYY]\n"+
		"(amount, or amount and direction, may stand for debit and credit; see \"Bank files\" in docs/operations.md)", listed(headers))
}
