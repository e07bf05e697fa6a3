package kspay_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/spectest"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// Every path and status that the description promises is provoked here, and each answer is held against it.
func TestEveryDocumentedAnswer(t *testing.T) {
	documented := readSpec(t)
	served := map[string]bool{}
	for _, r := range kspay.Routes() {
		served[r[0]+" /v1"+r[1]] = true
	}
	for path, methods := range documented.Paths {
		for method, statuses := range methods {
			if !served[method+" "+path] {
				t.Errorf("%s %s is documented, and not served", method, path)
			}
			delete(served, method+" "+path)
			for status := range statuses {
				t.Run(method+" "+path+" "+status, func(t *testing.T) {
					r := provoke(t, method, path, status)
					if fmt.Sprint(r.status) != status {
						t.Errorf("answered %d %s", r.status, r.body)
					}
					if _, done := provoked.Load(method + " " + path + " " + status); !done {
						t.Error("the answer was not of this path and status")
					}
				})
			}
		}
	}
	for route := range served {
		t.Errorf("%s is served, and not documented", route)
	}
}

// good is a call that succeeds: its path, body and headers, made with what it needs.
func (s *bench) good(path string) (at, body string, headers []string) {
	s.gateways.refuses["razorpay"] = "no" // so that there is an order at PayU, too
	checkout := s.send("POST", "/transaction/initiate", wish("referenceNumber", `"one"`), s.token(appA)).get(s.t, "result")
	s.mobile(checkout)
	at = strings.NewReplacer("{appId}", appA, "{currencyId}", inr, "{altTxnId}", s.books.order[0], "{id}", s.books.order[0], "{referenceNumber}", "one").Replace(path)
	switch strings.TrimPrefix(path, "/v1") {
	case kspay.PathGenerateToken, kspay.PathGenerateSignature:
		return at, pair(appA), nil
	case kspay.PathRefreshToken:
		return at, pair(appA), []string{"Authorization: " + s.send("POST", "/auth/generate-token/"+appA, pair(appA)).get(s.t, "result", "refreshToken")}
	case kspay.PathInitiate:
		return at, wish("redirectUrl", quote(shop)), []string{s.signature(appA)}
	case kspay.PathProcess:
		return at, "", []string{"x-signature: " + s.send("POST", "/transaction/initiate", wish("referenceNumber", `"two"`), s.token(appA)).get(s.t, "result")}
	case kspay.PathPayUHash:
		return at, `{"hashName":"x","hashString":"` + s.books.order[0] + `"}`, []string{"x-signature: " + checkout}
	}
	return at, "", []string{s.token(appA)}
}

// provoke makes a server answer a call with a status.
func provoke(t *testing.T, method, path, status string) reply {
	s := serve(t, func(o *kspay.Options) {
		if status == "429" {
			o.RateLimit = 6
		}
	})
	at, body, headers := s.good(path)
	send := func(extra ...string) reply { return s.send(method, at, body, append(headers, extra...)...) }
	broken := fmt.Errorf("record 0:7: %w", eventstore.ErrBroken)
	switch status {
	case "400":
		return s.send(method, at, "")
	case "401":
		if path == "/v1"+kspay.PathInitiate {
			s.gateways.refuses["payu"] = "account"
			return send()
		}
		if path == "/v1"+kspay.PathProcess {
			s.gateways.refuses["payu"] = "account"
			return send()
		}
		return s.send(method, at, body, "Authorization: junk")
	case "403":
		return send("Origin: https://thief.example")
	case "404":
		s.books.apps[appA].Suspended = true
		return send()
	case "413":
		body = strings.Repeat(" ", 20<<10)
		return send()
	case "415":
		body = "x"
		return send("Content-Type: image/png")
	case "429":
		for range 6 {
			send()
		}
		return send()
	case "500":
		switch path {
		case "/v1" + kspay.PathInitiate:
			s.books.sealFault = vault.ErrInvalid
		case "/v1" + kspay.PathProcess:
			s.books.merchantFault = broken
		default:
			s.books.panics = true
		}
		return send()
	case "502":
		s.gateways.refuses["payu"] = "silent"
		return send()
	case "503":
		s.books.merchantFault = errAway
		return send()
	}
	return send()
}

