package kspay

import (
	"context"
	"crypto/rand"
	"errors"

	"github.com/khata-ledger/khata/domain/merchant"
)

const (
	transactionPrefix = "tx_"
	idTries           = 5
)

// newTransactionID makes the id of a transaction that nobody has. The document's ids are short (53 bits): among a hundred million of them a
// new one is taken once in a hundred million times.
func (a *API) newTransactionID(ctx context.Context) (string, error) {
	for range idTries {
		id := randomID(transactionPrefix)
		_, _, _, taken, err := a.ports.Views.Subject(ctx, id)
		switch {
		case err != nil:
			return "", failed("looking for a transaction's id", err)
		case !taken:
			return id, nil
		}
	}
	return "", failedIn(inGateway, "making a transaction's id", errors.New("every id that was tried is taken"))
}

// randomID is letters and digits behind a prefix, evenly chosen.
func randomID(prefix string) string {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	const even = 256 - 256%len(alphabet) // bytes from here on would favour the first characters
	n := len(prefix) + merchant.IDLength(prefix)
	id := append(make([]byte, 0, n), prefix...)
	var pool [16]byte
	for {
		rand.Read(pool[:]) // never fails: see crypto/rand
		for _, b := range pool {
			if int(b) >= even {
				continue
			}
			if id = append(id, alphabet[int(b)%len(alphabet)]); len(id) == n {
				return string(id)
			}
		}
	}
}

// validReference allows 1 to 64 of [A-Za-z0-9_-].
func validReference(s string) bool {
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= maxReference
}

const maxReference = 64
