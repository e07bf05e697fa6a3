package bankfile

import (
	"math/big"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/money"
)

func TestAmounts(t *testing.T) {
	usual, europe := (&Mapping{}).numerals(), (&Mapping{Decimal: ","}).numerals()
	swiss, minor := (&Mapping{Thousands: "'"}).numerals(), (&Mapping{Unit: "minor"}).numerals()
	for _, c := range []struct {
		n    numerals
		in   string
		want string // "" is a refusal
	}{
		{usual, "1234.5", "1234.50"}, {usual, "1,00,000.00", "100000.00"}, {usual, "12,34,56,789.01", "123456789.01"}, {usual, "100,000.00", "100000.00"},
		{usual, "-0.00", "0.00"}, {usual, "-0", "0.00"}, {usual, "(0)", "0.00"}, {usual, "+5", "5.00"}, {usual, "5-", "-5.00"}, {usual, "(1,000.00)", "-1000.00"},
		{usual, "12.00 Dr", "-12.00"}, {usual, "12.00Cr.", "12.00"}, {usual, "12.00 (Dr)", "-12.00"}, {usual, "Rs. 12.00", "12.00"}, {usual, "₹1,000", "1000.00"},
		{usual, "INR -12.00", "-12.00"}, {usual, "12.00 INR", "12.00"}, {usual, "\u22125", "-5.00"}, {usual, "0000123.40", "123.40"},
		{usual, "999999999999999.99", "999999999999999.99"},
		{europe, "1.234,50", "1234.50"}, {europe, "-0,5", "-0.50"}, {swiss, "1'234.50", "1234.50"}, {minor, "12345", "123.45"}, {minor, "-1,000", "-10.00"},
		{usual, "", ""}, {usual, "-", ""}, {usual, ".", ""}, {usual, ".5", ""}, {usual, "5.", ""}, {usual, "1.2.3", ""}, {usual, "1e9", ""}, {usual, "1E+2", ""},
		{usual, "NaN", ""}, {usual, "inf", ""}, {usual, "Cr", ""}, {usual, "()", ""}, {usual, "(-1)", ""}, {usual, "-1-", ""}, {usual, "--1", ""}, {usual, "+-1", ""},
		{usual, "(1 Dr)", ""}, {usual, "1,2", ""}, {usual, ",123", ""}, {usual, "1,,234", ""}, {usual, "1,234,56", ""}, {usual, "1 234", ""}, {usual, "1\u00a0234", ""},
		{usual, "1.005", ""}, {usual, "1.000", ""}, {usual, "1_000", ""}, {usual, "0x1", ""}, {usual, "١", ""}, {usual, "1,23", ""}, {usual, "1.234,50", ""},
		{usual, "1000000000000000", ""}, {usual, "$5", ""}, {europe, "1,234.50", ""}, {europe, "1.23,4", ""}, {minor, "1.0", ""}, {minor, "99999999999999999999", ""},
	} {
		a, problem := c.n.parse(c.in, money.INR)
		if (problem != "") != (c.want == "") || problem == "" && a.Fixed() != c.want {
			t.Errorf("%q is %s %q, want %q", c.in, a, problem, c.want)
		}
	}
	if _, problem := usual.parse("1.5", "JPY"); problem == "" {
		t.Error("half a yen")
	}
}

// What is written with Indian or western grouping, or none, is read as it was.
func TestAmountsProperty(t *testing.T) {
	n := (&Mapping{}).numerals()
	rapid.Check(t, func(t *rapid.T) {
		minor := rapid.Int64Range(-99_999_999_999_999_999, 99_999_999_999_999_999).Draw(t, "minor")
		want := money.FromMinor(minor, money.INR)
		digits := strings.TrimPrefix(want.Fixed(), "-")
		whole, fraction, _ := strings.Cut(digits, ".")
		step := rapid.SampledFrom([]int{0, 2, 3}).Draw(t, "grouping")
		if step > 0 && len(whole) > 3 {
			grouped := whole[len(whole)-3:]
			for rest := whole[:len(whole)-3]; rest != ""; {
				cut := max(0, len(rest)-step)
				grouped, rest = rest[cut:]+","+grouped, rest[:cut]
			}
			whole = grouped
		}
		text := whole + "." + fraction
		if minor < 0 {
			text = rapid.SampledFrom([]string{"-" + text, text + "-", "(" + text + ")", text + " Dr", "Rs. -" + text}).Draw(t, "sign")
		}
		got, problem := n.parse(text, money.INR)
		if problem != "" || !got.Equal(want) {
			t.Fatalf("%q is %s %q, want %s", text, got, problem, want)
		}
	})
}

