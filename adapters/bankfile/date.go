package bankfile

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// usualLayouts are read where a mapping names none: those of Indian banks and gateways, the day before the month.
func usualLayouts() []string {
	return []string{
		"DD/MM/YYYY", "DD-MM-YYYY", "DD-MMM-YYYY", "DD MMM YYYY", "D MMM YYYY", "DD/MMM/YYYY", "YYYY-MM-DD", "YYYY/MM/DD", "DD/MM/YY", "DD-MM-YY",
		"DD-MMM-YY", "DD MMM YY", "DD.MM.YYYY",
		"YYYY-MM-DDThh:mm:ssZ",
	}
}

// dateLayout turns the notation of a mapping into Go's: D, DD, M, MM, MMM, YY, YYYY, h, hh, mm, ss, AM, and Z for an offset. "unix" and
// "unix-ms" are numbers. What is none of these stands for itself.
func dateLayout(s string) (string, error) {
	if s == "unix" || s == "unix-ms" {
		return s, nil
	}
	var b strings.Builder
	day, month, year := 0, 0, 0
	hour := "15"
	if strings.Contains(s, "AM") {
		hour = "03"
	}
	for rest := s; rest != ""; {
		token, ok := "", false
		for _, p := range [...][2]string{
			{"YYYY", "2006"}, {"YY", "06"}, {"MMM", "Jan"}, {"MM", "01"}, {"AM", "PM"}, {"M", "1"}, {"DD", "02"}, {"D", "2"},
			{"hh", hour}, {"h", "3"}, {"mm", "04"}, {"ss", "05"}, {"Z", "Z07:00"},
		} {
			if token = p[0]; strings.HasPrefix(rest, token) {
				b.WriteString(p[1])
				ok = true
				break
			}
		}
		switch {
		case !ok && (rest[0] >= '0' && rest[0] <= '9' || rest[0] >= 'A' && rest[0] <= 'Z' && rest[0] != 'T' || rest[0] >= 'a' && rest[0] <= 'z'):
			return "", errors.New(shown(s) + " is not understood: write dates such as DD/MM/YYYY, DD-MMM-YY, YYYY-MM-DD hh:mm:ss or unix")
		case !ok:
			b.WriteByte(rest[0])
			rest = rest[1:]
			continue
		}
		switch token[0] {
		case 'D':
			day++
		case 'M':
			month++
		case 'Y':
			year++
		}
		rest = rest[len(token):]
	}
	if day != 1 || month != 1 || year != 1 {
		return "", errors.New(shown(s) + " must have a day, a month and a year, each once: DD/MM/YYYY")
	}
	return b.String(), nil
}

// dates reads the dates of one file.
type dates struct {
	layouts []string // Go's
	zone    *time.Location
	any     bool // a time may stand behind the date
	last    string
	day     time.Time
}

func newDates(m *Mapping, zone *time.Location) (*dates, error) {
	d := &dates{zone: zone}
	if m.TimeZone != "" {
		z, err := time.LoadLocation(m.TimeZone)
		if err != nil {
			return nil, fault(0, "", "the time zone %s is not known", shown(m.TimeZone))
		}
		d.zone = z
	}
	layouts := m.DateLayouts
	if len(layouts) == 0 {
		layouts, d.any = usualLayouts(), true
	}
	for _, l := range layouts {
		layout, err := dateLayout(l)
		if err != nil {
			return nil, fault(0, "", "%v", err)
		}
		d.layouts = append(d.layouts, layout)
	}
	return d, nil
}

// read is the day that a text names; false when it names none.
func (d *dates) read(s string) (time.Time, bool) {
	if s == d.last && s != "" {
		return d.day, true
	}
	day, ok := d.parse(s)
	if ok {
		d.last, d.day = strings.Clone(s), day
	}
	return day, ok
}

func (d *dates) parse(s string) (time.Time, bool) {
	if len(s) < 6 || len(s) > 40 {
		return time.Time{}, false
	}
	for _, layout := range d.layouts { // in their order: of two that fit, the first is meant
		if day, ok := d.by(layout, s); ok {
			return day, true
		}
	}
	if d.any { // 01/04/2024 10:15:00: the day is the first word
		if date, clock, found := strings.Cut(s, " "); found && isClock(strings.TrimSpace(clock)) {
			return d.parse(date)
		}
	}
	return time.Time{}, false
}

func (d *dates) by(layout, s string) (time.Time, bool) {
	if layout == "unix" || layout == "unix-ms" {
		n, err := strconv.ParseInt(s, 10, 64)
		if err != nil || len(s) < 9 || len(s) > 13 {
			return time.Time{}, false
		}
		zone := d.zone
		if zone == nil {
			zone = time.UTC
		}
		at := time.Unix(n, 0)
		if layout == "unix-ms" {
			at = time.UnixMilli(n)
		}
		return sane(midnight(at.In(zone)))
	}
	at, err := time.Parse(layout, s)
	if err != nil {
		return time.Time{}, false
	}
	if strings.Contains(layout, "Z07:00") && d.zone != nil {
		at = at.In(d.zone)
	}
	if strings.Contains(layout, "06") && !strings.Contains(layout, "2006") && at.Year() < 1980 {
		at = at.AddDate(100, 0, 0)
	}
	return sane(midnight(at))
}

// midnight is the day of an instant, in its own zone, as a statement's line has it.
func midnight(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), 0, 0, 0, 0, time.UTC)
}

// sane refuses days that no statement is about.
func sane(t time.Time) (time.Time, bool) {
	return t, t.Year() >= 1980 && t.Year() < 2200
}

// isClock tells a time of day such as 10:15, 10:15:00, 10:15:00 AM.
func isClock(s string) bool {
	for _, layout := range []string{"15:04", "15:04:05", "15:04:05.999999", "03:04 PM", "03:04:05 PM", "3:04:05 PM", "3:04 PM"} {
		if _, err := time.Parse(layout, strings.ToUpper(s)); err == nil {
			return true
		}
	}
	return false
}

// day is used by the readers of all formats: midnight UTC.
func day(year int, month time.Month, d int) (time.Time, bool) {
	at := time.Date(year, month, d, 0, 0, 0, 0, time.UTC)
	if at.Day() != d || at.Month() != month {
		return time.Time{}, false
	}
	return sane(at)
}
