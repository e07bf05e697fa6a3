package batch

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/money"
)

var (
	noon = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	of   = Of{Merchant: "mer_1", Currency: money.INR, Batch: "bat_1"}
	maya = Base{Of: of, At: noon, Actor: "key:maya"}
	ravi = Base{Of: of, At: noon, Actor: "key:ravi"}
	asha = Base{Of: of, At: noon, Actor: "key:asha"}
)

var seven = Refusal{Index: 7, Code: "duplicate", Reason: "used before"}

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func items(from, to int) []Item {
	var list []Item
	for i := from; i <= to; i++ {
		list = append(list, Item{
			Index: i, Payment: fmt.Sprintf("txn_%d", i), Event: fmt.Sprintf("event-%d", i), RequestID: fmt.Sprintf("R-%d", i),
			Amount: inr("1000.50"), Commission: inr("10"), Tax: inr("1.53"), IFSC: "HDFC0001234", BankName: "HDFC Bank", AccountLast4: "9908",
			AccountFingerprint: "fp", TransferType: "5", Sealed: "c2VhbGVk",
		})
	}
	return list
}

// submission announces so many items of 1000.50 at 10.
func submission(count int, approval Approval) Submit {
	sum := func(each string) money.Amount {
		total := money.Zero(money.INR)
		for range count {
			total = total.Add(inr(each))
		}
		return total
	}
	return Submit{
		Base: maya, Ref: "SALARIES-MARCH", Digest: "d1", Terms: Terms{Approval: approval}, Count: count,
		Amount: sum("1000.50"), Commission: sum("10"), Fee: fee.Rule{Plan: "default", Version: 2},
	}
}

// after carries out commands, all of which must be taken.
func after(t *testing.T, commands ...Command) *Batch {
	t.Helper()
	b := &Batch{}
	for _, c := range commands {
		events, err := Decide(b, c)
		if err != nil {
			t.Fatalf("%T: %v", c, err)
		}
		for _, e := range events {
			data, err := Encode(e)
			if err != nil {
				t.Fatal(err)
			}
			read, err := Decode(e.Type(), e.Schema(), data)
			if err != nil {
				t.Fatalf("%s: %v", data, err)
			}
			b.Evolve(read, c.Effective())
		}
	}
	return b
}

// whole is a batch of two chunks, the last of one item.
func whole(approval Approval) []Command {
	return []Command{
		submission(ChunkSize+1, approval),
		AddItems{Base: maya, Chunk: 1, Items: items(1, ChunkSize)},
		AddItems{Base: maya, Chunk: 2, Items: items(ChunkSize+1, ChunkSize+1)},
	}
}

// under is a whole batch under other terms.
func under(t Terms) []Command {
	commands := whole(NoApproval)
	c := submission(ChunkSize+1, NoApproval)
	c.Terms = t
	commands[0] = c
	return commands
}

func whole2() []Command { return under(Terms{Approval: ApprovalRequired, Checkers: 2}) }
func atomic() []Command { return under(Terms{Approval: NoApproval, Mode: Atomic}) }

func with(before []Command, more ...Command) []Command {
	return append(before[:len(before):len(before)], more...)
}

