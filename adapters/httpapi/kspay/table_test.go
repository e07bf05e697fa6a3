package kspay_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// readTable reads the table of errors as it was given.
func readTable(t *testing.T) (openAPI, pagination []kspay.Row) {
	t.Helper()
	b, err := os.ReadFile("testdata/kspay-errors.tsv")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
	for _, line := range lines[1:] {
		f := strings.Split(line, "\t")
		if len(f) != 6 {
			t.Fatalf("%q has %d columns", line, len(f))
		}
		status, _ := strconv.Atoi(f[3]) // "status": as the case may be
		code, err := strconv.Atoi(f[4])
		if err != nil {
			t.Fatal(err)
		}
		row := kspay.Row{Module: f[1], Name: f[2], HTTP: status, Code: code, Message: f[5]}
		switch {
		case f[0] == "openapi":
			openAPI = append(openAPI, row)
		case f[1] == "pagination":
			pagination = append(pagination, row)
		}
	}
	return openAPI, pagination
}

func TestTable(t *testing.T) {
	openAPI, pagination := readTable(t)
	if len(openAPI) != 66 || len(pagination) != 2 {
		t.Errorf("%d rows of the payment API, %d of pages", len(openAPI), len(pagination))
	}
	want := append(openAPI, pagination...)
	got := kspay.Errors()
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	seen := map[string]bool{}
	for i, r := range got {
		if r != want[i] {
			t.Errorf("row %d is %+v, want %+v", i, r, want[i])
		}
		if seen[r.ID()] {
			t.Errorf("%s stands twice", r.ID())
		}
		seen[r.ID()] = true
	}
}

// unreachable are the errors that this API has no occasion for, and why.
func unreachable() map[string]string {
	const (
		setup = "of setting up an app's gateways, which is not a call of the payment API: it is done by `ledger app gateway` and the operator API"
		none  = "the thing that it is about does not exist here"
	)
	return map[string]string{
		"(top)/missingGatewaySpecsKeys":                       setup,
		"(top)/invalidKeyValues":                              setup,
		"gatewayErrors/gatewayNameExists":                     setup,
		"gatewayErrors/gatewayAlreadyExistForThisUser":        setup,
		"gatewayErrors/invalidGatewayData":                    setup,
		"gatewayErrors/gatewayUpdateConflict":                 setup,
		"gatewayErrors/credentialsNotYetAdded":                setup,
		"gatewayErrors/credentialStepFailed":                  setup,
		"gatewayErrors/stepAlreadyCompleted":                  setup,
		"gatewayErrors/GatewayStatusInVerify":                 setup,
		"gatewayErrors/GatewayStatusNotVerified":              setup,
		"gatewayErrors/GatewayStatusNotVerifiedCannotDisable": setup,
		"gatewayErrors/paymentGatewayCannotBeEdited":          setup,
		"keyVaultErrors/credentialsAlreadyViewed":             "credentials are shown by `ledger app credentials` and the operator API, once; no call of the payment API shows them",
		"auth/shortUrlTokenMissing":                           none + ": there are no short URLs; the checkout page has a token in its path",
		"systemError/notAvailable":                            none + ": no country is shut out",
		"customErrors/invalidDecryptRes":                      none + ": tokens are signed as a whole, and one without an app is never made",
	}
}

