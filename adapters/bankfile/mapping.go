package bankfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/khata-ledger/khata/domain/money"
)

// maxMapping bounds the text of a mapping, in bytes.
const maxMapping = 64 << 10

// Mapping says how a CSV is to be read: which of its columns are what, and how dates and amounts are written. The zero value of each field
// is a default, which its comment names.
type Mapping struct {
	Name string `json:"name" yaml:"name"` // for people

	Columns Columns `json:"columns" yaml:"columns"`

	Delimiter string `json:"delimiter" yaml:"delimiter"` // ",", ";", "|" or "tab"; "" finds it
	Encoding  string `json:"encoding" yaml:"encoding"`   // "utf-8", "utf-16", "windows-1252"; "" is UTF-8, or what a byte order mark says
	SkipLines int    `json:"skip_lines" yaml:"skip_lines"`
	NoHeader  bool   `json:"no_header" yaml:"no_header"` // columns are then named by number: "#1" is the first

	DateLayouts []string `json:"date_layouts" yaml:"date_layouts"` // "DD/MM/YYYY", "DD-MMM-YY", "YYYY-MM-DD hh:mm:ss", "unix"; none: usual ones, the day first
	TimeZone    string   `json:"time_zone" yaml:"time_zone"`       // to which times with an offset are taken; "" is Options.Zone

	Decimal   string `json:"decimal" yaml:"decimal"`     // "." or ","; "" is "."
	Thousands string `json:"thousands" yaml:"thousands"` // ",", ".", "'", " " or "none"; "" is ",", or "." where the decimal mark is ","
	Unit      string `json:"unit" yaml:"unit"`           // "major" (rupees) or "minor" (paisa); "" is "major"
	Sign      string `json:"sign" yaml:"sign"`           // what a positive amount is: "credit" or "debit"; "" is "credit"

	DebitWords  []string `json:"debit_words" yaml:"debit_words"` // what the direction column says; none: D, Dr, Debit, Withdrawal
	CreditWords []string `json:"credit_words" yaml:"credit_words"`

	FeeIncludesTax bool `json:"fee_includes_tax" yaml:"fee_includes_tax"`

	UTRPattern string `json:"utr_pattern" yaml:"utr_pattern"` // regular expression whose group is the UTR, in the narration
	UTRPick    string `json:"utr_pick" yaml:"utr_pick"`       // of several: "only" (then none), "first" or "last"; "" is "only"

	Account        string         `json:"account" yaml:"account"`                 // of all lines, where no column says it
	AccountPattern string         `json:"account_pattern" yaml:"account_pattern"` // whose group is the account, in a line outside of the table
	Currency       money.Currency `json:"currency" yaml:"currency"`               // of all lines, where no column says it; "" is Options.Currency

	OpeningPattern string `json:"opening_pattern" yaml:"opening_pattern"` // whose group is the opening balance, in a line outside of the table
	ClosingPattern string `json:"closing_pattern" yaml:"closing_pattern"`
	CountPattern   string `json:"count_pattern" yaml:"count_pattern"` // whose group is the number of lines

	Only        map[string][]string `json:"only" yaml:"only"`                 // column -> its values in the lines that count; other lines are left out
	IgnoreLines string              `json:"ignore_lines" yaml:"ignore_lines"` // regular expression of lines that are none of the statement
	EndPattern  string              `json:"end_pattern" yaml:"end_pattern"`   // regular expression of the first line behind the table
	OpenEnd     bool                `json:"open_end" yaml:"open_end"`         // the file's last line may lack its line end: a cut in it is then not seen
}

// Columns names the columns by their headers. Case, blanks and punctuation of a header do not count. Where a list is given, the first of
// them that is not blank in a line counts; of amounts and dates there is one each.
type Columns struct {
	Date   Names `json:"date" yaml:"date"`     // value date
	Booked Names `json:"booked" yaml:"booked"` // day of entry

	// Amount alone is signed, or with Direction is not. Debit and Credit are what left and what came. All three are a gateway's file: Amount
	// is gross, and Debit and Credit are what is left of it after Fee and Tax, which is checked.
	Amount    Names `json:"amount" yaml:"amount"`
	Direction Names `json:"direction" yaml:"direction"`
	Debit     Names `json:"debit" yaml:"debit"`
	Credit    Names `json:"credit" yaml:"credit"`

	Fee        Names `json:"fee" yaml:"fee"`
	Tax        Names `json:"tax" yaml:"tax"`
	UTR        Names `json:"utr" yaml:"utr"`
	UTRFrom    Names `json:"utr_from" yaml:"utr_from"` // looked through for a UTR where UTR is blank, beside the narration: cheque or reference numbers
	Gateway    Names `json:"gateway_id" yaml:"gateway_id"`
	Reference  Names `json:"reference" yaml:"reference"`
	Tail       Names `json:"tail" yaml:"tail"` // the other side's account, whole, masked, or its end
	Settlement Names `json:"settlement" yaml:"settlement"`
	Narration  Names `json:"narration" yaml:"narration"` // several are joined

	Account  Names `json:"account" yaml:"account"` // whose statement it is
	Currency Names `json:"currency" yaml:"currency"`
	Balance  Names `json:"balance" yaml:"balance"` // behind each line
	Opening  Names `json:"opening" yaml:"opening"` // the same in all lines
	Closing  Names `json:"closing" yaml:"closing"`
}

