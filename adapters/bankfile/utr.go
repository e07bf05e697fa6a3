package bankfile

import (
	"regexp"
	"strings"
)

// maxReference bounds references, as SWIFT and ISO 20022 do.
const maxReference = 36

// utrFinder finds the bank's reference of a transfer in texts that hold more than it. It is for one goroutine.
type utrFinder struct {
	pattern *regexp.Regexp // nil: by the shapes of NPCI and RBI
	pick    string         // "first", "last"; else of several none
	first   string
	last    string
	several bool
}

func newUTRFinder(m *Mapping) *utrFinder {
	f := &utrFinder{}
	if m != nil {
		f.pick = m.UTRPick
		if m.UTRPattern != "" {
			f.pattern = regexp.MustCompile(m.UTRPattern) // Mapping.check has compiled it
		}
	}
	return f
}

// find looks through the narration, and through fields that hold references and nothing else. Twelve digits are a reference of UPI or IMPS where
// the narration speaks of those, or in a field of references; elsewhere they may be an account. "" when nothing is found, or several that
// differ.
func (f *utrFinder) find(narration string, references ...string) string {
	f.first, f.last, f.several = "", "", false
	if f.pattern != nil {
		for _, m := range f.pattern.FindAllStringSubmatch(narration, -1) {
			if utr := strings.TrimSpace(m[1]); utr != "" && len(utr) <= maxReference {
				f.add(utr)
			}
		}
		return f.picked()
	}
	for _, r := range references {
		if token := strings.TrimSpace(r); strings.Trim(token, "0123456789") == "" && len(token) == 16 && strings.HasPrefix(token, "0000") && token[4] != '0' {
			f.add(token[4:]) // a reference of twelve digits in a field of sixteen
		} else {
			f.tokens(r, true)
		}
	}
	if len(narration) >= 12 {
		f.tokens(narration, ofRail(narration))
	}
	return f.picked()
}

func (f *utrFinder) add(utr string) {
	if f.first == "" {
		f.first = strings.Clone(utr)
	}
	f.several = f.several || utr != f.first
	f.last = utr
}

func (f *utrFinder) picked() string {
	switch {
	case f.pick == "last":
		return strings.Clone(f.last)
	case f.several && f.pick != "first":
		return ""
	}
	return f.first
}

// tokens looks at each run of letters and digits.
func (f *utrFinder) tokens(s string, numbers bool) {
	from := -1
	for i := 0; i <= len(s); i++ {
		if i < len(s) && alphanumeric(s[i]) {
			if from < 0 {
				from = i
			}
			continue
		}
		if from >= 0 && i-from >= 12 && i-from <= 22 {
			f.token(s[from:i], numbers)
		}
		from = -1
	}
}

// token takes what has the shape of a reference.
func (f *utrFinder) token(s string, numbers bool) {
	switch len(s) {
	case 12:
		if numbers && allDigits(s) && !strings.HasPrefix(s, "000") { // a cheque's number, filled up
			f.add(s)
		}
	case 15, 16, 22: // glued: UPI412345678901
		if rest := s[len(s)-12:]; len(s) < 17 && allDigits(rest) {
			switch strings.ToUpper(s[:len(s)-12]) {
			case "UPI", "RRN", "UTR", "IMPS":
				f.add(rest)
				return
			}
		}
		if len(s) > 15 && ofRBI(s) {
			f.add(strings.ToUpper(s))
		}
	}
}

// ofRBI tells references of NEFT (16) and RTGS (22): the bank's four letters, up to two characters for the rail, and digits; or N and
// fifteen digits.
func ofRBI(s string) bool {
	if len(s) == 16 && (s[0] == 'N' || s[0] == 'n') && allDigits(s[1:]) {
		return true
	}
	for i := range 4 {
		if c := s[i] | 0x20; c < 'a' || c > 'z' {
			return false
		}
	}
	return !strings.EqualFold(s[:4], "XXXX") && allDigits(s[6:])
}

// ofRail says whether a narration speaks of UPI or IMPS.
func ofRail(s string) bool {
	found := false
	from := -1
	for i := 0; i <= len(s) && !found; i++ {
		if i < len(s) && alphanumeric(s[i]) {
			if from < 0 {
				from = i
			}
			continue
		}
		if n := i - from; from >= 0 && n >= 3 && n <= 4 {
			switch strings.ToUpper(s[from:i]) {
			case "UPI", "IMPS", "RRN", "UTR", "MMT", "P2A", "P2M", "P2P":
				found = true
			}
		}
		from = -1
	}
	return found
}

func alphanumeric(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
}
