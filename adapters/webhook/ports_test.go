package webhook

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// What the merchants' platforms do with a body, written again from what the platforms do and without the code that is tested.

// stringify is JSON.stringify(JSON.parse(body)) of a flat object.
func stringify(body []byte) (string, error) {
	return flat(body, jsString, func(n string) (string, error) {
		f, err := strconv.ParseFloat(n, 64)
		return strconv.FormatFloat(f, 'f', -1, 64), err
	})
}

// jsonEncode is json_encode(json_decode(body)) of a flat object: whole numbers stay integers, others are doubles.
func jsonEncode(body []byte) (string, error) {
	return flat(body, phpString, func(n string) (string, error) {
		if !strings.Contains(n, ".") {
			i, err := strconv.ParseInt(n, 10, 64)
			return strconv.FormatInt(i, 10), err
		}
		f, err := strconv.ParseFloat(n, 64)
		s := strconv.FormatFloat(f, 'f', -1, 64)
		if !strings.Contains(s, ".") {
			s += ".0"
		}
		return s, err
	})
}

func flat(body []byte, text func(string) string, number func(string) (string, error)) (string, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var parts []string
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return "", err
		}
		switch v := token.(type) {
		case json.Delim:
		case string:
			parts = append(parts, text(v))
		case json.Number:
			n, err := number(v.String())
			if err != nil {
				return "", err
			}
			parts = append(parts, n)
		case nil:
			parts = append(parts, "null")
		default:
			return "", fmt.Errorf("a body with %v", v)
		}
	}
	out := "{"
	for i := 0; i < len(parts); i += 2 {
		if i > 0 {
			out += ","
		}
		out += parts[i] + ":" + parts[i+1]
	}
	return out + "}", nil
}

// jsString is what Go writes without its escapes for HTML and for the two line separators.
func jsString(s string) string {
	if head, tail, found := strings.Cut(s, "\u2028"); found {
		return strings.TrimSuffix(jsString(head), `"`) + "\u2028" + strings.TrimPrefix(jsString(tail), `"`)
	}
	if head, tail, found := strings.Cut(s, "\u2029"); found {
		return strings.TrimSuffix(jsString(head), `"`) + "\u2029" + strings.TrimPrefix(jsString(tail), `"`)
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(s); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// phpString is the same, in ASCII, with the slash escaped.
func phpString(s string) string {
	var b strings.Builder
	for _, c := range strings.ReplaceAll(jsString(s), "/", `\/`) {
		if c < 0x80 {
			b.WriteRune(c)
			continue
		}
		for _, unit := range utf16.Encode([]rune{c}) {
			fmt.Fprintf(&b, `\u%04x`, unit)
		}
	}
	return b.String()
}

// exact is a header under the spelling that it is sent with.
func exact(h http.Header, name string) string { return strings.Join(h[name], ", ") }

func asSent(body []byte) (string, error) { return string(body), nil }

func hexHMAC(key, text string) string {
	h := hmac.New(sha256.New, []byte(key))
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

// The ports know what the contract's table says of the platforms.
func TestPortsKnowThePlatforms(t *testing.T) {
	for _, c := range []struct{ body, php, node string }{
		{`{"a":1000,"b":990.5,"c":990.05}`, `{"a":1000,"b":990.5,"c":990.05}`, `{"a":1000,"b":990.5,"c":990.05}`},
		{`{"a":1000.00,"b":990.50}`, `{"a":1000.0,"b":990.5}`, `{"a":1000,"b":990.5}`},
		{`{"a":"x/y\/z"}`, `{"a":"x\/y\/z"}`, `{"a":"x/y/z"}`},
		{`{"a":"é\u00e9"}`, `{"a":"\u00e9\u00e9"}`, `{"a":"éé"}`},
		{`{"a":"😀\u2028"}`, `{"a":"\ud83d\ude00\u2028"}`, "{\"a\":\"😀\u2028\"}"},
		{`{"a":"\u0026<>'\"\\\u0008\u000c\u001f` + "\x7f" + `"}`, `{"a":"&<>'\"\\\b\f\u001f` + "\x7f" + `"}`, `{"a":"&<>'\"\\\b\f\u001f` + "\x7f" + `"}`},
		{`{"a": null}`, `{"a":null}`, `{"a":null}`},
	} {
		php, err := jsonEncode([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		node, err := stringify([]byte(c.body))
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "PHP of "+c.body, php, c.php)
		equal(t, "Node of "+c.body, node, c.node)
	}
}

// The stable body satisfies all three kinds of verifier, the other dialects' their own.
func TestEveryVerifierComesToTheSignature(t *testing.T) {
	type verifier func(body []byte) (string, error)
	keys := []vault.Midstates{vault.NewMidstates([]byte(documentKey))}
	rapid.Check(t, func(t *rapid.T) {
		write := anyBody(t)
		for dialect, verifiers := range map[merchant.Dialect][]verifier{
			merchant.Stable: {jsonEncode, stringify, asSent}, merchant.PHP: {jsonEncode}, merchant.Node: {stringify}, merchant.Raw: {asSent},
		} {
			body := write(dialect)
			h, err := headers(&Delivery{ID: "cb_1", Dialect: dialect, Body: body}, keys, time.Unix(1711886400, 0))
			if err != nil {
				t.Fatal(err)
			}
			for i, verify := range verifiers {
				text, err := verify(body)
				if err != nil {
					t.Fatalf("%s: %v", body, err)
				}
				if dialect == merchant.Stable {
					equal(t, "fixed point", text, string(body))
				}
				equal(t, fmt.Sprintf("verifier %d of dialect %q", i, dialect), exact(h, "X-KlyroPay-Signature"), hexHMAC(documentKey, text))
			}
			// Standard Webhooks covers the bytes as sent, whatever the dialect.
			want, err := hex.DecodeString(hexHMAC(documentKey, "cb_1.1711886400."+string(body)))
			if err != nil {
				t.Fatal(err)
			}
			equal(t, "Standard Webhooks", exact(h, "webhook-signature"), "v1,"+base64.StdEncoding.EncodeToString(want))
		}
	})
}