// Whatever is taken for an amount has that value as a decimal number.
func FuzzAmount(f *testing.F) {
	for _, s := range []string{"1,00,000.00", "-12.5", "(1)", "1 Dr", "Rs. 5", "1e9", "NaN", "-0", "₹1", "1.234"} {
		f.Add(s)
	}
	n := (&Mapping{}).numerals()
	f.Fuzz(func(t *testing.T, s string) {
		a, problem := n.parse(s, money.INR)
		if problem != "" {
			return
		}
		plain := strings.NewReplacer(",", "", "(", "", ")", "", "-", "", "+", "", "\u2212", "").Replace(strings.TrimSpace(s))
		if strings.ContainsFunc(plain, unicode.IsLetter) || strings.Contains(plain, "₹") {
			return // with a currency, or Cr and Dr: the table above has them
		}
		want, ok := new(big.Rat).SetString(strings.TrimSpace(plain))
		if got := a.Decimal().Rat(); !ok || got.Abs(got).Cmp(want) != 0 {
			t.Errorf("%q is read as %s", s, a)
		}
	})
}

func TestDates(t *testing.T) {
	india := time.FixedZone("IST", 19800)
	for _, c := range []struct {
		layouts []string
		in      string
		want    string // "" is a refusal
	}{
		{nil, "01/04/2024", "2024-04-01"}, {nil, "01-04-24", "2024-04-01"}, {nil, "1 Apr 2024", "2024-04-01"}, {nil, "01-APR-2024", "2024-04-01"},
		{nil, "2024-04-01", "2024-04-01"}, {nil, "01/04/2024 10:15:09", "2024-04-01"}, {nil, "01/04/2024 10:15:09 AM", "2024-04-01"},
		{nil, "2024-03-31T20:00:00Z", "2024-04-01"}, {nil, "31/12/99", "1999-12-31"}, {nil, "01.04.2024", "2024-04-01"},
		{[]string{"MM/DD/YYYY"}, "04/01/2024", "2024-04-01"}, {[]string{"unix"}, "1711915200", "2024-04-01"}, {[]string{"unix-ms"}, "1711915200000", "2024-04-01"},
		{[]string{"D/M/YY h:mm AM"}, "1/4/24 3:05 PM", "2024-04-01"}, {[]string{"YYYYMMDD"}, "20240401", "2024-04-01"},
		{[]string{"DD/MM/YYYY", "MM/DD/YYYY"}, "04/05/2024", "2024-05-04"},
		{nil, "32/01/2024", ""}, {nil, "29/02/2023", ""}, {nil, "13/13/2024", ""}, {nil, "04/31/2024", ""}, {nil, "", ""}, {nil, "today", ""},
		{nil, "01/04/0024", ""}, {nil, "01/04/2024 25:00", ""}, {nil, "01/04/2024 x", ""}, {nil, "45383", ""}, {[]string{"unix"}, "99999999999999", ""},
	} {
		d, err := newDates(&Mapping{DateLayouts: c.layouts}, india)
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // the second is remembered
			got, ok := d.read(c.in)
			if ok != (c.want != "") || ok && (got.Format(time.DateOnly) != c.want || got.Location() != time.UTC || got.Hour() != 0) {
				t.Errorf("%v: %q is %s %v, want %q", c.layouts, c.in, got, ok, c.want)
			}
		}
	}
	for _, bad := range []string{"", "DD/MM", "DD/MM/YYYY/DD", "dd/mm/yyyy", "2006-01-02", "DD/MM/YYYY hello"} {
		if l, err := dateLayout(bad); err == nil {
			t.Errorf("%q is taken as %q", bad, l)
		}
	}
}

