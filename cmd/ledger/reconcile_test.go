package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/reconciling"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// bankLines writes a bank's file of so many payments that nobody knows.
func (w *world) bankLines(name string, lines int) {
	w.t.Helper()
	var b bytes.Buffer
	b.WriteString("date,amount,utr,text\n")
	for i := range lines {
		fmt.Fprintf(&b, "2024-04-%02d,%d.50,%012d,from customer %d\n", i%30+1, i%900+1, i+1, i)
	}
	for file, text := range map[string][]byte{
		name: b.Bytes(), "map.yaml": []byte("columns: {date: date, amount: amount, utr: utr, narration: text}\n"),
	} {
		if err := os.WriteFile(filepath.Join(w.dir, file), text, 0o600); err != nil {
			w.t.Fatal(err)
		}
	}
}

// An import that is killed leaves nothing that counts; the same file again makes it whole, without a line twice.
func TestReconcileImportKilled(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.made()
		const lines = 30_000
		w.bankLines("big.csv", lines)
		w.ledger(nil, "reconcile", "source", "big", "--kind", "bank", "--account", "1", "--books", "gateway:sandbox:float")
		for round := range 3 {
			process := exec.CommandContext(t.Context(), binary(t), "reconcile", "import", "big.csv", "--source", "big", "--map", "map.yaml",
				"--db", w.db, "--master-key-file", w.keyFile())
			process.Dir = w.dir
			if err := process.Start(); err != nil {
				t.Fatal(err)
			}
			w.eventually(time.Minute, "some lines are there", func() bool {
				var n int
				w.ask("log", "SELECT COUNT(*) FROM events WHERE type = 'source.lines'", &n)
				return n > 3*round
			})
			if err := process.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = process.Wait() //nolint:errcheck // it was killed, or had just ended
		}
		var before struct{ Sources []reconciling.SourceInfo }
		w.ledger(&before, "reconcile", "sources")
		if s := before.Sources[0]; s.Imports == 0 && (s.Lines != 0 || s.Open == "") {
			t.Errorf("killed: %+v", s)
		}
		var done reconciling.Imported
		w.ledger(&done, "reconcile", "import", "big.csv", "--source", "big", "--map", "map.yaml")
		if done.Lines != lines || done.New != lines || done.Import != 1 {
			t.Errorf("imported: %+v", done)
		}
		var found ran
		w.ledger(&found, "reconcile", "run", "--json")
		if r := found.Sources[0]; r.Lines != lines || r.Opened != lines || r.Open[reconcile.MissingInLedger] != lines {
			t.Errorf("the run: %+v", r)
		}
		w.verify()
	})
}

// What was approved is posted once, wherever the process died: before the posting, between two, and before the note of it.
func TestReconcileSettlesOnce(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := w.made()
		w.bankLines("three.csv", 3)
		w.ledger(nil, "reconcile", "source", "three", "--kind", "bank", "--account", "1", "--books", "gateway:sandbox:float")
		w.ledger(nil, "reconcile", "import", "three.csv", "--source", "three", "--map", "map.yaml")
		w.ledger(nil, "reconcile", "run", "--json")
		var found breaks
		w.ledger(&found, "reconcile", "breaks", "--format", "json")
		if len(found.Breaks) != 3 {
			t.Fatalf("%+v", found)
		}
		for i, b := range found.Breaks {
			w.ledger(nil, "reconcile", "settle", b.ID, "--reason", "theirs", "--merchant", m.ID, "--actor", "asha")
			w.diesAfter(i, b.ID, m.ID)
		}
		var again ran
		w.ledger(&again, "reconcile", "run", "--json")
		if r := again.Sources[0]; r.Settled != 3 || len(r.Problems) != 0 || r.Matched != 0 || r.Opened != 0 {
			t.Errorf("the run behind: %+v", r)
		}
		w.wantPostings(m, 3)
		for _, b := range found.Breaks {
			w.ledger(nil, "reconcile", "approve", b.ID, "--actor", "ravi")
		}
		w.wantPostings(m, 3)
		w.verify()
	})
}

// wantPostings counts what has settled breaks.
func (w *world) wantPostings(m testMerchant, n int) {
	w.t.Helper()
	for _, typ := range []string{"books.adjusted", "source.break_settled"} {
		var got int
		w.ask("log", "SELECT COUNT(*) FROM events WHERE type = '"+typ+"'", &got)
		if got != n {
			w.t.Errorf("%d %s, not %d", got, typ, n)
		}
	}
	var shown struct{ Balance string }
	w.ledger(&shown, "wallet", "show", "--merchant", m.ID)
	if want := "5007.50"; shown.Balance != want { // 5000, and 1.50 + 2.50 + 3.50
		w.t.Errorf("the wallet has %s, not %s", shown.Balance, want)
	}
}

