package checkout_test

import (
	"net/http"
	"net/url"
	"testing"
)

// A shop that is disabled takes no more money by the links that it has given out; what is under way is still shown and finished.
func TestDisabledShopTakesNothing(t *testing.T) {
	s := open(t)
	s.app.Suspended = true
	page := "/checkout/" + s.token()
	s.want(s.ask(page, nil), http.StatusServiceUnavailable, "No way to pay", "!<form")
	s.want(s.ask(page+"/pay", url.Values{"method": {"UPI"}}), http.StatusServiceUnavailable, "No way to pay", "!company.example")
	if p := s.payments[txID]; s.began != "" || p.Checkout.Order != "" {
		t.Errorf("an order was made, or begun: %+v, %q", p.Checkout, s.began)
	}
	s.want(s.ask(page+"/return", url.Values{"a": {"b"}}), http.StatusOK, "Confirming your payment")
}
