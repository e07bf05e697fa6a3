package payu

import (
	"crypto/sha512"
	"encoding/hex"
	"maps"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain"
)

// TestPublishedHashes holds samples of PayU's documentation, made with its published test account: of commands (Verify Payment API, Check Action
// Status with PayU ID) and of a response (Working with Response after a Customer Checkout).
func TestPublishedHashes(t *testing.T) {
	for want, fields := range map[string][]string{
		"a0ae79fdd66c875af6e9b21c4a67f1822deb00f2df5e9f0b1948f3222f536a9bf741b24efbb1874ca0f84f76b036e6c0d641581d0100f7abe4aeed2f3264f5c9": {testKey, "verify_payment", "IhfgcZnXR4o4nB", testSalt},
		"81bdb5b8e625f254398d744269844fc6b9d87b3782670331c2a6b856f42f315b9898f397df7292cfd33a6153abf4acac58ce3ac671e41999ff81d98ce432f48e": {testKey, "check_action_status", "403993715521937565", testSalt},
	} {
		if got := sum(fields...); got != want {
			t.Errorf("%v is %s", fields, got)
		}
	}
	response := map[string]string{
		"status": "success", "key": testKey, "txnid": "ewP8oRopzdHEtC", "amount": "10.00", "productinfo": "iPhone", "firstname": "Ashish", "email": "test@gmail.com",
		"hash": "1be7e6e97ab1ea9034b9a107e7cf9718308aa9637b4dbbd1a3343c91b0da02b34a40d00ac7267ebe81c20ea1129b931371c555d565bc6e11f470c3d2cf69b5a3",
	}
	if !reversed(response, testSalt) {
		t.Error("the documentation's response is not accepted")
	}
	for name := range response {
		changed := maps.Clone(response)
		changed[name] += "0"
		if reversed(changed, testSalt) {
			t.Errorf("%s may be changed", name)
		}
	}
	if reversed(response, "") || reversed(response, "other") {
		t.Error("another salt, or none")
	}
}

