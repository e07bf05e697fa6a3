package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
	"github.com/khata-ledger/khata/eventstore/tail"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// plainCompany makes orders, and counts them. Every order is a new one, unless it is told that there may be one.
type plainCompany struct {
	gateway.Checkout
	mu     sync.Mutex
	orders map[string][]string
	n      int
}

func (*plainCompany) Spec() gateway.Spec {
	return gateway.Spec{Name: "plain", Keys: []string{"key"}, Public: "key", Methods: []merchant.Method{merchant.UPI}}
}

func (c *plainCompany) CreateOrder(_ context.Context, _ gateway.Account, o gateway.Order) (gateway.Ordered, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known := c.orders[o.Reference]
	if !o.Again || len(known) == 0 {
		c.n++
		known = append(known, "order_"+string(rune('a'+c.n)))
		c.orders[o.Reference] = known
	}
	return gateway.Ordered{OrderID: known[0], Raw: gateway.Raw{Body: []byte("{}"), MediaType: "application/json"}}, nil
}

func (*plainCompany) ParseReturn(
	_ context.Context, _ gateway.Account, _ gateway.Order, made gateway.Ordered, form url.Values, _ time.Time,
) (gateway.Message, error) {
	return gateway.Message{OrderID: made.OrderID, Payment: &gateway.Payment{PaymentID: form.Get("id"), Amount: "1000", Paid: true}}, nil
}

func (*plainCompany) ParseWebhook(_ context.Context, _ gateway.Account, _ http.Header, body []byte, _ time.Time) ([]gateway.Message, error) {
	return nil, errors.New("not in this test: " + string(body))
}

// area opens a database of an area beside a test.
func area(t *testing.T, name string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(t.TempDir(), name+".db")+"?_pragma=journal_mode(WAL)&_pragma=busy_timeout(20000)&_txlock=immediate")
	if err == nil {
		t.Cleanup(func() { db.Close() })
		err = migrations.Up(t.Context(), db, migrations.SQLite, name)
	}
	if err != nil {
		t.Fatal(err)
	}
	return db
}

// TestCheckoutsOnTheLog: on the ledger's own log, processes that have one payin's order made at the same time agree on one, and its
// payment is found by the gateway's order.
func TestCheckoutsOnTheLog(t *testing.T) {
	log := memory.New(2)
	secrets, err := vault.Open(t.Context(), area(t, migrations.Secrets), vault.NewKey())
	if err != nil {
		t.Fatal(err)
	}
	db := area(t, migrations.Work)
	jobs := work.New(db, db)
	company := &plainCompany{orders: map[string][]string{}}
	process := func() (*ports, *gateway.Checkouts) {
		l, err := ledger.Open(t.Context(), log, secrets, tail.New(log, 2, time.Hour, nil), ledger.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(context.Background()); err != nil {
				t.Error(err)
			}
		})
		p := &ports{Ledger: l}
		c, err := gateway.NewCheckouts(p, secrets, jobs, []gateway.Checkout{company}, gateway.CheckoutOptions{Patience: 20 * time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		return p, c
	}
	first, one := process()
	_, two := process()
	app := plainApp(t, first, secrets)
	for n := range 8 {
		id := "tx_Payin000" + string(rune('0'+n))
		p, err := first.Submit(t.Context(), wallet.CreatePayin{
			Base:   wallet.Base{Of: wallet.Of{Merchant: app.ID, Currency: money.INR, Payment: id}, At: eventstore.Micros(time.Now())},
			Amount: money.MustParse("1000", money.INR), Charge: fee.Charge{Commission: money.Zero(money.INR), Tax: money.Zero(money.INR)},
			OrderID: id, TxnRef: id, Gateway: wallet.Unrouted, ExpiresAt: time.Now().Add(time.Hour),
		}, eventstore.Origin{Actor: "test"})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		found := make([]string, 6)
		for i := range found {
			all.Go(func() {
				after, err := []*gateway.Checkouts{one, two}[i%2].Ensure(t.Context(), app, p)
				if err != nil {
					t.Error(err)
				}
				found[i] = after.Checkout.Order
			})
		}
		all.Wait()
		if p, err = first.Payment(t.Context(), app.ID, id); err != nil || p.Checkout.Order == "" || strings.Join(found, "") != strings.Repeat(p.Checkout.Order, len(found)) {
			t.Fatalf("%+v of %q, %v", p.Checkout, found, err)
		}
		at, known, err := first.Lookup(t.Context(), app.ID, wallet.OrderKey(app.ID, p.Checkout.Config, p.Checkout.Order))
		if err != nil || !known {
			t.Fatalf("%s, %t, %v", at, known, err)
		}
		if record, err := first.Record(t.Context(), at); err != nil || record.Subject != id || record.Type != "payin.ordered" {
			t.Errorf("%s of %s, %v", record.Type, record.Subject, err)
		}
		for range 2 {
			if p, err = two.Return(t.Context(), app, p, url.Values{"id": {"pay_" + id}}); err != nil || p.Status != wallet.Success || p.Anomalies > 0 {
				t.Errorf("%s, %v", p.Status, err)
			}
		}
	}
	w, err := first.Wallet(t.Context(), app.ID, money.INR)
	if err != nil || w.Available.String() != "8000.00 INR" {
		t.Errorf("%s, %v", w.Available, err)
	}
}

// plainApp is an app with one gateway that takes payments.
func plainApp(t *testing.T, p *ports, secrets *vault.Vault) merchant.Merchant {
	t.Helper()
	const id, config = "ap_Shop00001", "gc_AAAAAAAAA"
	b, err := json.Marshal(merchant.GatewaySecrets{Credentials: map[string]string{"key": "k"}})
	if err == nil {
		err = secrets.PutSecret(t.Context(), merchant.GatewaySecretName(config, 2), b)
	}
	if err != nil {
		t.Fatal(err)
	}
	of := merchant.Of{Merchant: id, Actor: "test"}
	var m merchant.Merchant
	for _, c := range []merchant.Command{
		merchant.Create{
			Of: of, Name: "Shop", Services: []merchant.Service{merchant.Payin}, At: time.Now(),
			Key: merchant.Key{ID: "key_0123456789abcdef", Hash: strings.Repeat("ab", 32), Last4: "abcd", Role: merchant.Full, CreatedAt: time.Now(), AccessKey: "kspay_test_0123456789abcdef01234567"},
			App: &merchant.NewApp{UserID: "us_Owner0001", Mode: merchant.Test, Domains: []string{"https://shop.example"}, Currencies: []merchant.AppCurrency{{Currency: money.INR}}},
		},
		merchant.AddGateway{Of: of, Config: config, Gateway: "plain"},
		merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepCredentials, Version: 1, Public: "k"},
		merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepWebhook, Version: 2},
		merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepPackage, Version: 2},
		merchant.StartTrial{Of: of, Config: config, Transaction: "tx_Trial0000"},
		merchant.EndTrial{Of: of, Config: config, Transaction: "tx_Trial0000", Passed: true},
		merchant.SetGatewayStep{Of: of, Config: config, Step: merchant.StepSecurity, Version: 2},
		merchant.SwitchGateway{Of: of, Config: config, Enabled: true},
	} {
		if m, err = p.SubmitMerchant(t.Context(), c, eventstore.Origin{Actor: "test"}); err != nil {
			t.Fatalf("%T: %v", c, err)
		}
	}
	return m
}
