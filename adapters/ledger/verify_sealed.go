package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// Sealed is the log, as far as VerifySealed reads it.
type Sealed interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	ReadSubjects(ctx context.Context, partition int, subjects []string) ([]eventstore.Record, error)
	EachEvidence(ctx context.Context, partition int, from, to int64, f func(seq int64, message eventstore.Evidence) error) error
}

// Opener is the vault, as far as VerifySealed asks it; see eventstore/vault.
type Opener interface {
	Check(ctx context.Context, wrong func(error)) (vault.Count, error)
	Unseal(ctx context.Context, id uuid.UUID, sealed []byte) ([]byte, error)
	OpenCommitment(ctx context.Context, id uuid.UUID, committed string) ([]byte, error)
	Erased(ctx context.Context, key uuid.UUID) (bool, error)
	Secret(ctx context.Context, name string) ([]byte, error)
}

// VerifySealed opens everything that is sealed: the keys and secrets of the vault, the messages and personal data of the log, and what secrets names
// of each merchant as it is now. What cannot be opened since its key was erased is counted, and no fault. It reads the log once, shows nothing of what it opens, and needs
// memory for a page of records, and for the ids of the merchants. The error is a fault of reading, not a finding.
func VerifySealed(
	ctx context.Context, log Sealed, opener Opener, secrets func(*merchant.Merchant) []string, progress func(done, total int64),
) ([]Check, error) {
	v := &sealVerifier{log: log, vault: opener, erased: map[uuid.UUID]bool{}}
	n, err := opener.Check(ctx, func(err error) { v.secrets.add(eventstore.Position{}, err) })
	if err != nil {
		return nil, err
	}
	v.secrets.checked = int64(n.Keys + n.Secrets)
	heads, err := eventstore.Heads(ctx, log)
	if err != nil {
		return nil, err
	}
	var done, total int64
	for _, head := range heads {
		total += head.Seq
	}
	for _, head := range heads {
		merchants, err := v.partition(ctx, head, func(n int64) {
			done += n
			progress(done, total)
		})
		if err == nil {
			err = v.present(ctx, head.Partition, merchants, secrets)
		}
		if err != nil {
			return nil, err
		}
	}
	kept, sealed := v.secrets.check("secrets"), v.sealed.check("sealed")
	if v.gone > 0 {
		sealed.Problem = strings.TrimPrefix(fmt.Sprintf("%s; %d of them are erased", sealed.Problem, v.gone), "; ")
	}
	return []Check{kept, sealed}, nil
}

// sealVerifier holds what VerifySealed has found so far.
type sealVerifier struct {
	log             Sealed
	vault           Opener
	secrets, sealed manyFindings
	gone            int64              // of keys that were erased
	erased          map[uuid.UUID]bool // keys that are not there, and whether they were erased
}

// maxErased bounds the keys that are remembered as not there.
const maxErased = 100_000

// manyFindings are a check of which one lost key makes many.
type manyFindings struct {
	checked, wrong int64
	at             eventstore.Position
	first          error
}

func (f *manyFindings) add(at eventstore.Position, err error) {
	if f.wrong++; f.first == nil {
		f.at, f.first = at, err
	}
}

func (f *manyFindings) check(name string) Check {
	c := Check{Name: name, OK: f.first == nil, Checked: f.checked}
	if f.at.Seq > 0 {
		c.Position = f.at.String()
	}
	if f.first != nil {
		c.Problem = f.first.Error()
	}
	if f.wrong > 1 {
		c.Problem += fmt.Sprintf(" (and %d more)", f.wrong-1)
	}
	return c
}

// partition opens what the records of a partition have, and returns whose merchants' streams it met.
func (v *sealVerifier) partition(ctx context.Context, head eventstore.Head, progress func(int64)) (merchants []string, err error) {
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return v.log.Read(ctx, head.Partition, after, limit)
	}
	err = eventstore.EachPage(ctx, 0, verifyPage, read, func(records []eventstore.Record) (bool, error) {
		for i := range records {
			r := &records[i]
			if id, is := strings.CutPrefix(r.Stream, "merchant:"); is && r.Version == 1 {
				merchants = append(merchants, id)
			}
			if err := v.record(ctx, r); err != nil {
				return false, err
			}
		}
		progress(int64(len(records)))
		return records[len(records)-1].Seq >= head.Seq, v.messages(ctx, records)
	})
	return merchants, err
}

// record opens what stands in a record, and looks for the key of its commitment.
func (v *sealVerifier) record(ctx context.Context, r *eventstore.Record) error {
	if meta, err := eventstore.ParseMeta(r.Meta); err == nil && vault.IsCommitment(meta.BodyHash) {
		err := v.commitment(ctx, r, meta)
		if err != nil {
			return err
		}
	}
	if !bytes.Contains(r.Data, []byte(`"sealed":`)) {
		return nil
	}
	fact, err := event.Decode(r.Stream, r.Type, r.Schema, r.Data)
	if err != nil {
		v.sealed.add(r.Position(), fmt.Errorf("record %s cannot be read, nor what is sealed in it: %w", r.Position(), err))
		return nil
	}
	for _, s := range sealedIn(fact, r.EventID) {
		text, err := base64.RawURLEncoding.DecodeString(s.text)
		if err != nil {
			v.sealed.add(r.Position(), fmt.Errorf("record %s has a sealed text that is not base64", r.Position()))
			continue
		}
		if err := v.open(ctx, r.Position(), s.id, text); err != nil {
			return err
		}
	}
	return nil
}

// sealedText is a text, and the id of the event that it is bound to.
type sealedText struct {
	id   uuid.UUID
	text string
}

