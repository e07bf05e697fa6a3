package domain

import (
	"strings"
	"unicode"
)

// SamePerson compares names as people write them, where it takes two: capitals, blanks and what cannot be seen do not count.
func SamePerson(a, b string) bool { return strings.EqualFold(seen(a), seen(b)) }

// seen is a name as a reader sees it.
func seen(name string) string {
	visible := strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Cf, r) { // zero-width and directional marks
			return -1
		}
		return r
	}, name)
	return strings.Join(strings.Fields(visible), " ")
}
