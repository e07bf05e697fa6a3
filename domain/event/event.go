// Package event knows the events of all streams: it reads any of them, and gives the double entry of any of them.
package event

import (
	"fmt"
	"strings"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
)

// Decode reads the event of a record: a wallet.Event, a merchant.Event (of merchants and operators), a batch.Event, a books.Event or a reconcile.Event. The
// stream says which, since a wallet's stream has types that are named after other things.
func Decode(stream, typ string, schema int, data []byte) (any, error) {
	switch kind, _, _ := strings.Cut(stream, ":"); kind {
	case "wallet":
		return wallet.Decode(typ, schema, data)
	case "merchant", "operator":
		return merchant.Decode(typ, schema, data)
	case "batch":
		return batch.Decode(typ, schema, data)
	case "books":
		return books.Decode(typ, schema, data)
	case "source":
		return reconcile.Decode(typ, schema, data)
	}
	return nil, fmt.Errorf("stream %q is of no known kind", stream)
}

// Postings returns the balanced double entry of an event that Decode has read, whatever it is about. Nil for an event that moves nothing.
func Postings(e any) []books.Posting {
	switch e := e.(type) {
	case wallet.Event:
		return wallet.Postings(e)
	case books.Event:
		return books.Postings(e)
	}
	return nil
}
