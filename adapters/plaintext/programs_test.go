package plaintext_test

import (
	"bytes"
	"encoding/csv"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/domain/stored/golden"
	"github.com/khata-ledger/khata/domain/wallet"
)

// program finds one of the plain-text accounting programs. LEDGER_TEST_PLAINTEXT=required makes its absence a failure; otherwise it is told.
// Our own program is called ledger, too: it is told apart by what it says of its version.
func program(t *testing.T, name, says string) (string, bool) {
	t.Helper()
	for _, path := range append([]string{"/usr/bin"}, filepath.SplitList(os.Getenv("PATH"))...) {
		found, err := exec.LookPath(filepath.Join(path, name))
		if err != nil {
			continue
		}
		out, err := exec.CommandContext(t.Context(), found, "--version").CombinedOutput() //nolint:gosec // a program of this machine
		if err == nil && strings.Contains(string(out), says) {
			return found, true
		}
	}
	if os.Getenv("LEDGER_TEST_PLAINTEXT") == "required" {
		t.Fatalf("LEDGER_TEST_PLAINTEXT=required, and %s is not installed", name)
	}
	t.Logf("%s is not installed: what it would say of the journal is not known", name)
	return "", false
}

// periods are what is written of a history: all of it, and parts.
func periods() map[string]plaintext.Options {
	from := time.Date(2026, 3, 27, 0, 0, 0, 0, india())
	return map[string]plaintext.Options{
		"all":      {},
		"to":       {Until: from},
		"from":     {From: from},
		"merchant": {From: from, Until: from.AddDate(0, 0, 2), Merchant: "mer_aaaaaaaaaaaaaaaa"},
		"nothing":  {Until: start.AddDate(-1, 0, 0)},
	}
}

// journals writes every period of a history, and calls f with the file and the balances that it must come to.
func journals(t *testing.T, format plaintext.Format, f func(t *testing.T, file string, want map[string]string, names map[string]string)) {
	log, facts := history(t, 5, 600)
	journalsOf(t, "", log, facts, format, f)
	log, facts = closedHistory(t, 5, 600)
	journalsOf(t, "closed ", log, facts, format, f)
}

func journalsOf(
	t *testing.T, kind string, log plaintext.Log, facts []fact, format plaintext.Format,
	f func(t *testing.T, file string, want map[string]string, names map[string]string),
) {
	for name, o := range periods() {
		if kind != "" && name != "from" { // the programs take their time
			continue
		}
		t.Run(kind+name, func(t *testing.T) {
			o.Format, o.Zone = format, india()
			var out bytes.Buffer
			written, err := plaintext.Write(t.Context(), log, &out, o)
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(file, out.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
			want := sums(facts, o.Until, o.Merchant)
			got := map[string]string{}
			for _, b := range written.Closing {
				if !b.Amount.IsZero() {
					got[b.Account+" "+string(b.Amount.Currency())] = b.Amount.Fixed()
				}
			}
			if !maps.Equal(got, want) {
				t.Fatalf("the journal comes to %v, the postings to %v", got, want)
			}
			if (name == "nothing") != (len(want) == 0) {
				t.Fatalf("%d balances", len(want))
			}
			f(t, file, want, writtenNames(t, out.String(), format, want))
		})
	}
}

// writtenNames are the names that accounts have in a file, by their own.
func writtenNames(t *testing.T, journal string, format plaintext.Format, want map[string]string) map[string]string {
	t.Helper()
	names := map[string]string{}
	if format == plaintext.Beancount {
		for _, m := range regexp.MustCompile(`(?m)^1900-01-01 open (\S+)\n  account: "(.*)"$`).FindAllStringSubmatch(journal, -1) {
			names[m[2]] = m[1]
		}
		return names
	}
	for key := range want {
		account := key[:strings.LastIndexByte(key, ' ')]
		names[account] = account
		if strings.Contains(account, "odd") {
			names[account] = strings.NewReplacer("; odd (bank)", "--odd--bank-").Replace(account)
		}
	}
	return names
}

// same compares the balances that a program comes to with ours.
func same(t *testing.T, got, want, names map[string]string) {
	t.Helper()
	expected := map[string]string{}
	for key, amount := range want {
		at := strings.LastIndexByte(key, ' ')
		expected[names[key[:at]]+key[at:]] = amount
	}
	if !maps.Equal(got, expected) {
		for _, key := range slices.Sorted(maps.Keys(expected)) {
			if got[key] != expected[key] {
				t.Errorf("%s: %q, want %q", key, got[key], expected[key])
			}
		}
		t.Errorf("%d balances, want %d", len(got), len(expected))
	}
}

func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(t.Context(), program, args...) //nolint:gosec // a program of this machine
	cmd.Env = []string{"LANG=C.UTF-8", "LC_ALL=C.UTF-8", "PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil || stderr.Len() > 0 {
		t.Fatalf("%s %v: %v\n%s%.3000s", program, args, err, stderr.String(), stdout.String())
	}
	return stdout.String()
}

func TestHLedgerAccepts(t *testing.T) {
	hledger, there := program(t, "hledger", "hledger")
	if !there {
		return
	}
	journals(t, plaintext.HLedger, func(t *testing.T, file string, want, names map[string]string) {
		run(t, hledger, "-f", file, "check", "--strict")
		got := map[string]string{}
		for _, row := range table(t, run(t, hledger, "-f", file, "balance", "--flat", "--no-total", "-O", "csv", "--layout", "bare"))[1:] {
			got[row[0]+" "+row[1]] = row[2]
		}
		same(t, got, want, names)
	})
}

