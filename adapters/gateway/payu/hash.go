package payu

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/gateway/wire"
	"github.com/khata-ledger/khata/domain"
)

// sum is the SHA-512 of fields joined by bars.
func sum(fields ...string) string {
	h := sha512.Sum512([]byte(strings.Join(fields, "|")))
	return hex.EncodeToString(h[:])
}

// paymentFields are the fields of a payment's hash before the salt: with five user fields of ours and five that PayU keeps empty.
func paymentFields(f map[string]string) []string {
	return []string{
		f["key"], f["txnid"], f["amount"], f["productinfo"], f["firstname"], f["email"], f["udf1"], f["udf2"], f["udf3"], f["udf4"], f["udf5"],
		"", "", "", "", "",
	}
}

// reversed reports whether what PayU has sent has the right hash: that of the request turned round, with the status, and with the additional
// charges in front where there are any. Those must be a number: text in front of the salt could be what Hash has put there.
func reversed(f map[string]string, salt string) bool {
	said, err := hex.DecodeString(f["hash"])
	if err != nil || len(said) != sha512.Size || salt == "" {
		return false
	}
	fields := paymentFields(f)
	slices.Reverse(fields)
	fields = append([]string{salt, f["status"]}, fields...)
	if charges := f["additionalCharges"]; charges != "" {
		if !number.MatchString(charges) {
			return false
		}
		if matches(said, sum(append([]string{charges}, fields...)...)) {
			return true
		}
	}
	return matches(said, sum(fields...))
}

func matches(said []byte, want string) bool {
	return subtle.ConstantTimeCompare([]byte(hex.EncodeToString(said)), []byte(want)) == 1
}

// number is a plain decimal as PayU writes it.
var number = regexp.MustCompile(`^[0-9]{1,15}(\.[0-9]{1,8})?$`)

// maxHashString bounds what Hash takes.
const maxHashString = 2 << 10

// Hash signs a string of PayU's client software for one transaction. It signs what the payment of this very order needs, and what a checkout
// page asks to show itself (package documentation); everything else is refused with domain.Invalid, which names the field. The name is the
// client's own, and decides nothing.
func Hash(a gateway.Account, o gateway.Order, hashName, hashString string) (string, error) {
	if !hashNames.MatchString(hashName) {
		return "", domain.InvalidField("hashName", "must be 1 to 64 letters, digits and underscores")
	}
	if len(hashString) > maxHashString || wire.Text(hashString, maxHashString) != hashString {
		return "", domain.InvalidField("hashString", "must be up to 2048 printable characters on one line")
	}
	key, salt := a.Credentials[keyName], a.Credentials[saltName]
	fields := strings.Split(hashString, "|")
	switch {
	case key == "" || salt == "" || fields[0] != key:
		return "", domain.InvalidField("hashString", "does not begin with this account's key")
	case len(fields) == len(paymentFields(nil))+1:
		if err := paymentOf(o, fields); err != nil {
			return "", err
		}
	case len(fields) == 4 && fields[3] == "":
		if !harmless(o, fields[1], fields[2]) {
			return "", domain.InvalidField("hashString", "is of a command, or has an argument, that is not signed for customers")
		}
	default:
		return "", domain.InvalidField("hashString", "is neither a payment of this transaction nor a command that is signed for customers")
	}
	return sum(hashString + salt), nil
}

var hashNames = regexp.MustCompile(`^[A-Za-z0-9_]{1,64}$`)

// paymentOf looks whether the fields of a payment are of this order, and end where the salt follows.
func paymentOf(o gateway.Order, fields []string) error {
	reserved := fields[11:] // nothing may be there: recurring payments, split payments and others put their instructions there
	switch {
	case fields[1] != o.Reference:
		return domain.InvalidField("hashString", "is of another transaction")
	case !sameAmount(fields[2], o.Amount):
		return domain.InvalidField("hashString", "is of another amount")
	case fields[6] != "" && fields[6] != o.Reference:
		return domain.InvalidField("hashString", "has another reference in udf1")
	case slices.ContainsFunc(reserved, func(f string) bool { return f != "" }):
		return domain.InvalidField("hashString", "has more than a payment's fields")
	}
	return nil
}

// Arguments of the commands that are signed.
var (
	bins = regexp.MustCompile(`^[0-9]{6,9}$`) // of a card, never its number
	vpas = regexp.MustCompile(`^[A-Za-z0-9._-]{2,100}@[A-Za-z0-9.-]{2,64}$`)
	bank = regexp.MustCompile(`^[A-Za-z0-9_]{1,16}$`)
	flag = regexp.MustCompile(`^[0-9]$`)
)

// harmless reports whether a command only tells what a checkout page has to show, about nobody: no command that moves money, none
// about stored cards (their argument names a customer), none about another transaction.
func harmless(o gateway.Order, command, arg string) bool {
	switch command {
	case "vas_for_mobile_sdk", "payment_related_details_for_mobile_sdk", "get_merchant_ibibo_codes", "eligibleBinsForEMI":
		return arg == "default"
	case "get_sdk_configuration", "payment_hash":
		return arg == "GET"
	case "getNetbankingStatus", "getIssuingBankDownBins":
		return bank.MatchString(arg)
	case "check_isDomestic", "getIssuingBankStatus":
		return bins.MatchString(arg)
	case "getBinInfo":
		return bins.MatchString(arg) || flag.MatchString(arg)
	case "validateVPA":
		return vpas.MatchString(arg)
	case "getEmiAmountAccordingToInterest":
		return sameAmount(arg, o.Amount)
	case "verify_payment":
		return arg == o.Reference // what has become of the customer's own payment
	}
	return false
}
