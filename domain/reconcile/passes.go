package reconcile

import (
	"slices"
	"strings"
)

// differByOrder finds, among what is left over, one line and one entry that the merchant calls the same.
func (m *matcher) differByOrder() {
	for n := range (Entry{}).References {
		for _, b := range m.buckets(PassOrder, func(a *side) string { return a.item.Reference }, func(b *side) string { return b.entry.References[n] }) {
			if len(b.lines) == 1 && len(b.books) == 1 {
				m.differ(b.lines[0], b.books[0])
			}
		}
	}
}

// near is how many days amount, date and account may be apart to be matched by them.
const near = 1

// amountKey is what byAmount looks for.
type amountKey struct {
	minor int64
	tail  string
}

// byAmount matches by amount, date +-1 and the end of the account number: only where one line and one entry fit each other, and nothing else fits
// either. Those that have references of the bank, and different ones, never fit.
func (m *matcher) byAmount() {
	books := map[amountKey][]*side{} // by date
	for _, e := range m.books {
		if e.entry != nil && !e.done && e.entry.Tail != "" {
			k := amountKey{e.minor, e.entry.Tail}
			books[k] = append(books[k], e)
		}
	}
	lines := map[amountKey][]*side{}
	for _, l := range m.lines {
		if !l.done && l.item.Tail != "" {
			k := amountKey{l.minor, l.item.Tail}
			lines[k] = append(lines[k], l)
		}
	}
	for _, of := range lines {
		slices.SortStableFunc(of, func(a, b *side) int { return a.date.Compare(b.date.Time) })
	}
	var found [][2]*side
	for _, l := range m.lines {
		if l.done || l.item.Tail == "" {
			continue
		}
		k := amountKey{l.minor, l.item.Tail}
		e := only(books[k], l)
		if e != nil && only(lines[k], e) == l {
			found = append(found, [2]*side{l, e})
		}
	}
	for _, f := range found {
		m.pair(PassAmount, f[0], f[1])
	}
}

// only is the one of the candidates, which are in the order of their dates, that fits; nil for none or several.
func only(candidates []*side, of *side) *side {
	from, _ := slices.BinarySearchFunc(candidates, of.date.Plus(-near), func(c *side, d Day) int { return c.date.Compare(d.Time) })
	var found *side
	for _, c := range candidates[from:] {
		if c.date.Since(of.date) > near {
			break
		}
		if !fits(c, of) {
			continue
		}
		if found != nil {
			return nil
		}
		found = c
	}
	return found
}

func fits(a, b *side) bool {
	if a.item == nil {
		a, b = b, a
	}
	return a.amount.Equal(b.amount) && agree(a.item.UTR, b.entry.UTR) && agree(a.item.Gateway, b.entry.Gateway) &&
		(!ownID(a.item.Reference) || !ownID(b.entry.Transaction) || a.item.Reference == b.entry.Transaction)
}

// agree tells that two references do not speak of two things.
func agree(a, b string) bool { return a == "" || b == "" || a == b }

// ownID tells the id of a payment.
func ownID(ref string) bool { return strings.HasPrefix(ref, "txn_") || strings.HasPrefix(ref, "tx_") }

// bySettlement matches one line with many of the settlement source: by the settlement's id or reference, and, where nothing else fits on either
// side, by amount and date.
func (m *matcher) bySettlement() {
	byID := m.settlements()
	if len(byID) == 0 {
		return
	}
	for _, equal := range []bool{true, false} { // all that are equal first: a line of another amount must not take the settlement from its own
		for _, l := range m.lines {
			for _, key := range []string{l.item.UTR, l.item.Settlement, l.item.Gateway, l.item.Reference} {
				g := byID[key]
				if l.done || key == "" || g == nil || g.done || g.sign() != l.sign() || g.amount.Equal(l.amount) != equal {
					continue
				}
				if equal {
					m.pair(PassSettlement, l, g)
				} else {
					m.differ(l, g)
				}
			}
		}
	}
	m.byNet()
}

