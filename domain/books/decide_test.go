package books

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

var now = time.Date(2026, 5, 2, 9, 0, 0, 0, time.UTC)

func ist(t testing.TB) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func period(t testing.TB, name string) Period {
	t.Helper()
	p, err := ParsePeriod(name, ist(t))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestParsePeriod(t *testing.T) {
	for name, want := range map[string]string{
		"2026-03": "2026-04-01T00:00:00+05:30", "2026-12": "2027-01-01T00:00:00+05:30", "2024-02": "2024-03-01T00:00:00+05:30",
		"2026-Q1": "2026-04-01T00:00:00+05:30", "2026-Q4": "2027-01-01T00:00:00+05:30", "FY2026": "2026-04-01T00:00:00+05:30",
		"2026-03-31": "2026-04-01T00:00:00+05:30", "2024-02-28": "2024-02-29T00:00:00+05:30", "2026-12-31": "2027-01-01T00:00:00+05:30",
	} {
		p := period(t, name)
		if got := p.To.In(ist(t)).Format(time.RFC3339); got != want || p.Name != name || p.Zone != "Asia/Kolkata" || p.To.Location() != time.UTC {
			t.Errorf("%s: %+v ends at %s, want %s", name, p, got, want)
		}
	}
	for _, name := range []string{
		"", "2026", "2026-13", "2026-00", "2026-Q0", "2026-Q5", "2026-Q", "2026-Q12", "FY", "FY26", "FY20266", "fy2026", "2026-02-30", "2026-3", "March 2026",
		"26-Q1", " 2026-03", "2026-03 ", "FY-026", "2026-Q1-Q2",
	} {
		if p, err := ParsePeriod(name, ist(t)); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("%q is taken for %+v (%v)", name, p, err)
		}
	}
}

// trial is a trial balance that balances, with as many records in each of two partitions.
func trial(seq int64) Trial {
	rupee := money.MustParse("1", money.INR)
	return Trial{
		Positions: []Mark{{0, seq}, {1, seq}},
		Totals: []Total{
			{money.INR, Adjustments, rupee, money.Zero(money.INR)}, {money.INR, MerchantAvailable, money.Zero(money.INR), rupee},
		},
		Accounts: 2, Digest: strings.Repeat("0f", 32),
	}
}

func closing(t testing.TB, name string, b *Books) Close {
	return Close{Period: period(t, name), Trial: trial(int64(10 * (b.Changes + 1))), Changes: b.Changes, Actor: "asha", At: now}
}

// do decides and evolves. The code is that of the refusal.
func do(t testing.TB, b *Books, c Command) ([]Event, domain.Code) {
	t.Helper()
	events, err := Decide(b, c)
	if err != nil && domain.CodeOf(err) == "" {
		t.Fatal(err)
	}
	for _, e := range events {
		if err := b.Again(e, c.Effective()); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
		b.Evolve(e)
	}
	return events, domain.CodeOf(err)
}

