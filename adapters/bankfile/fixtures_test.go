package bankfile_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/khata-ledger/khata/adapters/bankfile"
	"github.com/khata-ledger/khata/domain/reconcile"
)

var update = flag.Bool("update", false, "write the goldens anew")

// fixture is a file of testdata and how it is read.
type fixture struct {
	file     string
	format   bankfile.Format
	mapping  string // file
	unmarked bool   // its format has no mark at its end: a cut behind the last amount that counts is not seen, and loses nothing
}

func fixtures() []fixture {
	return []fixture{
		{file: "hdfc.csv", format: bankfile.CSV, unmarked: true},
		{file: "icici.csv", format: bankfile.CSV, unmarked: true},
		{file: "sbi_utf16.tsv", format: bankfile.CSV, unmarked: true},
		{file: "axis.csv", format: bankfile.CSV, unmarked: true},
		{file: "razorpay.csv", format: bankfile.CSV, unmarked: true},
		{file: "mapped.csv", format: bankfile.CSV, mapping: "mapped.yaml"},
		{file: "swift.mt940", format: bankfile.MT940},
		{file: "structured.mt940", format: bankfile.MT940, unmarked: true},
		{file: "plain.mt940", format: bankfile.MT940, unmarked: true},
		{file: "v02.xml", format: bankfile.CAMT053},
		{file: "v08.xml", format: bankfile.CAMT053},
	}
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (f fixture) options(t testing.TB) bankfile.Options {
	t.Helper()
	if f.mapping == "" {
		return bankfile.Options{}
	}
	m, err := bankfile.ParseMapping(load(t, f.mapping))
	if err != nil {
		t.Fatal(err)
	}
	return bankfile.Options{Mapping: m}
}

// written is a statement as the goldens have it.
func written(s reconcile.Statement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "account %q in %s, opening %s, closing %s, balanced %v\n", s.Account, s.Currency, s.Opening.Fixed(), s.Closing.Fixed(), s.Balanced)
	for _, l := range s.Lines {
		booked := "-"
		if !l.Booked.IsZero() {
			booked = l.Booked.Format(time.DateOnly)
		}
		fmt.Fprintf(&b, "%d %s %s amount %s fee %s tax %s utr %q gateway %q reference %q tail %q settlement %q narration %q\n", l.Number, l.Date.Format(time.DateOnly),
			booked, l.Amount.Fixed(), l.Fee.Fixed(), l.Tax.Fixed(), l.UTR, l.Gateway, l.Reference, l.Tail, l.Settlement, l.Narration)
	}
	return b.String()
}

func TestFixtures(t *testing.T) {
	for _, f := range fixtures() {
		t.Run(f.file, func(t *testing.T) {
			file := load(t, f.file)
			for _, format := range []bankfile.Format{f.format, ""} { // said, and detected
				s, err := bankfile.Read(iotest.OneByteReader(bytes.NewReader(file)), format, f.options(t))
				if err != nil {
					t.Fatal(err)
				}
				golden := filepath.Join("testdata", f.file+".golden")
				if *update {
					if err := os.WriteFile(golden, []byte(written(s)), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if want := string(load(t, f.file+".golden")); written(s) != want {
					t.Errorf("got\n%swant\n%s", written(s), want)
				}
			}
		})
	}
}

// Line ends of all kinds, and a byte order mark, are the same file. (Not so for UTF-16, whose bytes cannot be replaced one by one.)
func TestLineEnds(t *testing.T) {
	for _, f := range fixtures() {
		if strings.Contains(f.file, "utf16") {
			continue
		}
		file := load(t, f.file)
		want, err := bankfile.Read(bytes.NewReader(file), f.format, f.options(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, end := range []string{"\r\n", "\r"} {
			other := bytes.ReplaceAll(file, []byte("\n"), []byte(end))
			if f.file != "v08.xml" { // which declares another encoding than its mark would say
				other = append([]byte("\ufeff"), other...)
			}
			got, err := bankfile.Read(bytes.NewReader(other), f.format, f.options(t))
			if err != nil {
				t.Errorf("%s with %q: %v", f.file, end, err)
			} else if written(got) != written(want) {
				t.Errorf("%s with %q: %s", f.file, end, written(got))
			}
		}
	}
}

// A file that was cut off anywhere gives an error, or the statement that the whole file gives: never a part of it. Where the format marks its end,
// only blanks may be missing. What a CSV cannot show is a cut at the end of a line of its table.
func TestCutAtEveryByte(t *testing.T) {
	for _, f := range fixtures() {
		t.Run(f.file, func(t *testing.T) {
			file, o := load(t, f.file), f.options(t)
			whole, err := bankfile.Read(bytes.NewReader(file), f.format, o)
			if err != nil {
				t.Fatal(err)
			}
			want, taken := written(whole), 0
			for n := range len(file) {
				s, err := bankfile.Read(bytes.NewReader(file[:n]), f.format, o)
				if err != nil {
					if len(s.Lines) > 0 || s.Account != "" {
						t.Fatalf("cut at %d: an error with %s", n, written(s))
					}
					var e *bankfile.Error
					if !errors.As(err, &e) {
						t.Fatalf("cut at %d: %v", n, err)
					}
					continue
				}
				taken++
				rest := strings.Trim(string(file[n:]), " \t\r\n\x00")
				switch {
				case rest == "":
				case f.format == bankfile.CSV && f.mapping == "":
					// The lines that are there are whole ones.
					if before := file[n-1]; before != '\n' && before != '\r' && before != 0 || !hasPrefix(whole.Lines, s.Lines) {
						t.Errorf("cut at %d: %s", n, written(s))
					}
				case strings.HasPrefix(rest, "{5:") && written(s) == want: // the message's text is whole without its trailer
				case !f.unmarked:
					t.Errorf("cut at %d of %d, before %q: read as whole", n, len(file), rest)
				case written(s) != want:
					t.Errorf("cut at %d: %s", n, written(s))
				}
			}
			t.Logf("%d bytes, %d cuts taken", len(file), taken)
		})
	}
}

func hasPrefix(all, first []reconcile.Line) bool {
	if len(first) > len(all) {
		return false
	}
	return written(reconcile.Statement{Lines: all[:len(first)]}) == written(reconcile.Statement{Lines: first})
}

// A reader that fails is no end of the file, wherever it fails.
func TestFailingReader(t *testing.T) {
	failure := errors.New("the disk is gone")
	for _, f := range fixtures() {
		file, o := load(t, f.file), f.options(t)
		for n := range len(file) + 1 {
			_, err := bankfile.Read(&failing{b: file[:n], err: failure}, f.format, o)
			if err == nil {
				t.Fatalf("%s: read though its reader failed at %d of %d", f.file, n, len(file))
			}
			if n == len(file) && !errors.Is(err, failure) {
				t.Errorf("%s: %v", f.file, err)
			}
		}
	}
}

// failing gives some bytes, then an error.
type failing struct {
	b   []byte
	err error
}

func (f *failing) Read(p []byte) (int, error) {
	if len(f.b) == 0 {
		return 0, f.err
	}
	n := copy(p, f.b)
	f.b = f.b[n:]
	return n, nil
}