// diesAfter approves a break as a process does that dies after so many steps of the posting.
func (w *world) diesAfter(steps int, id, merchantID string) {
	w.t.Helper()
	flags := storeFlags{DB: w.db, MasterKeyFile: w.keyFile()}
	ctx := w.t.Context()
	err := deciding(ctx, &flags, &terminal{new(bytes.Buffer), new(bytes.Buffer)}, func(_ *stores, l *ledger.Ledger) error {
		src := reconcile.NewSource()
		if err := l.EachOfSource(ctx, "three", 0, func(r *eventstore.Record, e reconcile.Event) error {
			src.Evolve(e, r.EventID.String(), r.RecordedAt)
			return nil
		}); err != nil {
			return err
		}
		events, err := src.Approve(id, 0, "ravi")
		if err == nil {
			err = l.SubmitSource(ctx, "three", src.Version, events, eventstore.Origin{Actor: "ravi"})
		}
		if err != nil || steps == 0 {
			return err
		}
		return w.postHalf(ctx, poster{l}, src.Break(id), steps, merchantID)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) postHalf(ctx context.Context, p poster, b *reconcile.Break, steps int, merchantID string) error {
	of := wallet.Of{Merchant: merchantID, Currency: money.INR, Payment: reconciling.PaymentID(b.ID)}
	o := eventstore.Origin{Actor: "ravi"}
	_, err := p.AdjustWallet(ctx, wallet.AdjustWallet{Base: wallet.Base{Of: of, At: present()}, Amount: b.Amount, Reason: "theirs", Actor: "asha + ravi"}, o)
	if err != nil || steps == 1 {
		return err
	}
	_, err = p.AdjustBooks(ctx, books.Adjust{
		About: b.ID, Debit: b.Account, Credit: books.AccountAdjustments, Amount: b.Amount, Reason: "theirs", Maker: "asha", Checker: "ravi", At: present(),
	}, o)
	return err
}

// Two people with keys settle a break over HTTP, with a server that runs; the command line sees it at once.
func TestReconcileOverHTTP(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		w.made()
		w.start()
		keys := map[string]string{}
		for _, role := range []string{"maker", "checker"} {
			var made struct {
				Key string `json:"api_key"`
			}
			w.ledger(&made, "operator", "create", "--name", role, "--role", role)
			keys[role] = made.Key
		}
		ask := func(role, method, path, kind, body string, status int) string {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), method, "http://"+w.addr+"/ops/v1/reconcile"+path, strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("X-Operator-Key", keys[role])
			r.Header.Set("Content-Type", kind)
			answer, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer answer.Body.Close()
			var text bytes.Buffer
			if _, err := text.ReadFrom(answer.Body); err != nil {
				t.Fatal(err)
			}
			if answer.StatusCode != status {
				t.Fatalf("%s %s as %s: %d %s, want %d", method, path, role, answer.StatusCode, &text, status)
			}
			return text.String()
		}
		const js = "application/json"
		ask("maker", "PUT", "/sources/hdfc", js, `{"kind":"bank","account":"1","books":"gateway:sandbox:float"}`, 200)
		const file = "Tran Date,CHQNO,PARTICULARS,DR,CR,BAL,SOL\n,,OPENING BALANCE,,,10.00,\n01-04-2024,,CASH,,7.00,17.00,1\n,,CLOSING BALANCE,,,17.00,\n"
		if got := ask("maker", "POST", "/sources/hdfc/imports?name=m.csv", "text/csv", strings.Replace(file, "7.00,17", "x,17", 1), 422); !strings.Contains(got, "line 3") {
			t.Errorf("a broken file: %s", got)
		}
		ask("checker", "POST", "/sources/hdfc/imports?name=m.csv", "text/csv", file, 403)
		if got := ask("maker", "POST", "/sources/hdfc/imports?name=m.csv", "text/csv", file, 200); !strings.Contains(got, `"new_lines":1`) {
			t.Errorf("imported: %s", got)
		}
		if got := ask("maker", "POST", "/run", js, "", 200); !strings.Contains(got, `"opened":1`) {
			t.Errorf("run: %s", got)
		}
		var found breaks
		w.ledger(&found, "reconcile", "breaks", "--format", "json")
		at := "/breaks/" + found.Breaks[0].ID
		ask("maker", "POST", at+"/settle", js, `{"reason":"interest","to":"suspense"}`, 200)
		ask("maker", "POST", at+"/approve", js, `{}`, 403)
		if got := ask("checker", "POST", at+"/approve", js, `{}`, 200); !strings.Contains(got, `"status":"settled"`) {
			t.Errorf("approved: %s", got)
		}
		if got := ask("checker", "GET", "/internal", js, "", 200); !strings.Contains(got, `"ok":true`) {
			t.Errorf("ties: %s", got)
		}
		w.stop()
		w.verify()
	})
}

