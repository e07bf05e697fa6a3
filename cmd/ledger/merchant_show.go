package main

import (
	"context"
	"net/netip"
	"time"

	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/projections"
)

type merchantList struct{ storeFlags }

// merchantsJSON is the answer of `merchant list`.
type merchantsJSON struct {
	Merchants []merchantJSON `json:"merchants"`
}

// Run lists.
func (c *merchantList) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		out, now := merchantsJSON{Merchants: []merchantJSON{}}, present()
		for after := ""; ; {
			page, err := views.Merchants(ctx, after, projections.MaxLimit)
			if err != nil {
				return err
			}
			for _, m := range page {
				out.Merchants = append(out.Merchants, merchantView(m, now))
				after = m.ID
			}
			if len(page) < projections.MaxLimit {
				return t.answer(out)
			}
		}
	})
}

type merchantShow struct {
	storeFlags
	ID string `arg:"" help:"Merchant."`
}

// Run shows.
func (c *merchantShow) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		m, err := views.Merchant(ctx, c.ID)
		if err != nil {
			return err
		}
		return t.answer(merchantView(m, present()))
	})
}

// merchantJSON is a merchant as it is shown. Of keys, what identifies them; never what they are.
type merchantJSON struct {
	ID           string                `json:"merchant_id"`
	Name         string                `json:"name"`
	Status       string                `json:"status"` // active or suspended
	Services     []merchant.Service    `json:"services"`
	AllowedIPs   []netip.Prefix        `json:"allowed_ips"`
	CallbackURL  string                `json:"callback_url"`
	Dialect      string                `json:"callback_dialect"`
	BatchUpdates bool                  `json:"callback_batch_updates"` // also about batches themselves
	Plan         fee.Plan              `json:"plan"`
	Approval     merchant.ApprovalRule `json:"approval"` // of payout batches
	Keys         []keyJSON             `json:"keys"`
	CreatedAt    time.Time             `json:"created_at"`
	App          *merchantApp          `json:"app,omitempty"` // of one that is an app of the KS Pay API: see `ledger app show`
}

// merchantApp says that a merchant is an app.
type merchantApp struct {
	UserID     string           `json:"user_id"`
	Mode       merchant.Mode    `json:"mode"`
	Currencies []money.Currency `json:"currencies"`
	Gateways   int              `json:"gateways"`
}

type keyJSON struct {
	ID        string        `json:"key_id"`
	Role      merchant.Role `json:"role"`
	Last4     string        `json:"last4"`
	Status    string        `json:"status"` // active, expired or revoked
	CreatedAt time.Time     `json:"created_at"`
	ExpiresAt time.Time     `json:"expires_at,omitzero"`
}

func merchantView(m merchant.Merchant, now time.Time) merchantJSON {
	v := merchantJSON{
		ID: m.ID, Name: m.Name, Status: "active", Services: m.Services, AllowedIPs: m.AllowedIPs, CallbackURL: m.CallbackURL,
		Dialect: string(m.Dialect), BatchUpdates: !m.BatchQuiet, Plan: m.Plan, Approval: m.Approval, Keys: make([]keyJSON, len(m.Keys)), CreatedAt: m.CreatedAt,
	}
	if m.Suspended {
		v.Status = "suspended"
	}
	if m.Dialect == merchant.Stable {
		v.Dialect = "stable"
	}
	if v.Services == nil {
		v.Services = []merchant.Service{}
	}
	if v.AllowedIPs == nil {
		v.AllowedIPs = []netip.Prefix{}
	}
	if v.Approval.Bands == nil {
		v.Approval.Bands = []merchant.Band{}
	}
	if m.App != nil {
		v.App = &merchantApp{UserID: m.App.UserID, Mode: m.App.Mode, Gateways: len(m.App.Gateways)}
		for i := range m.App.Currencies {
			v.App.Currencies = append(v.App.Currencies, m.App.Currencies[i].Currency)
		}
	}
	for i, k := range m.Keys {
		v.Keys[i] = keyJSON{ID: k.ID, Role: k.Role, Last4: k.Last4, Status: "active", CreatedAt: k.CreatedAt, ExpiresAt: k.ExpiresAt}
		switch {
		case k.Revoked:
			v.Keys[i].Status = "revoked"
		case !k.Active(now):
			v.Keys[i].Status = "expired"
		}
	}
	return v
}
