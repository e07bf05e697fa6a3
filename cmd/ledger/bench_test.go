package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/cmd/ledger/bench"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/testpg"
	"github.com/khata-ledger/khata/migrations"
)

// quickly are the flags of a benchmark that proves that it works, and measures nothing.
var quickly = []string{"--for", "30ms", "--rounds", "1", "--events", "1500", "--batch", "50", "--wallets", "40", "--history", "400", "--large", "600", "--lines", "300", "--rate", "2000"}

// runBench runs `ledger bench` in this process.
func runBench(t *testing.T, db string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = run(t.Context(), slices.Concat([]string{"bench", "--db", db, "--program", binary(t)}, quickly, args), &out, &errs)
	return code, out.String(), errs.String()
}

// reported runs it with --json and reads the report, whose shape it checks.
func reported(t *testing.T, db string, args ...string) bench.Report {
	t.Helper()
	code, stdout, stderr := runBench(t, db, append(args, "--json")...)
	if code != 0 || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	checkNames(t, []byte(stdout))
	var report bench.Report
	dec := json.NewDecoder(strings.NewReader(stdout))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&report); err != nil {
		t.Fatal(err)
	}
	return report
}

// checkNames holds the report against the names that scripts rely on.
func checkNames(t *testing.T, text []byte) {
	t.Helper()
	var report struct {
		OK        *bool             `json:"ok"`
		Machine   map[string]any    `json:"machine"`
		Store     map[string]any    `json:"store"`
		Scenarios []json.RawMessage `json:"scenarios"`
	}
	if err := json.Unmarshal(text, &report); err != nil || report.OK == nil || !*report.OK {
		t.Fatalf("%v: %s", err, text)
	}
	for _, name := range []string{"os", "cpu", "cores", "go"} {
		if report.Machine[name] == nil {
			t.Errorf("the machine has no %s", name)
		}
	}
	for _, name := range []string{"kind", "version", "partitions"} {
		if report.Store[name] == nil {
			t.Errorf("the store has no %s", name)
		}
	}
	for _, one := range report.Scenarios {
		var s struct {
			Name  string           `json:"name"`
			Lines []map[string]any `json:"lines"`
		}
		if err := json.Unmarshal(one, &s); err != nil || len(s.Lines) == 0 {
			t.Fatalf("%v: %s", err, one)
		}
		for _, l := range s.Lines {
			for _, name := range []string{"name", "what", "unit", "count", "rate_per_second", "rate_min_per_second", "rate_max_per_second"} {
				if l[name] == nil {
					t.Errorf("%s: a line has no %s: %v", s.Name, name, l)
				}
			}
		}
		for _, name := range map[string][]string{
			"append": {"limit", "limit_per_second", "ratio", "p50_ms", "p99_ms"}, "settle": {"limit", "limit_per_second", "ratio"},
			"http": {"limit", "limit_per_second", "ratio", "p50_ms", "p99_ms", "max_ms"}, "classic": {"p50_ms", "p99_ms"},
			"replay": {"limit", "limit_per_second", "ratio"}, "grow": {"events", "restart_ms", "heap_mib"},
		}[s.Name] {
			if s.Lines[0][name] == nil {
				t.Errorf("%s has no %s: %v", s.Name, name, s.Lines[0])
			}
		}
	}
}

// holdsUp checks that every scenario was run, has counted something, and that the store held it.
func holdsUp(t *testing.T, report bench.Report, names ...string) {
	t.Helper()
	var ran []string
	for _, s := range report.Scenarios {
		ran = append(ran, s.Name)
		if !s.OK || len(s.Checks) < 2 {
			t.Errorf("%s: %+v", s.Name, s.Checks)
		}
		for _, l := range s.Lines {
			if l.Count == 0 || l.RatePerSecond <= 0 {
				t.Errorf("%s: nothing was counted: %+v", s.Name, l)
			}
		}
	}
	if !slices.Equal(ran, names) {
		t.Errorf("%v ran, want %v", ran, names)
	}
}

func TestBenchOnSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	report := reported(t, "sqlite:"+filepath.Join(dir, "not", "there", "ledger.db"))
	holdsUp(t, report, bench.Names()...)
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	lines := map[string]bench.Line{}
	for _, s := range report.Scenarios {
		for _, l := range s.Lines {
			lines[s.Name+"/"+l.Name] = l
		}
	}
	if l := lines["append/hot_64x1"]; l.ClassicRatio <= 0 {
		t.Errorf("append is not held against classic: %+v", l)
	}
	if l := lines["grow/at_1500"]; l.Events != 1500 || l.RateToFirst <= 0 {
		t.Errorf("%+v", l)
	}
	if l := lines["statement/statement_csv"]; l.Count != 300 || l.ResidentPeakMiB <= 0 || l.Ratio <= 0 {
		t.Errorf("%+v", l)
	}
	for _, name := range []string{"trial_value", "trial_recording", "include", "verify_log", "verify_views"} {
		if l := lines["audit/"+name]; l.Events < 1500 || l.Events > 1510 || l.Limit == "" || l.LimitPerSecond <= 0 {
			t.Errorf("%+v", l)
		}
	}
	if l := lines["replay/fold_wallet"]; l.Count != 1+3*400 { // a funding, three records of each payout
		t.Errorf("%+v", l)
	}
}

func TestBenchOnPostgres(t *testing.T) {
	t.Parallel()
	db := testpg.DSN(t)
	report := reported(t, db, "append", "settle", "classic", "statement", "audit")
	holdsUp(t, report, "classic", "append", "settle", "statement", "audit")
	if report.Store.Kind != "postgres" || report.Store.Partitions != 4 || report.Store.Fsync == "" || report.Store.SharedBuffers == "" {
		t.Errorf("%+v", report.Store)
	}
	if (report.Store.Fsync == "off") != (len(report.Warnings) == 1) {
		t.Errorf("fsync %s, warnings %v", report.Store.Fsync, report.Warnings)
	}
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var tables int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM pg_tables WHERE schemaname NOT IN ('pg_catalog', 'information_schema')").Scan(&tables); err != nil || tables > 0 {
		t.Errorf("it left %d tables in the database that it was given, %v", tables, err)
	}
}

func TestBenchWithoutTheRight(t *testing.T) {
	t.Parallel()
	db := testpg.DSN(t)
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	role := "bench_" + strings.ToLower(newID("")[:10])
	if _, err := conn.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 'little'"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, err := conn.Exec(context.Background(), "DROP ROLE "+role)
		if err := errors.Join(err, conn.Close(context.Background())); err != nil {
			t.Error(err)
		}
	})
	address, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	address.User = url.UserPassword(role, "little")
	code, stdout, stderr := runBench(t, address.String(), "append")
	if code != exitNo || stdout != "" || !strings.Contains(stderr, "CREATEDB") || strings.Contains(stderr, "little") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestBenchUsage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	db := "sqlite:" + filepath.Join(dir, "ledger.db")
	for _, c := range []struct {
		args []string
		says string
	}{
		{[]string{"append", "nothing"}, `no such scenario: "nothing" (there are ` + strings.Join(bench.Names(), ", ") + ")"},
		{[]string{"--for", "0s"}, "--for must be positive"},
		{[]string{"--rounds", "0"}, "--rounds must be at least 1"},
		{[]string{"--events", "0"}, "--events must be at least 1"},
		{[]string{"--lines", "0"}, "--lines must be at least 1"},
		{[]string{"--wallets", "0"}, "must be at least 1"},
		{[]string{"--large", "100001"}, "must have 1 to 100000 payouts"},
		{[]string{"--rate=-1"}, "--rate must not be negative"},
		{[]string{"--db", "mysql://x"}, "--db must start with"},
	} {
		if code, stdout, stderr := runBench(t, db, c.args...); code != exitUsage || stdout != "" || !strings.Contains(stderr, c.says) {
			t.Errorf("%v: exit code %d, %q, %q", c.args, code, stdout, stderr)
		}
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

// What --keep leaves is a store like any other. The log beside it is not touched.
func TestBenchKeeps(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "ledger.db")
	if err := os.WriteFile(log, []byte("not to be touched"), 0o600); err != nil {
		t.Fatal(err)
	}
	profile := filepath.Join(dir, "cpu.out")
	code, stdout, stderr := runBench(t, "sqlite:"+log, "settle", "--keep", "--cpuprofile", profile)
	if code != 0 || !strings.Contains(stdout, "one hot wallet") || !strings.Contains(stdout, "ok: ledger verify") {
		t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
	}
	if text, err := os.ReadFile(log); err != nil || string(text) != "not to be touched" {
		t.Errorf("%q, %v", text, err)
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("%v", err)
	}
	_, kept, found := strings.Cut(stdout, "kept: sqlite:")
	kept = strings.TrimSpace(kept)
	folder := filepath.Dir(kept)
	info, err := os.Stat(folder)
	if !found || err != nil || filepath.Dir(folder) != dir || info.Mode().Perm() != 0o700 {
		t.Fatalf("%s: %v, %v", kept, info, err)
	}
	var out, errs bytes.Buffer
	code = run(t.Context(), []string{"verify", "--db", "sqlite:" + kept, "--master-key-file", filepath.Join(folder, "master.key")}, &out, &errs)
	if code != 0 || strings.Contains(out.String(), "0 checked") && !strings.Contains(out.String(), "view") {
		t.Errorf("exit code %d\n%s\n%s", code, out.String(), errs.String())
	}
}

