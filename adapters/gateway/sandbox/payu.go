package sandbox

import (
	"context"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/khata-ledger/khata/domain/money"
)

// The PayU face: what PayU India's hosted checkout and its command API do, by its public documentation (docs.payu.in).

const payuBase = "/sandbox/payu"

func (b *Bank) payuRoutes() {
	b.mux.HandleFunc("POST "+payuBase+"/accounts", b.servePayUAccount)
	b.mux.HandleFunc("GET "+payuBase+"/accounts", b.servePayUAccounts)
	b.mux.HandleFunc("GET "+payuBase+"/truth", b.servePayUTruth)
	b.mux.HandleFunc("POST "+payuBase+"/_payment", b.servePayUPage)
	b.mux.HandleFunc("POST "+payuBase+"/_payment/{token}", b.servePayUVisit)
	b.mux.HandleFunc("POST "+payuBase+"/merchant/postservice", b.servePayUCommand)
	b.mux.HandleFunc("POST "+payuBase+"/merchant/postservice.php", b.servePayUCommand)
}

// payuAccount is an account of the face. It holds a secret.
type payuAccount struct {
	Key        string    `json:"key"`
	Salt       string    `json:"salt,omitempty"`
	WebhookURL string    `json:"webhook_url"`
	Verify     string    `json:"verify"`
	Refunds    string    `json:"refunds"`
	CreatedAt  time.Time `json:"created_at"`
}

// payuAccountRequest makes an account, or changes one, for who gives its salt. What it leaves out stays as it is, and is generated for a new account.
type payuAccountRequest struct {
	Key        *string `json:"key"`
	Salt       *string `json:"salt"`
	WebhookURL *string `json:"webhook_url"`
	Verify     *string `json:"verify"`
	Refunds    *string `json:"refunds"`
}

const payuAccountColumns = `merchant, salt, webhook_url, verify, refunds, created_at`

func scanPayUAccount(scan func(...any) error) (*payuAccount, error) {
	a := &payuAccount{}
	var created int64
	err := scan(&a.Key, &a.Salt, &a.WebhookURL, &a.Verify, &a.Refunds, &created)
	a.CreatedAt = time.UnixMicro(created).UTC()
	return a, err
}

// payuAccountOf returns nil when there is none.
func payuAccountOf(ctx context.Context, q querier, key string) (*payuAccount, error) {
	return optional(q.QueryRowContext(ctx, `SELECT `+payuAccountColumns+` FROM payu_accounts WHERE merchant = $1`, key), scanPayUAccount)
}

