package editlog_test

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/adapters/editlog"
	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/memory"
)

const (
	shop  = "mer_aaaaaaaaaaaaaaaa"
	other = "mer_bbbbbbbbbbbbbbbb"
)

var start = time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)

// book is a log that is being made, an event a minute.
type book struct {
	t       failing
	log     *memory.Store
	records int
	version map[string]int64
}

// failing is a testing.T or a rapid.T.
type failing interface {
	Helper()
	Fatal(args ...any)
	Context() context.Context
}

func newBook(t failing) *book {
	return &book{t: t, log: memory.New(2), version: map[string]int64{}}
}

// add appends an event under a stream and subject.
func (b *book) add(stream, subject, typ string, data []byte, meta eventstore.Meta) {
	b.t.Helper()
	b.records++
	b.version[stream]++
	var id uuid.UUID
	binary.BigEndian.PutUint64(id[:], uint64(b.records)) //nolint:gosec // it is small
	at := start.Add(time.Duration(b.records-1) * time.Minute)
	owner := strings.Split(stream, ":")[1]
	p := eventstore.PartitionOf(owner, 2)
	head, err := b.log.Head(b.t.Context(), p)
	if err != nil {
		b.t.Fatal(err)
	}
	record := []eventstore.Record{{
		Stream: stream, Version: b.version[stream], Subject: subject, Type: typ, Schema: 1, EventID: id, EffectiveAt: at, RecordedAt: at,
		Data: data, Meta: meta.Bytes(), Evidence: []eventstore.Evidence{{MediaType: "x", Body: []byte("SEALED")}},
	}}
	eventstore.Chain(head, record)
	if err := b.log.Append(b.t.Context(), head, record); err != nil {
		b.t.Fatal(err)
	}
}

func (b *book) merchant(e merchant.Event) {
	b.t.Helper()
	data, err := merchant.Encode(e)
	if err != nil {
		b.t.Fatal(err)
	}
	kind, _, _ := strings.Cut(e.Type(), ".")
	b.add(kind+":"+e.Subject(), e.Subject(), e.Type(), data, eventstore.Meta{Command: "c", Actor: "operator:asha", Request: "req_1"})
}

func (b *book) wallet(actor string, e wallet.Event) {
	b.t.Helper()
	data, err := wallet.Encode(e)
	if err != nil {
		b.t.Fatal(err)
	}
	of := e.Header()
	b.add(wallet.Stream(of.Merchant, of.Currency), of.Payment, e.Type(), data, eventstore.Meta{Command: "c", Actor: actor})
}

func (b *book) batch(actor string, e batch.Event) {
	b.t.Helper()
	data, err := batch.Encode(e)
	if err != nil {
		b.t.Fatal(err)
	}
	of := e.Header()
	b.add(batch.Stream(of.Merchant, of.Batch), of.Batch, e.Type(), data, eventstore.Meta{Command: "c", Actor: actor, Request: "req_2"})
}

func (b *book) read(o editlog.Options) []editlog.Entry {
	b.t.Helper()
	var all []editlog.Entry
	if _, err := editlog.Read(b.t.Context(), b.log, o, func(e *editlog.Entry) error {
		all = append(all, *e)
		return nil
	}); err != nil {
		b.t.Fatal(err)
	}
	return all
}

// tell is an entry as a line.
func tell(e editlog.Entry) string {
	s := fmt.Sprintf("%s %s by %s from %s", e.Event, e.Subject, e.Actor, e.Source)
	for _, c := range e.Changes {
		s += fmt.Sprintf("; %s: %q -> %q", c.Field, c.Before, c.After)
	}
	if e.Reason != "" {
		s += "; because " + e.Reason
	}
	return s
}

func expect(t *testing.T, got []editlog.Entry, want ...string) {
	t.Helper()
	var lines []string
	for _, e := range got {
		lines = append(lines, tell(e))
	}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"))
	}
}

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

func aKey(id string) merchant.Key {
	return merchant.Key{ID: id, Hash: strings.Repeat("5e", 32), Last4: "WXYZ", Role: merchant.Full, CreatedAt: start}
}

