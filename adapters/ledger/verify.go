package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Auditable is what Verify reads.
type Auditable interface {
	Info(ctx context.Context) (eventstore.Info, error)
	Head(ctx context.Context, partition int) (eventstore.Head, error)
	Read(ctx context.Context, partition int, after int64, limit int) ([]eventstore.Record, error)
	Evidence(ctx context.Context, p eventstore.Position) ([]eventstore.Evidence, error)
	Lookup(ctx context.Context, partition int, upTo int64, keys []string) (map[string]int64, error)
	Snapshot(ctx context.Context, partition int, stream string) (eventstore.Snapshot, bool, error)
}

// Accountable is an Auditable that finds what Verify cannot reach from the records.
type Accountable interface {
	// Stray returns the position of the first message that no record accounts for; Seq is 0 for none.
	Stray(ctx context.Context, partition int) (eventstore.Position, error)
	// CheckIndex compares what finds records by their names with the records, and returns how many were compared, from the first on,
	// and which of those claim a dedupe key that an earlier one has. The error is eventstore.ErrBroken when they differ.
	CheckIndex(ctx context.Context, partition int) (checked int64, twice []int64, err error)
}

// Check is the result of one check over the whole log. Position and Problem name the first record that is wrong.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Checked  int64  `json:"checked"`
	Position string `json:"position,omitempty"`
	Problem  string `json:"problem,omitempty"`
}

// The checks of Verify, in the order of its answer.
const (
	checkChain     = "chain"      // content gives the hash, the hash stands on the one before, positions are gapless
	checkHeads     = "heads"      // the head is the last record
	checkStreams   = "streams"    // versions of each stream are gapless, and it is in its owner's partition
	checkEvidence  = "evidence"   // raw messages give the digests that the hash covers, and there are no others
	checkKeys      = "keys"       // every dedupe key is found at the record that claims it: no two claim the same
	checkIndex     = "index"      // keys, streams and subjects of all records are found by what trails the log
	checkEvents    = "events"     // every record decodes, and is about the wallet and payment that it stands under
	checkPostings  = "postings"   // each event's debits equal its credits, and what leaves suspense or a hold had come in
	checkBalances  = "balances"   // available and locked are never negative, and equal the sum of the postings
	checkSnapshots = "snapshots"  // a kept state is what the records up to its position give
	checkOpenHolds = "open_holds" // locked is the sum of what open payouts and holds have locked
)

// verifier holds what Verify has folded so far.
type verifier struct {
	log       Auditable
	count     int // of partitions
	checks    []*Check
	versions  map[string]int64
	wallets   map[string]*wallet.Wallet
	accounts  map[string]money.Amount         // postings summed
	held      map[string]money.Amount         // locked by payment; what is zero again is dropped
	holds     map[string]money.Amount         // held, summed by merchant and currency
	suspended map[string]money.Amount         // in suspense, by payment; what is zero again is dropped
	kept      map[int64][]eventstore.Snapshot // of wallets of the partition, by position
	indexed   map[int]int64                   // up to here the index has answered for the keys, by partition
}

// verifyPage is how many records are read at once.
const verifyPage = 5000

// Verify reads the whole log and checks it. The error is a fault of reading, not a finding.
func Verify(ctx context.Context, log Auditable, progress func(done, total int64)) ([]Check, error) {
	info, err := log.Info(ctx)
	if err != nil {
		return nil, err
	}
	v := &verifier{
		log: log, count: info.Partitions, versions: map[string]int64{}, wallets: map[string]*wallet.Wallet{},
		accounts: map[string]money.Amount{}, held: map[string]money.Amount{}, holds: map[string]money.Amount{},
		suspended: map[string]money.Amount{}, indexed: map[int]int64{},
	}
	for _, name := range []string{checkChain, checkHeads, checkStreams, checkEvidence, checkKeys, checkIndex, checkEvents, checkPostings, checkBalances, checkSnapshots, checkOpenHolds} {
		v.checks = append(v.checks, &Check{Name: name, OK: true})
	}
	heads := make([]eventstore.Head, info.Partitions)
	var done, total int64
	for p := range heads {
		if heads[p], err = log.Head(ctx, p); err != nil {
			return nil, err
		}
		total += heads[p].Seq
	}
	for p := range heads { // before a question would mend what is wrong
		if err := v.index(ctx, p); err != nil {
			return nil, err
		}
	}
	for p := range heads {
		start := eventstore.Head{Partition: p, Hash: eventstore.Genesis(info.LedgerID, p)}
		err := v.partition(ctx, start, heads[p], func(n int64) {
			done += n
			progress(done, total)
		})
		if err != nil {
			return nil, err
		}
	}
	out := make([]Check, len(v.checks))
	for i, c := range v.checks {
		out[i] = *c
	}
	return out, nil
}

