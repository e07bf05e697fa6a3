package sandbox

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/domain/money"
)

func (b *Bank) routes() {
	b.mux = http.NewServeMux()
	b.mux.HandleFunc("POST /sandbox/bank/transfers", b.serveSend)
	b.mux.HandleFunc("GET /sandbox/bank/transfers", b.serveList)
	b.mux.HandleFunc("GET /sandbox/bank/transfers/{reference}", b.serveInquiry)
	b.mux.HandleFunc("POST /sandbox/upi/pay", b.servePay)
	b.mux.HandleFunc("GET /sandbox/upi/payments", b.servePayments)
	b.mux.HandleFunc("POST /sandbox/upi/disputes", b.serveDispute)
	b.mux.HandleFunc("POST /sandbox/upi/refunds", b.serveRefund)
	b.mux.HandleFunc("GET /sandbox/upi/refunds", b.serveRefunds)
	b.mux.HandleFunc("GET /sandbox/upi/refunds/{reference}", b.serveRefundInquiry)
	b.razorpayRoutes()
	b.payuRoutes()
}

func (b *Bank) serveSend(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	if _, err := verify(r.Header, b.opts.Secret, body, b.opts.Clock()); err != nil {
		writeError(w, http.StatusUnauthorized, "", err.Error())
		return
	}
	var req transferRequest
	if err := decode(body, &req); err != nil {
		writeFieldError(w, err)
		return
	}
	amount, err := req.check()
	if err != nil {
		writeFieldError(w, err)
		return
	}
	t, err := b.send(r.Context(), req, amount)
	b.linger(r.Context())
	switch {
	case errors.Is(err, errFault):
		writeError(w, http.StatusInternalServerError, "", errFault.Error())
	case errors.Is(err, errConflict):
		writeError(w, http.StatusConflict, "reference", errConflict.Error())
	case err != nil:
		b.fail(w, err)
	case t == nil || behaviourOf(t.digits).drop:
		drop(w)
	default:
		writeJSON(w, http.StatusOK, t.answer())
	}
}

// serveNothing answers what no route is for: another method than a path takes, or no such path.
func (b *Bank) serveNothing(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := b.mux.Handler(other); pattern != "" {
			allow = append(allow, method)
		}
	}
	if len(allow) == 0 {
		writeError(w, http.StatusNotFound, "", "the sandbox bank has no such path")
		return
	}
	w.Header().Set("Allow", strings.Join(allow, ", "))
	writeError(w, http.StatusMethodNotAllowed, "", "this path takes "+strings.Join(allow, " and "))
}

// check reads the amount; *fieldError says what is wrong with the request.
func (r *transferRequest) check() (money.Amount, error) {
	amount, err := money.Parse(r.Amount, r.Currency)
	switch {
	case !validReference(r.Reference) || strings.Contains(r.Reference, "/"):
		return amount, &fieldError{"reference", "must be 1 to 100 printable characters without / and spaces"}
	case err != nil || amount.Sign() <= 0:
		return amount, &fieldError{"amount", "must be an amount above zero, in a known currency"}
	case len(r.AccountNo) < 2 || len(r.AccountNo) > 40:
		return amount, &fieldError{"account_no", "must be an account number"}
	case r.IFSC == "" || len(r.IFSC) > 11:
		return amount, &fieldError{"ifsc", "must be a bank's code"}
	}
	return amount, nil
}

// linger is the bank's latency.
func (b *Bank) linger(ctx context.Context) {
	if b.opts.Latency <= 0 {
		return
	}
	timer := time.NewTimer(b.opts.Latency)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// drop closes the connection without an answer.
func drop(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // net/http's own way to cut a connection that cannot be hijacked
	}
	if err := conn.Close(); err != nil {
		return // it is gone either way
	}
}

func (b *Bank) serveInquiry(w http.ResponseWriter, r *http.Request) {
	reference := r.PathValue("reference")
	t, err := findTransfer(r.Context(), b.readers, reference)
	b.linger(r.Context())
	switch {
	case err != nil:
		b.fail(w, err)
	case t == nil:
		writeJSON(w, http.StatusNotFound, transferAnswer{Reference: reference, Status: statusNotFound})
	default:
		writeJSON(w, http.StatusOK, t.answer())
	}
}

