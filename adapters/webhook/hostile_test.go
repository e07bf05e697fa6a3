package webhook

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/testnet"
)

// TestHostileReceivers: whatever a merchant's server sends, an attempt ends in time, keeps a bounded answer, and tells nothing of it in its own words.
func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	const private = "answer-of-the-receiver"
	h := testnet.NewHostile(t)
	kinds := 0
	for _, fault := range testnet.Faults() {
		patience := 10 * time.Second
		if !fault.Ends {
			patience = 200 * time.Millisecond
		}
		c := newClient(prefixes("127.0.0.0/8"), lookup{}, nil, patience)
		h.Answer(`"`+strings.Repeat(private, 100)+`"`, &fault, nil)
		o := c.post(t.Context(), h.URL(), http.Header{}, []byte("{}"))
		c.close()
		if len(o.answer) > maxAnswer || len(o.problem) > maxProblem || strings.Contains(o.problem, private) {
			t.Errorf("%s: %d bytes of answer, %q", fault.Name, len(o.answer), o.problem)
		}
		if o.status == 0 && o.problem == "" {
			t.Errorf("%s: no answer, and no word why", fault.Name)
		}
		kinds++
	}
	if int(h.Requests()) != kinds {
		t.Errorf("%d of %d were asked", h.Requests(), kinds)
	}
	if sent := h.Sent(); sent > 64<<20 {
		t.Errorf("%d bytes were taken", sent)
	}
}

// resolver is a function that resolves.
type resolver func(ctx context.Context) ([]netip.Addr, error)

func (f resolver) LookupNetIP(ctx context.Context, _, _ string) ([]netip.Addr, error) { return f(ctx) }

// TestNamesThatDoNotResolve: a name that is not there, and one about which nobody answers: the attempt ends in time with the reason.
func TestNamesThatDoNotResolve(t *testing.T) {
	t.Parallel()
	for says, r := range map[string]resolver{
		"no such host": func(context.Context) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "shop.example", IsNotFound: true}
		},
		"no answer within": func(ctx context.Context) ([]netip.Addr, error) { <-ctx.Done(); return nil, ctx.Err() },
		"server misbehaving": func(context.Context) ([]netip.Addr, error) {
			return nil, &net.DNSError{Err: "server misbehaving", Name: "shop.example", IsTemporary: true}
		},
		"no address": func(context.Context) ([]netip.Addr, error) { return nil, nil },
	} {
		c := newClient(nil, r, nil, 100*time.Millisecond)
		if o := c.post(t.Context(), "https://shop.example/callback", http.Header{}, nil); o.status != 0 || !strings.Contains(o.problem, says) {
			t.Errorf("%s: %d, %q", says, o.status, o.problem)
		}
		c.close()
	}
}
