package pack

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/batch"
	"github.com/khata-ledger/khata/domain/fee"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
)

const (
	shop = "mer_aaaaaaaaaaaaaaaa"
	txn  = "txn_aaaaaaaaaaaaaaaa"
	bat  = "bat_aaaaaaaaaaaaaaaa"
)

var (
	ledgerID = uuid.MustParse("0198c9a4-0000-7000-8000-000000000001")
	noon     = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
	hindi    = "राहुल शर्मा"
)

func inr(s string) money.Amount { return money.MustParse(s, money.INR) }

// log is a partition in memory, which a pack is made from.
type log struct {
	t       testing.TB
	records []eventstore.Record
	opened  map[int64][][]byte // the messages of records in clear
}

// Hashes implements proof.Hashes.
func (l *log) Hashes(_ context.Context, _ int, after int64, limit int) (all []eventstore.Hash, err error) {
	for i := int(after); i < len(l.records) && len(all) < limit; i++ {
		all = append(all, l.records[i].Hash)
	}
	return all, nil
}

// sealed is something with the length of what is sealed.
func sealed(clear []byte) []byte {
	sum := sha256.Sum256(clear)
	return append(append(append([]byte{1}, sum[:28]...), clear...), sum[:16]...)
}

type storable interface {
	Type() string
	Schema() int
}

// add appends an event with messages.
func (l *log) add(stream, subject, actor string, e storable, data []byte, err error, bodyHash string, messages ...eventstore.Evidence) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
	n := int64(len(l.records) + 1)
	r := eventstore.Record{
		Stream: stream, Subject: subject, Version: 1, Type: e.Type(), Schema: e.Schema(), Data: data,
		EventID:     uuid.NewSHA1(ledgerID, fmt.Append(nil, n)),
		EffectiveAt: noon.Add(time.Duration(n) * time.Second), RecordedAt: noon.Add(time.Duration(n) * time.Second),
		Meta: eventstore.Meta{Command: "c", Actor: actor, Request: "req_1", BodyHash: bodyHash}.Bytes(),
	}
	for i := len(l.records) - 1; i >= 0; i-- {
		if l.records[i].Stream == stream {
			r.Version = l.records[i].Version + 1
			break
		}
	}
	for _, m := range messages {
		l.opened[n] = append(l.opened[n], m.Body)
		r.Evidence = append(r.Evidence, eventstore.Evidence{MediaType: m.MediaType, Body: sealed(m.Body)})
	}
	head := eventstore.Head{Hash: eventstore.Genesis(ledgerID, 0)}
	if n > 1 {
		last := &l.records[n-2]
		head = eventstore.Head{Seq: last.Seq, Hash: last.Hash, RecordedAt: last.RecordedAt}
	}
	one := []eventstore.Record{r}
	eventstore.Chain(head, one)
	l.records = append(l.records, one[0])
}

func (l *log) wallet(actor string, e wallet.Event, bodyHash string, messages ...eventstore.Evidence) {
	l.t.Helper()
	data, err := wallet.Encode(e)
	l.add(wallet.Stream(shop, money.INR), e.Header().Payment, actor, e, data, err, bodyHash, messages...)
}

func (l *log) batch(actor string, e batch.Event, messages ...eventstore.Evidence) {
	l.t.Helper()
	data, err := batch.Encode(e)
	l.add(batch.Stream(shop, bat), bat, actor, e, data, err, "", messages...)
}

// requestKey is the key of what the records of the fixtures commit to.
var requestKey = bytes.Repeat([]byte{7}, sha256.Size)

// commitment is what a record keeps of a request; see vault.Commit.
func commitment(body string) string {
	sum := sha256.Sum256([]byte(body))
	mac := hmac.New(sha256.New, requestKey)
	mac.Write([]byte(hex.EncodeToString(sum[:])))
	return "1." + base64.RawURLEncoding.EncodeToString(mac.Sum(make([]byte, 16)))
}

func jsonMessage(body string) eventstore.Evidence {
	return eventstore.Evidence{MediaType: "application/json", Body: []byte(body)}
}

