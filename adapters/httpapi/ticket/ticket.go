// Package ticket makes and opens the signed tokens of the KS Pay API and of the checkout page. A token says for which app, and by which of
// its keys, it was given, and until when it holds. It is no secret what it says, and nobody can change it; nothing of it is stored.
//
// That a token opens is not enough: it counts only while its key is an active one of the app. Who opens it looks.
package ticket

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"time"
)

// Kind is what a token is for. One kind never opens as another: each has a key of its own.
type Kind string

// The kinds.
const (
	Access    Kind = "access"
	Refresh   Kind = "refresh"
	Signature Kind = "signature" // hexadecimal text; the others are URL-safe base64
	Checkout  Kind = "checkout"
)

// Bounds.
const (
	MinSecret = 32   // bytes
	MaxText   = 4096 // bytes of a token that is looked at
	maxField  = 255  // bytes of a field
)

// Errors of Open. Compare with errors.Is.
var (
	ErrMalformed = errors.New("the token is not one of ours")
	ErrExpired   = errors.New("the token has expired")
)

// Ticket is what a token says.
type Ticket struct {
	App     string // ap_...
	KeyID   string // key_..., by which it was asked for; "" of a kind that belongs to no key
	Subject string // what it is about: a transaction; "" when that is open
	ID      string // its own, see NewID
}

// Book mints tokens and opens them. It is safe for concurrent use.
type Book struct{ keys map[Kind][]byte }

// New makes a book from a secret of at least MinSecret bytes. Books of the same secret open each other's tokens. It panics on a secret that is
// too short: secrets are ours to make.
func New(secret []byte) *Book {
	if len(secret) < MinSecret {
		panic("ticket: the secret is too short")
	}
	b := &Book{keys: map[Kind][]byte{}}
	for _, kind := range []Kind{Access, Refresh, Signature, Checkout} {
		mac := hmac.New(sha256.New, secret)
		mac.Write([]byte("khata ticket 1 " + string(kind)))
		b.keys[kind] = mac.Sum(nil)
	}
	return b
}

// NewID makes the id of a token: 128 random bits, in hexadecimal.
func NewID() string {
	var id [16]byte
	rand.Read(id[:]) // never fails: see crypto/rand
	return hex.EncodeToString(id[:])
}

// The shape of a token: version, expiry in Unix milliseconds, the fields each behind its length, and the MAC of all that.
const (
	version = 1
	header  = 1 + 8
	fields  = 4
)

// Mint makes a token that holds until expires, which is cut to milliseconds. It panics on a kind that there is not, and on fields beyond 255
// bytes: ids are ours.
func (b *Book) Mint(kind Kind, t Ticket, expires time.Time) string {
	out := binary.BigEndian.AppendUint64([]byte{version}, uint64(expires.UnixMilli()))
	for _, f := range [fields]string{t.App, t.KeyID, t.Subject, t.ID} {
		if len(f) > maxField {
			panic("ticket: a field is too long")
		}
		out = append(append(out, byte(len(f))), f...)
	}
	out = append(out, b.mac(kind, out)...)
	if kind == Signature {
		return hex.EncodeToString(out)
	}
	return base64.RawURLEncoding.EncodeToString(out)
}

// Open reads a token at a time. ErrMalformed for what this book has not minted as that kind. ErrExpired comes with what the token says: it
// was good once.
func (b *Book) Open(kind Kind, text string, now time.Time) (Ticket, error) {
	raw, ok := decode(kind, text)
	if !ok || len(raw) < header+fields+sha256.Size {
		return Ticket{}, ErrMalformed
	}
	said, sum := raw[:len(raw)-sha256.Size], raw[len(raw)-sha256.Size:]
	if !hmac.Equal(sum, b.mac(kind, said)) || said[0] != version {
		return Ticket{}, ErrMalformed
	}
	var t Ticket
	rest := said[header:]
	for _, f := range []*string{&t.App, &t.KeyID, &t.Subject, &t.ID} {
		if len(rest) == 0 || len(rest)-1 < int(rest[0]) {
			return Ticket{}, ErrMalformed
		}
		n := 1 + int(rest[0])
		*f, rest = string(rest[1:n]), rest[n:]
	}
	if len(rest) != 0 {
		return Ticket{}, ErrMalformed
	}
	if expires := int64(binary.BigEndian.Uint64(said[1:header])); now.UnixMilli() >= expires {
		return t, ErrExpired
	}
	return t, nil
}

// Expires is until when a token holds that Open has taken; the zero time for what is none.
func (b *Book) Expires(kind Kind, text string) time.Time {
	raw, ok := decode(kind, text)
	if !ok || len(raw) < header {
		return time.Time{}
	}
	return time.UnixMilli(int64(binary.BigEndian.Uint64(raw[1:header])))
}

func (b *Book) mac(kind Kind, said []byte) []byte {
	key := b.keys[kind]
	if key == nil {
		panic("ticket: there is no kind " + string(kind))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(said)
	return mac.Sum(nil)
}

// decode accepts one text for each token: the one that Mint gave.
func decode(kind Kind, text string) ([]byte, bool) {
	if len(text) > MaxText {
		return nil, false
	}
	if kind == Signature {
		raw, err := hex.DecodeString(text)
		return raw, err == nil && hex.EncodeToString(raw) == text
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	return raw, err == nil && base64.RawURLEncoding.EncodeToString(raw) == text
}
