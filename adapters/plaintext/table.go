package plaintext

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"time"

	"github.com/khata-ledger/khata/adapters/sheet"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

func sameName(account string) string { return account }

func noAccount(b []byte, _ *Account) []byte { return b }

func noCurrency(b []byte, _ money.Currency) []byte { return b }

// csvShape writes one row for each line of a transaction, RFC 4180 with a head, amounts as plain decimals. Rows of the opening balances have
// the event "opening" and no position.
func csvShape() shape {
	return shape{
		begin: func(b []byte, _ *Written, _ *Options) []byte {
			head := append([]string{
				"position", "value_date", "value_at", "recorded_at", "event", "subject", "merchant", "event_id", "account", "currency", "debit", "credit",
			}, referenceNames()...)
			return rows(b, append(head, "posted_date", tagLate))
		},
		name: sameName, account: noAccount, currency: noCurrency,
		entry: func(b []byte, e *Entry) []byte {
			table := make([][]string, len(e.Lines))
			for i, l := range e.Lines {
				table[i] = csvRow(e, l)
			}
			return rows(b, table...)
		},
		end: func(b []byte, _ *Written, _ []Line, _ time.Time) []byte { return b },
	}
}

func csvRow(e *Entry, l Line) []string {
	row := make([]string, 0, 24)
	day := string(date(nil, e.ValueAt))
	if e.Opening {
		row = append(row, "", day, string(instant(nil, e.ValueAt)), "", "opening", "", "", "")
	} else {
		row = append(row, e.Position.String(), day, string(instant(nil, e.ValueAt)), string(instant(nil, e.RecordedAt)),
			sheet.Guard(e.Event), sheet.Guard(e.Subject), sheet.Guard(e.Merchant), e.EventID.String())
	}
	debit, credit := sides(l.Amount)
	row = append(row, sheet.Guard(l.Account.Name), string(l.Amount.Currency()), debit, credit)
	for _, name := range referenceNames() {
		value := ""
		for _, r := range e.References {
			if r.Name == name {
				value = sheet.Guard(r.Value)
			}
		}
		row = append(row, value)
	}
	return append(row, string(date(nil, e.PostedAt)), sheet.Guard(e.LateFor))
}

// sides are an amount as a debit or a credit. The other of the two is empty.
func sides(a money.Amount) (debit, credit string) {
	if a.Sign() < 0 {
		return "", a.Neg().Fixed()
	}
	return a.Fixed(), ""
}

// rows appends rows of CSV.
func rows(b []byte, table ...[]string) []byte {
	out := bytes.NewBuffer(b)
	w := csv.NewWriter(out)
	w.UseCRLF = true
	for _, row := range table {
		if err := w.Write(row); err != nil {
			panic("plaintext: a row into memory: " + err.Error())
		}
	}
	w.Flush() // into memory: it cannot fail
	return out.Bytes()
}

// jsonShape writes one object, an entry on a line.
func jsonShape() shape {
	first := true
	return shape{
		begin: func(b []byte, w *Written, o *Options) []byte {
			h := jsonHead{Ledger: w.Ledger.String(), Merchant: o.Merchant, Zone: o.Zone.String(), Heads: make([]jsonPosition, len(w.Heads))}
			for i, head := range w.Heads {
				h.Heads[i] = jsonPosition{eventstore.Position{Partition: head.Partition, Seq: head.Seq}.String(), head.Hash.String()}
			}
			if !o.From.IsZero() {
				h.From = string(date(nil, o.From.In(o.Zone)))
			}
			if !o.Until.IsZero() {
				h.To = string(date(nil, o.Until.Add(-1).In(o.Zone)))
			}
			b = appendJSON(b, h)
			return append(b[:len(b)-1], ",\"entries\":["...)
		},
		name: sameName, account: noAccount, currency: noCurrency,
		entry: func(b []byte, e *Entry) []byte {
			if !first {
				b = append(b, ',')
			}
			first = false
			return appendJSON(append(b, '\n'), jsonOf(e))
		},
		end: func(b []byte, w *Written, closing []Line, _ time.Time) []byte {
			b = append(b, "\n],\"closing\":"...)
			b = appendJSON(b, jsonLines(closing))
			b = append(b, ",\"count\":"...)
			b = appendJSON(b, w.Entries)
			return append(b, "}\n"...)
		},
	}
}

type jsonHead struct {
	Ledger   string         `json:"ledger_id"`
	Merchant string         `json:"merchant_id,omitempty"`
	From     string         `json:"from,omitempty"`
	To       string         `json:"to,omitempty"`
	Zone     string         `json:"time_zone"`
	Heads    []jsonPosition `json:"heads"`
}

type jsonPosition struct {
	Position string `json:"position"`
	Hash     string `json:"hash"`
}

type jsonEntry struct {
	Position   string            `json:"position,omitempty"`
	ValueDate  string            `json:"value_date"`
	ValueAt    string            `json:"value_at"`
	PostedDate string            `json:"posted_date,omitempty"` // of what is late: its date
	LateFor    string            `json:"late_for,omitempty"`
	RecordedAt string            `json:"recorded_at,omitempty"`
	Event      string            `json:"event"`
	Subject    string            `json:"subject,omitempty"`
	Merchant   string            `json:"merchant_id,omitempty"`
	EventID    string            `json:"event_id,omitempty"`
	References map[string]string `json:"references,omitempty"`
	Lines      []jsonLine        `json:"postings"`
}

type jsonLine struct {
	Account  string         `json:"account"`
	Currency money.Currency `json:"currency"`
	Debit    string         `json:"debit,omitempty"`
	Credit   string         `json:"credit,omitempty"`
}

func jsonOf(e *Entry) jsonEntry {
	j := jsonEntry{
		ValueDate: string(date(nil, e.ValueAt)), ValueAt: string(instant(nil, e.ValueAt)), Event: "opening", Lines: jsonLines(e.Lines),
	}
	if e.Opening {
		return j
	}
	j.Position, j.RecordedAt, j.EventID = e.Position.String(), string(instant(nil, e.RecordedAt)), e.EventID.String()
	j.Event, j.Subject, j.Merchant = e.Event, e.Subject, e.Merchant
	if e.LateFor != "" {
		j.PostedDate, j.LateFor = string(date(nil, e.PostedAt)), e.LateFor
	}
	for _, r := range e.References {
		if j.References == nil {
			j.References = map[string]string{}
		}
		j.References[r.Name] = r.Value
	}
	return j
}

func jsonLines(list []Line) []jsonLine {
	out := make([]jsonLine, len(list))
	for i, l := range list {
		debit, credit := sides(l.Amount)
		out[i] = jsonLine{l.Account.Name, l.Amount.Currency(), debit, credit}
	}
	return out
}

func appendJSON(b []byte, v any) []byte {
	text, err := json.Marshal(v)
	if err != nil {
		panic("plaintext: texts and numbers do not marshal: " + err.Error())
	}
	return append(b, text...)
}
