package batchfile

import (
	"fmt"
	"slices"
	"strings"
	"unicode"

	"github.com/khata-ledger/khata/adapters/sheet"
)

// maxColumns bounds how many columns of a file are looked at.
const maxColumns = 64

// Column is one column of a file.
type Column struct {
	Field  string `json:"field"`  // the item's field: "account_no"
	Header string `json:"header"` // what stands in the header: "Account No"
}

// Columns are the columns of a file, in its order.
type Columns []Column

// DefaultColumns are all fields of an item in the document's order, under their own names: those of a batch that came as JSON.
func DefaultColumns() Columns {
	all := make(Columns, fieldCount)
	for f := range fieldCount {
		all[f] = Column{Field: f.String(), Header: f.String()}
	}
	return all
}

// ParseColumns reads a header line. Names are taken whatever their case, spaces, underscores, hyphens and points: "Account No." is
// account_no. The apostrophe by which results keep a name from being a formula does not belong to it. It returns what is wrong: a column that is not known, or stands twice, or is missing. Cells behind the last name
// do not count.
func ParseColumns(header []string) (Columns, []Problem) {
	for len(header) > 0 && strings.TrimSpace(header[len(header)-1]) == "" {
		header = header[:len(header)-1]
	}
	var all Columns
	var problems []Problem
	for i, text := range header {
		if text = strings.TrimSpace(text); strings.HasPrefix(text, "'") && sheet.Formula(strings.TrimLeft(text, "'")) {
			text = text[1:]
		}
		known := columnNamed(text)
		switch {
		case known == noField && text == "":
			problems = append(problems, Problem{Column: i + 1, Message: "has no name"})
		case known == noField:
			problems = append(problems, Problem{Column: i + 1, Field: shown(text), Message: unknownColumn(text)})
		case all.find(known) > 0:
			problems = append(problems, Problem{
				Column: i + 1, Field: known.String(), Message: fmt.Sprintf("stands twice: it is column %d, too", all.find(known)),
			})
		}
		name := ""
		if known != noField {
			name = known.String()
		}
		all = append(all, Column{Field: name, Header: text})
	}
	for f := range fieldCount {
		if f.required() && all.find(f) == 0 {
			problems = append(problems, Problem{Field: f.String(), Message: "is missing: a batch needs this column"})
		}
	}
	return all, problems
}

// unknownColumn tells about a column that no item has.
func unknownColumn(header string) string {
	isOutcome := func(name string) bool { return plainName(name) == plainName(header) }
	if slices.ContainsFunc(outcomeHeaders(), isOutcome) {
		return "is a column of results: remove it to submit the file as a batch"
	}
	return "is not a column of a batch"
}

// find is the number of a field's first column, from 1; 0 when there is none.
func (c Columns) find(f field) int {
	name := f.String()
	return 1 + slices.IndexFunc(c, func(one Column) bool { return one.Field == name })
}

// columnNamed finds a field by what a header calls it; noField when there is none.
func columnNamed(header string) field {
	name := plainName(header)
	for f := range fieldCount {
		if plainName(f.String()) == name {
			return f
		}
	}
	return noField
}

// plainName is a header without case and separators.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) || r == '_' || r == '-' || r == '.' {
			return -1
		}
		return unicode.ToLower(r)
	}, s)
}

// shown makes a text of a file fit for a message: short, and on one line.
func shown(s string) string {
	const most = 60
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, s)
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
