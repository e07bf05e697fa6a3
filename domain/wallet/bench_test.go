package wallet

import (
	"testing"
)

func BenchmarkDecideEvolvePayout(b *testing.B) {
	w := NewWallet("mer_1", inr("0").Currency())
	w.Available = inr("1000000000000")
	commands := []Command{
		initiateCommand(nil),
		SubmitPayout{Base: at(payout), Attempt: 1, Gateway: "sandbox"},
		ReportPayout{Base: at(payout), Gateway: "sandbox", Outcome: OutcomePaid, UTR: "1", BankReference: "B1"},
	}
	b.ReportAllocs()
	for b.Loop() {
		p := &Payment{}
		for _, c := range commands {
			events, err := Decide(w, p, c)
			if err != nil {
				b.Fatal(err)
			}
			for _, e := range events {
				w.Evolve(e)
				p.Evolve(e, noon)
			}
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Encode(initiated); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	data, err := Encode(initiated)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Decode("payout.initiated", 1, data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPostings(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if len(Postings(paid)) != 4 {
			b.Fatal("a payout's success has four lines")
		}
	}
}
