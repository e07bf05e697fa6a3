package pack

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// This file makes what follows from the records: the same bytes for ever under one Format.

// encode is the one way to write JSON.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// timelineFile is timeline.json.
type timelineFile struct {
	Payment string `json:"payment"`
	Events  []line `json:"events"`
}

// table is timeline.txt.
func table(payment string, lines []line) ([]byte, error) {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Events of %s, in the order of the log. Times are UTC; balances are those of the wallet.\n\n", payment)
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	rows := []string{"POSITION\tRECORDED\tVALUE DATE\tEVENT\tBY\tAVAILABLE\tLOCKED\tOWED\tSAYS\n"}
	for i := range lines {
		l := &lines[i]
		available, locked, owed := "", "", ""
		if l.Before != nil && l.After != nil {
			available, locked, owed = change(l.Before.Available, l.After.Available), change(l.Before.Locked, l.After.Locked), change(l.Before.Owed, l.After.Owed)
		}
		rows = append(rows, strings.Join([]string{
			l.Position, l.RecordedAt, l.EffectiveAt, l.Event, oneLine(l.Actor), available, locked, owed, l.Says,
		}, "\t")+"\n")
	}
	_, err := w.Write([]byte(strings.Join(rows, "")))
	err = errors.Join(err, w.Flush())
	return b.Bytes(), err
}

func change(before, after string) string {
	if before == after {
		return after
	}
	return before + " -> " + after
}

// postings is postings.csv. An error names the record whose postings do not sum to zero.
func (s *story) postings() ([]byte, error) {
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	rows := [][]string{{"position", "event", "value_date", "recorded_at", "account", "debit", "credit", "currency"}}
	for i := range s.entries {
		e := &s.entries[i]
		if e.fact == nil {
			continue
		}
		c := e.fact.Header().Currency
		sum := money.Zero(c)
		for _, p := range wallet.Postings(e.fact) {
			sum = sum.Add(p.Debit).Sub(p.Credit)
			rows = append(rows, []string{
				e.record.Position().String(), e.record.Type, e.record.EffectiveAt.UTC().Format(microsLayout), e.record.RecordedAt.UTC().Format(microsLayout),
				p.Account, blankZero(p.Debit), blankZero(p.Credit), string(c),
			})
		}
		if !sum.IsZero() {
			return nil, fmt.Errorf("record %s: its postings differ by %s", e.record.Position(), sum)
		}
	}
	err := w.WriteAll(rows)
	return b.Bytes(), err
}

func blankZero(a money.Amount) string {
	if a.IsZero() {
		return ""
	}
	return a.Fixed()
}

// action is something that a person decided.
type action struct {
	Position   string   `json:"position"`
	Part       part     `json:"part"`
	Event      string   `json:"event"`
	RecordedAt string   `json:"recorded_at"`
	Actor      string   `json:"actor"`  // who decided, both people where it takes two
	Origin     string   `json:"origin"` // who sent the command
	Reason     string   `json:"reason,omitempty"`
	Amount     string   `json:"amount,omitempty"`
	Messages   []string `json:"messages,omitempty"` // digests
}

type actionsFile struct {
	Actions []action `json:"actions"`
}

// actions are the events that name an actor, or that an operator caused.
func (s *story) actions() (actionsFile, error) {
	all := actionsFile{Actions: []action{}}
	for i := range s.entries {
		e := &s.entries[i]
		var said struct {
			Actor  string `json:"actor"`
			Reason string `json:"reason"`
			Note   string `json:"note"`
			Amount string `json:"amount"`
		}
		if err := json.Unmarshal(e.record.Data, &said); err != nil {
			return all, fmt.Errorf("record %s: %w", e.record.Position(), err)
		}
		if said.Actor == "" && (strings.HasPrefix(e.meta.Actor, "operator:") || strings.HasPrefix(e.meta.Actor, "cli:")) {
			said.Actor = e.meta.Actor
		}
		if said.Actor == "" {
			continue
		}
		if said.Reason == "" {
			said.Reason = said.Note
		}
		a := action{
			Position: e.record.Position().String(), Part: e.part, Event: e.record.Type, RecordedAt: e.record.RecordedAt.UTC().Format(microsLayout),
			Actor: said.Actor, Origin: e.meta.Actor, Reason: said.Reason, Amount: said.Amount,
		}
		for _, d := range e.record.EvidenceDigests {
			a.Messages = append(a.Messages, d.String())
		}
		all.Actions = append(all.Actions, a)
	}
	return all, nil
}

// checkSteps checks the balances: each event moves what it says, and of two neighbours in the wallet's stream one goes on where the other ended. The
// error names the event.
func (s *story) checkSteps(steps []Step) (neighbours int, err error) {
	n := 0
	var before *entry
	for i := range s.entries {
		e := &s.entries[i]
		if e.part != ofPayment {
			continue
		}
		at := e.record.Position().String()
		if n >= len(steps) || steps[n].Position != at {
			return 0, fmt.Errorf("the balances of %s are missing", at)
		}
		step := &steps[n]
		w, err := step.Before.wallet(s.payment.Merchant, s.payment.Currency)
		if err != nil {
			return 0, fmt.Errorf("balances before %s: %w", at, err)
		}
		if w.Evolve(e.fact); balancesOf(w) != step.After {
			return 0, fmt.Errorf("%s leads from %+v to %+v, not to %+v", at, step.Before, balancesOf(w), step.After)
		}
		if before != nil && e.record.Version == before.record.Version+1 {
			neighbours++
			if steps[n-1].After != step.Before {
				return 0, fmt.Errorf("nothing lies between %s and %s, but the balances do not go on", before.record.Position(), at)
			}
		}
		before = e
		n++
	}
	if n != len(steps) {
		return 0, fmt.Errorf("there are balances of %d events and %d events", len(steps), n)
	}
	return neighbours, nil
}