// partition checks the records up to a head, in pages. A broken chain does not stop the other checks.
func (v *verifier) partition(ctx context.Context, at, head eventstore.Head, progress func(int64)) error {
	v.kept = map[int64][]eventstore.Snapshot{}
	whole := true // the chain holds so far
	var last eventstore.Head
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return v.log.Read(ctx, head.Partition, after, limit)
	}
	err := eventstore.EachPage(ctx, 0, verifyPage, read, func(records []eventstore.Record) (enough bool, err error) {
		if records[len(records)-1].Seq >= head.Seq { // a server may have appended meanwhile
			enough = true
			for len(records) > 0 && records[len(records)-1].Seq > head.Seq {
				records = records[:len(records)-1]
			}
		}
		if len(records) == 0 {
			return enough, nil
		}
		if whole {
			next, err := eventstore.Follow(at, records)
			v.note(checkChain, eventstore.Position{Partition: head.Partition, Seq: next.Seq + 1}, err, int64(len(records)))
			at, whole = next, err == nil
		}
		if err := v.page(ctx, records); err != nil {
			return false, err
		}
		tip := records[len(records)-1]
		last = eventstore.Head{Seq: tip.Seq, Hash: tip.Hash}
		progress(int64(len(records)))
		return enough, nil
	})
	if err != nil {
		return err
	}
	tip, wrong, err := v.tip(ctx, last, head)
	v.note(checkHeads, tip, wrong, 1)
	if err != nil {
		return err
	}
	return v.stray(ctx, head.Partition)
}

// index checks what finds the records of a partition.
func (v *verifier) index(ctx context.Context, partition int) error {
	log, able := v.log.(Accountable)
	if !able {
		return nil
	}
	checked, twice, err := log.CheckIndex(ctx, partition)
	if err != nil && !errors.Is(err, eventstore.ErrBroken) {
		return err
	}
	v.note(checkIndex, eventstore.Position{Partition: partition, Seq: checked + 1}, err, checked)
	if err == nil {
		v.indexed[partition] = checked
	}
	for _, seq := range twice {
		at := eventstore.Position{Partition: partition, Seq: seq}
		v.note(checkKeys, at, fmt.Errorf("record %s claims a dedupe key that an earlier one has", at), 0)
	}
	return nil
}

// stray looks for messages without a record.
func (v *verifier) stray(ctx context.Context, partition int) error {
	log, able := v.log.(Accountable)
	if !able {
		return nil
	}
	message, err := log.Stray(ctx, partition)
	if err != nil {
		return err
	}
	if message.Seq != 0 {
		v.note(checkEvidence, message, fmt.Errorf("a message is kept with record %s, which does not have it", message), 0)
	}
	return nil
}

// tip holds a head against the last record in front of it, and against what lies behind it: an append moves both. wrong says
// what is the matter, at the first record that is missing, other than the head says, or too many.
func (v *verifier) tip(ctx context.Context, last, head eventstore.Head) (at eventstore.Position, wrong, err error) {
	at = eventstore.Position{Partition: head.Partition, Seq: head.Seq}
	switch {
	case last.Seq != head.Seq:
		at.Seq = last.Seq + 1
		return at, fmt.Errorf("record %s is missing: the head is at %d:%d", at, head.Partition, head.Seq), nil
	case head.Seq > 0 && last.Hash != head.Hash:
		return at, fmt.Errorf("the head has another hash than record %s", at), nil
	}
	behind, err := v.log.Read(ctx, head.Partition, head.Seq, 1)
	if err != nil || len(behind) == 0 {
		return at, nil, err
	}
	// A server may have appended meanwhile: then its head, read afterwards, is not in front of the record.
	now, err := v.log.Head(ctx, head.Partition)
	if err == nil && now.Seq < behind[0].Seq {
		at = behind[0].Position()
		wrong = fmt.Errorf("record %s lies behind the head, %d:%d", at, now.Partition, now.Seq)
	}
	return at, wrong, err
}

