package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/event"
	"github.com/khata-ledger/khata/domain/reconcile"
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
	// Stray returns the position of the first message that no record accounts for; false for none.
	Stray(ctx context.Context, partition int) (message eventstore.Position, found bool, err error)
	// EachKept calls f with the snapshots of the partition, without their states. An error of f ends it, and is returned.
	EachKept(ctx context.Context, partition int, f func(kept eventstore.Snapshot) error) error
	// CheckIndex compares what finds records by their names with the records, and returns how many were compared, from the first on,
	// and which of those claim a dedupe key that an earlier one has. The error is eventstore.ErrBroken when they differ. It calls each
	// once, which gives its argument the records as it reads them, in order, so that they are read but once; its error is returned.
	CheckIndex(ctx context.Context, partition int, each func(take func([]eventstore.Record)) error) (checked int64, twice []int64, err error)
}

// Check is the result of one check over the whole log. Position and Problem name the first record that is wrong.
type Check struct {
	Name     string `json:"name"`
	OK       bool   `json:"ok"`
	Checked  int64  `json:"checked"`
	Position string `json:"position,omitempty"`
	Problem  string `json:"problem,omitempty"`
}

// check is one of the checks of Verify, in the order of its answer.
type check int

const (
	checkChain     check = iota // content gives the hash, the hash stands on the one before, positions are gapless
	checkHeads                  // the head is the last record
	checkStreams                // versions of each stream are gapless, and it is in its owner's partition
	checkEvidence               // raw messages give the digests that the hash covers, and there are no others
	checkKeys                   // every dedupe key is found at the record that claims it: no two claim the same
	checkIndex                  // keys, streams and subjects of all records are found by what trails the log
	checkEvents                 // every record decodes, and is about the wallet and payment that it stands under
	checkPostings               // each event's debits equal its credits, and what leaves suspense or a hold had come in
	checkBalances               // available and locked are never negative, and equal the sum of the postings
	checkSnapshots              // a kept state is what the records up to its position give
	checkOpenHolds              // locked is the sum of what open payouts and holds have locked
	checkBatches                // a batch's payouts are its items, each at most once, and what was held for it is paid, refunded or still locked
	checkPeriods                // what each close has frozen is what the records up to its positions give
	checkSources                // of reconciliation: no line or entry is matched twice or with another amount; a second person has approved each settlement
	checkRoutes                 // each choice of a gateway comes out again when it is made anew of what was known of the candidates
	checkCount
)

func (c check) String() string {
	return [checkCount]string{
		"chain", "heads", "streams", "evidence", "keys", "index", "events", "postings", "balances", "snapshots", "open_holds", "batches", "periods", "sources", "routes",
	}[c]
}

// verifier holds what Verify has folded so far. All but open and sources is as large as the wallets and batches are many, however many
// records or items they have.
type verifier struct {
	log      Auditable
	count    int // of partitions
	findings [checkCount]finding
	streams  map[string]*stream
	near     *stream                         // of the record before: neighbours often share theirs
	open     *openItems                      // what payments have locked, and in suspense
	kept     map[int64][]eventstore.Snapshot // of wallets of the partition, by position
	indexed  map[int]int64                   // up to here the index has answered for the keys, by partition
	batches  batches
	periods  periods
	sources  sourceAudits
}

// finding is a Check that is being made.
type finding struct {
	checked int64
	at      eventstore.Position
	problem error // at the first record that is wrong
}

// stream is what is known of a stream behind the records that were read.
type stream struct {
	name    string
	home    int // the partition of whom its name says that it belongs to
	version int64
	since   int64          // position of its first record
	asked   bool           // whether a state is kept of it
	wallet  *wallet.Wallet // nil unless it is a wallet's that has events
	books   walletBooks    // of the wallet
}

// verifyPage is how many records are read at once.
const verifyPage = 5000

