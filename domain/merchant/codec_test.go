package merchant

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/domain/stored"
	"github.com/khata-ledger/khata/domain/stored/golden"
)

func TestGoldens(t *testing.T) {
	covered := map[string]map[string]bool{} // type -> fields seen
	for _, g := range golden.Events(t, ".") {
		e, err := Decode(g.Type, g.Schema, g.Data)
		if err != nil {
			t.Errorf("%s: %v", g.Name, err)
			continue
		}
		again, err := Encode(e)
		if err != nil || string(again) != string(g.Data) {
			t.Errorf("%s is written as\n%s (%v), stored was\n%s", g.Name, again, err, g.Data)
		}
		if e.Type() != g.Type || e.Schema() != g.Schema {
			t.Errorf("%s: decodes as %s, version %d", g.Name, e.Type(), e.Schema())
		}
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(g.Data, &fields); err != nil {
			t.Fatal(err)
		}
		if covered[g.Type] == nil {
			covered[g.Type] = map[string]bool{}
		}
		for f := range fields {
			covered[g.Type][f] = true
		}
	}
	for _, typ := range golden.Types(t, ".") {
		e := blank(typ, 1)
		if e == nil || e.Type() != typ {
			t.Errorf("Decode does not know %s", typ)
			continue
		}
		for _, f := range reflect.VisibleFields(reflect.TypeOf(e).Elem()) {
			name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
			if name != "" && !covered[typ][name] {
				t.Errorf("no golden of %s has field %q", typ, name)
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
		{"an unknown type", "merchant.dreamt", 1, `{}`, `"merchant.dreamt"`, true},
		{"a newer version", "merchant.created", 2, `{}`, `"merchant.created", version 2`, true},
		{"a field too many", "merchant.resumed", 1, `{"merchant":"m","bonus":1}`, "bonus", false},
		{"nobody", "merchant.resumed", 1, `{"reason":"r"}`, "nobody", false},
		{"two events", "merchant.resumed", 1, `{"merchant":"m"}{}`, "behind", false},
		{"half an event", "merchant.resumed", 1, `{"merchant"`, "unexpected EOF", false},
		{"no range", "merchant.ip_allowed", 1, `{"merchant":"m","prefix":"10.0.0.1"}`, "10.0.0.1", false},
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
			return // a year beyond 9999, a range of nothing: decoded, but nothing that was ever written
		}
		again, err := Decode(e.Type(), e.Schema(), first)
		if err != nil {
			t.Fatalf("%s cannot be read again: %v", first, err)
		}
		second, err := Encode(again)
		if err != nil || string(second) != string(first) {
			t.Fatalf("%s becomes %s (%v)", first, second, err)
		}
		new(Merchant).Evolve(e)
		new(Operator).Evolve(e)
	})
}
