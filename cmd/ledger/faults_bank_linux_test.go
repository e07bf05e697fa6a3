package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testnet"
)

// TestHostileBank: a bank that answers garbage, gigabytes or nothing. No payout is taken for paid or failed, no payin for unpaid before its time, memory stays
// bounded, the server serves and stops in time; and when the bank is itself again everything ends as the bank has it.
func TestHostileBank(t *testing.T) {
	t.Parallel()
	const secret = "shared-with-the-sandbox"
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	bank := newWorld(t, t.TempDir(), "")
	bank.addr = sandboxAlone(t, bank.dir, secret, "http://"+w.addr)
	front := testnet.NewFront(t, "http://"+bank.addr)
	flags := []string{"--gateway-wait", "0s", "--rate-limit", "1000000", "--sandbox-url", front.URL(), "--sandbox-secret", secret, "--payin-expiry", "1m"}
	w.start(flags...)
	m := w.merchant()
	w.fund(m, "9000000.00")

	payouts := 0
	pay := func() {
		t.Helper()
		for range 3 {
			payouts++
			if status, o := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", fmt.Sprintf("H-%d", payouts))); status != http.StatusOK {
				t.Fatalf("payout %d: %d %v", payouts, status, o)
			}
		}
	}
	good := `{"reference":"txn_hostile","status":"failed","amount":"1000.00","utr":"UTR1","at":"2026-11-22T10:00:00Z"}`
	before, asked := w.peak(), front.Requests()
	for _, fault := range testnet.Faults() {
		if !fault.Ends {
			continue
		}
		front.Fault(good, &fault)
		pay()
		asked += 3
		w.eventually(20*time.Second, fault.Name+" was met", func() bool { return front.Requests() >= asked })
		asked = front.Requests()
	}
	locked := fmt.Sprintf("%d.00", payouts*1010)
	if status, o := w.call(m, http.MethodGet, "/api/v1/wallet/balance", ""); status != http.StatusOK || o.text("data", "locked_balance") != locked {
		t.Errorf("the balance: %d %v, want %s locked", status, o, locked)
	}
	if grown := w.peak() - before; grown > 64<<20 {
		t.Errorf("memory has grown by %d MiB", grown>>20)
	} else {
		t.Logf("%d payouts, %d answers of %d kinds, %d MiB sent: memory has grown by %d MiB", payouts, front.Requests(), len(testnet.Faults()), front.Sent()>>20, grown>>20)
	}

	silent := testnet.Faults()
	for i := range silent {
		if silent[i].Name == "silence" {
			front.Fault(good, &silent[i])
		}
	}
	pay()
	asked = front.Requests()
	w.eventually(20*time.Second, "calls hang", func() bool { return front.Requests() > asked+3 })
	if w.readiness() != http.StatusOK {
		t.Error("a bank that hangs makes the server unready")
	}
	w.stop()
	front.Fault("", nil)
	w.start(flags...)
	w.eventually(60*time.Second, "all payouts have ended", func() bool {
		_, locked := w.balance(m)
		return locked == "0.00"
	})
	paid := 0
	_, o := bank.call(m, http.MethodGet, "/sandbox/bank/transfers", "")
	for _, x := range o["transfers"].([]any) {
		if object(x.(map[string]any)).text("status") == "paid" {
			paid++
		}
	}
	available, _ := w.balance(m)
	if want := fmt.Sprintf("%d.00", 9000000-paid*1010); paid != payouts || available != want {
		t.Errorf("the bank has paid %d of %d; the balance is %s, want %s", paid, payouts, available, want)
	}
	w.verify()
	w.stop()
}

// peak is the most memory that the server has had resident, in bytes.
func (w *world) peak() int64 {
	w.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.server.Process.Pid))
	if err != nil {
		w.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if size, is := strings.CutPrefix(line, "VmHWM:"); is {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(size), "kB")), 10, 64)
			if err != nil {
				w.t.Fatal(err)
			}
			return kib << 10
		}
	}
	w.t.Fatal("the system does not say how much memory the server has had")
	return 0
}
