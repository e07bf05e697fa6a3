package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/khata-ledger/khata/eventstore/testpg"
)

// update writes the goldens of the scripts anew: go test -run TestScripts/sqlite -update.
var update = flag.Bool("update", false, "write the scripts' goldens anew")

func TestMain(m *testing.M) {
	testscript.Main(cleaning{m}, map[string]func(){"seed": seedMain, recordedName: recordedMain})
}

// cleaning removes the built binary when the tests have run.
type cleaning struct{ m *testing.M }

func (c cleaning) Run() int {
	code := c.m.Run()
	if binaryFolder != "" {
		if err := os.RemoveAll(binaryFolder); err != nil && code == 0 {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return code
}

// TestScripts runs the scripts of testdata/script, which use the built binary as people do, on SQLite and on PostgreSQL.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		t.Run("sqlite/"+name, func(t *testing.T) {
			t.Parallel()
			runScript(t, file, func(work string) string { return "sqlite:" + filepath.Join(work, "data", "ledger.db") })
		})
		if slices.Contains([]string{"sqlite_key", "usage", "version"}, name) { // where the store makes no difference
			continue
		}
		t.Run("postgres/"+name, func(t *testing.T) {
			t.Parallel()
			dsn := testpg.DSN(t)
			runScript(t, file, func(string) string { return dsn })
		})
	}
}

func runScript(t *testing.T, file string, db func(work string) string) {
	folder := filepath.Dir(binary(t))
	testscript.Run(t, testscript.Params{
		Files:              []string{file},
		RequireUniqueNames: true,
		UpdateScripts:      *update,
		Setup: func(env *testscript.Env) error {
			key := filepath.Join(env.WorkDir, "master.key")
			env.Setenv("LEDGER_DB", db(env.WorkDir))
			env.Setenv("LEDGER_MASTER_KEY_FILE", key)
			env.Setenv("LEDGER_ACTOR", "asha")
			env.Setenv("PATH", folder+string(os.PathListSeparator)+env.Getenv("PATH"))
			env.Setenv("GORACE", "atexit_sleep_ms=0") // otherwise a command under the race detector ends a second late
			return os.WriteFile(key, []byte(strings.Repeat("5f", 32)+"\n"), 0o600)
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"ledger": scriptLedger, "code": scriptCode, "field": scriptField, "normal": scriptNormal, "flip": scriptFlip,
		},
	})
}

// scriptLedger runs the binary, which must succeed.
func scriptLedger(ts *testscript.TestScript, neg bool, args []string) {
	if neg {
		ts.Fatalf("say which exit code: code 1 ledger ...")
	}
	ts.Check(ts.Exec("ledger", args...))
}

// scriptCode runs a command that must end with an exit code: code 2 ledger merchant. What fails says why in one line.
func scriptCode(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: code N command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		got = exit.ExitCode()
	} else if err != nil {
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
	var said []string
	for line := range strings.Lines(ts.ReadFile("stderr")) {
		if !strings.Contains(line, "WARN") { // a log line, such as about the mode of a key file
			said = append(said, line)
		}
	}
	if want == exitNo && len(said) != 1 {
		ts.Fatalf("a failure is explained in one line, not: %q", said)
	}
}

// scriptField sets a variable to a value of the last answer: field KEY api_key, field FIRST merchants.0.merchant_id.
func scriptField(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: field VARIABLE path.in.json")
	}
	var v any
	dec := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	dec.UseNumber()
	ts.Check(dec.Decode(&v))
	for _, part := range strings.Split(args[1], ".") {
		switch at := v.(type) {
		case map[string]any:
			v = at[part]
		case []any:
			i, err := strconv.Atoi(part)
			ts.Check(err)
			if i >= len(at) {
				ts.Fatalf("%s: there are %d", args[1], len(at))
			}
			v = at[i]
		default:
			ts.Fatalf("%s: nothing there", args[1])
		}
	}
	switch v := v.(type) {
	case string:
		ts.Setenv(args[0], v)
	case json.Number:
		ts.Setenv(args[0], v.String())
	default:
		ts.Fatalf("%s is %v", args[1], v)
	}
}

// scriptNormal writes the last answer to a file, one field on a line, with ids, keys, hashes and times made equal: for
// comparing with a golden.
func scriptNormal(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: normal FILE")
	}
	var out strings.Builder
	out.WriteString(indent(ts, ts.ReadFile("stdout")))
	text := out.String()
	for _, r := range []struct{ pattern, with string }{
		{`klyro_[A-Za-z0-9_-]{43}`, "klyro_*"},
		{`\b(mer|key|txn|opr|sus)_[a-z0-9]{16}\b`, "${1}_*"},
		{`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`, "UUID"},
		{`\bcb_[0-9a-f]{32}\b`, "cb_*"},
		{`\b[0-9a-f]{64}\b`, "HASH"},
		{`[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z`, "TIME"},
		{`"(key_)?last4": "[^"]*"`, `"${1}last4": "****"`},
		{`"partition": [0-9]+`, `"partition": P`},
		{`"position": "[0-9]+:`, `"position": "P:`},
	} {
		text = regexp.MustCompile(r.pattern).ReplaceAllString(text, r.with)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(text), 0o600))
}

func indent(ts *testscript.TestScript, answer string) string {
	if strings.Count(answer, "\n") != 1 {
		ts.Fatalf("an answer is one line, not: %s", answer)
	}
	var out strings.Builder
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	ts.Check(enc.Encode(json.RawMessage(answer)))
	return out.String()
}

// scriptFlip damages a file: flip FILE OLD NEW replaces the first OLD.
func scriptFlip(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip FILE OLD NEW")
	}
	text := ts.ReadFile(args[0])
	if !strings.Contains(text, args[1]) {
		ts.Fatalf("%s does not hold %q", args[0], args[1])
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(strings.Replace(text, args[1], args[2], 1)), 0o600))
}
