package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// everything is what a thief gets who copies the stores, the master key aside, and reads along what the server writes: by what it is called.
func (w *world) everything() map[string]string {
	w.t.Helper()
	all := map[string]string{"stderr": w.stderr.String(), "stdout": w.stdout.String()}
	if strings.HasPrefix(w.db, "postgres") {
		db, err := sql.Open("pgx", w.db)
		if err != nil {
			w.t.Fatal(err)
		}
		defer db.Close()
		for _, table := range texts(w.t, db, `SELECT format('%I.%I', schemaname, tablename) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')`) {
			all["table "+table] = strings.Join(texts(w.t, db, "SELECT t::text FROM "+table+" t"), "\n")
		}
	}
	err := filepath.WalkDir(w.dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path == w.keyFile() {
			return err
		}
		raw, err := os.ReadFile(path)
		all["file "+filepath.Base(path)] = string(raw)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return all
}

func texts(t *testing.T, db *sql.DB, query string) (all []string) {
	t.Helper()
	rows, err := db.QueryContext(t.Context(), query)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var s string
		if err := rows.Scan(&s); err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// hidden lists what must not stand anywhere: texts, as they are and as PostgreSQL shows bytes, and the plain hashes of requests, with which who
// knows the rest of a request could try out a telephone number.
func hidden(plain, bodies []string) map[string]string {
	all := map[string]string{}
	for _, s := range plain {
		all[s] = s
		all[s+", as bytes"] = hex.EncodeToString([]byte(s))
	}
	for _, b := range bodies {
		sum := sha256.Sum256([]byte(b))
		all["SHA-256 of "+b] = hex.EncodeToString(sum[:])
		all["bytes of the SHA-256 of "+b] = string(sum[:])
	}
	return all
}

// Neither the stores without their master key, nor what the server writes, nor its dump on SIGQUIT, nor its metrics say who was paid, who paid,
// or what opens the API.
func TestStolenStoresTellNothing(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--log-level", "debug")
		m := w.merchant()
		w.fund(m, "50000.00")
		answers := &strings.Builder{}
		send := func(key, method, path, body string, headers ...string) {
			t.Helper()
			_, o, err := w.try(testMerchant{Key: key}, method, path, body, headers...)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintln(answers, o)
		}
		payout := strings.Replace(payoutBody("40001234567899", "1000", "P-1"), "9876543210", "9123456780", 1)
		payin := `{"order_id":"O-1","amount":1000,"customer_phone":"9234567801","customer_name":"Lakshmi Narayanan"}`
		batch := `{"batch_ref":"B-1","items":[{"mobile_no":"9345678012","beneficiary_name":"Meenakshi Sundaram","account_no":"50009876543211","ifsc":"SBIN0001234","bank_name":"State Bank of India","amount":10000,"transfer_type":"5","partner_request_id":"B-1-1"}]}`
		send(m.Key, "POST", "/api/v1/services/payout/process", payout, "Idempotency-Key", "K-1")
		send(m.Key, "POST", "/api/v1/payin/create", payin, "Idempotency-Key", "K-2")
		send(m.Key, "POST", "/api/v1/services/payout/batches", batch, "Idempotency-Key", "K-3")
		wrong := strings.Replace(payin, `"amount":1000`, `"amount":1e400,"surprise":"9234567801"`, 1)
		send(m.Key, "POST", "/api/v1/payin/create", wrong)
		send(m.Key, "POST", "/api/v1/payin/create", strings.TrimSuffix(payin, "}"))
		send("klyro_guessed_key_that_is_wrong", "GET", "/api/v1/wallet/balance", "")
		send(m.Key, "GET", "/api/v1/payin/order/9234567801?customer_phone=9234567801", "")
		intent := w.payin(m, "350", "O-2").text("intent_url")
		w.pay(intent, "success", "350")
		w.eventually(20*time.Second, "the payout is told of", func() bool {
			_, o := w.call(m, "GET", "/api/v1/transactions/service/payout/request/B-1-1", "")
			w.calls.mu.Lock()
			defer w.calls.mu.Unlock()
			return o.text("data", "transaction", "status") == "success" && len(w.calls.got) >= 3
		})
		metrics, err := w.httpc.Get("http://" + w.addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		counted, err := io.ReadAll(metrics.Body)
		metrics.Body.Close()
		if err != nil || !strings.Contains(string(counted), "ledger_http_requests_total") {
			t.Fatalf("%v %s", err, counted)
		}
		lines := w.logLines()
		if err := w.server.Process.Signal(syscall.SIGQUIT); err != nil { // ends it with a dump of what every goroutine is at
			t.Fatal(err)
		}
		w.server.Wait()
		w.server = nil
		if !strings.Contains(w.stderr.String(), "goroutine ") || len(lines) < 10 {
			t.Fatalf("no dump, or hardly a log: %d lines", len(lines))
		}
		master, err := os.ReadFile(w.keyFile())
		if err != nil {
			t.Fatal(err)
		}
		secret := hidden([]string{
			m.Key, "klyro_guessed_key_that_is_wrong", strings.TrimSpace(string(master)), "9123456780", "9234567801", "9345678012", "9876543210",
			"40001234567899", "50009876543211", "Lakshmi", "Meenakshi", "Rahul Sharma", "Asha Rao",
		}, []string{payout, payin, batch, wrong})
		all := w.everything()
		all["metrics"] = string(counted)
		if len(all) < 9 {
			t.Fatalf("only %d places were looked at", len(all))
		}
		for where, text := range all {
			for what, s := range secret {
				if i := strings.Index(text, s); i >= 0 {
					t.Errorf("%s has %q in clear: %q", where, what, text[max(0, i-80):min(len(text), i+80)])
				}
			}
		}
		for _, s := range []string{m.Key, "klyro_guessed", "9345678012"} { // what was sent is not repeated in refusals
			if strings.Contains(answers.String(), s) {
				t.Errorf("an answer has %q: %s", s, answers)
			}
		}
		stranger := filepath.Join(w.dir, "another.key")
		if err := os.WriteFile(stranger, []byte(strings.Repeat("a1", 32)), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, args := range [][]string{{"verify"}, {"merchant", "list"}, {"secrets", "export"}, {"payout", "show", "B-1-1"}} {
			if out, code := w.execute(append(args, "--db", w.db, "--master-key-file", stranger)...); code == 0 && strings.Contains(out, "Meenakshi") {
				t.Errorf("ledger %v under another master key: %s", args, out)
			}
		}
	})
}

// exchange sends bytes over a connection of its own, as they are, and returns the statuses of all answers until the server ends it. Bytes of the
// client that the server took for another request would have an answer more.
func (w *world) exchange(raw string, open bool) (statuses []int) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.addr)
	if err != nil {
		w.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		w.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, raw); err != nil {
		w.t.Fatal(err)
	}
	if !open { // nothing follows: a server that waits for more would wait for long
		if err := conn.(*net.TCPConn).CloseWrite(); err != nil {
			w.t.Fatal(err)
		}
	}
	for in := bufio.NewReader(conn); ; {
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			return statuses
		}
		statuses = append(statuses, resp.StatusCode)
		_, err = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if err != nil {
			return statuses
		}
	}
}

