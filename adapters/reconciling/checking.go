package reconciling

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/eventstore"
)

// SourceInfo is a source as people are shown it.
type SourceInfo struct {
	Name     string         `json:"source"`
	Currency money.Currency `json:"currency"`
	reconcile.Terms
	Imports int                         `json:"imports"`
	Open    string                      `json:"unfinished_import,omitempty"` // SHA-256 of the file whose import was broken off
	Lines   int                         `json:"lines"`
	Matched int                         `json:"matched"`
	From    reconcile.Day               `json:"from,omitzero"`
	To      reconcile.Day               `json:"to,omitzero"`
	Breaks  map[reconcile.BreakKind]int `json:"open_breaks"`
	LastRun int                         `json:"last_run"`
}

// Sources returns all sources, or the one.
func (s *Service) Sources(ctx context.Context, name string) ([]SourceInfo, error) {
	names, err := s.names(ctx, name)
	if err != nil {
		return nil, err
	}
	out := []SourceInfo{}
	for _, n := range names {
		err := s.on(ctx, n, func(src *reconcile.Source) error {
			i := SourceInfo{
				Name: n, Currency: src.Currency, Terms: src.Terms, Imports: len(src.Imports), Lines: len(src.Items),
				Breaks: map[reconcile.BreakKind]int{}, LastRun: src.Run,
			}
			i.From, i.To = src.Covers()
			if src.Open != nil {
				i.Open = src.Open.SHA256
			}
			for _, l := range src.Items {
				if l.Match != nil {
					i.Matched++
				}
			}
			for _, b := range src.Breaks {
				if !b.Ended() {
					i.Breaks[b.Kind]++
				}
			}
			out = append(out, i)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Tied is a bank reconciliation statement as people are shown it.
type Tied struct {
	Source   string         `json:"source"`
	Ties     bool           `json:"ties"`
	Stated   bool           `json:"balances_stated"` // the files state balances; else only the matches were checked
	Currency money.Currency `json:"currency"`
	From     reconcile.Day  `json:"from,omitzero"`
	To       reconcile.Day  `json:"to,omitzero"`
	Books    string         `json:"balance_per_books"`
	Causes   []Cause        `json:"differences"`
	Computed string         `json:"books_with_differences"`
	Bank     string         `json:"balance_per_bank,omitempty"`
	Problems []string       `json:"problems"`
}

// Cause is a difference between books and bank.
type Cause struct {
	Cause  reconcile.Cause `json:"cause"`
	Count  int             `json:"count"`
	Amount string          `json:"amount"`
}

// Tie compares the balances of the books with those of the bank, for one source or all of them without a name.
func (s *Service) Tie(ctx context.Context, name string) ([]Tied, error) {
	names, err := s.names(ctx, name)
	if err != nil {
		return nil, err
	}
	out := []Tied{}
	for _, n := range names {
		err := s.on(ctx, n, func(src *reconcile.Source) error {
			var entries []reconcile.Entry
			_, err := s.entries(ctx, src, time.Time{}, eventstore.Micros(s.clock()).Add(slack), func(e reconcile.Entry) error {
				entries = append(entries, e)
				return nil
			})
			if err != nil {
				return err
			}
			out = append(out, tied(src, src.Tie(entries)))
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func tied(src *reconcile.Source, t reconcile.Tie) Tied {
	out := Tied{
		Source: src.Of.Source, Ties: t.Ties(), Stated: t.Stated, Currency: src.Currency, From: t.From, To: t.To, Books: t.Books.Fixed(),
		Causes: []Cause{}, Computed: t.Computed.Fixed(), Problems: t.Problems,
	}
	if out.Problems == nil {
		out.Problems = []string{}
	}
	if t.Stated {
		out.Bank = t.Bank.Fixed()
	}
	for _, c := range t.Causes {
		out.Causes = append(out.Causes, Cause{c.Cause, c.Count, c.Amount.Fixed()})
	}
	return out
}
