package ops_test

import (
	"testing"

	"github.com/khata-ledger/khata/adapters/httpapi/ops"
)

func TestMask(t *testing.T) {
	for in, want := range map[string]string{
		`{}`: `{}`,
		`{"sealed":"S","amount":"1.00","account_fp":"F","n":1.50,"no":null,"ok":true}`: `{"amount":"1.00","n":1.50,"no":null,"ok":true}`,
		`{"items":[{"index":1,"sealed":"S","account_fp":"F","b":"x"},[],"sealed",2]}`:  `{"items":[{"index":1,"b":"x"},[],"sealed",2]}`,
		`{"terms":{"sealed":"S","to":{"account_fp":"F","last4":"7890"}}}`:              `{"terms":{"to":{"last4":"7890"}}}`,
		`{"items":[]}`: `{"items":[]}`,
	} {
		if got, err := ops.Mask([]byte(in)); err != nil || string(got) != want {
			t.Errorf("%s became %s, %v; want %s", in, got, err, want)
		}
	}
	for _, in := range []string{``, `[]`, `{"a":1,"a":2}`, `{"a":[{"b":1,"b":2}]}`} {
		if got, err := ops.Mask([]byte(in)); err == nil {
			t.Errorf("%s became %s", in, got)
		}
	}
}