// story of the fixtures: a payout from a batch, which the bank paid and sent back, and which somebody has resolved by hand.
func payout(t testing.TB, masked bool) (*log, []int64) {
	l := &log{t: t, opened: map[int64][][]byte{}}
	of := wallet.Of{Merchant: shop, Currency: money.INR, Payment: txn}
	price := wallet.Priced{Amount: inr("1000"), Commission: inr("10"), Tax: inr("1.53"), Fee: fee.Rule{Plan: "default", Version: 1}}
	body := `{"mobile_no":"9876543210","beneficiary_name":"` + hindi + `","account_no":"1234567890","amount":1000,"remarks":"rent of ` + hindi + `"}`
	ofBatch := batch.Of{Merchant: shop, Currency: money.INR, Batch: bat}
	l.wallet("asha", &wallet.WalletAdjusted{Of: wallet.Of{Merchant: shop, Currency: money.INR, Payment: "txn_0"}, Amount: inr("5000"), Reason: "opening", Actor: "asha"}, "")
	l.batch("key:key_maker", &batch.Submitted{
		Of: ofBatch, Ref: "B1", Digest: "d", Count: 1, Amount: inr("1000"), Commission: inr("10"), Actor: "key:key_maker",
	}, jsonMessage(`{"client_ip":"192.0.2.9"}`))
	l.batch("key:key_checker", &batch.Approved{Of: ofBatch, Actor: "key:key_checker", Note: "checked"})
	l.wallet("key:key_maker", &wallet.PayoutInitiated{
		Of: of, Priced: price, RequestID: "PRQ-1", IFSC: "SBIN0001234", BankName: "State Bank of India", AccountLast4: "7890",
		AccountFingerprint: "fp", TransferType: "5", Sealed: "AQID", Batch: bat, Index: 1,
	}, commitment(body), jsonMessage(body), eventstore.Evidence{MediaType: "application/vnd.khata.origin+json", Body: []byte(`{"key_id":"key_maker","client_ip":"192.0.2.9"}`)})
	l.wallet("system:dispatch", &wallet.PayoutSubmitted{Of: of, Attempt: 1, Gateway: "sandbox", Reference: txn}, "")
	l.wallet("asha", &wallet.WalletAdjusted{Of: wallet.Of{Merchant: shop, Currency: money.INR, Payment: "txn_1"}, Amount: inr("7"), Reason: "other", Actor: "asha"}, "")
	l.wallet("gateway:sandbox", &wallet.PayoutSucceeded{Of: of, Priced: price, Gateway: "sandbox", UTR: "632616000002", BankReference: "SBX2", Batch: bat}, "",
		jsonMessage(`{"status":"paid","utr":"632616000002","payee":"`+hindi+`","note":"to RAHUL"}`))
	l.wallet("asha", &wallet.PayoutReturned{Of: of, Priced: price, Gateway: "sandbox", ReturnReference: "RET1", Reason: "account_closed", Actor: "asha, ravi", Batch: bat}, "",
		eventstore.Evidence{MediaType: "application/pdf", Body: []byte("%PDF-1.4 \xff letter of the bank")})
	opening := &merchant.DataOpened{Of: merchant.Of{Merchant: shop, Actor: "operator:opr_1"}, Transaction: txn, Purpose: merchant.PurposePack, Unmasked: !masked, Reason: "chargeback 7"}
	data, err := merchant.Encode(opening)
	l.add(merchant.Stream(shop), shop, "operator:opr_1", opening, data, err, "",
		eventstore.Evidence{MediaType: "application/vnd.khata.origin+json", Body: []byte(`{"operator_id":"opr_1","client_ip":"192.0.2.9"}`)})
	l.wallet("asha", &wallet.WalletAdjusted{Of: wallet.Of{Merchant: shop, Currency: money.INR, Payment: "txn_2"}, Amount: inr("1"), Reason: "later", Actor: "asha"}, "")
	return l, []int64{2, 3, 4, 5, 7, 8, 9}
}

