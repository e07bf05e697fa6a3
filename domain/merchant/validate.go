package merchant

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
)

// validName holds a name against its bounds: an app's are its document's.
func validName(name string, app bool) error {
	least, most := 1, MaxName
	if app {
		least, most = MinAppName, MaxAppName
	}
	n := utf8.RuneCountInString(name)
	unprintable := strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) })
	if n < least || n > most || strings.TrimSpace(name) == "" || unprintable || !utf8.ValidString(name) {
		return domain.InvalidField("name", fmt.Sprintf("must be %d to %d printable characters", least, most))
	}
	return nil
}

func validServices(services []Service) error {
	if len(services) == 0 {
		return domain.InvalidField("services", "must be one or more of payin, payout")
	}
	for i, s := range services {
		if s != Payin && s != Payout {
			return domain.InvalidField("services", fmt.Sprintf("%q is not known", string(s)))
		}
		if slices.Contains(services[:i], s) {
			return domain.InvalidField("services", fmt.Sprintf("%q stands twice", string(s)))
		}
	}
	return nil
}

// canonical brings an address range to the one form that it is compared in: host bits cleared, IPv4 inside IPv6 as IPv4.
func canonical(field string, p netip.Prefix) (netip.Prefix, error) {
	if !p.IsValid() {
		return p, domain.InvalidField(field, "must be an address range such as 203.0.113.0/24")
	}
	if a := p.Addr(); a.Is4In6() {
		if p.Bits() < 96 {
			return p, domain.InvalidField(field, "must be written as IPv4")
		}
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

// validURL accepts where callbacks can go; none at all means that there are no callbacks. Which addresses may be called is the
// sender's matter.
func validURL(s string) error {
	if s == "" {
		return nil
	}
	refuse := func(problem string) error { return domain.InvalidField("callback_url", problem) }
	u, err := url.Parse(s)
	switch {
	case len(s) > MaxURL:
		return refuse(fmt.Sprintf("is longer than %d bytes", MaxURL))
	case err != nil:
		return refuse("is not a URL")
	case u.Scheme != "http" && u.Scheme != "https":
		return refuse("must begin with http:// or https://")
	case u.Opaque != "" || u.Hostname() == "":
		return refuse("names no host")
	case u.User != nil:
		return refuse("must not hold a user or password")
	case u.Fragment != "" || strings.Contains(s, "#"):
		return refuse("must not have a fragment")
	}
	return nil
}

func validPlan(p fee.Plan) error {
	err := p.Validate()
	if e, ok := errors.AsType[*domain.Error](err); ok {
		details := make(map[string]string, len(e.Details))
		for field, problem := range e.Details {
			details["plan."+field] = problem
		}
		return &domain.Error{Code: e.Code, Message: "plan." + e.Message, Details: details}
	}
	return err
}

func validReason(reason string) error {
	if strings.TrimSpace(reason) == "" || len(reason) > MaxReason {
		return domain.InvalidField("reason", fmt.Sprintf("must be 1 to %d bytes", MaxReason))
	}
	return nil
}

// normal brings a new key's times to the precision of the log, so that it is decided as it will be read again.
func normal(k Key) Key {
	k.CreatedAt, k.ExpiresAt = micros(k.CreatedAt), micros(k.ExpiresAt)
	return k
}

func validKey(k Key, roles ...Role) error {
	switch {
	case k.ID == "" || k.ID == "*":
		return domain.InvalidField("key.id", "is missing")
	case !validHash(k.Hash):
		return domain.InvalidField("key.hash", "must be a SHA-256 of 64 lower-case hexadecimal characters")
	case k.AccessKey != "" && !validAccessKey(k.AccessKey):
		return domain.InvalidField("key.access_key", "must be kspay_test_ or kspay_live_ and 24 hexadecimal characters")
	case len(k.Last4) != 4:
		return domain.InvalidField("key.last4", "must be 4 characters")
	case !slices.Contains(roles, k.Role):
		return domain.InvalidField("role", fmt.Sprintf("%q is not one of %v", string(k.Role), roles))
	case k.CreatedAt.IsZero():
		return domain.InvalidField("key.created_at", "is missing")
	case k.Revoked:
		return domain.InvalidField("key.revoked", "a new key cannot be revoked")
	case !k.ExpiresAt.IsZero() && !k.ExpiresAt.After(k.CreatedAt):
		return domain.InvalidField("key.expires_at", "must lie behind its making")
	}
	return nil
}

// validAccessKey knows the form of an access key (contract, Identifiers).
func validAccessKey(s string) bool {
	rest, test := strings.CutPrefix(s, AccessKeyPrefix(Test))
	if !test {
		var live bool
		if rest, live = strings.CutPrefix(s, AccessKeyPrefix(Live)); !live {
			return false
		}
	}
	return len(rest) == 24 && strings.Trim(rest, "0123456789abcdef") == ""
}

// AccessKeyPrefix begins the access keys of a mode's apps.
func AccessKeyPrefix(m Mode) string { return "kspay_" + string(m) + "_" }

func validHash(s string) bool {
	return len(s) == 64 && strings.Trim(s, "0123456789abcdef") == ""
}
