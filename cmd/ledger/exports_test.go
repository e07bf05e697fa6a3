package main

import (
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// exported asks the operator API for a file.
func (w *world) exported(key, method, path, body string) (status int, file string, h http.Header) {
	w.t.Helper()
	r, err := http.NewRequestWithContext(w.t.Context(), method, "http://"+w.addr+path, strings.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	r.Header.Set("X-Operator-Key", key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // it is read to its end
	b, err := io.ReadAll(answer.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer.StatusCode, string(b), answer.Header
}

// operator makes one, and waits until its key is honoured.
func (w *world) operator(role string) (key string) {
	w.t.Helper()
	var made struct {
		Key string `json:"api_key"`
	}
	w.ledger(&made, "operator", "create", "--name", role, "--role", role)
	w.eventually(5*time.Second, "the operator's key is honoured", func() bool {
		status, _, _ := w.exported(made.Key, http.MethodGet, "/ops/v1/merchants", "")
		return status == http.StatusOK
	})
	return made.Key
}

// What the operator API gives is what the commands give.
func TestExportsEqualTheCommands(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.start()
		m := w.merchant()
		w.fund(m, "50000.00")
		status, paid := w.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody("123456789099", "1000", "R-1"))
		txn := paid.text("data", "transaction", "transaction_id")
		if status != http.StatusOK || txn == "" {
			t.Fatalf("%d %v", status, paid)
		}
		w.settled(m)
		auditor := w.operator("auditor")
		today := time.Now().In(time.FixedZone("", 5*3600+1800))
		from, to := today.AddDate(0, 0, -2).Format(time.DateOnly), today.AddDate(0, 0, 2).Format(time.DateOnly)
		made := regexp.MustCompile(`(?m)^about,.*Generated at.*$|"generated_at":"[^"]*"`)
		for path, args := range map[string][]string{
			"/ops/v1/audit/statement?format=csv&merchant=" + m.ID + "&from=" + from + "&to=" + to:                   {"audit", "statement", "--format", "csv", "--merchant", m.ID, "--from", from, "--to", to},
			"/ops/v1/audit/statement?format=json&by=value&account=platform%3Acommission&from=" + from + "&to=" + to: {"audit", "statement", "--format", "json", "--by", "value", "--account", "platform:commission", "--from", from, "--to", to},
			"/ops/v1/audit/journal?format=hledger":                                                                  {"audit", "journal", "--format", "hledger"},
			"/ops/v1/audit/journal?format=beancount&merchant=" + m.ID:                                               {"audit", "journal", "--format", "beancount", "--merchant", m.ID},
			"/ops/v1/audit/journal?format=csv&from=" + from + "&time_zone=UTC":                                      {"audit", "journal", "--format", "csv", "--from", from, "--time-zone", "UTC"},
			"/ops/v1/audit/edit-log": {"audit", "edit-log", "--format", "json"},
			"/ops/v1/audit/edit-log?format=csv&merchant=" + m.ID + "&from=" + from: {"audit", "edit-log", "--format", "csv", "--merchant", m.ID, "--from", from},
			"/ops/v1/replay/" + txn: {"replay", "--json", txn},
			"/ops/v1/replay/wallet:" + m.ID + ":INR?until=2020-01-01T00:00:00Z": {"replay", "--json", "wallet:" + m.ID + ":INR", "--until", "2020-01-01T00:00:00Z"},
			"/ops/v1/replay/" + m.ID: {"replay", "--json", m.ID},
			"/ops/v1/proof/key":      {"proof", "key"},
		} {
			status, got, h := w.exported(auditor, http.MethodGet, path, "")
			want, code := w.run(args...)
			if status != http.StatusOK || code != 0 || made.ReplaceAllString(got, "") != made.ReplaceAllString(want, "") || len(got) < 20 {
				t.Errorf("%s: %d %v\n%s\nthe command: %d\n%s", path, status, h, got, code, want)
			}
		}
		for format, begins := range map[string]string{"pdf": "%PDF-", "xlsx": "PK"} {
			_, got, h := w.exported(auditor, http.MethodGet, "/ops/v1/audit/statement?format="+format+"&merchant="+m.ID+"&from="+from+"&to="+to, "")
			if !strings.HasPrefix(got, begins) || !strings.HasSuffix(h.Get("Content-Disposition"), "."+format+`"`) {
				t.Errorf("%s: %.20q, %v", format, got, h)
			}
		}
		support := w.operator("support")
		if status, got, _ := w.exported(support, http.MethodGet, "/ops/v1/replay/"+txn, ""); status != http.StatusOK || strings.Contains(got, `"sealed"`) ||
			strings.Contains(got, "account_fp") || !strings.Contains(got, `"account_last4":"9099"`) {
			t.Errorf("support: %d %s", status, got)
		}
		at := regexp.MustCompile(`"position":"([0-9]+:[0-9]+)"`).FindStringSubmatch(w.mustReplay(txn))
		w.proofsOverHTTP(auditor, txn, at[1])
		w.stop()
	})
}

func (w *world) mustReplay(subject string) string {
	w.t.Helper()
	out, code := w.run("replay", "--json", subject)
	if code != 0 {
		w.t.Fatal(out)
	}
	return out
}

// proofsOverHTTP holds what the API proves against the public key alone.
func (w *world) proofsOverHTTP(auditor, txn, position string) {
	w.t.Helper()
	_, key, _ := w.exported(auditor, http.MethodGet, "/ops/v1/proof/key", "")
	_, old, _ := w.exported(auditor, http.MethodGet, "/ops/v1/proof/checkpoint", "")
	w.ledger(nil, "operator", "create", "--name", "later", "--role", "support") // the log goes on
	for name, ask := range map[string][3]string{
		"include":     {http.MethodGet, "/ops/v1/proof/include/" + txn, ""},
		"position":    {http.MethodGet, "/ops/v1/proof/include/" + position, ""},
		"under":       {http.MethodPost, "/ops/v1/proof/include/" + txn, old},
		"consistency": {http.MethodPost, "/ops/v1/proof/consistency", old},
		"checkpoint":  {http.MethodGet, "/ops/v1/proof/checkpoint", ""},
	} {
		status, proof, _ := w.exported(auditor, ask[0], ask[1], ask[2])
		file := filepath.Join(w.dir, name+".proof")
		if err := os.WriteFile(file, []byte(proof), 0o600); err != nil {
			w.t.Fatal(err)
		}
		if out, code := w.execute("proof", "verify", file, "--public-key", strings.TrimSpace(key)); status != http.StatusOK || code != 0 {
			w.t.Errorf("%s: %d, verify says %d %s", name, status, code, out)
		}
	}
	foreign := strings.Replace(old, "khata-ledger/", "khata-ledger/0", 1)
	for _, ask := range [][4]string{
		{http.MethodPost, "/ops/v1/proof/consistency", "nothing", "422"},
		{http.MethodPost, "/ops/v1/proof/consistency", foreign, "422"},
		{http.MethodPost, "/ops/v1/proof/include/" + txn, strings.Repeat("a", 300<<10), "413"},
		{http.MethodGet, "/ops/v1/proof/include/txn_none", "", "404"},
		{http.MethodGet, "/ops/v1/proof/include/0:99999999", "", "404"},
		{http.MethodGet, "/ops/v1/proof/include/77:1", "", "404"},
		{http.MethodGet, "/ops/v1/replay/" + url.PathEscape("wallet:mer_x:INR"), "", "404"},
		{http.MethodGet, "/ops/v1/replay/" + txn + "?until=77:1", "", "422"},
		{http.MethodGet, "/ops/v1/audit/journal?format=csv&merchant=mer_none", "", "404"},
		{http.MethodGet, "/ops/v1/audit/statement?format=csv&account=platform:none&from=2026-01-01&to=2026-01-02", "", "404"},
		{http.MethodGet, "/ops/v1/audit/statement?format=csv&merchant=mer_none&from=2026-01-01&to=2026-01-02", "", "404"},
	} {
		status, answer, _ := w.exported(auditor, ask[0], ask[1], ask[2])
		if !strings.HasPrefix(answer, `{"success":false,`) || ask[3] != strconv.Itoa(status) {
			w.t.Errorf("%s %s: %d %s, want %s", ask[0], ask[1], status, answer, ask[3])
		}
	}
}

// The descriptions of both APIs are served, and a page of each that links to the other.
func TestDescriptionsAreServed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.start()
	for path, want := range map[string]string{
		"/openapi/operator.yaml": "/ops/v1/audit/statement:", "/openapi/klyropay.yaml": "/api/v1/payin/create:",
		"/docs": `<a href="/docs/operator">Operator API</a>`, "/docs/operator": "Roles: owner, maker, checker, auditor</p>",
	} {
		if status, got, _ := w.exported("", http.MethodGet, path, ""); status != http.StatusOK || !strings.Contains(got, want) {
			t.Errorf("%s: %d", path, status)
		}
	}
	w.stop()
}