// What a person did to a wallet has the balances around it; what the system and gateways do is none of it.
func TestWalletsByHand(t *testing.T) {
	b := newBook(t)
	of := func(id string) wallet.Of { return wallet.Of{Merchant: shop, Currency: money.INR, Payment: id} }
	priced := wallet.Priced{Amount: inr("100"), Commission: inr("10"), Tax: inr("0")}
	b.wallet("cli:asha", &wallet.WalletAdjusted{Of: of("txn_1"), Amount: inr("1000"), Reason: "opening", Actor: "asha"})
	b.wallet("key:key_1", &wallet.PayoutInitiated{Of: of("txn_2"), Priced: priced, Sealed: "SEALED"})
	b.wallet("gateway:sandbox", &wallet.PayoutRefunded{Of: of("txn_2"), Priced: priced, Gateway: "sandbox", Reason: "other"})
	b.wallet("cli:asha", &wallet.PayoutPaidAfterRefund{
		Of: of("txn_2"), Priced: priced, Taken: inr("110"), Owed: inr("0"), Gateway: "sandbox", Actor: "asha, ravi",
	})
	b.wallet("cli:asha", &wallet.WalletHeld{Of: of("hld_1"), Amount: inr("50"), Reason: "dispute", Actor: "asha"})
	b.wallet("cli:asha", &wallet.WalletReleased{Of: of("hld_1"), Amount: inr("50"), Reason: "won", Actor: "asha"})
	b.wallet("system:batches", &wallet.BatchHeld{Of: of("bat_1"), Amount: inr("60"), Upto: 1})
	b.wallet("gateway:sandbox", &wallet.PayinSuspended{Of: of("txn_3"), Suspense: "sus_1", Amount: inr("5"), Asked: inr("6"), Gateway: "sandbox"})
	b.wallet("cli:asha", &wallet.SuspenseRefunded{Of: of("txn_3"), Suspense: "sus_1", Amount: inr("5"), Gateway: "sandbox", Reason: "wrong", Actor: "asha"})
	all := b.read(editlog.Options{})
	expect(t, all,
		`wallet.adjusted txn_1 by asha from command_line; balance: "0.00" -> "1000.00"; because opening`,
		`payout.paid_after_refund txn_2 by asha, ravi from command_line; status: "refunded" -> "success"; balance: "1000.00" -> "890.00"`,
		`wallet.held hld_1 by asha from command_line; status: "" -> "pending"; balance: "890.00" -> "840.00"; locked_balance: "0.00" -> "50.00"; because dispute`,
		`wallet.released hld_1 by asha from command_line; status: "pending" -> "released"; balance: "840.00" -> "890.00"; locked_balance: "50.00" -> "0.00"; because won`,
		`suspense.refunded txn_3 by asha from command_line; suspense sus_1: "open" -> "refunded"; because wrong`,
	)
	if e := all[0]; e.Amount != "1000" && e.Amount != "1000.00" || e.Currency != "INR" || e.Origin != "cli:asha" || len(e.Evidence) != 1 || e.Merchant != shop {
		t.Errorf("%+v", e)
	}
	// A period has the balances of what came before it.
	expect(t, b.read(editlog.Options{From: start.Add(4 * time.Minute), Until: start.Add(5 * time.Minute)}),
		`wallet.held hld_1 by asha from command_line; status: "" -> "pending"; balance: "890.00" -> "840.00"; locked_balance: "0.00" -> "50.00"; because dispute`)
	expect(t, b.read(editlog.Options{Merchant: other}))
}

func TestBatches(t *testing.T) {
	b := newBook(t)
	of := func(id string) batch.Of { return batch.Of{Merchant: shop, Currency: money.INR, Batch: id} }
	submit := func(id string, checkers int) {
		terms := batch.Terms{Approval: batch.ApprovalRequired, Checkers: checkers}
		b.batch("key:key_maker", &batch.Submitted{
			Of: of(id), Ref: id, Digest: "d", Terms: terms, Count: 251, Amount: inr("251"), Commission: inr("0"), Actor: "key:key_maker",
		})
		for chunk := range 2 {
			b.batch("key:key_maker", &batch.ItemsAdded{Of: of(id), Chunk: chunk + 1, Items: []batch.Item{{
				Index: 1, Amount: inr("1"), Commission: inr("0"), Tax: inr("0"), Sealed: "SEALED",
			}}})
		}
	}
	submit("bat_1", 2)
	b.batch("key:key_a", &batch.Approved{Of: of("bat_1"), Actor: "key:key_a", Missing: 1, Note: "checked"})
	b.batch("key:key_b", &batch.Approved{Of: of("bat_1"), Actor: "key:key_b"})
	b.batch("key:key_a", &batch.CancelledBy{Of: of("bat_1"), Actor: "key:key_a", Reason: "too late"})
	submit("bat_2", 1)
	b.batch("system:batches", &batch.RejectedBy{Of: of("bat_2"), Actor: "system:batches", Reason: "the rule was changed"})
	expect(t, b.read(editlog.Options{}),
		`batch.approved bat_1 by key:key_a from api; approvals_missing: "2" -> "1"; because checked`,
		`batch.approved bat_1 by key:key_b from api; approvals_missing: "1" -> "0"; status: "awaiting_approval" -> "processing"`,
		`batch.cancelled bat_1 by key:key_a from api; status: "processing" -> "cancelled"; because too late`,
		`batch.rejected bat_2 by system:batches from system; status: "awaiting_approval" -> "rejected"; because the rule was changed`,
	)
}