// verify finds a match that somebody has written into the log: with another amount, on an account that the source does not mirror, with no entry.
func TestVerifyFindsForgedMatches(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		amount  string // of the entry; the line has 1.50
		posting int
		behind  int64 // the entry's record
		group   string
		want    string
	}{
		"another amount":  {"1.49", 1, 0, "", "a line of 1.50 INR is matched with entry"},
		"another account": {"1.50", 2, 0, "", "did not mirror that account"},
		"no such posting": {"1.50", 3, 0, "", "the record has 2 postings"},
		"no such record":  {"1.50", 1, 1000, "", "there is no such record"},
		"no settlement":   {"1.50", 1, 0, "S1", "of which source"},
		"as it is":        {"1.50", 1, 0, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
			w.made()
			w.bankLines("three.csv", 3)
			w.ledger(nil, "reconcile", "source", "three", "--kind", "bank", "--account", "1", "--books", "gateway:sandbox:float")
			w.ledger(nil, "reconcile", "import", "three.csv", "--source", "three", "--map", "map.yaml")
			w.forges(c.amount, func(at eventstore.Position) reconcile.Match {
				m := reconcile.Match{Pass: reconcile.PassUTR, Line: reconcile.LineAt{Import: 1, Number: 2}, Group: c.group}
				if c.group == "" {
					m.Entry = reconcile.Place{Partition: at.Partition, Seq: at.Seq + c.behind, Posting: c.posting}
				}
				return m
			})
			out, code := w.run("verify")
			if (code != 0) != (c.want != "") || !strings.Contains(out, c.want) {
				t.Errorf("exit %d: %s", code, out)
			}
		})
	}
}

// forges posts an amount to the float, and appends a match with it.
func (w *world) forges(amount string, match func(at eventstore.Position) reconcile.Match) {
	w.t.Helper()
	flags := storeFlags{DB: w.db, MasterKeyFile: w.keyFile()}
	ctx, o := w.t.Context(), eventstore.Origin{Actor: "mallory"}
	err := deciding(ctx, &flags, &terminal{new(bytes.Buffer), new(bytes.Buffer)}, func(_ *stores, l *ledger.Ledger) error {
		at, err := poster{l}.AdjustBooks(ctx, books.Adjust{
			About: "brk_other", Debit: "gateway:sandbox:float", Credit: books.AccountAdjustments, Amount: money.MustParse(amount, money.INR), Reason: "x",
			Maker: "asha", Checker: "ravi", At: present(),
		}, o)
		if err != nil {
			return err
		}
		src := reconcile.NewSource()
		if err := l.EachOfSource(ctx, "three", 0, func(r *eventstore.Record, e reconcile.Event) error {
			src.Evolve(e, r.EventID.String(), r.RecordedAt)
			return nil
		}); err != nil {
			return err
		}
		return l.SubmitSource(ctx, "three", src.Version, []reconcile.Event{&reconcile.Matched{Of: src.Of, Run: 1, Items: []reconcile.Match{match(at)}}}, o)
	})
	if err != nil {
		w.t.Fatal(err)
	}
}

