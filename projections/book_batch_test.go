package projections

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// bookBatch is a batch of the book: its fold, and what its events said of its items.
type bookBatch struct {
	batch.Batch
	announced []batch.Item // as submitted
	columns   []batch.Column
	items     []batch.Item // as received
	addedAt   []time.Time  // of items
	refused   map[int]batch.Refusal
	refusedAt map[int]time.Time
	updatedAt time.Time
	queued    bool
	held      bool
	upto      int
	decidedAt time.Time
}

// decide decides a command about a batch and appends its events. A refusal changes nothing, and is returned.
func (b *book) decide(c batch.Command) domain.Code {
	b.tb.Helper()
	of := c.Target()
	lot := b.batches[of.Batch]
	if lot == nil {
		lot = &bookBatch{refused: map[int]batch.Refusal{}, refusedAt: map[int]time.Time{}}
	}
	events, err := batch.Decide(&lot.Batch, c)
	if code := domain.CodeOf(err); code != "" {
		return code
	}
	if err != nil {
		b.tb.Fatal(err)
	}
	for _, e := range events {
		data, err := batch.Encode(e)
		if err != nil {
			b.tb.Fatal(err)
		}
		record := b.record(batch.Stream(of.Merchant, of.Batch), of.Batch, e.Type(), e.Schema(), c.Effective(), data)
		if lot.Status == "" {
			b.batches[of.Batch] = lot
			b.lots = append(b.lots, of.Batch)
		}
		lot.evolve(e, &b.append(of.Merchant, []eventstore.Record{record})[0])
	}
	return ""
}

func (l *bookBatch) evolve(e batch.Event, r *eventstore.Record) {
	l.Evolve(e, r.EffectiveAt)
	l.updatedAt = r.EffectiveAt
	switch e := e.(type) {
	case *batch.ItemsAdded:
		for _, item := range e.Items {
			l.items = append(l.items, item)
			l.addedAt = append(l.addedAt, r.EffectiveAt)
		}
	case *batch.Approved:
		if e.Missing == 0 {
			l.decidedAt = r.EffectiveAt
		}
	case *batch.RejectedBy, *batch.CancelledBy:
		l.decidedAt = r.EffectiveAt
	case *batch.Drawn:
		for _, refusal := range e.Refused {
			l.refused[refusal.Index], l.refusedAt[refusal.Index] = refusal, r.EffectiveAt
		}
	}
}

func (b *book) batchBase(m, id, actor string) batch.Base {
	return batch.Base{Of: batch.Of{Merchant: m, Currency: money.INR, Batch: id}, At: b.now, Actor: actor}
}

// submit announces a batch of items that pay amount each.
func (b *book) submit(m string, count int, amount string, terms batch.Terms) *bookBatch {
	b.tb.Helper()
	id := b.id("bat")
	var items []batch.Item
	sum, commission := money.Zero(money.INR), money.Zero(money.INR)
	for n := range count {
		payment := b.id("txn")
		items = append(items, batch.Item{
			Index: n + 1, Payment: payment, Event: "event of " + payment, RequestID: "REQ-" + payment, Amount: inr(amount),
			Commission: inr("10.00"), Tax: inr("1.53"), IFSC: "SBIN0001234", BankName: "State Bank of India", AccountLast4: "7890",
			AccountFingerprint: "fp", TransferType: "5", Sealed: "c2VhbGVk-" + payment,
		})
		sum, commission = sum.Add(items[n].Amount), commission.Add(items[n].Commission)
	}
	columns := []batch.Column{{Field: "amount", Name: "Amount (INR)"}, {Field: "ifsc", Name: "IFSC"}}
	if terms.Mode == "" {
		columns = nil
	}
	b.decide(batch.Submit{
		Base: b.batchBase(m, id, "key:maker"), Ref: "REF-" + id, Digest: "digest of " + id, Terms: terms, Count: count,
		Amount: sum, Commission: commission, Fee: fee.Rule{Plan: "default", Version: 1}, Columns: columns,
	})
	b.batches[id].columns = columns
	b.batches[id].announced = items
	return b.batches[id]
}

// bring adds the next chunk.
func (b *book) bring(l *bookBatch) {
	items := l.announced[len(l.items):]
	b.decide(batch.AddItems{Base: b.batchBase(l.Merchant, l.Of.Batch, ""), Chunk: l.Received + 1, Items: items[:min(len(items), batch.ChunkSize)]})
}

