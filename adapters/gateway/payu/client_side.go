package payu

import (
	"context"
	"slices"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// What an app's own page may ask for.
var (
	_ gateway.Hasher   = (*Client)(nil)
	_ gateway.Detailer = (*Client)(nil)
)

// Hash meets gateway.Hasher: see the function.
func (c *Client) Hash(a gateway.Account, o gateway.Order, hashName, hashString string) (string, error) {
	return Hash(a, o, hashName, hashString)
}

// Details meets gateway.Detailer: the fields of the form that Begin makes, without the hash, which the page asks for by itself.
func (c *Client) Details(a gateway.Account, o gateway.Order, made gateway.Ordered) ([]gateway.Field, error) {
	form, err := c.Begin(context.Background(), a, o, made, o.Method) // it calls nobody
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(form.Fields, func(f gateway.Field) bool { return f.Name == "hash" }), nil
}
