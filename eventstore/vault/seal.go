package vault

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"

	"github.com/google/uuid"
)

// Shape of a sealed value.
const (
	sealVersion  = 1
	sealHeader   = 1 + len(uuid.UUID{})
	sealOverhead = 12 + 16 // nonce and tag
)

// FingerprintBytes is how much of the HMAC a fingerprint keeps.
const FingerprintBytes = 16

// Seal encrypts plaintext under the owner's key of the current month, bound to the event id. The owner (a merchant id)
// decides when it can be erased. ErrInvalid beyond the bounds, ErrWrongMaster after a rotation elsewhere.
func (v *Vault) Seal(ctx context.Context, owner string, id uuid.UUID, plaintext []byte) ([]byte, error) {
	if len(plaintext) > MaxPlaintextBytes {
		return nil, fmt.Errorf("%w: sealing %d bytes (at most %d)", ErrInvalid, len(plaintext), MaxPlaintextBytes)
	}
	now := v.now()
	key, err := v.ownerKey(ctx, keyName{owner, kindSeal, periodOf(now)}, now)
	if err != nil {
		return nil, fmt.Errorf("sealing for %s: %w", owner, err)
	}
	// The event id stands behind the output in the same allocation, since it has to be on the heap to be passed on.
	n := sealHeader + len(plaintext) + sealOverhead
	b := make([]byte, sealHeader, n+len(id))
	b[0] = sealVersion
	copy(b[1:], key.id[:])
	bound := b[n : n+len(id)]
	copy(bound, id[:])
	return key.aead.Seal(b, nil, plaintext, bound)[:n:n], nil //nolint:gosec // the nonce is random, made by the AEAD itself
}

// SealString is Seal for JSON: unpadded URL-safe base64.
func (v *Vault) SealString(ctx context.Context, owner string, id uuid.UUID, plaintext string) (string, error) {
	sealed, err := v.Seal(ctx, owner, id, []byte(plaintext))
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Unseal opens what Seal gave for the same event id. ErrErased when its key is gone, ErrTampered when it is not what was
// sealed.
func (v *Vault) Unseal(ctx context.Context, id uuid.UUID, sealed []byte) ([]byte, error) {
	keyID, err := KeyOf(sealed)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", id, err)
	}
	key, err := v.keyByID(ctx, keyID, v.now())
	if err != nil {
		return nil, fmt.Errorf("unsealing for event %s: %w", id, err)
	}
	plain, err := key.aead.Open(nil, nil, sealed[sealHeader:], id[:])
	if err != nil {
		return nil, fmt.Errorf("%w: event %s", ErrTampered, id)
	}
	return plain, nil
}

// UnsealString opens what SealString gave.
func (v *Vault) UnsealString(ctx context.Context, id uuid.UUID, sealed string) (string, error) {
	b, err := base64.RawURLEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("%w: event %s: not base64", ErrTampered, id)
	}
	plain, err := v.Unseal(ctx, id, b)
	return string(plain), err
}

// Fingerprint is a keyed hash of text, in hexadecimal: equal texts of one owner have equal fingerprints, so that they can
// be searched for, and nobody without the owner's key can try texts out. It changes when all keys of the owner were erased.
func (v *Vault) Fingerprint(ctx context.Context, owner, text string) (string, error) {
	key, err := v.ownerKey(ctx, keyName{owner, kindFingerprint, 0}, v.now())
	if err != nil {
		return "", fmt.Errorf("fingerprint for %s: %w", owner, err)
	}
	sum := Sign(key.mac, []byte(text))
	return hex.EncodeToString(sum[:FingerprintBytes]), nil
}