func TestClose(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Close)
		want   domain.Code
	}{
		{"as it should be", func(*Close) {}, ""},
		{"a gap is covered", func(c *Close) { c.Period = period(t, "2026-04-29") }, ""},
		{"the same again", func(c *Close) { c.Period = period(t, "2026-02") }, domain.Stale},
		{"the same by another name", func(c *Close) { c.Period = period(t, "2026-02-28") }, domain.Stale},
		{"the same of another zone, where it ends later", func(c *Close) {
			c.Period = Period{Name: "2026-02", Zone: "UTC", To: time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)}
		}, domain.Stale},
		{"one before", func(c *Close) { c.Period = period(t, "2026-01") }, domain.Stale},
		{"one that has not ended", func(c *Close) { c.Period = period(t, "2026-05") }, domain.Invalid},
		{"no period", func(c *Close) { c.Period = Period{} }, domain.Invalid},
		{"nobody", func(c *Close) { c.Actor = " " }, domain.Invalid},
		{"somebody of two lines", func(c *Close) { c.Actor = "a\nb" }, domain.Invalid},
		{"balances from before a change", func(c *Close) { c.Changes-- }, domain.Stale},
		{"marks in front of the last ones", func(c *Close) { c.Positions = []Mark{{0, 20}, {1, 9}} }, domain.Stale},
		{"marks of another log", func(c *Close) { c.Positions = c.Positions[:1] }, domain.Stale},
		{"no digest", func(c *Close) { c.Digest = "" }, domain.Invalid},
		{"books that do not balance", func(c *Close) { c.Totals = c.Totals[:1] }, domain.Stale},
		{"a kind of no chart", func(c *Close) { c.Totals[0].Kind = "cash" }, domain.Invalid},
		{"partitions in disorder", func(c *Close) { c.Positions = []Mark{{1, 50}, {0, 50}} }, domain.Invalid},
	} {
		b := &Books{}
		if _, code := do(t, b, closing(t, "2026-02", b)); code != "" {
			t.Fatal(code)
		}
		command := closing(t, "2026-03", b)
		c.change(&command)
		events, code := do(t, b, command)
		if code != c.want || (code == "") != (len(events) == 1) {
			t.Errorf("%s: %v, want %q", c.name, code, c.want)
			continue
		}
		if code == "" {
			e := events[0].(*Closed)
			if last, _ := b.Last(); e.Number != 2 || !e.From.Equal(period(t, "2026-02").To) || last.Number != 2 || len(b.Closes) != 2 {
				t.Errorf("%s: %+v, %+v", c.name, e, b)
			}
		}
	}
}

func TestReopen(t *testing.T) {
	b := &Books{}
	ask := func(name, reason, actor string) domain.Code {
		_, code := do(t, b, RequestReopen{Name: name, Reason: reason, Actor: actor, At: now})
		return code
	}
	approve := func(name, actor string) domain.Code {
		_, code := do(t, b, ApproveReopen{Name: name, Actor: actor, At: now})
		return code
	}
	want := func(what string, got, want domain.Code) {
		t.Helper()
		if got != want {
			t.Fatalf("%s: %q, want %q", what, got, want)
		}
	}
	want("nothing is closed", ask("2026-02", "r", "asha"), domain.NotFound)
	for _, name := range []string{"2026-02", "2026-03"} {
		_, code := do(t, b, closing(t, name, b))
		want("close "+name, code, "")
	}
	want("not the last", ask("2026-02", "r", "asha"), domain.Stale)
	want("never closed", ask("2026-04", "r", "asha"), domain.NotFound)
	want("no reason", ask("2026-03", " ", "asha"), domain.Invalid)
	want("nobody", ask("2026-03", "r", ""), domain.Invalid)
	want("nobody has asked", approve("2026-03", "ravi"), domain.Stale)
	want("asked", ask("2026-03", "r", "asha"), "")
	want("asked again", ask("2026-03", "r", "asha"), "")
	want("asked by another", ask("2026-03", "r", "mina"), domain.Stale)
	want("asked otherwise", ask("2026-03", "s", "asha"), domain.Stale)
	want("the same person", approve("2026-03", "asha"), domain.Forbidden)
	want("the same person, hidden", approve("2026-03", " Asha "), domain.Forbidden)
	want("another period", approve("2026-02", "ravi"), domain.Stale)
	if b.Changes != 2 {
		t.Fatalf("%+v", b)
	}
	want("another person", approve("2026-03", "ravi"), "")
	want("done already", approve("2026-03", "ravi"), domain.NotFound)
	if last, _ := b.Last(); last.Name != "2026-02" || b.Changes != 3 || b.Number != 2 || b.Request != nil {
		t.Fatalf("%+v", b)
	}
	_, code := do(t, b, closing(t, "2026-03", b))
	want("closed again", code, "")
	want("asked for the second close", ask("2026-03", "r", "asha"), "")
	_, code = do(t, b, closing(t, "2026-04", b))
	want("closed meanwhile", code, "")
	want("what was asked for is not the last any more", approve("2026-03", "ravi"), domain.Stale)
	want("and is forgotten", approve("2026-04", "ravi"), domain.Stale)
}

