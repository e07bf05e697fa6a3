package wallet

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

// TestFoldVersion pins what Evolve makes of a history with events of every type: testdata/folds/<FoldVersion>.txt has each event
// (type, schema, data) and below it the wallet as it is then, as Snapshot writes it.
func TestFoldVersion(t *testing.T) {
	file := fmt.Sprintf("testdata/folds/%d.txt", FoldVersion)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	w := NewWallet("mer_7q2k9d4m1x8c", money.INR)
	var folded []string
	for i := 0; i+1 < len(lines); i += 2 {
		fields := strings.SplitN(lines[i], " ", 3)
		schema, err := strconv.Atoi(fields[1])
		if err != nil {
			t.Fatal(err)
		}
		e, err := Decode(fields[0], schema, []byte(fields[2]))
		if err != nil {
			t.Fatalf("line %d: %v", i+1, err)
		}
		folded = append(folded, fields[0])
		w.Evolve(e)
		got, err := w.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != lines[i+1] {
			t.Fatalf("line %d of %s: behind %s the wallet is\n%s\nand was\n%s\n"+
				"Snapshots made by fold version %d are in use, and would be believed. If Evolve or Snapshot is meant to have changed, "+
				"raise wallet.FoldVersion and write the history with its new outcome as testdata/folds/%d.txt; leave the old file as it is.",
				i+1, file, fields[0], got, lines[i+1], FoldVersion, FoldVersion+1)
		}
		again := NewWallet(w.Merchant, w.Currency)
		if err := again.Restore(got); err != nil || !reflect.DeepEqual(again, w) {
			t.Errorf("line %d: restored as %+v, %v", i+1, again, err)
		}
	}
	for _, typ := range golden.Types(t, ".") {
		if !slices.Contains(folded, typ) {
			t.Errorf("%s has no event of type %s: add one at its end", file, typ)
		}
	}
}

func TestRestoreRefuses(t *testing.T) {
	const good = `{"merchant":"mer_1","currency":"INR","available":"10.00","locked":"2.50","owed":"0.00","payins":3,"payouts":4,` +
		`"reserves":[{"batch":"bat_1","left":"1.50","upto":250,"queued":true,"since":"2026-03-31T12:00:00Z"},{"batch":"bat_2","left":"0.00"}]}`
	w := NewWallet("mer_1", money.INR)
	if err := w.Restore([]byte(good)); err != nil {
		t.Fatal(err)
	}
	before := *w
	for _, c := range []struct{ name, from, to string }{
		{"another merchant", `"mer_1"`, `"mer_2"`},
		{"another currency", `"INR"`, `"USD"`},
		{"an amount that is a number", `"10.00"`, `10.00`},
		{"an amount with other decimals", `"10.00"`, `"10.0"`},
		{"an amount with decimals that the currency lacks", `"10.00"`, `"10.001"`},
		{"a negative balance", `"2.50"`, `"-2.50"`},
		{"a negative count", `"payouts":4`, `"payouts":-4`},
		{"a negative reserve", `"1.50"`, `"-1.50"`},
		{"a reserve of no amount", `"left":"0.00"`, `"upto":3`},
		{"a reserve that is not known", `"upto":250`, `"downto":250`},
		{"a field that is missing", `"owed":"0.00",`, ``},
		{"a field that is not known", `"owed"`, `"due":"0.00","owed"`},
		{"a field that is there twice", `"owed"`, `"owed":"1.00","owed"`},
		{"spaces", `,"owed"`, `, "owed"`},
		{"something behind it", `"}]}`, `"}]}{}`},
		{"an end that is missing", `"}]}`, `"}]`},
	} {
		bad := strings.Replace(good, c.from, c.to, 1)
		if bad == good {
			t.Fatalf("%s: nothing was replaced", c.name)
		}
		if err := w.Restore([]byte(bad)); err == nil {
			t.Errorf("%s: %s was believed", c.name, bad)
		}
		if !reflect.DeepEqual(*w, before) {
			t.Errorf("%s: refused, and the wallet is %+v", c.name, w)
		}
	}
}
