package fee

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/money"
)

// MaxPlanBytes bounds the JSON form of a plan.
const MaxPlanBytes = 64 << 10

// ParsePlan reads a plan as a person writes it, and validates it. Unknown fields are refused, since a misspelt "cap" would
// cost money; figures are numbers or strings in plain decimal form; "version" may be absent and is then 1, "currency" INR.
// Every refusal is domain.Invalid and names the field by its path.
func ParsePlan(data []byte) (Plan, error) { return parsePlan(data, object.required) }

// ParseAppPlan reads the plan of a currency of an app, as ParsePlan does. An app is paid: "payout" may be absent, and payouts cost nothing then.
func ParseAppPlan(data []byte) (Plan, error) {
	return parsePlan(data, func(root object, name string) json.RawMessage { return root.fields[name] })
}

func parsePlan(data []byte, payout func(root object, name string) json.RawMessage) (Plan, error) {
	if len(data) > MaxPlanBytes {
		return Plan{}, domain.InvalidField("plan", fmt.Sprintf("is longer than %d bytes", MaxPlanBytes))
	}
	r := &reader{}
	root := r.object("", data, "id", "version", "currency", "payin", "payout")
	p := Plan{Version: 1, Currency: money.INR}
	root.value("id", &p.ID)
	root.value("version", &p.Version)
	root.value("currency", &p.Currency)
	p.Payin = r.tariff("payin", root.required("payin"))
	p.Payout = r.tariff("payout", payout(root, "payout"))
	if r.err != nil {
		return Plan{}, r.err
	}
	if err := p.Validate(); err != nil {
		return Plan{}, err
	}
	return p, nil
}

// reader walks a JSON document and keeps the first fault.
type reader struct{ err error }

// object is the fields of one JSON object that stands at path.
type object struct {
	r      *reader
	path   string
	fields map[string]json.RawMessage
}

func (r *reader) fail(path, problem string) {
	if r.err == nil {
		r.err = domain.InvalidField(path, problem)
	}
}

// object reads data, which may be absent, and refuses fields that are not among the known ones, or stand twice.
func (r *reader) object(path string, data []byte, known ...string) object {
	o := object{r: r, path: path}
	if r.err != nil || data == nil {
		return o
	}
	fields, err := fieldsOf(data)
	if err != nil {
		r.fail(cmpOr(path, "plan"), err.Error())
		return o
	}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			r.fail(o.at(name), "is not a field of a fee plan")
		}
	}
	o.fields = fields
	return o
}

// fieldsOf splits a JSON object. Encoding/json alone would let the last of two equal names win.
func fieldsOf(data []byte) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("must be a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		name, _ := t.(string) // names of an object are strings, or Token has failed
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, fmt.Errorf("is not JSON: %w", err)
		}
		if _, twice := fields[name]; twice {
			return nil, fmt.Errorf("has %q twice", name)
		}
		fields[name] = value
	}
	if _, err := dec.Token(); err != nil {
		return nil, fmt.Errorf("is not JSON: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("has something behind its end")
	}
	return fields, nil
}

func cmpOr(path, otherwise string) string {
	if path == "" {
		return otherwise
	}
	return path
}

func (o object) at(name string) string {
	if o.path == "" {
		return name
	}
	return o.path + "." + name
}

// required is a field's text; its absence is a fault.
func (o object) required(name string) json.RawMessage {
	v, there := o.fields[name]
	if !there && o.fields != nil {
		o.r.fail(o.at(name), "is missing")
	}
	return v
}

// value reads a string, number or truth value where there is one.
func (o object) value(name string, into any) {
	data, there := o.fields[name]
	if !there {
		return
	}
	if err := json.Unmarshal(data, into); err != nil || string(data) == "null" {
		o.r.fail(o.at(name), fmt.Sprintf("cannot be %.40s", data))
	}
}

var plain = regexp.MustCompile(`^"?(-?[0-9]{1,18}(?:\.[0-9]{1,18})?)"?$`)

// figure reads a decimal, written as a number or as a string; never with an exponent.
func (o object) figure(name string) decimal.Decimal {
	data, there := o.fields[name]
	if !there {
		return decimal.Decimal{}
	}
	m := plain.FindSubmatch(data)
	if m == nil || (data[0] == '"') != (data[len(data)-1] == '"') {
		o.r.fail(o.at(name), fmt.Sprintf("must be a plain decimal number, not %.40s", data))
		return decimal.Decimal{}
	}
	d, err := decimal.NewFromString(string(m[1]))
	if err != nil {
		o.r.fail(o.at(name), fmt.Sprintf("must be a decimal number, not %.40s", data))
	}
	return d
}

func (r *reader) tariff(path string, data []byte) Tariff {
	o := r.object(path, data, "min", "max", "commission", "gst")
	t := Tariff{Min: o.figure("min"), Max: o.figure("max")}
	t.Commission = r.schedule(o.at("commission"), o.required("commission"))
	gst := r.object(o.at("gst"), o.fields["gst"], "rate", "included")
	t.GST.Rate = gst.figure("rate")
	gst.value("included", &t.GST.Included)
	return t
}

func (r *reader) schedule(path string, data []byte) Schedule {
	o := r.object(path, data, "percent", "flat", "slabs", "floor", "cap")
	s := Schedule{Percent: o.figure("percent"), Flat: o.figure("flat"), Floor: o.figure("floor"), Cap: o.figure("cap")}
	var slabs []json.RawMessage
	o.value("slabs", &slabs)
	if len(slabs) > MaxSlabs {
		r.fail(o.at("slabs"), fmt.Sprintf("are more than %d", MaxSlabs))
		return s
	}
	for i, text := range slabs {
		so := r.object(fmt.Sprintf("%s[%d]", o.at("slabs"), i), text, "up_to", "percent", "flat")
		s.Slabs = append(s.Slabs, Slab{UpTo: so.figure("up_to"), Percent: so.figure("percent"), Flat: so.figure("flat")})
	}
	return s
}