func TestReversedWithCharges(t *testing.T) {
	f := func(changes ...string) map[string]string {
		out, err := single(posted(changes...))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if !reversed(f("additionalCharges", "12.50"), testSalt) || !reversed(f("udf5", "x", "udf2", "y"), testSalt) {
		t.Error("a right hash is refused")
	}
	plain := f()
	plain["additionalCharges"] = "0.00" // told, and not signed
	if !reversed(plain, testSalt) {
		t.Error("charges that are not in the hash make it wrong")
	}
	if reversed(f("additionalCharges", testKey+"|"+reference), testSalt) {
		t.Error("charges that are no number are taken")
	}
}

// signature is what Hash is to give.
func signature(s string) string {
	h := sha512.Sum512([]byte(s + testSalt))
	return hex.EncodeToString(h[:])
}

func TestHash(t *testing.T) {
	a := gateway.Account{Credentials: map[string]string{"key": testKey, "salt": testSalt}}
	o := theOrder()
	payment := testKey + "|" + reference + "|500.00|Invoice 7|Gaurav|g@example.com|" + reference + "||||||||||"
	for name, s := range map[string]string{
		"payment_source":                         payment,
		"payment":                                strings.Replace(payment, "500.00", "500", 1), // the same amount, as the client writes it
		"payment_hash":                           testKey + "|" + reference + "|500.0|Invoice 7|Gaurav|g@example.com|||||u5||||||",
		"payment_related_details_for_mobile_sdk": testKey + "|payment_related_details_for_mobile_sdk|default|",
		"vas_for_mobile_sdk":                     testKey + "|vas_for_mobile_sdk|default|",
		"get_merchant_ibibo_codes":               testKey + "|get_merchant_ibibo_codes|default|",
		"get_sdk_configuration":                  testKey + "|get_sdk_configuration|GET|",
		"eligibleBinsForEMI":                     testKey + "|eligibleBinsForEMI|default|",
		"getEmiAmountAccordingToInterest":        testKey + "|getEmiAmountAccordingToInterest|500.0|",
		"check_isDomestic":                       testKey + "|check_isDomestic|512345|",
		"getBinInfo":                             testKey + "|getBinInfo|1|",
		"validateVPA":                            testKey + "|validateVPA|gaurav.kumar@okaxis|",
		"verify_payment":                         testKey + "|verify_payment|" + reference + "|",
		"getNetbankingStatus":                    testKey + "|getNetbankingStatus|default|",
	} {
		got, err := Hash(a, o, name, s)
		if err != nil || got != signature(s) {
			t.Errorf("%s: %s, %v", name, got, err)
		}
	}
}

// TestHashIsNoOracle asks for what would give somebody money, other people's data, or our trust.
func TestHashIsNoOracle(t *testing.T) {
	a := gateway.Account{Credentials: map[string]string{"key": testKey, "salt": testSalt}}
	o := theOrder()
	payment := testKey + "|" + reference + "|500.00|Invoice 7|Gaurav|g@example.com|" + reference + "||||||||||"
	for what, s := range map[string]string{
		"a refund":                           testKey + "|cancel_refund_transaction|" + payuID + "|",
		"a capture":                          testKey + "|capture_transaction|" + payuID + "|",
		"a released settlement":              testKey + "|release_settlement|" + payuID + "|",
		"a recurring debit":                  testKey + `|si_transaction|{"amount":"1"}|`,
		"another customer's cards":           testKey + "|get_user_cards|" + testKey + ":victim|",
		"deleting them":                      testKey + "|delete_payment_instrument|" + testKey + ":victim|",
		"another customer's options":         testKey + "|payment_related_details_for_mobile_sdk|" + testKey + ":victim|",
		"a mobile's balance":                 testKey + "|check_balance|9000090000|",
		"a customer's eligibility":           testKey + `|get_checkout_details|{"customerDetails":{"mobile":"9000090000"}}|`,
		"all payments":                       testKey + "|get_Transaction_Details|2026-01-01|",
		"what was done to any payment":       testKey + "|check_action_status|" + payuID + "|",
		"another transaction":                testKey + "|verify_payment|tx_other0000|",
		"several transactions":               testKey + "|verify_payment|" + reference + "|tx_other0000|",
		"a whole card number":                testKey + "|check_isDomestic|5123456789012346|",
		"another transaction's payment":      strings.Replace(payment, reference+"|500", "tx_other0000|500", 1),
		"a smaller amount":                   strings.Replace(payment, "500.00", "1.00", 1),
		"an amount of letters":               strings.Replace(payment, "500.00", "5e2", 1),
		"another reference in udf1":          strings.Replace(payment, "|"+reference+"||", "|tx_other0000||", 1),
		"instructions where none belong":     strings.TrimSuffix(payment, "|") + `{"billingAmount":"1"}|`,
		"a beneficiary":                      payment + "{}|",
		"a field more":                       payment + "|",
		"a field less":                       strings.TrimSuffix(payment, "|"),
		"no salt behind the last bar":        payment + "x",
		"a command without its bar":          testKey + "|vas_for_mobile_sdk|default",
		"a command with the salt's neighbor": testKey + "|vas_for_mobile_sdk|default|x",
		"another account":                    "gtKFFx|vas_for_mobile_sdk|default|",
		"no key":                             "|vas_for_mobile_sdk|default|",
		"nothing, which is the salt alone":   "",
		"a response's beginning":             "100|",
		"a response with charges":            testKey + "|",
		"a line's end":                       testKey + "|vas_for_mobile_sdk|default|\n",
		"too much":                           testKey + "|vas_for_mobile_sdk|" + strings.Repeat("d", maxHashString) + "|",
		"an offer":                           testKey + "|check_offer_status|offer|",
		"other letters' case":                testKey + "|VAS_FOR_MOBILE_SDK|default|",
	} {
		got, err := Hash(a, o, "payment_source", s)
		if got != "" || domain.CodeOf(err) != domain.Invalid {
			t.Errorf("%s: %q, %v", what, got, err)
		}
		if err != nil && (strings.Contains(err.Error(), testSalt) || strings.Contains(err.Error(), "victim")) {
			t.Errorf("%s: an error that tells too much: %v", what, err)
		}
	}
	for _, name := range []string{"", "a|b", "é", strings.Repeat("x", 65)} {
		if _, err := Hash(a, o, name, payment); domain.CodeOf(err) != domain.Invalid {
			t.Errorf("hashName %q: %v", name, err)
		}
	}
	for _, credentials := range []map[string]string{{"key": testKey}, {"salt": testSalt}, nil} {
		if got, err := Hash(gateway.Account{Credentials: credentials}, o, "x", "|vas_for_mobile_sdk|default|"); got != "" || err == nil {
			t.Errorf("an account of %v: %s, %v", credentials, got, err)
		}
	}
}

// FuzzHash: whatever is signed is a payment of this order, or one of the harmless commands.
func FuzzHash(f *testing.F) {
	f.Add("payment_source", testKey+"|"+reference+"|500.00|Invoice 7|Gaurav|g@example.com|||||||||||")
	f.Add("vas_for_mobile_sdk", testKey+"|vas_for_mobile_sdk|default|")
	f.Add("x", testKey+"|cancel_refund_transaction|1|")
	a := gateway.Account{Credentials: map[string]string{"key": testKey, "salt": testSalt}}
	f.Fuzz(func(t *testing.T, name, s string) {
		got, err := Hash(a, theOrder(), name, s)
		if err != nil {
			return
		}
		parts := strings.Split(s, "|")
		ours := len(parts) == 17 && parts[1] == reference
		if got != signature(s) || parts[0] != testKey || !strings.HasSuffix(s, "|") || (!ours && (len(parts) != 4 || !harmless(theOrder(), parts[1], parts[2]))) {
			t.Errorf("signed %q", s)
		}
		for _, word := range []string{"refund", "capture", "settle", "card_", "instrument", "si_"} {
			if !ours && strings.Contains(strings.ToLower(parts[1]), word) {
				t.Errorf("signed the command of %q", s)
			}
		}
	})
}

func TestHashOfTheAdapter(t *testing.T) {
	a := gateway.Account{Credentials: map[string]string{"key": testKey, "salt": testSalt}}
	s := testKey + "|vas_for_mobile_sdk|default|"
	if got, err := New().Hash(a, theOrder(), "vas_for_mobile_sdk", s); err != nil || got != signature(s) {
		t.Errorf("%s, %v", got, err)
	}
	if got, err := New().Hash(a, theOrder(), "x", testKey+"|cancel_refund_transaction|1|"); err == nil {
		t.Errorf("signed %s", got)
	}
}
