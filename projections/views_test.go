package projections

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Every field of a payment survives its row, but for its submissions: one that is added to wallet.Payment must be added here too.
func TestPaymentRowHoldsEverything(t *testing.T) {
	for _, kind := range []wallet.Kind{wallet.KindPayin, wallet.KindPayout} {
		var p wallet.Payment
		fillFields(t, reflect.ValueOf(&p).Elem(), "")
		p.Kind = kind
		if kind == wallet.KindPayin {
			p.RequestID = ""
		} else {
			p.OrderID = ""
		}
		p.Attempts, p.SubmittedAt = 0, time.Time{}
		p.Suspense = map[string]*wallet.Suspended{"sus_1": {ID: "sus_1", Amount: inr("12.34"), Gateway: "sandbox", Open: true}}
		var row paymentRow
		if err := row.fill(&p); err != nil {
			t.Fatal(err)
		}
		back, err := row.payment()
		if err != nil {
			t.Fatal(err)
		}
		if got, want := shown(t, back), shown(t, p); got != want || back.Currency != p.Currency || !back.Amount.Equal(p.Amount) {
			t.Errorf("%s\ncame back as\n%s", want, got)
		}
	}
}

// fillFields sets every field to something that is not zero.
func fillFields(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch v.Interface().(type) {
	case money.Amount:
		v.Set(reflect.ValueOf(inr("123.45")))
		return
	case money.Currency:
		v.SetString("INR")
		return
	case time.Time:
		v.Set(reflect.ValueOf(time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)))
		return
	case map[string]*wallet.Suspended:
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fillFields(t, v.Field(i), v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range v.Len() {
			fillFields(t, v.Index(i), name)
		}
	case reflect.String:
		v.SetString("the " + name)
	case reflect.Int:
		v.SetInt(int64(len(name)) + 1)
	case reflect.Bool:
		v.SetBool(true)
	default:
		t.Fatalf("field %s: the test knows no %s", name, v.Type())
	}
}

func TestAmountsThatDoNotFit(t *testing.T) {
	row := paymentRow{}
	p := wallet.Payment{Priced: wallet.Priced{Amount: inr("92233720368547758.08")}}
	if err := row.fill(&p); err == nil {
		t.Error("an amount beyond 64 bits was taken")
	}
}

func hashOf(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:])
}

