package eventstore

import (
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// Meta is what a record's Meta column holds: the command that caused the record, and where the command came from.
// Addresses and bodies are personal data: they are in the sealed evidence, never here.
type Meta struct {
	Command string `json:"cmd"`           // command id
	Actor   string `json:"actor"`         // who: key:<key id>, operator:<name>, gateway:<name>, system:<part>
	Request string `json:"req,omitempty"` // request id, as in the server's logs
	// BodyHash is the vault's commitment to the digest of the request's body; in records that are older than commitments, the SHA-256
	// itself, in hexadecimal. It is compared on Idempotency-Key replays.
	BodyHash string `json:"body,omitempty"`
}

// Bytes encodes m for a record, as encoding/json does.
func (m Meta) Bytes() []byte {
	const names = len(`{"cmd":"","actor":"","req":"","body":""}`)
	return m.AppendTo(make([]byte, 0, names+len(m.Command)+len(m.Actor)+len(m.Request)+len(m.BodyHash)))
}

// AppendTo appends what Bytes returns.
func (m Meta) AppendTo(b []byte) []byte {
	b = appendText(append(b, `{"cmd":`...), m.Command)
	b = appendText(append(b, `,"actor":`...), m.Actor)
	if m.Request != "" {
		b = appendText(append(b, `,"req":`...), m.Request)
	}
	if m.BodyHash != "" {
		b = appendText(append(b, `,"body":`...), m.BodyHash)
	}
	return append(b, '}')
}

// appendText writes a text as JSON. Letters, digits and what ids are made of stand as they are; a text of anything else is
// left to encoding/json.
func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c >= utf8.RuneSelf || c == '"' || c == '\\' || c == '<' || c == '>' || c == '&' {
			text, err := json.Marshal(s)
			if err != nil {
				panic("eventstore: a string does not marshal: " + err.Error())
			}
			return append(b, text...)
		}
	}
	b = append(b, '"')
	b = append(b, s...)
	return append(b, '"')
}

// ParseMeta reads a record's Meta.
func ParseMeta(b []byte) (Meta, error) {
	var m Meta
	if err := json.Unmarshal(b, &m); err != nil {
		return Meta{}, fmt.Errorf("meta of a record: %w", err)
	}
	return m, nil
}
