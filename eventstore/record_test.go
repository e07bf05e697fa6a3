package eventstore_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// full is a record at all of its bounds.
func full() eventstore.Record {
	r := eventstore.Record{
		Stream: strings.Repeat("s", eventstore.MaxNameBytes), Subject: strings.Repeat("p", eventstore.MaxNameBytes),
		Type: strings.Repeat("t", eventstore.MaxNameBytes), Version: 1, Schema: 1, EventID: uuid.New(),
		EffectiveAt: time.Now(), RecordedAt: time.Now(),
		Data: make([]byte, eventstore.MaxDataBytes), Meta: make([]byte, eventstore.MaxDataBytes),
	}
	for range eventstore.MaxKeys {
		r.Keys = append(r.Keys, strings.Repeat("k", eventstore.MaxKeyBytes))
	}
	body := make([]byte, eventstore.MaxEvidenceBytes)
	for range eventstore.MaxEvidence {
		r.Evidence = append(r.Evidence, eventstore.Evidence{MediaType: strings.Repeat("m", eventstore.MaxNameBytes), Body: body})
	}
	return r
}

func TestCheckBounds(t *testing.T) {
	for name, change := range map[string]func(*eventstore.Record){
		"at all bounds":  func(*eventstore.Record) {},
		"least":          func(r *eventstore.Record) { r.Stream, r.Subject, r.Type, r.Keys, r.Evidence = "s", "p", "t", nil, nil },
		"no data":        func(r *eventstore.Record) { r.Data, r.Meta = nil, nil },
		"odd text":       func(r *eventstore.Record) { r.Stream, r.Keys[0] = "a\n'\"\\%₹", "a\r\tb₹" },
		"empty evidence": func(r *eventstore.Record) { r.Evidence[0].Body = nil },
	} {
		r := full()
		change(&r)
		if err := r.Check(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, spoil := range map[string]func(*eventstore.Record){
		"long stream":             func(r *eventstore.Record) { r.Stream += "s" },
		"long subject":            func(r *eventstore.Record) { r.Subject += "p" },
		"long type":               func(r *eventstore.Record) { r.Type += "t" },
		"no stream":               func(r *eventstore.Record) { r.Stream = "" },
		"no subject":              func(r *eventstore.Record) { r.Subject = "" },
		"no type":                 func(r *eventstore.Record) { r.Type = "" },
		"stream not UTF-8":        func(r *eventstore.Record) { r.Stream = "\xff" },
		"type with a zero byte":   func(r *eventstore.Record) { r.Type = "a\x00" },
		"no version":              func(r *eventstore.Record) { r.Version = 0 },
		"negative version":        func(r *eventstore.Record) { r.Version = math.MinInt64 },
		"no schema":               func(r *eventstore.Record) { r.Schema = 0 },
		"no event id":             func(r *eventstore.Record) { r.EventID = uuid.Nil },
		"no effective time":       func(r *eventstore.Record) { r.EffectiveAt = time.Time{} },
		"no recorded time":        func(r *eventstore.Record) { r.RecordedAt = time.Time{} },
		"too many keys":           func(r *eventstore.Record) { r.Keys = append(r.Keys, "k") },
		"long key":                func(r *eventstore.Record) { r.Keys[3] += "k" },
		"empty key":               func(r *eventstore.Record) { r.Keys[3] = "" },
		"key with a line feed":    func(r *eventstore.Record) { r.Keys[3] = "a\nb" },
		"key not UTF-8":           func(r *eventstore.Record) { r.Keys[3] = "\xc3(" },
		"much data":               func(r *eventstore.Record) { r.Data = append(r.Data, ' ') },
		"much meta":               func(r *eventstore.Record) { r.Meta = append(r.Meta, ' ') },
		"much evidence":           func(r *eventstore.Record) { r.Evidence = append(r.Evidence, eventstore.Evidence{MediaType: "x"}) },
		"long evidence":           func(r *eventstore.Record) { r.Evidence[15].Body = make([]byte, eventstore.MaxEvidenceBytes+1) },
		"evidence of no type":     func(r *eventstore.Record) { r.Evidence[15].MediaType = "" },
		"evidence of a long type": func(r *eventstore.Record) { r.Evidence[15].MediaType += "m" },
		"evidence type not UTF-8": func(r *eventstore.Record) { r.Evidence[15].MediaType = "\xff" },
	} {
		r := full()
		spoil(&r)
		if err := r.Check(); !errors.Is(err, eventstore.ErrInvalid) {
			t.Errorf("%s: got %v, want ErrInvalid", name, err)
		}
	}
}

func TestKeys(t *testing.T) {
	for _, keys := range [][]string{nil, {"a"}, {"a", "b c", "ключ"}} {
		r := eventstore.Record{Keys: keys}
		if got := eventstore.SplitKeys(r.DedupeKey()); !slices.Equal(got, keys) {
			t.Errorf("%q became %q", keys, got)
		}
	}
}

func TestDigests(t *testing.T) {
	for n := range 4 {
		r := eventstore.Record{EvidenceDigests: make([]eventstore.Hash, n)}
		for i := range r.EvidenceDigests {
			r.EvidenceDigests[i][0] = byte(i + 1)
		}
		got, err := eventstore.SplitDigests(r.JoinDigests())
		if err != nil || !slices.Equal(got, r.EvidenceDigests) {
			t.Errorf("%d digests: %v, %v", n, got, err)
		}
	}
	if _, err := eventstore.SplitDigests(make([]byte, 33)); !errors.Is(err, eventstore.ErrBroken) {
		t.Errorf("33 bytes: %v", err)
	}
}

// TestPartitionOf: where a merchant's records are must never change.
func TestPartitionOf(t *testing.T) {
	for owner, want := range map[string]int{"": 1, "mer_1": 3, "mer_0192f0c4": 1, "व्यापारी": 2} {
		if got := eventstore.PartitionOf(owner, 4); got != want {
			t.Errorf("%q is in partition %d of 4, was in %d", owner, got, want)
		}
	}
}

func FuzzParsePosition(f *testing.F) {
	for _, s := range []string{"0:0", "3:42", "-1:2", "1:-2", "01:2", "1:2 ", "1:", ":", "+1:2", "1:99999999999999999999", "٣:٤", "0x1:1", "1:1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := eventstore.ParsePosition(s)
		if err != nil {
			if p != (eventstore.Position{}) {
				t.Errorf("%q: an error and %s", s, p)
			}
			return
		}
		if p.String() != s || p.Partition < 0 || p.Seq < 0 {
			t.Errorf("%q was read as %s", s, p)
		}
	})
}

func FuzzMeta(f *testing.F) {
	f.Add("c", "key:k1", "r", "00")
	f.Add("", "\xff", "\"", "\u2028")
	f.Fuzz(func(t *testing.T, command, actor, request, body string) {
		m := eventstore.Meta{Command: command, Actor: actor, Request: request, BodyHash: body}
		got, err := eventstore.ParseMeta(m.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{command, actor, request, body} {
			if !utf8.ValidString(text) {
				return // JSON holds text only
			}
		}
		if got != m {
			t.Errorf("%+v became %+v", m, got)
		}
	})
}