func TestMerchantsAndOperators(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 3)
		var clock atomic.Int64
		opts := quick
		opts.Clock = func() time.Time { return time.UnixMilli(clock.Load()) }
		v := b.views(at.open(), at.dialect, opts)
		of := merchant.Of{Merchant: anna, Actor: "system:test"}
		key := merchant.Key{ID: "key_1", Hash: hashOf("first"), Last4: "irst", Role: merchant.Full, CreatedAt: b.now}
		second := merchant.Key{ID: "key_2", Hash: hashOf("second"), Last4: "cond", Role: merchant.Full, CreatedAt: b.now}
		b.merchant(merchant.Stream(anna),
			&merchant.Created{
				Of: of, Name: "Anna", Services: []merchant.Service{merchant.Payin}, AllowedIPs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
				CallbackURL: "https://anna.example/cb", Plan: fee.Default(), At: b.now,
			},
			&merchant.KeyAdded{Of: of, Key: key}, &merchant.KeyAdded{Of: of, Key: second})
		operator := merchant.Operator{ID: "opr_1", Name: "Asha", Role: merchant.Owner, CreatedAt: b.now,
			Key: merchant.Key{ID: "key_o", Hash: hashOf("operator"), Role: merchant.Owner, CreatedAt: b.now}}
		b.merchant("operator:opr_1", &merchant.OperatorCreated{Of: merchant.Of{Merchant: "opr_1"}, Operator: operator})
		mustReach(t, v)

		m, k, found, err := v.MerchantByKeyHash(t.Context(), hashOf("second"))
		if err != nil || !found || m.ID != anna || k.ID != "key_2" || len(m.Keys) != 2 || !m.Allows(netip.MustParseAddr("10.1.2.3")) {
			t.Fatalf("by key: %+v %+v %v %v", m, k, found, err)
		}
		if got, want := shown(t, m.Plan), shown(t, fee.Default()); got != want {
			t.Errorf("plan %s, want %s", got, want)
		}
		if _, _, found, err := v.MerchantByKeyHash(t.Context(), hashOf("nobody's")); found || err != nil {
			t.Errorf("an unknown key: %v, %v", found, err)
		}
		if _, _, found, err := v.MerchantByKeyHash(t.Context(), hashOf("operator")); found || err != nil {
			t.Errorf("an operator's key is no merchant's: %v, %v", found, err)
		}
		o, found, err := v.OperatorByKeyHash(t.Context(), hashOf("operator"))
		if err != nil || !found || o.Name != "Asha" {
			t.Errorf("operator: %+v %v %v", o, found, err)
		}
		if _, found, err := v.OperatorByKeyHash(t.Context(), hashOf("second")); found || err != nil {
			t.Errorf("a merchant's key is no operator's: %v, %v", found, err)
		}

		b.merchant(merchant.Stream(anna), &merchant.KeyRevoked{Of: of, KeyID: "key_2"}, &merchant.Suspended{Of: of, Reason: "late"})
		b.merchant("operator:opr_1", &merchant.OperatorRevoked{Of: merchant.Of{Merchant: "opr_1"}, Reason: "left"})
		mustReach(t, v)
		clock.Add(defaultKeyAge.Milliseconds())
		if m, k, found, err := v.MerchantByKeyHash(t.Context(), hashOf("second")); err != nil || !found || k.Active(b.now) || !m.Suspended {
			t.Errorf("a revoked key, after the cache's time: %+v %v %v", k, found, err)
		}
		if o, found, err := v.OperatorByKeyHash(t.Context(), hashOf("operator")); err != nil || !found || o.Key.Active(b.now) {
			t.Errorf("a revoked operator: %+v %v %v", o, found, err)
		}
		lists(t, v)
		b.equalToFold(v)
	})
}

func lists(t *testing.T, v *Views) {
	t.Helper()
	if all, err := v.Merchants(t.Context(), "", 10); err != nil || len(all) != 1 || all[0].ID != anna {
		t.Errorf("merchants: %+v, %v", all, err)
	}
	if none, err := v.Merchants(t.Context(), anna, 10); err != nil || len(none) != 0 {
		t.Errorf("merchants behind the last: %+v, %v", none, err)
	}
	if all, err := v.Operators(t.Context(), "", 10); err != nil || len(all) != 1 {
		t.Errorf("operators: %+v, %v", all, err)
	}
	if m, err := v.Merchant(t.Context(), anna); err != nil || m.Name != "Anna" {
		t.Errorf("merchant: %+v, %v", m, err)
	}
	if _, err := v.Merchant(t.Context(), "mer_nobody"); domain.CodeOf(err) != domain.NotFound {
		t.Errorf("no merchant: %v", err)
	}
}

// Many requests of one key ask the database once; the keys remembered are bounded.
func TestKeyCache(t *testing.T) {
	var c keyCache
	for i := range maxKeys + 100 {
		c.entry(hashOf(string(rune(i))))
	}
	if len(c.entries) > maxKeys {
		t.Errorf("%d keys are remembered", len(c.entries))
	}
	if first := c.entry("x"); c.entry("x") != first {
		t.Error("a key is not remembered")
	}
}

