package sandbox

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// Headers of a signed message.
const (
	headerID        = "Sandbox-Message-Id"
	headerTimestamp = "Sandbox-Timestamp"
	headerSignature = "Sandbox-Signature"
)

// tolerance is how far the timestamp of a signed message may be from the receiver's clock.
const tolerance = 5 * time.Minute

// minSecretBytes is the least that a shared secret must have.
const minSecretBytes = 16

func signature(secret []byte, id, timestamp string, body []byte) []byte {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(id + "." + timestamp + "."))
	mac.Write(body)
	return mac.Sum(nil)
}

// sign sets the headers of a message.
func sign(h http.Header, secret []byte, id string, body []byte, now time.Time) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	h.Set(headerID, id)
	h.Set(headerTimestamp, timestamp)
	h.Set(headerSignature, "v1="+hex.EncodeToString(signature(secret, id, timestamp, body)))
}

// verify checks a message's signature, in constant time, and then its age. Errors: gateway.ErrSignature, gateway.ErrStale.
func verify(h http.Header, secret, body []byte, now time.Time) (id string, err error) {
	id, timestamp := h.Get(headerID), h.Get(headerTimestamp)
	given, ok := strings.CutPrefix(h.Get(headerSignature), "v1=")
	mac, err := hex.DecodeString(given)
	if !ok || err != nil || !hmac.Equal(mac, signature(secret, id, timestamp, body)) {
		return "", gateway.ErrSignature
	}
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil {
		return "", fmt.Errorf("%w: timestamp", gateway.ErrMalformed)
	}
	if now.Sub(time.Unix(seconds, 0)).Abs() > tolerance {
		return "", gateway.ErrStale
	}
	return id, nil
}
