package bus

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// Metadata of a message: everything of the record but its data, which is the payload, and its evidence.
const (
	MetaPosition  = "position" // partition:seq
	MetaStream    = "stream"
	MetaVersion   = "version"
	MetaSubject   = "subject"
	MetaType      = "type"
	MetaSchema    = "schema"
	MetaMerchant  = "merchant"     // whose wallet, or who; absent for other streams
	MetaEffective = "effective_at" // RFC 3339, UTC, microseconds
	MetaRecorded  = "recorded_at"  // the same
	MetaKeys      = "dedupe_key"   // joined by line feeds
	MetaOrigin    = "meta"         // JSON; see eventstore.Meta
	MetaHash      = "hash"         // hexadecimal
)

const timeLayout = "2006-01-02T15:04:05.000000Z07:00"

// TopicAll is the topic of all records.
const TopicAll = "log"

// matches tells whether a topic holds records of a type: all, those behind a prefix ("payout"), or exactly one
// ("payout.initiated").
func matches(topic, recordType string) bool {
	if topic == TopicAll {
		return true
	}
	rest, ok := strings.CutPrefix(recordType, topic)
	return ok && (rest == "" || rest[0] == '.')
}

// carried is the key of the record that the context of a message for a Router carries.
type carried struct{}

// newMessage is the record as a message. One for a Router, which is in this process, carries the record itself, and in writing
// only what putting it aside needs.
func newMessage(ctx context.Context, r *eventstore.Record, inside bool) *message.Message {
	if inside {
		msg := message.NewMessageWithContext(context.WithValue(ctx, carried{}, r), r.EventID.String(), r.Data)
		msg.Metadata[MetaPosition], msg.Metadata[MetaType] = r.Position().String(), r.Type
		return msg
	}
	msg := message.NewMessageWithContext(ctx, r.EventID.String(), bytes.Clone(r.Data)) // theirs to change
	msg.Metadata = message.Metadata{
		MetaPosition:  r.Position().String(),
		MetaStream:    r.Stream,
		MetaVersion:   strconv.FormatInt(r.Version, 10),
		MetaSubject:   r.Subject,
		MetaType:      r.Type,
		MetaSchema:    strconv.Itoa(r.Schema),
		MetaEffective: r.EffectiveAt.UTC().Format(timeLayout),
		MetaRecorded:  r.RecordedAt.UTC().Format(timeLayout),
		MetaKeys:      r.DedupeKey(),
		MetaOrigin:    string(r.Meta),
		MetaHash:      hex.EncodeToString(r.Hash[:]),
	}
	if m := merchantOf(r.Stream); m != "" {
		msg.Metadata[MetaMerchant] = m
	}
	return msg
}

// merchantOf reads "wallet:mer_x:INR", "batch:mer_x:bat_y" and "merchant:mer_x".
func merchantOf(stream string) string {
	kind, rest, _ := strings.Cut(stream, ":")
	if kind != "wallet" && kind != "merchant" && kind != "batch" {
		return ""
	}
	id, _, _ := strings.Cut(rest, ":")
	return id
}

// RecordOf is the record that a message carries, without its evidence and its digests.
func RecordOf(msg *message.Message) (eventstore.Record, error) {
	if r, ok := msg.Context().Value(carried{}).(*eventstore.Record); ok {
		return *r, nil
	}
	r, err := recordOf(msg)
	if err != nil {
		return eventstore.Record{}, fmt.Errorf("message %s is no record: %w", msg.UUID, err)
	}
	return r, nil
}

func recordOf(msg *message.Message) (eventstore.Record, error) {
	get := msg.Metadata.Get
	at, err := eventstore.ParsePosition(get(MetaPosition))
	if err != nil {
		return eventstore.Record{}, err
	}
	r := eventstore.Record{
		Partition: at.Partition, Seq: at.Seq, Stream: get(MetaStream), Subject: get(MetaSubject), Type: get(MetaType),
		Keys: eventstore.SplitKeys(get(MetaKeys)), Data: msg.Payload, Meta: []byte(get(MetaOrigin)),
	}
	if r.EventID, err = uuid.Parse(msg.UUID); err != nil {
		return eventstore.Record{}, err
	}
	if r.Version, err = strconv.ParseInt(get(MetaVersion), 10, 64); err != nil {
		return eventstore.Record{}, err
	}
	if r.Schema, err = strconv.Atoi(get(MetaSchema)); err != nil {
		return eventstore.Record{}, err
	}
	if r.EffectiveAt, err = time.Parse(timeLayout, get(MetaEffective)); err != nil {
		return eventstore.Record{}, err
	}
	if r.RecordedAt, err = time.Parse(timeLayout, get(MetaRecorded)); err != nil {
		return eventstore.Record{}, err
	}
	hash, err := hex.DecodeString(get(MetaHash))
	if err != nil || len(hash) != len(r.Hash) {
		return eventstore.Record{}, fmt.Errorf("hash %q", get(MetaHash))
	}
	r.Hash = eventstore.Hash(hash)
	return r, nil
}