// Names are headers: one text, or a list.
type Names []string

// UnmarshalJSON reads one text or a list.
func (n *Names) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*n = Names{one}
		return nil
	}
	var all []string
	if err := json.Unmarshal(b, &all); err != nil {
		return errors.New("must be the name of a column, or a list of names")
	}
	*n = all
	return nil
}

// UnmarshalYAML reads one text or a list.
func (n *Names) UnmarshalYAML(node *yaml.Node) error {
	var one string
	if node.Kind == yaml.ScalarNode && node.Decode(&one) == nil {
		*n = Names{one}
		return nil
	}
	var all []string
	if err := node.Decode(&all); err != nil {
		return errors.New("must be the name of a column, or a list of names")
	}
	*n = all
	return nil
}

// fields are the columns by the keys of a mapping.
func (c *Columns) fields() map[string]Names {
	return map[string]Names{
		"date": c.Date, "booked": c.Booked, "amount": c.Amount, "direction": c.Direction, "debit": c.Debit, "credit": c.Credit, "fee": c.Fee, "tax": c.Tax,
		"utr": c.UTR, "utr_from": c.UTRFrom, "gateway_id": c.Gateway, "reference": c.Reference, "tail": c.Tail, "settlement": c.Settlement,
		"narration": c.Narration, "account": c.Account, "currency": c.Currency, "balance": c.Balance, "opening": c.Opening, "closing": c.Closing,
	}
}

// ParseMapping reads a mapping in JSON or YAML. Keys that are not known, and values that make no sense, are refused.
func ParseMapping(text []byte) (*Mapping, error) {
	if len(text) > maxMapping {
		return nil, fmt.Errorf("the mapping has more than %d bytes", maxMapping)
	}
	text = bytes.TrimSpace(bytes.TrimPrefix(text, []byte("\ufeff")))
	if len(text) == 0 {
		return nil, errors.New("the mapping is empty")
	}
	m := &Mapping{}
	if text[0] == '{' {
		if err := uniqueKeys(text); err != nil {
			return nil, err
		}
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		if err := d.Decode(m); err != nil {
			return nil, fmt.Errorf("the mapping: %w", err)
		}
		if _, err := d.Token(); !errors.Is(err, io.EOF) {
			return nil, errors.New("the mapping: something stands behind its end")
		}
	} else {
		l, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithKnownFields(true))
		if err != nil {
			return nil, fmt.Errorf("the mapping: %w", err)
		}
		if err := l.Load(m); err != nil {
			return nil, fmt.Errorf("the mapping: %w", err)
		}
		var more any
		if err := l.Load(&more); !errors.Is(err, io.EOF) {
			return nil, errors.New("the mapping: there must be one document")
		}
	}
	if err := m.check(); err != nil {
		return nil, err
	}
	return m, nil
}

// uniqueKeys refuses an object of JSON with a key that stands twice, of which the last would count without a word. What is not JSON is for the
// decoder to tell.
func uniqueKeys(text []byte) error {
	type object struct {
		keys  map[string]bool
		value bool // what comes next is the value of a key
	}
	var open []object // an array has no keys
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		token, err := d.Token()
		if err != nil {
			return nil //nolint:nilerr // see above
		}
		var in *object
		if len(open) > 0 {
			in = &open[len(open)-1]
		}
		if key, ok := token.(string); ok && in != nil && in.keys != nil && !in.value {
			if in.keys[key] {
				return fmt.Errorf("the mapping: the key %q stands twice", key)
			}
			in.keys[key], in.value = true, true
			continue
		}
		switch token {
		case json.Delim('{'):
			open = append(open, object{keys: map[string]bool{}})
			continue
		case json.Delim('['):
			open = append(open, object{})
			continue
		case json.Delim('}'), json.Delim(']'):
			open = open[:len(open)-1]
			if len(open) == 0 {
				return nil
			}
			in = &open[len(open)-1]
		}
		if in != nil {
			in.value = false
		}
	}
}

