package eventstore

import (
	"encoding/json"
	"fmt"
)

// Meta is what a record's Meta column holds: the command that caused the record, and where the command came from.
// Addresses and bodies are personal data: they are in the sealed evidence, never here.
type Meta struct {
	Command  string `json:"cmd"`            // command id
	Actor    string `json:"actor"`          // who: key:<key id>, operator:<name>, gateway:<name>, system:<part>
	Request  string `json:"req,omitempty"`  // request id, as in the server's logs
	BodyHash string `json:"body,omitempty"` // SHA-256 of the request body, hexadecimal; compared on Idempotency-Key replays
}

// Bytes encodes m for a record.
func (m Meta) Bytes() []byte {
	b, err := json.Marshal(m)
	if err != nil {
		panic("eventstore: meta of strings does not marshal: " + err.Error())
	}
	return b
}

// ParseMeta reads a record's Meta.
func ParseMeta(b []byte) (Meta, error) {
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return Meta{}, fmt.Errorf("meta of a record: %w", err)
	}
	return m, nil
}
