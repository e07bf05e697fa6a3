package editlog

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/wallet"
)

// fields are what can be seen of a state, by name.
type fields []field

type field struct{ name, value string }

// with is the same with another value of one field.
func (f fields) with(name, value string) fields {
	f = slices.Clone(f)
	for i := range f {
		if f[i].name == name {
			f[i].value = value
		}
	}
	return f
}

// changes lists what differs, in the order of the names.
func changes(before, after fields) []Change {
	byName := map[string]Change{}
	for _, f := range before {
		byName[f.name] = Change{Field: f.name, Before: f.value}
	}
	for _, f := range after {
		c := byName[f.name]
		c.Field, c.After = f.name, f.value
		byName[f.name] = c
	}
	list := slices.DeleteFunc(slices.Collect(maps.Values(byName)), func(c Change) bool { return c.Before == c.After })
	slices.SortFunc(list, func(a, b Change) int { return cmp.Compare(a.Field, b.Field) })
	return list
}

func walletFields(w *wallet.Wallet) fields {
	return fields{{"balance", w.Available.Fixed()}, {"locked_balance", w.Locked.Fixed()}, {"owed", w.Owed.Fixed()}}
}

// merchantFields is everything of a merchant but what its keys are found by. One that does not exist has none.
func merchantFields(m *merchant.Merchant) fields {
	if m.ID == "" {
		return nil
	}
	f := fields{
		{"name", m.Name}, {"services", list(m.Services)}, {"allowed_ips", list(m.AllowedIPs)}, {"callback_url", address(m.CallbackURL)},
		{"dialect", string(m.Dialect)}, {"batch_quiet", strconv.FormatBool(m.BatchQuiet)}, {"suspended", strconv.FormatBool(m.Suspended)},
	}
	for _, k := range m.Keys {
		f = append(f, field{"key " + k.ID, key(k)})
	}
	return flatten("approval", m.Approval, flatten("plan", m.Plan, appFields(m.App, f)))
}

func operatorFields(o *merchant.Operator) fields {
	if o.ID == "" {
		return nil
	}
	return fields{{"name", o.Name}, {"role", string(o.Role)}, {"key " + o.Key.ID, key(o.Key)}}
}

// key says what a key may do, and whether it still may.
func key(k merchant.Key) string {
	switch {
	case k.Revoked:
		return string(k.Role) + ", revoked"
	case !k.ExpiresAt.IsZero():
		return string(k.Role) + ", expires " + k.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return string(k.Role) + ", active"
}

// address is a URL without what somebody may have put in it to be let in.
func address(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "not a URL"
	}
	return u.Redacted()
}

func list[V any](all []V) string {
	texts := make([]string, len(all))
	for i, v := range all {
		texts[i] = fmt.Sprint(v)
	}
	return strings.Join(texts, ", ")
}

// flatten appends the leaves of a value as JSON has it: plan.payin.commission.percent.
func flatten(name string, v any, to fields) fields {
	text, err := json.Marshal(v)
	if err != nil {
		panic("editlog: a stored value does not marshal: " + err.Error())
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		panic("editlog: JSON of our own: " + err.Error())
	}
	return leaves(name, tree, to)
}

func leaves(name string, tree any, to fields) fields {
	switch tree := tree.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(tree)) {
			to = leaves(name+"."+k, tree[k], to)
		}
	case []any:
		for i, v := range tree {
			to = leaves(fmt.Sprintf("%s[%d]", name, i+1), v, to)
		}
	case nil:
	default:
		to = append(to, field{name, fmt.Sprint(tree)})
	}
	return to
}

// disputeFields is what of a dispute changes; one that was not opened has none.
func disputeFields(d *wallet.Dispute) fields {
	if d.ID == "" {
		return nil
	}
	name := "dispute " + d.ID + " "
	return fields{
		{name + "status", string(d.Status)}, {name + "phase", string(d.Phase)}, {name + "respond_by", d.RespondBy.UTC().Format(time.RFC3339)},
		{name + "amount", d.Amount.Fixed()}, {name + "case", d.Case}, {name + "held", d.Held.Fixed()}, {name + "lost", d.Lost.Fixed()}, {name + "fee", d.Fee.Fixed()}, {name + "documents", strconv.Itoa(d.Documents)},
	}
}
