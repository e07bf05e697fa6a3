package klyropay

import "crypto/rand"

// Alphabets of ids.
const (
	lowerCase = "abcdefghijklmnopqrstuvwxyz0123456789"
	upperCase = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
)

// idLength is how many random characters an id has: 82 bits, so that none is ever made twice.
const idLength = 16

func newTransactionID() string { return random("txn_", lowerCase) }
func newTxnRef() string        { return random("PAYIN-REF-", upperCase) }
func newOrderID() string       { return random("ORD-", upperCase) }
func newRequestID() string     { return random("PRQ-", upperCase) }

// random returns idLength characters of the alphabet, evenly chosen, behind a prefix.
func random(prefix, alphabet string) string {
	const n = idLength
	even := byte(256 - 256%len(alphabet)) // bytes from here on would favour the first characters
	id := append(make([]byte, 0, len(prefix)+n), prefix...)
	var pool [32]byte
	for {
		rand.Read(pool[:]) // never fails: see crypto/rand
		for _, b := range pool {
			if b >= even {
				continue
			}
			if id = append(id, alphabet[int(b)%len(alphabet)]); len(id) == len(prefix)+n {
				return string(id)
			}
		}
	}
}