// provocations say how each of the others is answered. Each makes a call whose answer is that error.
func provocations() map[string]func(*testing.T, *bench) reply {
	const token, initiate, process, list = "/v1/auth/generate-token/" + appA, "/v1/transaction/initiate", "/v1/transaction/process", "/v1/transaction"
	keys := func(app, access, secret string) func(*testing.T, *bench) reply {
		return func(_ *testing.T, s *bench) reply {
			return s.send("POST", "/v1/auth/generate-token/"+app, `{"accessKey":`+quote(access)+`,"secretKey":`+quote(secret)+`}`)
		}
	}
	headers := func(access, secret string) func(*testing.T, *bench) reply {
		return func(_ *testing.T, s *bench) reply {
			return s.send("POST", initiate, wish(), "accessKey: "+access, "secretKey: "+secret)
		}
	}
	asking := func(changes ...string) func(*testing.T, *bench) reply {
		return func(_ *testing.T, s *bench) reply {
			return s.send("POST", initiate, wish(changes...), s.signature(appA))
		}
	}
	listing := func(query string) func(*testing.T, *bench) reply {
		return func(_ *testing.T, s *bench) reply { return s.send("GET", list+"?"+query, "", s.token(appA)) }
	}
	get := func(path string, headers ...string) func(*testing.T, *bench) reply {
		return func(_ *testing.T, s *bench) reply { return s.send("GET", path, "", headers...) }
	}
	authorized := func(path string) func(*testing.T, *bench) reply {
		return func(_ *testing.T, s *bench) reply { return s.send("GET", path, "", s.token(appA)) }
	}
	minted := func(kind ticket.Kind, app string) string {
		return ticket.New([]byte(strings.Repeat("\x07", 32))).Mint(kind, ticket.Ticket{App: app, KeyID: keyOf(app, accessOf(app), "").ID, ID: "1"}, day.Add(time.Hour))
	}
	refusing := func(how string) func(*testing.T, *bench) reply {
		return func(t *testing.T, s *bench) reply {
			s.gateways.refuses = map[string]string{"razorpay": how, "payu": how}
			return asking()(t, s)
		}
	}
	return map[string]func(*testing.T, *bench) reply{
		"(top)/uuidErr":                 authorized("/v1/transaction/referenceNo/a.b"),
		"(top)/invalidNanoid":           authorized("/v1/transaction/txnId/tx_1"),
		"(top)/customError":             asking("amount", "0"),
		"(top)/decimalValueAmountError": asking("amount", "345.678"),
		"(top)/invalidPaymentMethodIds": asking("paymentMethodId", `"pm_000000000"`),
		"(top)/InvalidId":               asking("referenceNumber", ""),
		"(top)/NotFoundUrl":             get("/v1/nothing"),
		"(top)/invalidCredentials":      refusing("account"),
		"(top)/externalError":           refusing("silent"),

		"auth/authTokenMissing":   get("/v1/currencies"),
		"auth/authApiKeyMissing":  keys(appA, "", secretOf(appA)),
		"auth/apiKeyNotGenerated": keys(appBare, accessOf(appBare), secretOf(appBare)),
		"auth/unauthroizedAccess": keys(appFar, accessOf(appFar), secretOf(appFar)),
		"auth/unauthroizedApiKey": headers(accessOf(appA), secretOf(appB)),
		"auth/unauthorized":       get("/v1/currencies", "Authorization: Bearer junk"),
		"auth/invalidRefreshToken": func(_ *testing.T, s *bench) reply {
			return s.send("POST", "/v1/auth/refresh-token", pair(appA), "Authorization: junk")
		},
		"auth/refreshTokenExpired": func(t *testing.T, s *bench) reply {
			refresh := s.send("POST", token, pair(appA)).get(t, "result", "refreshToken")
			s.advance(24 * time.Hour)
			return s.send("POST", "/v1/auth/refresh-token", pair(appA), "Authorization: "+refresh)
		},
		"auth/tokenExpired": func(_ *testing.T, s *bench) reply {
			header := s.token(appA)
			s.advance(15 * time.Minute)
			return s.send("GET", "/v1/currencies", "", header)
		},

		"systemError/unauthorizedAccess": func(_ *testing.T, s *bench) reply { return s.send("POST", initiate, wish(), s.signature(appReader)) },
		"systemError/noDataFound":        authorized("/v1/transaction/txnId/tx_000000000"),
		"systemError/invalidRequest":     func(_ *testing.T, s *bench) reply { return s.send("POST", token, "{") },
		"systemError/oopsSomethingWentWrong": func(_ *testing.T, s *bench) reply {
			s.books.panics = true
			return s.send("POST", token, pair(appA))
		},
		"systemError/externalProviderIssue": refusing("no"),
		"systemError/dbError": func(_ *testing.T, s *bench) reply {
			s.books.merchantFault = errAway
			return s.send("POST", token, pair(appA))
		},
		"systemError/invalidApiKey": keys(appA, "kspay_test_1", secretOf(appA)),
		"systemError/invalidOrigin": func(_ *testing.T, s *bench) reply {
			return s.send("GET", "/v1/currencies", "", s.token(appA), "Origin: https://thief.example")
		},

		"customErrors/keyNotFoundInDB": headers(accessOf(appA), sha("nobody's")),
		"customErrors/inactiveKeyInDB": func(t *testing.T, s *bench) reply {
			s.books.apps[appA].Keys[0].Revoked = true
			return headers(accessOf(appA), secretOf(appA))(t, s)
		},
		"customErrors/appNotFoundForDecryptId": get("/v1/currencies", "Authorization: "+minted(ticket.Access, "ap_000000000")),
		"customErrors/tooManyRequests": func(_ *testing.T, s *bench) reply {
			s.token(appA)
			return s.send("POST", token, pair(appA))
		},
		"customErrors/datesExceedError":           listing("fromDate=2026-01-29&toDate=2026-04-30"),
		"customErrors/dateRangeError":             listing("fromDate=2026-04-30&toDate=2026-04-29"),
		"customErrors/startDateBeforeAppCreation": listing("fromDate=2025-12-29&toDate=2026-01-30"),
		"customErrors/startDateAfterToday":        listing("fromDate=2026-05-01&toDate=2026-05-01"),
		"customErrors/startAndEndDateRequired":    listing("fromDate=2026-04-30"),
		"customErrors/endDateAfterToday":          listing("fromDate=2026-04-30&toDate=2026-05-01"),

		"keyVaultErrors/credentialsNotFound": keys(appA, accessOf(appB), secretOf(appB)),
		"keyVaultErrors/appNotFound":         keys("ap_000000000", accessOf(appA), secretOf(appA)),
		"keyVaultErrors/userDoesNotBelongToApp": func(_ *testing.T, s *bench) reply {
			return s.send("POST", initiate, wish("appId", quote(appB)), s.token(appA))
		},
		"keyVaultErrors/invalidSecretKey": keys(appA, accessOf(appA), secretOf(appB)),
		"keyVaultErrors/signatureExpired": func(_ *testing.T, s *bench) reply {
			header := s.signature(appA)
			s.advance(10 * time.Minute)
			return s.send("POST", initiate, wish(), header)
		},
		"keyVaultErrors/invalidSignatureFormat": func(_ *testing.T, s *bench) reply {
			return s.send("POST", process, "", "x-signature: 7b452bc7f5adfe1d65e")
		},
		"keyVaultErrors/encryptionError": func(_ *testing.T, s *bench) reply {
			s.books.sealFault = vault.ErrWrongMaster
			return s.send("POST", initiate, wish("redirectUrl", quote(shop)), s.token(appA))
		},
		"keyVaultErrors/accessKeyMismatch": func(_ *testing.T, s *bench) reply {
			s.books.apps[appA].Keys[0].Revoked = true
			return s.send("POST", token, pair(appA))
		},
		"keyVaultErrors/generalVerificationError": func(_ *testing.T, s *bench) reply {
			header := s.signature(appA)
			s.books.merchantFault = fmt.Errorf("record 0:7: %w", eventstore.ErrBroken)
			return s.send("POST", process, "", header)
		},
		"keyVaultErrors/appDisabled": keys(appStop, accessOf(appStop), secretOf(appStop)),

		"gatewayErrors/gatewayNotFound": asking("paymentMethodId", quote(payLater)),
		"gatewayErrors/gatewaySpecsNotFound": func(t *testing.T, s *bench) reply {
			s.gateways.gone = true
			return asking()(t, s)
		},
		"gatewayErrors/invalidCurrencyId": asking("currencyId", quote(eur)),

		"pagination/pageShouldBePositive":  listing("page=0"),
		"pagination/limitShouldBePositive": listing("limit=-1"),
	}
}

