package plaintext_test

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/plaintext"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// adder adds up what a journal for machines says.
type adder map[string]money.Amount

func (a adder) add(t *testing.T, account, currency, debit, credit string) {
	t.Helper()
	if (debit == "") == (credit == "") {
		t.Fatalf("%s has debit %q and credit %q", account, debit, credit)
	}
	c := money.Currency(currency)
	key := account + " " + currency
	sum, there := a[key]
	if !there {
		sum = money.Zero(c)
	}
	if debit != "" {
		sum = sum.Add(money.MustParse(debit, c))
	} else {
		sum = sum.Sub(money.MustParse(credit, c))
	}
	a[key] = sum
}

func (a adder) balances() map[string]string {
	out := map[string]string{}
	for key, sum := range a {
		if !sum.IsZero() {
			out[key] = sum.Fixed()
		}
	}
	return out
}

func TestCSVAddsUp(t *testing.T) {
	log, facts := history(t, 7, 600)
	for name, o := range periods() {
		o.Format, o.Zone = plaintext.CSV, india()
		var out bytes.Buffer
		if _, err := plaintext.Write(t.Context(), log, &out, o); err != nil {
			t.Fatal(err)
		}
		rows, sum := table(t, out.String()), adder{}
		column := map[string]int{}
		for i, head := range rows[0] {
			column[head] = i
		}
		for _, row := range rows[1:] {
			account := row[column["account"]]
			sum.add(t, account, row[column["currency"]], row[column["debit"]], row[column["credit"]])
			if utr := row[column["utr"]]; strings.HasPrefix(utr, "=") {
				t.Errorf("%s: a spreadsheet would run %q", name, utr)
			}
		}
		if want := sums(facts, o.Until, o.Merchant); !maps.Equal(sum.balances(), want) {
			t.Errorf("%s: the rows come to %v, the postings to %v", name, sum.balances(), want)
		}
	}
}

func TestJSONAddsUp(t *testing.T) {
	type line struct{ Account, Currency, Debit, Credit string }
	log, facts := history(t, 8, 600)
	for name, o := range periods() {
		o.Format, o.Zone = plaintext.JSON, india()
		var out bytes.Buffer
		written, err := plaintext.Write(t.Context(), log, &out, o)
		if err != nil {
			t.Fatal(err)
		}
		var journal struct {
			Entries []struct {
				Event      string
				References map[string]string
				Postings   []line
			}
			Closing []line
			Count   int64
		}
		if err := json.Unmarshal(out.Bytes(), &journal); err != nil {
			t.Fatal(err)
		}
		sum, closing, exact := adder{}, adder{}, false
		for _, e := range journal.Entries {
			for _, l := range e.Postings {
				sum.add(t, l.Account, l.Currency, l.Debit, l.Credit)
			}
			exact = exact || e.References["utr"] == odd[1]
		}
		for _, l := range journal.Closing {
			closing.add(t, l.Account, l.Currency, l.Debit, l.Credit)
		}
		want := sums(facts, o.Until, o.Merchant)
		if !maps.Equal(sum.balances(), want) || !maps.Equal(closing.balances(), want) || journal.Count != written.Entries {
			t.Errorf("%s: the entries come to %v, closing is %v, the postings come to %v", name, sum.balances(), closing.balances(), want)
		}
		if name == "all" && !exact {
			t.Error("JSON has references as they are")
		}
	}
}

func TestUnknownFormat(t *testing.T) {
	log, _ := history(t, 1, 100)
	var out bytes.Buffer
	if _, err := plaintext.Write(t.Context(), log, &out, plaintext.Options{Format: "qif"}); err == nil || out.Len() > 0 {
		t.Errorf("%v, %d bytes", err, out.Len())
	}
}

// A record that cannot be read, or is no double entry, is named; nothing is written around it.
func TestBrokenRecordIsNamed(t *testing.T) {
	of := wallet.Of{Merchant: "mer_aaaaaaaaaaaaaaaa", Currency: money.INR, Payment: "txn_1"}
	rupee := money.MustParse("1", money.INR)
	unequal, err := wallet.Encode(&wallet.PayoutPaidAfterRefund{
		Of: of, Priced: wallet.Priced{Amount: rupee, Commission: rupee, Tax: rupee}, Taken: rupee, Owed: rupee.Add(rupee),
	})
	if err != nil {
		t.Fatal(err)
	}
	for data, want := range map[string]string{
		string(unequal): "writing the journal: record 0:1: payout.paid_after_refund: debits less credits are 1.00 INR",
		"{}":            "writing the journal: record 0:1: decoding payout.paid_after_refund: ",
	} {
		log := &endless{[]eventstore.Record{{
			Seq: 1, Stream: wallet.Stream(of.Merchant, of.Currency), Subject: of.Payment, Type: "payout.paid_after_refund", Schema: 1, Data: []byte(data),
		}}, 1}
		_, err := plaintext.Write(t.Context(), log, io.Discard, plaintext.Options{Format: plaintext.CSV})
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
