package reconcile

// before is how many days in front of what the files cover entries are still kept for, that the first lines may be of.
const before = 7

// rest judges what no pass has matched.
func (m *matcher) rest() {
	from, to := m.Covers()
	edge := to
	if m.q.Upto.Before(edge.Time) {
		edge = m.q.Upto
	}
	for _, l := range m.lines {
		if l.done {
			continue
		}
		if m.q.Now.Since(l.date) < m.q.Grace {
			m.out.Lines = append(m.out.Lines, l.item)
			continue
		}
		m.breakOf(m.unknown(l), l, nil)
	}
	for _, e := range m.books {
		switch {
		case e.done:
			continue
		case !from.IsZero() && e.date.Before(from.Time): // nobody was asked
		case from.IsZero() || edge.Since(e.date) < m.q.Grace:
			if e.entry == nil {
				m.out.Books = append(m.out.Books, Entry{Date: e.date, Amount: e.amount, Transaction: e.group.ID})
				continue
			}
			m.out.Books = append(m.out.Books, *e.entry)
		default:
			m.breakOf(Break{Kind: MissingInBank, Amount: e.amount.Neg()}, nil, e)
		}
	}
	for _, e := range m.books { // what has become a break, too, may match a later line
		if e.entry == nil || e.paired || !from.IsZero() && from.Since(e.date) > before {
			continue
		}
		m.keep(e.entry)
	}
}

// unknown is the break of a line that no entry was found for.
func (m *matcher) unknown(l *side) Break {
	for _, k := range []seen{{PassUTR, l.item.UTR, -l.sign()}, {PassGateway, l.item.Gateway, -l.sign()}, {PassReference, l.item.Reference, -l.sign()}} {
		if first, known := m.prior[k]; known && k.key != "" {
			word := "returned"
			if l.sign() < 0 {
				word = "taken back"
			}
			return Break{Kind: StatusDiffers, Amount: l.amount, Same: first, Detail: "the bank says " + word + ", the ledger does not"}
		}
	}
	return Break{Kind: MissingInLedger, Amount: l.amount}
}