// settlements are those that are looked for, by id; in capitals, too, as UTRs of lines are, where that is of one alone.
func (m *matcher) settlements() map[string]*side {
	byID, capital := map[string]*side{}, map[string][]*side{}
	for _, g := range m.books {
		if g.group != nil {
			byID[g.group.ID] = g
			up := strings.ToUpper(g.group.ID)
			capital[up] = append(capital[up], g)
		}
	}
	for up, of := range capital {
		if byID[up] == nil && len(of) == 1 {
			byID[up] = of[0]
		}
	}
	return byID
}

// regrouped finds settlements that have other lines by now than when they were matched: then they are not what the bank has paid.
func (m *matcher) regrouped() {
	byID := map[string]*Group{}
	for n := range m.q.Groups {
		if g := &m.q.Groups[n]; m.groups[g.ID] {
			byID[g.ID] = g
		}
	}
	if len(byID) == 0 {
		return
	}
	for _, i := range m.Items {
		if i.Match == nil || byID[i.Match.Group] == nil || i.Date.After(m.q.Upto.Time) {
			continue
		}
		g := byID[i.Match.Group]
		b := Break{
			Kind: AmountDiffers, Amount: i.Amount.Sub(g.Total), Detail: "file " + i.Amount.Fixed() + ", settlement by now " + g.Total.Fixed(),
			Line: i.At, Group: g.ID,
		}
		b.identify(m.Of.Source)
		if was := m.breaks[b.ID]; b.Amount.IsZero() || was != nil && was.consumed() {
			continue
		}
		m.breakOf(b, newSide(side{item: i, date: i.Date}), newSide(side{group: g, date: g.Date}))
	}
}

// settledWithin is how many days behind the last of its lines a settlement may arrive, to be known by its amount alone.
const settledWithin = 3

// netKey is what byNet looks for.
type netKey struct {
	minor int64
	date  Day
}

// byNet matches settlements by amount and date, where one line and one settlement fit each other and nothing else.
func (m *matcher) byNet() {
	lines, groups := map[netKey][]*side{}, map[netKey][]*side{}
	for _, s := range slices.Concat(m.lines, m.books) {
		k := netKey{s.minor, s.date}
		switch {
		case s.done:
		case s.item != nil:
			lines[k] = append(lines[k], s)
		case s.group != nil:
			groups[k] = append(groups[k], s)
		}
	}
	var found [][2]*side
	for _, l := range m.lines {
		if l.done {
			continue
		}
		if g := single(groups, l, -settledWithin, 0); g != nil && single(lines, g, 0, settledWithin) == l {
			found = append(found, [2]*side{l, g})
		}
	}
	for _, f := range found {
		m.pair(PassSettlement, f[0], f[1])
	}
}

// single is the one of equal amount, of a day that is from so many days later up to so many; nil for none or several.
func single(all map[netKey][]*side, of *side, from, upto int) (found *side) {
	for days := from; days <= upto; days++ {
		for _, s := range all[netKey{of.minor, of.date.Plus(days)}] {
			switch {
			case !s.amount.Equal(of.amount), apart(s, of):
			case found != nil:
				return nil
			default:
				found = s
			}
		}
	}
	return found
}

// apart tells that a line and a settlement name two transfers, by UTRs of NEFT or RTGS.
func apart(a, b *side) bool {
	if a.item == nil {
		a, b = b, a
	}
	return transfer(a.item.UTR) && transfer(b.group.ID) && !strings.EqualFold(a.item.UTR, b.group.ID)
}

// transfer tells a UTR of NEFT or RTGS: 16 or 22 characters, four letters of the bank in front.
func transfer(s string) bool {
	if len(s) != 16 && len(s) != 22 {
		return false
	}
	for i := range len(s) {
		letter, digit := s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z', s[i] >= '0' && s[i] <= '9'
		if i < 4 && !letter || !letter && !digit {
			return false
		}
	}
	return true
}
