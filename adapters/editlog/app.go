package editlog

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/khata-ledger/khata/domain/merchant"
)

// appFields is what makes a merchant an app; of its gateways' secrets, their version. One that is none has no such fields.
func appFields(a *merchant.App, f fields) fields {
	if a == nil {
		return f
	}
	f = append(f, field{"user_id", a.UserID}, field{"mode", string(a.Mode)}, field{"domains", list(a.Domains)})
	for i := range a.Currencies {
		k := &a.Currencies[i]
		name := "currency " + string(k.Currency)
		f = flatten(name+" plan", k.Plan, append(f, field{name + " enabled", strconv.FormatBool(k.Enabled)}))
	}
	for i := range a.Gateways {
		f = gatewayFields(&a.Gateways[i], f)
	}
	return f
}

func gatewayFields(g *merchant.Gateway, f fields) fields {
	name := "gateway " + g.ID + " "
	ranks := make([]string, len(g.Ranks))
	for i, r := range g.Ranks {
		ranks[i] = string(r.Currency) + " " + strconv.Itoa(r.Priority)
	}
	f = append(f,
		field{name + "gateway", g.Gateway}, field{name + "enabled", strconv.FormatBool(g.Enabled)}, field{name + "ranks", strings.Join(ranks, ", ")},
		field{name + "methods", cmp.Or(list(g.Methods), "all")}, field{name + "public", g.Public}, field{name + "secrets_version", strconv.Itoa(g.Version)},
		field{name + "trial", g.Trial}, field{name + "failure", g.Failure})
	for _, s := range []struct {
		step string
		at   merchant.Step
	}{
		{merchant.StepCredentials, g.Credentials}, {merchant.StepWebhook, g.Webhook}, {merchant.StepPackage, g.Package}, {merchant.StepSecurity, g.Security},
	} {
		f = append(f, field{name + s.step, cmp.Or(string(s.at), "pending")})
	}
	return f
}