// check refuses what no file can be read by.
func (m *Mapping) check() error {
	bad := func(key, format string, args ...any) error {
		return fmt.Errorf("the mapping: %s %s", key, fmt.Sprintf(format, args...))
	}
	for _, v := range []struct {
		key, is string
		may     []string
	}{
		{"delimiter", m.Delimiter, []string{"", ",", ";", "|", "tab", "\t"}},
		{"encoding", m.Encoding, []string{"", "utf-8", "utf-16", "utf-16le", "utf-16be", "windows-1252"}},
		{"decimal", m.Decimal, []string{"", ".", ","}},
		{"thousands", m.Thousands, []string{"", ",", ".", "'", " ", "none"}},
		{"unit", m.Unit, []string{"", "major", "minor"}},
		{"sign", m.Sign, []string{"", "credit", "debit"}},
		{"utr_pick", m.UTRPick, []string{"", "only", "first", "last"}},
	} {
		if !slices.Contains(v.may, v.is) {
			return bad(v.key, "must be one of %q", v.may[1:])
		}
	}
	if m.Decimal != "" && m.Decimal == m.Thousands {
		return bad("thousands", "must not be the decimal mark")
	}
	if m.SkipLines < 0 || m.SkipLines > maxPreamble {
		return bad("skip_lines", "must be 0 to %d", maxPreamble)
	}
	if m.Currency != "" {
		if _, known := m.Currency.Exponent(); !known {
			return bad("currency", "is not known")
		}
	}
	if m.TimeZone != "" {
		if _, err := time.LoadLocation(m.TimeZone); err != nil {
			return bad("time_zone", "is not known: it is a name such as Asia/Kolkata")
		}
	}
	if err := m.checkPatterns(bad); err != nil {
		return err
	}
	return m.checkColumns(bad)
}

func (m *Mapping) checkPatterns(bad func(key, format string, args ...any) error) error {
	for _, v := range []struct {
		key, text string
		groups    bool
	}{
		{"utr_pattern", m.UTRPattern, true}, {"account_pattern", m.AccountPattern, true}, {"opening_pattern", m.OpeningPattern, true},
		{"closing_pattern", m.ClosingPattern, true}, {"count_pattern", m.CountPattern, true},
		{"ignore_lines", m.IgnoreLines, false}, {"end_pattern", m.EndPattern, false},
	} {
		if v.text == "" {
			continue
		}
		re, err := regexp.Compile(v.text)
		switch {
		case err != nil:
			return bad(v.key, "is no regular expression: %v", err)
		case v.groups && re.NumSubexp() != 1:
			return bad(v.key, "must have one group, in parentheses: what it is to find")
		}
	}
	for _, layout := range m.DateLayouts {
		if _, err := dateLayout(layout); err != nil {
			return bad("date_layouts", "%v", err)
		}
	}
	return nil
}

func (m *Mapping) checkColumns(bad func(key, format string, args ...any) error) error {
	c := &m.Columns
	for key, names := range c.each() {
		for _, name := range names {
			if fold(name) == "" {
				return bad("columns."+key, "has a name without letters and digits")
			}
			if _, numbered := columnNumber(name); m.NoHeader && !numbered {
				return bad("columns."+key, `must be a number such as "#1", since there is no header`)
			}
		}
		if len(names) > 1 && !slices.Contains([]string{"utr", "utr_from", "gateway_id", "reference", "tail", "settlement", "narration"}, key) {
			return bad("columns."+key, "must be one column")
		}
	}
	has := func(n Names) bool { return len(n) > 0 }
	switch {
	case !has(c.Date):
		return bad("columns.date", "is missing")
	case has(c.Debit) != has(c.Credit):
		return bad("columns", "debit and credit go together")
	case !has(c.Amount) && !has(c.Debit):
		return bad("columns", "must name amount, or debit and credit")
	case has(c.Direction) && !has(c.Amount):
		return bad("columns.direction", "goes with amount")
	case has(c.Direction) && has(c.Debit):
		return bad("columns", "has both a direction and debit and credit")
	case has(c.Opening) != has(c.Closing):
		return bad("columns", "opening and closing go together")
	case m.FeeIncludesTax && (!has(c.Fee) || !has(c.Tax)):
		return bad("fee_includes_tax", "needs the columns fee and tax")
	case (m.OpeningPattern == "") != (m.ClosingPattern == ""):
		return bad("opening_pattern and closing_pattern", "go together")
	case m.OpeningPattern != "" && has(c.Opening):
		return bad("opening_pattern", "and a column for it exclude each other")
	}
	for _, key := range slices.Sorted(maps.Keys(m.Only)) {
		if strings.TrimSpace(key) == "" || len(m.Only[key]) == 0 {
			return bad("only", "must name columns, and values of each")
		}
	}
	return nil
}
