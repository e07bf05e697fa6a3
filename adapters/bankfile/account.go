package bankfile

import "strings"

// SameAccount compares account numbers as files write them: without blanks, hyphens, and the case of letters. Where one is masked by X or stars,
// what is in clear must agree, at least the last four characters, and so must the length.
func SameAccount(a, b string) bool {
	a, b = plainAccount(a), plainAccount(b)
	if a == b {
		return true
	}
	if len(a) != len(b) || len(a) < 8 || strings.ContainsAny(a[len(a)-4:]+b[len(b)-4:], "X*") {
		return false
	}
	for i := range len(a) {
		masked := a[i] == 'X' || a[i] == '*' || b[i] == 'X' || b[i] == '*'
		if a[i] != b[i] && !masked {
			return false
		}
	}
	return true
}

func plainAccount(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ', r == '-', r == '\t', r == '\u00a0':
			return -1
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, s)
}

// accountIn finds the account in a line such as "Account No :,50200012345678".
func accountIn(line string) string {
	line = strings.ReplaceAll(line, `"`, " ")
	low := strings.ToLower(line)
	for _, name := range []string{"account number", "account no", "a/c no", "a/c number"} {
		i := strings.Index(low, name)
		if i < 0 || len(low) != len(line) {
			continue
		}
		rest := strings.TrimLeft(line[i+len(name):], " .:,;\t'=-|#")
		end := 0
		for end < len(rest) && alphanumeric(rest[end]) {
			end++
		}
		if account := rest[:end]; len(account) >= 6 && len(account) <= 34 && strings.ContainsAny(account, "0123456789") {
			return account
		}
	}
	return ""
}

// askedFor is the account of a statement: as it was asked for, which the file has confirmed, perhaps masked or with its bank; else as the file says.
func askedFor(asked, said string) string {
	if asked != "" && said != "" {
		return asked
	}
	return said
}
