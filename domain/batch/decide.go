package batch

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// Decide says which events a command causes. It is pure. No events and no error: the command changes nothing. A refusal is a
// *domain.Error; any other error is a fault of the caller.
func Decide(b *Batch, c Command) ([]Event, error) {
	of := c.Target()
	switch {
	case of.Merchant == "" || of.Batch == "" || of.Currency == "":
		return nil, fmt.Errorf("batch: a command that names no batch: %+v", of)
	case b.Status != "" && b.Of != of:
		return nil, domain.Errorf(domain.NotFound, "there is no batch %s", of.Batch)
	}
	if c, submitting := c.(Submit); submitting {
		return submit(b, c)
	}
	if b.Status == "" {
		return nil, domain.Errorf(domain.NotFound, "there is no batch %s", of.Batch)
	}
	switch c := c.(type) {
	case AddItems:
		return addItems(b, c)
	case Approve:
		return approve(b, c)
	case Reject:
		return reject(b, c)
	case Cancel:
		return cancel(b, c)
	case Close:
		return closeChunk(b, c)
	case NoteDrawn:
		return noteDrawn(b, c)
	case Complete:
		return complete(b)
	case Look:
		return nil, nil
	}
	return nil, fmt.Errorf("batch: command %T is not known", c)
}

func submit(b *Batch, c Submit) ([]Event, error) {
	switch {
	case b.Status != "":
		return nil, domain.Errorf(domain.Stale, "batch %s exists", b.Batch)
	case c.Ref == "" || len(c.Ref) > MaxRef:
		return nil, domain.InvalidField("batch_ref", fmt.Sprintf("must be 1 to %d characters", MaxRef))
	case c.Digest == "":
		return nil, fmt.Errorf("batch %s: no digest", c.Batch)
	case c.Count < 1 || c.Count > MaxItems:
		return nil, domain.InvalidField("items", fmt.Sprintf("must be 1 to %d", MaxItems))
	case c.Amount.Currency() != c.Currency || c.Amount.Sign() <= 0 || c.Commission.Currency() != c.Currency || c.Commission.Sign() < 0:
		return nil, fmt.Errorf("batch %s: sums of %s and %s", c.Batch, c.Amount, c.Commission)
	}
	if err := c.Terms.check(); err != nil {
		return nil, err
	}
	return []Event{&Submitted{
		Of: c.Of, Ref: c.Ref, Digest: c.Digest, Terms: c.Terms, Count: c.Count, Amount: c.Amount, Commission: c.Commission, Fee: c.Fee, Actor: c.Actor,
		Columns: c.Columns,
	}}, nil
}

func (t *Terms) check() error {
	switch {
	case t.Approval != NoApproval && t.Approval != ApprovalRequired:
		return domain.InvalidField("approval", `must be "none" or "required"`)
	case t.Checkers < 0 || t.Checkers > MaxCheckers || t.Checkers > 0 && t.Approval == NoApproval:
		return fmt.Errorf("terms: %d checkers, approval %q", t.Checkers, t.Approval)
	case t.Mode != "" && t.Mode != Partial && t.Mode != Atomic:
		return domain.InvalidField("mode", `must be "partial" or "atomic"`)
	case t.Shortage != "" && t.Shortage != RefuseShort && t.Shortage != QueueShort:
		return domain.InvalidField("on_insufficient_balance", `must be "reject" or "queue"`)
	}
	return nil
}

// addItems takes the chunks in order. The last one must make up what was announced: else the batch was announced wrongly.
func addItems(b *Batch, c AddItems) ([]Event, error) {
	if c.Chunk >= 1 && c.Chunk <= b.Received {
		return nil, nil
	}
	if b.Status != Receiving || c.Chunk != b.Received+1 {
		return nil, domain.Errorf(domain.Stale, "chunk %d of batch %s, which is %s and has %d", c.Chunk, b.Batch, b.Status, b.Received)
	}
	if want := min(ChunkSize, b.Count-b.items); len(c.Items) != want {
		return nil, fmt.Errorf("batch %s: chunk %d has %d items, not %d", b.Batch, c.Chunk, len(c.Items), want)
	}
	amount, commission := b.amount, b.commission
	for n := range c.Items {
		i := &c.Items[n]
		if err := i.check(b.items+n+1, b.Currency); err != nil {
			return nil, fmt.Errorf("batch %s: %w", b.Batch, err)
		}
		amount, commission = amount.Add(i.Amount), commission.Add(i.Commission)
	}
	last := b.items+len(c.Items) == b.Count
	if last && (amount.Cmp(b.Amount) != 0 || commission.Cmp(b.Commission) != 0) {
		return nil, fmt.Errorf("batch %s: the items are %s with a commission of %s, not %s and %s", b.Batch, amount, commission, b.Amount, b.Commission)
	}
	return []Event{&ItemsAdded{Of: b.Of, Chunk: c.Chunk, Last: last, Items: c.Items}}, nil
}