// Verify reads the whole log and checks it. What many open payments have locked is counted in a temporary file. The error is a fault of
// reading, not a finding.
func Verify(ctx context.Context, log Auditable, progress func(done, total int64)) (checks []Check, err error) {
	info, err := log.Info(ctx)
	if err != nil {
		return nil, err
	}
	v := &verifier{
		log: log, count: info.Partitions, streams: map[string]*stream{}, near: &stream{}, open: newOpenItems(openItemsInMemory), indexed: map[int]int64{},
		batches: newBatches(), sources: newSourceAudits(),
	}
	defer func() { err = errors.Join(err, v.open.close()) }()
	var done, total int64
	heads, err := headsOf(ctx, log, info.Partitions)
	if err != nil {
		return nil, err
	}
	for p := range heads {
		total += heads[p].Seq
	}
	if err := v.periods.find(ctx, log, heads); err != nil {
		return nil, err
	}
	for p := range heads {
		start := eventstore.Head{Partition: p, Hash: eventstore.Genesis(info.LedgerID, p)}
		v.periods.begin(p)
		err := v.index(ctx, p, func(take func([]eventstore.Record)) error {
			return v.partition(ctx, start, heads[p], take, func(n int64) {
				done += n
				progress(done, total)
			})
		})
		if err != nil {
			return nil, err
		}
		v.periods.end()
	}
	v.frozen()
	if err := v.matched(ctx, heads); err != nil {
		return nil, err
	}
	for _, head := range heads { // last, since a question mends what is wrong with the index
		if err := v.keys(ctx, head); err != nil {
			return nil, err
		}
	}
	if err := v.overdrawn(ctx); err != nil {
		return nil, err
	}
	return v.answer(), nil
}

// headsOf reads the heads, that of the general ledger first: then no close in front of it counts a record behind another one.
func headsOf(ctx context.Context, log Auditable, partitions int) ([]eventstore.Head, error) {
	heads := make([]eventstore.Head, partitions)
	home := eventstore.PartitionOf(books.Owner, partitions)
	for n := range heads {
		p := (home + n) % partitions
		var err error
		if heads[p], err = log.Head(ctx, p); err != nil {
			return nil, err
		}
	}
	return heads, nil
}

// answer is what was found.
func (v *verifier) answer() []Check {
	out := make([]Check, checkCount)
	for c, f := range v.findings {
		out[c] = Check{Name: check(c).String(), OK: f.problem == nil, Checked: f.checked}
		if f.problem != nil {
			out[c].Position, out[c].Problem = f.at.String(), f.problem.Error()
		}
	}
	return out
}

// partition checks the records up to a head, in pages, and gives each page to take. A broken chain does not stop the other checks.
func (v *verifier) partition(ctx context.Context, at, head eventstore.Head, take func([]eventstore.Record), progress func(int64)) error {
	v.kept = map[int64][]eventstore.Snapshot{}
	links := &chain{at: at}
	var last eventstore.Head
	err := v.each(ctx, 0, head, func(records []eventstore.Record) error {
		var beside sync.WaitGroup
		beside.Go(func() { links.follow(records) })
		beside.Go(func() { take(records) })
		err := v.page(ctx, records)
		beside.Wait()
		if err != nil {
			return err
		}
		v.note(checkChain, links.wrong, links.err, links.checked)
		tip := records[len(records)-1]
		last = eventstore.Head{Seq: tip.Seq, Hash: tip.Hash, RecordedAt: tip.RecordedAt}
		progress(int64(len(records)))
		return nil
	})
	if err == nil {
		err = v.endBatches(ctx, eventstore.Position{Partition: head.Partition, Seq: last.Seq})
	}
	if err != nil {
		return err
	}
	tip, wrong, err := v.tip(ctx, last, head)
	v.note(checkHeads, tip, wrong, 1)
	if err != nil {
		return err
	}
	if err := v.stray(ctx, head.Partition); err != nil {
		return err
	}
	return v.unfounded(ctx, head)
}