// whole submits a batch with all of its items.
func (b *book) whole(m string, count int, amount string, terms batch.Terms) *bookBatch {
	b.tb.Helper()
	l := b.submit(m, count, amount, terms)
	for len(l.items) < count {
		b.bring(l)
	}
	return l
}

// draw makes the payouts of the next chunk, and notes which items the wallet refused.
func (b *book) draw(l *bookBatch) {
	b.tb.Helper()
	refused := b.drawPart(l, batch.ChunkSize)
	if l.Terms.Holds() && l.Status == batch.Processing && l.upto < min((l.Drawn+1)*batch.ChunkSize, l.Count) {
		return
	}
	if len(refused) > 0 && l.Closing == nil {
		b.decide(batch.Close{Base: b.batchBase(l.Merchant, l.Of.Batch, ""), Chunk: l.Drawn + 1, Refused: refused})
	}
	b.decide(batch.NoteDrawn{Base: b.batchBase(l.Merchant, l.Of.Batch, ""), Chunk: l.Drawn + 1, Refused: refused})
}

// drawPart makes the payouts of up to most items of the next chunk, and notes nothing: as if the process had died then.
func (b *book) drawPart(l *bookBatch, most int) (refused []batch.Refusal) {
	b.tb.Helper()
	first := l.Drawn * batch.ChunkSize
	chunk := l.items[first:min(first+batch.ChunkSize, len(l.items))]
	for n := range chunk[:min(most, len(chunk))] {
		i := &chunk[n]
		if b.payments[i.Payment] != nil { // it was drawn before something stopped the drawing
			continue
		}
		if l.Terms.Holds() && i.Index > l.upto {
			return refused
		}
		if l.Draws(l.Merchant, i.Index, b.now) != nil || b.do(i.Payout(&l.Batch, b.now)) == nil {
			refused = append(refused, batch.Refusal{Index: i.Index, Code: string(domain.InsufficientBalance), Reason: "the balance does not cover " + i.RequestID})
		}
	}
	return refused
}

func (b *book) cancel(l *bookBatch, reason string) domain.Code {
	return b.decide(batch.Cancel{Base: b.batchBase(l.Merchant, l.Of.Batch, "key:checker"), Reason: reason})
}

// hold queues a batch, holds for some of its items, or ends the hold.
func (b *book) hold(choose chooser, l *bookBatch) {
	base := wallet.Base{Of: wallet.Of{Merchant: l.Merchant, Currency: l.Currency, Payment: l.Of.Batch}, At: b.now}
	w := b.wallets[wallet.Stream(l.Merchant, l.Currency)]
	if w == nil {
		return
	}
	r, there := w.Reserve(l.Of.Batch)
	var events []wallet.Event
	switch {
	case l.Spent(l.Merchant) == nil:
		events = b.do(wallet.ReleaseBatch{Base: base, Done: true})
	case l.Pays(l.Merchant, b.now) != nil:
	case !there && l.Terms.Shortage == batch.QueueShort:
		events = b.do(wallet.QueueBatch{Base: base})
	default:
		upto := l.Count
		if r.Queued {
			upto = min(l.Count, r.Upto+1+choose(3))
		}
		sum := money.Zero(l.Currency)
		for n := r.Upto; n < upto; n++ {
			sum = sum.Add(l.items[n].Gross())
		}
		events = b.do(wallet.HoldBatch{Base: base, From: r.Upto, Upto: upto, Last: upto == l.Count, Amount: sum})
	}
	if len(events) > 0 {
		l.updatedAt = b.now
	}
	for _, e := range events {
		switch e := e.(type) {
		case *wallet.BatchQueued:
			l.queued, l.held = true, true
		case *wallet.BatchHeld:
			l.queued, l.upto, l.held = l.queued && !e.Last, e.Upto, true
		case *wallet.BatchReleased:
			l.queued, l.held = false, false
		}
	}
}

