package kspay

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Merchants finds apps.
type Merchants interface {
	// Merchant returns a merchant as it is, or was within the last second. domain.NotFound when there is none.
	Merchant(ctx context.Context, id string) (merchant.Merchant, error)
	// MerchantNow returns a merchant as it is now: what was answered before the call, to anybody, is in it.
	MerchantNow(ctx context.Context, id string) (merchant.Merchant, error)
	// ByKeyHash finds merchant and key by the key's SHA-256, in lower-case hexadecimal; false when no merchant has it.
	ByKeyHash(ctx context.Context, hash string) (merchant.Merchant, merchant.Key, bool, error)
}

// Ledger takes commands, and reads payments strongly consistently.
type Ledger interface {
	// Submit returns the payment after the command, when that is durable. Errors: *domain.Error, *executor.DuplicateError and
	// the executor's errors.
	Submit(ctx context.Context, c wallet.Command, o eventstore.Origin) (wallet.Payment, error)
	// Payment is a payment as it is now. domain.NotFound when the merchant has none of that id.
	Payment(ctx context.Context, merchantID, id string) (wallet.Payment, error)
	// Lookup returns the position of the record that holds a dedupe key of the merchant's partition; false when it is free.
	Lookup(ctx context.Context, merchantID, key string) (eventstore.Position, bool, error)
	Record(ctx context.Context, p eventstore.Position) (eventstore.Record, error)
}

// Vault seals personal data, and compares with what is committed to; see eventstore/vault.
type Vault interface {
	SealString(ctx context.Context, owner string, id uuid.UUID, plaintext string) (string, error)
	Matches(ctx context.Context, id uuid.UUID, committed, text string) (bool, error)
}

// Views lists payments.
type Views interface {
	// Payins lists an app's payins, newest first. What was answered before the call is in it.
	Payins(ctx context.Context, q Query) (Page, error)
	// Subject finds whose a payment is, of whatever merchant, by its id.
	Subject(ctx context.Context, id string) (merchantID, payment string, kind wallet.Kind, found bool, err error)
}

// Query asks for a page of an app's payins.
type Query struct {
	App   string
	From  time.Time // made at or after; zero: no bound
	Until time.Time // made before; zero: no bound
	Page  int       // from 1
	Limit int       // 1 to MaxLimit
}

// Page is a part of a list. Total counts all that the query picks.
type Page struct {
	Items []wallet.Payment
	Total int64
}

// Checkouts has orders made at gateways. Errors: *domain.Error, *OrderError; others are faults.
type Checkouts interface {
	// Methods are what a payment company offers; nil of one that is not built in.
	Methods(gateway string) []merchant.Method
	// Ensure has the order of a pending payin made, unless it has one, and returns the payin with it. It takes a bounded time. Asked again
	// after an outcome that was not known, it goes on with the same order. domain.NotFound when no gateway is usable.
	Ensure(ctx context.Context, app merchant.Merchant, p wallet.Payment) (wallet.Payment, error)
	// Client says what the customer's side needs of a payin that has its order. domain.NotFound when its gateway is not there any more.
	Client(ctx context.Context, app merchant.Merchant, p wallet.Payment) (ClientSide, error)
	// Hash makes a hash that PayU's own checkout asks for. It refuses (domain.Invalid, domain.Forbidden) what is not about this payin,
	// its order and its amount: it signs nothing else.
	Hash(ctx context.Context, app merchant.Merchant, p wallet.Payment, name, text string) (string, error)
}

// ClientSide is what a customer's client needs of an order. It holds no secret.
type ClientSide struct {
	Gateway  string // razorpay
	ClientID string // public key of the app's account there
	Live     bool
	OrderID  string
	Details  []Field         // of PayU: what its checkout is given, without the hash
	Config   json.RawMessage // of Razorpay: which methods its checkout shows; nil: all
}

// Field is a named text.
type Field struct{ Name, Value string }

// OrderError says that no gateway has made the order.
type OrderError struct {
	Gateway     string // that was asked last
	Credentials bool   // it does not accept the app's account; else it has refused the order
	Unknown     bool   // nobody knows whether it was made: the same request goes on with it
	Err         error  // for the log
}

func (e *OrderError) Error() string {
	what := "refuses the order"
	switch {
	case e.Unknown:
		what = "has not said whether it made the order"
	case e.Credentials:
		what = "does not accept the account"
	}
	return fmt.Sprintf("the gateway %s %s: %v", e.Gateway, what, e.Err)
}

func (e *OrderError) Unwrap() error { return e.Err }

// Spent remembers what was used once; see eventstore/work.
type Spent interface {
	// SpendOnce returns true to the first who spends an id, and false to all others, at least until that time.
	SpendOnce(ctx context.Context, id string, until time.Time) (first bool, err error)
}

// Ports are what the API works with.
type Ports struct {
	Merchants Merchants
	Ledger    Ledger
	Vault     Vault
	Views     Views
	Checkouts Checkouts
	Spent     Spent
}
