package batchfile_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/khata-ledger/khata/adapters/batchfile"
)

// stream is a file of n items that is made as it is read, so that only its reader's memory counts.
type stream struct {
	format string
	n      int
	next   int
	rest   bytes.Reader
	text   []byte
	read   int
}

func (s *stream) Read(p []byte) (int, error) {
	for s.rest.Len() == 0 {
		if s.next > s.n+1 {
			return 0, io.EOF
		}
		s.text = s.text[:0]
		switch {
		case s.next == 0 && s.format == "csv":
			s.text = append(s.text, header...)
		case s.next == 0 && s.format == "json":
			s.text = append(s.text, `{"items":[`...)
		case s.next == s.n+1 && s.format == "json":
			s.text = append(s.text, `]}`...)
		case s.next == 0 || s.next == s.n+1:
		case s.format == "csv":
			s.text = fmt.Appendf(s.text, "9876543210,Asha Verma,%014d,SBIN0001234,State Bank of India,\"1,00,000.00\",5,salary-%08d\r\n", s.next, s.next)
		default:
			if s.format == "json" && s.next > 1 {
				s.text = append(s.text, ',')
			}
			s.text = fmt.Appendf(s.text, `{"mobile_no":"9876543210","beneficiary_name":"Asha Verma","account_no":"%014d","ifsc":"SBIN0001234",`+
				`"bank_name":"State Bank of India","amount":100000.00,"transfer_type":"5","partner_request_id":"salary-%08d"}`+"\n", s.next, s.next)
		}
		s.next++
		s.read += len(s.text)
		s.rest.Reset(s.text)
	}
	return s.rest.Read(p)
}

// live is the heap that is reachable.
func live() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

const many = 100_000

// Reading needs a small part of what the items themselves would: marks of them, and buffers.
func TestReadingNeedsLittleMemory(t *testing.T) {
	for format, open := range readers() {
		in := &stream{format: format, n: many}
		before := live()
		r := open(in, batchfile.ReadOptions{})
		var peak uint64
		count := 0
		for _, err := range r.Items() {
			if err != nil {
				t.Fatal(err)
			}
			if count++; count%20_000 == 0 {
				peak = max(peak, live())
			}
		}
		if count != many {
			t.Fatalf("%d items", count)
		}
		grown, slice := peak-min(peak, before), uint64(many)*uint64(unsafe.Sizeof(batchfile.Item{}))+uint64(in.read)
		t.Logf("%s: %d KiB for %d items of %d KiB; a slice of them takes %d KiB", format, grown>>10, many, in.read>>10, slice>>10)
		if grown > slice/4 {
			t.Errorf("%s: the heap has grown by %d bytes; all items take %d", format, grown, slice)
		}
		runtime.KeepAlive(r)
	}
}

// Neither do a file of one endless line, of endless blanks, or of nothing but problems.
func TestDamagedFilesNeedLittleMemory(t *testing.T) {
	const size = 4 << 20
	for name, c := range map[string]struct{ format, begin, repeat string }{
		"an endless cell":      {"csv", header, "x"},
		"an endless line":      {"csv", header, "x,"},
		"an endless header":    {"csv", "", "x,"},
		"blank lines":          {"csv", header, "\n"},
		"blank cells":          {"csv", header, " ,"},
		"an endless quotation": {"csv", header + `"`, "x"},
		"problems":             {"csv", header, "x\n"},
		"an endless object":    {"ndjson", "", "x"},
		"blanks between":       {"ndjson", "", " \n"},
		"no objects":           {"ndjson", "", "1\n"},
		"an endless string":    {"json", `{"items":[{"ifsc":"`, "x"},
		"endless blanks":       {"json", `{"items":[`, "\n"},
		"nothing but nesting":  {"json", `{"items":[`, "["},
		"an endless name":      {"json", `{"`, "x"},
		"options":              {"json", `{"a":1`, `,"a":1`},
	} {
		before := live()
		in := &endless{begin: c.begin, repeat: c.repeat, left: size}
		r := readers()[c.format](in, batchfile.ReadOptions{Limits: batchfile.Limits{Items: 300_000, Problems: 100}})
		var peak uint64
		count := 0
		for _, err := range r.Items() {
			if count++; err == nil {
				t.Errorf("%s: an item without problems", name)
			}
			if count%100_000 == 0 {
				peak = max(peak, live())
			}
		}
		peak = max(peak, live())
		if grown := peak - min(peak, before); grown > 2<<20 {
			t.Errorf("%s: the heap has grown by %d bytes", name, grown)
		}
		if len(r.Report().Problems) > 101 || r.Report().Total == 0 {
			t.Errorf("%s: %d problems", name, len(r.Report().Problems))
		}
		runtime.KeepAlive(r)
	}
}