// wanderBatch submits a batch or does something to one, in whatever state it is.
func (b *book) wanderBatch(choose chooser, m string) {
	if len(b.lots) == 0 || choose(4) == 0 {
		count := 1 + choose(6)
		if choose(12) == 0 {
			count += batch.ChunkSize
		}
		submit := []func(string, int, string, batch.Terms) *bookBatch{b.submit, b.whole}[choose(2)]
		submit(m, count, []string{"50.00", "700.00"}[choose(2)], []batch.Terms{
			{Approval: batch.NoApproval}, {Approval: batch.ApprovalRequired}, {Approval: batch.ApprovalRequired, Checkers: 2, Rule: 0},
			{Approval: batch.NoApproval, Mode: batch.Atomic}, {Approval: batch.NoApproval, Mode: batch.Partial, Shortage: batch.QueueShort},
		}[choose(5)])
		return
	}
	l := b.batches[b.lots[len(b.lots)-1-choose(min(len(b.lots), 4))]] // mostly what is new
	base := b.batchBase(l.Merchant, l.Of.Batch, "key:checker")
	switch {
	case choose(9) == 0:
		b.cancel(l, b.id("reason"))
	case l.Status == batch.Receiving:
		b.bring(l)
	case l.Status == batch.Awaiting && choose(3) == 0:
		b.decide(batch.Reject{Base: base, Reason: b.id("reason")})
	case l.Status == batch.Awaiting:
		base.Actor += []string{"", "_2"}[choose(2)]
		b.decide(batch.Approve{Base: base})
	case l.Terms.Holds() && (l.Status == batch.Processing || l.Status == batch.Cancelled) && choose(3) != 0:
		b.hold(choose, l)
	case l.Status == batch.Cancelled && l.Drawn < l.Received && choose(8) == 0, l.Status == batch.Processing && l.Drawn < l.Received && choose(3) != 0:
		if choose(3) == 0 {
			b.drawPart(l, 1+choose(len(l.items)))
		} else {
			b.draw(l)
		}
	case len(l.items) > 0 && choose(3) != 0:
		if p := b.payments[l.items[choose(len(l.items))].Payment]; p != nil {
			b.touch(choose, p, "")
		}
	case l.Status == batch.Processing:
		b.decide(batch.Complete{Base: base})
	}
}

func (l *bookBatch) row() BatchRow {
	return BatchRow{
		ID: l.Of.Batch, Ref: l.Ref, Merchant: l.Merchant, Currency: l.Currency, Digest: l.Digest, Status: l.Status, Count: l.Count,
		Amount: l.Amount, Commission: l.Commission, By: l.By, Decided: l.Decided, Reason: l.Reason,
		CreatedAt: l.At, UpdatedAt: l.updatedAt, DecidedAt: l.decidedAt, Terms: l.Terms, Columns: l.columns, Approvals: l.Approvals,
		Stopper: l.Stopper, Queued: l.queued, Upto: l.upto,
	}
}

// line is what an item must be shown as.
func (b *book) line(l *bookBatch, n int) BatchItem {
	i := &l.items[n]
	shown := BatchItem{
		Index: n + 1, Payment: i.Payment, RequestID: i.RequestID, Amount: i.Amount, Commission: i.Commission, IFSC: i.IFSC, BankName: i.BankName,
		AccountLast4: i.AccountLast4, TransferType: i.TransferType, Sealed: i.Sealed, SealID: i.Event, Status: "pending", UpdatedAt: l.addedAt[n],
	}
	p, drawn := b.payments[i.Payment]
	refusal, refused := l.refused[n+1]
	if refused {
		shown.Code = refusal.Code
	}
	switch {
	case drawn:
		shown.Drawn, shown.Status, shown.UTR, shown.Reason, shown.UpdatedAt = true, string(p.Status), p.UTR, p.Reason, p.UpdatedAt
	case refused:
		shown.Status, shown.Reason, shown.UpdatedAt = "rejected", refusal.Reason, l.refusedAt[n+1]
	case l.Status == batch.Rejected || l.Status == batch.Cancelled:
		shown.Status, shown.Reason, shown.UpdatedAt = string(l.Status), l.Reason, l.decidedAt
	case l.queued && n >= l.upto:
		shown.Status = "queued"
	}
	return shown
}

// equalBatches compares batches, their lists, their items and their tallies with the book.
func (b *book) equalBatches(v *Views) {
	b.tb.Helper()
	ctx := context.Background()
	byMerchant := map[string][]string{}
	var unfinished []string
	for _, id := range b.lots {
		l := b.batches[id]
		byMerchant[l.Merchant] = append(byMerchant[l.Merchant], id)
		if !l.Final() || l.held {
			unfinished = append(unfinished, id)
		}
		byID, err := v.Batch(ctx, l.Merchant, id)
		byRef, refErr := v.BatchByRef(ctx, l.Merchant, l.Ref)
		if err != nil || refErr != nil {
			b.tb.Fatalf("batch %s: %v, %v", id, err, refErr)
		}
		if got, want := shown(b.tb, []BatchRow{byID, byRef}), shown(b.tb, []BatchRow{l.row(), l.row()}); got != want {
			b.tb.Fatalf("batch %s is\n%s\nby the fold\n%s", id, got, want)
		}
		b.equalItems(v, l)
	}
	slices.Sort(unfinished)
	b.equalIDs("unfinished batches", unfinished, func(after string) ([]BatchRow, error) { return v.BatchesUnfinished(ctx, after, 2) })
	for m, want := range byMerchant {
		slices.Reverse(want)
		b.equalIDs("batches of "+m, want, func(before string) ([]BatchRow, error) { return v.Batches(ctx, m, before, 2) })
	}
}

