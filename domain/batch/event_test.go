package batch

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/stored"
)

// goldens are events as they are stored for ever, by file: type.v<schema>.json. A file is added for a new version, never changed.
func goldens() map[string]Event {
	return map[string]Event{
		"batch.submitted.v1": &Submitted{
			Of: of, Ref: "SALARIES-MARCH", Digest: "d1", Terms: Terms{Approval: ApprovalRequired}, Count: 2, Amount: inr("2001"), Commission: inr("20"),
			Fee: fee.Rule{Plan: "default", Version: 2}, Actor: "key:maya",
		},
		"batch.submitted.v1.terms": &Submitted{
			Of: of, Ref: "SALARIES-MARCH", Digest: "d1", Terms: Terms{
				Approval: ApprovalRequired, Checkers: 2, Rule: 3, Mode: Atomic, Shortage: QueueShort, ScheduleAt: noon, RetryOf: "bat_0",
			}, Count: 2, Amount: inr("2001"), Commission: inr("20"), Fee: fee.Rule{Plan: "default", Version: 2}, Actor: "key:maya",
			Columns: []Column{{"amount", "Amount (INR)"}, {"ifsc", "IFSC"}},
		},
		"batch.approved.v1.first": &Approved{Of: of, Actor: "key:ravi", Missing: 1, Note: "checked"},
		"batch.rejected.v1.item":  &RejectedBy{Of: of, Reason: "the balance does not cover it", Actor: "system:batches", Item: 17},
		"batch.items.v1":          &ItemsAdded{Of: of, Chunk: 1, Last: true, Items: items(1, 2)},
		"batch.approved.v1":       &Approved{Of: of, Actor: "key:ravi"},
		"batch.rejected.v1":       &RejectedBy{Of: of, Reason: "not <this> month", Actor: "key:ravi"},
		"batch.cancelled.v1":      &CancelledBy{Of: of, Reason: "wrong file", Actor: "key:ravi"},
		"batch.closed.v1":         &Closed{Of: of, Chunk: 1, Refused: []Refusal{{Index: 2, Code: "insufficient_balance", Reason: "too little"}}},
		"batch.drawn.v1":          &Drawn{Of: of, Chunk: 1, Refused: []Refusal{{Index: 2, Code: "duplicate", Reason: "used before"}}},
		"batch.completed.v1":      &CompletedAll{of},
	}
}

func TestGoldens(t *testing.T) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(goldens()) {
		t.Errorf("%d files, %d events", len(files), len(goldens()))
	}
	for name, want := range goldens() {
		data, err := os.ReadFile(filepath.Join("testdata", "events", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		data = bytes.TrimSpace(data)
		typ, _, _ := strings.Cut(name, ".v")
		e, err := Decode(typ, 1, data)
		if err != nil || !reflect.DeepEqual(e, want) || e.Type() != typ || e.Schema() != 1 {
			t.Errorf("%s: %+v, %v", name, e, err)
		}
		if written, err := Encode(want); err != nil || !bytes.Equal(written, data) {
			t.Errorf("%s is written as\n%s, %v", name, written, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		typ    string
		schema int
		data   string
	}{
		{"batch.completed", 1, `{"merchant":"m","currency":"INR"}`},
		{"batch.completed", 1, `{"merchant":"m","currency":"INR","batch":"b","more":1}`},
		{"batch.completed", 1, `{"merchant":"m","currency":"INR","batch":"b"}{}`},
		{"batch.completed", 1, ``},
		{"batch.items", 1, `{"merchant":"m","currency":"INR","batch":"b","chunk":1,"items":[{"index":1,"amount":"1.001","commission":"0","tax":"0"}]}`},
	} {
		if e, err := Decode(c.typ, c.schema, []byte(c.data)); err == nil {
			t.Errorf("%s: %+v", c.data, e)
		}
	}
	for typ, schema := range map[string]int{"batch.unheard": 1, "batch.completed": 2} {
		if _, err := Decode(typ, schema, []byte(`{}`)); !errors.Is(err, stored.ErrUnknownType) {
			t.Errorf("%s, version %d: %v", typ, schema, err)
		}
	}
}