func TestLife(t *testing.T) {
	drawn := []Command{
		Close{maya, 1, []Refusal{seven, {Index: 9, Code: "insufficient_balance"}}},
		NoteDrawn{Base: maya, Chunk: 1, Refused: []Refusal{seven}}, // 9 was paid meanwhile
		NoteDrawn{Base: maya, Chunk: 2},
	}
	for _, c := range []struct {
		name     string
		commands []Command
		want     Status
		refused  int
	}{
		{"announced", whole(NoApproval)[:1], Receiving, 0},
		{"half of it", whole(NoApproval)[:2], Receiving, 0},
		{"whole", whole(NoApproval), Processing, 0},
		{"whole, to be approved", whole(ApprovalRequired), Awaiting, 0},
		{"approved", with(whole(ApprovalRequired), Approve{Base: ravi}), Processing, 0},
		{"approved by one of two", with(whole2(), Approve{Base: ravi}), Awaiting, 0},
		{"approved by both", with(whole2(), Approve{Base: ravi, Note: "checked"}, Approve{Base: asha}), Processing, 0},
		{"rejected by the second", with(whole2(), Approve{Base: ravi}, Reject{Base: asha, Reason: "no"}), Rejected, 0},
		{"nothing held for an item", with(atomic(), Reject{Base: ravi, Reason: "the balance does not cover it", Item: 17}), Rejected, 0},
		{"rejected", with(whole(ApprovalRequired), Reject{Base: ravi, Reason: "not this month"}), Rejected, 0},
		{"drawn", with(whole(NoApproval), drawn...), Processing, 1},
		{"completed", with(whole(NoApproval), append(drawn, Complete{maya})...), Completed, 1},
		{"cancelled", with(whole(NoApproval), drawn[0], drawn[1], Cancel{ravi, "wrong file"}), Cancelled, 1},
		{"cancelled while being received", with(whole(NoApproval)[:2], Cancel{ravi, "wrong file"}), Cancelled, 0},
		{"a chunk noted after the cancellation", with(whole(NoApproval), Cancel{ravi, "wrong file"}, drawn[0], drawn[1]), Cancelled, 1},
	} {
		if b := after(t, c.commands...); b.Status != c.want || b.Refused != c.refused {
			t.Errorf("%s: %s, %d refused", c.name, b.Status, b.Refused)
		}
	}
}

func TestRepeatsChangeNothing(t *testing.T) {
	done := with(whole(NoApproval), NoteDrawn{Base: maya, Chunk: 1}, NoteDrawn{Base: maya, Chunk: 2}, Complete{maya})
	for _, c := range []struct {
		before []Command
		again  Command
	}{
		{whole(NoApproval), whole(NoApproval)[1]},
		{whole(NoApproval)[:2], whole(NoApproval)[1]},
		{done, NoteDrawn{Base: maya, Chunk: 2}},
		{done, Close{maya, 2, []Refusal{seven}}},
		{with(whole(NoApproval), Close{maya, 1, []Refusal{seven}}), Close{maya, 1, []Refusal{{Index: 8}}}},
		{done, Complete{maya}},
		{done, Look{maya}},
		{with(whole2(), Approve{Base: ravi}), Approve{Base: ravi}},
		{with(whole2(), Approve{Base: ravi}, Approve{Base: asha}), Approve{Base: ravi}},
		{with(atomic(), Reject{Base: ravi, Reason: "no", Item: 17}), Reject{Base: ravi, Reason: "no", Item: 17}},
		{with(whole(NoApproval), Cancel{ravi, "wrong file"}), Cancel{ravi, "again"}},
	} {
		if events, err := Decide(after(t, c.before...), c.again); err != nil || len(events) > 0 {
			t.Errorf("%T again: %d events, %v", c.again, len(events), err)
		}
	}
}