// serveList streams the bank's truth.
func (b *Bank) serveList(w http.ResponseWriter, r *http.Request) {
	limit := -1
	if r.URL.Query().Has("limit") {
		n, err := strconv.Atoi(r.URL.Query().Get("limit"))
		if err != nil || n < 0 {
			writeError(w, http.StatusBadRequest, "limit", "limit must be a whole number, not negative")
			return
		}
		limit = n
	}
	w.Header().Set("Content-Type", "application/json")
	out := bufio.NewWriter(w)
	separator := `{"transfers":[`
	err := b.list(r.Context(), limit, func(t listedTransfer) error {
		line, err := json.Marshal(t)
		if err != nil {
			return err
		}
		if _, err := out.WriteString(separator); err != nil {
			return err
		}
		separator = ","
		_, err = out.Write(line)
		return err
	})
	if err == nil {
		if separator != "," {
			_, err = out.WriteString(separator)
		}
		if err == nil {
			_, err = out.WriteString("]}\n")
		}
	}
	if err == nil {
		err = out.Flush()
	}
	if err != nil {
		b.log.Warn("the list of transfers was cut short", "error", err)
		panic(http.ErrAbortHandler) // part of it may be sent: only a cut connection tells that it is not whole
	}
}

func (b *Bank) servePay(w http.ResponseWriter, r *http.Request) {
	body, ok := readBody(w, r)
	if !ok {
		return
	}
	var req payRequest
	if err := decode(body, &req); err != nil {
		writeFieldError(w, err)
		return
	}
	reference, amount, err := req.check()
	if err != nil {
		writeFieldError(w, err)
		return
	}
	p, found, err := b.payRazorpay(r.Context(), reference, amount, req.Outcome)
	if err == nil && !found {
		p, err = b.pay(r.Context(), reference, amount, req.Outcome)
	}
	var field *fieldError
	switch {
	case errors.As(err, &field):
		writeFieldError(w, field)
	case err != nil:
		b.fail(w, err)
	default:
		writeJSON(w, http.StatusOK, p)
	}
}

func (b *Bank) servePayments(w http.ResponseWriter, r *http.Request) {
	reference := r.URL.Query().Get("reference")
	if !validReference(reference) {
		writeFieldError(w, &fieldError{"reference", "is required"})
		return
	}
	list, err := b.payments(r.Context(), reference)
	if err != nil {
		b.fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, list)
}

// readBody reads a bounded body, or answers why not.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, gateway.MaxBodyBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		writeError(w, http.StatusRequestEntityTooLarge, "", fmt.Sprintf("the body is larger than %d bytes", gateway.MaxBodyBytes))
	case err != nil:
		writeError(w, http.StatusBadRequest, "", "the body cannot be read")
	}
	return body, err == nil
}

// decode reads a JSON object, whole and with known fields only.
func decode(body []byte, into any) error {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	err := d.Decode(into)
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field != "":
		return &fieldError{wrong.Field, "must be a JSON string"}
	case err != nil && strings.HasPrefix(err.Error(), "json: unknown field "):
		return &fieldError{strings.Trim(strings.TrimPrefix(err.Error(), "json: unknown field "), `"`), "is not a known field"}
	case err != nil:
		return errors.New("the body must be a JSON object")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body must be one JSON object")
	}
	return nil
}

// fail answers a failure of the bank's own.
func (b *Bank) fail(w http.ResponseWriter, err error) {
	b.log.Error("the sandbox bank failed", "error", err)
	writeError(w, http.StatusServiceUnavailable, "", "the bank is not available")
}

func writeFieldError(w http.ResponseWriter, err error) {
	var field *fieldError
	if errors.As(err, &field) {
		writeError(w, http.StatusUnprocessableEntity, field.field, field.Error())
		return
	}
	writeError(w, http.StatusBadRequest, "", err.Error())
}

func writeError(w http.ResponseWriter, status int, field, message string) {
	writeJSON(w, status, errorBody{Message: message, Field: field})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("sandbox: an answer cannot be encoded: " + err.Error()) // strings and times always can
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b) //nolint:errcheck // who went away inquires
}