func TestAdjust(t *testing.T) {
	good := Adjust{
		About: "brk_1", Debit: AccountAdjustments, Credit: "gateway:sandbox:float", Amount: money.MustParse("12.50", money.INR), Reason: "bank charge",
		Maker: "asha", Checker: "ravi", At: now,
	}
	for _, c := range []struct {
		name   string
		change func(*Adjust)
		want   domain.Code
		field  string
	}{
		{"as it should be", func(*Adjust) {}, "", ""},
		{"of suspense", func(a *Adjust) { a.Credit = AccountSuspense }, "", ""},
		{"a wallet", func(a *Adjust) { a.Debit = "merchant:mer_x:available" }, domain.Invalid, "debit_account"},
		{"what a merchant owes", func(a *Adjust) { a.Credit = "merchant:mer_x:receivable" }, domain.Invalid, "credit_account"},
		{"no account", func(a *Adjust) { a.Credit = "cash" }, domain.Invalid, "credit_account"},
		{"to itself", func(a *Adjust) { a.Credit = a.Debit }, domain.Invalid, "credit_account"},
		{"nothing", func(a *Adjust) { a.Amount = money.Zero(money.INR) }, domain.Invalid, "amount"},
		{"less than nothing", func(a *Adjust) { a.Amount = a.Amount.Neg() }, domain.Invalid, "amount"},
		{"more than 64 bits", func(a *Adjust) { a.Amount = money.MustParse("100000000000000000000", money.INR) }, domain.Invalid, "amount"},
		{"of no currency", func(a *Adjust) { a.Amount = money.FromMinor(1, "XXX") }, domain.Invalid, "currency"},
		{"no reason", func(a *Adjust) { a.Reason = "" }, domain.Invalid, "reason"},
		{"about nothing", func(a *Adjust) { a.About = "" }, domain.Invalid, "subject"},
		{"about a payment", func(a *Adjust) { a.About = "txn_1" }, domain.Invalid, "subject"},
		{"one person", func(a *Adjust) { a.Checker = "ASHA" }, domain.Forbidden, ""},
		{"no second person", func(a *Adjust) { a.Checker = "" }, domain.Invalid, "checker"},
		{"an account of two lines", func(a *Adjust) { a.Debit = "gateway:a\nb:float" }, domain.Invalid, "debit_account"},
	} {
		a := good
		c.change(&a)
		events, err := Decide(nil, a)
		var e *domain.Error
		if domain.CodeOf(err) != c.want || (err == nil) != (len(events) == 1) || errors.As(err, &e) && c.field != "" && e.Details[c.field] == "" {
			t.Errorf("%s: %v, %v, want %s of %s", c.name, events, err, c.want, c.field)
		}
	}
	if keys := good.Keys(); len(keys) != 1 || keys[0] != AdjustmentKey("brk_1") {
		t.Errorf("claims %v", keys)
	}
	// An event that nobody can have decided is told.
	for _, e := range []*Adjusted{
		{About: "brk_1", Debit: "adjustments", Credit: "suspense", Amount: good.Amount, Currency: money.INR, Reason: "r", Maker: "a", Checker: "a"},
		{About: "brk_1", Debit: "merchant:m:available", Credit: "suspense", Amount: good.Amount, Currency: money.INR, Reason: "r", Maker: "a", Checker: "b"},
	} {
		if (&Books{}).Again(e, now) == nil {
			t.Errorf("%+v could have been decided", e)
		}
	}
}

