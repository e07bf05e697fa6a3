package klyropay

import (
	"bufio"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
)

// contentVersion names how the digest of a batch is made. Digests are stored: another way gets another name.
const contentVersion = "batch content 1\n"

// entryTexts is the number of texts of an item in the spool.
const entryTexts = 7

// maxEntry bounds an item in the spool, in bytes: far above what the rules of the fields allow.
const maxEntry = 16 << 10

// spool keeps the checked items of a batch between reading and submitting: in a file without a name, which is gone with its
// descriptor, each sealed in its place with a key that is nowhere but here, so that what remains on the disk says nothing of anybody, and
// what comes back is what was checked. One goroutine owns it.
type spool struct {
	file     *os.File
	seal     cipher.AEAD
	out      *bufio.Writer
	digest   digester
	currency money.Currency
	items    int
	scratch  []byte // of one item, in clear
	sealed   []byte // of one item
}

// digester is the part of a hash that is used here.
type digester interface {
	io.Writer
	Sum(b []byte) []byte
}

// spoolError is a fault of the spool: ours, not the body's.
type spoolError struct{ err error }

func (e *spoolError) Error() string { return "the spool of a batch: " + e.err.Error() }
func (e *spoolError) Unwrap() error { return e.err }

func newSpool(dir string, c money.Currency) (*spool, error) {
	var key [32]byte
	rand.Read(key[:]) // never fails: see crypto/rand
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, &spoolError{err}
	}
	seal, err := cipher.NewGCM(block)
	if err != nil {
		return nil, &spoolError{err}
	}
	file, err := os.CreateTemp(dir, "ledger-batch-*") // mode 0600
	if err != nil {
		return nil, &spoolError{err}
	}
	if err := os.Remove(file.Name()); err != nil {
		return nil, &spoolError{errors.Join(err, file.Close())}
	}
	s := &spool{file: file, seal: seal, out: bufio.NewWriterSize(file, 64<<10), digest: sha256.New(), currency: c}
	s.count([]byte(contentVersion))
	return s, nil
}

// nonce is that of an item: the key seals each place once.
func nonce(item int) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 4, 12), uint64(item))
}

// close gives the file back to the system. Nothing was written that anybody needs, so there is nothing that could be lost by it.
func (s *spool) close() error { return s.file.Close() }

// add adds the next item, and takes it into the digest.
func (s *spool) add(e *BatchEntry) error {
	minor, fits := e.Amount.Minor()
	if !fits {
		return &spoolError{fmt.Errorf("item %d: an amount beyond 64 bits", e.Index)}
	}
	b := binary.AppendVarint(s.scratch[:0], minor)
	for _, text := range [entryTexts]string{e.MobileNo, e.BeneficiaryName, e.AccountNo, e.IFSC, e.BankName, e.TransferType, e.PartnerRequestID} {
		b = appendText(b, text)
	}
	s.scratch = b
	if len(b) > maxEntry {
		return &spoolError{fmt.Errorf("item %d has %d bytes", e.Index, len(b))}
	}
	s.items++
	s.count(b)
	s.sealed = s.seal.Seal(s.sealed[:0], nonce(s.items), b, nil)
	var head [binary.MaxVarintLen64]byte
	if _, err := s.out.Write(head[:binary.PutUvarint(head[:], uint64(len(s.sealed)))]); err != nil {
		return &spoolError{err}
	}
	if _, err := s.out.Write(s.sealed); err != nil {
		return &spoolError{err}
	}
	return nil
}

