package gateway

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/wallet"
)

var stepPolicy = Policy{
	SendTimeout: 10 * time.Second, InquiryTimeout: 5 * time.Second, FirstInquiry: 2 * time.Second, MaxInquiryGap: time.Minute,
	ResendGap: 20 * time.Second, MaxSends: 3, QuietWindow: 5 * time.Minute, Concurrency: 1,
}

func TestNextStep(t *testing.T) {
	t.Parallel()
	sent := time.Date(2026, 3, 31, 18, 0, 0, 0, time.UTC)
	at := func(s int) time.Time { return sent.Add(time.Duration(s) * time.Second) }
	payout := func(attempts int) wallet.Payment {
		return wallet.Payment{Kind: wallet.KindPayout, Status: wallet.Pending, Attempts: attempts, SubmittedAt: sent}
	}
	settled := payout(1)
	settled.Status = wallet.Success
	for _, c := range []struct {
		name string
		p    wallet.Payment
		seen Seen
		now  time.Time
		want Step
	}{
		{"does not exist", wallet.Payment{}, Seen{}, at(0), Step{Act: Done}},
		{"a payin", wallet.Payment{Kind: wallet.KindPayin, Status: wallet.Pending}, Seen{}, at(0), Step{Act: Done}},
		{"settled", settled, Seen{Attempt: 1, Last: NotFound, At: at(900)}, at(900), Step{Act: Done}},
		{"new", payout(0), Seen{}, at(0), Step{Act: Submit, Attempt: 1}},
		{"sent, nothing known, too early", payout(1), Seen{Attempt: 1}, at(1), Step{Act: Wait, At: at(2)}},
		{"sent, nothing known", payout(1), Seen{Attempt: 1}, at(2), Step{Act: Inquire}},
		{"sent by a process that died, memory of an earlier attempt", payout(2), Seen{Attempt: 1, Last: NotFound, At: at(-5)}, at(2), Step{Act: Inquire}},
		{"the send took until its timeout", payout(1), Seen{Attempt: 1, At: at(10)}, at(11), Step{Act: Wait, At: at(12)}},
		{"asked twice", payout(1), Seen{Attempt: 1, At: at(10), Asked: 2}, at(11), Step{Act: Wait, At: at(18)}},
		{"asked for ever", payout(1), Seen{Attempt: 1, At: at(10_000), Asked: 5000}, at(10_000), Step{Act: Wait, At: at(10_060)}},
		{"pending for ever", payout(1), Seen{Attempt: 1, Last: Pending, At: at(999_999), Asked: 500}, at(1_000_059), Step{Act: Inquire}},
		{"not found, too early to send again", payout(1), Seen{Attempt: 1, Last: NotFound, At: at(3), Asked: 1, Missing: at(3)}, at(4), Step{Act: Wait, At: at(20)}},
		{"not found", payout(1), Seen{Attempt: 1, Last: NotFound, At: at(3), Asked: 1, Missing: at(3)}, at(20), Step{Act: Submit, Attempt: 2}},
		{"not found, all sends used", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(100), Asked: 1, Missing: at(3)}, at(104), Step{Act: Inquire}},
		{"not found, the end of the window is near", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(290), Asked: 9, Missing: at(3)}, at(291), Step{Act: Wait, At: at(303)}},
		{"the window is over, but nobody asked since", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(290), Asked: 9, Missing: at(3)}, at(400), Step{Act: Inquire}},
		{"the window is over without a trace", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(303), Asked: 9, Missing: at(3), Denied: at(303)}, at(303), Step{Act: GiveUp}},
		{"the window is over, the question behind it had no answer", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(303), Asked: 9, Missing: at(3), Denied: at(290)}, at(303), Step{Act: Wait, At: at(363)}},
		{"and is asked again", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(303), Asked: 9, Missing: at(3), Denied: at(290)}, at(363), Step{Act: Inquire}},
		{"the window starts with the last trace", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(400), Asked: 0, Missing: at(200)}, at(402), Step{Act: Inquire}},
		{"more attempts than sends are allowed", payout(7), Seen{Attempt: 7, Last: NotFound, At: at(303), Missing: at(3), Denied: at(303)}, at(303), Step{Act: GiveUp}},
		{"the clock was set back since it was asked", payout(1), Seen{Attempt: 1, At: at(90_000)}, at(0), Step{Act: Wait, At: at(2)}},
		{"the clock was set back since it was sent", payout(1), Seen{Attempt: 1}, at(-90_000), Step{Act: Inquire}},
		{"the same, and it was asked", payout(1), Seen{Attempt: 1, At: at(-90_000), Asked: 1}, at(-90_000), Step{Act: Wait, At: at(-89_996)}},
		{"the same, not found", payout(1), Seen{Attempt: 1, Last: NotFound, At: at(-90_000), Asked: 1, Missing: at(-90_000)}, at(-89_990), Step{Act: Wait, At: at(-89_980)}},
		{"the same, not found for long", payout(1), Seen{Attempt: 1, Last: NotFound, At: at(-90_000), Asked: 1, Missing: at(-90_000)}, at(-89_980), Step{Act: Submit, Attempt: 2}},
		{"the clock was set back since it was not found", payout(1), Seen{Attempt: 1, Last: NotFound, At: at(30), Asked: 1, Missing: at(30)}, at(25), Step{Act: Inquire}},
		{"the same, all sends used", payout(3), Seen{Attempt: 3, Last: NotFound, At: at(900), Asked: 9, Missing: at(3), Denied: at(900)}, at(400), Step{Act: Inquire}},
	} {
		if got := NextStep(c.p, c.seen, c.now, stepPolicy); got != c.want {
			t.Errorf("%s: %+v, want %+v", c.name, got, c.want)
		}
	}
}