// A Ctrl-C in the middle leaves nothing.
func TestBenchInterrupted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begun := false
	_, err := bench.Run(ctx, benchProgram{t: &terminal{io.Discard, io.Discard}}, benchLocation(dir), bench.Options{
		Scenarios: []string{"append"}, For: time.Hour, Rounds: 1, Events: 1, Batch: 10, Large: 100, Lines: 1, Wallets: 10, History: 1,
		Tell: func(step string) {
			if strings.Contains(step, "round 1") {
				begun = true
				cancel()
			}
		},
	})
	if !errors.Is(err, context.Canceled) || !begun {
		t.Errorf("%v", err)
	}
	if left := filesIn(t, dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
}

func benchLocation(dir string) bench.Location {
	return bench.Location{Dialect: migrations.SQLite, DSN: filepath.Join(dir, "ledger.db")}
}

// thief is a program whose log holds one payout more than was counted.
type thief struct {
	benchProgram
	opened int
}

func (p *thief) Open(ctx context.Context, at bench.Place) (*bench.Book, error) {
	b, err := p.benchProgram.Open(ctx, at)
	if p.opened++; err != nil || p.opened != 3 { // the store's description, the scenario, the counting
		return b, err
	}
	_, err = b.Ledger.Submit(ctx, wallet.AdjustWallet{
		Base:   wallet.Base{Of: wallet.Of{Merchant: "mer_benchhot00000000", Currency: money.INR, Payment: newID("txn_")}, At: present()},
		Amount: money.FromMinor(-1, money.INR), Reason: "theft", Actor: "thief",
	}, eventstore.Origin{Actor: "thief"})
	return b, errors.Join(err)
}

func (p *thief) Verify(context.Context, bench.Place) ([]ledger.Check, error) {
	return []ledger.Check{{Name: "heads", OK: true}, {Name: "chain", Position: "0:7", Problem: "the hash is another"}}, nil
}

// What is not as it was counted makes the answer "no", and is said.
func TestBenchFindsWhatIsWrong(t *testing.T) {
	t.Parallel()
	report, err := bench.Run(t.Context(), &thief{benchProgram: benchProgram{t: &terminal{io.Discard, io.Discard}}}, benchLocation(t.TempDir()), bench.Options{
		Scenarios: []string{"append"}, For: 10 * time.Millisecond, Rounds: 1, Events: 1, Batch: 10, Large: 100, Lines: 1, Wallets: 10, History: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for _, c := range report.Scenarios[0].Checks {
		if !c.OK {
			wrong = append(wrong, c.Problem)
		}
	}
	if report.OK || report.Scenarios[0].OK || len(wrong) != 3 || !strings.Contains(wrong[0], "were counted") || wrong[2] != "chain: 0:7 the hash is another" {
		t.Errorf("%v", wrong)
	}
	var out strings.Builder
	if err := report.Table(&out); err != nil || strings.Count(out.String(), "WRONG: ") != 3 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