func TestLedgerAccepts(t *testing.T) {
	ledger, there := program(t, "ledger", "Ledger 3")
	if !there {
		return
	}
	journals(t, plaintext.Ledger, func(t *testing.T, file string, want, names map[string]string) {
		out := run(t, ledger, "--args-only", "--pedantic", "-f", file, "balance", "--flat", "--no-total",
			"--balance-format", `%(ansify_if(scrub(display_total),null))@%(account)`+"\n")
		got, amounts := map[string]string{}, []string(nil)
		for line := range strings.Lines(out) {
			amount, account, last := strings.Cut(strings.TrimSpace(line), "@")
			amounts = append(amounts, amount)
			if !last {
				continue
			}
			for _, a := range amounts {
				number, currency, _ := strings.Cut(a, " ")
				got[account+" "+currency] = number
			}
			amounts = nil
		}
		same(t, got, want, names)
	})
}

func TestBeancountAccepts(t *testing.T) {
	check, there := program(t, "bean-check", "")
	if !there {
		return
	}
	query, there := program(t, "bean-query", "")
	if !there {
		return
	}
	journals(t, plaintext.Beancount, func(t *testing.T, file string, want, names map[string]string) {
		run(t, check, file)
		if len(want) == 0 {
			return
		}
		got := map[string]string{}
		out := run(t, query, "-q", "-f", "csv", file, "SELECT account, currency, str(sum(number)) AS total GROUP BY account, currency")
		for _, row := range table(t, out)[1:] {
			// A sum as such is not shown exactly by every version, and from a billion on not at all.
			if number := strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(row[2]), "Decimal('"), "')"); strings.Trim(number, "-0.") != "" {
				got[strings.TrimSpace(row[0])+" "+strings.TrimSpace(row[1])] = number
			}
		}
		same(t, got, want, names)
	})
}

// A file whose balances are not ours is refused: the assertions at its end are not for show.
func TestProgramsRefuseOtherBalances(t *testing.T) {
	log, _ := history(t, 5, 100)
	for format, command := range map[plaintext.Format][]string{
		plaintext.HLedger: {"hledger", "hledger", "-f", "FILE", "check"}, plaintext.Beancount: {"bean-check", "", "FILE"},
		plaintext.Ledger: {"ledger", "Ledger 3", "--args-only", "-f", "FILE", "balance"},
	} {
		path, there := program(t, command[0], command[1])
		if !there {
			continue
		}
		var out bytes.Buffer
		if _, err := plaintext.Write(t.Context(), log, &out, plaintext.Options{Format: format}); err != nil {
			t.Fatal(err)
		}
		// Without its last transaction but the assertions, the journal comes to something else.
		parts := strings.Split(out.String(), "\n\n")
		without := strings.Join(append(parts[:len(parts)-2:len(parts)-2], parts[len(parts)-1]), "\n\n")
		for i, text := range []string{out.String(), without} {
			file := filepath.Join(t.TempDir(), "journal")
			if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			args := slices.Clone(command[2:])
			args[slices.Index(args, "FILE")] = file
			err := exec.CommandContext(t.Context(), path, args...).Run() //nolint:gosec // a program of this machine
			if (err == nil) != (i == 0) {
				t.Errorf("%s, %d transactions left out: %v", format, i, err)
			}
		}
	}
}

func table(t *testing.T, text string) [][]string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 {
		t.Fatalf("%v in %q", err, text)
	}
	return rows
}

// Every type of event is in the history, and every one that moves money in the journal.
func TestEveryType(t *testing.T) {
	log, facts := history(t, 9, 200)
	var out bytes.Buffer
	written, err := plaintext.Write(t.Context(), log, &out, plaintext.Options{Format: plaintext.HLedger})
	if err != nil {
		t.Fatal(err)
	}
	entries, seen := int64(0), map[string]bool{}
	for _, f := range facts {
		seen[f.event.Type()] = true
		if len(wallet.Postings(f.event)) == 0 {
			continue
		}
		entries++
		if !strings.Contains(out.String(), "\n    ; event: "+f.event.Type()+"\n    ; subject: "+f.event.Header().Payment+"\n") {
			t.Errorf("no %s of %s", f.event.Type(), f.event.Header().Payment)
		}
	}
	if len(seen) != len(golden.Types(t, "../../domain/wallet")) || written.Entries != entries || written.Late == 0 {
		t.Errorf("%d types, %d entries of %d, %d late", len(seen), written.Entries, entries, written.Late)
	}
	for _, secret := range []string{"SECRET", "PERSON", "LAST"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the journal has %q", secret)
		}
	}
}

// The history has late arrivals, which the programs have accepted: hledger's check for files kept by hand, which the documentation warns of, tells so.
func TestLateArrivals(t *testing.T) {
	hledger, there := program(t, "hledger", "hledger")
	if !there {
		return
	}
	log, _ := history(t, 5, 600)
	var out bytes.Buffer
	if _, err := plaintext.Write(t.Context(), log, &out, plaintext.Options{Format: plaintext.HLedger}); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), hledger, "-f", "-", "check", "ordereddates") //nolint:gosec // a program of this machine
	cmd.Stdin = &out
	if said, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(said), "order") {
		t.Errorf("%v: %s", err, said)
	}
}
