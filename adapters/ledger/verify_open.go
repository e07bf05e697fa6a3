package ledger

import (
	"bufio"
	"cmp"
	"container/heap"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

// openItems finds whether a payment gives back more than came in: of what it has locked, or in suspense. Payments that are open at
// the same time may be more than memory holds, so the changes are sorted by payment, and those of memory's size are written to a
// temporary file, from where they are merged at the end.
//
// A payment is known by 128 bits of a SHA-256: two of them do not meet, however they are chosen. Changes come in the order of the
// log. As long as nothing is overdrawn, a change that leaves what came in since at zero or more cannot overdraw: so a payment that
// opens and closes again within memory leaves nothing behind.
type openItems struct {
	limit int    // of items in memory
	items []item // not written yet
	vast  []vastItem
	file  *os.File // nil while memory is enough
	runs  []span   // of the file, each sorted
	end   int64    // of the file
}

// openItemsInMemory is as many as take 12 MiB. Each run of the file costs as much again for a moment.
const openItemsInMemory = 1 << 18

// itemKind is where a payment has something open.
type itemKind byte

const (
	itemLocked itemKind = iota
	itemSuspended
)

// item is a change of what a payment has open, as of a record, in minor units.
type item struct {
	key    [2]uint64 // the lowest bit of the second is the kind
	at     eventstore.Position
	change int64
}

// vastItem is a change that 64 bits do not hold. There is hardly ever one.
type vastItem struct {
	item
	amount money.Amount
}

// span is a part of the file.
type span struct{ from, to int64 }

func newOpenItems(limit int) *openItems { return &openItems{limit: limit} }

// keyOf is how a payment of a wallet is known.
func keyOf(k itemKind, r *eventstore.Record) [2]uint64 {
	var buffer [2*eventstore.MaxNameBytes + 1]byte
	b := append(append(append(buffer[:0], r.Stream...), 0), r.Subject...)
	sum := sha256.Sum256(b)
	return [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])&^1 | uint64(k)}
}

func (k itemKind) of(key [2]uint64) bool { return key[1]&1 == uint64(k) }

func before(a, b eventstore.Position) bool {
	return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Seq, b.Seq)) < 0
}

func (i *item) compare(o *item) int {
	switch {
	case i.key[0] != o.key[0]:
		return cmp.Compare(i.key[0], o.key[0])
	case i.key[1] != o.key[1]:
		return cmp.Compare(i.key[1], o.key[1])
	case i.at.Partition != o.at.Partition:
		return cmp.Compare(i.at.Partition, o.at.Partition)
	}
	return cmp.Compare(i.at.Seq, o.at.Seq)
}

// add adds what a record changes.
func (o *openItems) add(k itemKind, r *eventstore.Record, change money.Amount) error {
	if change.IsZero() {
		return nil
	}
	i := item{key: keyOf(k, r), at: r.Position()}
	minor, fits := change.Minor()
	if !fits {
		o.vast = append(o.vast, vastItem{i, change})
		return nil
	}
	i.change = minor
	o.items = append(o.items, i)
	if len(o.items) < o.limit {
		return nil
	}
	o.settle()
	if len(o.items) < o.limit/2 {
		return nil
	}
	return o.write()
}

// settle sorts what is in memory, and makes one of the changes of a payment where that hides nothing.
func (o *openItems) settle() {
	slices.SortFunc(o.items, func(a, b item) int { return a.compare(&b) })
	if len(o.vast) > 0 { // which stand in between
		return
	}
	kept := o.items[:0]
	for _, i := range o.items {
		if n := len(kept) - 1; n >= 0 && kept[n].key == i.key && kept[n].change >= 0 {
			if sum, fits := added(kept[n].change, i.change); fits {
				kept[n].change, kept[n].at = sum, i.at
				continue
			}
		}
		if n := len(kept) - 1; n >= 0 && kept[n].change == 0 {
			kept = kept[:n]
		}
		kept = append(kept, i)
	}
	if n := len(kept) - 1; n >= 0 && kept[n].change == 0 {
		kept = kept[:n]
	}
	o.items = kept
}

// added is a sum, and whether it fits.
func added(a, b int64) (sum int64, fits bool) {
	sum = a + b
	return sum, (a^sum)&(b^sum) >= 0 && sum != math.MinInt64
}

// write moves what is in memory to the file, as a run.
func (o *openItems) write() (err error) {
	if o.file == nil {
		if o.file, err = os.CreateTemp("", "ledger-verify-"); err != nil {
			return fmt.Errorf("making a file of open payments: %w", err)
		}
	}
	run := span{from: o.end, to: o.end}
	w := bufio.NewWriterSize(io.NewOffsetWriter(o.file, o.end), 1<<16)
	var b []byte
	for n := range o.items {
		b = o.items[n].append(b[:0])
		if _, err := w.Write(b); err != nil {
			return fmt.Errorf("writing the file of open payments: %w", err)
		}
		run.to += int64(len(b))
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing the file of open payments: %w", err)
	}
	o.runs, o.end, o.items = append(o.runs, run), run.to, o.items[:0]
	return nil
}

