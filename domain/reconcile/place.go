package reconcile

import (
	"cmp"
	"fmt"
	"time"
)

// Day is a calendar day: midnight UTC of it. Its text is 2026-03-31; the zero Day is none.
type Day struct{ time.Time }

// DayOf is the day that a moment has where the business is.
func DayOf(t time.Time, zone *time.Location) Day {
	y, m, d := t.In(zone).Date()
	return Day{time.Date(y, m, d, 0, 0, 0, 0, time.UTC)}
}

// Plus is so many days later.
func (d Day) Plus(days int) Day { return Day{d.AddDate(0, 0, days)} }

// Since is how many days d is later than o.
func (d Day) Since(o Day) int { return int(d.Sub(o.Time) / (24 * time.Hour)) }

func (d Day) String() string {
	if d.IsZero() {
		return ""
	}
	return d.Format(time.DateOnly)
}

// MarshalText writes the day alone.
func (d Day) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// MarshalJSON writes the day alone; it hides that of the time.
func (d Day) MarshalJSON() ([]byte, error) { return []byte(`"` + d.String() + `"`), nil }

// UnmarshalJSON reads what MarshalJSON writes.
func (d *Day) UnmarshalJSON(b []byte) error {
	if len(b) < 2 || b[0] != '"' || b[len(b)-1] != '"' {
		return fmt.Errorf("%s is not a day such as \"2026-03-31\"", b)
	}
	return d.UnmarshalText(b[1 : len(b)-1])
}

// UnmarshalText reads what MarshalText writes.
func (d *Day) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*d = Day{}
		return nil
	}
	t, err := time.Parse(time.DateOnly, string(text))
	if err != nil {
		return fmt.Errorf("%q is not a day such as 2026-03-31", text)
	}
	d.Time = t
	return nil
}

// LineAt is where a line stands: which import of the source, and which line of its file. It is written "import:line".
type LineAt struct{ Import, Number int }

func (l LineAt) String() string { return fmt.Sprintf("%d:%d", l.Import, l.Number) }

// IsZero tells that there is no line.
func (l LineAt) IsZero() bool { return l == LineAt{} }

// MarshalText writes "import:line".
func (l LineAt) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText reads it.
func (l *LineAt) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%d:%d", &l.Import, &l.Number)
	if err != nil || l.String() != string(text) || l.Import < 1 || l.Number < 1 {
		return fmt.Errorf("%q is no line of an import", text)
	}
	return nil
}

// Place is where an entry of the books stands: the record, and which of its postings, from 1. It is written "partition:seq:posting".
type Place struct {
	Partition int
	Seq       int64
	Posting   int
}

func (p Place) String() string { return fmt.Sprintf("%d:%d:%d", p.Partition, p.Seq, p.Posting) }

// IsZero tells that there is no entry.
func (p Place) IsZero() bool { return p == Place{} }

// Position is the record's, as people are shown it; "" for no entry.
func (p Place) Position() string {
	if p.IsZero() {
		return ""
	}
	return fmt.Sprintf("%d:%d", p.Partition, p.Seq)
}

// MarshalText writes "partition:seq:posting".
func (p Place) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads it.
func (p *Place) UnmarshalText(text []byte) error {
	_, err := fmt.Sscanf(string(text), "%d:%d:%d", &p.Partition, &p.Seq, &p.Posting)
	if err != nil || p.String() != string(text) || p.Partition < 0 || p.Seq < 1 || p.Posting < 1 {
		return fmt.Errorf("%q is no entry of the books", text)
	}
	return nil
}

func (p Place) compare(o Place) int {
	return cmp.Or(cmp.Compare(p.Partition, o.Partition), cmp.Compare(p.Seq, o.Seq), cmp.Compare(p.Posting, o.Posting))
}
