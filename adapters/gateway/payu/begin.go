package payu

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain/merchant"
)

// Begin meets gateway.Checkout: the form of PayU's hosted checkout (documentation, Collect Payment API - PayU Hosted Checkout). It calls nobody.
func (c *Client) Begin(_ context.Context, a gateway.Account, o gateway.Order, _ gateway.Ordered, m merchant.Method) (gateway.Continuation, error) {
	if err := takes(o); err != nil {
		return gateway.Continuation{}, fmt.Errorf("payu: the checkout of %s: %w", o.Reference, err)
	}
	key, salt := a.Credentials[keyName], a.Credentials[saltName]
	if key == "" || salt == "" {
		return gateway.Continuation{}, fmt.Errorf("payu: the checkout of %s: configuration %s: %w", o.Reference, a.Config, gateway.ErrCredentials)
	}
	address, err := wire.Base(a, livePages, test)
	if err != nil {
		return gateway.Continuation{}, fmt.Errorf("payu: the checkout of %s: %w", o.Reference, err)
	}
	values := form(key, o, m)
	values["hash"] = sum(append(paymentFields(values), salt)...)
	return gateway.Continuation{Post: true, URL: address + "/_payment", Fields: listed(values,
		"key", "txnid", "amount", "productinfo", "firstname", "email", "phone", "surl", "furl", "enforce_paymethod", "udf1", "hash")}, nil
}

// form is what PayU is to know of a payment.
func form(key string, o gateway.Order, m merchant.Method) map[string]string {
	return map[string]string{
		"key": key, "txnid": o.Reference, "amount": o.Amount.Fixed(), "productinfo": cmp.Or(clean(o.Description, 100), "Payment"),
		"firstname": cmp.Or(clean(o.Name, 60), "Customer"), "email": cmp.Or(clean(o.Email, 50), nobody(o)), "phone": cmp.Or(clean(o.Phone, 50), noPhone),
		"surl": o.ReturnURL, "furl": o.ReturnURL, "enforce_paymethod": method(m), "udf1": o.Reference,
	}
}

// listed are values in the order of their names, without those that are empty.
func listed(values map[string]string, names ...string) []gateway.Field {
	var out []gateway.Field
	for _, name := range names {
		if v := values[name]; v != "" {
			out = append(out, gateway.Field{Name: name, Value: v})
		}
	}
	return out
}

// clean is a text as PayU takes it: no bars, which part a hash's fields, and nothing of HTML.
func clean(s string, limit int) string {
	return wire.Text(strings.Map(func(r rune) rune {
		if strings.ContainsRune(`|<>"'\&`, r) {
			return ' '
		}
		return r
	}, s), limit)
}

// noPhone stands for a customer who has told no number, since PayU insists on one, too. It is nobody's.
const noPhone = "0000000000"

// nobody is the e-mail address of a customer who has told none, since PayU insists on one: the transaction's, at the host where the customer
// comes back to.
func nobody(o gateway.Order) string {
	host := "invalid"
	if u, err := url.Parse(o.ReturnURL); err == nil && strings.Contains(u.Hostname(), ".") {
		host = u.Hostname()
	}
	return clean(o.Reference+"@"+host, 50)
}

// method is what PayU calls a method; "" lets the customer choose.
func method(m merchant.Method) string {
	switch m {
	case merchant.NetBanking:
		return "netbanking"
	case merchant.EWallet:
		return "cashcard"
	case merchant.DebitCard:
		return "debitcard"
	case merchant.CreditCard:
		return "creditcard"
	case merchant.UPI:
		return "upi"
	case merchant.PayLater, merchant.PayPal:
	}
	return ""
}
