package books

import (
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/stored"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

func TestGoldens(t *testing.T) {
	seen := map[string]bool{}
	for _, g := range golden.Events(t, ".") {
		e, err := Decode(g.Type, g.Schema, g.Data)
		if err != nil {
			t.Errorf("%s: %v", g.Name, err)
			continue
		}
		seen[g.Type] = true
		again, err := Encode(e)
		if err != nil || string(again) != string(g.Data) {
			t.Errorf("%s is written as\n%s (%v), stored was\n%s", g.Name, again, err, g.Data)
		}
		if e.Type() != g.Type || e.Schema() != g.Schema || e.Topic() == "" {
			t.Errorf("%s: decodes as %s, version %d, about %q", g.Name, e.Type(), e.Schema(), e.Topic())
		}
		sum := money.Zero(money.INR)
		for _, p := range Postings(e) {
			sum = sum.Add(p.Debit).Sub(p.Credit)
		}
		if _, adjusts := e.(*Adjusted); !sum.IsZero() || adjusts != (len(Postings(e)) == 2) {
			t.Errorf("%s posts %v", g.Name, Postings(e))
		}
	}
	for _, typ := range golden.Types(t, ".") {
		if !seen[typ] || blank(typ, 1) == nil || blank(typ, 1).Type() != typ {
			t.Errorf("%s has no golden, or Decode does not know it", typ)
		}
	}
}

// A field that is zero in every golden might be stored under any name.
func TestGoldensHaveEveryField(t *testing.T) {
	filled := map[string]map[string]bool{}
	var walk func(name string, v reflect.Value, into map[string]bool)
	walk = func(name string, v reflect.Value, into map[string]bool) {
		into[name] = into[name] || !v.IsZero()
		switch v.Kind() { //nolint:exhaustive // the others have no parts
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Type().Field(i); f.IsExported() {
					walk(name+"."+f.Name, v.Field(i), into)
				}
			}
		case reflect.Slice:
			for i := range v.Len() {
				walk(name+"[]", v.Index(i), into)
			}
		}
	}
	for _, g := range golden.Events(t, ".") {
		e, err := Decode(g.Type, g.Schema, g.Data)
		if err != nil {
			t.Fatal(err)
		}
		if filled[g.Type] == nil {
			filled[g.Type] = map[string]bool{}
		}
		walk(g.Type, reflect.ValueOf(e).Elem(), filled[g.Type])
	}
	for _, fields := range filled {
		for name, is := range fields {
			if !is && !slices.Contains([]string{"books.closed.Trial.Positions[].Partition"}, name) {
				t.Errorf("%s is filled in no golden", name)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for _, c := range []struct {
		name, typ string
		schema    int
		data      string
		says      string
		unknown   bool
	}{
		{"an unknown type", "books.burnt", 1, `{}`, `"books.burnt"`, true},
		{"a newer version", "books.closed", 2, `{}`, "version 2", true},
		{"a field too many", "books.reopened", 1, `{"close":1,"period":"p","bonus":1}`, "bonus", false},
		{"about nothing", "books.reopened", 1, `{"close":1}`, "nothing", false},
		{"two events", "books.reopened", 1, `{"period":"p"}{}`, "behind", false},
		{"half an event", "books.reopened", 1, `{"period"`, "unexpected EOF", false},
		{"a fraction of a paisa", "books.adjusted", 1, `{"subject":"b","amount":"1.001","currency":"INR"}`, "1.001", false},
		{"no currency", "books.adjusted", 1, `{"subject":"b","amount":"1.00"}`, "decoding", false},
		{"a total of no currency", "books.closed", 1, `{"period":"p","totals":[{"debit":"1"}]}`, "decoding", false},
		{"no position", "books.closed", 1, `{"period":"p","positions":["0-1"]}`, `"0-1"`, false},
		{"a position before the first", "books.closed", 1, `{"period":"p","positions":["0:-1"]}`, `"0:-1"`, false},
		{"a position with zeroes", "books.closed", 1, `{"period":"p","positions":["0:01"]}`, `"0:01"`, false},
	} {
		e, err := Decode(c.typ, c.schema, []byte(c.data))
		if err == nil || e != nil || !strings.Contains(err.Error(), c.says) || errors.Is(err, stored.ErrUnknownType) != c.unknown {
			t.Errorf("%s: %v %v, want an error that says %s", c.name, e, err, c.says)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, g := range golden.Events(f, ".") {
		f.Add(g.Type, g.Schema, g.Data)
	}
	f.Fuzz(func(t *testing.T, typ string, schema int, data []byte) {
		e, err := Decode(typ, schema, data)
		if err != nil {
			return
		}
		first, err := Encode(e)
		if err != nil {
			return // a year beyond 9999: decoded, but nothing that was ever written
		}
		again, err := Decode(e.Type(), e.Schema(), first)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", first, err)
		}
		second, err := Encode(again)
		if err != nil || string(second) != string(first) {
			t.Fatalf("%s becomes %s (%v)", first, second, err)
		}
		new(Books).Evolve(e)
		Postings(e)
	})
}
