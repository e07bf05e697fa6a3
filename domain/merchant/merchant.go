// Package merchant holds what a merchant is: its services, keys, allowed addresses, callback and fee plan, as events on
// the merchant's own stream; and operators, who have keys but no wallet.
package merchant

import (
	"net/netip"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
)

// Service is something that a merchant may be allowed to use.
type Service string

// The services of the KlyroPay dialect.
const (
	Payin  Service = "payin"
	Payout Service = "payout"
)

// Role is what a key may do.
type Role string

// Roles of merchants' keys, and of operators.
const (
	Full    Role = "full"    // everything
	Maker   Role = "maker"   // of a merchant's key: reads, creates payins, submits and cancels batches, which then need a checker
	Checker Role = "checker" // of a merchant's key: reads, approves, rejects and cancels batches

	Owner   Role = "owner"
	Auditor Role = "auditor"
	Support Role = "support"
)

// Dialect says over which bytes callbacks are signed.
type Dialect string

// The dialects: Stable satisfies every verifier, the others what one platform re-encodes.
const (
	Stable Dialect = ""
	PHP    Dialect = "php"
	Node   Dialect = "node"
	Raw    Dialect = "raw"
)

// Merchant is the state of a merchant, folded from its stream. The zero value does not exist (ID "").
type Merchant struct {
	ID          string         `json:"id"`
	Name        string         `json:"name"`
	Services    []Service      `json:"services"`
	Keys        []Key          `json:"keys"`
	AllowedIPs  []netip.Prefix `json:"allowed_ips"`
	CallbackURL string         `json:"callback_url"`
	Dialect     Dialect        `json:"dialect"`
	Plan        fee.Plan       `json:"plan"`
	Approval    ApprovalRule   `json:"approval"`    // of payout batches
	BatchQuiet  bool           `json:"batch_quiet"` // no callbacks about batches themselves, only about their payouts
	Suspended   bool           `json:"suspended"`
	CreatedAt   time.Time      `json:"created_at"`
	App         *App           `json:"app,omitempty"` // of one that uses the KS Pay API; never written to, but replaced
}

// Key is an API key. The key itself is shown once and never stored: Hash finds it; what signs callbacks is in the vault.
type Key struct {
	ID        string    `json:"id"`   // key_...
	Hash      string    `json:"hash"` // SHA-256 of the key, lower-case hexadecimal
	Last4     string    `json:"last4"`
	Role      Role      `json:"role"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: does not expire
	Revoked   bool      `json:"revoked"`
	AccessKey string    `json:"access_key,omitempty"` // of an app's credentials: the name of the pair whose secret key has Hash
}

// Active reports whether the key may be used at a time.
func (k Key) Active(now time.Time) bool {
	return !k.Revoked && (k.ExpiresAt.IsZero() || now.Before(k.ExpiresAt))
}

// Stream is the log stream, and the subject, of a merchant or operator: its id behind its kind.
func Stream(id string) string { return "merchant:" + id }

// Event is a fact about a merchant.
type Event interface {
	Type() string
	Schema() int
	// Subject is the merchant's id.
	Subject() string
}

// Of names the merchant and who acted.
type Of struct {
	Merchant string `json:"merchant"`
	Actor    string `json:"actor"`
}

// Subject is the merchant's id.
func (o Of) Subject() string { return o.Merchant }

// Created makes a merchant.
type Created struct {
	Of
	Name        string         `json:"name"`
	Services    []Service      `json:"services"`
	AllowedIPs  []netip.Prefix `json:"allowed_ips"`
	CallbackURL string         `json:"callback_url"`
	Plan        fee.Plan       `json:"plan"`
	At          time.Time      `json:"at"`
}

// KeyAdded makes a key.
type KeyAdded struct {
	Of
	Key Key `json:"key"`
}

// KeyExpires ends a key at a time: rotation leaves an overlap.
type KeyExpires struct {
	Of
	KeyID string    `json:"key_id"`
	At    time.Time `json:"at"`
}

// KeyRevoked ends a key at once.
type KeyRevoked struct {
	Of
	KeyID string `json:"key_id"`
}

// IPAllowed adds an address range.
type IPAllowed struct {
	Of
	Prefix netip.Prefix `json:"prefix"`
}

// CallbackSet changes where and how callbacks go.
type CallbackSet struct {
	Of
	URL        string  `json:"url"`
	Dialect    Dialect `json:"dialect"`
	BatchQuiet bool    `json:"batch_quiet,omitempty"` // none about batches themselves
}

// PlanSet changes the fee plan; the version rises by one.
type PlanSet struct {
	Of
	Plan fee.Plan `json:"plan"`
}

// Suspended stops a merchant's API use; money in flight goes on.
type Suspended struct {
	Of
	Reason string `json:"reason"`
}

// Resumed undoes Suspended.
type Resumed struct {
	Of
	Reason string `json:"reason"`
}

// Command asks for a change of a merchant.
type Command interface{ Target() Of }

// Target names the merchant.
func (o Of) Target() Of { return o }

// Create makes a merchant with its first key.
type Create struct {
	Of
	Name        string
	Services    []Service
	AllowedIPs  []netip.Prefix
	CallbackURL string
	Plan        fee.Plan
	Key         Key
	At          time.Time
	App         *NewApp // makes it an app
}

// AddKey adds a key; Replaces, when set, ends that key (or every active key of the role, if "*") at Until.
type AddKey struct {
	Of
	Key      Key
	Replaces string
	Until    time.Time
}

// RevokeKey ends a key at once.
type RevokeKey struct {
	Of
	KeyID string
}

// AllowIP adds an address range.
type AllowIP struct {
	Of
	Prefix netip.Prefix
}

// SetCallback changes where and how callbacks go. It says all of it: what is to stay as it is must be given again.
type SetCallback struct {
	Of
	URL        string
	Dialect    Dialect
	BatchQuiet bool // none about batches themselves, only about their payouts
}

// SetPlan changes the fee plan.
type SetPlan struct {
	Of
	Plan fee.Plan
}

// Suspend stops a merchant's API use.
type Suspend struct {
	Of
	Reason string
}

// Resume undoes Suspend.
type Resume struct {
	Of
	Reason string
}

// Operator is a person at the platform. It lives on a stream of its own, Stream(id), as a merchant does.
type Operator struct {
	ID        string    `json:"id"` // opr_...
	Name      string    `json:"name"`
	Role      Role      `json:"role"`
	Key       Key       `json:"key"`
	CreatedAt time.Time `json:"created_at"`
}

// OperatorCreated makes an operator with its key.
type OperatorCreated struct {
	Of                // Merchant is the operator's id
	Operator Operator `json:"operator"`
}

// OperatorRevoked ends an operator's key.
type OperatorRevoked struct {
	Of
	Reason string `json:"reason"`
}

// CreateOperator makes an operator.
type CreateOperator struct {
	Of
	Operator Operator
}

// RevokeOperator ends an operator's key.
type RevokeOperator struct {
	Of
	Reason string
}
