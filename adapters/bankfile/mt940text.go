package bankfile

import "strings"

// detail is what the text of :86: says.
type detail struct {
	text      string // for people
	reference string // end to end
	account   string // of the other side
	utr       string
}

// details reads the text of :86: in the three ways that banks write it: parts that begin with ?20, parts between words such as /NAME/, or just text.
func details(s string) detail {
	if s == "" {
		return detail{}
	}
	if mark, ok := subfieldMark(s); ok {
		return subfields(strings.ReplaceAll(s, "\n", ""), mark)
	}
	d := detail{text: unwrapped(s)}
	for rest := d.text; ; {
		i := strings.IndexByte(rest, '/')
		if i < 0 {
			return d
		}
		word, value, _ := strings.Cut(rest[i+1:], "/")
		rest = rest[i+1:]
		if len(word) < 2 || len(word) > 5 {
			continue
		}
		value, _, _ = strings.Cut(value, "/")
		value = strings.TrimSpace(value)
		switch word {
		case "EREF":
			d.reference = noReference(value)
		case "IBAN", "CNTP", "ACCW":
			d.account, _, _ = strings.Cut(value, ",")
		case "UTR", "RRN":
			if len(value) >= 12 && len(value) <= maxReference && !strings.ContainsAny(value, " \t") {
				d.utr = value
			}
		}
	}
}

// unwrapped joins lines. One that is full was broken within a word.
func unwrapped(s string) string {
	const full = 65
	var b strings.Builder
	for line := range strings.SplitSeq(s, "\n") {
		b.WriteString(line)
		if len(line) < full {
			b.WriteByte(' ')
		}
	}
	return strings.TrimSpace(b.String())
}

// subfieldMark tells "166?00..." and the like: a code of three digits, and a mark before the number of a part.
func subfieldMark(s string) (mark byte, ok bool) {
	if len(s) >= 6 && allDigits(s[:3]) && strings.IndexByte("?~>", s[3]) >= 0 && allDigits(s[4:6]) {
		return s[3], true
	}
	if len(s) >= 3 && s[0] == '?' && allDigits(s[1:3]) {
		return '?', true
	}
	return 0, false
}

// subfields reads parts such as ?00 (kind), ?20 to ?29 and ?60 to ?63 (text), ?31 (account), ?32 and ?33 (name).
func subfields(s string, mark byte) detail {
	var kind, text, name, account strings.Builder
	wide := false
	for part := range strings.SplitSeq(s[strings.IndexByte(s, mark)+1:], string(mark)) {
		if len(part) < 2 || !allDigits(part[:2]) {
			text.WriteString(part) // the mark as a letter of the text
			continue
		}
		value := part[2:]
		switch n := two(part); {
		case n == 0:
			kind.WriteString(value)
		case n >= 20 && n <= 29, n >= 60 && n <= 63:
			if text.Len() > 0 && !wide {
				text.WriteByte(' ')
			}
			wide = len(value) >= 27
			text.WriteString(value)
		case n == 31, n == 38:
			account.Reset()
			account.WriteString(value)
		case n == 32, n == 33:
			name.WriteString(value)
		}
	}
	d := detail{account: strings.TrimSpace(account.String())}
	all := text.String()
	d.text = strings.TrimSpace(strings.Join(strings.Fields(kind.String()+" "+all+" "+name.String()), " "))
	if _, after, found := strings.Cut(all, "EREF+"); found {
		if i := strings.IndexByte(after, '+'); i >= 4 { // the next word such as MREF+
			after = after[:i-4]
		}
		if reference := strings.TrimSpace(after); len(reference) <= maxText {
			d.reference = noReference(reference)
		}
	}
	if d.account == "" {
		if _, after, found := strings.Cut(all, "IBAN+"); found {
			d.account, _, _ = strings.Cut(strings.TrimSpace(after), " ")
		}
	}
	return d
}
