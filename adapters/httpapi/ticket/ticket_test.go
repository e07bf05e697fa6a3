package ticket_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi/ticket"
)

var (
	now    = time.Date(2026, 4, 30, 10, 0, 0, 0, time.UTC)
	secret = bytes.Repeat([]byte{7}, ticket.MinSecret)
	one    = ticket.Ticket{App: "ap_rtk2WdyQR", KeyID: "key_1", Subject: "tx_UOVynlQ0j", ID: "0123456789abcdef"}
)

func kinds() []ticket.Kind {
	return []ticket.Kind{ticket.Access, ticket.Refresh, ticket.Signature, ticket.Checkout}
}

func TestOpen(t *testing.T) {
	b, same, other := ticket.New(secret), ticket.New(secret), ticket.New(bytes.Repeat([]byte{8}, ticket.MinSecret))
	for _, kind := range kinds() {
		for _, want := range []ticket.Ticket{one, {}, {App: strings.Repeat("x", 255)}, {ID: "\x00\xff"}} {
			text := b.Mint(kind, want, now.Add(time.Minute))
			if got, err := same.Open(kind, text, now); err != nil || got != want {
				t.Errorf("%s: %+v, %v", kind, got, err)
			}
			for _, wrong := range kinds() {
				if got, err := b.Open(wrong, text, now); wrong != kind && (!errors.Is(err, ticket.ErrMalformed) || got != ticket.Ticket{}) {
					t.Errorf("a token of %s opens as one of %s: %+v, %v", kind, wrong, got, err)
				}
			}
			if _, err := other.Open(kind, text, now); !errors.Is(err, ticket.ErrMalformed) {
				t.Errorf("%s: another book opens it: %v", kind, err)
			}
		}
	}
}

func TestExpiry(t *testing.T) {
	b := ticket.New(secret)
	for _, kind := range kinds() {
		text := b.Mint(kind, one, now)
		if _, err := b.Open(kind, text, now.Add(-time.Millisecond)); err != nil {
			t.Errorf("%s: before: %v", kind, err)
		}
		if got := b.Expires(kind, text); !got.Equal(now) {
			t.Errorf("%s: expires at %s", kind, got)
		}
		if got := b.Expires(kind, "0"); !got.IsZero() {
			t.Errorf("%s: what is none expires at %s", kind, got)
		}
		for _, late := range []time.Duration{0, time.Hour} {
			if got, err := b.Open(kind, text, now.Add(late)); !errors.Is(err, ticket.ErrExpired) || got != one {
				t.Errorf("%s: %s late: %+v, %v", kind, late, got, err)
			}
		}
	}
}

// No character of a token can be another one, and none can be left out or put in.
func TestAlteredTokens(t *testing.T) {
	b := ticket.New(secret)
	for _, kind := range kinds() {
		text := b.Mint(kind, one, now.Add(time.Minute))
		for i := range text {
			for _, altered := range []string{
				text[:i] + string(text[i]^1) + text[i+1:], text[:i] + text[i+1:], text[:i], text[:i] + "0" + text[i:], text[:i] + " " + text[i+1:],
			} {
				if altered == text {
					continue
				}
				if _, err := b.Open(kind, altered, now); !errors.Is(err, ticket.ErrMalformed) {
					t.Fatalf("%s: %q opens: %v", kind, altered, err)
				}
			}
		}
		for _, junk := range []string{"", "0", strings.ToUpper(text), text + "=", text + "\n", strings.Repeat("ab", ticket.MaxText)} {
			if _, err := b.Open(kind, junk, now); junk != text && !errors.Is(err, ticket.ErrMalformed) {
				t.Errorf("%s: %.20q opens: %v", kind, junk, err)
			}
		}
	}
}

func TestShapes(t *testing.T) {
	b := ticket.New(secret)
	if text := b.Mint(ticket.Signature, one, now); strings.Trim(text, "0123456789abcdef") != "" {
		t.Errorf("a signature is not hexadecimal: %s", text)
	}
	for _, kind := range []ticket.Kind{ticket.Access, ticket.Refresh, ticket.Checkout} {
		text := b.Mint(kind, one, now)
		if strings.ContainsAny(text, "+/=. ") || len(text) > 250 {
			t.Errorf("%s is not fit for a URL: %s", kind, text)
		}
	}
	if a, b := ticket.NewID(), ticket.NewID(); a == b || len(a) != 32 {
		t.Errorf("ids %s and %s", a, b)
	}
}

// What tokens look like never changes: customers hold them while servers are replaced.
func TestGolden(t *testing.T) {
	const want = "010000019dddd4bd000c61705f72746b325764795152056b65795f310c74785f554f56796e6c51306a1030313233343536373839616263646566" +
		"78adabc071a3946c9e7a129a5fed0a5beabe55a7436e735344c23075032c33ea"
	if got := ticket.New(secret).Mint(ticket.Signature, one, now); got != want {
		t.Errorf("minted %s\n  want %s", got, want)
	}
}

func TestInvariants(t *testing.T) {
	for name, broken := range map[string]func(){
		"short secret": func() { ticket.New(secret[1:]) },
		"no kind":      func() { ticket.New(secret).Mint("other", one, now) },
		"long field":   func() { ticket.New(secret).Mint(ticket.Access, ticket.Ticket{ID: strings.Repeat("x", 256)}, now) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			broken()
		}()
	}
}

// Whatever text comes, only what was minted opens.
func FuzzOpen(f *testing.F) {
	b := ticket.New(secret)
	for _, kind := range kinds() {
		f.Add(string(kind), b.Mint(kind, one, now.Add(time.Minute)))
		f.Add(string(kind), "")
	}
	f.Add("signature", hex.EncodeToString(make([]byte, 60)))
	f.Fuzz(func(t *testing.T, kind, text string) {
		for _, k := range kinds() {
			if string(k) != kind {
				continue
			}
			got, err := b.Open(k, text, now)
			switch {
			case err == nil && b.Mint(k, got, now.Add(time.Minute)) != text:
				t.Fatalf("%q opens as %+v", text, got)
			case err != nil && !errors.Is(err, ticket.ErrMalformed) && !errors.Is(err, ticket.ErrExpired):
				t.Fatal(err)
			}
		}
	})
}