func (v *verifier) note(name string, at eventstore.Position, err error, checked int64) {
	for _, c := range v.checks {
		if c.Name != name {
			continue
		}
		c.Checked += checked
		if err != nil && c.OK {
			c.OK, c.Position, c.Problem = false, at.String(), err.Error()
		}
	}
}

func (v *verifier) page(ctx context.Context, records []eventstore.Record) error {
	if err := v.keys(ctx, records); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		var err error
		if want := v.versions[r.Stream] + 1; r.Version != want {
			err = fmt.Errorf("stream %s is at version %d where %d is due", r.Stream, r.Version, want)
		} else if owner := ownerOf(r.Stream); eventstore.PartitionOf(owner, v.count) != r.Partition {
			err = fmt.Errorf("stream %s is in partition %d, where nobody looks for %s", r.Stream, r.Partition, owner)
		}
		v.versions[r.Stream] = r.Version
		v.note(checkStreams, r.Position(), err, 1)
		if len(r.EvidenceDigests) > 0 {
			if err := v.evidence(ctx, r); err != nil {
				return err
			}
		}
		if err := v.expect(ctx, r); err != nil {
			return err
		}
		v.fact(r)
		v.snapshots(r)
	}
	return nil
}

// expect looks whether a state is kept of a wallet that is met for the first time.
func (v *verifier) expect(ctx context.Context, r *eventstore.Record) error {
	if v.wallets[r.Stream] != nil || !strings.HasPrefix(r.Stream, "wallet:") {
		return nil
	}
	s, there, err := v.log.Snapshot(ctx, r.Partition, r.Stream)
	if err == nil && there {
		v.kept[s.Seq] = append(v.kept[s.Seq], s)
	}
	return err
}

// snapshots compares the states that are kept as of a record. Those that nobody would believe are nobody's fault: of another
// history, or another version of the fold.
func (v *verifier) snapshots(r *eventstore.Record) {
	for _, s := range v.kept[r.Seq] {
		if s.Hash != r.Hash || s.Fold != foldVersion {
			continue
		}
		state, err := snapshotOf(v.wallets[s.Stream])
		if err == nil && (!bytes.Equal(state, s.State) || s.Version != v.versions[s.Stream]) {
			err = fmt.Errorf("the kept state of %s as of record %s is not what its records give", s.Stream, r.Position())
		}
		v.note(checkSnapshots, r.Position(), err, 1)
	}
}

// ownerOf is whom a stream belongs to: "wallet:mer_x:INR", "merchant:mer_x", "operator:opr_x".
func ownerOf(stream string) string {
	_, rest, _ := strings.Cut(stream, ":")
	owner, _, _ := strings.Cut(rest, ":")
	return owner
}

func (v *verifier) keys(ctx context.Context, records []eventstore.Record) error {
	var keys []string
	for i := range records {
		if records[i].Seq <= v.indexed[records[i].Partition] { // the index finds them all, and has said which are claimed twice
			v.note(checkKeys, records[i].Position(), nil, int64(len(records[i].Keys)))
			continue
		}
		keys = append(keys, records[i].Keys...)
	}
	if len(keys) == 0 {
		return nil
	}
	found, err := v.log.Lookup(ctx, records[0].Partition, records[len(records)-1].Seq, keys)
	if errors.Is(err, eventstore.ErrBroken) {
		return nil // nothing can be looked up in a log with a gap, which the chain has found
	}
	if err != nil {
		return err
	}
	for i := range records {
		if records[i].Seq <= v.indexed[records[i].Partition] {
			continue
		}
		for _, k := range records[i].Keys {
			var err error
			if seq, ok := found[k]; !ok || seq != records[i].Seq {
				err = fmt.Errorf("dedupe key %s is not found at the record that claims it", k)
			}
			v.note(checkKeys, records[i].Position(), err, 1)
		}
	}
	return nil
}

func (v *verifier) evidence(ctx context.Context, r *eventstore.Record) error {
	messages, err := v.log.Evidence(ctx, r.Position())
	if err != nil {
		return err
	}
	var wrong error
	if len(messages) != len(r.EvidenceDigests) {
		wrong = fmt.Errorf("%d messages where the record has %d", len(messages), len(r.EvidenceDigests))
	}
	for i := range min(len(messages), len(r.EvidenceDigests)) {
		if messages[i].Digest() != r.EvidenceDigests[i] && wrong == nil {
			wrong = fmt.Errorf("message %d is not the one that was recorded", i)
		}
	}
	v.note(checkEvidence, r.Position(), wrong, int64(len(r.EvidenceDigests)))
	return nil
}