// sum is the digest of the items and of the options that they are submitted with; of those that retry a batch, of that, too. batch_ref is
// the batch's name and no part of it.
func (s *spool) sum(o BatchOptions, retryOf string) string {
	b := binary.AppendUvarint(s.digest.Sum(nil), uint64(s.items))
	for _, text := range []string{string(s.currency), o.Mode, o.Approval, o.OnInsufficientBalance, o.ScheduleAt} {
		b = appendText(b, text)
	}
	if retryOf != "" {
		b = appendText(b, retryOf)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// count takes bytes into the digest.
func (s *spool) count(b []byte) {
	if _, err := s.digest.Write(b); err != nil {
		panic("klyropay: a hash refused bytes: " + err.Error()) // hash.Hash promises that it never does
	}
}

// appendText appends a text behind its length in bytes.
func appendText(b []byte, s string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// payouts hands out the items, each time from the first one. An item without a partner_request_id gets the one that follows from
// batch_ref and its place, so that a repeat of the batch is the same payouts.
func (s *spool) payouts(ref string) iter.Seq2[BatchPayout, error] {
	return func(yield func(BatchPayout, error) bool) {
		if err := s.rewind(); err != nil {
			yield(BatchPayout{}, err)
			return
		}
		in := bufio.NewReaderSize(s.file, 64<<10)
		for n := 1; n <= s.items; n++ {
			p, err := s.next(in, n)
			if err != nil {
				yield(BatchPayout{}, &spoolError{fmt.Errorf("item %d: %w", n, err)})
				return
			}
			if p.RequestID == "" {
				p.RequestID = itemReference(ref, n)
			}
			if !yield(p, nil) {
				return
			}
		}
	}
}

// reference is the partner_request_id of the item of an index.
func (s *spool) reference(ref string, index int) (string, error) {
	n := 0
	for p, err := range s.payouts(ref) {
		if n++; err != nil || n == index {
			return p.RequestID, err
		}
	}
	return "", &spoolError{fmt.Errorf("there is no item %d", index)}
}

// rewind puts what is buffered into the file, and goes to its beginning.
func (s *spool) rewind() error {
	if err := s.out.Flush(); err != nil {
		return &spoolError{err}
	}
	if _, err := s.file.Seek(0, io.SeekStart); err != nil {
		return &spoolError{err}
	}
	return nil
}

var errSpool = errors.New("what was read is not what was written")

// next reads one item.
func (s *spool) next(in *bufio.Reader, item int) (BatchPayout, error) {
	size, err := binary.ReadUvarint(in)
	if err != nil {
		return BatchPayout{}, err
	}
	if size > maxEntry+uint64(s.seal.Overhead()) {
		return BatchPayout{}, errSpool
	}
	s.sealed = slices.Grow(s.sealed[:0], int(size))[:size]
	if _, err := io.ReadFull(in, s.sealed); err != nil {
		return BatchPayout{}, err
	}
	s.scratch, err = s.seal.Open(s.scratch[:0], nonce(item), s.sealed, nil)
	if err != nil {
		return BatchPayout{}, fmt.Errorf("%w: %w", errSpool, err)
	}
	return s.payout(s.scratch)
}

// payout decodes an item.
func (s *spool) payout(b []byte) (BatchPayout, error) {
	minor, n := binary.Varint(b)
	if n <= 0 {
		return BatchPayout{}, errSpool
	}
	whole := string(b) // the texts are parts of it
	var texts [entryTexts]string
	for i := range texts {
		size, width := binary.Uvarint(b[n:])
		if width <= 0 || size > uint64(len(b)-n-width) {
			return BatchPayout{}, errSpool
		}
		n += width
		texts[i] = whole[n : n+int(size)]
		n += int(size)
	}
	return BatchPayout{
		To:   wallet.Beneficiary{Mobile: texts[0], Name: texts[1], AccountNo: texts[2]},
		IFSC: texts[3], BankName: texts[4], TransferType: texts[5], RequestID: texts[6], Amount: money.FromMinor(minor, s.currency),
	}, nil
}

// itemReference is the partner_request_id of an item that has none: 16 characters out of a hash, so that no choice of batch_refs makes two
// of them alike.
func itemReference(ref string, index int) string {
	sum := sha256.Sum256(binary.AppendUvarint(appendText([]byte("batch item\n"), ref), uint64(index)))
	return "PRQ-" + strings.ToUpper(base32.StdEncoding.EncodeToString(sum[:10]))
}