// The description's own examples are what it describes.
func TestExamples(t *testing.T) {
	s := readSpec(t)
	n := 0
	for path, methods := range s.Paths {
		for method, statuses := range methods {
			op := "/paths/" + spectest.Escape(path) + "/" + strings.ToLower(method)
			for status := range statuses {
				media, pointer := s.At(op + "/responses/" + status + "/content/application~1json")
				n++
				if err := s.Compile(t, pointer+"/schema").Validate(media.(map[string]any)["example"]); err != nil {
					t.Errorf("example at %s: %v", pointer, err)
				}
			}
			described, _ := s.At(op)
			if described.(map[string]any)["requestBody"] == nil {
				continue
			}
			media, pointer := s.At(op + "/requestBody/content/application~1json")
			if err := s.Compile(t, pointer+"/schema").Validate(media.(map[string]any)["example"]); err != nil {
				t.Errorf("example of the request %s: %v", path, err)
			}
		}
	}
	if n < 60 {
		t.Errorf("only %d examples", n)
	}
}

// A check that accepts everything would prove nothing.
func TestDescriptionIsStrict(t *testing.T) {
	s := readSpec(t)
	at := func(path, method, status string) string {
		return "/paths/" + spectest.Escape("/v1"+path) + "/" + method + "/responses/" + status + "/content/application~1json/schema"
	}
	for _, c := range []struct{ pointer, body string }{
		{at(kspay.PathGenerateToken, "post", "404"), `{"status":404,"code":11011,"message":"Application is disabled","result":null}`},
		{at(kspay.PathGenerateToken, "post", "404"), `{"status":404,"code":11001,"message":"Application is disabled!","result":null}`},
		{at(kspay.PathGenerateToken, "post", "404"), `{"status":400,"code":11011,"message":"Application is disabled!","result":null}`},
		{at(kspay.PathGenerateToken, "post", "404"), `{"status":404,"code":11011,"message":"Application is disabled!"}`},
		{at(kspay.PathGenerateToken, "post", "404"), `{"status":404,"code":11011,"message":"Application is disabled!","result":null,"x":1}`},
		{at(kspay.PathGenerateToken, "post", "404"), `{"status":404,"code":13001,"message":"Gateway not found or is disabled for the provided ID","result":null}`},
		{at(kspay.PathGenerateToken, "post", "201"), `{"status":201,"message":"success","result":{"accessToken":"a"}}`},
		{at(kspay.PathInitiate, "post", "201"), `{"status":201,"message":"success","result":"ab"}`},
		{at(kspay.PathInitiate, "post", "201"), `{"status":201,"message":"success","result":{"pe_txnId":"tx_000000000"}}`},
		{at(kspay.PathProcess, "post", "201"), `{"status":201,"message":"success","result":{"gateway":"razorpay"},"order":{"gateway":"razorpay"}}`},
		{"/components/schemas/HostedOrder", `{"gateway":"razorpay","clientId":"a","amount":1,"providerOrderId":"a","checkoutUrl":"https://a.example"}`},
		{"/components/schemas/Transaction", `{}`},
	} {
		if r := (reply{body: c.body}); s.accepts(t, c.pointer, r) {
			t.Errorf("%s accepts %s", c.pointer, c.body)
		}
	}
}

func TestDocumentation(t *testing.T) {
	page, err := httpapi.Docs(kspay.OpenAPI(), httpapi.Reference{Name: "KS Pay", Page: "/docs/kspay", Spec: "/openapi/kspay.yaml"})
	if err != nil || page == nil {
		t.Fatal(err)
	}
	kspay.OpenAPI()[0] = 'x'
	if kspay.OpenAPI()[0] == 'x' {
		t.Error("the description can be written to")
	}
}

func TestNew(t *testing.T) {
	s := serve(t)
	good := kspay.Options{CheckoutURL: func(wallet.Payment) string { return "" }}
	if _, err := kspay.New(s.ports(), s.tickets, good); err != nil {
		t.Error(err)
	}
	if _, err := kspay.New(s.ports(), nil, good); err == nil {
		t.Error("without tokens")
	}
	if _, err := kspay.New(s.ports(), s.tickets, kspay.Options{}); err == nil {
		t.Error("without a checkout page")
	}
	p := s.ports()
	p.Spent = nil
	if _, err := kspay.New(p, s.tickets, good); err == nil {
		t.Error("without a port")
	}
}