// Every error of the table is answered, or there is a reason why it cannot be; and nothing else is in either list.
func TestEveryError(t *testing.T) {
	messages := map[string]string{
		"(top)/uuidErr": "Invalid ID a.b", "(top)/invalidNanoid": wrongTx, "(top)/customError": "amount must be more than zero",
		"(top)/decimalValueAmountError": "Number should have at most the allowed number of decimal places ie - 2",
		"(top)/invalidPaymentMethodIds": "The following payment method IDs does not exist in DB: pm_000000000",
		"(top)/InvalidId":               "referenceNumber not present in Request", "(top)/NotFoundUrl": "Not found",
		"(top)/invalidCredentials": "Invalid credentials for gateway: payu for: INR",
		"(top)/externalError":      "The payment gateway gave no definite answer: send the same request again to go on with the same transaction",
	}
	openAPI, pagination := readTable(t)
	reached, cannot := provocations(), unreachable()
	for _, row := range append(openAPI, pagination...) {
		id := row.ID()
		provoke, can := reached[id]
		reason, not := cannot[id]
		delete(reached, id)
		delete(cannot, id)
		if can == not || not && len(reason) < 20 {
			t.Errorf("%s is reached: %t; there is a reason why it cannot be: %t", id, can, not)
			continue
		}
		if not {
			continue
		}
		t.Run(id, func(t *testing.T) {
			s := serve(t, func(o *kspay.Options) {
				if id == "customErrors/tooManyRequests" {
					o.RateLimit = 1
				}
			})
			r := provoke(t, s)
			if message := messages[id]; message != "" {
				r.want(t, id, message)
			} else {
				r.want(t, id)
			}
			if strings.Contains(r.body, "hunter2") || strings.Contains(r.body, "secret_of_theirs") || strings.Contains(r.body, "fault of ours") {
				t.Errorf("it shows what is inside: %s", r.body)
			}
		})
	}
	for id := range reached {
		t.Errorf("%s is provoked, and not in the table", id)
	}
	for id := range cannot {
		t.Errorf("%s is excused, and not in the table", id)
	}
}

