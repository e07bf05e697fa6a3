package webhook

import (
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// maxSignatures bounds webhook-signature: keys that overlap.
const maxSignatures = 4

// Secrets gives named secrets; see eventstore/vault. vault.ErrNotFound when there is none of that name.
type Secrets interface {
	Secret(ctx context.Context, name string) ([]byte, error)
}

// SecretName is where the vault keeps the HMAC midstates (vault.Midstates, 64 bytes) of an API key.
func SecretName(keyID string) string { return "hmac/" + keyID }

// errNoKey means that the merchant cannot be signed for now; another try at once would not help.
var errNoKey = errors.New("the merchant has no active key of role full that can sign")

// signingKeys are the midstates of the merchant's active keys of role full, newest first. errNoKey when the newest one is
// missing.
func signingKeys(ctx context.Context, secrets Secrets, m *merchant.Merchant, now time.Time) ([]vault.Midstates, error) {
	active := m.SigningKeys(now)
	var keys []vault.Midstates
	for i, k := range active[:min(len(active), maxSignatures)] {
		secret, err := secrets.Secret(ctx, SecretName(k.ID))
		switch {
		case errors.Is(err, vault.ErrNotFound) && i == 0:
			return nil, fmt.Errorf("key %s: %w", k.ID, errNoKey)
		case errors.Is(err, vault.ErrNotFound):
			continue
		case err != nil:
			return nil, err
		}
		mid, err := vault.ParseMidstates(secret)
		if err != nil {
			return nil, fmt.Errorf("key %s: %w", k.ID, errNoKey)
		}
		keys = append(keys, mid)
	}
	if len(keys) == 0 {
		return nil, errNoKey
	}
	return keys, nil
}

// headers are those of one attempt of a delivery. keys are not empty.
func headers(d *Delivery, keys []vault.Midstates, now time.Time) (http.Header, error) {
	signed, err := signedBytes(d.Dialect, d.Body)
	if err != nil {
		return nil, fmt.Errorf("delivery %s: %w", d.ID, err)
	}
	sum := vault.Sign(keys[0], signed)
	timestamp := strconv.FormatInt(now.Unix(), 10)
	standard := append([]byte(d.ID+"."+timestamp+"."), d.Body...)
	var signatures []string
	for _, k := range keys {
		mac := vault.Sign(k, standard)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac[:]))
	}
	return http.Header{ // spelled as documented: Go would write X-Klyropay-Event
		"Content-Type":         {"application/json"},
		"User-Agent":           {"KlyroPay-Callback/1.0"},
		"X-KlyroPay-Event":     {eventOf(d.Type)},
		"X-KlyroPay-Signature": {hex.EncodeToString(sum[:])},
		"webhook-id":           {d.ID},
		"webhook-timestamp":    {timestamp},
		"webhook-signature":    {strings.Join(signatures, " ")},
	}, nil
}
