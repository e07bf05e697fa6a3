package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// Report is what a run measured. Its JSON form is for machines, and its names are stable.
type Report struct {
	OK        bool       `json:"ok"` // what was counted is in the logs
	Version   string     `json:"version"`
	Machine   Machine    `json:"machine"`
	Store     StoreInfo  `json:"store"`
	Settings  Settings   `json:"settings"`
	Warnings  []string   `json:"warnings,omitempty"` // why the figures say less than they seem to
	Scenarios []Scenario `json:"scenarios"`
}

// Settings are how it was measured.
type Settings struct {
	ForMS  int64 `json:"for_ms"`
	Rounds int   `json:"rounds"`
}

// Scenario is what one scenario measured, and whether the store holds what it counted.
type Scenario struct {
	Name           string  `json:"name"`
	What           string  `json:"what"`
	OK             bool    `json:"ok"`
	Lines          []Line  `json:"lines"`
	Checks         []Check `json:"checks"`
	Kept           string  `json:"kept,omitempty"` // the scratch store, as --db names it
	ElapsedSeconds float64 `json:"elapsed_seconds"`
}

// Line is one figure. Rates are medians of the rounds, with the slowest and the fastest; what does not apply is absent.
type Line struct {
	Name string `json:"name"` // stable
	What string `json:"what"` // for people
	Unit string `json:"unit"` // of count and rate

	Count            int64   `json:"count"`
	RatePerSecond    float64 `json:"rate_per_second,omitzero"`
	RateMinPerSecond float64 `json:"rate_min_per_second,omitzero"`
	RateMaxPerSecond float64 `json:"rate_max_per_second,omitzero"`

	Limit             string  `json:"limit,omitempty"` // what it is
	LimitPerSecond    float64 `json:"limit_per_second,omitzero"`
	LimitMinPerSecond float64 `json:"limit_min_per_second,omitzero"`
	LimitMaxPerSecond float64 `json:"limit_max_per_second,omitzero"`

	Ratio        float64 `json:"ratio,omitzero"` // rate to limit, median of the rounds
	RatioMin     float64 `json:"ratio_min,omitzero"`
	RatioMax     float64 `json:"ratio_max,omitzero"`
	ClassicRatio float64 `json:"classic_ratio,omitzero"` // to `classic`, four statements, 64 clients

	P50MS float64 `json:"p50_ms,omitzero"`
	P99MS float64 `json:"p99_ms,omitzero"`
	MaxMS float64 `json:"max_ms,omitzero"`

	Events          int64   `json:"events,omitzero"`        // in the log, of `grow`
	RateToFirst     float64 `json:"rate_to_first,omitzero"` // to that at the first size
	RateTo100k      float64 `json:"rate_to_100k,omitzero"`  // to that at 100,000 events
	RestartMS       float64 `json:"restart_ms,omitzero"`
	ResidentPeakMiB float64 `json:"resident_peak_mib,omitzero"` // under load
	ResidentMiB     float64 `json:"resident_mib,omitzero"`      // at rest
	HeapMiB         float64 `json:"heap_mib,omitzero"`

	Note string `json:"note,omitempty"`
}

// Check is one thing that the store was held against.
type Check struct {
	Name    string `json:"name"`
	OK      bool   `json:"ok"`
	Problem string `json:"problem,omitempty"`
}

// line makes a line of the rounds of a measurement.
func line(name, what, unit string, samples []sample) Line {
	l := Line{Name: name, What: what, Unit: unit}
	for _, s := range samples {
		l.Count += s.count
	}
	s := spreadOf(rates(samples))
	l.RatePerSecond, l.RateMinPerSecond, l.RateMaxPerSecond = round(s.median, 0), round(s.min, 0), round(s.max, 0)
	return l
}

// latency adds how long the calls took.
func (l Line) latency(samples []sample) Line {
	took := latenciesOf(samples)
	l.P50MS, l.P99MS, l.MaxMS = round(took.at(50), 3), round(took.at(99), 3), round(took.at(100), 3)
	return l
}

// beside adds the limit that was measured beside it, as rates by round.
func (l Line) beside(limit string, samples []sample, limits []float64) Line {
	s, r := spreadOf(limits), spreadOf(ratios(rates(samples), limits))
	l.Limit = limit
	l.LimitPerSecond, l.LimitMinPerSecond, l.LimitMaxPerSecond = round(s.median, 0), round(s.min, 0), round(s.max, 0)
	l.Ratio, l.RatioMin, l.RatioMax = round(r.median, 3), round(r.min, 3), round(r.max, 3)
	return l
}