func TestCheckFindsATamperedRow(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 2)
		b.wanderFar(8, 60)
		b.pay(b.payin(anna, "300.00"), "299.00") // goes to suspense
		db := at.open()
		v := b.views(db, at.dialect, quick)
		if findings, err := v.Check(t.Context()); err != nil || len(findings) != len(Names()) || !findings[0].Absent || findings[0].Fault {
			t.Fatalf("without views: %+v, %v", findings, err)
		}
		mustReach(t, v)
		now, _ := v.standing()
		in := func(p projection, s *schema) string { return s.in(now.tables[p.name()].generation) }
		for _, tamper := range []struct{ view, text, names string }{
			{"balances", "UPDATE " + in(balances{}, &balanceTable.schema) + " SET available = available + 1 WHERE merchant = '" + fewMerchants[1] + "'", fewMerchants[1]},
			{"payments", "UPDATE " + in(payments{}, &paymentTable.schema) + " SET utr = 'x' WHERE id = '" + b.order[3] + "'", b.order[3]},
			{"journal", "DELETE FROM " + in(journal{}, &lineTable.schema) + " WHERE seq = 7", "missing"},
			{"suspense", "INSERT INTO " + in(suspense{}, &suspenseTable.schema) + " SELECT 'sus_x', merchant, payment, status, currency, amount, asked, gateway, payment_id, utr, cause, opened_at, partition, seq, changed, closed_at, reason, actor FROM " + in(suspense{}, &suspenseTable.schema) + " LIMIT 1", "sus_x"},
		} {
			if _, err := db.Exec(tamper.text); err != nil {
				t.Fatal(err)
			}
			findings, err := v.Check(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range findings {
				if f.Fault != (f.View == tamper.view) || f.Fault && !strings.Contains(f.Message, tamper.names) {
					t.Errorf("after %s: %+v", tamper.text, f)
				}
			}
			if err := v.Rebuild(t.Context(), []string{tamper.view}, nil); err != nil {
				t.Fatal(err)
			}
			now, _ = v.standing()
		}
		b.equalToFold(v)
	})
}

func TestCheckpointOfAnotherLogIsAFault(t *testing.T) {
	b := newBook(t, 1)
	b.fund(anna, "1.00")
	at := sqlitePlace(t)
	db := at.open()
	v := b.views(db, at.dialect, quick)
	mustReach(t, v)
	if _, err := db.Exec("UPDATE views_checkpoints SET hash = $1", eventstore.Hash{1}.String()); err != nil {
		t.Fatal(err)
	}
	findings, err := v.Check(t.Context())
	if err != nil || len(findings) == 0 || !findings[0].Fault {
		t.Errorf("%+v, %v", findings, err)
	}
}

func TestRebuildOfNothingKnown(t *testing.T) {
	b := newBook(t, 1)
	at := sqlitePlace(t)
	v := b.views(at.open(), at.dialect, quick)
	if err := v.Rebuild(t.Context(), []string{"horoscopes"}, nil); !errors.Is(err, ErrUnknownProjection) {
		t.Errorf("%v", err)
	}
}

// building is the generation that is being built.
func building(t *testing.T, db *sql.DB) (generation int64) {
	t.Helper()
	if err := db.QueryRow("SELECT generation FROM views_builds").Scan(&generation); err != nil {
		t.Fatal(err)
	}
	return generation
}

// A build that cannot be right does not take the place of what serves.
func TestABuildIsCheckedBeforeItServes(t *testing.T) {
	b := newBook(t, 1)
	b.wanderFar(9, 40)
	at := sqlitePlace(t)
	db := at.open()
	v := b.views(db, at.dialect, quick)
	mustReach(t, v)
	before, _ := v.standing()
	err := v.Rebuild(t.Context(), []string{"payments"}, func(done, total int64) {
		if done == total {
			if _, err := db.Exec(fmt.Sprintf("DELETE FROM payments_%d", building(t, db))); err != nil {
				t.Error(err)
			}
		}
	})
	if err == nil || !strings.Contains(err.Error(), "wrong") {
		t.Fatalf("rebuild: %v", err)
	}
	after, err := v.refresh(t.Context())
	if err != nil || !after.equal(&before) {
		t.Errorf("%+v, %v", after, err)
	}
	generations(t, v)
	b.equalToFold(v)
}

// A process that died while it built leaves nothing behind, and stops nobody.
func TestADeadBuildIsForgotten(t *testing.T) {
	everywhere(t, func(t *testing.T, at place) {
		b := newBook(t, 1)
		b.fund(anna, "1.00")
		db := at.open()
		v := b.views(db, at.dialect, quick)
		mustReach(t, v)
		w := mustWriter(t, v)
		dead := &build{v: v, goals: make([]int64, 1), tally: newTally()}
		if err := dead.begin(t.Context(), w, all(), false); err != nil {
			t.Fatal(err)
		}
		other := &build{v: v, goals: make([]int64, 1), tally: newTally()}
		if err := other.begin(t.Context(), w, all(), false); !errors.Is(err, errBuilding) {
			t.Errorf("a second build of the same: %v", err)
		}
		if _, err := db.Exec("UPDATE views_builds SET beat = 0"); err != nil {
			t.Fatal(err)
		}
		if err := v.Rebuild(t.Context(), nil, nil); err != nil {
			t.Fatal(err)
		}
		if err := dead.switchOver(t.Context(), w); err == nil {
			t.Error("the dead build serves")
		}
		generations(t, v)
		b.equalToFold(v)
	})
}

