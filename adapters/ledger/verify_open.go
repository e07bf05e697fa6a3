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
//
// Each change has the batch that its event names: that of a payout's end is the one that it began in, or none, since programs before the
// events of a payout's end named its batch have left payouts that began in one and ended in none.
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
	key       [2]uint64 // the lowest bit of the second is the kind
	seq       int64
	change    int64
	partition int32
	batch     uint32 // that its event names, by number; 0 for none
}

// at is the position of the record.
func (i *item) at() eventstore.Position {
	return eventstore.Position{Partition: int(i.partition), Seq: i.seq}
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
func keyOf(k itemKind, stream, payment string) [2]uint64 {
	var buffer [2*eventstore.MaxNameBytes + 1]byte
	b := append(append(append(buffer[:0], stream...), 0), payment...)
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
	case i.partition != o.partition:
		return cmp.Compare(i.partition, o.partition)
	}
	return cmp.Compare(i.seq, o.seq)
}

// add adds what a record changes of a payment. Its event names a batch, by number, or none: 0.
func (o *openItems) add(k itemKind, r *eventstore.Record, payment string, change money.Amount, batch uint32) error {
	if change.IsZero() {
		return nil
	}
	i := item{key: keyOf(k, r.Stream, payment), seq: r.Seq, partition: int32(r.Partition), batch: batch}
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
		if n := len(kept) - 1; n >= 0 && kept[n].key == i.key && kept[n].batch == i.batch && kept[n].change >= 0 {
			if sum, fits := added(kept[n].change, i.change); fits {
				kept[n].change, kept[n].partition, kept[n].seq = sum, i.partition, i.seq
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
	place := uint64(i.partition) << 1
	if i.batch != 0 {
		b = binary.AppendUvarint(b, place|1)
		b = binary.AppendUvarint(b, uint64(i.batch))
	} else {
		b = binary.AppendUvarint(b, place)
	}
	b = binary.AppendVarint(b, i.seq)
	return binary.AppendVarint(b, i.change)
}

// read reads an item. io.EOF behind the last one.
func (i *item) read(in *bufio.Reader) error {
	var key [16]byte
	if _, err := io.ReadFull(in, key[:]); err != nil {
		return err
	}
	i.key = [2]uint64{binary.BigEndian.Uint64(key[:]), binary.BigEndian.Uint64(key[8:])}
	place, err := binary.ReadUvarint(in)
	if err != nil {
		return noEOF(err)
	}
	i.partition, i.batch = int32(place>>1), 0
	if place&1 != 0 {
		batch, err := binary.ReadUvarint(in)
		if err != nil {
			return noEOF(err)
		}
		i.batch = uint32(batch)
	}
	if i.seq, err = binary.ReadVarint(in); err != nil {
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

// openFindings are what all changes show, taken together.
type openFindings struct {
	kind    itemKind
	at      eventstore.Position // of the first record by which a payment gave back more than it had, of that kind; Seq is 0 for none
	strange eventstore.Position // of the first record that names another batch than the payment's first one; Seq is 0 for none
	unnamed map[int]int64       // by partition, the newest position at which a payout of a batch was open that an event has ended which names none
}

// sums are of the changes of one payment, so far.
type sums struct {
	key        [2]uint64
	all, named money.Amount        // of all changes, and of those by events that name a batch
	batch      uint32              // of the first
	last       eventstore.Position // of those that name one
}

// findings reads everything once.
func (o *openItems) findings() (openFindings, error) {
	f := openFindings{unnamed: map[int]int64{}}
	all, err := o.merge()
	if err != nil {
		return f, fmt.Errorf("reading the file of open payments: %w", err)
	}
	zero := money.Zero(nominal)
	of := sums{all: zero, named: zero}
	for len(all) > 0 {
		next := all[0]
		if next.key != of.key {
			f.end(&of)
			of = sums{key: next.key, all: zero, named: zero, batch: next.batch}
		}
		f.take(&of, next)
		switch err := next.next(); {
		case errors.Is(err, io.EOF):
			heap.Pop(&all)
		case err != nil:
			return f, fmt.Errorf("reading the file of open payments: %w", err)
		default:
			heap.Fix(&all, 0)
		}
	}
	f.end(&of)
	return f, nil
}

// take adds a change to those of its payment.
func (f *openFindings) take(of *sums, c *cursor) {
	change, at := c.amount(), c.at()
	if of.all = of.all.Add(change); of.all.Sign() < 0 && (f.at.Seq == 0 || before(at, f.at)) {
		f.at, f.kind = at, itemLocked
		if itemSuspended.of(of.key) {
			f.kind = itemSuspended
		}
	}
	if c.batch == 0 {
		return
	}
	of.named, of.last = of.named.Add(change), at
	if c.batch != of.batch && (f.strange.Seq == 0 || before(at, f.strange)) {
		f.strange = at
	}
}

// end takes note of a payment of which nothing is open, while by the events that name a batch it still is.
func (f *openFindings) end(of *sums) {
	if of.all.IsZero() && of.named.Sign() > 0 {
		f.unnamed[of.last.Partition] = max(f.unnamed[of.last.Partition], of.last.Seq)
	}
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