// each calls f with the records of a partition behind a position, up to a head, in pages.
func (v *verifier) each(ctx context.Context, after int64, head eventstore.Head, f func([]eventstore.Record) error) error {
	read := func(ctx context.Context, after int64, limit int) ([]eventstore.Record, error) {
		return v.log.Read(ctx, head.Partition, after, limit)
	}
	return eventstore.EachPage(ctx, after, verifyPage, read, func(records []eventstore.Record) (enough bool, err error) {
		if records[len(records)-1].Seq >= head.Seq { // a server may have appended meanwhile
			enough = true
			for len(records) > 0 && records[len(records)-1].Seq > head.Seq {
				records = records[:len(records)-1]
			}
		}
		if len(records) == 0 {
			return enough, nil
		}
		return enough, f(records)
	})
}

// chain follows the hashes of a partition.
type chain struct {
	at      eventstore.Head
	checked int64 // of the newest page
	wrong   eventstore.Position
	err     error // then nothing more is checked
}

// follow checks the records of the next page.
func (c *chain) follow(records []eventstore.Record) {
	c.checked = 0
	if c.err != nil {
		return
	}
	c.checked = int64(len(records))
	c.at, c.err = eventstore.Follow(c.at, records)
	c.wrong = eventstore.Position{Partition: c.at.Partition, Seq: c.at.Seq + 1}
}

// index checks what finds the records of a partition, while each reads them.
func (v *verifier) index(ctx context.Context, partition int, each func(take func([]eventstore.Record)) error) error {
	log, able := v.log.(Accountable)
	if !able {
		return each(func([]eventstore.Record) {})
	}
	checked, twice, err := log.CheckIndex(ctx, partition, each)
	if err != nil && !errors.Is(err, eventstore.ErrBroken) {
		return err
	}
	v.note(checkIndex, eventstore.Position{Partition: partition, Seq: checked + 1}, err, checked)
	if err == nil {
		v.indexed[partition] = checked
	}
	slices.Sort(twice)
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
	message, found, err := log.Stray(ctx, partition)
	if err != nil {
		return err
	}
	if found {
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
	switch {
	case err != nil:
		return at, nil, err
	case len(behind) == 0 && head.Seq > 0 && !eventstore.Micros(last.RecordedAt).Equal(eventstore.Micros(head.RecordedAt)):
		return at, fmt.Errorf("the head has another time than record %s", at), nil // before which the next one would not be recorded
	case len(behind) == 0:
		return at, nil, nil
	}
	// A server may have appended meanwhile: then its head, read afterwards, is not in front of the record.
	now, err := v.log.Head(ctx, head.Partition)
	if err == nil && now.Seq < behind[0].Seq {
		at = behind[0].Position()
		wrong = fmt.Errorf("record %s lies behind the head, %d:%d", at, now.Partition, now.Seq)
	}
	return at, wrong, err
}

// note adds to a check. Of what is wrong, the first is kept.
func (v *verifier) note(c check, at eventstore.Position, err error, checked int64) {
	f := &v.findings[c]
	f.checked += checked
	if err != nil && f.problem == nil {
		f.at, f.problem = at, err
	}
}

func (v *verifier) page(ctx context.Context, records []eventstore.Record) error {
	if err := v.evidence(ctx, records); err != nil {
		return err
	}
	for i := range records {
		r := &records[i]
		s := v.stream(r.Stream)
		fact := v.event(r, s)
		v.note(checkStreams, r.Position(), v.order(r, s), 1)
		v.note(checkKeys, r.Position(), nil, int64(len(r.Keys))) // what is wrong with them is found by index, or by keys
		err := v.expect(ctx, r, s)
		if err != nil {
			return err
		}
		postings := event.Postings(fact)
		v.periods.count(r, postings)
		switch ev := fact.(type) {
		case wallet.Event:
			v.rerouted(r, ev)
			err = v.book(r, s, ev, postings)
		case books.Event:
			v.followBooks(r, ev, postings)
		case batch.Event:
			err = v.followBatch(ctx, r, ev)
		case reconcile.Event:
			v.followSource(r, ev)
		}
		if err != nil {
			return err
		}
		v.snapshots(r)
	}
	return nil
}

// order tells whether a record is not the next one of its stream, or not where one looks for it.
func (v *verifier) order(r *eventstore.Record, s *stream) error {
	if s.version == 0 {
		s.since = r.Seq
	}
	due := s.version + 1
	s.version = r.Version
	if r.Version != due {
		return fmt.Errorf("stream %s is at version %d where %d is due", r.Stream, r.Version, due)
	}
	if s.home != r.Partition {
		return fmt.Errorf("stream %s is in partition %d, where nobody looks for %s", r.Stream, r.Partition, ownerOf(r.Stream))
	}
	return nil
}

// stream is what is known of a stream.
func (v *verifier) stream(name string) *stream {
	if v.near.name == name {
		return v.near
	}
	s := v.streams[name]
	if s == nil {
		s = &stream{name: name, home: eventstore.PartitionOf(ownerOf(name), v.count)}
		v.streams[name] = s
	}
	v.near = s
	return s
}

// expect looks whether a state is kept of a wallet that is met for the first time.
func (v *verifier) expect(ctx context.Context, r *eventstore.Record, of *stream) error {
	if of.asked || !strings.HasPrefix(r.Stream, "wallet:") {
		return nil
	}
	of.asked = true
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
		of := v.stream(s.Stream)
		var state []byte // of a wallet none of whose records can be read, there is none
		var err error
		if of.wallet != nil {
			state, err = snapshotOf(of.wallet)
		}
		if err == nil && (!bytes.Equal(state, s.State) || s.Version != of.version) {
			err = fmt.Errorf("the kept state of %s as of record %s is not what its records give", s.Stream, r.Position())
		}
		v.note(checkSnapshots, r.Position(), err, 1)
	}
}