func newKey(t testing.TB, of uuid.UUID) *proof.SigningKey {
	t.Helper()
	key, err := proof.NewSigningKey(of)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func keysOf(t testing.TB, key *proof.SigningKey) proof.Keys {
	t.Helper()
	keys, err := proof.ParseKeys(key.String())
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// source gathers what a pack is made of from a log.
func (l *log) source(key *proof.SigningKey, masked bool, seqs ...int64) *Source {
	t := l.t
	t.Helper()
	tree := proof.NewTree(proof.FromLog(l, 0), int64(len(l.records)))
	root, err := tree.Root(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	checkpoint, err := key.Sign(&proof.Checkpoint{Ledger: ledgerID, At: noon.Add(time.Hour), Trees: []proof.TreeHead{{Size: int64(len(l.records)), Root: root}}})
	if err != nil {
		t.Fatal(err)
	}
	src := &Source{Payment: txn, MerchantName: "Shop " + hindi, Masked: masked}
	var included []proof.Included
	for _, seq := range seqs {
		path, err := tree.Inclusion(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		previous := eventstore.Genesis(ledgerID, 0)
		if seq > 1 {
			previous = l.records[seq-2].Hash
		}
		r := l.records[seq-1]
		included = append(included, proof.Included{Record: r, Previous: previous, Path: path})
		if r.Subject == bat {
			continue
		}
		for n, m := range r.Evidence {
			src.Messages = append(src.Messages, Message{Position: r.Position(), Number: n, MediaType: m.MediaType, Sealed: m.Body, Opened: l.opened[seq][n], Key: requestKey})
		}
	}
	if src.Inclusion, err = proof.Inclusion(checkpoint, included); err != nil {
		t.Fatal(err)
	}
	w := wallet.NewWallet(shop, money.INR)
	for i := range l.records {
		r := &l.records[i]
		fact, err := wallet.Decode(r.Type, r.Schema, r.Data)
		if err != nil || r.Stream != wallet.Stream(shop, money.INR) {
			continue
		}
		before := balancesOf(w)
		if w.Evolve(fact); r.Subject == txn {
			src.Balances = append(src.Balances, Step{r.Position().String(), before, balancesOf(w)})
		}
	}
	at := eventstore.Position{Seq: 4}
	src.Personal = []Personal{{Position: at, Opened: []byte(`{"name":"` + hindi + `","account_no":"1234567890","mobile":"9876543210"}`)}}
	src.Callbacks = []Callback{{
		ID: "cb_1", Position: "0:7", Event: "payout.succeeded", Tells: "success", Status: "delivered", CreatedAt: noon, DeliveredAt: noon,
		Body: `{"event":"transaction.updated","amount":1000}`, Attempts: []Attempt{NewAttempt(Attempt{Number: 1, StartedAt: noon, FinishedAt: noon, HTTPStatus: 200}, []byte("thanks, "+hindi))},
	}}
	src.Answers = []Answer{{Position: "0:4", Request: "POST /x", HTTPStatus: 200, At: noon, Body: `{"status":"success"}`}}
	return src
}

// made is a pack of the payout.
func made(t testing.TB, key *proof.SigningKey, masked bool) []byte {
	t.Helper()
	l, seqs := payout(t, masked)
	zip, _, err := Build(l.source(key, masked, seqs...), key)
	if err != nil {
		t.Fatal(err)
	}
	return zip
}

// resigned is a pack whose files were changed by somebody who has a key: the manifest is signed anew.
func resigned(t testing.TB, zip []byte, key *proof.SigningKey, change func(map[string][]byte, *manifest)) []byte {
	t.Helper()
	files, wrong := unpack(zip)
	if wrong != nil {
		t.Fatal(wrong)
	}
	bodies := map[string][]byte{}
	for _, f := range files {
		bodies[f.name] = f.body
	}
	text := string(bodies[manifestName])
	m, err := parseManifest(text[:len(text)-len(text[indexOf(text, "\n\n"):])+1])
	if err != nil {
		t.Fatal(err)
	}
	delete(bodies, manifestName)
	change(bodies, &m)
	files = nil
	for name, body := range bodies {
		files = append(files, file{name, body})
	}
	sorted, err := archive(files, m.at)
	if err != nil {
		t.Fatal(err)
	}
	if files, wrong = unpack(sorted); wrong != nil {
		t.Fatal(wrong)
	}
	m.files = list(files)
	statement, err := key.SignStatement(m.text())
	if err != nil {
		t.Fatal(err)
	}
	out, err := archive(append(files, file{manifestName, statement}), m.at)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func indexOf(s, part string) int {
	for i := range s {
		if len(s)-i >= len(part) && s[i:i+len(part)] == part {
			return i
		}
	}
	return len(s)
}

// altered decodes a JSON file, changes it, and writes it back.
func altered[V any](t testing.TB, files map[string][]byte, name string, change func(*V)) {
	t.Helper()
	var v V
	if err := json.Unmarshal(files[name], &v); err != nil {
		t.Fatal(err)
	}
	change(&v)
	body, err := encode(v)
	if err != nil {
		t.Fatal(err)
	}
	files[name] = body
}
