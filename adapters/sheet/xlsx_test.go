package sheet

import (
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/merchant"
)

// A cell shows as many decimals as its currency has, with groups and without.
func TestAmountsShowTheirDecimals(t *testing.T) {
	format := map[string]string{"1": "0", "2": "0.00", "3": "#,##0", "4": "#,##0.00"} // those that are built in
	for _, m := range regexp.MustCompile(`numFmtId="(\d+)" formatCode="([^"]*)"`).FindAllStringSubmatch(styles, -1) {
		format[m[1]] = m[2]
	}
	cells := regexp.MustCompile(`<xf numFmtId="(\d+)"`).FindAllStringSubmatch(styles[strings.Index(styles, "<cellXfs"):], -1)
	for _, grouped := range []bool{false, true} {
		s := NewXLSX(io.Discard, "Sheet")
		s.Grouped = grouped
		for _, c := range merchant.Currencies() {
			place, err := strconv.Atoi(s.amountStyle(c.Code))
			if err != nil {
				t.Fatal(err)
			}
			shown := format[cells[place][1]]
			_, decimals, _ := strings.Cut(shown[strings.LastIndex(shown, ";")+1:], ".")
			if want, _ := c.Code.Exponent(); shown == "" || len(decimals) != int(want) || strings.Contains(shown, ",") != grouped {
				t.Errorf("%s, grouped %v: shown as %q", c.Code, grouped, shown)
			}
		}
	}
}
