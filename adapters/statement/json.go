package statement

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// jsonRenderer writes one object: what the statement is of, then "lines", an array, then what is behind them. Amounts are strings.
type jsonRenderer struct {
	out *bufio.Writer // its errors stay
	d   *Document
	row bytes.Buffer
	enc *json.Encoder // into row
	any bool          // lines were written
}

func newJSON(w io.Writer, d *Document) renderer {
	j := &jsonRenderer{out: bufio.NewWriterSize(w, 32<<10), d: d}
	j.enc = json.NewEncoder(&j.row)
	j.enc.SetEscapeHTML(false)
	return j
}

type jsonHead struct {
	Merchant     string         `json:"merchant_id,omitempty"`
	MerchantName string         `json:"merchant_name,omitempty"`
	Account      string         `json:"account"`
	Currency     money.Currency `json:"currency"`
	From         time.Time      `json:"from"` // inclusive
	To           time.Time      `json:"to"`   // exclusive
	By           string         `json:"by"`
	TimeZone     string         `json:"time_zone"`
	BalancesAre  string         `json:"balances_are"`
	GeneratedAt  time.Time      `json:"generated_at"`
	Log          []jsonMark     `json:"log"`
	Opening      money.Amount   `json:"opening_balance"`
}

// jsonMark is a position of the log that the statement stands on.
type jsonMark struct {
	Position string `json:"position"`
	Hash     string `json:"hash"`
}

type jsonLine struct {
	Recorded    time.Time     `json:"recorded_at"`
	Value       time.Time     `json:"value_at"`
	Position    string        `json:"position"`
	Transaction string        `json:"transaction_id"`
	Type        string        `json:"type"`
	Narration   string        `json:"narration"`
	Reference   string        `json:"reference,omitempty"`
	UTR         string        `json:"utr,omitempty"`
	Debit       *money.Amount `json:"debit,omitempty"`
	Credit      *money.Amount `json:"credit,omitempty"`
	Balance     money.Amount  `json:"balance"`
	Posted      time.Time     `json:"posted_at,omitzero"` // by value, of a line that is late: when it counts
	LateFor     string        `json:"late_for,omitempty"` // the closed period that it is late for
}

type jsonEnd struct {
	Lines   int           `json:"line_count"`
	Debit   money.Amount  `json:"debits"`
	Credit  money.Amount  `json:"credits"`
	Closing money.Amount  `json:"closing_balance"`
	Locked  *money.Amount `json:"locked_balance,omitempty"`
	Owed    *money.Amount `json:"owed,omitempty"`
}

func (j *jsonRenderer) begin() error {
	d := j.d
	h := jsonHead{
		Merchant: d.Merchant, MerchantName: d.MerchantName, Account: d.Account, Currency: d.Currency, From: d.From.In(d.Zone), To: d.To.In(d.Zone),
		By: "recording", TimeZone: d.Zone.String(), BalancesAre: "credits_less_debits", GeneratedAt: d.GeneratedAt.In(d.Zone), Opening: d.Opening,
	}
	if d.ByValue {
		h.By = "value"
	}
	if d.DebitNormal {
		h.BalancesAre = "debits_less_credits"
	}
	for _, at := range d.Heads {
		h.Log = append(h.Log, jsonMark{headAt(at), at.Hash.String()})
	}
	if err := j.encode(h); err != nil {
		return err
	}
	return j.write(bytes.TrimSuffix(j.row.Bytes(), []byte("}")), `,"lines":[`)
}

func (j *jsonRenderer) line(l line) error {
	row := jsonLine{
		Recorded: l.RecordedAt.In(j.d.Zone), Value: l.ValueAt.In(j.d.Zone), Position: l.Position.String(), Transaction: l.Transaction, Type: l.Type,
		Narration: l.narration, Reference: l.Reference, UTR: l.UTR, Balance: l.Balance,
	}
	if l.LateFor != "" {
		row.Posted, row.LateFor = l.PostedAt.In(j.d.Zone), l.LateFor
	}
	if !l.Debit.IsZero() {
		row.Debit = &l.Debit
	}
	if !l.Credit.IsZero() {
		row.Credit = &l.Credit
	}
	if err := j.encode(row); err != nil {
		return err
	}
	separator := "\n "
	if j.any {
		separator = ",\n "
	}
	j.any = true
	if err := j.write(nil, separator); err != nil {
		return err
	}
	return j.write(j.row.Bytes(), "")
}

func (j *jsonRenderer) end(sum totals) error {
	e := jsonEnd{Lines: sum.lines, Debit: sum.debit, Credit: sum.credit, Closing: j.d.Closing}
	if j.d.available() {
		e.Locked, e.Owed = &j.d.Locked, &j.d.Owed
	}
	if err := j.encode(e); err != nil {
		return err
	}
	if err := j.write(nil, "\n],"); err != nil {
		return err
	}
	if err := j.write(bytes.TrimPrefix(j.row.Bytes(), []byte("{")), "\n"); err != nil {
		return err
	}
	return j.out.Flush()
}

// encode puts a value in row, without a line end.
func (j *jsonRenderer) encode(v any) error {
	j.row.Reset()
	if err := j.enc.Encode(v); err != nil {
		return err
	}
	j.row.Truncate(j.row.Len() - 1)
	return nil
}

func (j *jsonRenderer) write(b []byte, s string) error {
	if _, err := j.out.Write(b); err != nil {
		return err
	}
	_, err := j.out.WriteString(s)
	return err
}