// equalIDs walks over a list page by page.
func (b *book) equalIDs(what string, want []string, page func(last string) ([]BatchRow, error)) {
	b.tb.Helper()
	var got []string
	for last := ""; ; last = got[len(got)-1] {
		rows, err := page(last)
		if err != nil {
			b.tb.Fatalf("%s: %v", what, err)
		}
		if len(rows) == 0 {
			break
		}
		for _, row := range rows {
			got = append(got, row.ID)
		}
	}
	if !slices.Equal(got, want) {
		b.tb.Fatalf("%s: %v, by the fold %v", what, got, want)
	}
}

// equalItems compares the items of a batch, all of them and those of one status, page by page, and its tally.
func (b *book) equalItems(v *Views, l *bookBatch) {
	b.tb.Helper()
	counts := BatchTally{}
	byStatus := map[string][]BatchItem{"": nil}
	for _, status := range itemStatuses() {
		of := counts[status]
		of.Amount = money.Zero(l.Currency)
		counts[status] = of
	}
	for n := range l.items {
		item := b.line(l, n)
		of := counts[item.Status]
		of.Count, of.Amount = of.Count+1, of.Amount.Add(item.Amount)
		counts[item.Status] = of
		byStatus[""] = append(byStatus[""], item)
		byStatus[item.Status] = append(byStatus[item.Status], item)
	}
	got, err := v.BatchTally(context.Background(), l.Merchant, l.Of.Batch)
	if err != nil {
		b.tb.Fatal(err)
	}
	if open, err := v.BatchOpen(context.Background(), l.Merchant, l.Of.Batch); err != nil || open != (l.Status == batch.Receiving || counts["pending"].Count+counts["queued"].Count > 0) {
		b.tb.Fatalf("batch %s has open items: %t, %v; by the fold %v", l.Of.Batch, open, err, counts)
	}
	if got, want := shown(b.tb, got), shown(b.tb, counts); got != want {
		b.tb.Fatalf("tally of batch %s is\n%s\nby the fold\n%s", l.Of.Batch, got, want)
	}
	for status, want := range byStatus {
		if got, want := shown(b.tb, b.allItems(v, l, status)), shown(b.tb, want); got != want {
			b.tb.Fatalf("items %q of batch %s, which is %s, are\n%s\nby the fold\n%s", status, l.Of.Batch, l.Status, got, want)
		}
	}
}

// allItems reads items page by page; of small batches by small pages.
func (b *book) allItems(v *Views, l *bookBatch, status string) (items []BatchItem) {
	b.tb.Helper()
	f := BatchItemFilter{Status: status, Limit: 3}
	if len(l.items) > batch.ChunkSize {
		f.Limit = 100
	}
	for {
		page, err := v.BatchItems(context.Background(), l.Merchant, l.Of.Batch, f)
		if err != nil {
			b.tb.Fatal(err)
		}
		if items = append(items, page...); len(page) < f.Limit {
			return items
		}
		f.After = items[len(items)-1].Index
	}
}

// end brings the payout of an item to its end.
func (b *book) end(l *bookBatch, index int, outcomes ...wallet.Outcome) {
	b.tb.Helper()
	id := l.items[index-1].Payment
	base := b.base(l.Merchant, id)
	b.do(wallet.SubmitPayout{Base: base, Attempt: 1, Gateway: "sandbox"})
	for _, outcome := range outcomes {
		report := wallet.ReportPayout{Base: base, Gateway: "sandbox", Outcome: outcome, Reason: "account_closed", Message: b.id("msg")}
		if outcome == wallet.OutcomePaid {
			report.UTR = fmt.Sprintf("UTR-%d", index)
		}
		if outcome == wallet.OutcomeReturned {
			report.ReturnReference = b.id("ret")
		}
		if b.do(report) == nil {
			b.tb.Fatalf("item %d: %s changes nothing", index, outcome)
		}
	}
}
