package httpapi

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/netip"
)

// Exchange is what is known of one request beside itself. The goroutine that serves the request owns it.
type Exchange struct {
	ID     string     // request id: the client's X-Request-Id if that is sane, else ours
	Client netip.Addr // who asks: unmapped, without zone; not valid when the peer's address is none
	Route  string     // pattern that matched, for logs and metrics; "" when none did
	KeyID  string     // key_... or opr_..., once authenticated
	Quiet  bool       // logged for debugging only; see Quietly

	bodies *Bodies // nil: large bodies are not counted
	held   int64   // bytes of them
	holds  string  // whose they are
}

// Quietly keeps what asks all the time, such as probes, out of the log, unless that is for debugging.
func Quietly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		From(r.Context()).Quiet = true
		h.ServeHTTP(w, r)
	})
}

type exchangeKey struct{}

// From returns the request's Exchange: an empty one outside of a Front.
func From(ctx context.Context) *Exchange {
	if x, ok := ctx.Value(exchangeKey{}).(*Exchange); ok {
		return x
	}
	return &Exchange{}
}

const maxRequestID = 100

// requestID takes the client's id if it is 1 to 100 letters, digits and ._:- (it goes into logs and a header), else makes one.
func requestID(sent []string) string {
	if len(sent) == 1 && saneID(sent[0]) {
		return sent[0]
	}
	var b [16]byte
	rand.Read(b[:]) // never fails: see crypto/rand
	return hex.EncodeToString(b[:])
}

func saneID(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '.', c == '_', c == ':', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxRequestID
}
