package editlog_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/editlog"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
)

// Every event of an app is told with what it has changed: currencies, domains, and of its gateways steps, ranks and trials.
func TestApps(t *testing.T) {
	b := newBook(t)
	const app, gc = "ap_7q2K9d4M1", "gc_Zr5mWq0Pb"
	of := merchant.Of{Merchant: app, Actor: "operator:opr_1"}
	dear := merchant.AppPlan(money.INR)
	dear.Version, dear.Payin.Min = 2, money.MustParse("5", money.INR).Decimal()
	yen := merchant.AppCurrency{Currency: "JPY", Enabled: true, Plan: merchant.AppPlan("JPY"), CreatedAt: start, UpdatedAt: start}
	pair := aKey("key_1")
	pair.AccessKey = "kspay_test_" + strings.Repeat("5e", 12)
	b.merchant(&merchant.Created{Of: of, Name: "Kirana", Services: []merchant.Service{merchant.Payin}, Plan: fee.Default(), At: start})
	before := len(b.read(editlog.Options{})[0].Changes)
	b.merchant(&merchant.AppOpened{Of: of, UserID: "us_M6jVa85Zb", Mode: merchant.Test, Domains: []string{}, Currencies: []merchant.AppCurrency{
		{Currency: money.INR, Enabled: true, Plan: merchant.AppPlan(money.INR), CreatedAt: start, UpdatedAt: start},
	}})
	b.merchant(&merchant.KeyAdded{Of: of, Key: pair})
	b.merchant(&merchant.DomainsSet{Of: of, Domains: []string{"https://a.example", "https://b.example"}})
	b.merchant(&merchant.CurrencySet{Of: of, Currency: yen})
	b.merchant(&merchant.CurrencySet{Of: of, Currency: merchant.AppCurrency{Currency: money.INR, Plan: dear, CreatedAt: start, UpdatedAt: start}})
	b.merchant(&merchant.GatewayAdded{Of: of, Config: gc, Gateway: "razorpay", Ranks: []merchant.Rank{{Currency: money.INR, Priority: 1}}})
	b.merchant(&merchant.GatewayStepSet{Of: of, Config: gc, Step: merchant.StepCredentials, State: merchant.StepFailed, Version: 1, Public: "rzp_test_1", Failure: "not accepted"})
	b.merchant(&merchant.GatewayStepSet{Of: of, Config: gc, Step: merchant.StepCredentials, State: merchant.StepInVerification, Version: 2, Public: "rzp_test_2"})
	b.merchant(&merchant.GatewayTrialStarted{Of: of, Config: gc, Transaction: "tx_UOVynlQ0j"})
	b.merchant(&merchant.GatewayTrialEnded{Of: of, Config: gc, Transaction: "tx_UOVynlQ0j", Passed: true})
	b.merchant(&merchant.GatewayRanked{Of: of, Config: gc, Ranks: []merchant.Rank{{Currency: money.INR, Priority: 2}, {Currency: "JPY", Priority: 1}}, Methods: []merchant.Method{merchant.UPI}})
	b.merchant(&merchant.GatewaySwitched{Of: of, Config: gc, Enabled: true})
	b.merchant(&merchant.GatewayReset{Of: of, Config: gc})
	all := b.read(editlog.Options{})
	if before == 0 || len(all) != 14 {
		t.Fatalf("%d entries", len(all))
	}
	by := " " + app + " by operator:opr_1 from api; "
	g := "gateway " + gc + " "
	expect(t, all[1:],
		"merchant.app_opened"+by+`currency INR enabled: "" -> "true"; currency INR plan.currency: "" -> "INR"; currency INR plan.id: "" -> "checkout"; `+
			`currency INR plan.payin.commission.percent: "" -> "1"; currency INR plan.payin.min: "" -> "0"; currency INR plan.payout.min: "" -> "0"; `+
			`currency INR plan.version: "" -> "1"; mode: "" -> "test"; user_id: "" -> "us_M6jVa85Zb"`,
		"merchant.key_added"+by+`key key_1: "" -> "full, active"`,
		"merchant.domains_set"+by+`domains: "" -> "https://a.example, https://b.example"`,
		"merchant.currency_set"+by+`currency JPY enabled: "" -> "true"; currency JPY plan.currency: "" -> "JPY"; currency JPY plan.id: "" -> "checkout"; `+
			`currency JPY plan.payin.commission.percent: "" -> "1"; currency JPY plan.payin.min: "" -> "0"; currency JPY plan.payout.min: "" -> "0"; `+
			`currency JPY plan.version: "" -> "1"`,
		"merchant.currency_set"+by+`currency INR enabled: "true" -> "false"; currency INR plan.payin.min: "0" -> "5"; currency INR plan.version: "1" -> "2"`,
		"merchant.gateway_added"+by+g+`credentials: "" -> "pending"; `+g+`enabled: "" -> "false"; `+g+`gateway: "" -> "razorpay"; `+g+`methods: "" -> "all"; `+
			g+`package: "" -> "pending"; `+g+`ranks: "" -> "INR 1"; `+g+`secrets_version: "" -> "0"; `+g+`security: "" -> "pending"; `+g+`webhook: "" -> "pending"`,
		"merchant.gateway_step_set"+by+g+`credentials: "pending" -> "failed"; `+g+`failure: "" -> "not accepted"; `+g+`public: "" -> "rzp_test_1"; `+g+`secrets_version: "0" -> "1"`,
		"merchant.gateway_step_set"+by+g+`credentials: "failed" -> "in_verification"; `+g+`failure: "not accepted" -> ""; `+g+`public: "rzp_test_1" -> "rzp_test_2"; `+g+`secrets_version: "1" -> "2"`,
		"merchant.gateway_trial_started"+by+g+`trial: "" -> "tx_UOVynlQ0j"`,
		"merchant.gateway_trial_ended"+by+g+`credentials: "in_verification" -> "verified"; `+g+`package: "pending" -> "verified"; `+g+`trial: "tx_UOVynlQ0j" -> ""; `+g+`webhook: "pending" -> "verified"`,
		"merchant.gateway_ranked"+by+g+`methods: "all" -> "UPI"; `+g+`ranks: "INR 1" -> "INR 2, JPY 1"`,
		"merchant.gateway_switched"+by+g+`enabled: "false" -> "true"`,
		"merchant.gateway_reset"+by+g+`credentials: "verified" -> "pending"; `+g+`package: "verified" -> "pending"; `+g+`webhook: "verified" -> "pending"`,
	)
	text, err := json.Marshal(all)
	if err != nil || strings.Contains(string(text), "5e5e") {
		t.Errorf("the edit log has what a key is found by: %v", err)
	}
}