// fact decodes a record and, when it is a wallet's, checks what it does to the books.
func (v *verifier) fact(r *eventstore.Record) {
	fact, err := DecodeFact(r)
	ev, ok := fact.(wallet.Event)
	if err == nil {
		err = misplaced(r, fact)
	}
	v.note(checkEvents, r.Position(), err, 1)
	if err != nil || !ok {
		return
	}
	of := ev.Header()
	w := v.wallets[r.Stream]
	if w == nil {
		w = wallet.NewWallet(of.Merchant, of.Currency)
		v.wallets[r.Stream] = w
	}
	w.Evolve(ev)
	v.note(checkPostings, r.Position(), v.post(r, ev), 1)
	v.note(checkBalances, r.Position(), v.balances(w), 1)
	err = nil
	holds, ever := v.holds[r.Stream]
	if !ever {
		holds = money.Zero(of.Currency)
	}
	if !holds.Equal(w.Locked) {
		err = fmt.Errorf("locked is %s, and the open holds add up to %s", w.Locked, holds)
	}
	v.note(checkOpenHolds, r.Position(), err, 1)
}

// misplaced tells whether a record stands under another stream or subject than its event is about.
func misplaced(r *eventstore.Record, fact any) error {
	var stream, subject string
	switch e := fact.(type) {
	case wallet.Event:
		of := e.Header()
		stream, subject = wallet.Stream(of.Merchant, of.Currency), of.Payment
	case merchant.Event:
		kind, _, _ := strings.Cut(r.Type, ".")
		stream, subject = kind+":"+e.Subject(), e.Subject()
	}
	if r.Stream != stream || r.Subject != subject {
		return fmt.Errorf("an event about %s of %s stands under %s of %s", subject, stream, r.Subject, r.Stream)
	}
	return nil
}

// post sums the event's postings into the accounts; the error says that they do not balance.
func (v *verifier) post(r *eventstore.Record, ev wallet.Event) error {
	of := ev.Header()
	zero := money.Zero(of.Currency)
	sum := zero
	for _, p := range wallet.Postings(ev) {
		change := p.Credit.Sub(p.Debit)
		sum = sum.Add(change)
		add(v.accounts, p.Account+"/"+string(of.Currency), change)
		switch p.Account {
		case wallet.AccountLocked(of.Merchant):
			add(v.holds, r.Stream, change)
			if overdrawn(v.held, r.Subject, change) {
				return fmt.Errorf("%s gives back more than it had locked", r.Subject)
			}
		case wallet.AccountSuspense:
			if overdrawn(v.suspended, r.Subject, change) {
				return fmt.Errorf("%s takes more out of suspense than it had there", r.Subject)
			}
		}
	}
	if !sum.IsZero() {
		return fmt.Errorf("credits exceed debits by %s", sum)
	}
	return nil
}

// overdrawn adds a change, and tells whether less than nothing is left. What is nothing is dropped: payments are many.
func overdrawn(m map[string]money.Amount, key string, change money.Amount) bool {
	add(m, key, change)
	left := m[key].Sign()
	if left == 0 {
		delete(m, key)
	}
	return left < 0
}

func add(m map[string]money.Amount, key string, change money.Amount) {
	if was, ok := m[key]; ok {
		m[key] = was.Add(change)
	} else {
		m[key] = change
	}
}

// balances compares a wallet with its accounts.
func (v *verifier) balances(w *wallet.Wallet) error {
	if w.Available.Sign() < 0 || w.Locked.Sign() < 0 || w.Owed.Sign() < 0 {
		return fmt.Errorf("wallet of %s: available %s, locked %s, owed %s", w.Merchant, w.Available, w.Locked, w.Owed)
	}
	for account, want := range map[string]money.Amount{"available": w.Available, "locked": w.Locked, "receivable": w.Owed.Neg()} {
		got, ok := v.accounts["merchant:"+w.Merchant+":"+account+"/"+string(w.Currency)]
		if !ok {
			got = money.Zero(w.Currency)
		}
		if !got.Equal(want) {
			return fmt.Errorf("account %s of %s: postings add up to %s, the wallet says %s", account, w.Merchant, got, want)
		}
	}
	return nil
}
