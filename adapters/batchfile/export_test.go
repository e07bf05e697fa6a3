package batchfile

import (
	"io"

	"github.com/khata-ledger/khata/adapters/sheet"
)

// Submission writes items as a CSV that can be submitted as a batch, in constant memory.
type Submission struct{ table }

// NewSubmission writes items as CSV. The columns must have all that an item needs.
func NewSubmission(w io.Writer, c Columns) *Submission {
	return &Submission{newTable(sheet.NewCSV(w), c, nil)}
}

// Write writes one item.
func (s *Submission) Write(it *Item) error {
	s.item(it)
	return s.end()
}