// However a request is framed, the bytes behind it are never taken for a request of somebody else: who sits behind a proxy cannot be made to send
// what another client has written.
func TestRequestsAreNotSmuggled(t *testing.T) {
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	m := w.merchant()
	order := 0
	payin := func() string {
		order++
		return fmt.Sprintf(`{"order_id":"S-%d","amount":1000,"customer_phone":"9876543210","customer_name":"Asha"}`, order)
	}
	smuggled := func() string {
		body := payin()
		return "POST /api/v1/payin/create HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + m.Key + "\r\nContent-Type: application/json\r\nContent-Length: " + fmt.Sprint(len(body)) + "\r\n\r\n" + body
	}
	head := "POST /api/v1/wallet/balance HTTP/1.1\r\nHost: x\r\nX-Api-Key: " + m.Key + "\r\n"
	for _, c := range []struct {
		name, framing, body string
		status              int // of the one answer; 0: none is due
	}{
		{"two lengths", "Content-Length: 0\r\nContent-Length: 4\r\n", "", 400},
		{"two lengths in one", "Content-Length: 0, 4\r\n", "", 400},
		{"two lengths that agree in one", "Content-Length: 0, 0\r\n", "", 400},
		{"a length with a sign", "Content-Length: +0\r\n", "", 400},
		{"a negative length", "Content-Length: -1\r\n", "", 400},
		{"a hexadecimal length", "Content-Length: 0x0\r\n", "", 400},
		{"a length beyond all bounds", "Content-Length: 99999999999999999999\r\n", "", 400},
		{"a blank before the colon", "Content-Length : 0\r\n", "", 400},
		{"a tab in the name", "Content\tLength: 0\r\n", "", 400},
		{"a NUL in a value", "X-Note: a\x00b\r\n", "", 400},
		{"a CR in a value", "X-Note: a\rb\r\n", "", 400},
		{"chunked and a length", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 0},
		{"a length and chunked", "Transfer-Encoding: chunked\r\nContent-Length: 6\r\n", "0\r\n\r\n", 0},
		{"chunked alone", "Transfer-Encoding: chunked\r\n", "0\r\n\r\n", 0},
		{"chunked twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n", 501},
		{"chunked in a list", "Transfer-Encoding: identity, chunked\r\n", "0\r\n\r\n", 501},
		{"another coding", "Transfer-Encoding: xchunked\r\n", "0\r\n\r\n", 501},
		{"chunked with a control character", "Transfer-Encoding: \x0bchunked\r\n", "0\r\n\r\n", 400},
		{"a chunk of a strange length", "Transfer-Encoding: chunked\r\n", "0x0\r\n\r\n", 0},
		{"a chunk without its end", "Transfer-Encoding: chunked\r\n", "1\r\naa\r\n0\r\n\r\n", 0},
		{"two hosts", "Host: y\r\nContent-Length: 0\r\n", "", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := w.exchange(head+c.framing+"\r\n"+c.body+smuggled(), false)
			if len(got) > 1 || c.status != 0 && (len(got) != 1 || got[0] != c.status) {
				t.Errorf("answered %v, want one answer %d", got, c.status)
			}
		})
	}
	// Lines that end in a bare LF, and lines that go on, are one message like any other to this server: the body's length is what the head says.
	for name, framing := range map[string]string{
		"bare LF": strings.ReplaceAll(head, "\r\n", "\n") + "Content-Length: 0\n\n", "a line that goes on": head + "X-Note: a\r\n b\r\nContent-Length: 0\r\n\r\n",
	} {
		if got := w.exchange(framing, false); len(got) != 1 || got[0]/100 != 4 {
			t.Errorf("%s: %v", name, got)
		}
	}
	_, o := w.call(m, "GET", "/api/v1/payin/transactions", "")
	if n := o.text("data", "total"); n != "0" {
		t.Errorf("%s payins were smuggled in: %v", n, o)
	}
	if got := w.exchange(strings.Replace(smuggled(), "Host: x", "Host: x\r\nConnection: close", 1), true); len(got) != 1 || got[0] != 201 {
		t.Errorf("the same request sent openly: %v", got)
	}
}

