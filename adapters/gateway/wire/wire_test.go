package wire_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
)

func TestOutcome(t *testing.T) {
	for status, want := range map[int]wire.Outcome{
		100: wire.Unsettled, 200: wire.Good, 204: wire.Good, 301: wire.Unsettled, 307: wire.Unsettled, 400: wire.Refused, 401: wire.Stranger,
		403: wire.Stranger, 404: wire.Refused, 408: wire.Unsettled, 409: wire.Unsettled, 422: wire.Refused, 425: wire.Unsettled,
		429: wire.Unsettled, 500: wire.Unsettled, 503: wire.Unsettled, 599: wire.Unsettled, 0: wire.Unsettled,
	} {
		if got := (wire.Answer{Status: status}).Outcome(); got != want {
			t.Errorf("%d is %d, want %d", status, got, want)
		}
	}
}

func TestDo(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/whole":
			w.Header().Set("Content-Type", "application/json")
			fmt.Fprint(w, strings.Repeat("x", gateway.MaxBodyBytes))
		case "/large":
			fmt.Fprint(w, strings.Repeat("x", gateway.MaxBodyBytes+1))
		case "/moved":
			http.Redirect(w, r, "/whole", http.StatusTemporaryRedirect)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, "{")
		default:
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(srv.Close)
	client := wire.NewClient()
	t.Cleanup(client.CloseIdleConnections)
	get := func(ctx context.Context, path string) (wire.Answer, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path+"?receipt=tx_private", nil)
		if err != nil {
			t.Fatal(err)
		}
		return wire.Do(client, req)
	}
	if a, err := get(t.Context(), "/whole"); err != nil || a.Status != 200 || len(a.Body) != gateway.MaxBodyBytes || a.MediaType != "application/json" {
		t.Errorf("whole: %d, %d bytes, %q, %v", a.Status, len(a.Body), a.MediaType, err)
	}
	if a, err := get(t.Context(), "/moved"); err != nil || a.Status != 307 || a.Outcome() != wire.Unsettled {
		t.Errorf("a redirect was followed: %d, %v", a.Status, err)
	}
	for _, path := range []string{"/large", "/cut", "/dropped"} {
		if a, err := get(t.Context(), path); err == nil || strings.Contains(err.Error(), "tx_private") {
			t.Errorf("%s: %d, %v", path, a.Status, err)
		}
	}
	ended, end := context.WithCancel(t.Context())
	end()
	if _, err := get(ended, "/whole"); !errors.Is(err, context.Canceled) {
		t.Errorf("a call whose context has ended: %v", err)
	}
}

func TestBase(t *testing.T) {
	for _, c := range []struct {
		a    gateway.Account
		want string // "" is an error
	}{
		{gateway.Account{}, "https://test.example"},
		{gateway.Account{Live: true}, "https://live.example"},
		{gateway.Account{Live: true, Base: "http://127.0.0.1:1/sandbox/razorpay/"}, "http://127.0.0.1:1/sandbox/razorpay"},
		{gateway.Account{Base: "ftp://x"}, ""},
		{gateway.Account{Base: "nonsense"}, ""},
		{gateway.Account{Base: "https://me:secret@x"}, ""},
		{gateway.Account{Base: "https://x?y"}, ""},
	} {
		got, err := wire.Base(c.a, "https://live.example", "https://test.example")
		if got != c.want || (err == nil) != (c.want != "") {
			t.Errorf("%q, live %v: %q, %v", c.a.Base, c.a.Live, got, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("an error with a secret: %v", err)
		}
	}
}

func TestRead(t *testing.T) {
	var into struct{ A any }
	if err := wire.Read([]byte(`{"a":1.10}`), &into); err != nil || fmt.Sprint(into.A) != "1.10" {
		t.Errorf("%v, %v", into, err)
	}
	for _, bad := range []string{"", "{", `{"a":1} x`, `{"a":1}{}`, "<html>"} {
		if err := wire.Read([]byte(bad), &into); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}

func TestText(t *testing.T) {
	for in, want := range map[string]string{" a\nb\x00c ": "a bc", strings.Repeat("é", 200): strings.Repeat("é", 10), "": ""} {
		if got := wire.Text(in, 10); got != want {
			t.Errorf("%q is %q", in, got)
		}
	}
}

func TestSaid(t *testing.T) {
	const said = "The contact +919900000000 of gaurav@example.com\nis not valid (HTTP 400)"
	if got, want := wire.Said(said), "The contact ... of ... is not valid (HTTP 400)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestErrorsThatSettleNothing(t *testing.T) {
	declined, gone := error(&gateway.Declined{Code: "x", Reason: "y"}), fmt.Errorf("asking: %w", gateway.ErrCredentials)
	var as *gateway.Declined
	if err := wire.Doubt(declined); errors.As(err, &as) || !strings.Contains(err.Error(), "x: y") {
		t.Errorf("a question that was refused: %v", err)
	}
	if err := wire.Doubt(gone); !errors.Is(err, gateway.ErrCredentials) || wire.Doubt(nil) != nil {
		t.Errorf("not a refusal: %v", err)
	}
	for _, err := range []error{declined, gone} {
		if blurred := wire.Blur(err); errors.As(blurred, &as) || errors.Is(blurred, gateway.ErrCredentials) || blurred.Error() != err.Error() {
			t.Errorf("%v is %v", err, blurred)
		}
	}
	if wire.Blur(nil) != nil {
		t.Error("nothing is an error")
	}
	if err := (wire.Answer{Status: 500, Raw: gateway.Raw{Body: []byte("secret")}}).Unknown(); strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}
