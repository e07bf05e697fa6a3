package bankfile_test

import (
	"bytes"
	"errors"
	"testing"
	"testing/iotest"

	"github.com/khata-ledger/khata/adapters/bankfile"
	"github.com/khata-ledger/khata/domain/money"
)

// holds is what is true of whatever a file holds: an error comes with nothing, a statement is of one currency, and balances what it says it does. How
// the bytes arrive makes no difference.
func holds(t *testing.T, file []byte, format bankfile.Format, o bankfile.Options) {
	t.Helper()
	o.Limits = bankfile.Limits{Bytes: 1 << 20, Lines: 1000, Field: 1 << 10}
	s, err := bankfile.Read(bytes.NewReader(file), format, o)
	again, errAgain := bankfile.Read(iotest.HalfReader(bytes.NewReader(file)), format, o)
	if (err == nil) != (errAgain == nil) || err != nil && err.Error() != errAgain.Error() || written(s) != written(again) {
		t.Fatalf("read in pieces: %v, %v\n%s%s", err, errAgain, written(s), written(again))
	}
	if err != nil {
		var e *bankfile.Error
		if !errors.As(err, &e) || s.Lines != nil || s.Account != "" || s.Balanced {
			t.Fatalf("%v with %s", err, written(s))
		}
		return
	}
	if _, known := s.Currency.Exponent(); !known || len(s.Lines) > 1000 {
		t.Fatal(written(s))
	}
	sum, numbers := money.Zero(s.Currency), map[int]bool{}
	for _, l := range s.Lines {
		sum = sum.Add(l.Net()) // panics for another currency
		if l.Date.IsZero() || l.Number < 1 || numbers[l.Number] {
			t.Fatal(written(s))
		}
		numbers[l.Number] = true
	}
	if s.Balanced && !s.Opening.Add(sum).Equal(s.Closing) {
		t.Fatal(written(s))
	}
}

func seed(f *testing.F, format bankfile.Format) {
	for _, one := range fixtures() {
		if one.format == format {
			f.Add(load(f, one.file))
		}
	}
}

func FuzzCSV(f *testing.F) {
	seed(f, bankfile.CSV)
	f.Add([]byte("day,amount,text\n01/04/2024,-0.00,\"a\"\"b\"\n"))
	f.Add([]byte("Date,Narration,Amount,Balance\r01/04/24,x,-1.00,5.00\r"))
	plain, err := bankfile.ParseMapping([]byte(csvMap))
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		holds(t, file, bankfile.CSV, bankfile.Options{})
		holds(t, file, bankfile.CSV, bankfile.Options{Mapping: plain})
		holds(t, file, bankfile.CSV, bankfile.Options{Encoding: "windows-1252"})
	})
}

func FuzzMT940(f *testing.F) {
	seed(f, bankfile.MT940)
	f.Fuzz(func(t *testing.T, file []byte) { holds(t, file, bankfile.MT940, bankfile.Options{}) })
}

func FuzzCAMT053(f *testing.F) {
	seed(f, bankfile.CAMT053)
	f.Add([]byte(camt(camtBalance("PRCD", "1") + camtBalance("ITBD", "2") + booked)))
	f.Fuzz(func(t *testing.T, file []byte) { holds(t, file, bankfile.CAMT053, bankfile.Options{}) })
}

func FuzzMapping(f *testing.F) {
	f.Add(load(f, "mapped.yaml"), load(f, "mapped.csv"))
	f.Add([]byte(`{"columns": {"date": "#1", "amount": "#2"}, "no_header": true}`), []byte("01/04/2024,1.00\n"))
	f.Fuzz(func(t *testing.T, text, file []byte) {
		m, err := bankfile.ParseMapping(text)
		if err != nil {
			return
		}
		holds(t, file, bankfile.CSV, bankfile.Options{Mapping: m})
	})
}
