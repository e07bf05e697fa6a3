package eventstore

import "github.com/google/uuid"

// Origin says where a command comes from. It is kept with the records that the command causes.
type Origin struct {
	// Command is the command's id; a new one is made when it is nil. Give one to seal data for the command's first event,
	// whose id it is, or to submit the same command again.
	Command uuid.UUID
	Actor   string // who: key:<key id>, operator:<name>, gateway:<name>, system:<part>
	Request string // request id, as in the server's logs
	// IdempotencyKey, when set, is claimed beside the command's own keys and checked before them. It is already scoped
	// by merchant and path.
	IdempotencyKey string
	// BodyHash is the SHA-256 of the request body, hexadecimal: what a replay must equal. The records get a commitment to it, which is
	// keyed; see eventstore/vault.
	BodyHash string
	// Evidence is in clear; it is sealed before it is stored.
	Evidence []Evidence
}
