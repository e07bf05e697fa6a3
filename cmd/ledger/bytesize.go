package main

import (
	"fmt"
	"strconv"
	"strings"
)

// byteSize is a number of bytes, written plainly or with KiB, MiB or GiB.
type byteSize int64

// UnmarshalText reads a size.
func (b *byteSize) UnmarshalText(text []byte) error {
	s, unit := string(text), int64(1)
	for suffix, n := range map[string]int64{"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30} {
		if cut, ok := strings.CutSuffix(s, suffix); ok {
			s, unit = strings.TrimSpace(cut), n
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > (1<<62)/unit {
		return fmt.Errorf("%q is not a size such as 1048576 or 1MiB", text)
	}
	*b = byteSize(n * unit)
	return nil
}
