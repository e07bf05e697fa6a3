package batchfile

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/money"
)

func TestWrittenAmount(t *testing.T) {
	for in, want := range map[string]string{
		"1500": "1500.00", "1500.5": "1500.50", "1500.50": "1500.50", "0.01": "0.01",
		"1,000": "1000.00", "10,000": "10000.00", "1,00,000": "100000.00", "1,00,000.50": "100000.50", "12,34,56,789.10": "123456789.10",
		"100,000.50": "100000.50", "1,000,000": "1000000.00", "123,456,789": "123456789.00",
		"₹1500": "1500.00", "₹ 1,500.00": "1500.00", "₨1500": "1500.00", "INR 1500": "1500.00", "inr1500": "1500.00", "Rs. 1,500": "1500.00", "Rs 1500": "1500.00",
		"₹\u00a01500":   "1500.00",
		"9999999999999": "9999999999999.00",

		"1,0,0": notGrouped, "1,00,00": notGrouped, "10,00": notGrouped, "1,0000": notGrouped, ",500": notGrouped, "1,,000": notGrouped,
		"1,00,0000": notGrouped, "1000,00,000": notGrouped, "1,000,00,000": notGrouped, "1,00,000,000": notGrouped, "12,345,67,890": notGrouped,
		"1500,50": notGrouped, "1.000,50": notGrouped, "1,000.5,0": notGrouped, "1,000,": notGrouped, ",": notGrouped,
		"": notPlain, "-": notPlain, "₹": notPlain, "abc": notPlain, "1e3": notPlain, "1.5E+05": notPlain, "+1500": notPlain, "1500-": notPlain, "(1500)": notPlain,
		"1500.": notPlain, ".5": notPlain, "1.5.0": notPlain, "01500": notPlain, "0,100": notPlain, "1 500": notPlain, "1'500": notPlain, "१५००": notPlain,
		"1500/-": notPlain, "$1500": notPlain, "USD 1500": notPlain, "a,bcd": notPlain, "INRINR 1": notPlain, "1500 INR": notPlain, "NaN": notPlain, "0x10": notPlain,
		"0": notPositive, "0.00": notPositive, "-0": notPositive, "-1500": notPositive, "-₹1,500": notPositive, "₹-1500": notPositive, "--5": notPlain,
		"1500.001": "must have at most two decimals", "1500.000": "must have at most two decimals", "1.500": "must have at most two decimals",
		"10000000000000": "is too large", "10,00,00,00,00,00,000": "is too large",
	} {
		a, problem := writtenAmount(in, money.INR)
		if problem == "" && a.Fixed() != want || problem != "" && problem != want {
			t.Errorf("%q is %s, %q, want %s", in, a, problem, want)
		}
	}
	for in, c := range map[string]money.Currency{"USD 1,500.50": "USD", "JPY 1500": "JPY", "1,500.125": "KWD"} {
		if a, problem := writtenAmount(in, c); problem != "" || a.Currency() != c {
			t.Errorf("%q is %s, %s", in, a, problem)
		}
	}
	for in, c := range map[string]money.Currency{"₹15": "USD", "15.5": "JPY", "1.2345": "KWD"} {
		if a, problem := writtenAmount(in, c); problem == "" {
			t.Errorf("%q is %s", in, a)
		}
	}
}

// Every grouping of an amount is read as that amount, and with a comma anywhere else it is refused.
func TestGroupings(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := money.FromMinor(rapid.Int64Range(1, 1e15-1).Draw(t, "paisa"), money.INR)
		whole, fraction, _ := strings.Cut(a.Fixed(), ".")
		for name, size := range map[string]int{"indian": 2, "western": 3} {
			text := group(whole, size)
			got, problem := writtenAmount(text+"."+fraction, money.INR)
			if problem != "" || !got.Equal(a) {
				t.Fatalf("%s: %s.%s is %s, %s", name, text, fraction, got, problem)
			}
			at := rapid.IntRange(0, len(text)).Draw(t, "at")
			moved := text[:at] + "," + text[at:]
			if got, problem := writtenAmount(moved, money.INR); problem != notGrouped && moved != group(whole, 2) && moved != group(whole, 3) {
				t.Fatalf("%s: %s is %s, %q", name, moved, got, problem)
			}
		}
	})
}

// group puts commas into a whole number: before the last three digits, and then before every size of them.
func group(whole string, size int) string {
	if len(whole) <= 3 {
		return whole
	}
	head, tail := whole[:len(whole)-3], ","+whole[len(whole)-3:]
	for len(head) > size {
		tail = "," + head[len(head)-size:] + tail
		head = head[:len(head)-size]
	}
	return head + tail
}

func TestTurnedIntoNumber(t *testing.T) {
	for in, want := range map[string]string{
		"1.23E+14": scientific, "1.23E14": scientific, "1.23e-5": scientific, "1,23E+14": scientific, "12E5": scientific, "1.E5": scientific,
		"123456.0": fractional, "123456.": fractional, "123456.000": fractional,
		"123456": "", "00123": "", "E5": "", "1E": "", "1E+": "", "1.2.3E5": "", "ABE5": "", "12.5": "", ".0": "", "": "", "1,234": "", "1.0E+x": "",
	} {
		if got := turnedIntoNumber(in); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
}