// sealedIn are the sealed texts of an event.
func sealedIn(fact any, id uuid.UUID) (all []sealedText) {
	switch e := fact.(type) {
	case *wallet.PayinCreated:
		all = []sealedText{{id, e.Sealed}}
	case *wallet.PayoutInitiated:
		all = []sealedText{{id, e.Sealed}}
	case *reconcile.LinesAdded:
		all = []sealedText{{id, e.Sealed}}
	case *batch.ItemsAdded:
		for i := range e.Items {
			of, err := uuid.Parse(e.Items[i].Event)
			if err != nil {
				of = uuid.Nil // which opens nothing
			}
			all = append(all, sealedText{of, e.Items[i].Sealed})
		}
	}
	return slices.DeleteFunc(all, func(s sealedText) bool { return s.text == "" })
}

// messages opens the messages of a page of records.
func (v *sealVerifier) messages(ctx context.Context, records []eventstore.Record) error {
	first := slices.IndexFunc(records, func(r eventstore.Record) bool { return len(r.EvidenceDigests) > 0 })
	if first < 0 {
		return nil
	}
	next := first
	partition, last := records[0].Partition, records[len(records)-1].Seq
	return v.log.EachEvidence(ctx, partition, records[first].Seq, last, func(seq int64, message eventstore.Evidence) error {
		for next < len(records) && records[next].Seq < seq {
			next++
		}
		if next == len(records) || records[next].Seq != seq {
			return nil // it belongs to no record: Verify says so
		}
		return v.open(ctx, records[next].Position(), records[next].EventID, message.Body)
	})
}

// open opens a sealed value. The error is a fault of reading.
func (v *sealVerifier) open(ctx context.Context, at eventstore.Position, id uuid.UUID, sealed []byte) error {
	v.sealed.checked++
	key, err := vault.KeyOf(sealed)
	if err == nil {
		var gone bool
		if gone, err = v.missing(ctx, key, func() error {
			_, err := v.vault.Unseal(ctx, id, sealed)
			return err
		}); gone {
			return nil
		}
	}
	return v.judge(at, err)
}

func (v *sealVerifier) commitment(ctx context.Context, r *eventstore.Record, meta eventstore.Meta) error {
	v.sealed.checked++
	key, err := vault.KeyOfCommitment(meta.BodyHash)
	if err == nil {
		var gone bool
		if gone, err = v.missing(ctx, key, func() error {
			_, err := v.vault.OpenCommitment(ctx, r.EventID, meta.BodyHash)
			return err
		}); gone {
			return nil
		}
	}
	return v.judge(r.Position(), err)
}

// errLost says that a key is not there, and nobody has erased it.
var errLost = errors.New("is not among the secrets, and was not erased: they are of an older backup, or damaged")

// missing does what needs a key, and tells whether that was erased.
func (v *sealVerifier) missing(ctx context.Context, key uuid.UUID, do func() error) (gone bool, err error) {
	erased, known := v.erased[key]
	if !known {
		if err = do(); !errors.Is(err, vault.ErrErased) {
			return false, err
		}
		if erased, err = v.vault.Erased(ctx, key); err != nil {
			return false, err
		}
		if len(v.erased) >= maxErased {
			clear(v.erased)
		}
		v.erased[key] = erased
	}
	if erased {
		v.gone++
		return true, nil
	}
	return false, fmt.Errorf("data key %s %w", key, errLost)
}

// judge tells findings from faults of reading.
func (v *sealVerifier) judge(at eventstore.Position, err error) error {
	if errors.Is(err, vault.ErrTampered) || errors.Is(err, errLost) {
		v.sealed.add(at, fmt.Errorf("record %s: %w", at, err))
		return nil
	}
	return err
}

// merchantsAtOnce is how many merchants are read at once.
const merchantsAtOnce = 100

// present looks whether the secrets are there that merchants need as they are now. Whoever changes a merchant meanwhile puts secrets before the event that
// names them, and takes them away behind the one that does not: so who lacks one is read again.
func (v *sealVerifier) present(ctx context.Context, partition int, ids []string, secrets func(*merchant.Merchant) []string) error {
	for some := range slices.Chunk(ids, merchantsAtOnce) {
		lacking, err := v.lacking(ctx, partition, some, secrets)
		if err == nil && len(lacking) > 0 {
			lacking, err = v.lacking(ctx, partition, some, secrets)
		}
		if err != nil {
			return err
		}
		for _, err := range lacking {
			v.secrets.add(eventstore.Position{}, err)
		}
	}
	return nil
}

func (v *sealVerifier) lacking(ctx context.Context, partition int, ids []string, secrets func(*merchant.Merchant) []string) (lacking []error, err error) {
	records, err := v.log.ReadSubjects(ctx, partition, ids)
	if err != nil {
		return nil, err
	}
	merchants := map[string]*merchant.Merchant{}
	for i := range records {
		r := &records[i]
		fact, err := event.Decode(r.Stream, r.Type, r.Schema, r.Data)
		if e, is := fact.(merchant.Event); is && err == nil && r.Stream == merchant.Stream(r.Subject) { // what is not read, Verify names
			if merchants[r.Subject] == nil {
				merchants[r.Subject] = &merchant.Merchant{}
			}
			merchants[r.Subject].Evolve(e)
		}
	}
	for _, id := range ids {
		if merchants[id] == nil {
			continue
		}
		for _, name := range secrets(merchants[id]) {
			_, err := v.vault.Secret(ctx, name)
			switch {
			case errors.Is(err, vault.ErrNotFound):
				lacking = append(lacking, fmt.Errorf("secret %s of %s is not there", name, id))
			case err != nil && !errors.Is(err, vault.ErrTampered): // which Check has found
				return nil, err
			}
		}
	}
	return lacking, nil
}
