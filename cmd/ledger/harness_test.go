package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// The end-to-end tests drive the built binary: real processes, real HTTP, a real store.

// binaryFolder is where builtBinary builds; written once, by it.
var binaryFolder string

var builtBinary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "ledger-binary-")
	if err != nil {
		return "", err
	}
	binaryFolder = dir
	path := filepath.Join(dir, "ledger")
	out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return path, nil
})

func binary(t *testing.T) string {
	t.Helper()
	path, err := builtBinary()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// onBothStores runs a test on SQLite and on PostgreSQL.
func onBothStores(t *testing.T, f func(t *testing.T, w *world)) {
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		f(t, newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db")))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		f(t, newWorld(t, dir, testpg.DSN(t)))
	})
}

// world is a store, the server on it, and a receiver of callbacks.
type world struct {
	t      *testing.T
	dir    string
	db     string
	addr   string
	flags  []string
	server *exec.Cmd
	stderr *lockedBuffer
	stdout *lockedBuffer
	calls  *callbackReceiver
	httpc  *http.Client
	other  func(*exec.Cmd) // makes of the built binary something else that is run; nil leaves it
}

// program is the built binary with arguments, or what is run instead.
func (w *world) program(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, binary(w.t), args...)
	cmd.Dir = w.dir
	if w.other != nil {
		w.other(cmd)
	}
	return cmd
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func newWorld(t *testing.T, dir, db string) *world {
	w := &world{
		t: t, dir: dir, db: db, addr: freeAddress(t), calls: newCallbackReceiver(t),
		httpc: &http.Client{Timeout: 30 * time.Second}, stderr: &lockedBuffer{}, stdout: &lockedBuffer{},
	}
	if strings.HasPrefix(db, "postgres") {
		w.writeKey()
	}
	t.Cleanup(func() {
		if w.server != nil {
			w.kill()
		}
		if t.Failed() {
			t.Logf("server log:\n%s", tailOf(withoutProbes(w.stderr.String()), 60))
		}
	})
	return w
}

