package kspay

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Bounds of lists.
const (
	DefaultLimit = 100
	MaxLimit     = 1000
	maxPage      = 1_000_000_000
	maxRange     = 90 * 24 * time.Hour
)

func (a *API) transaction(c *call) error {
	if err := c.bearer(); err != nil {
		return err
	}
	id := c.r.PathValue("id")
	if !merchant.ValidID(transactionPrefix, id) {
		return wrongID(transactionPrefix)
	}
	p, err := c.payin(id)
	if err != nil {
		return err
	}
	c.succeed(http.StatusOK, c.show(&p))
	return nil
}

func (a *API) transactionByReference(c *call) error {
	if err := c.bearer(); err != nil {
		return err
	}
	reference := c.r.PathValue("referenceNumber")
	if !validReference(reference) {
		return refuse("(top)/uuidErr", shown(reference))
	}
	at, found, err := a.ports.Ledger.Lookup(c.r.Context(), c.app.ID, wallet.PayinKey(c.app.ID, reference))
	if err != nil {
		return failed("looking up a referenceNumber", err)
	}
	if !found {
		return refuse("systemError/noDataFound")
	}
	p, _, err := c.held(c.r.Context(), at, "")
	if err != nil {
		return err
	}
	c.succeed(http.StatusOK, c.show(&p))
	return nil
}

// shown makes what a client sent fit to be said back to it.
func shown(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxReference)]
}

func (a *API) transactions(c *call) error {
	if err := c.bearer(); err != nil {
		return err
	}
	q, err := c.query()
	if err != nil {
		return err
	}
	page, err := a.ports.Views.Payins(c.r.Context(), q)
	if err != nil {
		return failed("listing transactions", err)
	}
	items := make([][]byte, len(page.Items))
	for i := range page.Items {
		items[i] = c.show(&page.Items[i])
	}
	c.succeed(http.StatusOK, list(items),
		member{"page", strconv.AppendInt(nil, int64(q.Page), 10)},
		member{"limit", strconv.AppendInt(nil, int64(q.Limit), 10)},
		member{"total", strconv.AppendInt(nil, page.Total, 10)})
	return nil
}

// query reads the filters of a list.
func (c *call) query() (Query, error) {
	q := Query{App: c.app.ID}
	values, err := url.ParseQuery(c.r.URL.RawQuery)
	if err != nil {
		return q, refuse("systemError/invalidRequest")
	}
	for name, v := range values {
		if len(v) > 1 && (name == "page" || name == "limit" || name == "fromDate" || name == "toDate") {
			return q, custom("%s must be given once", name)
		}
	}
	if q.Page, err = positive("page", values.Get("page"), 1, maxPage); err != nil {
		return q, err
	}
	if q.Limit, err = positive("limit", values.Get("limit"), DefaultLimit, MaxLimit); err != nil {
		return q, err
	}
	return q, c.dates(&q, values.Get("fromDate"), values.Get("toDate"))
}

// positive reads page or limit: a whole number from 1 on.
func positive(name, s string, preset, most int) (int, error) {
	if s == "" {
		return preset, nil
	}
	n, err := strconv.Atoi(s)
	switch {
	case !digits(s) || err == nil && n < 1:
		return 0, refuse("pagination/" + name + "ShouldBePositive")
	case err != nil || n > most:
		return 0, custom("%s should not be more than %d", name, most)
	}
	return n, nil
}

// date is one end of a range: a day of the zone, or an instant.
type date struct {
	at    time.Time // its beginning
	whole bool      // a day
}

func parseDate(s string, zone *time.Location) (date, bool) {
	if at, err := time.ParseInLocation(time.DateOnly, s, zone); err == nil {
		return date{at, true}, true
	}
	at, err := time.Parse(time.RFC3339Nano, s)
	return date{at: at}, err == nil
}

// end is the first instant behind it. Times are shown in milliseconds, so that an instant stands for all of its own.
func (d date) end() time.Time {
	if d.whole {
		return d.at.AddDate(0, 0, 1)
	}
	return d.at.Truncate(time.Millisecond).Add(time.Millisecond)
}