func (b *Bank) servePayUAccount(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var req payuAccountRequest
	if err := decode(body, &req); err != nil {
		writeFieldError(w, err)
		return
	}
	key := faceID("", 6)
	if req.Key != nil {
		key = *req.Key
	}
	if !isAlphanumeric(key, 1, 50) {
		writeFieldError(w, &fieldError{"key", "must be up to 50 letters and digits"})
		return
	}
	var a *payuAccount
	ctx := r.Context()
	err := b.transaction(ctx, func(tx *sql.Tx) (err error) {
		if a, err = payuAccountOf(ctx, tx, key); err != nil {
			return err
		}
		if a != nil && !owns(req.Salt, a.Salt) {
			return errNotOwner
		}
		if a == nil {
			a = &payuAccount{Key: key, Salt: rand.Text(), Verify: faceAccept, Refunds: refundsProcess, CreatedAt: b.now()}
		}
		for _, err := range []error{
			replaceText(&a.Salt, req.Salt, "salt"), b.replaceHook(&a.WebhookURL, req.WebhookURL),
			choose(&a.Verify, req.Verify, "verify", faceAccept, faceError, faceSilent),
			choose(&a.Refunds, req.Refunds, "refunds", refundsProcess, refundsFail, refundsHold),
		} {
			if err != nil {
				return err
			}
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO payu_accounts (`+payuAccountColumns+`) VALUES ($1, $2, $3, $4, $5, $6)
			ON CONFLICT (merchant) DO UPDATE SET salt = $2, webhook_url = $3, verify = $4, refunds = $5`, a.Key, a.Salt, a.WebhookURL, a.Verify, a.Refunds, a.CreatedAt.UnixMicro())
		return err
	})
	b.answerFace(w, a, err)
}

func (b *Bank) servePayUAccounts(w http.ResponseWriter, r *http.Request) {
	list, err := listOf(r.Context(), b.readers, scanPayUAccount,
		`SELECT `+payuAccountColumns+` FROM payu_accounts ORDER BY seq DESC LIMIT $1`, maxAccounts)
	for _, a := range list {
		a.Salt = ""
	}
	b.answerFace(w, map[string]any{"accounts": list}, err)
}

// servePayUTruth tells what the face has really collected and given back.
func (b *Bank) servePayUTruth(w http.ResponseWriter, r *http.Request) {
	limit, err := truthLimit(r)
	if err != nil {
		writeFieldError(w, err)
		return
	}
	ctx, key := r.Context(), r.URL.Query().Get("key")
	payments, err := listOf(ctx, b.readers, scanPayUPayment,
		`SELECT `+payuPaymentColumns+` FROM payu_payments WHERE $1 IN ('', merchant) ORDER BY mihpayid DESC LIMIT $2`, key, limit)
	if err != nil {
		b.fail(w, err)
		return
	}
	refunds, err := listOf(ctx, b.readers, scanPayURefund,
		`SELECT `+payuRefundColumns+` FROM payu_refunds WHERE $1 IN ('', merchant) ORDER BY request_id DESC LIMIT $2`, key, limit)
	b.answerFace(w, map[string]any{"payments": payments, "refunds": refunds}, err)
}

// payuHash is the hexadecimal SHA-512 of parts joined by bars.
func payuHash(parts ...string) string {
	sum := sha512.Sum512([]byte(strings.Join(parts, "|")))
	return hex.EncodeToString(sum[:])
}

// payuHashIs compares hashes in constant time; their case does not matter.
func payuHashIs(given, want string) bool {
	return subtle.ConstantTimeCompare([]byte(strings.ToLower(given)), []byte(want)) == 1
}

// payuZone is what PayU's times are in.
func payuZone() *time.Location {
	return time.FixedZone("IST", int((5*time.Hour + 30*time.Minute).Seconds()))
}

// States of a payment and of a refund.
const (
	payuPending = "pending"
	payuSuccess = "success"
	payuFailure = "failure"
	payuQueued  = "queued"
)

// payuPayment is a row of payu_payments: one attempt to pay a txnid. Its JSON is what the truth shows.
type payuPayment struct {
	ID        int64             `json:"mihpayid,string"`
	Token     string            `json:"-"`
	Key       string            `json:"key"`
	TxnID     string            `json:"txnid"`
	Minor     int64             `json:"-"`
	Amount    string            `json:"amount"` // rupees, two decimals
	Status    string            `json:"status"`
	Unmapped  string            `json:"unmappedstatus"`
	Mode      string            `json:"mode"`
	BankCode  string            `json:"bankcode"`
	Card      string            `json:"card"`
	BankRef   string            `json:"bank_ref_num"`
	Error     string            `json:"error"`
	Message   string            `json:"error_Message"`
	Said      string            `json:"-"`
	Refunded  int64             `json:"refunded_paisa"`
	Form      map[string]string `json:"-"`
	CreatedAt time.Time         `json:"created_at"`
}

const payuPaymentColumns = `mihpayid, token, merchant, txnid, amount, status, unmapped, mode, bankcode, card, bank_ref, error, message, said, refunded, form, created_at`

func scanPayUPayment(scan func(...any) error) (*payuPayment, error) {
	p := &payuPayment{}
	var form string
	var created int64
	err := scan(&p.ID, &p.Token, &p.Key, &p.TxnID, &p.Minor, &p.Status, &p.Unmapped, &p.Mode, &p.BankCode, &p.Card, &p.BankRef, &p.Error, &p.Message, &p.Said,
		&p.Refunded, &form, &created)
	if err != nil {
		return nil, err
	}
	p.CreatedAt = time.UnixMicro(created).UTC()
	p.Amount = p.money().Fixed()
	return p, json.Unmarshal([]byte(form), &p.Form)
}

func (p *payuPayment) money() money.Amount { return money.FromMinor(p.Minor, money.INR) }

// store writes what has become of an attempt.
func (p *payuPayment) store(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, `UPDATE payu_payments SET status = $2, unmapped = $3, mode = $4, bankcode = $5, card = $6, bank_ref = $7, error = $8,
		message = $9, said = $10, refunded = $11 WHERE mihpayid = $1`,
		p.ID, p.Status, p.Unmapped, p.Mode, p.BankCode, p.Card, p.BankRef, p.Error, p.Message, p.Said, p.Refunded)
	return err
}

// payuEchoed are the parameters of _payment that come back as they were posted, in the order of the documentation.
func payuEchoed() []string {
	return []string{
		"productinfo", "firstname", "lastname", "address1", "address2", "city", "state", "country", "zipcode", "email", "phone",
		"udf1", "udf2", "udf3", "udf4", "udf5",
	}
}

// answer is what PayU posts about an attempt: by the browser to surl or furl, and to the webhook.
func (p *payuPayment) answer(salt string) []formField {
	f := p.Form
	debit := "0.00"
	if p.Status == payuSuccess {
		debit = p.money().Short()
	}
	out := []formField{
		{"mihpayid", fmt.Sprint(p.ID)}, {"mode", p.Mode}, {"status", p.Status}, {"unmappedstatus", p.Unmapped}, {"key", p.Key}, {"txnid", p.TxnID},
		{"amount", p.Amount}, {"discount", "0.00"}, {"net_amount_debit", debit}, {"addedon", p.CreatedAt.In(payuZone()).Format(time.DateTime)},
	}
	for _, name := range payuEchoed() {
		out = append(out, formField{name, f[name]})
	}
	for _, name := range []string{"udf6", "udf7", "udf8", "udf9", "udf10"} {
		out = append(out, formField{name, ""})
	}
	// The request's hash, read backwards: salt|status||||||udf5|...|udf1|email|firstname|productinfo|amount|txnid|key.
	out = append(out, formField{"hash", payuHash(salt, p.Status, "", "", "", "", "", f["udf5"], f["udf4"], f["udf3"], f["udf2"], f["udf1"],
		f["email"], f["firstname"], f["productinfo"], p.Amount, p.TxnID, p.Key)})
	for i := 1; i <= 8; i++ {
		out = append(out, formField{fmt.Sprintf("field%d", i), ""})
	}
	source := ""
	if p.Mode != "" {
		source = p.Mode + "-PG"
	}
	out = append(out, formField{"field9", p.Said}, formField{"payment_source", "payu"}, formField{"PG_TYPE", source}, formField{"bank_ref_num", p.BankRef},
		formField{"bankcode", p.BankCode}, formField{"error", p.Error}, formField{"error_Message", p.Message})
	if p.Card != "" {
		out = append(out, formField{"cardnum", p.Card})
	}
	return out
}