func tailOf(s string, lines int) string {
	all := strings.Split(s, "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (w *world) keyFile() string { return filepath.Join(w.dir, "master.key") }

func (w *world) writeKey() {
	if err := os.WriteFile(w.keyFile(), []byte(strings.Repeat("5f", 32)), 0o600); err != nil {
		w.t.Fatal(err)
	}
}

// start starts the server and waits until it is ready.
func (w *world) start(flags ...string) {
	w.t.Helper()
	w.flags = flags
	args := append([]string{
		"serve", "--listen", w.addr, "--db", w.db, "--master-key-file", w.keyFile(), "--sandbox",
		"--callback-allow", "127.0.0.0/8", "--callback-gap", "300ms",
	}, flags...)
	w.server = w.program(context.Background(), args...)
	w.server.Stderr, w.server.Stdout = w.stderr, w.stdout
	if err := w.server.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.eventually(30*time.Second, "the server is ready", func() bool {
		resp, err := w.httpc.Get("http://" + w.addr + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// kill ends the server as a power failure would.
func (w *world) kill() {
	w.t.Helper()
	w.server.Process.Kill()
	w.server.Wait()
	w.server = nil
}

// stop ends the server as an operator would.
func (w *world) stop() {
	w.t.Helper()
	w.server.Process.Signal(syscall.SIGTERM)
	done := make(chan error, 1)
	go func() { done <- w.server.Wait() }()
	select {
	case err := <-done:
		if err != nil {
			w.t.Errorf("the server stopped with %v", err)
		}
	case <-time.After(30 * time.Second):
		w.t.Error("the server did not stop")
		w.server.Process.Kill()
	}
	w.server = nil
}

func (w *world) restart() {
	w.t.Helper()
	w.kill()
	w.start(w.flags...)
}

// ledger runs a subcommand on the store and decodes its answer.
func (w *world) ledger(answer any, args ...string) {
	w.t.Helper()
	out, code := w.run(args...)
	if code != 0 {
		w.t.Fatalf("ledger %s: exit %d: %s", strings.Join(args, " "), code, out)
	}
	if answer != nil {
		if err := json.Unmarshal([]byte(out), answer); err != nil {
			w.t.Fatalf("ledger %s answered %q: %v", strings.Join(args, " "), out, err)
		}
	}
}

// run runs a subcommand on the stores; out is stdout, or stderr when it failed without a word on stdout.
func (w *world) run(args ...string) (out string, code int) {
	w.t.Helper()
	return w.execute(append(args, "--db", w.db, "--master-key-file", w.keyFile())...)
}

// client runs a subcommand that speaks to the server as a merchant.
func (w *world) client(m testMerchant, args ...string) (out string, code int) {
	w.t.Helper()
	return w.execute(append(args, "--url", "http://"+w.addr, "--api-key", m.Key)...)
}

func (w *world) execute(args ...string) (out string, code int) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	cmd := w.program(ctx, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	out = stdout.String()
	if out == "" {
		out = stderr.String()
	}
	return out, cmd.ProcessState.ExitCode()
}

// merchant is a merchant with its key.
type testMerchant struct {
	ID  string `json:"merchant_id"`
	Key string `json:"api_key"`
}

func (w *world) merchant() testMerchant {
	w.t.Helper()
	var m testMerchant
	w.ledger(&m, "merchant", "create", "--name", "Test shop", "--service", "payin", "--service", "payout",
		"--ip", "127.0.0.1/32", "--callback-url", w.calls.server.URL+"/callback", "--callback-allow", "127.0.0.0/8")
	if m.ID == "" || m.Key == "" {
		w.t.Fatalf("merchant create answered %+v", m)
	}
	w.eventually(5*time.Second, "the key is honoured", func() bool {
		status, _ := w.call(m, http.MethodGet, "/api/v1/wallet/balance", "")
		return status == http.StatusOK
	})
	w.calls.learn(m)
	return m
}

// object is a decoded JSON object; numbers stay as they were written.
type object map[string]any

// at walks into an object: at("data", "transaction", "status").
func (o object) at(path ...string) any {
	var v any = map[string]any(o)
	for _, p := range path {
		m, ok := v.(map[string]any)
		if !ok {
			return nil
		}
		v = m[p]
	}
	return v
}

func (o object) text(path ...string) string {
	switch v := o.at(path...).(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	case nil:
		return ""
	default:
		return fmt.Sprint(v)
	}
}

func (w *world) call(m testMerchant, method, path, body string, headers ...string) (int, object) {
	w.t.Helper()
	status, o, err := w.try(m, method, path, body, headers...)
	if err != nil {
		w.t.Fatalf("%s %s: %v", method, path, err)
	}
	return status, o
}

func (w *world) try(m testMerchant, method, path, body string, headers ...string) (int, object, error) {
	req, err := http.NewRequest(method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		return 0, nil, err
	}
	req.Header.Set("X-Api-Key", m.Key)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := w.httpc.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp.StatusCode, nil, err
	}
	var o object
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&o); err != nil {
		return resp.StatusCode, nil, fmt.Errorf("answer %q: %w", raw, err)
	}
	return resp.StatusCode, o, nil
}

func payoutBody(account, amount, ref string) string {
	return fmt.Sprintf(`{"mobile_no":"9876543210","beneficiary_name":"Rahul Sharma","account_no":%q,"ifsc":"SBIN0001234",
		"bank_name":"State Bank of India","amount":%s,"transfer_type":"5","partner_request_id":%q}`, account, amount, ref)
}

// payin creates a payin and returns its answer's data.
func (w *world) payin(m testMerchant, amount, order string) object {
	w.t.Helper()
	status, o := w.call(m, http.MethodPost, "/api/v1/payin/create",
		fmt.Sprintf(`{"order_id":%q,"amount":%s,"customer_phone":"9876543210","customer_name":"Asha Rao"}`, order, amount))
	if status != http.StatusCreated {
		w.t.Fatalf("payin create: %d %v", status, o)
	}
	return object(o["data"].(map[string]any))
}

// pay plays the customer's UPI app.
func (w *world) pay(intent, outcome, amount string) {
	w.t.Helper()
	body := object{"intent_url": intent, "outcome": outcome}
	if amount != "" {
		body["amount"] = amount
	}
	raw, err := json.Marshal(body)
	if err != nil {
		w.t.Fatal(err)
	}
	if status, o := w.call(testMerchant{}, http.MethodPost, "/sandbox/upi/pay", string(raw)); status >= 300 {
		w.t.Fatalf("upi pay: %d %v", status, o)
	}
}

func (w *world) fund(m testMerchant, amount string) {
	w.t.Helper()
	w.ledger(nil, "wallet", "adjust", "--merchant", m.ID, "--amount", amount, "--reason", "opening balance")
}

func (w *world) payinStatus(m testMerchant, ref string) object {
	w.t.Helper()
	status, o := w.call(m, http.MethodGet, "/api/v1/payin/status/"+ref, "")
	if status != http.StatusOK {
		w.t.Fatalf("payin status: %d %v", status, o)
	}
	return object(o["data"].(map[string]any))
}

func (w *world) balance(m testMerchant) (available, locked string) {
	w.t.Helper()
	status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", "")
	if status != http.StatusOK {
		w.t.Fatalf("balance: %d %v", status, o)
	}
	return o.text("data", "balance"), o.text("data", "locked_balance")
}

func (w *world) wantBalance(m testMerchant, available, locked string) {
	w.t.Helper()
	if a, l := w.balance(m); a != available || l != locked {
		w.t.Errorf("balance %s, locked %s; want %s and %s", a, l, available, locked)
	}
}

func (w *world) eventually(within time.Duration, what string, is func() bool) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for !is() {
		if time.Now().After(deadline) {
			w.t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(25 * time.Millisecond)
	}
}

// verify runs `ledger verify` and fails the test unless it is content.
func (w *world) verify() {
	w.t.Helper()
	var o object
	w.ledger(&o, "verify", "--json")
	if o["ok"] != true {
		w.t.Errorf("ledger verify: %v", o)
	}
}

// wantBankTruth compares the sandbox's own list of transfers with the ledger's payouts, reference by reference.
func (w *world) wantBankTruth(m testMerchant) {
	w.t.Helper()
	_, o := w.call(m, http.MethodGet, "/sandbox/bank/transfers", "")
	bank := map[string]string{}
	for _, t := range o["transfers"].([]any) {
		tr := object(t.(map[string]any))
		if tr.text("status") == "paid" {
			bank[tr.text("reference")] = tr.text("utr")
		}
	}
	settled := map[string]string{}
	for page := 1; ; page++ {
		_, o := w.call(m, http.MethodGet, fmt.Sprintf("/api/v1/transactions/service/payout?status=success&limit=100&page=%d", page), "")
		list := o.at("data", "transactions").([]any)
		for _, t := range list {
			tr := object(t.(map[string]any))
			settled[tr.text("transaction_id")] = tr.text("utr")
		}
		if len(list) < 100 {
			break
		}
	}
	for ref, utr := range bank {
		if settled[ref] != utr {
			w.t.Errorf("the bank paid %s (UTR %s); the ledger says UTR %q", ref, utr, settled[ref])
		}
	}
	for ref := range settled {
		if _, ok := bank[ref]; !ok {
			w.t.Errorf("the ledger settled %s, which the bank did not pay", ref)
		}
	}
}

// callbackReceiver is a merchant's server: it checks signatures and keeps what it got.
type callbackReceiver struct {
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	keys  []string
	got   []object // verified callbacks
	seen  map[string]bool
	fails int // answer 500 to so many
}

func newCallbackReceiver(t *testing.T) *callbackReceiver {
	r := &callbackReceiver{t: t, seen: map[string]bool{}}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	return r
}

func (r *callbackReceiver) learn(m testMerchant) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.keys = append(r.keys, m.Key)
}

func (r *callbackReceiver) ServeHTTP(rw http.ResponseWriter, req *http.Request) {
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails > 0 {
		r.fails--
		rw.WriteHeader(http.StatusInternalServerError)
		return
	}
	signed := false
	for _, key := range r.keys {
		mac := hmac.New(sha256.New, []byte(key))
		mac.Write(raw)
		signed = signed || hex.EncodeToString(mac.Sum(nil)) == req.Header.Get("X-KlyroPay-Signature")
	}
	var o object
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	err = dec.Decode(&o)
	event := "transaction.updated"
	if o.text("batch_id") != "" {
		event = "batch.updated"
	}
	if err != nil || !signed || o.text("event") != event || req.Header.Get("X-KlyroPay-Event") != event {
		r.t.Errorf("callback %s: signed %v, error %v", raw, signed, err)
		rw.WriteHeader(http.StatusUnauthorized)
		return
	}
	// Delivery is at least once across a kill: the same callback again has the same webhook-id.
	if id := req.Header.Get("webhook-id"); id == "" {
		r.t.Error("a callback without webhook-id")
	} else if !r.seen[id] {
		r.seen[id] = true
		r.got = append(r.got, o)
	}
}

// statuses are the statuses received for a transaction or a batch, in order.
func (r *callbackReceiver) statuses(id string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, o := range r.got {
		if o.text("transaction_id") == id || o.text("batch_id") == id {
			out = append(out, o.text("status"))
		}
	}
	return out
}

// logLines decodes the server's log.
func (w *world) logLines() []object {
	var lines []object
	sc := bufio.NewScanner(strings.NewReader(w.stderr.String()))
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		var o object
		if json.Unmarshal(sc.Bytes(), &o) == nil {
			lines = append(lines, o)
		} else if strings.TrimSpace(sc.Text()) != "" {
			w.t.Errorf("log line is not JSON: %s", sc.Text())
		}
	}
	return lines
}

// withoutProbes drops the lines that waiting for the server leaves.
func withoutProbes(log string) string {
	var kept []string
	for line := range strings.Lines(log) {
		if !strings.Contains(line, `"not ready"`) && !strings.Contains(line, `"/readyz"`) {
			kept = append(kept, line)
		}
	}
	return strings.Join(kept, "")
}
