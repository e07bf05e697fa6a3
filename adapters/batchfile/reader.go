package batchfile

import (
	"cmp"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"iter"
	"slices"

	"github.com/khata-ledger/khata/domain/money"
)

// Bounds that hold where Limits says nothing.
const (
	DefaultItems    = 100_000
	DefaultProblems = 1000
	DefaultField    = 1 << 10
	DefaultRecord   = 16 << 10
)

// Limits bound what is read. Zero stands for the default.
type Limits struct {
	Items    int // of a batch: one more is a FileError
	Problems int // listed in the Report; each item's own are told whatever their number
	Field    int // bytes of one field
	Record   int // bytes of one item in JSON or NDJSON, or of any other JSON value of the body, with the blanks before it
}

func (l Limits) orDefault() Limits {
	return Limits{
		Items: cmp.Or(l.Items, DefaultItems), Problems: cmp.Or(l.Problems, DefaultProblems),
		Field: cmp.Or(l.Field, DefaultField), Record: cmp.Or(l.Record, DefaultRecord),
	}
}

// ReadOptions say how a batch is read.
type ReadOptions struct {
	Limits   Limits
	Currency money.Currency // of the amounts; "" is INR

	// Check says what is wrong with the values of an item's fields: the rules of a single payout. It is asked about every item that could be
	// taken apart; what it says of a field that has a problem already is dropped. It must not keep the item. nil: anything goes.
	Check func(*Item) []FieldError
}

// Reader reads the items of one batch, in constant memory but for the marks by which it finds repeated items (some 40 bytes an
// item). It is for one goroutine.
type Reader struct {
	opts     ReadOptions
	limits   Limits
	from     decoder
	columns  Columns
	options  Options
	numbered bool // its columns have numbers: it is a sheet

	item    Item
	amount  string // the amount as it stands there
	lines   [fieldCount]int
	given   [fieldCount]bool // has a problem already
	broken  bool             // could not be taken apart
	found   []Problem
	report  Report
	ended   error
	seen    map[[2]uint64]place
	seeds   [2]maphash.Seed
	scratch []byte
}

// noItem is said of a batch without items.
const noItem = "there is no item in the batch"

// place is where an item stands.
type place struct{ index, line int32 }

// decoder takes the items of one format apart.
type decoder interface {
	// next puts the next item into the reader's: its line, its fields, what is wrong with its form. At the end it returns io.EOF; a FileError
	// or an error of the file's reader ends the reading, too.
	next(r *Reader) error
	// amount reads an amount in the way of the format.
	amount(s string, c money.Currency) (money.Amount, string)
}

func newReader(o ReadOptions, from decoder) *Reader {
	o.Currency = cmp.Or(o.Currency, money.INR)
	return &Reader{
		opts: o, limits: o.Limits.orDefault(), from: from, columns: DefaultColumns(),
		seen: map[[2]uint64]place{}, seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()},
	}
}

// Items hands out the items in their order: item n is the nth of the file. With an item comes nil, or an *ItemError with all that is wrong
// with it: the item then holds what could be read, and reading goes on. Any other error is the last, and comes without an item: a
// *FileError, or what the file's reader returned (wrapped). A loop that was left can be taken up again by another.
func (r *Reader) Items() iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		for r.ended == nil {
			err := r.next()
			if err == nil || ofItem(err) {
				if !yield(r.item, err) {
					return
				}
				continue
			}
			r.ended = err
			if !errors.Is(err, io.EOF) {
				yield(Item{}, err)
			}
		}
	}
}

// ofItem says whether an error is that of one item.
func ofItem(err error) bool {
	var fault *ItemError
	return errors.As(err, &fault)
}

// Columns are the columns that the file has: those of its header once the first item of a CSV was read, of all formats else the
// document's.
func (r *Reader) Columns() Columns { return slices.Clone(r.columns) }

// Options are what a JSON body says beside its items. They are complete when Items has come to its end.
func (r *Reader) Options() Options { return r.options }

// Report sums up what has been read so far.
func (r *Reader) Report() Report {
	report := r.report
	report.Problems = slices.Clone(report.Problems)
	return report
}

// next reads one item.
func (r *Reader) next() error {
	r.item = Item{Index: r.report.Items + 1, Amount: money.Zero(r.opts.Currency)}
	r.amount, r.broken, r.found = "", false, nil
	r.lines, r.given = [fieldCount]int{}, [fieldCount]bool{}
	err := r.from.next(r)
	switch {
	case errors.Is(err, io.EOF) && r.report.Items == 0:
		err = fileError(0, 0, noItem)
	case err == nil && r.item.Index > r.limits.Items:
		err = fileError(r.item.Line, r.item.Index, "a batch has at most %d items", r.limits.Items)
	}
	if err != nil {
		return r.end(err)
	}
	r.report.Items++
	if !r.broken {
		r.read()
		r.repeated()
		r.check()
	}
	if len(r.found) == 0 {
		return nil
	}
	return r.refuse()
}