// JSON writes the report as one object on a line.
func (r *Report) JSON(out io.Writer) error {
	enc := json.NewEncoder(out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(r); err != nil {
		return fmt.Errorf("printing the report: %w", err)
	}
	return nil
}

// Table writes the report for people.
func (r *Report) Table(out io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "ledger %s, %s, %s, %d cores\n%s\n", r.Version, r.Machine.Go, r.Machine.CPU, r.Machine.Cores, r.Store.text())
	for _, warning := range r.Warnings {
		fmt.Fprintf(&b, "WARNING: %s\n", warning)
	}
	fmt.Fprintf(&b, "%d rounds of %d ms each, in turn; medians, with the slowest and the fastest\n", r.Settings.Rounds, r.Settings.ForMS)
	for i := range r.Scenarios {
		if err := r.Scenarios[i].table(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(out, b.String())
	return err
}

// column is one of the table. It is left out where no line has it.
type column struct {
	head string
	text func(l *Line) string
}

// columns of the table, from left to right.
func columns() []column {
	return []column{
		{"rate/s", func(l *Line) string { return figure(l.RatePerSecond, l.RateMinPerSecond, l.RateMaxPerSecond, 0) }},
		{"limit/s", func(l *Line) string { return figure(l.LimitPerSecond, l.LimitMinPerSecond, l.LimitMaxPerSecond, 0) }},
		{"of limit", func(l *Line) string { return figure(l.Ratio, l.RatioMin, l.RatioMax, 2) }},
		{"of classic", func(l *Line) string { return plain(l.ClassicRatio, 1) }},
		{"of first", func(l *Line) string { return plain(l.RateToFirst, 2) }},
		{"of 100,000", func(l *Line) string { return plain(l.RateTo100k, 2) }},
		{"p50 ms", func(l *Line) string { return plain(l.P50MS, 2) }},
		{"p99 ms", func(l *Line) string { return plain(l.P99MS, 2) }},
		{"max ms", func(l *Line) string { return plain(l.MaxMS, 2) }},
		{"restart ms", func(l *Line) string { return plain(l.RestartMS, 0) }},
		{"peak MiB", func(l *Line) string { return plain(l.ResidentPeakMiB, 0) }},
		{"resident MiB", func(l *Line) string { return plain(l.ResidentMiB, 0) }},
		{"heap MiB", func(l *Line) string { return plain(l.HeapMiB, 0) }},
	}
}

func (s *Scenario) table(b *strings.Builder) error {
	fmt.Fprintf(b, "\n%s: %s\n", s.Name, s.What)
	widest := 0
	for i := range s.Lines {
		widest = max(widest, len(s.Lines[i].What))
	}
	rows := []string{fmt.Sprintf("  %-*s\t", widest, "")}
	for i := range s.Lines {
		rows = append(rows, fmt.Sprintf("  %-*s\t", widest, s.Lines[i].What))
	}
	for _, c := range columns() {
		texts, filled := []string{c.head}, false
		for i := range s.Lines {
			text := c.text(&s.Lines[i])
			texts, filled = append(texts, text), filled || text != ""
		}
		for i, text := range texts {
			if filled {
				rows[i] += text + "\t"
			}
		}
	}
	w := tabwriter.NewWriter(b, 0, 0, 2, ' ', tabwriter.AlignRight)
	if _, err := io.WriteString(w, strings.Join(rows, "\n")+"\n"); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	for _, l := range s.Lines {
		if l.Note != "" {
			fmt.Fprintf(b, "  %s: %s\n", l.What, l.Note)
		}
	}
	for _, c := range s.Checks {
		word := "ok"
		if !c.OK {
			word = "WRONG"
		}
		fmt.Fprintf(b, "  %s: %s", word, c.Name)
		if c.Problem != "" {
			fmt.Fprintf(b, ": %s", c.Problem)
		}
		b.WriteByte('\n')
	}
	if s.Kept != "" {
		fmt.Fprintf(b, "  kept: %s\n", s.Kept)
	}
	return nil
}

// figure is a median with what lies around it; nothing for zero.
func figure(median, low, high float64, decimals int) string {
	switch {
	case median == 0:
		return ""
	case low == high:
		return plain(median, decimals)
	}
	return fmt.Sprintf("%s (%s-%s)", plain(median, decimals), plain(low, decimals), plain(high, decimals))
}

// plain is a number with its thousands apart; nothing for zero.
func plain(f float64, decimals int) string {
	if f == 0 {
		return ""
	}
	whole, fraction, point := strings.Cut(strconv.FormatFloat(f, 'f', decimals, 64), ".")
	for i := len(whole) - 3; i > 0 && whole[i-1] != '-'; i -= 3 {
		whole = whole[:i] + "," + whole[i:]
	}
	if point {
		return whole + "." + fraction
	}
	return whole
}
