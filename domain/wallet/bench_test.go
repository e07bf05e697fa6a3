package wallet

import (
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
)

// life is the events of a payout, with texts as long as real ones.
func life() []Event {
	of := Of{Merchant: "mer_7q2k9d4m1x8cw5n3", Currency: money.INR, Payment: "txn_z9y8x7w6v5u4t3s2"}
	priced := priced("5000.00", "10.00", "1.53")
	sealed := "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAhIiMkJSYnKCkqKywtLi8wMTIzNDU2Nzg5Ojs8PT4/QEFCQ0RFRkdISUpLTE1OT1BRUlNUVVZXWFlaW1xdXl9g"
	return []Event{
		&PayoutInitiated{
			Of: of, Priced: priced, RequestID: "PRQ-20260331-000077", IFSC: "HDFC0001234", BankName: "HDFC Bank",
			AccountLast4: "4321", AccountFingerprint: "9f86d081884c7d65", TransferType: "5", Sealed: sealed,
		},
		&PayoutSubmitted{Of: of, Attempt: 1, Gateway: "sandbox", Reference: of.Payment},
		&PayoutSucceeded{Of: of, Priced: priced, Gateway: "sandbox", UTR: "608912345678", BankReference: "SBX-0000000001"},
	}
}

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
	for _, e := range life() {
		b.Run(e.Type(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Encode(e); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkEncoder writes into memory that is there already.
func BenchmarkEncoder(b *testing.B) {
	var x Encoder
	e, scratch := life()[0], make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := x.Append(scratch, e); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, e := range life() {
		data, err := Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(e.Type(), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(e.Type(), 1, data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkFold reads a wallet's history and folds it, as a start without a snapshot does.
func BenchmarkFold(b *testing.B) {
	var history []row
	for _, e := range life() {
		data, err := Encode(e)
		if err != nil {
			b.Fatal(err)
		}
		history = append(history, row{typ: e.Type(), schema: e.Schema(), data: data})
	}
	of := life()[0].Header()
	w, events := NewWallet(of.Merchant, of.Currency), 0
	b.ReportAllocs()
	for b.Loop() {
		s := history[events%len(history)]
		e, err := Decode(s.typ, s.schema, s.data)
		if err != nil {
			b.Fatal(err)
		}
		w.Evolve(e)
		events++
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
}

func BenchmarkPostings(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if len(Postings(paid)) != 4 {
			b.Fatal("a payout's success has four lines")
		}
	}
}

// BenchmarkPack is what a payment kept in memory costs at each event: it is unpacked, changed and packed again.
func BenchmarkPack(b *testing.B) {
	_, p := given{
		&PayoutInitiated{
			Of: payout, Priced: priced("1000", "10", "1.53"), RequestID: "PAYOUT-2026-7q2k9d4m1x8cw5n3", IFSC: "SBIN0001234",
			BankName: "State Bank of India", AccountLast4: "7890", TransferType: "5", Sealed: strings.Repeat("c2VhbGVk", 20),
		},
		&PayoutSubmitted{Of: payout, Attempt: 1, Gateway: "bank", Reference: payout.Payment},
	}.state(payout)
	p.SealID = "0192f0c4-7a3e-7cc0-98a1-4f1f6f3b9c55"
	packed := p.Pack()
	b.ReportMetric(float64(len(packed)), "bytes")
	b.ReportAllocs()
	for b.Loop() {
		packed.Unpack(p)
		packed = p.Pack()
	}
}