// end keeps what ended the reading.
func (r *Reader) end(err error) error {
	var fault *FileError
	if errors.As(err, &fault) {
		r.report.Problems = append(r.report.Problems, fault.Problems...)
		r.report.Total += len(fault.Problems)
		return fault
	}
	if errors.Is(err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("reading item %d of a batch: %w", r.item.Index, err)
}

// refuse makes an error of what was found, in the order of the fields.
func (r *Reader) refuse() error {
	slices.SortStableFunc(r.found, func(a, b Problem) int { return rank(a) - rank(b) })
	r.report.Refused++
	r.report.Total += len(r.found)
	if room := r.limits.Problems - len(r.report.Problems); room > 0 {
		r.report.Problems = append(r.report.Problems, r.found[:min(room, len(r.found))]...)
	}
	return &ItemError{Problems: r.found}
}

// rank puts what is wrong with the whole item first, then the fields in their order, then what no item has.
func rank(p Problem) int {
	f := fieldNamed(p.Field)
	switch {
	case p.Field == "":
		return -1
	case f == noField:
		return int(fieldCount)
	}
	return int(f)
}

// fault notes what is wrong with a field.
func (r *Reader) fault(f field, message string) {
	r.given[f] = true
	p := Problem{Line: r.lines[f], Field: f.String(), Index: r.item.Index, Message: message}
	if p.Line == 0 {
		p.Line = r.item.Line
	}
	if r.numbered {
		p.Column = r.columns.find(f)
	}
	r.found = append(r.found, p)
}

// breaks notes why an item could not be taken apart. raw is what stands there.
func (r *Reader) breaks(raw, format string, args ...any) {
	r.broken = true
	r.item.raw = raw
	r.found = append(r.found, Problem{Line: r.item.Line, Index: r.item.Index, Message: fmt.Sprintf(format, args...)})
}

// read checks the form of the fields: that they are there, that numbers are numbers, and that no program has damaged them.
func (r *Reader) read() {
	for f := range fieldCount {
		text := *r.item.text(f)
		if f == amount {
			text = r.amount
		}
		if r.given[f] {
			continue
		}
		if text == "" {
			if f.required() {
				r.fault(f, "is required")
			}
			continue
		}
		switch f {
		case amount:
			r.readAmount()
		case accountNo, mobileNo:
			if problem := turnedIntoNumber(text); problem != "" {
				r.fault(f, problem)
			}
		default: // any text
		}
	}
}

func (r *Reader) readAmount() {
	a, problem := r.from.amount(r.amount, r.opts.Currency)
	if problem != "" {
		r.item.AmountText = r.amount
		r.fault(amount, problem)
		return
	}
	r.item.Amount = a
}

// repeated finds an item that stands twice: by its partner_request_id, or without one by all that it holds.
func (r *Reader) repeated() {
	if r.item.PartnerRequestID != "" {
		r.scratch = append(append(r.scratch[:0], 'i'), r.item.PartnerRequestID...)
	} else {
		r.scratch = appendCanonical(append(r.scratch[:0], 'c'), &r.item)
	}
	key := [2]uint64{maphash.Bytes(r.seeds[0], r.scratch), maphash.Bytes(r.seeds[1], r.scratch)}
	first, again := r.seen[key]
	switch {
	case !again:
		r.seen[key] = place{int32(r.item.Index), int32(r.item.Line)}
	case r.item.PartnerRequestID != "":
		r.fault(partnerRequestID, fmt.Sprintf("is that of item %d (line %d), too", first.index, first.line))
	default:
		r.found = append(r.found, Problem{Line: r.item.Line, Index: r.item.Index, Message: fmt.Sprintf(
			"is the same as item %d (line %d): if both are meant, give each a partner_request_id of its own", first.index, first.line)})
	}
}

// check asks the caller about the values.
func (r *Reader) check() {
	if r.opts.Check == nil {
		return
	}
	for _, e := range r.opts.Check(&r.item) {
		f := fieldNamed(e.Field)
		switch {
		case f == noField:
			r.found = append(r.found, Problem{Line: r.item.Line, Field: e.Field, Index: r.item.Index, Message: e.Message})
		case !r.given[f]:
			r.fault(f, e.Message+r.hint(f))
		}
	}
}

// hint says what may have happened to a value of a sheet that is refused; "" when there is nothing to say.
func (r *Reader) hint(f field) string {
	if r.numbered && f == accountNo && digits(r.item.AccountNo) && len(r.item.AccountNo) < keptDigits {
		return "; " + stripped
	}
	return ""
}
