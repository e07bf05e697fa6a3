package kspay_test

import (
	"bytes"
	"fmt"
	"mime/multipart"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

func TestAmounts(t *testing.T) {
	s := serve(t)
	signature := s.signature(appA)
	const (
		plain    = "amount must be a plain decimal number"
		number   = "amount must be a number"
		positive = "amount must be more than zero"
		large    = "amount is too large"
	)
	decimals := func(n int) string {
		return fmt.Sprint("Number should have at most the allowed number of decimal places ie - ", n)
	}
	for i, c := range []struct{ currency, raw, shown, problem string }{
		{inr, "345.67", "345.67", ""}, {inr, "11", "11", ""}, {inr, "11.0", "11", ""}, {inr, "11.10", "11.1", ""}, {inr, "0.01", "0.01", ""}, {inr, `"345.67"`, "345.67", ""},
		{inr, `" 7 "`, "7", ""}, {inr, "11.000", "11", ""}, {inr, "9999999999999.99", "9999999999999.99", ""}, {inr, "0.1", "0.1", ""},
		{inr, "345.678", "", decimals(2)}, {inr, "0.001", "", decimals(2)}, {inr, `"1.005"`, "", decimals(2)},
		{jpy, "345", "345", ""}, {jpy, "345.00", "345", ""}, {jpy, "345.5", "", decimals(0)},
		{kwd, "345.678", "345.678", ""}, {kwd, "345.6789", "", decimals(3)}, {usd, "0.99", "0.99", ""}, {usd, "0.999", "", decimals(2)},
		{inr, "0", "", positive}, {inr, "-1", "", positive}, {inr, "0.00", "", positive}, {inr, "-0", "", positive},
		{inr, "10000000000000.01", "", large}, {inr, strings.Repeat("9", 25), "", large}, {inr, "99999999999999999999999999999999999999", "", large},
		{inr, "1e2", "", plain}, {inr, `"1,000"`, "", plain}, {inr, `"01"`, "", plain}, {inr, `"+1"`, "", plain}, {inr, `".5"`, "", plain}, {inr, `"5."`, "", plain},
		{inr, `"₹5"`, "", plain}, {inr, `"NaN"`, "", plain}, {inr, `"0x10"`, "", plain}, {inr, `"1 0"`, "", plain}, {inr, `" "`, "", plain},
		{inr, "true", "", number}, {inr, "[1]", "", number}, {inr, "{}", "", number},
	} {
		method := netbanking
		if c.currency == usd {
			method = paypal
		}
		r := s.send("POST", "/transaction/initiate", wish("currencyId", quote(c.currency), "paymentMethodId", quote(method), "amount", c.raw, "referenceNumber", quote(fmt.Sprint("A", i))), signature)
		switch {
		case strings.HasPrefix(c.problem, "Number"):
			r.want(t, "(top)/decimalValueAmountError", c.problem)
		case c.problem != "":
			r.want(t, "(top)/customError", c.problem)
		case r.status != 201 || r.get(t, "result", "amount") != c.shown:
			t.Errorf("%s %s: %d %s", c.currency, c.raw, r.status, r.body)
		default:
			p := s.books.payments[r.get(t, "result", "pe_txnId")]
			info, _ := merchant.CurrencyByID(c.currency)
			if !p.Amount.Equal(amountOf(c.shown, info.Code)) || p.Currency != info.Code {
				t.Errorf("%s %s is kept as %s", c.currency, c.raw, p.Amount)
			}
		}
	}
}

// Fees are the app's own in that currency, and never more than the amount.
func TestFees(t *testing.T) {
	s := serve(t)
	for i := range s.books.apps[appA].App.Currencies {
		if k := &s.books.apps[appA].App.Currencies[i]; k.Currency == "JPY" {
			k.Plan.Payin.Commission.Flat = amountOf("10", "JPY").Decimal()
			k.Plan.Payin.Min, k.Plan.Payin.Max, k.Plan.ID = amountOf("5", "JPY").Decimal(), amountOf("5000", "JPY").Decimal(), "yen"
		}
	}
	id := s.initiate("currencyId", quote(jpy), "amount", "1000").get(t, "result", "pe_txnId")
	if p := s.books.payments[id]; p.Commission.Fixed() != "20" || p.Fee.Plan != "yen" || p.Currency != money.Currency("JPY") {
		t.Errorf("%+v", p.Priced)
	}
	signature := s.signature(appA)
	for amount, problem := range map[string]string{
		"4": "amount must be at least 5", "5001": "amount must be at most 5000", "6": "amount is less than its commission of 10",
	} {
		s.send("POST", "/transaction/initiate", wish("currencyId", quote(jpy), "amount", amount, "referenceNumber", `"n"`), signature).want(t, "(top)/customError", problem)
	}
}

func TestInitiateFields(t *testing.T) {
	s := serve(t)
	signature, token := s.signature(appA), s.token(appA)
	const custom, missing = "(top)/customError", "(top)/InvalidId"
	id := func(prefix string, n int) string {
		return fmt.Sprintf("ID must start with '%s' and be %d characters long with alphanumeric characters following the prefix.", prefix, n)
	}
	for _, c := range []struct{ name, raw, row, message string }{
		{"currencyId", "", missing, "currencyId not present in Request"}, {"currencyId", `""`, missing, "currencyId not present in Request"},
		{"paymentMethodId", "", missing, "paymentMethodId not present in Request"}, {"amount", "null", missing, "amount not present in Request"},
		{"referenceNumber", "", missing, "referenceNumber not present in Request"},
		{"currencyId", "7", custom, "currencyId must be a string"}, {"paymentMethodId", "[]", custom, "paymentMethodId must be a string"},
		{"currencyId", `"c_1"`, "(top)/invalidNanoid", id("c_", 12)}, {"currencyId", `"c_WkmEe23Le_"`, "(top)/invalidNanoid", id("c_", 12)},
		{"currencyId", `"c_0000000000"`, "gatewayErrors/invalidCurrencyId", ""}, {"currencyId", quote(eur), "gatewayErrors/invalidCurrencyId", ""},
		{"currencyId", `"c_Bt0cUe2RwD"`, "gatewayErrors/invalidCurrencyId", ""},
		{"paymentMethodId", `"pm_1"`, "(top)/invalidNanoid", id("pm_", 12)}, {"paymentMethodId", quote(paypal), "gatewayErrors/gatewayNotFound", ""},
		{"referenceNumber", `"a b"`, custom, "referenceNumber must be 1 to 64 letters, digits, _ and -"}, {"referenceNumber", `"é"`, custom, "referenceNumber must be 1 to 64 letters, digits, _ and -"},
		{"referenceNumber", quote(strings.Repeat("r", 65)), custom, "referenceNumber must be 1 to 64 letters, digits, _ and -"}, {"referenceNumber", "12", custom, "referenceNumber must be a string"},
		{"appId", `"ap_"`, "(top)/invalidNanoid", id("ap_", 12)}, {"appId", quote(appB), "keyVaultErrors/userDoesNotBelongToApp", ""}, {"appId", "1", custom, "appId must be a string"},
		{"redirectUrl", "1", custom, "redirectUrl must be a string"}, {"interfaceType", `"tv"`, custom, "interfaceType must be sdk or web"},
	} {
		r := s.send("POST", "/transaction/initiate", wish(c.name, c.raw), signature)
		if c.message == "" {
			r.want(t, c.row)
		} else {
			r.want(t, c.row, c.message)
		}
	}
	if len(s.books.order) != 0 {
		t.Errorf("refusals made %d transactions", len(s.books.order))
	}
	for _, good := range [][]string{
		{"appId", quote(appA)}, {"interfaceType", `"sdk"`}, {"interfaceType", "null"}, {"other", `{"a":[1]}`}, {"referenceNumber", quote(strings.Repeat("r", 64))}, {"redirectUrl", `""`},
	} {
		body := wish(good...)
		if good[0] != "referenceNumber" {
			body = strings.Replace(body, "OcrcZcu5z0Az1w2Z", "R_-"+good[0]+fmt.Sprint(len(good[1])), 1)
		}
		if r := s.send("POST", "/transaction/initiate", body, signature); r.status != 201 {
			t.Errorf("%v: %d %s", good, r.status, r.body)
		}
	}
	s.books.apps[appA].App.Gateways = nil
	s.send("POST", "/transaction/initiate", wish("paymentMethodId", ""), token).want(t, "gatewayErrors/gatewayNotFound")
	s.books.apps[appA].Services = []merchant.Service{merchant.Payout}
	s.send("POST", "/transaction/initiate", wish(), token).want(t, "systemError/unauthorizedAccess")
}

// The same request in every form that the guide names.
func TestBodies(t *testing.T) {
	s := serve(t)
	fields := url.Values{"currencyId": {inr}, "paymentMethodId": {netbanking}, "amount": {"345.67"}}
	form := func(reference string) string {
		v := url.Values{"referenceNumber": {reference}}
		for name, value := range fields {
			v[name] = value
		}
		return v.Encode()
	}
	multi := func(reference string) (string, string) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		for name, value := range fields {
			if err := w.WriteField(name, value[0]); err != nil {
				t.Fatal(err)
			}
		}
		if err := w.WriteField("referenceNumber", reference); err != nil || w.Close() != nil {
			t.Fatal(err)
		}
		return b.String(), "Content-Type: " + w.FormDataContentType()
	}
	signature := s.signature(appA)
	data, kind := multi("multi")
	for i, c := range [][2]string{
		{form("form"), "Content-Type: application/x-www-form-urlencoded"}, {form("form2"), "Content-Type: application/x-www-form-urlencoded; charset=UTF-8"},
		{data, kind}, {wish("referenceNumber", `"raw"`), "Content-Type: text/plain"}, {wish("referenceNumber", `"none"`), "Content-Type:"},
		{" \n" + wish("referenceNumber", `"curl"`), "Content-Type: application/x-www-form-urlencoded"}, {form("bare"), "Content-Type:"},
	} {
		if r := s.send("POST", "/transaction/initiate", c[0], signature, c[1]); r.status != 201 || r.get(t, "result", "amount") != "345.67" {
			t.Errorf("case %d: %d %s", i, r.status, r.body)
		}
	}
	// Form data has other borders when it is sent again, and is the same request all the same.
	s.gateways.refuses["razorpay"] = "dies"
	one, kind := multi("again")
	s.send("POST", "/transaction/initiate", one, signature, kind)
	s.gateways.refuses = map[string]string{}
	two, kind := multi("again")
	if r := s.send("POST", "/transaction/initiate", two, signature, kind); r.status != 201 || one == two {
		t.Errorf("%d %s", r.status, r.body)
	}
	auth := url.Values{"accesskey": {accessOf(appA)}, "secretKey": {secretOf(appA)}}.Encode()
	if r := s.send("POST", "/auth/generate-token/"+appA, auth, "Content-Type: application/x-www-form-urlencoded"); r.status != 201 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestMalformedBodies(t *testing.T) {
	s := serve(t)
	const path = "/v1/auth/generate-token/" + appA
	file := "--b\r\nContent-Disposition: form-data; name=\"accessKey\"; filename=\"a\"\r\n\r\nx\r\n--b--\r\n"
	for i, c := range [][2]string{
		{"{", ""}, {"[]", ""}, {`{"a":1,"a":2}`, ""}, {"{}x", ""}, {"\xff", ""}, {`{"a":"\xff"}`, ""}, {"a=1&a=2", "application/x-www-form-urlencoded"}, {"a=%zz", "application/x-www-form-urlencoded"},
		{"a=%ff", "application/x-www-form-urlencoded"}, {strings.Repeat("a&", 200), "application/x-www-form-urlencoded"}, {"x", "multipart/form-data"}, {"x", "multipart/form-data; boundary=b"},
		{file, "multipart/form-data; boundary=b"}, {strings.Replace(file, `; filename="a"`, "", 1)[:40], "multipart/form-data; boundary=b"},
		{strings.Repeat("--b\r\nContent-Disposition: form-data; name=\"accessKey\"\r\n\r\nx\r\n", 2) + "--b--\r\n", "multipart/form-data; boundary=b"},
	} {
		headers := []string{}
		if c[1] != "" {
			headers = append(headers, "Content-Type: "+c[1])
		}
		r := s.send("POST", path, c[0], headers...)
		if r.status != 400 || r.get(t, "code") != "25" {
			t.Errorf("case %d: %d %s", i, r.status, r.body)
		}
	}
	for _, kind := range []string{"application/xml", "application/json; charset=utf-16", "junk/", "image/png"} {
		if r := s.send("POST", path, pair(appA), "Content-Type: "+kind); r.status != 415 || r.get(t, "code") != "25" {
			t.Errorf("%s: %d %s", kind, r.status, r.body)
		}
	}
	if r := s.send("POST", path, pair(appA), "Content-Encoding: gzip"); r.status != 415 {
		t.Errorf("gzip: %d %s", r.status, r.body)
	}
	if r := s.send("POST", path, pair(appA)+strings.Repeat(" ", 20<<10)); r.status != 413 || r.get(t, "code") != "25" {
		t.Errorf("a large body: %d %s", r.status, r.body)
	}
	s.send("POST", path, `{"accessKey":["x"],"secretKey":"y"}`).want(t, "(top)/customError", "accessKey must be a string")
	s.send("POST", path, `{"accessKey":"`+accessOf(appA)+`","secretKey":7}`).want(t, "(top)/customError", "secretKey must be a string")
}

func TestCatalogue(t *testing.T) {
	s := serve(t)
	token := s.token(appA)
	r := s.send("GET", "/currencies", "", token)
	rupees := `{"id":"c_WkmEe23LeI","currencyId":"c_WkmEe23LeI","name":"Rupees","code":"INR","symbol":"Rs","type":"FIAT","userId":"us_M6jVa85Zb","isActive":true,"isDisabled":false,` +
		`"createdAt":"2025-12-30T10:00:00.000Z","updatedAt":"2026-04-30T10:00:00.000Z"}`
	if !strings.HasPrefix(r.body, `{"status":200,"message":"success","result":[`+rupees+`,{`) || r.get(t, "result", 4, "code") != "EUR" || r.get(t, "result", 4, "isActive") != "false" {
		t.Errorf("%s", r.body)
	}
	r = s.send("GET", "/"+usd+"/payment-methods", "", token)
	if r.body != `{"status":200,"message":"success","result":[{"id":"pm_Py8pAl3Kc","paymentMethodId":"pm_Py8pAl3Kc","name":"PAYPAL","isActive":true,"isDisabled":false}]}` {
		t.Errorf("%s", r.body)
	}
	if r := s.send("GET", "/v1/"+inr+"/payment-methods", "", token); strings.Count(r.body, `"id":`) != 5 {
		t.Errorf("%s", r.body)
	}
	s.books.apps[appA].App.Gateways[2].Enabled = false
	if r := s.send("GET", "/"+usd+"/payment-methods", "", token); r.body != `{"status":200,"message":"success","result":[]}` {
		t.Errorf("%s", r.body)
	}
	s.send("GET", "/"+eur+"/payment-methods", "", token).want(t, "gatewayErrors/invalidCurrencyId")
	s.send("GET", "/USD/payment-methods", "", token).want(t, "(top)/invalidNanoid", strings.Replace(wrongTx, "tx_", "c_", 1))
}

func TestOthersTransactions(t *testing.T) {
	s := serve(t)
	id := s.initiate().get(t, "result", "pe_txnId")
	token := s.token(appB)
	s.send("GET", "/transaction/txnId/"+id, "", token).want(t, "systemError/noDataFound")
	s.send("GET", "/transaction/referenceNo/OcrcZcu5z0Az1w2Z", "", token).want(t, "systemError/noDataFound")
	if r := s.send("GET", "/transaction", "", token); r.body != `{"status":200,"message":"success","result":[],"page":1,"limit":100,"total":0}` {
		t.Errorf("%s", r.body)
	}
	s.send("GET", "/transaction/referenceNo/%3Cb%3E%22%E2%82%AC", "", token).want(t, "(top)/uuidErr", `Invalid ID <b>"?`)
}

func TestList(t *testing.T) {
	s := serve(t, func(o *kspay.Options) { o.TokenLife = 1000 * time.Hour })
	token := s.token(appA)
	s.advance(-30 * 24 * time.Hour)
	var ids []string
	for i := range 5 {
		ids = append(ids, s.initiate("referenceNumber", quote(fmt.Sprint("R", i))).get(t, "result", "pe_txnId"))
		s.advance(24*time.Hour + 123*time.Microsecond) // 31 March, 15:30 in India, and the days after
	}
	s.advance(day.Sub(s.clock()))
	for query, want := range map[string]string{
		"": "43210", "page=1&limit=2": "43", "page=3&limit=2": "0", "page=4&limit=2": "", "fromDate=&toDate=": "43210", "limit=&page=": "43210",
		"fromDate=2026-03-31&toDate=2026-03-31": "0", "fromDate=2026-04-01&toDate=2026-04-03": "321", "fromDate=2026-04-01T10:00:00.000Z&toDate=2026-04-03T10:00:00.000Z": "321",
		"fromDate=2026-04-01T10:00:00.001Z&toDate=2026-04-03T09:59:59.999Z": "2", "fromDate=2026-04-01T15:30:00%2B05:30&toDate=2026-04-01": "1",
		"fromDate=2026-04-01&toDate=2026-04-30T10:00:00.000Z&page=2&limit=1": "3", "fromDate=2026-01-30&toDate=2026-04-30": "43210",
	} {
		r := s.send("GET", "/v1/transaction?"+query, "", token)
		if r.status != 200 {
			t.Errorf("%s: %d %s", query, r.status, r.body)
			continue
		}
		got := ""
		for i := range strings.Count(r.body, `"id":`) {
			for n, id := range ids {
				if r.get(t, "result", i, "id") == id {
					got += fmt.Sprint(n)
				}
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", query, got, want)
		}
	}
	const custom = "(top)/customError"
	for query, c := range map[string][2]string{
		"page=0": {"pagination/pageShouldBePositive"}, "page=-1": {"pagination/pageShouldBePositive"}, "page=x": {"pagination/pageShouldBePositive"}, "page=1.5": {"pagination/pageShouldBePositive"},
		"limit=0": {"pagination/limitShouldBePositive"}, "limit=%2B1": {"pagination/limitShouldBePositive"}, "limit=1001": {custom, "limit should not be more than 1000"},
		"page=99999999999999999999": {custom, "page should not be more than 1000000000"}, "page=1&page=2": {custom, "page must be given once"}, "%zz": {"systemError/invalidRequest"},
		"fromDate=2026-04-01": {"customErrors/startAndEndDateRequired"}, "toDate=2026-04-01": {"customErrors/startAndEndDateRequired"},
		"fromDate=yesterday&toDate=2026-04-01":                                {custom, "fromDate must be a date such as 2024-08-03 or a time such as 2024-08-03T11:57:59.647Z"},
		"fromDate=2026-04-01&toDate=2026-02-30":                               {custom, "toDate must be a date such as 2024-08-03 or a time such as 2024-08-03T11:57:59.647Z"},
		"fromDate=2026-04-02&toDate=2026-04-01":                               {"customErrors/dateRangeError"},
		"fromDate=2026-04-01T10:00:00Z&toDate=2026-04-01T10:00:00Z":           {"customErrors/dateRangeError"},
		"fromDate=2026-05-01&toDate=2026-05-02":                               {"customErrors/startDateAfterToday"},
		"fromDate=2026-04-30T18:30:00Z&toDate=2026-05-02":                     {"customErrors/startDateAfterToday"},
		"fromDate=2026-04-30&toDate=2026-04-30T18:30:00Z":                     {"customErrors/endDateAfterToday"},
		"fromDate=2025-12-29&toDate=2026-01-02":                               {"customErrors/startDateBeforeAppCreation"},
		"fromDate=2026-01-29&toDate=2026-04-30":                               {"customErrors/datesExceedError"},
		"fromDate=2026-01-29T10:00:00.000Z&toDate=2026-04-29T10:00:00.001Z":   {"customErrors/datesExceedError"},
		"fromDate=2026-04-01&fromDate=2026-04-01&toDate=2026-04-02":           {custom, "fromDate must be given once"},
		"fromDate=0001-01-01T00:00:00Z&toDate=2026-04-01":                     {"customErrors/startDateBeforeAppCreation"},
		"fromDate=2026-04-01&toDate=9999-12-31T23:59:59.999999999Z&limit=100": {"customErrors/endDateAfterToday"},
	} {
		r := s.send("GET", "/v1/transaction?"+query, "", token)
		if c[1] != "" {
			r.want(t, c[0], c[1])
		} else {
			r.want(t, c[0])
		}
	}
	if r := s.send("GET", "/v1/transaction?fromDate=2025-12-30&toDate=2025-12-31", "", token); r.status != 200 {
		t.Errorf("from the day on which the app was made: %d %s", r.status, r.body)
	}
}

func TestHash(t *testing.T) {
	s := serve(t, func(o *kspay.Options) { o.FailureLimit, o.RateLimit, o.SignatureLife = 8, 30, time.Hour })
	s.gateways.refuses["razorpay"] = "no"
	token := s.token(appA)
	begin := func(reference string) (id, signature string) {
		r := s.send("POST", "/transaction/initiate", wish("referenceNumber", quote(reference)), token)
		return s.books.order[len(s.books.order)-1], r.get(t, "result")
	}
	id, signature := begin("A")
	ask := func(id string, headers ...string) reply {
		return s.send("POST", "/v1/payU/hash/"+id, `{"hashName":"payment_source","hashString":"k|`+id+`|"}`, headers...)
	}
	ask(id).want(t, "systemError/noDataFound") // there is no order at PayU
	s.mobile(signature)
	for _, headers := range [][]string{nil, {"Origin: kspay-flutter-v1"}, {"Origin: " + shop}, {"x-signature: " + signature}} {
		if r := ask(id, headers...); r.status != 201 {
			t.Errorf("%v: %d %s", headers, r.status, r.body)
		}
	}
	ask(id, "Origin: https://thief.example").want(t, "systemError/invalidOrigin")
	ask("tx_000000000").want(t, "systemError/noDataFound")
	ask("tx_0").want(t, "(top)/invalidNanoid", wrongTx)
	other, otherSignature := begin("B")
	s.mobile(otherSignature)
	ask(id, "x-signature: "+otherSignature).want(t, "systemError/noDataFound")
	ask(id, s.signature(appA)).want(t, "systemError/noDataFound")
	ask(id, "x-signature: junk").want(t, "keyVaultErrors/invalidSignatureFormat")
	s.send("POST", "/payU/hash/"+id, `{"hashName":"x","hashString":"k|`+other+`|"}`).want(t, "systemError/unauthorizedAccess")
	s.send("POST", "/payU/hash/"+id, `{"hashString":"x"}`).want(t, "(top)/InvalidId", "hashName not present in Request")
	s.send("POST", "/payU/hash/"+id, `{"hashName":"x"}`).want(t, "(top)/InvalidId", "hashString not present in Request")
	s.send("POST", "/payU/hash/"+id, `{"hashName":"`+strings.Repeat("x", 101)+`","hashString":"x"}`).want(t, "(top)/customError",
		"hashName must not be longer than 100 bytes, hashString not longer than 8000")
	s.gateways.gone = true
	ask(id).want(t, "gatewayErrors/gatewaySpecsNotFound")
	s.gateways.gone = false
	s.books.apps[appA].Suspended = true
	ask(id).want(t, "keyVaultErrors/appDisabled")
	s.books.apps[appA].Suspended = false
	s.pay(id)
	ask(id).want(t, "(top)/customError", "The transaction is SUCCESS already")
	elsewhere := s.send("POST", "/transaction/initiate", wish("currencyId", quote(usd), "paymentMethodId", quote(paypal), "referenceNumber", `"C"`), s.signature(appA)).get(t, "result", "pe_txnId")
	s.pay(elsewhere)
	ask(elsewhere).want(t, "systemError/noDataFound")
	for range 10 {
		ask("tx_000000000")
	}
	ask("tx_000000000").want(t, "customErrors/tooManyRequests") // whoever tries ids out
	for range 40 {
		if r := ask(other); r.status == http.StatusTooManyRequests {
			return
		}
	}
	t.Error("there is no limit for a transaction")
}