// dates reads fromDate and toDate, both inclusive.
func (c *call) dates(q *Query, from, to string) error {
	if from == "" && to == "" {
		return nil
	}
	if from == "" || to == "" {
		return refuse("customErrors/startAndEndDateRequired")
	}
	zone := c.api.opts.Zone
	first, ok := parseDate(from, zone)
	if !ok {
		return custom("fromDate must be a date such as 2024-08-03 or a time such as 2024-08-03T11:57:59.647Z")
	}
	last, ok := parseDate(to, zone)
	if !ok {
		return custom("toDate must be a date such as 2024-08-03 or a time such as 2024-08-03T11:57:59.647Z")
	}
	tomorrow := dayOf(c.now(), zone).AddDate(0, 0, 1)
	switch {
	case !first.at.Before(tomorrow):
		return refuse("customErrors/startDateAfterToday")
	case !last.at.Before(tomorrow):
		return refuse("customErrors/endDateAfterToday")
	case !first.at.Before(last.end()) || !first.whole && !last.whole && !first.at.Before(last.at):
		return refuse("customErrors/dateRangeError")
	case first.at.Before(dayOf(c.app.CreatedAt, zone)):
		return refuse("customErrors/startDateBeforeAppCreation")
	case last.at.Sub(first.at) > maxRange:
		return refuse("customErrors/datesExceedError")
	}
	q.From, q.Until = eventstore.Micros(first.at), eventstore.Micros(last.end())
	return nil
}

// dayOf is the first instant of the day of a time.
func dayOf(t time.Time, zone *time.Location) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d, 0, 0, 0, 0, zone)
}

// show is a transaction as the document has it.
func (c *call) show(p *wallet.Payment) []byte {
	k := &p.Checkout
	info, _ := merchant.CurrencyByCode(p.Currency)
	provider := ""
	if p.Gateway != wallet.Unrouted {
		provider = strings.ToUpper(p.Gateway)
	}
	var o object
	o.text("id", p.Payment)
	o.option("providerOrderId", k.Order)
	o.option("currencyId", info.ID)
	o.text("appId", c.app.ID)
	o.text("referenceNumber", p.OrderID)
	o.option("paymentMethodId", merchant.MethodID(merchant.Method(k.Method)))
	o.text("amount", p.Amount.Short())
	o.text("currencyCode", string(p.Currency))
	o.option("origin", k.Origin)
	o.option("gatewayConfigId", k.Config)
	o.option("paymentType", paymentType(k))
	o.option("subPaymentType", k.PaidBySub)
	o.option("providerName", provider)
	o.option("providerPaymentType", k.PaidBy)
	o.option("providerSubpaymentType", k.PaidBySub)
	o.option("providerTxnId", p.PaymentID)
	o.option("signature", k.Signature)
	o.text("status", statusOf(p))
	o.option("providerStatus", providerStatus(p))
	o.text("userId", c.app.App.UserID)
	o.flag("isPaid", p.Status == wallet.Success)
	o.time("createdAt", p.CreatedAt)
	o.time("updatedAt", p.UpdatedAt)
	return o.end()
}

// statusOf is a status by the names of the API.
func statusOf(p *wallet.Payment) string {
	switch p.Status {
	case wallet.Success:
		return "SUCCESS"
	case wallet.Failed:
		return "FAILED"
	case wallet.Expired:
		return "EXPIRED"
	default:
		return "PENDING"
	}
}

// providerStatus is what the gateway last said, in the words of the document; "" while it was not asked.
func providerStatus(p *wallet.Payment) string {
	switch {
	case p.Status == wallet.Success:
		return "CAPTURED"
	case p.Status == wallet.Failed:
		return "FAILED"
	case p.Checkout.Order != "":
		return "CREATED"
	}
	return ""
}

// paymentType is the method that was asked for, or, where the customer chose, the one that it was paid by, as far as the gateways' words for it are
// known.
func paymentType(k *wallet.Checkout) string {
	if k.Method != "" {
		return k.Method
	}
	switch strings.ToLower(k.PaidBy) {
	case "upi":
		return string(merchant.UPI)
	case "netbanking", "net_banking", "nb":
		return string(merchant.NetBanking)
	case "debit_card", "dc":
		return string(merchant.DebitCard)
	case "credit_card", "cc":
		return string(merchant.CreditCard)
	case "wallet", "app", "cash", "cashcard":
		return string(merchant.EWallet)
	case "paylater", "pay_later":
		return string(merchant.PayLater)
	case "paypal":
		return string(merchant.PayPal)
	}
	return ""
}