// Whatever is closed and reopened: closes that stand end behind each other, and Posted and Freezing agree with their definitions.
func TestClosingsAgree(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		b := &Books{}
		at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		seq := int64(0)
		for range rapid.IntRange(0, 12).Draw(r, "steps") {
			seq += rapid.Int64Range(0, 3).Draw(r, "records")
			if rapid.IntRange(0, 3).Draw(r, "what") == 0 {
				if last, closed := b.Last(); closed {
					b.Evolve(&Reopened{Number: last.Number, Name: last.Name})
				}
				continue
			}
			to := at
			if last, closed := b.Last(); closed {
				to = last.To.Add(time.Duration(rapid.IntRange(1, 3).Draw(r, "hours")) * time.Hour)
			}
			b.Evolve(&Closed{Number: b.Number + 1, Period: Period{Name: "p", To: to}, Trial: Trial{Positions: []Mark{{0, seq}}}})
		}
		for i := 1; i < len(b.Closes); i++ {
			if !b.Closes[i-1].To.Before(b.Closes[i].To) || b.Closes[i-1].Marks[0].Seq > b.Closes[i].Marks[0].Seq {
				r.Fatalf("%+v", b.Closes)
			}
		}
		value := at.Add(time.Duration(rapid.IntRange(-2, 40).Draw(r, "value")) * time.Hour)
		mark := Mark{0, rapid.Int64Range(1, seq+1).Draw(r, "seq")}
		want := value
		for _, c := range b.Closes {
			if c.Marks[0].Seq < mark.Seq && want.Before(c.To) {
				want = c.To
			}
		}
		got, late := b.Closes.Posted(value, mark)
		if !got.Equal(want) || (late != nil) != !want.Equal(value) || late != nil && !late.To.Equal(want) {
			r.Fatalf("%s at %s is posted at %s (%+v), want %s; closes %+v", value, mark, got, late, want, b.Closes)
		}
		before := at.Add(time.Duration(rapid.IntRange(-2, 40).Draw(r, "moment")) * time.Hour)
		c := b.Closes.Freezing(before)
		if counts := value.Before(before) && (c == nil || mark.Seq <= c.Marks[0].Seq); counts != got.Before(before) {
			r.Fatalf("%s at %s is posted at %s, and by the close of %s it counts: %v", value, mark, got, before, counts)
		}
	})
}

func TestCanon(t *testing.T) {
	to := time.Date(2026, 3, 31, 18, 30, 0, 0, time.UTC)
	var text bytes.Buffer
	c := NewCanon(to, []Mark{{0, 120}, {1, 88}}, &text)
	c.Add(0, "adjustments", money.MustParse("1000", money.INR))
	c.Add(0, "merchant:mer_x:available", money.MustParse("-990", money.INR))
	c.Add(0, "suspense", money.Zero(money.INR))
	c.Add(1, "adjustments", money.MustParse("-10.00", money.INR))
	c.Add(1, "tax:gst", money.MustParse("5.000", "KWD"))
	got, err := c.Trial()
	const want = "trial balance before 2026-03-31T18:30:00Z\npositions 0:120 1:88\n0\tINR\tadjustments\t1000.00\n0\tINR\tmerchant:mer_x:available\t-990.00\n" +
		"1\tINR\tadjustments\t-10.00\n1\tKWD\ttax:gst\t5.000\n"
	sum := sha256.Sum256([]byte(want))
	if err != nil || text.String() != want || got.Digest != hex.EncodeToString(sum[:]) || got.Accounts != 4 || len(got.Totals) != 3 {
		t.Fatalf("%+v (%v)\n%s", got, err, text.String())
	}
	if a := got.Totals[0]; a.Kind != Adjustments || a.Debit.Fixed() != "1000.00" || a.Credit.Fixed() != "10.00" {
		t.Errorf("%+v", a)
	}
	c = NewCanon(to, nil, io.Discard)
	c.Add(0, "cash", money.MustParse("1", money.INR))
	if _, err := c.Trial(); err == nil {
		t.Error("an account of no chart is taken")
	}
}
