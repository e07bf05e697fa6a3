package batchfile

import (
	"bytes"
	"errors"
	"io"
	"unicode/utf8"
)

// What is said of a file that is no text in UTF-8.
const (
	isUTF16   = "is in UTF-16: save the file as CSV UTF-8"
	hasZero   = "holds a zero byte, as files in UTF-16 do: save the file as CSV UTF-8"
	notUTF8   = "holds bytes that are not UTF-8: save the file as CSV UTF-8"
	isArchive = "is a workbook (XLSX) or an archive: save the sheet as CSV UTF-8"
)

// source reads a file, checked: text in UTF-8, without its byte order mark. What is wrong is a FileError that names the line; all that
// stands before it is handed out first. Its errors stay.
type source struct {
	in      io.Reader
	buf     [32 << 10]byte
	from    int // what has been handed out
	checked int // what may be
	filled  int // what has been read: behind checked there are at most the first bytes of a character
	begun   bool
	line    int  // of buf[checked]
	cr      bool // the last checked byte is a carriage return
	err     error
}

func newSource(r io.Reader) *source { return &source{in: r, line: 1} }

func (s *source) Read(p []byte) (int, error) {
	for s.from == s.checked {
		if s.err != nil {
			return 0, s.err
		}
		s.fill()
	}
	n := copy(p, s.buf[s.from:s.checked])
	s.from += n
	return n, nil
}

// fill reads more and checks it.
func (s *source) fill() {
	s.filled = copy(s.buf[:], s.buf[s.checked:s.filled])
	s.from, s.checked = 0, 0
	end := s.more()
	if !s.begun {
		s.begun = true
		if s.begin(); s.err != nil {
			return
		}
	}
	good, problem := checkText(s.buf[s.from:s.filled], errors.Is(end, io.EOF))
	s.checked = s.from + good
	s.count(s.buf[s.from:s.checked])
	s.err = end
	if problem != "" {
		s.err = fileError(s.line, 0, "%s", problem)
	}
}

// more reads at least one byte, at the beginning as many as it takes to tell what begins. It returns io.EOF or a readError.
func (s *source) more() error {
	least := s.filled + 1
	if !s.begun {
		least = len("PK\x03\x04")
	}
	for idle := 0; s.filled < least; {
		n, err := s.in.Read(s.buf[s.filled:])
		s.filled += n
		if err == io.EOF {
			return io.EOF
		}
		if err != nil {
			return &readError{err}
		}
		if idle++; n > 0 {
			idle = 0
		}
		if idle == 100 {
			return &readError{io.ErrNoProgress}
		}
	}
	return nil
}

// readError is what a file's reader returned, and is never taken for the file's end: a body that was cut off is not a batch.
type readError struct{ err error }

func (e *readError) Error() string { return e.err.Error() }

// Is and As look into the error, but for ends.
func (e *readError) Is(target error) bool {
	return target != io.EOF && errors.Is(e.err, target)
}

func (e *readError) As(target any) bool { return errors.As(e.err, target) }

// begin looks at the first bytes.
func (s *source) begin() {
	head := s.buf[:s.filled]
	switch {
	case bytes.HasPrefix(head, []byte{0xFF, 0xFE}), bytes.HasPrefix(head, []byte{0xFE, 0xFF}):
		s.err = fileError(1, 0, "%s", isUTF16)
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		s.err = fileError(1, 0, "%s", isArchive)
	case bytes.HasPrefix(head, []byte("\ufeff")):
		s.from = len("\ufeff")
		s.checked = s.from
	}
}

// checkText returns how many of the bytes are whole characters of UTF-8 and no zero bytes, and what is wrong with those behind them: ""
// when they are only cut off.
func checkText(b []byte, last bool) (good int, problem string) {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b, problem = b[:i], hasZero
	}
	if utf8.Valid(b) {
		return len(b), problem
	}
	for good < len(b) {
		_, size := utf8.DecodeRune(b[good:])
		if size <= 1 && b[good] >= utf8.RuneSelf {
			if problem == "" && !last && !utf8.FullRune(b[good:]) {
				return good, ""
			}
			return good, notUTF8
		}
		good += size
	}
	return good, problem
}

// count counts the lines that end in checked bytes: at CRLF, LF or CR.
func (s *source) count(b []byte) {
	if len(b) == 0 {
		return
	}
	if s.cr && b[0] == '\n' {
		s.line-- // the carriage return before it has been counted
	}
	s.line += bytes.Count(b, []byte{'\n'})
	if returns := bytes.Count(b, []byte{'\r'}); returns > 0 {
		s.line += returns - bytes.Count(b, []byte("\r\n"))
	}
	s.cr = b[len(b)-1] == '\r'
}