func TestUTRs(t *testing.T) {
	for _, c := range []struct {
		narration string
		refs      []string
		want      string
	}{
		{"UPI-ASHA-ASHA@OKHDFCBANK-HDFC0000123-409212345678-PAY", nil, "409212345678"},
		{"UPI/409212345678/PAY", []string{"0000409212345678"}, "409212345678"},
		{"UPI/409212345678/PAY", []string{"409212345679"}, ""},
		{"IMPS/P2A/409212345678/409212345679", nil, ""},
		{"TRANSFER TO 409212345678", nil, ""}, // may be an account
		{"TRANSFER", []string{"409212345678"}, "409212345678"},
		{"TRANSFER", []string{"000000000042", "0000000000000042"}, ""},
		{"NEFT CR-ICIC0SF0002-ACME-ICICN52024040100123456", nil, "ICICN52024040100123456"},
		{"NEFT-sbin224092123456-X", nil, "SBIN224092123456"},
		{"NEFT N092242912345678 X", nil, "N092242912345678"},
		{"UPI409212345678 paid", nil, "409212345678"},
		{"RRN:409212345678", nil, "409212345678"},
		{"UPI 4092123456789", nil, ""}, {"UPI 40921234567", nil, ""},
		{"CARD XXXXXXXXXXXX4321", nil, ""}, {"ABCDEFGHIJKLMNOP", nil, ""}, {"27AAPFU0939F1ZV UPI", nil, ""},
		{"", nil, ""},
	} {
		if got := newUTRFinder(nil).find(c.narration, c.refs...); got != c.want {
			t.Errorf("%q %q: %q, want %q", c.narration, c.refs, got, c.want)
		}
	}
	for pick, want := range map[string]string{"": "", "only": "", "first": "AAA1", "last": "CCC3"} {
		f := newUTRFinder(&Mapping{UTRPattern: `\b([A-Z]{3}\d)\b`, UTRPick: pick})
		if got := f.find("x AAA1 BBB2 CCC3"); got != want {
			t.Errorf("%s: %q, want %q", pick, got, want)
		}
	}
}

func TestEntryDates(t *testing.T) {
	for _, c := range []struct{ value, entry, want string }{
		{"231229", "0102", "2024-01-02"}, {"240102", "1229", "2023-12-29"}, {"240401", "0401", "2024-04-01"}, {"240301", "0229", "2024-02-29"},
		{"230301", "0229", "2024-02-29"}, {"991231", "0101", "2000-01-01"},
	} {
		value, ok := mtDate(c.value)
		got, found := entryDate(c.entry, value)
		if !ok || !found || got.Format(time.DateOnly) != c.want {
			t.Errorf("%s entered %s is %s", c.value, c.entry, got)
		}
	}
}

func TestSameAccount(t *testing.T) {
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{"50200012345678", "5020 0012-345678", true}, {"de02abcd", "DE02ABCD", true}, {"50200012345678", "XXXXXXXXXX5678", true},
		{"**********5678", "50200012345678", true}, {"50200012345678", "XXXXXXXXXX5679", false}, {"50200012345678", "XXXX5678", false},
		{"50200012345678", "XXXXXXXXXXXXXX", false}, {"5678", "XX78", false}, {"1", "2", false}, {"50200012345678", "60XXXXXXXX5678", false},
	} {
		if SameAccount(c.a, c.b) != c.same || SameAccount(c.b, c.a) != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, !c.same)
		}
	}
}

func TestTails(t *testing.T) {
	for in, want := range map[string]string{
		"50200012345678": "5678", "XXXXXX4321": "4321", "DE02 1001 0010 9307 1186 03": "8603", "XX-43-21": "4321", "1234XXXX": "", "123": "", "": "", "12****": "", "12é456": "",
	} {
		if got := tailOf(in); got != want {
			t.Errorf("%q ends with %q, want %q", in, got, want)
		}
	}
}
