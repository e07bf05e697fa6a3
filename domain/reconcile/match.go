package reconcile

import (
	"cmp"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// Pass is the rule by which a line was matched.
type Pass string

// The passes, in their order.
const (
	PassUTR        Pass = "utr"        // one reference of the bank
	PassGateway    Pass = "gateway"    // one id of the gateway
	PassReference  Pass = "reference"  // our transaction id
	PassOrder      Pass = "order"      // what the merchant calls the payment: others may call one so, too
	PassAmount     Pass = "amount"     // amount, date +-1 and the end of the account number, and nothing else fits on either side
	PassSettlement Pass = "settlement" // many lines of the settlement source, fees and taxes taken off, are the one line
)

// Entry is a line of our books on an account that the source mirrors.
type Entry struct {
	Place       Place
	Account     string
	Date        Day          // value date, where the business is
	RecordedAt  time.Time    // when the ledger recorded it
	Amount      money.Amount // debit less credit: positive came into the account
	UTR         string
	Gateway     string // the gateway's own id of the payment, or the bank's of the transfer
	Transaction string // what the record is about
	References  [2]string
	Tail        string // last four characters of the other side's account
}

// Group is a settlement: the lines that the gateway has paid out by one transfer.
type Group struct {
	ID    string
	Date  Day          // of its latest line
	Net   money.Amount // of its lines up to a day
	Total money.Amount // of all of its lines
	Lines int
}

// Groups are the settlements of a settlement source that have lines up to a day, by date and id. Lines that are not settled yet have none.
func (s *Source) Groups(upto Day) []Group {
	var groups []Group
	number := map[string]int{}
	for _, i := range s.Items {
		if i.Settlement == "" {
			continue
		}
		n, known := number[i.Settlement]
		if !known {
			n = len(groups)
			number[i.Settlement] = n
			groups = append(groups, Group{ID: i.Settlement, Net: money.Zero(s.Currency), Total: money.Zero(s.Currency)})
		}
		g := &groups[n]
		g.Total = g.Total.Add(i.Net())
		if i.Date.After(upto.Time) {
			continue
		}
		g.Net, g.Lines = g.Net.Add(i.Net()), g.Lines+1
		if i.Date.After(g.Date.Time) {
			g.Date = i.Date
		}
	}
	groups = slices.DeleteFunc(groups, func(g Group) bool { return g.Lines == 0 })
	slices.SortFunc(groups, func(a, b Group) int { return cmp.Or(a.Date.Compare(b.Date.Time), cmp.Compare(a.ID, b.ID)) })
	return groups
}

// Question is what a run decides about: everything of the source that is not matched or settled, and the entries and settlements that it may
// be of. It is answered by the rules alone.
type Question struct {
	Entries []Entry   // of the source's accounts, recorded at or after the floor
	Groups  []Group   // of the source that it is matched against
	Read    time.Time // every entry recorded before is among Entries, unless it lies in front of the floor
	Upto    Day       // lines and entries of a later date are left alone
	Now     Day       // what is younger than Grace is in transit
	Grace   int       // days
}

// Answer is what a run finds.
type Answer struct {
	Matches []Match
	Breaks  []Break // all that there are now, but those that last (see BreakKind) and came up before
	Lines   []*Item // in transit
	Books   []Entry // in transit
	Floor   time.Time
}

// side is one of the two things that are compared, as the passes see it.
type side struct {
	item  *Item  // of the files; nil on the other side
	entry *Entry // of the books
	group *Group // of the settlement source

	date   Day
	amount money.Amount
	minor  int64 // of amount, so that it can be a key; what does not fit 64 bits matches by key alone
	done   bool  // matched, or a break
	paired bool  // matched
}

func (a *side) sign() int { return a.amount.Sign() }

// matcher holds one run.
type matcher struct {
	*Source
	q     *Question
	lines []*side
	books []*side
	out   Answer
	prior map[seen]LineAt // keys by which lines were matched in runs before, or in this one
}

// seen is a key by which a line was matched, and the direction in which the money went.
type seen struct {
	pass Pass
	key  string
	sign int
}

// Match runs the passes over what is open, and says what stays open. It changes nothing.
func (s *Source) Match(q *Question) *Answer {
	m := newMatcher(s, q)
	m.byKey(PassUTR, true, func(a *side) string { return a.item.UTR }, func(b *side) string { return b.entry.UTR })
	m.byKey(PassGateway, true, func(a *side) string { return a.item.Gateway }, func(b *side) string { return b.entry.Gateway })
	reference := func(a *side) string { return a.item.Reference }
	m.byKey(PassReference, true, reference, func(b *side) string { return b.entry.Transaction })
	for before := -1; before < len(m.out.Matches); { // what one pass matches may leave the others a single candidate
		before = len(m.out.Matches)
		for n := range (Entry{}).References {
			m.byKey(PassOrder, false, reference, func(b *side) string { return b.entry.References[n] })
		}
		m.byAmount()
		m.bySettlement()
	}
	m.differByOrder()
	m.regrouped()
	m.rest()
	slices.SortFunc(m.out.Matches, func(a, b Match) int {
		return cmp.Or(cmp.Compare(a.Line.Import, b.Line.Import), cmp.Compare(a.Line.Number, b.Line.Number))
	})
	for i := range m.out.Breaks {
		m.out.Breaks[i].identify(s.Of.Source)
	}
	return &m.out
}

// newMatcher gathers what is open.
func newMatcher(s *Source, q *Question) *matcher {
	m := &matcher{Source: s, q: q, prior: map[seen]LineAt{}}
	m.out.Floor = q.Read
	lines, entries, groups := s.consumed()
	for _, i := range s.Items {
		switch {
		case i.Match != nil:
			m.remember(i, i.Match.Pass)
		case !lines[i.At] && !i.Date.After(q.Upto.Time):
			m.lines = append(m.lines, newSide(side{item: i, date: i.Date, amount: i.Amount}))
		}
	}
	ours := map[string]*Break{} // entries that settle a break stand under its id
	for _, b := range s.Breaks {
		if b.consumed() {
			ours[b.ID] = b
		}
	}
	for n := range q.Entries {
		e := &q.Entries[n]
		switch {
		case s.entries[e.Place] || entries[e.Place] || ours[e.Transaction] != nil:
		case e.Date.After(q.Upto.Time):
			m.keep(e)
		default:
			m.books = append(m.books, newSide(side{entry: e, date: e.Date, amount: e.Amount}))
		}
	}
	slices.SortStableFunc(m.books, func(a, b *side) int {
		return cmp.Or(a.date.Compare(b.date.Time), a.entry.Place.compare(b.entry.Place))
	})
	for n := range q.Groups {
		g := &q.Groups[n]
		if !s.groups[g.ID] && !groups[g.ID] && !g.Net.IsZero() {
			m.books = append(m.books, newSide(side{group: g, date: g.Date, amount: g.Net}))
		}
	}
	return m
}

// keep makes the next run read an entry again.
func (m *matcher) keep(e *Entry) {
	if e.RecordedAt.Before(m.out.Floor) {
		m.out.Floor = e.RecordedAt
	}
}

func newSide(s side) *side {
	s.minor, _ = s.amount.Minor()
	return &s
}

// consumed are lines, entries and settlements that an approved settlement of a break has dealt with.
func (s *Source) consumed() (lines map[LineAt]bool, entries map[Place]bool, groups map[string]bool) {
	lines, entries, groups = map[LineAt]bool{}, map[Place]bool{}, map[string]bool{}
	for _, b := range s.Breaks {
		if !b.consumed() {
			continue
		}
		lines[b.Line], entries[b.Entry] = true, true
		if b.Group != "" {
			groups[b.Group] = true
		}
	}
	delete(lines, LineAt{})
	delete(entries, Place{})
	return lines, entries, groups
}

// remember keeps the key by which a line was matched: what has the same one is a duplicate.
func (m *matcher) remember(i *Item, pass Pass) {
	key := ""
	switch pass {
	case PassUTR:
		key = i.UTR
	case PassGateway:
		key = i.Gateway
	case PassReference:
		key = i.Reference
	case PassOrder, PassAmount, PassSettlement:
	}
	if key != "" {
		m.prior[seen{pass, key, i.Amount.Sign()}] = i.At
	}
}

// bucket is everything that has one key and one direction.
type bucket struct {
	key          seen
	lines, books []*side
}

// byKey pairs what has one key. strict says that the key is of one payment: what has it and another amount is a break, and what has it
// once more is a duplicate.
func (m *matcher) byKey(pass Pass, strict bool, lineKey, bookKey func(*side) string) {
	for _, b := range m.buckets(pass, lineKey, bookKey) {
		m.pairUp(b, strict)
	}
}

// buckets gathers what is open, in the order of lines and entries.
func (m *matcher) buckets(pass Pass, lineKey, bookKey func(*side) string) (order []*bucket) {
	buckets := map[seen]*bucket{}
	put := func(key string, of *side, lines bool) {
		if of.done || key == "" || of.sign() == 0 {
			return
		}
		k := seen{pass, key, of.sign()}
		b := buckets[k]
		if b == nil {
			b = &bucket{key: k}
			buckets[k] = b
			order = append(order, b)
		}
		if lines {
			b.lines = append(b.lines, of)
		} else {
			b.books = append(b.books, of)
		}
	}
	for _, l := range m.lines {
		put(lineKey(l), l, true)
	}
	for _, e := range m.books {
		if e.entry != nil {
			put(bookKey(e), e, false)
		}
	}
	return order
}

// pairUp matches equal amounts of a bucket, and judges what is left over.
func (m *matcher) pairUp(b *bucket, strict bool) {
	if len(b.lines) > 0 && len(b.books) > 0 {
		for _, of := range b.amounts() {
			m.pairEqual(of, strict)
		}
	}
	if !strict {
		return
	}
	lines, books := open(b.lines), open(b.books)
	for len(lines) > 0 && len(books) > 0 {
		m.differ(lines[0], books[0])
		lines, books = lines[1:], books[1:]
	}
	first, known := m.prior[b.key] // of this run, too
	if !known {
		return
	}
	for _, l := range lines {
		m.breakOf(Break{Kind: Duplicate, Amount: l.amount, Same: first, Detail: string(b.key.pass) + " of line " + first.String()}, l, nil)
	}
	for _, e := range books {
		m.breakOf(Break{Kind: Duplicate, Amount: e.amount.Neg(), Same: first, Detail: string(b.key.pass) + " of line " + first.String()}, nil, e)
	}
}

// amounts parts a bucket by amount, in the order of the lines.
func (b *bucket) amounts() (order []*bucket) {
	of := map[string]*bucket{}
	for _, l := range b.lines {
		key := l.amount.Fixed()
		if of[key] == nil {
			of[key] = &bucket{key: b.key}
			order = append(order, of[key])
		}
		of[key].lines = append(of[key].lines, l)
	}
	for _, e := range b.books {
		if same := of[e.amount.Fixed()]; same != nil {
			same.books = append(same.books, e)
		}
	}
	return order
}

// pairEqual matches what has one key and one amount: what is of one day first, so that one which is missing does not shift all behind it, then
// the oldest with the oldest. Where the key may be of several payments, and there are more of those than lines, nobody can tell which it is.
func (m *matcher) pairEqual(b *bucket, strict bool) {
	if !strict && len(b.books) > len(b.lines) {
		return
	}
	if len(b.lines) > 1 || len(b.books) > 1 { // files have the newest line first, or last
		slices.SortStableFunc(b.lines, func(a, b *side) int { return a.date.Compare(b.date.Time) })
		days := map[Day][]*side{}
		for _, e := range b.books {
			days[e.date] = append(days[e.date], e)
		}
		for _, l := range b.lines {
			if same := days[l.date]; len(same) > 0 {
				m.pair(b.key.pass, l, same[0])
				days[l.date] = same[1:]
			}
		}
	}
	lines, books := open(b.lines), open(b.books)
	for n := range min(len(lines), len(books)) {
		m.pair(b.key.pass, lines[n], books[n])
	}
}

func open(all []*side) []*side {
	return slices.DeleteFunc(slices.Clone(all), func(s *side) bool { return s.done })
}

// pair matches a line. What is then not as agreed is a break beside the match.
func (m *matcher) pair(pass Pass, l, e *side) {
	l.done, e.done, l.paired, e.paired = true, true, true, true
	found := Match{Pass: pass, Line: l.item.At}
	if e.group != nil {
		found.Group = e.group.ID
	} else {
		found.Entry = e.entry.Place
	}
	m.out.Matches = append(m.out.Matches, found)
	m.remember(l.item, pass)
	if days := max(l.date.Since(e.date), e.date.Since(l.date)); m.Late > 0 && days > m.Late {
		m.breakOf(Break{Kind: Late, Amount: l.amount, Detail: "dates " + l.date.String() + " and " + e.date.String()}, l, e)
	}
	if due, said := m.Expected(l.amount); said {
		if charged := l.item.Fee.Add(l.item.Tax); !charged.Equal(due) {
			m.breakOf(Break{Kind: FeeDiffers, Amount: due.Sub(charged), Detail: "charged " + charged.Fixed() + ", expected " + due.Fixed()}, l, e)
		}
	}
}

// differ notes that a line and an entry have one key and two amounts.
func (m *matcher) differ(l, e *side) {
	m.breakOf(Break{
		Kind: AmountDiffers, Amount: l.amount.Sub(e.amount), Detail: "file " + l.amount.Fixed() + ", books " + e.amount.Fixed(),
	}, l, e)
}

// breakOf notes a break about a line, an entry, or both.
func (m *matcher) breakOf(b Break, l, e *side) {
	if len(m.Books) > 0 {
		b.Account = m.Books[0]
	}
	if e != nil {
		e.done, b.Date = true, e.date
		if e.group != nil {
			b.Group = e.group.ID
		} else {
			b.Entry, b.Account, b.Transaction = e.entry.Place, e.entry.Account, e.entry.Transaction
		}
	}
	if l != nil {
		l.done, b.Line, b.Date = true, l.item.At, l.date
	}
	m.out.Breaks = append(m.out.Breaks, b)
}