// Who has had sealed data opened is told, though nothing has changed.
func TestOpenedData(t *testing.T) {
	b := newBook(t)
	of := merchant.Of{Merchant: shop, Actor: "operator:opr_1"}
	b.merchant(&merchant.DataOpened{Of: of, Transaction: "txn_1", Purpose: merchant.PurposePack, Unmasked: true, Reason: "chargeback 7"})
	b.merchant(&merchant.DataOpened{Of: of, Transaction: "txn_2", Purpose: merchant.PurposePack})
	expect(t, b.read(editlog.Options{}),
		`merchant.data_opened mer_aaaaaaaaaaaaaaaa by operator:opr_1 from api; data opened of txn_1: "sealed" -> "shown as it is"; because chargeback 7`,
		`merchant.data_opened mer_aaaaaaaaaaaaaaaa by operator:opr_1 from api; data opened of txn_2: "sealed" -> "shown masked"`)
}

// An event of a kind that this program has no words for is told, if somebody is named in it.
func TestOtherKinds(t *testing.T) {
	b := newBook(t)
	by := eventstore.Meta{Command: "c", Actor: "cli:asha"}
	b.add("period:"+shop, "2026-03", "period.closed", []byte(`{"actor":"asha","reason":"month end","sealed":"SEALED"}`), by)
	b.add("period:"+shop, "2026-03", "period.noted", []byte(`{"note":"nobody"}`), by)
	expect(t, b.read(editlog.Options{}), `period.closed 2026-03 by asha from command_line; because month end`)
}

func TestBrokenRecordIsNamed(t *testing.T) {
	b := newBook(t)
	b.add(merchant.Stream(shop), shop, "merchant.renamed", []byte(`{}`), eventstore.Meta{})
	_, err := editlog.Read(t.Context(), b.log, editlog.Options{}, func(*editlog.Entry) error { return nil })
	if p := eventstore.PartitionOf(shop, 2); err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("record %d:1: ", p)) {
		t.Error(err)
	}
}

// Whatever happens to a merchant: what an entry says was before is what the entries before it made, and nothing that a key is found by is in any.
func TestMerchantsHistoryJoinsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := newBook(t)
		of := merchant.Of{Merchant: shop, Actor: "operator:asha"}
		b.merchant(&merchant.Created{Of: of, Name: "Shop", Services: []merchant.Service{merchant.Payin}, Plan: fee.Default(), At: start})
		b.merchant(&merchant.OperatorCreated{
			Of: merchant.Of{Merchant: "opr_1", Actor: "asha"}, Operator: merchant.Operator{ID: "opr_1", Name: "Ravi", Role: merchant.Auditor, Key: aKey("key_9")},
		})
		n := rapid.IntRange(0, 20).Draw(t, "events")
		for i := range n {
			plan := fee.Default()
			plan.Version = i + 2
			key := fmt.Sprintf("key_%d", rapid.IntRange(0, 3).Draw(t, "key"))
			b.merchant(rapid.SampledFrom([]merchant.Event{
				&merchant.KeyAdded{Of: of, Key: aKey(fmt.Sprintf("key_%d", 10+i))},
				&merchant.KeyAdded{Of: of, Key: aKey("key_0")},
				&merchant.KeyExpires{Of: of, KeyID: key, At: start.Add(time.Duration(i) * time.Hour)},
				&merchant.KeyRevoked{Of: of, KeyID: key},
				&merchant.IPAllowed{Of: of, Prefix: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.0/24", i))},
				&merchant.CallbackSet{Of: of, URL: fmt.Sprintf("https://user:hunter2@shop.example/%d", i), Dialect: merchant.PHP},
				&merchant.PlanSet{Of: of, Plan: plan},
				&merchant.ApprovalSet{Of: of, Rule: merchant.ApprovalRule{Version: i, Bands: []merchant.Band{{Checkers: 1}}}},
				&merchant.Suspended{Of: of, Reason: "r"}, &merchant.Resumed{Of: of, Reason: "r"},
			}).Draw(t, "event"))
		}
		all := b.read(editlog.Options{})
		if len(all) != n+2 {
			t.Fatalf("%d entries of %d events", len(all), n+2)
		}
		now := map[string]string{}
		for _, e := range all {
			for _, c := range e.Changes {
				if name := e.Subject + c.Field; now[name] != c.Before {
					t.Fatalf("%s: %s was %q, not %q", e.Event, c.Field, now[name], c.Before)
				}
				now[e.Subject+c.Field] = c.After
			}
			if e.Source != "api" || e.Request != "req_1" {
				t.Fatalf("%+v", e)
			}
		}
		text, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{strings.Repeat("5e", 16), "WXYZ", "SEALED", "hunter2"} {
			if strings.Contains(string(text), secret) {
				t.Fatalf("the edit log has %s: %s", secret, text)
			}
		}
	})
}