func TestRefusals(t *testing.T) {
	wrong := func(change func(*Submit)) Command {
		c := submission(3, NoApproval)
		change(&c)
		return c
	}
	const fault domain.Code = "" // of the caller
	for _, c := range []struct {
		name   string
		before []Command
		then   Command
		code   domain.Code
	}{
		{"a second time", whole(NoApproval), submission(3, NoApproval), domain.Stale},
		{"no ref", nil, wrong(func(s *Submit) { s.Ref = "" }), domain.Invalid},
		{"a long ref", nil, wrong(func(s *Submit) { s.Ref = strings.Repeat("x", MaxRef+1) }), domain.Invalid},
		{"no items", nil, wrong(func(s *Submit) { s.Count = 0 }), domain.Invalid},
		{"too many items", nil, wrong(func(s *Submit) { s.Count = MaxItems + 1 }), domain.Invalid},
		{"another approval", nil, wrong(func(s *Submit) { s.Terms.Approval = "maybe" }), domain.Invalid},
		{"no digest", nil, wrong(func(s *Submit) { s.Digest = "" }), fault},
		{"nothing to pay", nil, wrong(func(s *Submit) { s.Amount = money.Zero(money.INR) }), fault},
		{"nobody's", nil, Approve{Base: ravi}, domain.NotFound},
		{"another merchant's", whole(ApprovalRequired), Approve{Base: Base{Of: Of{"mer_2", money.INR, "bat_1"}, At: noon, Actor: "x"}}, domain.NotFound},
		{"a chunk too early", whole(NoApproval)[:1], whole(NoApproval)[2], domain.Stale},
		{"a short chunk", whole(NoApproval)[:1], AddItems{Base: maya, Chunk: 1, Items: items(1, ChunkSize-1)}, fault},
		{"a shifted chunk", whole(NoApproval)[:1], AddItems{Base: maya, Chunk: 1, Items: items(2, ChunkSize+1)}, fault},
		{"another sum", []Command{wrong(func(s *Submit) { s.Amount = inr("1") })}, AddItems{Base: maya, Chunk: 1, Items: items(1, 3)}, fault},
		{"items of a cancelled batch", with(whole(NoApproval)[:2], Cancel{ravi, "no"}), whole(NoApproval)[2], domain.Stale},
		{"its own approval", whole(ApprovalRequired), Approve{Base: maya}, domain.Forbidden},
		{"its own rejection", whole(ApprovalRequired), Reject{Base: maya, Reason: "no"}, domain.Forbidden},
		{"approval of what needs none", whole(NoApproval), Approve{Base: ravi}, domain.Stale},
		{"approval under another rule", whole2(), Approve{Base: ravi, Rule: 2}, domain.Stale},
		{"approval by nobody", whole2(), Approve{Base: Base{Of: of, At: noon}}, domain.Invalid},
		{"approval with a long note", whole2(), Approve{Base: ravi, Note: strings.Repeat("x", MaxReason+1)}, domain.Invalid},
		{"rejection for an item of a partial batch", whole(NoApproval), Reject{Base: ravi, Reason: "no", Item: 1}, domain.Stale},
		{"rejection for an item when some is paid", with(atomic(), NoteDrawn{Base: maya, Chunk: 1}), Reject{Base: ravi, Reason: "no", Item: 1}, domain.Stale},
		{"rejection for no item of its own", atomic(), Reject{Base: ravi, Reason: "no", Item: ChunkSize + 2}, fault},
		{"another mode", nil, wrong(func(s *Submit) { s.Terms.Mode = "maybe" }), domain.Invalid},
		{"another shortage", nil, wrong(func(s *Submit) { s.Terms.Shortage = "maybe" }), domain.Invalid},
		{"checkers of what needs none", nil, wrong(func(s *Submit) { s.Terms.Checkers = 1 }), fault},
		{"too many checkers", nil, wrong(func(s *Submit) { s.Terms = Terms{Approval: ApprovalRequired, Checkers: MaxCheckers + 1} }), fault},
		{"rejection without a reason", whole(ApprovalRequired), Reject{Base: ravi, Reason: " "}, domain.Invalid},
		{"rejection of what is being paid", whole(NoApproval), Reject{Base: ravi, Reason: "no"}, domain.Stale},
		{"cancelling what is drawn", with(whole(NoApproval), NoteDrawn{Base: maya, Chunk: 1}, NoteDrawn{Base: maya, Chunk: 2}), Cancel{ravi, "no"}, domain.Stale},
		{"drawing without approval", whole(ApprovalRequired), NoteDrawn{Base: maya, Chunk: 1}, domain.Stale},
		{"drawing out of order", whole(NoApproval), NoteDrawn{Base: maya, Chunk: 2}, domain.Stale},
		{"refusing another chunk's item", whole(NoApproval), Close{maya, 1, []Refusal{{Index: ChunkSize + 1}}}, fault},
		{"refusing an item twice", whole(NoApproval), Close{maya, 1, []Refusal{{Index: 2}, {Index: 2}}}, fault},
		{"closing for nothing", whole(NoApproval), Close{maya, 1, nil}, fault},
		{"closing out of order", whole(NoApproval), Close{maya, 2, []Refusal{{Index: ChunkSize + 1}}}, domain.Stale},
		{"refusing without closing", whole(NoApproval), NoteDrawn{Base: maya, Chunk: 1, Refused: []Refusal{seven}}, fault},
		{"refusing another than closed with", with(whole(NoApproval), Close{maya, 1, []Refusal{seven}}), NoteDrawn{Base: maya, Chunk: 1, Refused: []Refusal{{Index: 8}}}, fault},
		{"completing too early", with(whole(NoApproval), NoteDrawn{Base: maya, Chunk: 1}), Complete{maya}, domain.Stale},
	} {
		events, err := Decide(after(t, c.before...), c.then)
		if err == nil || domain.CodeOf(err) != c.code || len(events) > 0 {
			t.Errorf("%s: %d events, %v (%q)", c.name, len(events), err, domain.CodeOf(err))
		}
	}
}

