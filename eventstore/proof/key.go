package proof

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"golang.org/x/mod/sumdb/note"
)

// SigningKey signs checkpoints. It prints as its public half.
type SigningKey struct {
	ledger  uuid.UUID
	private string
	public  string
	retired []string
}

// NewSigningKey makes a key of a ledger.
func NewSigningKey(ledger uuid.UUID) (*SigningKey, error) {
	private, public, err := note.GenerateKey(rand.Reader, Origin(ledger))
	if err != nil {
		return nil, fmt.Errorf("making a key of checkpoints: %w", err)
	}
	return &SigningKey{ledger: ledger, private: private, public: public}, nil
}

// Next makes the key that follows k; what k has signed can be opened with its Keys still.
func (k *SigningKey) Next() (*SigningKey, error) {
	next, err := NewSigningKey(k.ledger)
	if err == nil {
		next.retired = append([]string{k.public}, k.retired...)
	}
	return next, err
}

// storedKey is how a key is kept, sealed.
type storedKey struct {
	Private string   `json:"private"`
	Public  string   `json:"public"`
	Retired []string `json:"retired,omitempty"` // public halves, the newest first
}

// Secret is the key for a store that seals it.
func (k *SigningKey) Secret() ([]byte, error) {
	return json.Marshal(storedKey{k.private, k.public, k.retired})
}

// ParseSigningKey reads what Secret gave. Its errors do not repeat it.
func ParseSigningKey(ledger uuid.UUID, secret []byte) (*SigningKey, error) {
	var stored storedKey
	if err := json.Unmarshal(secret, &stored); err != nil {
		return nil, errors.New("the key of checkpoints cannot be read")
	}
	signer, err := note.NewSigner(stored.Private)
	if err != nil {
		return nil, errors.New("the key of checkpoints cannot be read")
	}
	if signer.Name() != Origin(ledger) {
		return nil, fmt.Errorf("the key of checkpoints is of %s, not of ledger %s", signer.Name(), ledger)
	}
	return &SigningKey{ledger, stored.Private, stored.Public, stored.Retired}, nil
}

// String is the public half, for people to keep: name, hash and key, joined by plus signs.
func (k *SigningKey) String() string { return k.public }

// GoString hides the key.
func (k *SigningKey) GoString() string { return k.public }

// Keys opens what this key and those before it have signed.
func (k *SigningKey) Keys() (Keys, error) {
	return ParseKeys(strings.Join(append([]string{k.public}, k.retired...), "\n") + "\n")
}

// Sign signs a checkpoint of the key's ledger.
func (k *SigningKey) Sign(c *Checkpoint) ([]byte, error) {
	signer, err := note.NewSigner(k.private)
	if err != nil {
		return nil, errors.New("the key of checkpoints cannot be read")
	}
	if c.Ledger != k.ledger {
		return nil, fmt.Errorf("the key of ledger %s does not sign for ledger %s", k.ledger, c.Ledger)
	}
	if _, err := ParseCheckpoint(c.Text()); err != nil {
		return nil, fmt.Errorf("a checkpoint that nobody could read: %w", err)
	}
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signer)
	if err != nil {
		return nil, fmt.Errorf("signing a checkpoint: %w", err)
	}
	return signed, nil
}

// Keys are public keys, whose signatures are believed.
type Keys struct {
	verifiers []note.Verifier
	text      []string
}

// ParseKeys reads public keys, one on a line, as `ledger proof key` prints them. Empty lines are passed over. A LineError says which is none.
func ParseKeys(text string) (Keys, error) {
	var k Keys
	n := 0
	for line := range strings.Lines(text) {
		n++
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		v, err := note.NewVerifier(line)
		if err != nil {
			return Keys{}, lineErrorf(n, "%.80q is no public key of checkpoints", line)
		}
		k.verifiers, k.text = append(k.verifiers, v), append(k.text, fmt.Sprintf("%s+%08x", v.Name(), v.KeyHash()))
	}
	if n == 0 || len(k.verifiers) == 0 {
		return Keys{}, lineErrorf(1, "there is no public key")
	}
	return k, nil
}

// String names the keys, without the keys themselves.
func (k Keys) String() string { return strings.Join(k.text, ", ") }
