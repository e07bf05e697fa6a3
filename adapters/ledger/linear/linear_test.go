package linear

import (
	"errors"
	"slices"
	"strings"
	"testing"
)

// line is an operation of a history that is written down: from its call to its return, which is 0 when it has none.
type line struct {
	from, to int64
	in       Input
	out      Output
}

func history(replays bool, lines []line) *History {
	h := New(replays)
	for client, l := range lines {
		if l.to == 0 {
			l.to = h.Never()
		}
		h.Add(client, l.in, l.out, l.from, l.to)
	}
	return h
}

func shown(available, locked int64) Output {
	return Output{Shown: true, Available: available, Locked: locked}
}

func ended(k Kind) Output { return Output{Kind: k} }

func pay(ref string, amount int64) Input { return Input{Op: Pay, Ref: ref, Amount: amount} }

func under(key string, in Input) Input {
	in.Key = key
	return in
}

// TestVerdicts is the test of the test: histories that a wallet can have, and such as it cannot.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	fund := line{1, 2, Input{Op: Adjust, Amount: 1000}, shown(1000, 0)}
	look := func(from, to, available, locked int64) line {
		return line{from, to, Input{Op: Look}, shown(available, locked)}
	}
	for name, c := range map[string]struct {
		linear bool
		lines  []line
	}{
		"nothing":                        {true, nil},
		"one after the other":            {true, []line{fund, {3, 4, pay("a", 300), ended(Done)}, look(5, 6, 700, 300)}},
		"read beside, from before":       {true, []line{fund, {3, 8, pay("a", 300), ended(Done)}, look(4, 5, 1000, 0), look(6, 7, 700, 300)}},
		"a stale read":                   {false, []line{fund, {3, 4, pay("a", 300), ended(Done)}, look(5, 6, 1000, 0)}},
		"back in time":                   {false, []line{fund, {3, 8, pay("a", 300), ended(Done)}, look(4, 5, 700, 300), look(6, 7, 1000, 0)}},
		"half of it":                     {false, []line{fund, {3, 8, pay("a", 300), ended(Done)}, look(4, 5, 700, 0)}},
		"lost":                           {false, []line{fund, {3, 4, pay("a", 300), ended(Done)}, {5, 6, pay("b", 200), ended(Done)}, look(7, 8, 800, 200)}},
		"more than there is":             {false, []line{fund, {3, 9, pay("a", 600), ended(Done)}, {4, 8, pay("b", 600), ended(Done)}}},
		"one of two":                     {true, []line{fund, {3, 9, pay("a", 600), ended(Done)}, {4, 8, pay("b", 600), ended(Poor)}}},
		"refused for no reason":          {false, []line{fund, {3, 4, pay("a", 300), ended(Poor)}}},
		"a reference twice":              {false, []line{fund, {3, 9, pay("a", 300), ended(Done)}, {4, 8, pay("a", 300), ended(Done)}}},
		"a reference that is refused":    {true, []line{fund, {3, 9, pay("a", 300), ended(Done)}, {4, 8, pay("a", 200), ended(TakenRef)}}},
		"a free reference is refused":    {false, []line{fund, {3, 4, pay("a", 300), ended(TakenRef)}}},
		"unknown, and took effect":       {true, []line{fund, {3, 0, pay("a", 300), ended(Unknown)}, look(5, 6, 1000, 0), look(7, 8, 700, 300)}},
		"unknown, and took none":         {true, []line{fund, {3, 0, pay("a", 300), ended(Unknown)}, look(5, 6, 1000, 0)}},
		"unknown, and took effect twice": {false, []line{fund, {3, 0, pay("a", 300), ended(Unknown)}, look(7, 8, 400, 600)}},
		"unknown, and was undone":        {false, []line{fund, {3, 0, pay("a", 300), ended(Unknown)}, look(5, 6, 700, 300), look(7, 8, 1000, 0)}},
		"before it was asked for":        {false, []line{fund, look(3, 4, 700, 300), {5, 6, pay("a", 300), ended(Done)}}},
		"refused as absent, and there":   {false, []line{fund, {3, 4, pay("a", 300), ended(Absent)}, look(5, 6, 700, 300)}},
		"settled":                        {true, []line{fund, {3, 8, pay("a", 300), ended(Done)}, {3, 8, Input{Op: Settle, Ref: "a"}, ended(Done)}, look(9, 10, 700, 0)}},
		"settled twice":                  {false, []line{fund, {3, 4, pay("a", 300), ended(Done)}, {5, 6, Input{Op: Settle, Ref: "a"}, ended(Done)}, {5, 6, Input{Op: Settle, Ref: "a"}, ended(Done)}, look(9, 10, 700, -300)}},
		"told of twice":                  {true, []line{fund, {3, 4, pay("a", 300), ended(Done)}, {5, 6, Input{Op: Refund, Ref: "a"}, ended(Done)}, {5, 6, Input{Op: Refund, Ref: "a"}, ended(Done)}, look(9, 10, 1000, 0)}},
		"settled and not begun":          {false, []line{fund, {3, 4, Input{Op: Settle, Ref: "a"}, ended(Done)}}},
		"collected":                      {true, []line{{1, 2, Input{Op: Create, Ref: "o", Amount: 99}, ended(Done)}, {3, 0, Input{Op: Collect, Ref: "o"}, ended(Unknown)}, look(5, 6, 0, 0), look(7, 8, 99, 0)}},
		"collected twice":                {false, []line{{1, 2, Input{Op: Create, Ref: "o", Amount: 99}, ended(Done)}, {3, 4, Input{Op: Collect, Ref: "o"}, ended(Done)}, look(7, 8, 198, 0)}},
		"a key replayed":                 {true, []line{fund, {3, 4, under("k", pay("a", 300)), ended(Done)}, {5, 6, under("k", pay("a", 300)), ended(Done)}, look(7, 8, 700, 300)}},
		"a key replayed, paid twice":     {false, []line{fund, {3, 4, under("k", pay("a", 300)), ended(Done)}, {5, 6, under("k", pay("a", 300)), ended(Done)}, look(7, 8, 400, 600)}},
		"a key for another request":      {true, []line{fund, {3, 4, under("k", pay("a", 300)), ended(Done)}, {5, 6, under("k", pay("b", 300)), ended(TakenKey)}}},
		"a key for another is accepted":  {false, []line{fund, {3, 4, under("k", pay("a", 300)), ended(Done)}, {5, 6, under("k", pay("b", 300)), ended(Done)}}},
		"a refusal binds the key":        {false, []line{{1, 2, under("k", pay("a", 300)), ended(Poor)}, {3, 4, Input{Op: Adjust, Amount: 1000}, shown(1000, 0)}, {5, 6, under("k", pay("b", 300)), ended(TakenKey)}}},
		"unknown under a key, then told": {true, []line{fund, {3, 0, under("k", pay("a", 300)), ended(Unknown)}, {5, 6, under("k", pay("a", 300)), ended(Done)}, look(7, 8, 700, 300)}},
	} {
		err := history(true, c.lines).Check()
		if (err == nil) != c.linear || !c.linear && !errors.Is(err, ErrNotLinear) {
			t.Errorf("%s: %v", name, err)
		}
	}
	again := []line{fund, {3, 4, under("k", pay("a", 300)), ended(Done)}, {5, 6, under("k", pay("a", 300)), ended(TakenKey)}}
	if err := history(false, again).Check(); err != nil {
		t.Errorf("without replays: %v", err)
	}
	if err := history(true, again).Check(); err == nil {
		t.Error("a replay may be refused")
	}
}

// TestText: who reads a verdict finds what was done, by call.
func TestText(t *testing.T) {
	t.Parallel()
	h := history(true, []line{
		{5, 6, Input{Op: Look}, shown(1, 23456)}, {3, 0, under("k", pay("a", 30005)), ended(Unknown)}, {1, 2, Input{Op: Adjust, Amount: -250}, ended(Poor)},
	})
	got := strings.Split(h.text(), "\n")
	want := []string{
		"1..2 client 2: adjust  -2.50: too poor", "3..- client 1: pay a 300.05 under k: unknown", "5..6 client 0: look  0.00: done, 0.01 available, 234.56 locked", "",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	if err := h.Check(); !errors.Is(err, ErrNotLinear) || !strings.Contains(err.Error(), want[1]) {
		t.Error(err)
	}
	if counts := h.Counts(); counts[Done] != 1 || counts[Unknown] != 1 || counts[Poor] != 1 || len(counts) != 3 {
		t.Error(counts)
	}
}