// endless repeats a text.
type endless struct {
	begin, repeat string
	left          int
}

func (e *endless) Read(p []byte) (int, error) {
	if e.begin != "" {
		n := copy(p, e.begin)
		e.begin = e.begin[n:]
		return n, nil
	}
	if e.left <= 0 {
		return 0, io.EOF
	}
	n := 0
	for len(p)-n >= len(e.repeat) {
		n += copy(p[n:], e.repeat)
	}
	e.left -= n
	return n, nil
}

// Writing needs buffers alone.
func TestWritingNeedsLittleMemory(t *testing.T) {
	for name, open := range map[string]func(io.Writer, batchfile.Columns) *batchfile.Results{
		"csv": batchfile.NewCSVResults, "xlsx": batchfile.NewXLSXResults,
	} {
		before := live()
		w := open(io.Discard, batchfile.DefaultColumns())
		var peak uint64
		for i := range many {
			if err := w.Write(result(i)); err != nil {
				t.Fatal(err)
			}
			if i%20_000 == 0 {
				peak = max(peak, live())
			}
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		peak = max(peak, live())
		grown := peak - min(peak, before)
		t.Logf("%s: %d KiB for %d rows", name, grown>>10, many)
		if grown > 4<<20 {
			t.Errorf("%s: the heap has grown by %d bytes", name, grown)
		}
	}
}

// result is a row of results.
func result(i int) (*batchfile.Item, batchfile.Outcome) {
	it := nasty()[0]
	it.Index, it.BeneficiaryName, it.BankName = i+1, "Asha Verma", "State Bank of India"
	it.AccountNo, it.PartnerRequestID = fmt.Sprintf("%014d", i), fmt.Sprintf("salary-%08d", i)
	return &it, batchfile.Outcome{TransactionID: fmt.Sprintf("txn_%016d", i), Status: "success", UTR: fmt.Sprintf("%012d", i)}
}

// Each item costs its text and what the text is taken apart with, not more.
func TestAllocationsPerItem(t *testing.T) {
	for format, most := range map[string]float64{"csv": 2, "ndjson": 2, "json": 2} {
		text := content(format, 1000)
		got := testing.AllocsPerRun(3, func() {
			if o := readers()[format](strings.NewReader(text), batchfile.ReadOptions{}); len(drain(o)) != 0 {
				t.Error("problems")
			}
		}) / 1000
		t.Logf("%s: %.2f allocations an item", format, got)
		if got > most {
			t.Errorf("%s: %.2f allocations an item, at most %.0f are needed", format, got, most)
		}
	}
}

// drain reads a file and returns the errors.
func drain(r *batchfile.Reader) []error {
	var all []error
	for _, err := range r.Items() {
		if err != nil {
			all = append(all, err)
		}
	}
	return all
}

func BenchmarkRead(b *testing.B) {
	for format, open := range readers() {
		b.Run(format, func(b *testing.B) {
			const n = 10_000
			in := &stream{format: format, n: n}
			text, err := io.ReadAll(in)
			if err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				count := 0
				for _, err := range open(bytes.NewReader(text), batchfile.ReadOptions{}).Items() {
					if err != nil {
						b.Fatal(err)
					}
					count++
				}
				if count != n {
					b.Fatal(count)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/item")
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for name, open := range map[string]func(io.Writer, batchfile.Columns) *batchfile.Results{
		"csv": batchfile.NewCSVResults, "xlsx": batchfile.NewXLSXResults,
	} {
		b.Run(name, func(b *testing.B) {
			it, o := result(1)
			w := open(io.Discard, batchfile.DefaultColumns())
			rows := 0
			b.ReportAllocs()
			for b.Loop() {
				if rows++; name == "xlsx" && rows == many {
					b.StopTimer()
					w, rows = open(io.Discard, batchfile.DefaultColumns()), 0
					b.StartTimer()
				}
				if err := w.Write(it, o); err != nil {
					b.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
