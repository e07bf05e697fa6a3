package sandbox

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/eventstore"
)

var testSecret = []byte("a secret of the test, long enough")

// receiver is the ledger's end of the callbacks.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex
	status int
	got    []received
	more   chan struct{}
}

type received struct {
	headers http.Header
	raw     string
	body    callbackBody
}

func newReceiver(t *testing.T) *receiver {
	t.Helper()
	r := &receiver{status: http.StatusOK, more: make(chan struct{}, 1000)}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, err := io.ReadAll(req.Body)
		if err != nil || req.URL.Path != "/gateways/sandbox/callback" {
			t.Errorf("%s: %v", req.URL, err)
		}
		if _, err := verify(req.Header, testSecret, b, time.Now()); err != nil {
			t.Error(err)
		}
		g := received{headers: req.Header.Clone(), raw: string(b)}
		if err := json.Unmarshal(b, &g.body); err != nil {
			t.Error(err)
		}
		r.mu.Lock()
		r.got = append(r.got, g)
		status := r.status
		r.mu.Unlock()
		w.WriteHeader(status)
		r.more <- struct{}{}
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) set(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

// wait returns the first n callbacks.
func (r *receiver) wait(t *testing.T, n int) []received {
	t.Helper()
	for {
		r.mu.Lock()
		got := append([]received(nil), r.got...)
		r.mu.Unlock()
		if len(got) >= n {
			return got
		}
		select {
		case <-r.more:
		case <-time.After(30 * time.Second):
			t.Fatalf("%d callbacks, waited for %d", len(got), n)
		}
	}
}

// testBank is a bank on HTTP.
type testBank struct {
	*Bank
	t      *testing.T
	server *httptest.Server
	client *Client
	stop   func()
}

// start opens the bank at path and serves it; it runs unless still is set.
func start(t *testing.T, path, callbacks string, delay time.Duration, still bool) *testBank {
	t.Helper()
	bank, err := Open(t.Context(), path, Options{Secret: testSecret, CallbackBase: callbacks, Delay: delay, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	b := &testBank{Bank: bank, t: t, server: httptest.NewServer(bank)}
	if b.client, err = NewClient(b.server.URL, testSecret, nil); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	if still {
		ran <- nil
	} else {
		go func() { ran <- bank.Run(ctx) }()
	}
	b.stop = sync.OnceFunc(func() {
		cancel()
		err := <-ran
		b.client.Close()
		b.server.Close()
		if err := errors.Join(err, bank.Close()); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(b.stop)
	return b
}

func transferTo(digits, reference string) gateway.Transfer {
	return gateway.Transfer{
		Reference: reference, Amount: money.MustParse("5000", money.INR), AccountNo: "77330044" + digits, IFSC: "SBIN0001234", Name: "Asha Rao",
		Mobile: "9812345678", BankName: "State Bank of India", TransferType: "5",
	}
}

func (b *testBank) get(path string, into any) int {
	b.t.Helper()
	res, err := http.Get(b.server.URL + path)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && into != nil {
		err = json.Unmarshal(body, into)
	}
	if err != nil {
		b.t.Fatalf("%s: %v: %s", path, err, body)
	}
	return res.StatusCode
}

func (b *testBank) list(query string) []listedTransfer {
	b.t.Helper()
	var out struct {
		Transfers []listedTransfer `json:"transfers"`
	}
	if status := b.get("/sandbox/bank/transfers"+query, &out); status != http.StatusOK {
		b.t.Fatalf("list: %d", status)
	}
	if out.Transfers == nil {
		b.t.Fatal("no list of transfers")
	}
	return out.Transfers
}

func TestSendAnswers(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	for digits, want := range map[string]struct {
		state gateway.State // of the send; "" when there is no answer
		later gateway.State // of the inquiry
	}{
		"00": {gateway.Paid, gateway.Paid}, "99": {gateway.Paid, gateway.Paid},
		"01": {gateway.Pending, gateway.Pending}, "02": {gateway.Failed, gateway.Failed}, "03": {"", gateway.Paid}, "04": {"", gateway.NotFound},
		"05": {gateway.Paid, gateway.Paid}, "06": {gateway.Pending, gateway.Pending}, "07": {gateway.Pending, gateway.Pending},
		"08": {gateway.Pending, gateway.Pending}, "09": {gateway.Pending, gateway.Pending}, "10": {"", gateway.NotFound},
	} {
		for range 2 { // a repetition gives the same answer
			a, err := b.client.Send(t.Context(), transferTo(digits, "txn_"+digits))
			if a.State != want.state || (err != nil) != (want.state == "") {
				t.Errorf("%s: %q, %v", digits, a.State, err)
			}
		}
		a, err := b.client.Inquire(t.Context(), "txn_"+digits)
		if err != nil || a.State != want.later || len(a.Body) == 0 || a.MediaType == "" {
			t.Errorf("%s: inquiry %+v, %v", digits, a, err)
		}
		if utr := regexp.MustCompile(`^\d{12}$`); (a.State == gateway.Paid) != utr.MatchString(a.UTR) {
			t.Errorf("%s: UTR %q", digits, a.UTR)
		}
	}
	if a, err := b.client.Send(t.Context(), transferTo("10", "txn_10")); err != nil || a.State != gateway.Paid {
		t.Errorf("10, third: %+v, %v", a, err)
	}
	if n := len(b.list("")); n != 11 { // all but 04
		t.Errorf("%d transfers", n)
	}
}

func TestOneTransferPerReference(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	var wg sync.WaitGroup
	utrs := make([]string, 16)
	for i := range utrs {
		wg.Go(func() {
			a, err := b.client.Send(t.Context(), transferTo("22", "txn_same"))
			if err != nil {
				t.Error(err)
			}
			utrs[i] = a.UTR
		})
	}
	wg.Wait()
	for _, u := range utrs {
		if u != utrs[0] || len(u) != 12 {
			t.Errorf("UTRs %q", utrs)
		}
	}
	if list := b.list(""); len(list) != 1 || list[0] != (listedTransfer{"txn_same", "5000.00", "paid", utrs[0]}) {
		t.Errorf("%+v", list)
	}
	// Another transfer under the same reference is refused, and no answer about this one.
	other := transferTo("22", "txn_same")
	other.Amount = money.MustParse("5000.01", money.INR)
	if a, err := b.client.Send(t.Context(), other); err == nil {
		t.Errorf("another amount: %+v", a)
	}
	other = transferTo("23", "txn_same")
	if a, err := b.client.Send(t.Context(), other); err == nil {
		t.Errorf("another account: %+v", a)
	}
}

func TestRestartKeepsTimersCallbacksAndFaults(t *testing.T) {
	t.Parallel()
	path, r := filepath.Join(t.TempDir(), "sandbox.db"), newReceiver(t)
	b := start(t, path, r.URL, time.Millisecond, true) // dies before any timer goes
	for _, digits := range []string{"01", "05", "06", "07", "09"} {
		if _, err := b.client.Send(t.Context(), transferTo(digits, "txn_"+digits)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := b.client.Send(t.Context(), transferTo("10", "txn_10")); err == nil {
		t.Error("10: answered at once")
	}
	b.stop()

	r.set(http.StatusInternalServerError)
	b = start(t, path, r.URL, time.Hour, false) // does what was planned, and dies with callbacks that nobody took
	r.wait(t, 5)
	b.stop()
	before := len(r.wait(t, 0))

	r.set(http.StatusOK)
	b = start(t, path, r.URL, time.Hour, false)
	want := map[string]string{"txn_01": "paid", "txn_05": "returned", "txn_06": "paid paid paid", "txn_07": "paid failed", "txn_09": "failed"}
	got := map[string][]string{}
	for _, c := range r.wait(t, before+8)[before:] {
		got[c.body.Reference] = append(got[c.body.Reference], c.body.Status)
	}
	for reference, statuses := range want {
		if s := strings.Join(got[reference], " "); s != statuses {
			t.Errorf("%s: callbacks %q, want %q", reference, s, statuses)
		}
	}
	if _, err := b.client.Send(t.Context(), transferTo("10", "txn_10")); err == nil {
		t.Error("10: the first 500 was forgotten")
	}
	if a, err := b.client.Send(t.Context(), transferTo("10", "txn_10")); err != nil || a.State != gateway.Paid {
		t.Errorf("10: %+v, %v", a, err)
	}
	for _, l := range b.list("") {
		if end := map[string]string{"txn_05": "returned", "txn_09": "failed"}[l.Reference]; l.Status != end && (l.Status != "paid" || end != "") {
			t.Errorf("%+v", l)
		}
	}
	var left int
	if err := b.readers.QueryRowContext(t.Context(), "SELECT (SELECT count(*) FROM timers)").Scan(&left); err != nil || left != 0 {
		t.Errorf("%d timers left: %v", left, err)
	}
}

// A callback is sent until it is answered with 200: the same bytes and id each time, one after the other of a reference.
func TestCallbacksAreRepeatedUntilTaken(t *testing.T) {
	t.Parallel()
	r := newReceiver(t)
	r.set(http.StatusServiceUnavailable)
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), r.URL, time.Millisecond, false)
	if _, err := b.client.Send(t.Context(), transferTo("07", "txn_07")); err != nil {
		t.Fatal(err)
	}
	r.wait(t, 3)
	r.set(http.StatusOK)
	var all []received
	for n := 4; ; n++ {
		if all = r.wait(t, n); all[len(all)-1].body.Status == "failed" {
			break
		}
	}
	for _, c := range all[:len(all)-1] {
		if c.raw != all[0].raw || c.headers.Get(headerID) != all[0].body.MessageID || c.body.Status != "paid" {
			t.Errorf("a repetition differs: %s", c.raw)
		}
	}
	if last := all[len(all)-1].body; last.MessageID == all[0].body.MessageID || last.Reference != "txn_07" || last.UTR != "" {
		t.Errorf("the contradiction: %+v", last)
	}
	if l := b.list(""); l[0].Status != "paid" {
		t.Errorf("the truth: %+v", l)
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	if n := len(b.list("")); n != 0 {
		t.Errorf("%d transfers of a new bank", n)
	}
	const many = 2*listPage + 7
	if _, err := b.writer.ExecContext(t.Context(), `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $1)
		INSERT INTO transfers (reference, fingerprint, digits, amount, currency, status, created_at, updated_at)
		SELECT 'txn_' || i, '', '00', 100000 + i, 'INR', 'pending', 0, 0 FROM n`, many); err != nil {
		t.Fatal(err)
	}
	for query, want := range map[string]int{
		"": many, "?limit=0": 0, "?limit=1": 1, "?limit=1000": 1000, "?limit=1001": 1001, "?limit=2007": many, "?limit=999999": many,
	} {
		list := b.list(query)
		if len(list) != want {
			t.Errorf("%q: %d transfers, want %d", query, len(list), want)
		}
		for i, l := range list {
			if n := many - i; l.Reference != fmt.Sprintf("txn_%d", n) || l.Amount != fmt.Sprintf("%d.%02d", 1000+n/100, n%100) {
				t.Fatalf("%q: number %d is %+v", query, i, l)
			}
		}
	}
	for _, bad := range []string{"?limit=-1", "?limit=x", "?limit=", "?limit=1.5"} {
		var e errorBody
		if status := b.get("/sandbox/bank/transfers"+bad, &e); status != http.StatusBadRequest || e.Field != "limit" {
			t.Errorf("%s: %d %+v", bad, status, e)
		}
	}
}

func TestSendRefuses(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	send := func(body string, key []byte) int {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, b.server.URL+"/sandbox/bank/transfers", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		sign(req.Header, key, "id", []byte(body), time.Now())
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		return res.StatusCode
	}
	good := `{"reference":"txn_1","amount":"10","currency":"INR","account_no":"1234567822","ifsc":"SBIN0001234"}`
	for body, want := range map[string]int{
		strings.Replace(good, "txn_1", "", 1):       http.StatusUnprocessableEntity,
		strings.Replace(good, "txn_1", "a/b", 1):    http.StatusUnprocessableEntity,
		strings.Replace(good, `"10"`, `"-10"`, 1):   http.StatusUnprocessableEntity,
		strings.Replace(good, `"10"`, `10`, 1):      http.StatusUnprocessableEntity,
		strings.Replace(good, "INR", "XXX", 1):      http.StatusUnprocessableEntity,
		strings.Replace(good, "1234567822", "", 1):  http.StatusUnprocessableEntity,
		strings.Replace(good, "SBIN0001234", "", 1): http.StatusUnprocessableEntity,
		"{": http.StatusBadRequest,
	} {
		if got := send(body, testSecret); got != want {
			t.Errorf("%s: %d, want %d", body, got, want)
		}
	}
	if got := send(good, []byte("another key of enough bytes")); got != http.StatusUnauthorized {
		t.Errorf("forged: %d", got)
	}
	if n := len(b.list("")); n != 0 {
		t.Errorf("%d transfers", n)
	}
	if got := send(good, testSecret); got != http.StatusOK {
		t.Errorf("good: %d", got)
	}
}

func TestOpenRefuses(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	opts := Options{Secret: testSecret, CallbackBase: "http://127.0.0.1:1"}
	for name, o := range map[string]Options{"no secret": {CallbackBase: opts.CallbackBase}, "no base": {Secret: testSecret}} {
		if _, err := Open(t.Context(), filepath.Join(dir, "x.db"), o); err == nil {
			t.Errorf("%s: opened", name)
		}
	}
	foreign := filepath.Join(dir, "foreign.db")
	db, err := sql.Open("sqlite", foreign)
	if err == nil {
		_, err = db.ExecContext(t.Context(), "CREATE TABLE t (x)")
	}
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), foreign, opts); err == nil || errors.Is(err, eventstore.ErrNewer) {
		t.Errorf("a foreign file: %v", err)
	}
	path := filepath.Join(dir, "deep", "sandbox.db")
	b, err := Open(t.Context(), path, opts)
	if err == nil {
		_, err = b.writer.ExecContext(t.Context(), fmt.Sprintf("PRAGMA user_version = %d", schemaVersion+1))
		err = errors.Join(err, b.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), path, opts); !errors.Is(err, eventstore.ErrNewer) {
		t.Errorf("a newer file: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// The bank's file holds neither account numbers nor names.
func TestFileHoldsNoPersonalData(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	b := start(t, filepath.Join(dir, "sandbox.db"), "http://127.0.0.1:1", time.Millisecond, false)
	tr := transferTo("22", "txn_22")
	if _, err := b.client.Send(t.Context(), tr); err != nil {
		t.Fatal(err)
	}
	b.stop()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	found := false
	for _, f := range files {
		content, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		found = found || strings.Contains(string(content), tr.Reference)
		for _, personal := range []string{tr.AccountNo, tr.Name, tr.Mobile} {
			if strings.Contains(string(content), personal) {
				t.Errorf("%s holds %s", f, personal)
			}
		}
	}
	if !found {
		t.Error("the transfer itself is not in the file: this test looks in the wrong place")
	}
}

func TestOneRunAtATime(t *testing.T) {
	t.Parallel()
	b := start(t, filepath.Join(t.TempDir(), "sandbox.db"), "http://127.0.0.1:1", time.Hour, true)
	b.running.Lock()
	if err := b.Run(t.Context()); err == nil {
		t.Error("a second Run began")
	}
	b.running.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := b.Run(ctx); err != nil {
		t.Error(err)
	}
}

func TestNothingIsServedInJSON(t *testing.T) {
	b := start(t, filepath.Join(t.TempDir(), "bank.db"), "http://127.0.0.1:1", time.Second, true)
	for _, c := range []struct {
		method, path string
		status       int
		allow, body  string
	}{
		{"GET", "/sandbox/upi/pay", 405, "POST", `{"success":false,"message":"this path takes POST"}`},
		{"DELETE", "/sandbox/bank/transfers", 405, "GET, POST", `{"success":false,"message":"this path takes GET and POST"}`},
		{"GET", "/sandbox/upi/nothing", 404, "", `{"success":false,"message":"the sandbox bank has no such path"}`},
	} {
		w := httptest.NewRecorder()
		b.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || w.Header().Get("Allow") != c.allow || w.Body.String() != c.body {
			t.Errorf("%s %s: %d %q %s", c.method, c.path, w.Code, w.Header().Get("Allow"), w.Body)
		}
	}
}
