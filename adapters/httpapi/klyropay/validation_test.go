package klyropay_test

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
)

// with returns a body with one field replaced by raw JSON, or without it when that is "".
func with(t *testing.T, body, field, raw string) string {
	t.Helper()
	var fields map[string]json.RawMessage
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, field)
	rest, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	if raw == "" {
		return string(rest)
	}
	return strings.TrimSuffix(string(rest), "}") + `,` + quote(field) + `:` + raw + `}`
}

func TestFields(t *testing.T) {
	const (
		phone  = "must be a 10-digit mobile number that starts with 6 to 9"
		ascii  = "must be printable ASCII without a slash"
		long   = "must not be longer than 100 characters"
		plain  = "must be a plain decimal number"
		digits = "must be 8 to 20 digits"
		code   = "must be an IFSC code such as ABCD0123456"
		text   = "must be a string"
		needed = "is required"
		imps   = `must be "5" (IMPS)`
	)
	h := func(n int) string { return strings.Repeat("h", n) }
	s := serve(t)
	for _, c := range []struct{ path, field, raw, problem string }{
		{payinPath, "order_id", quote(h(100)), ""},
		{payinPath, "order_id", quote("a b?%~!\"\\0.-"), ""},
		{payinPath, "order_id", quote(h(101)), long},
		{payinPath, "order_id", quote(strings.Repeat("ü", 100)), ascii},
		{payinPath, "order_id", quote(strings.Repeat("ü", 101)), long},
		{payinPath, "order_id", quote("a/b"), ascii},
		{payinPath, "order_id", quote("a\tb"), ascii},
		{payinPath, "order_id", quote("a\x7fb"), ascii},
		{payinPath, "order_id", `7`, text},
		{payinPath, "order_id", `["A"]`, text},
		{payinPath, "amount", ``, needed},
		{payinPath, "amount", `null`, needed},
		{payinPath, "amount", `""`, needed},
		{payinPath, "amount", `true`, "must be a number"},
		{payinPath, "amount", `{}`, "must be a number"},
		{payinPath, "amount", `[300]`, "must be a number"},
		{payinPath, "amount", `299.99`, "must be at least 300"},
		{payinPath, "amount", `0`, "must be more than zero"},
		{payinPath, "amount", `-300`, "must be more than zero"},
		{payinPath, "amount", `-0`, "must be more than zero"},
		{payinPath, "amount", `"300"`, ""},
		{payinPath, "amount", `300.05`, ""},
		{payinPath, "amount", `300.1`, ""},
		{payinPath, "amount", `300.001`, "must have at most two decimals"},
		{payinPath, "amount", `300.000`, "must have at most two decimals"},
		{payinPath, "amount", `"300.005"`, "must have at most two decimals"},
		{payinPath, "amount", `1e3`, plain},
		{payinPath, "amount", `1000E0`, plain},
		{payinPath, "amount", `1e400`, plain},
		{payinPath, "amount", `0.1e1`, plain},
		{payinPath, "amount", `3000e-1`, plain},
		{payinPath, "amount", `"1e3"`, plain},
		{payinPath, "amount", `"+300"`, plain},
		{payinPath, "amount", `" 300"`, plain},
		{payinPath, "amount", `"300 "`, plain},
		{payinPath, "amount", `"3,000"`, plain},
		{payinPath, "amount", `"0300"`, plain},
		{payinPath, "amount", `"300."`, plain},
		{payinPath, "amount", `".5"`, plain},
		{payinPath, "amount", `"--300"`, plain},
		{payinPath, "amount", `"-"`, plain},
		{payinPath, "amount", `"NaN"`, plain},
		{payinPath, "amount", `"Infinity"`, plain},
		{payinPath, "amount", `"0x12C"`, plain},
		{payinPath, "amount", `"३००"`, plain},
		{payinPath, "amount", `9999999999999.99`, ""},
		{payinPath, "amount", `10000000000000`, "is too large"},
		{payinPath, "amount", strings.Repeat("9", 400), "is too large"},
		{payinPath, "customer_phone", ``, needed},
		{payinPath, "customer_phone", `null`, needed},
		{payinPath, "customer_phone", `""`, needed},
		{payinPath, "customer_phone", `9876543210`, text},
		{payinPath, "customer_phone", `"5876543210"`, phone},
		{payinPath, "customer_phone", `"987654321"`, phone},
		{payinPath, "customer_phone", `"98765432100"`, phone},
		{payinPath, "customer_phone", `"98765 4321"`, phone},
		{payinPath, "customer_phone", `"+919876543"`, phone},
		{payinPath, "customer_phone", `"९८७६५४३२१०"`, phone},
		{payinPath, "customer_phone", `"6876543210"`, ""},
		{payinPath, "customer_name", quote(strings.Repeat("अ", 100)), ""},
		{payinPath, "customer_name", quote(strings.Repeat("अ", 101)), long},
		{payinPath, "customer_name", quote("José O'Neil 🙂"), ""},
		{payinPath, "customer_name", `"a\u0000b"`, "must not contain control characters"},
		{payinPath, "customer_name", `"a\nb"`, "must not contain control characters"},
		{payinPath, "customer_name", `"a\u2028b"`, "must not contain control characters"},
		{payinPath, "customer_name", `"  "`, "must not be blank"},
		{payinPath, "customer_name", `1`, text},

		{payoutPath, "mobile_no", ``, needed},
		{payoutPath, "mobile_no", `"1234567890"`, phone},
		{payoutPath, "beneficiary_name", ``, needed},
		{payoutPath, "beneficiary_name", `""`, needed},
		{payoutPath, "beneficiary_name", quote(h(101)), long},
		{payoutPath, "beneficiary_name", quote(h(100)), ""},
		{payoutPath, "account_no", ``, needed},
		{payoutPath, "account_no", `"1234567"`, digits},
		{payoutPath, "account_no", `"12345678"`, ""},
		{payoutPath, "account_no", `"12345678901234567890"`, ""},
		{payoutPath, "account_no", `"123456789012345678901"`, digits},
		{payoutPath, "account_no", `"12345678a"`, digits},
		{payoutPath, "account_no", `1234567890`, text},
		{payoutPath, "ifsc", ``, needed},
		{payoutPath, "ifsc", `"sbin0001234"`, code},
		{payoutPath, "ifsc", `"SBIN1001234"`, code},
		{payoutPath, "ifsc", `"SBI00001234"`, code},
		{payoutPath, "ifsc", `"SBIN000123"`, code},
		{payoutPath, "ifsc", `"SBIN00012345"`, code},
		{payoutPath, "ifsc", `"SBIN0ABC12Z"`, ""},
		{payoutPath, "ifsc", `"SBIN0abc12z"`, code},
		{payoutPath, "bank_name", ``, needed},
		{payoutPath, "bank_name", quote(h(101)), long},
		{payoutPath, "amount", ``, needed},
		{payoutPath, "amount", `999.99`, "must be at least 1000"},
		{payoutPath, "amount", `1000`, ""},
		{payoutPath, "amount", `200000`, ""},
		{payoutPath, "amount", `200000.01`, "must be at most 200000"},
		{payoutPath, "transfer_type", ``, needed},
		{payoutPath, "transfer_type", `5`, text},
		{payoutPath, "transfer_type", `"4"`, imps},
		{payoutPath, "transfer_type", `"05"`, imps},
		{payoutPath, "partner_request_id", ``, ""},
		{payoutPath, "partner_request_id", `null`, ""},
		{payoutPath, "partner_request_id", quote(h(101)), long},
		{payoutPath, "partner_request_id", `"a/b"`, ascii},
	} {
		t.Run(c.field+"="+c.raw[:min(len(c.raw), 40)], func(t *testing.T) {
			s := &bench{t: t, books: s.books, url: s.url, logs: s.logs, spec: s.spec}
			before := len(s.books.records)
			body, good := payinBody, 201
			if c.path == payoutPath {
				s.books.fund(merchantA, "1000000.00")
				before++
				body, good = payoutBody, 200
			}
			body = with(t, body, "partner_request_id", "")
			if c.field != "order_id" {
				body = with(t, body, "order_id", "")
			}
			r := s.send("POST", c.path, with(t, body, c.field, c.raw))
			if c.problem == "" {
				if r.status != good {
					t.Errorf("refused: %d %s", r.status, r.body)
				}
				return
			}
			r.want(t, 422, validation(c.field, "The "+c.field+" "+c.problem+"."))
			s.books.mu.Lock()
			defer s.books.mu.Unlock()
			if c.path == payinPath && len(s.books.records) != before {
				t.Error("a refusal was recorded")
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	s := serve(t)
	s.send("POST", payoutPath, `{}`).want(t, 422, `{"success":false,"message":"Validation failed","data":null,"errors":{`+
		`"mobile_no":["The mobile_no is required."],"beneficiary_name":["The beneficiary_name is required."],"account_no":["The account_no is required."],`+
		`"ifsc":["The ifsc is required."],"bank_name":["The bank_name is required."],"amount":["The amount is required."],"transfer_type":["The transfer_type is required."]}}`)
	s.send("POST", payinPath, `{"order_id":"/","amount":"x","customer_phone":"1","customer_name":false}`).want(t, 422,
		`{"success":false,"message":"Validation failed","data":null,"errors":{"order_id":["The order_id must be printable ASCII without a slash."],`+
			`"amount":["The amount must be a plain decimal number."],"customer_phone":["The customer_phone must be a 10-digit mobile number that starts with 6 to 9."],`+
			`"customer_name":["The customer_name must be a string."]}}`)
}

func TestBodies(t *testing.T) {
	s := serve(t)
	pad := strings.Repeat(" ", 4096-len(payinBody))
	for _, c := range []struct {
		name, body string
		headers    []string
		status     int
		message    string
	}{
		{"nothing", "", nil, 400, "Malformed JSON"},
		{"cut", `{"amount":1000`, nil, 400, "Malformed JSON"},
		{"an array", `[]`, nil, 400, "Malformed JSON"},
		{"null", `null`, nil, 400, "Malformed JSON"},
		{"a string", `"x"`, nil, 400, "Malformed JSON"},
		{"twice", payinBody + payinBody, nil, 400, "Malformed JSON"},
		{"trailing comma", `{"amount":1000,}`, nil, 400, "Malformed JSON"},
		{"a comment", `{"amount":1000}//`, nil, 400, "Malformed JSON"},
		{"a field twice", `{"amount":1000,"customer_phone":"9876543210","amount":1000}`, nil, 400, "Malformed JSON"},
		{"a field twice, once escaped", `{"amount":1000,"customer_phone":"9876543210","\u0061mount":1000}`, nil, 400, "Malformed JSON"},
		{"an unknown field twice, within", `{"amount":1000,"customer_phone":"9876543210","x":[{"a":1,"a":1}]}`, nil, 400, "Malformed JSON"},
		{"no UTF-8", "{\"amount\":1000,\"customer_phone\":\"9876543210\",\"customer_name\":\"\xff\"}", nil, 400, "Malformed JSON"},
		{"half a surrogate", `{"amount":1000,"customer_phone":"9876543210","customer_name":"\ud800"}`, nil, 400, "Malformed JSON"},
		{"a byte order mark", "\ufeff" + payinBody, nil, 400, "Malformed JSON"},
		{"not a number", `{"amount":NaN,"customer_phone":"9876543210"}`, nil, 400, "Malformed JSON"},
		{"a leading plus", `{"amount":+300,"customer_phone":"9876543210"}`, nil, 400, "Malformed JSON"},
		{"a leading zero", `{"amount":0300,"customer_phone":"9876543210"}`, nil, 400, "Malformed JSON"},
		{"too deep", `{"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, nil, 400, "Malformed JSON"},
		{"too large", pad + payinBody + " ", nil, 413, "Request body is too large"},
		{"no type", payinBody, []string{"Content-Type:"}, 415, "Content-Type must be application/json"},
		{"a form", payinBody, []string{"Content-Type: application/x-www-form-urlencoded"}, 415, "Content-Type must be application/json"},
		{"another charset", payinBody, []string{"Content-Type: application/json; charset=latin1"}, 415, "Content-Type must be application/json"},
		{"compressed", payinBody, []string{"Content-Encoding: gzip"}, 415, "Content-Type must be application/json"},
		{"type before size", pad + payinBody + " ", []string{"Content-Type: text/plain"}, 415, "Content-Type must be application/json"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s.send("POST", payinPath, c.body, c.headers...).want(t, c.status, failure(c.message))
		})
	}
	if n := len(s.books.records); n != 0 {
		t.Errorf("%d records after refusals", n)
	}
	unknownLength := struct{ io.Reader }{strings.NewReader(pad + payinBody + "  ")}
	s.sendType("POST", payinPath, unknownLength).want(t, 413, failure("Request body is too large"))
	// A client that sends everything before it reads gets its answer, also far beyond the limit.
	huge := strings.Repeat(" ", 4<<20)
	s.raw("POST "+payinPath+" HTTP/1.1\nHost: x\nX-Api-Key: "+keyA+"\nContent-Type: application/json\nContent-Length: 4194304\n\n"+huge).
		want(t, 413, failure("Request body is too large"))
	if r := s.send("POST", payinPath, pad+payinBody, "Content-Type: Application/JSON; Charset=\"UTF-8\""); r.status != 201 {
		t.Errorf("a body of exactly the limit: %d %s", r.status, r.body)
	}
	s.raw("POST "+payinPath+" HTTP/1.1\nHost: x\nX-Api-Key: "+keyA+"\nContent-Type: application/json\nContent-Length: 100\nConnection: half\n\n{").
		want(t, 400, failure("Malformed JSON"))
}