func TestSeenInquired(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	s := Seen{Attempt: 1}.inquired(NotFound, at(1)).inquired("", at(2)).inquired(NotFound, at(3))
	if s.Last != NotFound || !s.Missing.Equal(at(1)) || !s.Denied.Equal(at(3)) || s.Asked != 3 || !s.At.Equal(at(3)) {
		t.Errorf("no answer in between: %+v", s)
	}
	if none := s.inquired("", at(4)); !none.Denied.Equal(at(3)) {
		t.Errorf("no answer counts as one: %+v", none)
	}
	if back := s.inquired(NotFound, at(0)); !back.Missing.Equal(at(0)) {
		t.Errorf("the clock was set back: %+v", back)
	}
	s = s.inquired(Pending, at(4))
	if s.Last != Pending || !s.Missing.IsZero() {
		t.Errorf("a trace: %+v", s)
	}
	if s = s.inquired("", at(5)); s.Last != Pending {
		t.Errorf("no answer after a trace: %+v", s)
	}
	if s = s.inquired(NotFound, at(6)); !s.Missing.Equal(at(6)) {
		t.Errorf("lost again: %+v", s)
	}
}

// simulate drives NextStep against a bank, on a clock of its own, and checks the rules of doc.go on the way. It returns how
// long it took until the payout ended, and how; ended is false when it was still pending after limit.
func simulate(t interface{ Fatalf(string, ...any) }, policy Policy, bank func(act Act, attempt int, now time.Time) State, forget func() bool, limit time.Duration) (took time.Duration, ended bool, how State) {
	start := time.Date(2026, 3, 31, 18, 0, 0, 0, time.UTC)
	now := start
	p := wallet.Payment{Kind: wallet.KindPayout, Status: wallet.Pending}
	seen := Seen{}
	trace := start // last send, or last answer that showed a trace
	var last State // answer to the last inquiry; "" when it had none
	for steps := 0; now.Sub(start) < limit; steps++ {
		if steps > 100_000 {
			t.Fatalf("it does not come to rest")
		}
		if forget() {
			seen = Seen{}
		}
		step := NextStep(p, seen, now, policy)
		switch step.Act {
		case Wait:
			if !step.At.After(now) {
				t.Fatalf("waits until %s at %s", step.At, now)
			}
			now = step.At
		case Submit:
			if step.Attempt != p.Attempts+1 || step.Attempt > policy.MaxSends {
				t.Fatalf("attempt %d after %d", step.Attempt, p.Attempts)
			}
			p.Attempts, p.SubmittedAt, trace = step.Attempt, now, now
			answer := bank(Submit, step.Attempt, now)
			seen = Seen{Attempt: step.Attempt, At: now}
			if answer == Pending {
				seen.Last = Pending
			}
			if answer.Definite() {
				return now.Sub(start), true, answer
			}
		case Inquire:
			answer := bank(Inquire, p.Attempts, now)
			if seen.Attempt != p.Attempts {
				seen = Seen{Attempt: p.Attempts}
			}
			seen, last = seen.inquired(answer, now), answer
			if answer == Pending {
				trace = now
			}
			if answer.Definite() {
				return now.Sub(start), true, answer
			}
		case GiveUp:
			if last != NotFound || seen.Last != NotFound || now.Sub(trace) < policy.QuietWindow || p.Attempts < policy.MaxSends {
				t.Fatalf("given up %s after the last trace, after %d sends, last seen %q", now.Sub(trace), p.Attempts, seen.Last)
			}
			return now.Sub(start), true, NotFound
		case Done:
			t.Fatalf("done while pending")
		}
	}
	return limit, false, ""
}