// The same statement in other blanks and other formats has no new lines; what its lines say is sealed, and opened for who says why.
func TestReconcileOtherFormats(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	w.made()
	const head = "Account No : 50200012345678\nDate,Narration,Chq./Ref.No.,Value Dt,Withdrawal Amt.,Deposit Amt.,Closing Balance\n"
	for name, text := range map[string]string{
		"one.csv": head + "22/11/25,IMPS-632616000005-RAHUL,,22/11/25,10.00,,90.00\n22/11/25,CHARGES   GST  NOV,,22/11/25,1.00,,89.00\n",
		"two.csv": head + "22/11/25,IMPS-632616000005-RAHUL,,22/11/25,10.00,,90.00\n22/11/25,CHARGES GST NOV ,,22/11/25,1.00,,89.00\n",
		"one.sta": "{1:F01HDFCINBBAXXX0000000000}{2:I940}{4:\n:20:S1\n:25:50200012345678\n:28C:1/1\n:60F:C251122INR100,00\n" +
			":61:2511221122D10,00NTRFNONREF//S9988776655\n:86:IMPS-632616000005-RAHUL\n:61:2511221122D1,00NCHGNONREF\n:86:CHARGES GST NOV\n:62F:C251122INR89,00\n-}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.ledger(nil, "reconcile", "source", "hdfc", "--kind", "bank", "--account", "50200012345678", "--books", "gateway:sandbox:float")
	if out, code := w.run("reconcile", "source", "again", "--kind", "bank", "--account", "5020 0012 345678", "--books", "gateway:sandbox:float"); code != exitNo {
		t.Errorf("a second source of the account: exit %d: %s", code, out)
	}
	for n, file := range []string{"one.csv", "two.csv", "one.sta"} {
		var done reconciling.Imported
		w.ledger(&done, "reconcile", "import", file, "--source", "hdfc")
		if want := []int{2, 0, 0}[n]; done.New != want || done.Lines != 2 {
			t.Errorf("%s: %+v", file, done)
		}
	}
	w.ledger(nil, "reconcile", "run", "--json")
	var found breaks
	w.ledger(&found, "reconcile", "breaks", "--format", "json")
	if len(found.Breaks) != 2 {
		t.Fatalf("%+v", found)
	}
	if out, code := w.run("reconcile", "show", found.Breaks[0].ID, "--narration"); code != exitUsage {
		t.Errorf("without a reason: exit %d: %s", code, out)
	}
	var said []string
	for _, b := range found.Breaks {
		var shown reconciling.Break
		w.ledger(&shown, "reconcile", "show", b.ID)
		if shown.Narration != "" {
			t.Errorf("shown to everybody: %+v", shown)
		}
		w.ledger(&shown, "reconcile", "show", b.ID, "--narration", "--reason", "whose is it", "--actor", "asha")
		said = append(said, shown.Narration)
	}
	slices.Sort(said)
	if len(said) != 2 || said[0] != "CHARGES   GST  NOV" || !strings.Contains(said[1], "RAHUL") {
		t.Errorf("the lines say %q", said)
	}
	out, code := w.run("replay", found.Breaks[0].ID)
	if code != 0 || strings.Count(out, "source.") != 1 || !strings.Contains(out, "source.narration_opened") {
		t.Errorf("replay of the break: exit %d: %s", code, out)
	}
	w.verify()
}

// A wallet without the money makes an approved settlement wait: who approves is told so, and a run posts it when the money is there.
func TestReconcileWaitsForMoney(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := newWorld(t, dir, "sqlite:"+filepath.Join(dir, "ledger.db"))
	m := w.made()
	const file = "date,amount,text\n2024-04-01,-6000.00,chargeback\n"
	for name, text := range map[string]string{"one.csv": file, "map.yaml": "columns: {date: date, amount: amount, narration: text}\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	w.ledger(nil, "reconcile", "source", "one", "--kind", "bank", "--account", "1", "--books", "gateway:sandbox:float")
	w.ledger(nil, "reconcile", "import", "one.csv", "--source", "one", "--map", "map.yaml")
	w.ledger(nil, "reconcile", "run", "--json")
	var found breaks
	w.ledger(&found, "reconcile", "breaks", "--format", "json")
	id := found.Breaks[0].ID
	w.ledger(nil, "reconcile", "settle", id, "--reason", "theirs", "--merchant", m.ID, "--actor", "asha")
	if out, code := w.run("reconcile", "approve", id, "--actor", "ravi"); code != exitNo || !strings.Contains(out, "is approved and waits") {
		t.Errorf("exit %d: %s", code, out)
	}
	settled := func(want int) {
		t.Helper()
		var again ran
		w.ledger(&again, "reconcile", "run", "--json")
		if r := again.Sources[0]; r.Settled != want || len(r.Problems) != 1-want {
			t.Errorf("%+v", r)
		}
	}
	settled(0)
	w.ledger(nil, "wallet", "adjust", "--merchant", m.ID, "--amount", "1000", "--reason", "top-up")
	settled(1)
	var shown struct{ Balance string }
	if w.ledger(&shown, "wallet", "show", "--merchant", m.ID); shown.Balance != "0.00" {
		t.Errorf("the wallet has %s", shown.Balance)
	}
	w.verify()
}
