package main

import (
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// TestDemoLines: the customer pays at the bank, wherever that runs.
func TestDemoLines(t *testing.T) {
	for bank, want := range map[string]string{
		"":                       " http://127.0.0.1:8080/sandbox/upi/pay ",
		"http://127.0.0.1:8081/": " http://127.0.0.1:8081/sandbox/upi/pay ",
	} {
		got := demoLines("http://127.0.0.1:8080", bank, "klyro_key")
		if !strings.Contains(got, want) || !strings.Contains(got, " http://127.0.0.1:8080/api/v1/payin/create ") || strings.Contains(got, "%!") {
			t.Errorf("with the bank at %q: %s", bank, got)
		}
	}
}

// TestDemoApp: the demo app takes payments as soon as it is printed, and a server that starts again prints the same one; also one that was killed while it
// was set up.
func TestDemoApp(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	printed := regexp.MustCompile(`demo app\s+(\S+)\s+access key\s+(\S+)\s+secret key\s+(\S+)`)
	var first []string
	w.start("--demo")
	w.kill() // perhaps in the middle of it
	w.start("--demo")
	w.eventually(time.Minute, "the demo app is printed", func() bool {
		first = printed.FindStringSubmatch(w.stdout.String())
		return first != nil
	})
	a := testApp{ID: first[1], AccessKey: first[2], SecretKey: first[3]}
	tx, signature := w.initiate(a, "c_WkmEe23LeI", netBanking, "345.67", "ORDER-1")
	w.checkout(w.process(signature).text("checkoutUrl"), "NET BANKING", "pay")
	token := w.token(a)
	w.eventually(10*time.Second, "it is paid", func() bool { return w.transaction(token, tx).text("status") == "SUCCESS" })
	before := len(printed.FindAllString(w.stdout.String(), -1))
	w.restart()
	w.eventually(30*time.Second, "it is printed again", func() bool { return len(printed.FindAllString(w.stdout.String(), -1)) > before })
	for _, again := range printed.FindAllStringSubmatch(w.stdout.String(), -1) {
		if again[1] != a.ID || again[2] != a.AccessKey || again[3] != a.SecretKey {
			t.Errorf("printed %q, and %q before", again, first)
		}
	}
	w.wantWallet(a.ID, "INR", "343.20") // 0.99 of the trial order, and 345.67 less 3.46
	w.verify()
}