// Whatever the bank answers and whatever is forgotten: never given up with a trace or too early, never sent too often, and at
// rest in between.
func TestNextStepKeepsTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		states := []State{"", "", Pending, NotFound, NotFound, NotFound, NotFound, NotFound}
		simulate(t, stepPolicy, func(act Act, _ int, _ time.Time) State {
			s := rapid.SampledFrom(states).Draw(t, "answer")
			if act == Submit && s == NotFound {
				return ""
			}
			return s
		}, func() bool { return rapid.IntRange(0, 9).Draw(t, "forget") == 0 }, 2*time.Hour)
	})
}

// With SandboxPolicy every behaviour of the sandbox bank ends within ten seconds; the bank takes a second where it waits.
func TestSandboxPolicyIsShort(t *testing.T) {
	t.Parallel()
	never := func() bool { return false }
	var first time.Time
	for name, bank := range map[string]func(act Act, attempt int, now time.Time) State{
		"03 pays and never answers": func(act Act, _ int, _ time.Time) State {
			if act == Inquire {
				return Paid
			}
			return ""
		},
		"04 never pays": func(act Act, _ int, _ time.Time) State {
			if act == Inquire {
				return NotFound
			}
			return ""
		},
		"09 fails after a second, and its callback is lost": func(act Act, _ int, now time.Time) State {
			if act == Submit {
				first = now
			}
			if now.Sub(first) < time.Second {
				return Pending
			}
			return Failed
		},
		"10 fails twice": func(act Act, attempt int, _ time.Time) State {
			if act == Inquire {
				return NotFound
			}
			if attempt < 3 {
				return ""
			}
			return Paid
		},
	} {
		took, ended, how := simulate(t, SandboxPolicy(), bank, never, time.Minute)
		if !ended || took > 10*time.Second*4/5 { // jitter puts waits off by a quarter at most
			t.Errorf("%s: %v %q after %s", name, ended, how, took)
		}
	}
	pending := func(Act, int, time.Time) State { return Pending }
	if _, ended, _ := simulate(t, DefaultPolicy(), pending, never, 90*24*time.Hour); ended {
		t.Error("08 pending for ever has ended")
	}
}

func TestPolicyCheck(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*Policy){
		"no timeout":     func(p *Policy) { p.SendTimeout = 0 },
		"no gap":         func(p *Policy) { p.ResendGap = 0 },
		"gaps shrink":    func(p *Policy) { p.MaxInquiryGap = p.FirstInquiry - 1 },
		"no sends":       func(p *Policy) { p.MaxSends = 0 },
		"too many sends": func(p *Policy) { p.MaxSends = wallet.MaxAttempts + 1 },
		"short window":   func(p *Policy) { p.QuietWindow = p.SendTimeout },
		"no concurrency": func(p *Policy) { p.Concurrency = 0 },
	} {
		p := DefaultPolicy()
		spoil(&p)
		if p.Check() == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