func (i *Item) check(index int, c money.Currency) error {
	switch {
	case i.Index != index:
		return fmt.Errorf("item %d stands at %d", i.Index, index)
	case i.Payment == "" || i.Event == "" || i.RequestID == "":
		return fmt.Errorf("item %d lacks an id", i.Index)
	case i.Amount.Currency() != c || i.Commission.Currency() != c || i.Tax.Currency() != c:
		return fmt.Errorf("item %d is not in %s", i.Index, c)
	}
	return nil
}

func approve(b *Batch, c Approve) ([]Event, error) {
	switch {
	case slices.Contains(b.Approvals, c.Actor) && (b.Status == Awaiting || b.Status == Processing || b.Status == Completed):
		return nil, nil
	case b.Status != Awaiting:
		return nil, domain.Errorf(domain.Stale, "batch %s is %s", b.Batch, b.Status)
	case b.Terms.Rule != c.Rule:
		return nil, domain.Errorf(domain.Stale, "the approval rule has changed since batch %s was submitted", b.Batch)
	case strings.TrimSpace(c.Actor) == "" || len(c.Actor) > MaxActor:
		return nil, domain.InvalidField("actor", fmt.Sprintf("must be 1 to %d characters", MaxActor))
	case len(c.Note) > MaxReason:
		return nil, domain.InvalidField("note", fmt.Sprintf("must be at most %d characters", MaxReason))
	case c.Actor == b.By:
		return nil, domain.Errorf(domain.Forbidden, "who submitted a batch cannot approve it")
	}
	return []Event{&Approved{Of: b.Of, Actor: c.Actor, Missing: b.Missing() - 1, Note: c.Note}}, nil
}

// reject also ends a batch of which all or nothing is to be held, for the item that cannot be: but not when some of it is paid.
func reject(b *Batch, c Reject) ([]Event, error) {
	unheld := c.Item > 0 && b.Status == Processing && b.Terms.Mode == Atomic && b.Drawn == 0
	switch {
	case b.Status == Rejected && c.Item > 0 && c.Item == b.Stopper:
		return nil, nil
	case b.Status != Awaiting && !unheld:
		return nil, domain.Errorf(domain.Stale, "batch %s is %s", b.Batch, b.Status)
	case c.Item < 0 || c.Item > b.Count:
		return nil, fmt.Errorf("batch %s: rejected for item %d of %d", b.Batch, c.Item, b.Count)
	case c.Actor == b.By:
		return nil, domain.Errorf(domain.Forbidden, "who submitted a batch cannot reject it, but cancel it")
	}
	if err := signed(c.Reason, c.Actor); err != nil {
		return nil, err
	}
	return []Event{&RejectedBy{Of: b.Of, Reason: c.Reason, Actor: c.Actor, Item: c.Item}}, nil
}

// cancel stops what is not drawn yet. When nothing is left to draw there is nothing to stop.
func cancel(b *Batch, c Cancel) ([]Event, error) {
	switch {
	case b.Status == Cancelled:
		return nil, nil
	case b.Final(), b.Status == Processing && b.AllDrawn():
		return nil, domain.Errorf(domain.Stale, "batch %s has nothing left to cancel", b.Batch)
	}
	if err := signed(c.Reason, c.Actor); err != nil {
		return nil, err
	}
	return []Event{&CancelledBy{Of: b.Of, Reason: c.Reason, Actor: c.Actor}}, nil
}

// noteDrawn is also taken from a batch that was cancelled while the chunk was being drawn: its payouts are made.
func noteDrawn(b *Batch, c NoteDrawn) ([]Event, error) {
	if c.Chunk >= 1 && c.Chunk <= b.Drawn {
		return nil, nil
	}
	if b.Status != Processing && b.Status != Cancelled || c.Chunk != b.Drawn+1 || c.Chunk > b.Received {
		return nil, domain.Errorf(domain.Stale, "drawing chunk %d of batch %s, which is %s and has drawn %d", c.Chunk, b.Batch, b.Status, b.Drawn)
	}
	for _, r := range c.Refused {
		if !slices.Contains(b.Closing, r) {
			return nil, fmt.Errorf("batch %s: refused item %d is not one that chunk %d was closed with", b.Batch, r.Index, c.Chunk)
		}
	}
	return []Event{&Drawn{Of: b.Of, Chunk: c.Chunk, Refused: c.Refused}}, nil
}

