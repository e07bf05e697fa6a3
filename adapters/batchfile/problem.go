package batchfile

import (
	"fmt"
	"strings"
)

// Problem is one thing that is wrong with a batch. Its message goes on from the field's name, as those of a single payout do: "The
// account_no must be 8 to 20 digits."; without a field it goes on from the item or the file. It never quotes a value of an item.
type Problem struct {
	Line    int    `json:"line,omitzero"`   // physical line of the file, from 1
	Column  int    `json:"column,omitzero"` // number of the column, from 1; 0 where the format has none, or the whole line is meant
	Field   string `json:"field,omitzero"`  // the field's name; in a header, what stands there
	Index   int    `json:"index,omitzero"`  // of the item, from 1; 0: the file
	Message string `json:"message"`
}

// String is the problem on one line: "item 17, line 18, column 3 (account_no): must be 8 to 20 digits".
func (p Problem) String() string {
	var places []string
	if p.Index > 0 {
		places = append(places, fmt.Sprintf("item %d", p.Index))
	}
	if p.Line > 0 {
		places = append(places, fmt.Sprintf("line %d", p.Line))
	}
	switch {
	case p.Column > 0 && p.Field != "":
		places = append(places, fmt.Sprintf("column %d (%s)", p.Column, p.Field))
	case p.Column > 0:
		places = append(places, fmt.Sprintf("column %d", p.Column))
	case p.Field != "":
		places = append(places, p.Field)
	}
	if len(places) == 0 {
		return p.Message
	}
	return strings.Join(places, ", ") + ": " + p.Message
}

// ItemError is what is wrong with one item. Reading goes on behind it.
type ItemError struct{ Problems []Problem }

func (e *ItemError) Error() string { return join(e.Problems) }

// FileError is what is wrong with the file as a whole. It is the last that is read of it.
type FileError struct{ Problems []Problem }

func (e *FileError) Error() string { return join(e.Problems) }

// Malformed is the line at which a JSON file stops being JSON; 0 when something else is wrong with the file.
func (e *FileError) Malformed() int {
	for _, p := range e.Problems {
		if strings.HasPrefix(p.Message, notJSON) || p.Message == notWhole {
			return p.Line
		}
	}
	return 0
}

func join(all []Problem) string {
	texts := make([]string, len(all))
	for i, p := range all {
		texts[i] = p.String()
	}
	return strings.Join(texts, "; ")
}

// fileError is a FileError of one problem.
func fileError(line, index int, format string, args ...any) *FileError {
	return &FileError{Problems: []Problem{{Line: line, Index: index, Message: fmt.Sprintf(format, args...)}}}
}

// FieldError is what ReadOptions.Check has against a field. The message goes on from the field's name: "must be 8 to 20 digits".
type FieldError struct {
	Field   string
	Message string
}

func (e FieldError) Error() string { return e.Field + " " + e.Message }

// Report sums up what has been read so far.
type Report struct {
	Items    int       // how many there are, whatever is wrong with them
	Refused  int       // how many of them have problems
	Problems []Problem // the first of all problems, at most Limits.Problems and those that end the file
	Total    int       // of all problems
}

// More is how many problems there are beyond those that are listed.
func (r Report) More() int { return r.Total - len(r.Problems) }

// String lists the problems, one a line, and says how many more there are.
func (r Report) String() string {
	var b strings.Builder
	for _, p := range r.Problems {
		b.WriteString(p.String() + "\n")
	}
	if more := r.More(); more > 0 {
		fmt.Fprintf(&b, "and %d more\n", more)
	}
	return b.String()
}
