package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestREADME does what the README says: `make run`, then every block of shell, pasted in order into one shell. Only the
// address, the folder of the data and the printed key differ.
func TestREADME(t *testing.T) {
	root, err := filepath.Abs(filepath.Join("..", ".."))
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	env := append(os.Environ(), "LEDGER_LISTEN="+w.addr, "LEDGER_DB="+w.db, "LEDGER_MASTER_KEY_FILE="+w.keyFile())

	for _, target := range []string{"run", "test"} {
		if !strings.Contains(string(text), "make "+target) {
			t.Errorf("the README does not lead with make %s", target)
		}
	}
	run := exec.Command("make", "run")
	run.Dir, run.Env = root, env
	run.Stdout, run.Stderr = w.stdout, w.stderr
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Kill(-run.Process.Pid, syscall.SIGTERM); err != nil {
			t.Error(err)
		}
		run.Wait() // make reports that the server was told to stop
	})
	printed := regexp.MustCompile(`API key\s+(klyro_\S+)`)
	w.eventually(3*time.Minute, "make run prints the key", func() bool { return printed.MatchString(w.stdout.String()) })
	key := printed.FindStringSubmatch(w.stdout.String())[1]
	pair := regexp.MustCompile(`access key\s+(kspay_test_\S+)\s+secret key\s+([0-9a-f]{64})`)
	w.eventually(time.Minute, "make run prints the app's credentials", func() bool {
		return pair.MatchString(w.stdout.String()) && strings.Contains(w.stdout.String(), "checkout link")
	})
	app := pair.FindStringSubmatch(w.stdout.String())

	var script strings.Builder
	script.WriteString("set -e\n")
	blocks := regexp.MustCompile("(?s)```sh\n(.*?)```").FindAllStringSubmatch(string(text), -1)
	for i, b := range blocks {
		fmt.Fprintf(&script, "echo; echo '== %d'\n%s", i, b[1])
	}
	pasted := strings.NewReplacer("127.0.0.1:8080", w.addr, "klyro_...", key, "kspay_test_...", app[1], "SECRET_KEY=...", "SECRET_KEY="+app[2], "payin.json", filepath.Join(dir, "payin.json"), "salaries.csv", filepath.Join(dir, "salaries.csv"),
		"ledger.pub", filepath.Join(dir, "ledger.pub"), "pack.zip", filepath.Join(dir, "pack.zip")).Replace(script.String())
	shell := exec.Command("bash", "-c", pasted)
	shell.Dir, shell.Env = root, env
	out, err := shell.CombinedOutput()
	if err != nil {
		t.Fatalf("the README's commands: %v\n%s", err, out)
	}
	for i, want := range []string{
		"", `"status":"pending"`, `"status":"success"`, `"balance":4950.00,"locked_balance":0.00`, `"net_amount":1010.00`, "completed", "payout.succeeded", "It proves",
		"", `"pe_txnId":"tx_`, "http://" + w.addr + "/checkout/", `"reference_number":"FIRST-1","amount":"345.67"`,
	} {
		block := section(out, i)
		if !strings.Contains(block, want) {
			t.Errorf("block %d printed %q; it should contain %s", i, block, want)
		}
	}

	// The lines that `make run` prints work when pasted, too.
	var lines []string
	for line := range strings.Lines(w.stdout.String()) {
		if strings.HasPrefix(line, "export ") || strings.HasPrefix(line, "INTENT=") || strings.HasPrefix(line, "SIGNATURE=") || strings.HasPrefix(line, "curl ") {
			lines = append(lines, line)
		}
	}
	demo := exec.Command("bash", "-e", "-c", strings.Join(lines, ""))
	demo.Dir = dir
	out, err = demo.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Payout transferred successfully.") || !strings.Contains(string(out), "checkout link  http://"+w.addr+"/checkout/") {
		t.Errorf("the printed lines: %v\n%s", err, out)
	}
	resp, err := w.httpc.Get("http://" + w.addr + "/docs")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("/docs answered %d", resp.StatusCode)
	}
}

// section is what block i printed.
func section(out []byte, i int) string {
	_, rest, _ := bytes.Cut(out, fmt.Appendf(nil, "== %d\n", i))
	rest, _, _ = bytes.Cut(rest, []byte("\n== "))
	return string(rest)
}
