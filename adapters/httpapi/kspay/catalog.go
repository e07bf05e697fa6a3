package kspay

import (
	"net/http"
	"slices"
	"strconv"

	"github.com/khata-ledger/khata/domain/merchant"
)

// wrongID is the refusal of a malformed id.
func wrongID(prefix string) *refusal {
	return refuse("(top)/invalidNanoid", prefix, strconv.Itoa(len(prefix)+merchant.IDLength(prefix)))
}

func (a *API) currencies(c *call) error {
	if err := c.bearer(); err != nil {
		return err
	}
	var items [][]byte
	for _, k := range c.app.App.Currencies {
		info, known := merchant.CurrencyByCode(k.Currency)
		if !known {
			continue
		}
		var o object
		o.text("id", info.ID)
		o.text("currencyId", info.ID)
		o.text("name", info.Name)
		o.text("code", string(info.Code))
		o.text("symbol", info.Symbol)
		o.text("type", info.Type)
		o.text("userId", c.app.App.UserID)
		o.flag("isActive", k.Enabled)
		o.flag("isDisabled", !k.Enabled)
		o.time("createdAt", k.CreatedAt)
		o.time("updatedAt", k.UpdatedAt)
		items = append(items, o.end())
	}
	c.succeed(http.StatusOK, list(items))
	return nil
}

// currency finds a currency that the app takes.
func (c *call) currency(id string) (merchant.CurrencyInfo, error) {
	if !merchant.ValidID("c_", id) {
		return merchant.CurrencyInfo{}, wrongID("c_")
	}
	info, known := merchant.CurrencyByID(id)
	if _, takes := c.app.App.Plan(info.Code); !known || !takes {
		return merchant.CurrencyInfo{}, refuse("gatewayErrors/invalidCurrencyId")
	}
	return info, nil
}

// offered are the methods that the app's customers can pay by in a currency.
func (c *call) offered(info merchant.CurrencyInfo) []merchant.Method {
	return c.app.App.MethodsOf(info.Code, c.api.ports.Checkouts.Methods)
}

func (a *API) paymentMethods(c *call) error {
	if err := c.bearer(); err != nil {
		return err
	}
	info, err := c.currency(c.r.PathValue("currencyId"))
	if err != nil {
		return err
	}
	var items [][]byte
	for _, m := range c.offered(info) {
		var o object
		o.text("id", merchant.MethodID(m))
		o.text("paymentMethodId", merchant.MethodID(m))
		o.text("name", string(m))
		o.flag("isActive", true)
		o.flag("isDisabled", false)
		items = append(items, o.end())
	}
	c.succeed(http.StatusOK, list(items))
	return nil
}

// method finds a method that can be paid by; "" is any of them.
func (c *call) method(id string, info merchant.CurrencyInfo) (merchant.Method, error) {
	offered := c.offered(info)
	if id == "" {
		if len(offered) == 0 {
			return "", refuse("gatewayErrors/gatewayNotFound")
		}
		return "", nil
	}
	if !merchant.ValidID("pm_", id) {
		return "", wrongID("pm_")
	}
	m, known := merchant.MethodByID(id)
	switch {
	case !known:
		return "", refuse("(top)/invalidPaymentMethodIds", id)
	case !slices.Contains(offered, m):
		return "", refuse("gatewayErrors/gatewayNotFound")
	}
	return m, nil
}