// append writes an item as read reads it.
func (i *item) append(b []byte) []byte {
	b = binary.BigEndian.AppendUint64(b, i.key[0])
	b = binary.BigEndian.AppendUint64(b, i.key[1])
	b = binary.AppendUvarint(b, uint64(i.at.Partition))
	b = binary.AppendVarint(b, i.at.Seq)
	return binary.AppendVarint(b, i.change)
}

// read reads an item. io.EOF behind the last one.
func (i *item) read(in *bufio.Reader) error {
	var key [16]byte
	if _, err := io.ReadFull(in, key[:]); err != nil {
		return err
	}
	i.key = [2]uint64{binary.BigEndian.Uint64(key[:]), binary.BigEndian.Uint64(key[8:])}
	partition, err := binary.ReadUvarint(in)
	if err != nil {
		return noEOF(err)
	}
	i.at.Partition = int(partition)
	if i.at.Seq, err = binary.ReadVarint(in); err != nil {
		return noEOF(err)
	}
	i.change, err = binary.ReadVarint(in)
	return noEOF(err)
}

// noEOF: an item is not cut short.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// overdrawn returns the first record by which a payment gave back more than it had, and where; Seq is 0 for none.
func (o *openItems) overdrawn() (kind itemKind, at eventstore.Position, err error) {
	all, err := o.merge()
	if err != nil {
		return 0, at, fmt.Errorf("reading the file of open payments: %w", err)
	}
	var key [2]uint64
	total := money.Zero(nominal)
	for len(all) > 0 {
		next := all[0]
		if next.key != key {
			key, total = next.key, money.Zero(nominal)
		}
		if total = total.Add(next.amount()); total.Sign() < 0 && (at.Seq == 0 || before(next.at, at)) {
			at, kind = next.at, itemLocked
			if itemSuspended.of(key) {
				kind = itemSuspended
			}
		}
		switch err := next.next(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&all)
		case err != nil:
			return 0, at, fmt.Errorf("reading the file of open payments: %w", err)
		default:
			heap.Fix(&all, 0)
		}
	}
	return kind, at, nil
}

// nominal is the currency in which all are counted: a payment has but one, and its minor units are what counts.
const nominal = money.INR

// mergeBytes is the memory for reading runs.
const mergeBytes = 8 << 20

// merge opens everything, to be read in order.
func (o *openItems) merge() (cursors, error) {
	o.settle()
	rest := o.items
	all := []*cursor{{read: func(c *cursor) error {
		if len(rest) == 0 {
			return io.EOF
		}
		c.item, rest = rest[0], rest[1:]
		return nil
	}}}
	slices.SortFunc(o.vast, func(a, b vastItem) int { return a.compare(&b.item) })
	vast := o.vast
	all = append(all, &cursor{read: func(c *cursor) error {
		if len(vast) == 0 {
			return io.EOF
		}
		c.item, c.vast, vast = vast[0].item, &vast[0].amount, vast[1:]
		return nil
	}})
	for _, r := range o.runs {
		in := bufio.NewReaderSize(io.NewSectionReader(o.file, r.from, r.to-r.from), min(1<<16, mergeBytes/len(o.runs)))
		all = append(all, &cursor{read: func(c *cursor) error { return c.item.read(in) }})
	}
	var out cursors
	for _, c := range all {
		switch err := c.next(); {
		case errors.Is(err, io.EOF):
		case err != nil:
			return nil, err
		default:
			out = append(out, c)
		}
	}
	heap.Init(&out)
	return out, nil
}

// cursor stands on an item of a run.
type cursor struct {
	item
	vast *money.Amount // in place of change
	read func(*cursor) error
}

func (c *cursor) next() error { return c.read(c) }

// amount is the change in the nominal currency.
func (c *cursor) amount() money.Amount {
	if c.vast == nil {
		return money.FromMinor(c.change, nominal)
	}
	from, _ := c.vast.Currency().Exponent()
	to, _ := nominal.Exponent()
	return money.Round(c.vast.Decimal().Shift(from-to), nominal) // which has nothing to round
}

// cursors are a heap: the first stands on the item that is first of all.
type cursors []*cursor

func (c cursors) Len() int           { return len(c) }
func (c cursors) Less(i, j int) bool { return c[i].compare(&c[j].item) < 0 }
func (c cursors) Swap(i, j int)      { c[i], c[j] = c[j], c[i] }
func (c *cursors) Push(x any)        { *c = append(*c, x.(*cursor)) }

func (c *cursors) Pop() any {
	n := len(*c) - 1
	last := (*c)[n]
	*c = (*c)[:n]
	return last
}

// close removes the file.
func (o *openItems) close() error {
	if o.file == nil {
		return nil
	}
	return errors.Join(o.file.Close(), os.Remove(o.file.Name()))
}
