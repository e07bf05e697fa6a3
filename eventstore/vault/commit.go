package vault

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
)

// A commitment is what a record keeps of a text that is personal, so that the same text can be told from another one later: of a request's
// body, its SHA-256. A plain hash in its place would let whoever has the log try out what he does not know of the body, a telephone number,
// also when the body's own key is long erased. A commitment is
//
//	"1." base64url( seal key's id (16 bytes) | HMAC-SHA256 (32 bytes) of the text )
//
// under a key of 32 bytes that is made of the owner's seal key of the month and the event's id. So it is erased with what was sealed in that
// month, and the key of one commitment, given to somebody (see OpenCommitment), opens no other. HMAC under keys of one length binds: nobody
// finds another key and text for a commitment that stands.
const (
	commitmentPrefix = "1."
	commitmentBytes  = len(uuid.UUID{}) + sha256.Size
)

// Commit commits to a text for the event of that id, under the owner's key of the current month.
func (v *Vault) Commit(ctx context.Context, owner string, id uuid.UUID, text string) (string, error) {
	now := v.now()
	key, err := v.ownerKey(ctx, keyName{owner, kindSeal, periodOf(now)}, now)
	if err != nil {
		return "", fmt.Errorf("committing for %s: %w", owner, err)
	}
	b := make([]byte, 0, commitmentBytes)
	one := Sign(key.mac, id[:])
	mac := commitment(one[:], text)
	return commitmentPrefix + base64.RawURLEncoding.EncodeToString(append(append(b, key.id[:]...), mac[:]...)), nil
}

// Matches tells whether a commitment for the event of that id is to the text. A record that is older than commitments has the text itself:
// that is compared. ErrErased when the key is gone, and nobody can tell any more.
func (v *Vault) Matches(ctx context.Context, id uuid.UUID, committed, text string) (bool, error) {
	if !IsCommitment(committed) {
		return hmac.Equal([]byte(committed), []byte(text)), nil
	}
	key, err := v.OpenCommitment(ctx, id, committed)
	if err != nil {
		return false, err
	}
	return Holds(key, committed, text), nil
}

// OpenCommitment gives the key of this one commitment, which Holds takes: who is given it can try out texts for this event, and for no other.
// ErrErased when the seal key is gone.
func (v *Vault) OpenCommitment(ctx context.Context, id uuid.UUID, committed string) ([]byte, error) {
	keyID, _, err := parseCommitment(committed)
	if err != nil {
		return nil, fmt.Errorf("commitment of event %s: %w", id, err)
	}
	key, err := v.keyByID(ctx, keyID, v.now())
	if err != nil {
		return nil, fmt.Errorf("commitment of event %s: %w", id, err)
	}
	one := Sign(key.mac, id[:])
	return one[:], nil
}

// Holds tells whether a commitment is to the text, under the key that OpenCommitment gives. It needs no vault.
func Holds(key []byte, committed, text string) bool {
	_, mac, err := parseCommitment(committed)
	if err != nil || len(key) != sha256.Size { // keys of other lengths could be padded to the same
		return false
	}
	want := commitment(key, text)
	return hmac.Equal(mac, want[:])
}

// IsCommitment tells a commitment from the plain text of records that are older than commitments.
func IsCommitment(s string) bool { return strings.HasPrefix(s, commitmentPrefix) }

func commitment(key []byte, text string) [sha256.Size]byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	var sum [sha256.Size]byte
	mac.Sum(sum[:0])
	return sum
}

// errNoCommitment says that a text is none.
var errNoCommitment = errors.New("it is no commitment of version 1")

func parseCommitment(s string) (key uuid.UUID, mac []byte, err error) {
	text, is := strings.CutPrefix(s, commitmentPrefix)
	b, wrong := base64.RawURLEncoding.Strict().DecodeString(text)
	if !is || wrong != nil || len(b) != commitmentBytes {
		return key, nil, fmt.Errorf("%w: %w", ErrTampered, errNoCommitment)
	}
	return uuid.UUID(b[:len(key)]), b[len(key):], nil
}