// What is revoked or suspended is shut out, from the repeat of an answer that was given before, too.
func TestRevokedKeysRepeatNothing(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		for what, lock := range map[string]func(m testMerchant) int{
			"suspended": func(m testMerchant) int {
				w.ledger(nil, "merchant", "suspend", m.ID, "--reason", "test")
				return http.StatusForbidden
			},
			"revoked": func(m testMerchant) int {
				w.ledger(nil, "merchant", "rotate-key", m.ID, "--overlap", "0s")
				return http.StatusUnauthorized
			},
		} {
			m := w.merchant()
			w.fund(m, "5000.00")
			body := payoutBody("40001234567899", "1000", "R-1")
			repeat := func() int {
				status, _ := w.call(m, "POST", "/api/v1/services/payout/process", body, "Idempotency-Key", "K-1")
				return status
			}
			if first, again := repeat(), repeat(); first != 200 || again != 200 {
				t.Fatalf("before: %d, %d", first, again)
			}
			want := lock(m)
			w.eventually(10*time.Second, what+" key is shut out", func() bool { return repeat() == want })
			for _, path := range []string{"/api/v1/wallet/balance", "/api/v1/transactions/service/payout/request/R-1"} {
				if status, _ := w.call(m, "GET", path, ""); status != want {
					t.Errorf("%s: %s is answered %d", what, path, status)
				}
			}
		}
	})
}

