package books

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain"
)

// Period is a stretch of value dates that is closed at once. Its days are those of a time zone.
type Period struct {
	Name string    `json:"period"`    // as it was asked for: 2026-03, 2026-Q1, FY2026, 2026-03-31
	Zone string    `json:"time_zone"` // of its days: Asia/Kolkata
	To   time.Time `json:"to"`        // the first instant behind it, UTC
}

// ParsePeriod reads a month (2026-03), a quarter of a calendar year (2026-Q1: January to March), a financial year by the year in which it ends
// (FY2026: 1 April 2025 to 31 March 2026), or a day (2026-03-31: everything up to and including it). domain.Invalid.
func ParsePeriod(name string, zone *time.Location) (Period, error) {
	year, month, day, ok := behind(name)
	if !ok {
		return Period{}, domain.InvalidField("period",
			fmt.Sprintf("%q is not a month (2026-03), a quarter (2026-Q1), a financial year (FY2026) or a day (2026-03-31)", name))
	}
	return Period{Name: name, Zone: zone.String(), To: time.Date(year, month, day, 0, 0, 0, 0, zone).UTC()}, nil
}

// behind is the first day behind a period.
func behind(name string) (year int, month time.Month, day int, ok bool) {
	if t, err := time.Parse(time.DateOnly, name); err == nil {
		return t.Year(), t.Month(), t.Day() + 1, true
	}
	if t, err := time.Parse("2006-01", name); err == nil {
		return t.Year(), t.Month() + 1, 1, true
	}
	if rest, is := strings.CutPrefix(name, "FY"); is {
		year, ok = number(rest)
		return year, time.April, 1, ok
	}
	of, quarter, is := strings.Cut(name, "-Q")
	if year, ok = number(of); !is || !ok || len(quarter) != 1 || quarter < "1" || quarter > "4" {
		return 0, 0, 0, false
	}
	return year, time.Month(3*int(quarter[0]-'0') + 1), 1, true
}

// number reads a year of four digits.
func number(s string) (int, bool) {
	if len(s) != 4 || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
