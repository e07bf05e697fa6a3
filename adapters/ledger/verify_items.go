package ledger

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"math/bits"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// chunk is what is kept of the items of a chunk until it is drawn.
type chunk struct {
	at    int64 // position of the record that has them
	items int
	sum   imprint
}

// drawing is what is known of the payouts of the chunk that is being drawn.
type drawing struct {
	made  [(batch.ChunkSize + 63) / 64]uint64 // by place in the chunk
	count int
	sum   imprint
	since int64 // position of the first one
}

// imprint stands for all of an item that its payout has: 128 bits of a SHA-256, or the sum of several. Two sums of different items do not
// meet, as the imprints depend on a number that is drawn for each run: nobody can have chosen items to that end.
type imprint [2]uint64

func (p *imprint) add(o imprint) {
	var carry uint64
	p[1], carry = bits.Add64(p[1], o[1], 0)
	p[0], _ = bits.Add64(p[0], o[0], carry)
}

// printer makes imprints.
type printer struct {
	salt   [16]byte
	buffer []byte
}

func newPrinter() (p printer) {
	rand.Read(p.salt[:]) // which returns no error, ever
	return p
}

// item is the imprint of an item whose payout is begun by an event.
func (p *printer) item(i *batch.Item, event uuid.UUID) imprint {
	p.buffer = append(append(p.buffer[:0], p.salt[:]...), event[:]...)
	p.buffer = binary.AppendVarint(p.buffer, int64(i.Index))
	for _, text := range [...]string{
		i.Payment, i.RequestID, i.IFSC, i.BankName, i.AccountLast4, i.AccountFingerprint, i.TransferType, i.Sealed,
	} {
		p.buffer = append(binary.AppendUvarint(p.buffer, uint64(len(text))), text...)
	}
	for _, a := range [...]money.Amount{i.Amount, i.Commission, i.Tax} {
		p.buffer = append(a.AppendFixed(p.buffer), ' ')
	}
	sum := sha256.Sum256(p.buffer)
	return imprint{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// submitted is the imprint of an item as it was submitted.
func (p *printer) submitted(i *batch.Item) imprint {
	event, err := uuid.Parse(i.Event)
	if err != nil {
		event = uuid.Nil // no payout can have been made of it
	}
	return p.item(i, event)
}

// payout is the imprint of the item that a payout was made of.
func (p *printer) payout(r *eventstore.Record, e *wallet.PayoutInitiated) imprint {
	return p.item(&batch.Item{
		Index: e.Index, Payment: e.Payment, RequestID: e.RequestID, Amount: e.Amount, Commission: e.Commission, Tax: e.Tax,
		IFSC: e.IFSC, BankName: e.BankName, AccountLast4: e.AccountLast4, AccountFingerprint: e.AccountFingerprint,
		TransferType: e.TransferType, Sealed: e.Sealed,
	}, r.EventID)
}

// chunk is what is kept of a record of items.
func (p *printer) chunk(r *eventstore.Record, items []batch.Item) chunk {
	c := chunk{at: r.Seq, items: len(items)}
	for i := range items {
		c.sum.add(p.submitted(&items[i]))
	}
	return c
}

// mark takes the place of an item; false when it is taken.
func (d *drawing) mark(index int) bool {
	place := uint(index-1) % batch.ChunkSize
	word, bit := &d.made[place/64], uint64(1)<<(place%64)
	if *word&bit != 0 {
		return false
	}
	*word |= bit
	return true
}

// has tells whether the place of an item is taken.
func (d *drawing) has(index int) bool {
	place := uint(index-1) % batch.ChunkSize
	return d.made[place/64]>>(place%64)&1 != 0
}

// add adds a payout. Whether it is its item as submitted is found when the chunk is drawn.
func (d *drawing) add(r *eventstore.Record, e *wallet.PayoutInitiated, prints *printer) error {
	if !d.mark(e.Index) {
		return fmt.Errorf("item %d of batch %s is paid for the second time", e.Index, e.Batch)
	}
	if d.count == 0 {
		d.since = r.Seq
	}
	d.count++
	d.sum.add(prints.payout(r, e))
	return nil
}

// endChunk checks a chunk that is noted as drawn, and forgets it: each of its items is a payout, or refused.
func (v *verifier) endChunk(ctx context.Context, r *eventstore.Record, b *batchBooks, e *batch.Drawn) error {
	all := b.drawing // a copy
	var wrong error
	for _, refused := range e.Refused {
		if !all.mark(refused.Index) && wrong == nil {
			wrong = fmt.Errorf("item %d of batch %s is refused, and was refused or paid before", refused.Index, e.Batch)
		}
	}
	items := min(batch.ChunkSize, b.state.Count-(e.Chunk-1)*batch.ChunkSize)
	if made := b.drawing.count; wrong == nil && made+len(e.Refused) != items {
		wrong = fmt.Errorf("chunk %d of batch %s is drawn, of whose %d items %d are payouts and %d refused", e.Chunk, e.Batch, items, made, len(e.Refused))
	}
	v.noteBatch(r.Position(), wrong, 0)
	if err := v.compare(ctx, r.Position(), b); err != nil {
		return err
	}
	b.drawing = drawing{}
	if b.chunks = b.chunks[min(1, len(b.chunks)):]; len(b.chunks) == 0 {
		b.chunks = nil
	}
	return nil
}

// compare checks whether the payouts of the chunk that is being drawn, up to a record, are its items as submitted. The items are read again
// when not all of them are payouts, the payouts when there is something wrong. The error is a fault of reading.
func (v *verifier) compare(ctx context.Context, upto eventstore.Position, b *batchBooks) error {
	d := &b.drawing
	if d.count == 0 || len(b.chunks) == 0 {
		return nil
	}
	c := &b.chunks[0]
	if d.count == c.items && d.sum == c.sum {
		return nil
	}
	items, err := v.itemsOf(ctx, eventstore.Position{Partition: upto.Partition, Seq: c.at})
	if err != nil {
		return err
	}
	prints := make([]imprint, len(items))
	var want imprint
	for n := range items {
		prints[n] = v.batches.prints.submitted(&items[n])
		if d.has(items[n].Index) {
			want.add(prints[n])
		}
	}
	if want == d.sum {
		return nil
	}
	first := eventstore.Position{Partition: upto.Partition, Seq: d.since}
	if f := &v.findings[checkBatches]; f.problem != nil && before(f.at, first) {
		return nil
	}
	return v.blame(ctx, first, upto, b, prints)
}

// itemsOf reads the items of a chunk again.
func (v *verifier) itemsOf(ctx context.Context, at eventstore.Position) ([]batch.Item, error) {
	r, err := v.again(ctx, at)
	if err != nil {
		return nil, err
	}
	e, err := batch.Decode(r.Type, r.Schema, r.Data)
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", at, err)
	}
	added, ok := e.(*batch.ItemsAdded)
	if !ok {
		return nil, fmt.Errorf("%w: record %s had the items of a batch, and is %s", eventstore.ErrBroken, at, r.Type)
	}
	return added.Items, nil
}

// blame names the first payout from one record to another that is not its item as submitted. prints are the imprints of the chunk's items.
func (v *verifier) blame(ctx context.Context, first, last eventstore.Position, b *batchBooks, prints []imprint) error {
	found := false
	of := b.state.Of
	err := v.each(ctx, first.Seq-1, eventstore.Head{Partition: last.Partition, Seq: last.Seq}, func(records []eventstore.Record) error {
		for i := range records {
			r := &records[i]
			if found || r.Type != (*wallet.PayoutInitiated).Type(nil) || ownerOf(r.Stream) != of.Merchant {
				continue
			}
			ev, err := wallet.Decode(r.Type, r.Schema, r.Data)
			if err != nil {
				continue // which the events have found
			}
			e, ok := ev.(*wallet.PayoutInitiated)
			if !ok || e.Batch != of.Batch || (e.Index-1)/batch.ChunkSize != b.state.Drawn {
				continue
			}
			if place := (e.Index - 1) % batch.ChunkSize; place >= len(prints) || v.batches.prints.payout(r, e) != prints[place] {
				found = true
				v.noteBatch(r.Position(), fmt.Errorf("payout %s is not item %d of batch %s as submitted", r.Subject, e.Index, e.Batch), 0)
			}
		}
		return nil
	})
	if err == nil && !found {
		v.noteBatch(last, fmt.Errorf("the payouts of batch %s are not its items as submitted", of.Batch), 0)
	}
	return err
}
