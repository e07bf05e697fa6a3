package ops

import (
	"encoding/json"
	"slices"

	"github.com/khata-ledger/khata/adapters/httpapi"
)

// Mask leaves out of an event's data what is personal, sealed or not: the sealed text, and the fingerprint by which accounts could be
// matched; of the items of a batch, too. What is left stands as it stood.
func Mask(data json.RawMessage) (json.RawMessage, error) {
	members, err := httpapi.DecodeObject(data)
	if err != nil {
		return nil, err
	}
	b := []byte{'{'}
	for _, m := range members {
		if personal := []string{"sealed", "account_fp"}; slices.Contains(personal, m.Name) {
			continue
		}
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(httpapi.AppendString(b, m.Name), ':')
		if b, err = appendMasked(b, m); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}

// appendMasked appends a member's value.
func appendMasked(b []byte, m httpapi.Member) ([]byte, error) {
	switch m.Kind {
	case httpapi.String:
		return httpapi.AppendString(b, m.Text), nil
	case httpapi.Nested:
		inner, err := Mask(json.RawMessage(m.Text))
		return append(b, inner...), err
	case httpapi.Array:
		var items []json.RawMessage
		if err := json.Unmarshal([]byte(m.Text), &items); err != nil {
			return nil, err
		}
		b = append(b, '[')
		for i, item := range items {
			if i > 0 {
				b = append(b, ',')
			}
			if item[0] == '{' {
				var err error
				if item, err = Mask(item); err != nil {
					return nil, err
				}
			}
			b = append(b, item...)
		}
		return append(b, ']'), nil
	default:
		return append(b, m.Text...), nil
	}
}
