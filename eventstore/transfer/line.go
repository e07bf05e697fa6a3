package transfer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Format names the shape of the file.
const Format = "khata-ledger/log/1"

// line is one line of the file: exactly one of its fields is set.
type line struct {
	Header *header     `json:"header,omitempty"`
	Record *recordLine `json:"record,omitempty"`
	End    *end        `json:"end,omitempty"`
}

// header comes first. After has one tip for each partition: the record that the first exported one stands on.
type header struct {
	Format     string    `json:"format"`
	Ledger     uuid.UUID `json:"ledger"`
	Partitions int       `json:"partitions"`
	Records    int64     `json:"records"`
	After      []tip     `json:"after"`
}

// end comes last. Heads are the newest records exported.
type end struct {
	Records int64 `json:"records"`
	Heads   []tip `json:"heads"`
}

// tip is a position and its hash.
type tip struct {
	Partition int    `json:"partition"`
	Seq       int64  `json:"seq"`
	Hash      string `json:"hash"` // hexadecimal
}

func tipOf(h eventstore.Head) tip { return tip{h.Partition, h.Seq, h.Hash.String()} }

// head checks a tip that stands for a partition.
func (t tip) head(partition int) (eventstore.Head, error) {
	hash, err := eventstore.ParseHash(t.Hash)
	if err != nil {
		return eventstore.Head{}, err
	}
	if t.Partition != partition || t.Seq < 0 {
		return eventstore.Head{}, fmt.Errorf("position %d:%d where one of partition %d is due", t.Partition, t.Seq, partition)
	}
	return eventstore.Head{Partition: partition, Seq: t.Seq, Hash: hash}, nil
}

// recordLine is a record. Data or DataBytes is set, by whether the bytes are text; Meta and MetaBytes too.
type recordLine struct {
	Partition   int            `json:"partition"`
	Seq         int64          `json:"seq"`
	Stream      string         `json:"stream"`
	Version     int64          `json:"version"`
	Subject     string         `json:"subject"`
	Type        string         `json:"type"`
	Schema      int            `json:"schema"`
	EventID     uuid.UUID      `json:"event_id"`
	EffectiveAt int64          `json:"effective_at"` // Unix microseconds
	RecordedAt  int64          `json:"recorded_at"`
	Keys        []string       `json:"keys,omitempty"`
	Data        string         `json:"data,omitempty"`
	DataBytes   []byte         `json:"data_base64,omitempty"`
	Meta        string         `json:"meta,omitempty"`
	MetaBytes   []byte         `json:"meta_base64,omitempty"`
	Evidence    []evidenceLine `json:"evidence,omitempty"`
	Hash        string         `json:"hash"`
}

type evidenceLine struct {
	MediaType string `json:"media_type"`
	Body      []byte `json:"body"` // sealed; base64
}

// encoder writes lines.
type encoder struct{ json *json.Encoder }

func newEncoder(w io.Writer) encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return encoder{enc}
}

func (e encoder) write(l line) error { return e.json.Encode(l) }

// toLine is the line of a record, whose evidence was read for it.
func toLine(r *eventstore.Record, evidence []eventstore.Evidence) *recordLine {
	l := &recordLine{
		Partition: r.Partition, Seq: r.Seq, Stream: r.Stream, Version: r.Version, Subject: r.Subject,
		Type: r.Type, Schema: r.Schema, EventID: r.EventID,
		EffectiveAt: r.EffectiveAt.UnixMicro(), RecordedAt: r.RecordedAt.UnixMicro(),
		Keys: r.Keys, Hash: r.Hash.String(),
	}
	l.Data, l.DataBytes = text(r.Data)
	l.Meta, l.MetaBytes = text(r.Meta)
	for _, e := range evidence {
		body := e.Body
		if body == nil { // some stores give an empty body back as none; the line is the same
			body = []byte{}
		}
		l.Evidence = append(l.Evidence, evidenceLine{e.MediaType, body})
	}
	return l
}

// text gives b back as text where JSON can carry it as such unchanged.
func text(b []byte) (string, []byte) {
	if utf8.Valid(b) {
		return string(b), nil
	}
	return "", b
}

// record is the record of a line, with its evidence and their digests, ready to be appended. Its bounds are checked, its hash
// is not.
func (l *recordLine) record() (eventstore.Record, error) {
	hash, err := eventstore.ParseHash(l.Hash)
	if err != nil {
		return eventstore.Record{}, err
	}
	if l.Data != "" && l.DataBytes != nil || l.Meta != "" && l.MetaBytes != nil {
		return eventstore.Record{}, errors.New("data or meta both as text and as base64")
	}
	r := eventstore.Record{
		Partition: l.Partition, Seq: l.Seq, Stream: l.Stream, Version: l.Version, Subject: l.Subject,
		Type: l.Type, Schema: l.Schema, EventID: l.EventID,
		EffectiveAt: time.UnixMicro(l.EffectiveAt).UTC(), RecordedAt: time.UnixMicro(l.RecordedAt).UTC(),
		Keys: l.Keys, Data: append([]byte(l.Data), l.DataBytes...), Meta: append([]byte(l.Meta), l.MetaBytes...), Hash: hash,
	}
	for _, e := range l.Evidence {
		evidence := eventstore.Evidence(e)
		r.Evidence = append(r.Evidence, evidence)
		r.EvidenceDigests = append(r.EvidenceDigests, evidence.Digest())
	}
	if r.Partition < 0 || r.Seq < 1 {
		return eventstore.Record{}, fmt.Errorf("position %s", r.Position())
	}
	return r, r.Check()
}

// decode takes one line apart.
func decode(b []byte) (line, error) {
	var l line
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil {
		return line{}, fmt.Errorf("it is no line of an export: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return line{}, errors.New("something follows the JSON object")
	}
	set := 0
	for _, is := range []bool{l.Header != nil, l.Record != nil, l.End != nil} {
		if is {
			set++
		}
	}
	if set != 1 {
		return line{}, errors.New("it is neither a header nor a record nor the end of an export")
	}
	return l, nil
}
