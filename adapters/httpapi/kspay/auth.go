package kspay

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
)

// Headers that authenticate.
const (
	headerSignature = "X-Signature"
	headerAccess    = "Accesskey" // as net/http writes accessKey
	headerSecret    = "Secretkey" //nolint:gosec // a header's name
)

// find returns an app, or refuses in the words given.
func (c *call) find(id string, where place, missing string) (merchant.Merchant, error) {
	m, err := c.api.ports.Merchants.Merchant(c.r.Context(), id)
	switch {
	case domain.CodeOf(err) == domain.NotFound, err == nil && m.App == nil:
		return merchant.Merchant{}, denied(missing)
	case err != nil:
		return merchant.Merchant{}, failedIn(where, "reading an app", err)
	}
	return m, nil
}

// knowing returns the app as it is now, when it does not know a key as it was a moment ago: credentials that were made since work at once.
func (c *call) knowing(m merchant.Merchant, where place, is func(merchant.Key) bool) (merchant.Merchant, error) {
	if slices.ContainsFunc(m.Keys, is) {
		return m, nil
	}
	now, err := c.api.ports.Merchants.MerchantNow(c.r.Context(), m.ID)
	return now, failedIn(where, "reading an app", err)
}

// pair authenticates by the credentials of an app.
func (c *call) pair(appID, accessKey, secretKey string) error {
	m, err := c.find(appID, inStore, "keyVaultErrors/appNotFound")
	if err != nil {
		return err
	}
	named := func(k merchant.Key) bool { return k.AccessKey == accessKey }
	if m, err = c.knowing(m, inStore, named); err != nil {
		return err
	}
	key, active := m.Credentials(accessKey, c.now())
	switch {
	case active:
	case slices.ContainsFunc(m.Keys, named):
		return denied("keyVaultErrors/accessKeyMismatch")
	case !slices.ContainsFunc(m.Keys, func(k merchant.Key) bool { return k.AccessKey != "" }):
		return refuse("auth/apiKeyNotGenerated")
	default:
		return denied("keyVaultErrors/credentialsNotFound")
	}
	if subtle.ConstantTimeCompare([]byte(key.Hash), []byte(hash(secretKey))) != 1 {
		return denied("keyVaultErrors/invalidSecretKey")
	}
	return c.admit(m, key)
}

// pairAlone authenticates by credentials that come without the name of their app.
func (c *call) pairAlone(accessKey, secretKey string) error {
	m, key, found, err := c.api.ports.Merchants.ByKeyHash(c.r.Context(), hash(secretKey))
	switch {
	case err != nil:
		return failed("looking up a key", err)
	case !found || m.App == nil:
		return denied("customErrors/keyNotFoundInDB")
	case subtle.ConstantTimeCompare([]byte(key.AccessKey), []byte(accessKey)) != 1:
		return denied("auth/unauthroizedApiKey")
	case !key.Active(c.now()):
		return denied("customErrors/inactiveKeyInDB")
	}
	return c.admit(m, key)
}

// bearer authenticates by an access token.
func (c *call) bearer() error {
	text, err := c.tokenText()
	if err != nil {
		return err
	}
	t, err := c.api.tickets.Open(ticket.Access, text, c.now())
	switch {
	case errors.Is(err, ticket.ErrExpired):
		return refuse("auth/tokenExpired")
	case err != nil:
		return denied("auth/unauthorized")
	}
	m, err := c.find(t.App, inStore, "customErrors/appNotFoundForDecryptId")
	if err != nil {
		return err
	}
	if m, err = c.knowing(m, inStore, func(k merchant.Key) bool { return k.ID == t.KeyID }); err != nil {
		return err
	}
	key, found := m.KeyByID(t.KeyID)
	if !found || !key.Active(c.now()) {
		return denied("auth/unauthorized")
	}
	c.token = t
	return c.admit(m, key)
}

// signed authenticates by a signature, wherever it comes from. Its requests are counted for it alone: customers have signatures, and none of them
// may use up what the app's servers are let do.
func (c *call) signed() error {
	values := c.r.Header[headerSignature]
	if len(values) == 0 || strings.TrimSpace(values[0]) == "" {
		return refuse("(top)/InvalidId", "x-signature")
	}
	if len(values) > 1 {
		return denied("keyVaultErrors/invalidSignatureFormat")
	}
	t, expired := c.api.tickets.Open(ticket.Signature, strings.TrimSpace(values[0]), c.now())
	if expired != nil && !errors.Is(expired, ticket.ErrExpired) {
		return denied("keyVaultErrors/invalidSignatureFormat")
	}
	m, err := c.find(t.App, inVerify, "keyVaultErrors/appNotFound")
	if err != nil {
		return err
	}
	if m, err = c.knowing(m, inVerify, func(k merchant.Key) bool { return k.ID == t.KeyID }); err != nil {
		return err
	}
	c.app, c.token = m, t
	if err := c.fromAllowedOrigin(); err != nil { // first, so that the customer's browser may see what is wrong
		return err
	}
	key, found := m.KeyByID(t.KeyID)
	switch {
	case expired != nil:
		return refuse("keyVaultErrors/signatureExpired")
	case !found || !key.Active(c.now()):
		return denied("keyVaultErrors/accessKeyMismatch")
	case m.Suspended:
		return refuse("keyVaultErrors/appDisabled")
	}
	c.key, c.x.KeyID = key, key.ID
	return c.within("signature:" + t.ID)
}