// What the domain, the stores and the gateways may say besides.
func TestFaults(t *testing.T) {
	const initiate = "/v1/transaction/initiate"
	named := &domain.Error{Code: domain.Stale, Message: "x", Details: map[string]string{merchant.KSPayError: "gatewayErrors.gatewayNotFound"}}
	broken := fmt.Errorf("record 0:7: %w", eventstore.ErrBroken)
	for _, c := range []struct {
		name    string
		inject  func(*bench)
		row     string
		message string
	}{
		{"a busy ledger", func(s *bench) { s.books.submitFault = executor.ErrBusy }, "systemError/dbError", ""},
		{"an outcome that is not known", func(s *bench) { s.books.submitFault = executor.ErrOutcomeUnknown }, "systemError/dbError", ""},
		{"a broken log", func(s *bench) { s.books.submitFault = broken }, "systemError/oopsSomethingWentWrong", ""},
		{"a view that is away", func(s *bench) { s.books.viewFault = errAway }, "systemError/dbError", ""},
		{"a log that is away", func(s *bench) { s.books.logFault = errAway }, "systemError/dbError", ""},
		{"a vault that is away", func(s *bench) { s.books.sealFault = errAway }, "systemError/dbError", ""},
		{"a refusal with a name", func(s *bench) { s.gateways.fault = named }, "gatewayErrors/gatewayNotFound", ""},
		{"a refusal with a name that is none", func(s *bench) {
			s.gateways.fault = &domain.Error{Code: domain.Stale, Message: "it is so", Details: map[string]string{merchant.KSPayError: "gatewayErrors.other"}}
		}, "(top)/customError", "it is so"},
		{"a refusal of access", func(s *bench) { s.gateways.fault = domain.Errorf(domain.Forbidden, "x") }, "systemError/unauthorizedAccess", ""},
		{"the domain's own duplicate", func(s *bench) { s.gateways.fault = domain.Errorf(domain.Duplicate, "x") }, "(top)/customError", "A transaction with this referenceNumber already exists"},
		{"a key that was used", func(s *bench) { s.gateways.fault = domain.Errorf(domain.KeyReused, "x") }, "(top)/customError", "Idempotency-Key was used with a different request"},
		{"a field that the domain refuses", func(s *bench) { s.books.submitFault = domain.InvalidField("amount", "is odd") }, "(top)/customError", "amount is odd"},
		{"a refusal without a place", func(s *bench) { s.gateways.fault = domain.Errorf(domain.InsufficientBalance, "x") }, "systemError/oopsSomethingWentWrong", ""},
		{"another key that is taken", func(s *bench) { s.books.submitFault = &executor.DuplicateError{Key: "other"} }, "(top)/customError", "A transaction with this referenceNumber already exists"},
		{"something nobody expects of a gateway", func(s *bench) { s.gateways.fault = errors.New("key=hunter2") }, "systemError/oopsSomethingWentWrong", ""},
		{"a store that is away behind a gateway", func(s *bench) { s.gateways.fault = fmt.Errorf("recording: %w", executor.ErrStore) }, "systemError/dbError", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t)
			header := s.signature(appA)
			c.inject(s)
			r := s.send("POST", initiate, wish("redirectUrl", quote(shop)), header, "Idempotency-Key: K")
			if c.message != "" {
				r.want(t, c.row, c.message)
			} else {
				r.want(t, c.row)
			}
			if strings.Contains(r.body, "hunter2") {
				t.Error("it shows what is inside")
			}
			if r.status >= 500 && c.name != "a busy ledger" && !strings.Contains(s.logs.String(), `"msg":"a request`) {
				t.Errorf("the fault was not logged:\n%s", s.logs)
			}
			if (r.status == http.StatusServiceUnavailable) != (r.header.Get("Retry-After") == "1") {
				t.Errorf("Retry-After %q with %d", r.header.Get("Retry-After"), r.status)
			}
		})
	}
	t.Run("what is spent is not known", func(t *testing.T) {
		s := serve(t)
		refresh := s.send("POST", "/v1/auth/generate-token/"+appA, pair(appA)).get(t, "result", "refreshToken")
		s.books.spentFault = errAway
		s.send("POST", "/v1/auth/refresh-token", pair(appA), "Authorization: "+refresh).want(t, "systemError/dbError")
		s.books.spentFault = nil
		if r := s.send("POST", "/v1/auth/refresh-token", pair(appA), "Authorization: "+refresh); r.status != 201 {
			t.Errorf("it was spent all the same: %d %s", r.status, r.body)
		}
	})
}
