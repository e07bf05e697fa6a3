package merchant

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain"
)

// MaxApprovalBytes bounds the JSON form of an approval rule.
const MaxApprovalBytes = 16 << 10

// ParseApproval reads the bands of an approval rule as a person writes them, and why they are set where that is said:
//
//	{"bands": [{"up_to": "100000.00", "checkers": 0}, {"up_to": "1000000", "checkers": 1}, {"checkers": 2}], "reason": "..."}
//
// Unknown fields are refused, and missing ones are never taken for zero, since either would let a batch pass unseen; totals are numbers
// or strings in plain decimal form. Every refusal is domain.Invalid and names the field by its path. That the decimals are those of the
// merchant's currency is for Decide to see.
func ParseApproval(data []byte) (bands []Band, reason string, err error) {
	if len(data) > MaxApprovalBytes {
		return nil, "", domain.InvalidField("rule", fmt.Sprintf("is longer than %d bytes", MaxApprovalBytes))
	}
	rule, err := object("", data, "bands", "reason")
	if err != nil {
		return nil, "", err
	}
	if text, there := rule["reason"]; there {
		if err := value("reason", text, &reason); err != nil {
			return nil, "", err
		}
	}
	var list []json.RawMessage
	if err := value("bands", rule["bands"], &list); err != nil {
		return nil, "", err
	}
	if len(list) > MaxBands {
		return nil, "", domain.InvalidField("bands", fmt.Sprintf("are more than %d", MaxBands))
	}
	for i, text := range list {
		b, err := parseBand(i, text)
		if err != nil {
			return nil, "", err
		}
		bands = append(bands, b)
	}
	return bands, reason, validBands(bands)
}

var plain = regexp.MustCompile(`^[0-9]{1,18}(\.[0-9]{1,18})?$`)

func parseBand(i int, text json.RawMessage) (b Band, err error) {
	fields, err := object(fmt.Sprintf("bands[%d]", i), text, "up_to", "checkers")
	if err != nil {
		return Band{}, err
	}
	if err := value(bandField(i, "checkers"), fields["checkers"], &b.Checkers); err != nil {
		return Band{}, err
	}
	figure, there := fields["up_to"]
	if !there {
		return b, nil
	}
	digits := figure
	if n := len(figure); n > 1 && figure[0] == '"' {
		digits = figure[1 : n-1]
	}
	if plain.Match(digits) {
		b.UpTo, err = decimal.NewFromString(string(digits))
	}
	if err != nil || b.UpTo.IsZero() { // zero stands for no limit in a Band: nobody shall write it and mean it
		return Band{}, domain.InvalidField(bandField(i, "up_to"), fmt.Sprintf("must be a plain decimal number above zero, not %.40s", figure))
	}
	return b, nil
}

// object splits the JSON object that stands at path, and refuses fields that are not known or stand twice: encoding/json alone would let
// the last of two win, and take "Bands" for "bands".
func object(path string, data []byte, known ...string) (map[string]json.RawMessage, error) {
	refuse := func(format string, args ...any) error {
		return domain.InvalidField(cmp.Or(path, "rule"), fmt.Sprintf(format, args...))
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, refuse("must be a JSON object")
	}
	fields := make(map[string]json.RawMessage)
	for dec.More() {
		var text json.RawMessage
		t, err := dec.Token()
		if err == nil {
			err = dec.Decode(&text)
		}
		if err != nil {
			return nil, refuse("is not JSON: %v", err)
		}
		name, _ := t.(string) // names of an object are strings, or Token has failed
		switch _, twice := fields[name]; {
		case twice:
			return nil, refuse("has %q twice", name)
		case !slices.Contains(known, name):
			return nil, domain.InvalidField(at(path, name), "is not a field of an approval rule")
		}
		fields[name] = text
	}
	if _, err := dec.Token(); err != nil {
		return nil, refuse("is not JSON: %v", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, refuse("has something behind its end")
	}
	return fields, nil
}

// at is the path of an object's field.
func at(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// value reads what must stand at path.
func value(path string, text json.RawMessage, into any) error {
	if text == nil {
		return domain.InvalidField(path, "is missing")
	}
	if err := json.Unmarshal(text, into); err != nil || string(text) == "null" {
		return domain.InvalidField(path, fmt.Sprintf("cannot be %.40s", text))
	}
	return nil
}
