package bankfile

import (
	"bytes"
	"iter"
	"strings"
	"unicode"
)

// detectBytes is how much of a file detect looks at, at most.
const detectBytes = 8 << 10

// detect says in what format a file is written, by its first bytes (a few hundred are enough); "" when it is none that is known, or what it is
// that cannot be read at all.
func detect(head []byte) (f Format, refused string) {
	head = head[:min(len(head), detectBytes)]
	switch {
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "", "this is a workbook (XLSX) or an archive: save the sheet as CSV"
	case bytes.HasPrefix(head, []byte("\xd0\xcf\x11\xe0")):
		return "", "this is a workbook of old Excel (XLS): save the sheet as CSV"
	case bytes.HasPrefix(head, []byte("%PDF")):
		return "", "this is a PDF: ask the bank for CSV, MT940 or camt.053"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "", "this is compressed (gzip): unpack it first"
	}
	// Zero bytes are half of what ASCII is in UTF-16: without them, its marks are in view.
	for _, mark := range []string{"\xef\xbb\xbf", "\xff\xfe", "\xfe\xff"} {
		head = bytes.TrimPrefix(head, []byte(mark))
	}
	text := strings.TrimSpace(strings.ReplaceAll(string(head), "\x00", ""))
	switch {
	case text == "":
		return "", ""
	case text[0] == '<':
		return detectXML(text)
	case isMT(text):
		return MT940, ""
	}
	for line := range textLines(text) {
		if strings.ContainsAny(line, ",;\t|") {
			return CSV, ""
		}
	}
	return "", ""
}

func detectXML(text string) (Format, string) {
	lower := strings.ToLower(text)
	switch {
	case strings.Contains(lower, "camt.053"):
		return CAMT053, ""
	case strings.Contains(lower, "camt.052"):
		return "", "this is camt.052, a report within the day: what it lists may not be booked yet; ask the bank for camt.053"
	case strings.Contains(lower, "camt.054"):
		return "", "this is camt.054, a notification: it has no balances; ask the bank for camt.053"
	case strings.Contains(lower, "<html"), strings.Contains(lower, "<table"):
		return "", "this is a web page, whatever its name says: open it in a spreadsheet and save it as CSV"
	}
	return CAMT053, "" // whose reader says what is missing
}

// textLines are the lines of a text, whatever they end with.
func textLines(s string) iter.Seq[string] {
	return strings.FieldsFuncSeq(s, func(r rune) bool { return r == '\n' || r == '\r' })
}

// isMT tells SWIFT's blocks and tags, which some banks put lines of their own before.
func isMT(text string) bool {
	if strings.HasPrefix(text, "{1:") || strings.HasPrefix(text, ":20:") {
		return true
	}
	number := 0
	for line := range textLines(text) {
		line = strings.TrimRightFunc(line, unicode.IsSpace)
		if strings.HasPrefix(line, ":20:") || strings.HasPrefix(line, "{4:") {
			return true
		}
		if number++; number > 20 {
			break
		}
	}
	return false
}