// Only items of the chunk that is being drawn may become payouts.
func TestDraws(t *testing.T) {
	half := with(whole(NoApproval), NoteDrawn{Base: maya, Chunk: 1})
	for _, c := range []struct {
		name     string
		commands []Command
		merchant string
		index    int
		may      bool
	}{
		{"the first chunk", whole(NoApproval), "mer_1", 1, true},
		{"its last item", whole(NoApproval), "mer_1", ChunkSize, true},
		{"the second chunk, too early", whole(NoApproval), "mer_1", ChunkSize + 1, false},
		{"the second chunk", half, "mer_1", ChunkSize + 1, true},
		{"the first chunk, when it is noted", half, "mer_1", ChunkSize, false},
		{"a closed chunk", with(whole(NoApproval), Close{maya, 1, []Refusal{seven}}), "mer_1", 1, false},
		{"behind a closed chunk", with(whole(NoApproval), Close{maya, 1, []Refusal{seven}}, NoteDrawn{Base: maya, Chunk: 1}), "mer_1", ChunkSize + 1, true},
		{"beyond the end", half, "mer_1", ChunkSize + 2, false},
		{"before the beginning", whole(NoApproval), "mer_1", 0, false},
		{"another merchant", whole(NoApproval), "mer_2", 1, false},
		{"not approved", whole(ApprovalRequired), "mer_1", 1, false},
		{"cancelled", with(whole(NoApproval), Cancel{ravi, "no"}), "mer_1", 1, false},
		{"not whole", whole(NoApproval)[:2], "mer_1", 1, false},
	} {
		if err := after(t, c.commands...).Draws(c.merchant, c.index, noon); (err == nil) != c.may || err != nil && domain.CodeOf(err) != domain.Stale {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Nothing is paid before its time, and what is held ends with the batch.
func TestPaysAndSpent(t *testing.T) {
	later := under(Terms{Approval: NoApproval, ScheduleAt: noon.Add(time.Hour)})
	drawn := with(atomic(), NoteDrawn{Base: maya, Chunk: 1}, NoteDrawn{Base: maya, Chunk: 2})
	for _, c := range []struct {
		name        string
		commands    []Command
		at          time.Time
		pays, spent bool
	}{
		{"atomic", atomic(), noon, true, false},
		{"too early", later, noon.Add(time.Hour - 1), false, false},
		{"in time", later, noon.Add(time.Hour), true, false},
		{"to be approved", whole(ApprovalRequired), noon, false, false},
		{"drawn", drawn, noon, false, true},
		{"completed", with(drawn, Complete{maya}), noon, false, true},
		{"cancelled", with(atomic(), Cancel{ravi, "no"}), noon, false, true},
		{"rejected", with(atomic(), Reject{Base: ravi, Reason: "no", Item: 1}), noon, false, true},
	} {
		b := after(t, c.commands...)
		pays, draws, spent := b.Pays("mer_1", c.at), b.Draws("mer_1", 1, c.at), b.Spent("mer_1")
		if (pays == nil) != c.pays || (spent == nil) != c.spent || pays != nil && draws == nil {
			t.Errorf("%s: pays %v, draws %v, spent %v", c.name, pays, draws, spent)
		}
		if b.Pays("mer_2", c.at) == nil || b.Spent("mer_2") == nil {
			t.Errorf("%s: another merchant's", c.name)
		}
	}
}

func TestPayoutOfAnItem(t *testing.T) {
	b := after(t, whole(NoApproval)...)
	p := items(7, 7)[0].Payout(b, noon)
	if p.Of.Merchant != "mer_1" || p.Of.Payment != "txn_7" || p.Batch != "bat_1" || p.Index != 7 || p.Charge.Rule != b.Fee ||
		!p.Amount.Equal(inr("1000.50")) || !p.Charge.Tax.Equal(inr("1.53")) || p.RequestID != "R-7" || p.Sealed != "c2VhbGVk" || p.FromHold {
		t.Errorf("%+v", p)
	}
	if p := items(7, 7)[0].Payout(after(t, atomic()...), noon); !p.FromHold {
		t.Errorf("of an atomic batch: %+v", p)
	}
}