// unfounded looks for states that are kept of wallets as of a record before their first one: no record gives them, and they would be decided upon.
func (v *verifier) unfounded(ctx context.Context, head eventstore.Head) error {
	log, able := v.log.(Accountable)
	if !able {
		return nil
	}
	return log.EachKept(ctx, head.Partition, func(s eventstore.Snapshot) error {
		if of := v.streams[s.Stream]; of != nil && of.since <= s.Seq || !strings.HasPrefix(s.Stream, "wallet:") || s.Fold != foldVersion || s.Seq < 1 || s.Seq > head.Seq {
			return nil
		}
		at, err := v.log.Read(ctx, head.Partition, s.Seq-1, 1)
		if err == nil && len(at) > 0 && at[0].Seq == s.Seq && at[0].Hash == s.Hash {
			v.note(checkSnapshots, at[0].Position(), fmt.Errorf("a state of %s is kept as of record %s, and it has no record up to there", s.Stream, at[0].Position()), 1)
		}
		return err
	})
}

// ownerOf is whom a stream belongs to: "wallet:mer_x:INR", "merchant:mer_x", "operator:opr_x", "batch:mer_x:bat_y".
func ownerOf(stream string) string {
	_, rest, _ := strings.Cut(stream, ":")
	owner, _, _ := strings.Cut(rest, ":")
	return owner
}

// keys looks up the dedupe keys of those records of a partition for which the index has not answered: it finds all of the others, and
// has said which are claimed twice.
func (v *verifier) keys(ctx context.Context, head eventstore.Head) error {
	after := v.indexed[head.Partition]
	if after >= head.Seq {
		return nil
	}
	return v.each(ctx, after, head, func(records []eventstore.Record) error {
		var keys []string
		for i := range records {
			keys = append(keys, records[i].Keys...)
		}
		if len(keys) == 0 {
			return nil
		}
		found, err := v.log.Lookup(ctx, head.Partition, records[len(records)-1].Seq, keys)
		if errors.Is(err, eventstore.ErrBroken) { // nothing can be looked up in a log with a gap, which the chain has found
			v.findings[checkKeys].checked -= int64(len(keys))
			return nil
		}
		if err != nil {
			return err
		}
		for i := range records {
			for _, k := range records[i].Keys {
				if seq, ok := found[k]; !ok || seq != records[i].Seq {
					v.note(checkKeys, records[i].Position(), fmt.Errorf("dedupe key %s is not found at the record that claims it", k), 0)
				}
			}
		}
		return nil
	})
}
