package razorpay

import (
	"encoding/json"

	"github.com/khata-ledger/khata/adapters/gateway"
)

var _ gateway.Configurer = (*Client)(nil)

// Config meets gateway.Configurer: see the function.
func (c *Client) Config(_ gateway.Account, o gateway.Order, _ gateway.Ordered) (json.RawMessage, error) {
	return Config(o.Method), nil
}
