package batchfile

import (
	"crypto/sha256"
	"encoding/binary"
	"hash"
	"time"
)

// digestVersion names how a digest is made. What is stored under it is compared for ever: another way gets another name.
const digestVersion = "batch content 1\n"

// Digest is the SHA-256 of a batch's content, made as its items are read: what two submissions of the same batch have in common,
// whatever the format, the order of the columns, and how an amount was written. The reference of the batch is no part of it: that is
// the name, not the content. Add the items in their order, refused ones included.
//
// An item that could not be taken apart (a ragged line, a value of a wrong type) counts as what was sent, as far as Limits let it be read.
type Digest struct {
	hash    hash.Hash
	scratch []byte
	items   uint64
}

// NewDigest begins a digest.
func NewDigest() *Digest {
	d := &Digest{hash: sha256.New()}
	d.write([]byte(digestVersion))
	return d
}

// Add adds the next item.
func (d *Digest) Add(it *Item) {
	d.scratch = appendCanonical(d.scratch[:0], it)
	d.write(d.scratch)
	d.items++
}

// Sum returns the digest of the items added so far under these options; what was not given counts as its default. It can be called
// again: the options of a JSON body may stand behind its items.
func (d *Digest) Sum(o Options) [sha256.Size]byte {
	o = o.Complete()
	b := d.hash.Sum(nil)
	b = binary.AppendUvarint(b, d.items)
	for _, s := range []string{o.Mode, o.Approval, o.OnInsufficientBalance} {
		b = appendText(b, s)
	}
	at := ""
	if !o.ScheduleAt.IsZero() {
		at = o.ScheduleAt.UTC().Format(time.RFC3339Nano)
	}
	return sha256.Sum256(appendText(b, at))
}

func (d *Digest) write(b []byte) {
	if _, err := d.hash.Write(b); err != nil {
		panic("batchfile: a hash refused bytes: " + err.Error()) // hash.Hash promises that it never does
	}
}
