package klyropay_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
)

// Whatever stands in a query, a path and the headers, the answer is a documented one, is JSON, and makes nothing.
func FuzzReads(f *testing.F) {
	for _, s := range []string{
		"", "page=1&limit=15", "page=0", "page=99999999999999999999", "limit=-1", "cursor=%00", "cursor=MS4y", "status=success", "status=%ff", "from_date=2024-04-30&to_date=2024-02-31", "from_date=0000-00-00",
		"page=1&page=2", "%zz", "a=b;c=d", "page=0x1", "page=1e0", "page=%31", "&&&=", "limit=" + strings.Repeat("9", 100),
	} {
		f.Add(uint8(0), s, "K-1", "")
		f.Add(uint8(1), s, "\x7f", keyA)
		f.Add(uint8(2), s, "", "")
		f.Add(uint8(3), s, "a\r\nb", "klyro_x")
	}
	b := newBooks(f)
	newMerchants(b)
	api, err := klyropay.New(klyropay.Ports{Merchants: b, Ledger: b, Log: b, Vault: b, Answers: b, Payments: b, Lists: b},
		klyropay.Options{VPA: "a@b", PayeeName: "P", Gateway: "sandbox", MaxBody: 1 << 16})
	if err != nil {
		f.Fatal(err)
	}
	router := httpapi.NewRouter()
	api.Register(router)
	front := &httpapi.Front{Next: router, Logger: discard()}
	paths := []string{payinsPath, payoutsPath, "/api/v1/payin/order/", payoutsPath + "/request/"}
	f.Fuzz(func(t *testing.T, where uint8, text, key, other string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		if r.URL.Path = paths[int(where)%len(paths)]; strings.HasSuffix(r.URL.Path, "/") {
			r.URL.Path += text
			r.URL.RawPath = ""
		} else {
			r.URL.RawQuery = text
		}
		r.RemoteAddr = "127.0.0.1:1"
		r.Header["X-Api-Key"] = []string{keyA}
		if other != "" {
			r.Header["X-Api-Key"] = append(r.Header["X-Api-Key"], other)
		}
		r.Header["Idempotency-Key"], r.Header["X-Request-Id"], r.Header["X-Forwarded-For"] = []string{key}, []string{key}, []string{key}
		w := httptest.NewRecorder()
		front.ServeHTTP(w, r)
		if !slices.Contains([]int{200, 400, 401, 404, 422}, w.Code) || !json.Valid(w.Body.Bytes()) || !utf8.Valid(w.Body.Bytes()) || len(b.order) != 0 {
			t.Fatalf("%s?%s: %d %q, %d payments", r.URL.Path, r.URL.RawQuery, w.Code, w.Body, len(b.order))
		}
	})
}