// admit takes an authenticated call of an app's server: the app is not disabled, the address is one of the app's, the origin too, and there are
// not too many.
func (c *call) admit(m merchant.Merchant, key merchant.Key) error {
	c.app, c.key, c.x.KeyID = m, key, key.ID
	if m.Suspended {
		return refuse("keyVaultErrors/appDisabled")
	}
	if err := c.fromAllowedAddress(); err != nil {
		return err
	}
	if err := c.fromAllowedOrigin(); err != nil {
		return err
	}
	return c.within(key.ID)
}

// fromAllowedAddress holds the app's address ranges. An app without any is open.
func (c *call) fromAllowedAddress() error {
	if len(c.app.AllowedIPs) > 0 && !c.app.Allows(c.x.Client) {
		return denied("auth/unauthroizedAccess")
	}
	return nil
}

// within counts a request of a name, and gives it its place in work: behind its body, so that who sends slowly has none. What is wrong with the
// body is said when it is wanted.
func (c *call) within(name string) error {
	if ok, wait := c.api.requests.Allow(name, c.now()); !ok {
		return c.tooMany(wait)
	}
	if c.inWork != nil {
		return nil
	}
	gate := c.api.opts.Reads
	if c.r.Method == http.MethodPost {
		gate = c.api.opts.Commands
		c.read()
	}
	var err error
	c.inWork, err = gate.Enter(c.r.Context(), c.app.ID)
	return c.crowded(err)
}

func (c *call) tooMany(wait time.Duration) error {
	r := refuse("customErrors/tooManyRequests")
	r.wait = wait
	return r
}

// crowded is what is said when a gate lets nobody in; nil stays nil.
func (c *call) crowded(err error) error {
	if err == nil {
		return nil
	}
	c.x.Quiet = true // metrics count it; lines of the log would be as many as somebody likes
	if errors.Is(err, httpapi.ErrShare) {
		return c.tooMany(time.Second)
	}
	return failed("finding room", err)
}

// may holds the key's role and the app's services: who may initiate.
func (c *call) may() error {
	if !c.app.HasService(merchant.Payin) || c.key.Role != merchant.Full && c.key.Role != merchant.Maker {
		return refuse("systemError/unauthorizedAccess")
	}
	return nil
}

// tokenHeaders are where a token may be. The document's "Merchant Token" cannot be a header's name.
func tokenHeaders() []string { return []string{"Authorization", "Merchant-Token", "Merchanttoken"} }

// tokenText is the token that the request brings, with or without "Bearer". Authorization goes before the merchant token.
func (c *call) tokenText() (string, error) {
	for _, name := range tokenHeaders() {
		values := c.r.Header[name]
		if len(values) == 0 {
			continue
		}
		text := strings.TrimSpace(values[0])
		if scheme, rest, _ := strings.Cut(text, " "); strings.EqualFold(scheme, "Bearer") {
			text = strings.TrimSpace(rest)
		}
		if len(values) > 1 || text == "" {
			break
		}
		return text, nil
	}
	return "", refuse("auth/authTokenMissing")
}

// hasToken reports whether the request brings a token, good or not.
func (c *call) hasToken() bool {
	return slices.ContainsFunc(tokenHeaders(), func(name string) bool { return len(c.r.Header[name]) > 0 })
}

// credentials reads accessKey and secretKey, by whatever finds them. Nothing of them is ever quoted.
func credentials(accessKey, secretKey string) error {
	switch {
	case accessKey == "":
		return refuse("auth/authApiKeyMissing")
	case secretKey == "":
		return refuse("(top)/InvalidId", "secretKey")
	case !validAccessKey(accessKey):
		return denied("systemError/invalidApiKey")
	}
	return nil
}

// validAccessKey knows the form: kspay_test_ or kspay_live_ and 24 hexadecimal digits.
func validAccessKey(s string) bool {
	for _, mode := range []merchant.Mode{merchant.Test, merchant.Live} {
		if rest, ok := strings.CutPrefix(s, merchant.AccessKeyPrefix(mode)); ok {
			return len(rest) == 24 && strings.Trim(rest, "0123456789abcdef") == ""
		}
	}
	return false
}

// hash is a SHA-256 in lower-case hexadecimal.
func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}
