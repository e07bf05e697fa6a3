package eventstore_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// ledger is the id of the golden chain.
func ledger() uuid.UUID { return uuid.MustParse("0192f0c4-7d3a-7c1e-9b55-3f2a6c8e1d00") }

func genesis() eventstore.Head {
	return eventstore.Head{Partition: 2, Hash: eventstore.Genesis(ledger(), 2)}
}

// goldenRecords are three records with every kind of field.
func goldenRecords() []eventstore.Record {
	at := time.Date(2026, 3, 31, 18, 0, 0, 123456789, time.FixedZone("IST", 19800))
	records := []eventstore.Record{
		{
			Stream: "wallet:mer_1:INR", Version: 1, Subject: "pay_1", Type: "payin.succeeded", Schema: 1,
			EffectiveAt: at, RecordedAt: at, Data: []byte(`{"amount":"1000.00"}`), Meta: []byte(`{"cmd":"c"}`),
		},
		{
			Stream: "wallet:mer_1:INR", Version: 2, Subject: "भुगतान", Type: "payout.initiated", Schema: 3,
			EffectiveAt: time.Date(1947, 8, 15, 0, 0, 0, 1000, time.UTC), RecordedAt: at.Add(-time.Hour),
			Keys: []string{"order:o-1", "idem:2"}, Data: []byte(`{}`),
			Evidence: []eventstore.Evidence{{MediaType: "application/json", Body: []byte(`{"a":1}`)}, {MediaType: "text/plain"}},
		},
		{
			Stream: "mer_1", Version: 7, Subject: "mer_1", Type: "merchant.suspended", Schema: 1,
			EffectiveAt: at, RecordedAt: at.Add(time.Second),
		},
	}
	for i := range records {
		records[i].EventID = uuid.MustParse("0192f0c4-7d3a-7c1e-9b55-3f2a6c8e1d0" + string(rune('1'+i)))
	}
	return records
}

// TestChainGolden: the hashes of a log must never change, or every log that exists would be broken. The file was computed
// by another program from the description of the canonical bytes; it is never written anew.
func TestChainGolden(t *testing.T) {
	records := goldenRecords()
	head := eventstore.Chain(genesis(), records)
	got := []string{genesis().Hash.String()}
	for i := range records {
		got = append(got, records[i].Hash.String())
	}
	want, err := os.ReadFile("testdata/chain.golden")
	if err != nil {
		t.Fatal(err)
	}
	if g := strings.Join(got, "\n") + "\n"; g != string(want) {
		t.Errorf("hashes:\n%swant:\n%s", g, want)
	}
	if head.Seq != 3 || head.Hash != records[2].Hash || head.Partition != 2 || !head.RecordedAt.Equal(records[2].RecordedAt) {
		t.Errorf("head %+v", head)
	}
}

func TestChainPlaces(t *testing.T) {
	records := goldenRecords()
	eventstore.Chain(genesis(), records)
	for i := range records {
		if records[i].Position() != (eventstore.Position{Partition: 2, Seq: int64(i + 1)}) {
			t.Errorf("record %d is at %s", i, records[i].Position())
		}
	}
	if !records[1].RecordedAt.Equal(records[0].RecordedAt) {
		t.Error("the clock went back")
	}
	if len(records[1].EvidenceDigests) != 2 || records[1].EvidenceDigests[0] != records[1].Evidence[0].Digest() {
		t.Error("the digests are not the evidence's")
	}
	if _, err := eventstore.Follow(genesis(), records); err != nil {
		t.Error(err)
	}
}

// TestFollow: no change of any field, and no change of order, goes unnoticed.
func TestFollow(t *testing.T) {
	for name, spoil := range map[string]func(r []eventstore.Record) []eventstore.Record{
		"stream":   func(r []eventstore.Record) []eventstore.Record { r[1].Stream += "x"; return r },
		"version":  func(r []eventstore.Record) []eventstore.Record { r[1].Version++; return r },
		"subject":  func(r []eventstore.Record) []eventstore.Record { r[1].Subject = "p"; return r },
		"type":     func(r []eventstore.Record) []eventstore.Record { r[1].Type = "payout.failed"; return r },
		"schema":   func(r []eventstore.Record) []eventstore.Record { r[1].Schema++; return r },
		"event id": func(r []eventstore.Record) []eventstore.Record { r[1].EventID[0]++; return r },
		"effective at": func(r []eventstore.Record) []eventstore.Record {
			r[1].EffectiveAt = r[1].EffectiveAt.Add(time.Microsecond)
			return r
		},
		"recorded at": func(r []eventstore.Record) []eventstore.Record {
			r[1].RecordedAt = r[1].RecordedAt.Add(time.Microsecond)
			return r
		},
		"keys":       func(r []eventstore.Record) []eventstore.Record { r[1].Keys = r[1].Keys[:1]; return r },
		"data":       func(r []eventstore.Record) []eventstore.Record { r[1].Data = []byte(`{ }`); return r },
		"meta":       func(r []eventstore.Record) []eventstore.Record { r[0].Meta[2]++; return r },
		"digest":     func(r []eventstore.Record) []eventstore.Record { r[1].EvidenceDigests[1][31]++; return r },
		"digests":    func(r []eventstore.Record) []eventstore.Record { r[1].EvidenceDigests = nil; return r },
		"hash":       func(r []eventstore.Record) []eventstore.Record { r[1].Hash[0]++; return r },
		"partition":  func(r []eventstore.Record) []eventstore.Record { r[1].Partition++; return r },
		"position":   func(r []eventstore.Record) []eventstore.Record { r[1].Seq++; return r },
		"deletion":   func(r []eventstore.Record) []eventstore.Record { return append(r[:1], r[2]) },
		"repetition": func(r []eventstore.Record) []eventstore.Record { return append(r[:2], r[1:]...) },
		"order":      func(r []eventstore.Record) []eventstore.Record { r[1], r[2] = r[2], r[1]; return r },
		"moved bytes": func(r []eventstore.Record) []eventstore.Record {
			r[1].Stream, r[1].Subject = r[1].Stream[:4], r[1].Stream[4:]+r[1].Subject
			return r
		},
		"chained with time going back": func(r []eventstore.Record) []eventstore.Record {
			r[2].RecordedAt = r[1].RecordedAt.Add(-time.Hour)
			r[2].Hash, _ = r[2].Next(r[1].Hash, nil)
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			records := goldenRecords()
			eventstore.Chain(genesis(), records)
			if _, err := eventstore.Follow(genesis(), spoil(records)); !errors.Is(err, eventstore.ErrBroken) {
				t.Errorf("got %v, want ErrBroken", err)
			}
		})
	}
	records := goldenRecords()
	eventstore.Chain(genesis(), records)
	other := eventstore.Head{Partition: 2, Hash: eventstore.Genesis(uuid.New(), 2)}
	if head, err := eventstore.Follow(other, records); !errors.Is(err, eventstore.ErrBroken) || head != other {
		t.Errorf("another ledger's history: %+v, %v", head, err)
	}
}

func TestParseHash(t *testing.T) {
	hash := genesis().Hash
	if got, err := eventstore.ParseHash(hash.String()); err != nil || got != hash {
		t.Errorf("%s, %v", got, err)
	}
	for _, wrong := range []string{"", "zz", hash.String()[2:], hash.String() + "00", strings.Repeat("g", 64)} {
		if _, err := eventstore.ParseHash(wrong); err == nil {
			t.Errorf("%q is read as a hash", wrong)
		}
	}
}