func TestOpenSQLite(t *testing.T) {
	b := newBook(t, 1)
	b.fund(anna, "42.00")
	path := filepath.Join(t.TempDir(), "folder", "views.db")
	quiet := slog.New(slog.DiscardHandler)
	rebuilt := func(why string) {
		t.Helper()
		db, err := OpenSQLite(t.Context(), path, quiet)
		if err != nil {
			t.Fatalf("%s: %v", why, err)
		}
		b.equalToFold(b.views(db, SQLite, quick))
		if err := db.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := OpenExistingSQLite(t.Context(), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("existing: %v", err)
	}
	rebuilt("missing")
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	rebuilt("there")

	write := func(content []byte) {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write([]byte(strings.Repeat("this is no database\n", 500)))
	if _, err := OpenExistingSQLite(t.Context(), path); !errors.Is(err, ErrDamaged) {
		t.Errorf("existing: %v", err)
	}
	rebuilt("no database")

	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 4096 * 2; i < len(content); i++ {
		content[i] ^= 0x5a
	}
	write(content)
	rebuilt("damaged pages")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	rebuilt("deleted")
}

// Damage that a running server comes upon is mended by the next start.
func TestDamageFoundWhileRunning(t *testing.T) {
	b := newBook(t, 1)
	b.fund(anna, "42.00")
	path := filepath.Join(t.TempDir(), "views.db")
	open := func() *Views {
		db, err := OpenSQLite(t.Context(), path, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { closing(t, db) })
		return b.views(db, SQLite, quick)
	}
	v := open()
	if err := v.markDamaged(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenExistingSQLite(t.Context(), path); !errors.Is(err, ErrDamaged) {
		t.Errorf("existing: %v", err)
	}
	b.equalToFold(open())
	if _, err := os.Stat(path + damagedMark); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the mark is still there: %v", err)
	}
}

// counted counts the readings of heads, which wait to be let go.
type counted struct {
	Log
	heads   atomic.Int64
	entered chan struct{}
	let     chan struct{}
}

func (c *counted) Head(ctx context.Context, p int) (eventstore.Head, error) {
	c.heads.Add(1)
	c.entered <- struct{}{}
	<-c.let
	return c.Log.Head(ctx, p)
}

// Callers that come while heads are being read share the next reading: each gets heads that were read after it came.
func TestHeadsAreReadForManyAtOnce(t *testing.T) {
	b := newBook(t, 1)
	log := &counted{Log: b.log, entered: make(chan struct{}), let: make(chan struct{})}
	h := &headReader{log: log, partitions: 1}
	var callers sync.WaitGroup
	read := func(atLeast int64) {
		callers.Go(func() {
			heads, err := h.read(context.Background())
			if err != nil || heads[0].Seq < atLeast {
				t.Errorf("heads %+v, %v, want %d", heads, err, atLeast)
			}
		})
	}
	read(0)
	<-log.entered
	b.fund(anna, "1.00")
	const many = 20
	for range many {
		read(1)
	}
	until(t, "all wait", func() bool { h.mu.Lock(); defer h.mu.Unlock(); return h.waiting != nil })
	log.let <- struct{}{}
	<-log.entered
	log.let <- struct{}{}
	go func() { // callers that came too late for the second reading
		for {
			select {
			case <-log.entered:
				log.let <- struct{}{}
			case <-t.Context().Done():
				return
			}
		}
	}()
	callers.Wait()
	if n := log.heads.Load(); n > many/2 {
		t.Errorf("%d readings for %d callers", n, many+1)
	}
}