// The master key is changed while the server works, by commands that are killed at any moment: nothing that was sealed before, in between or
// behind is lost, and the key file is always one that opens the secrets, or has its successor beside it.
func TestMasterKeyIsRotatedUnderLoad(t *testing.T) {
	onBothStores(t, func(t *testing.T, w *world) {
		w.start("--rate-limit", "1000000")
		m := w.merchant()
		var made, tried atomic.Int64
		ctx, stop := context.WithCancel(t.Context())
		var clients sync.WaitGroup
		for c := range 2 {
			clients.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					tried.Add(1)
					status, _, err := w.try(m, "POST", "/api/v1/payin/create",
						fmt.Sprintf(`{"order_id":"L-%d-%d","amount":1000,"customer_phone":"9876543210","customer_name":"Asha Rao"}`, c, i))
					switch {
					case err == nil && status == http.StatusCreated:
						made.Add(1)
					case err == nil && status != http.StatusServiceUnavailable:
						t.Errorf("payin: %d", status)
					}
				}
			})
		}
		seed := rand.Uint64()
		t.Logf("seed %d", seed)
		random, killed := rand.New(rand.NewPCG(seed, 7)), 0
		for range 12 {
			cmd := exec.Command(binary(t), "secrets", "rotate-master", "--db", w.db, "--master-key-file", w.keyFile())
			cmd.Dir = w.dir
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			at := time.AfterFunc(time.Duration(random.IntN(250))*time.Millisecond, func() { cmd.Process.Kill() })
			if err := cmd.Wait(); err != nil {
				killed++
			}
			at.Stop()
		}
		var o object
		w.ledger(&o, "secrets", "rotate-master") // completes what was cut, and is not killed
		before := made.Load()
		w.eventually(30*time.Second, "payins are made under the newest key", func() bool { return made.Load() > before+5 })
		stop()
		clients.Wait()
		t.Logf("%d of 12 rotations were killed; %d of %d payins were made meanwhile", killed, made.Load(), tried.Load())
		w.restart() // with the key file as it is
		w.verify()
		seen := 0
		for page := 1; ; page++ {
			_, o := w.call(m, "GET", fmt.Sprintf("/api/v1/payin/transactions?limit=100&page=%d", page), "")
			raw, err := json.Marshal(o.at("data", "transactions"))
			if err != nil {
				t.Fatal(err)
			}
			n := strings.Count(string(raw), `"order_id":"L-`)
			if n == 0 {
				break
			}
			seen += n
		}
		if int64(seen) < made.Load() {
			t.Errorf("%d payins are there, and %d were made", seen, made.Load())
		}
		if left, err := filepath.Glob(w.keyFile() + ".next*"); err != nil || len(left) > 0 {
			t.Errorf("left behind: %v, %v", left, err)
		}
	})
}