// closeChunk takes what was refused from whoever comes first. Like noteDrawn, it takes a cancelled batch.
func closeChunk(b *Batch, c Close) ([]Event, error) {
	if c.Chunk >= 1 && c.Chunk <= b.Drawn || c.Chunk == b.Drawn+1 && b.Closing != nil {
		return nil, nil
	}
	if b.Status != Processing && b.Status != Cancelled || c.Chunk != b.Drawn+1 || c.Chunk > b.Received {
		return nil, domain.Errorf(domain.Stale, "closing chunk %d of batch %s, which is %s and has drawn %d", c.Chunk, b.Batch, b.Status, b.Drawn)
	}
	last := (c.Chunk - 1) * ChunkSize
	for _, r := range c.Refused {
		if r.Index <= last || r.Index > min(c.Chunk*ChunkSize, b.Count) {
			return nil, fmt.Errorf("batch %s: refused item %d is not in chunk %d, or not behind %d", b.Batch, r.Index, c.Chunk, last)
		}
		last = r.Index
	}
	if len(c.Refused) == 0 {
		return nil, fmt.Errorf("batch %s: closing chunk %d, of which nothing was refused", b.Batch, c.Chunk)
	}
	return []Event{&Closed{Of: b.Of, Chunk: c.Chunk, Refused: c.Refused}}, nil
}

// Pays refuses to hold anything for a batch (domain.Stale), but while it is being processed, is not drawn whole, and its time has come.
func (b *Batch) Pays(merchant string, at time.Time) error {
	if err := b.due(merchant, at); err != nil {
		return err
	}
	if b.AllDrawn() { // nothing could draw it any more, and the batch's job may be done
		return domain.Errorf(domain.Stale, "batch %s is drawn", b.Batch)
	}
	return nil
}

func (b *Batch) due(merchant string, at time.Time) error {
	switch {
	case b.Status != Processing || b.Merchant != merchant:
		return domain.Errorf(domain.Stale, "batch %s is %s", b.Batch, b.Status)
	case at.Before(b.Terms.ScheduleAt):
		return domain.Errorf(domain.Stale, "batch %s is scheduled for %s", b.Batch, b.Terms.ScheduleAt.Format(time.RFC3339))
	}
	return nil
}

// Spent refuses to end what is held for a batch (domain.Stale), but when no payout of it can be made any more.
func (b *Batch) Spent(merchant string) error {
	if b.Merchant != merchant || !b.Final() && !b.AllDrawn() {
		return domain.Errorf(domain.Stale, "batch %s is %s and has drawn %d chunks", b.Batch, b.Status, b.Drawn)
	}
	return nil
}

// AllDrawn tells whether all items are payouts, or refused.
func (b *Batch) AllDrawn() bool { return b.Count > 0 && b.Drawn == Chunks(b.Count) }

// Draws refuses a payout for an item (domain.Stale), but while the item's chunk is the one being drawn and is not closed: what
// batch.drawn has noted as refused never becomes a payout, and neither does what was cancelled.
func (b *Batch) Draws(merchant string, index int, at time.Time) error {
	if err := b.due(merchant, at); err != nil {
		return err
	}
	if index < 1 || index > b.Count || (index-1)/ChunkSize != b.Drawn || b.Closing != nil {
		return domain.Errorf(domain.Stale, "item %d of batch %s, which is %s and has drawn %d chunks, is not to be paid now", index, b.Batch, b.Status, b.Drawn)
	}
	return nil
}

func complete(b *Batch) ([]Event, error) {
	switch {
	case b.Status == Completed:
		return nil, nil
	case b.Status != Processing || !b.AllDrawn():
		return nil, domain.Errorf(domain.Stale, "batch %s is %s and has drawn %d of %d chunks", b.Batch, b.Status, b.Drawn, Chunks(b.Count))
	}
	return []Event{&CompletedAll{b.Of}}, nil
}

// signed refuses an act by hand without a reason or without a name.
func signed(reason, actor string) error {
	switch {
	case strings.TrimSpace(reason) == "" || len(reason) > MaxReason:
		return domain.InvalidField("reason", fmt.Sprintf("must be 1 to %d characters", MaxReason))
	case strings.TrimSpace(actor) == "" || len(actor) > MaxActor:
		return domain.InvalidField("actor", fmt.Sprintf("must be 1 to %d characters", MaxActor))
	}
	return nil
}
