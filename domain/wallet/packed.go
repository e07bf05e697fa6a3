package wallet

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/khata-ledger/khata/domain/money"
)

// Packed is a payment in little memory, for whoever keeps many: one piece without pointers, a third of the size, which keeps
// nothing else alive. It is never stored: another program may pack in another way. The empty text is the zero Payment.
type Packed string

// packedFixed is what a payment takes beside its texts, as a rule, in bytes.
const packedFixed = 96

// Pack packs a payment.
func (p *Payment) Pack() Packed {
	var c packing
	c.out.Grow(packedFixed + len(p.Merchant) + len(p.Of.Payment) + len(p.Kind) + len(p.Status) + len(p.Fee.Plan) + len(p.OrderID) +
		len(p.TxnRef) + len(p.IntentURL) + len(p.Batch) + len(p.RequestID) + len(p.IFSC) + len(p.BankName) + len(p.BankReference) +
		len(p.ReturnReference) + len(p.Gateway) + len(p.UTR) + len(p.Reason) + len(p.Sealed) + len(p.SealID))
	c.payment(p)
	return Packed(c.out.String())
}

// Unpack makes p the payment that was packed, to the last bit of it that a decision or an answer can tell. Its texts are parts
// of the packed one.
func (k Packed) Unpack(p *Payment) {
	*p = Payment{}
	if k == "" {
		return
	}
	c := packing{in: string(k), reading: true}
	c.payment(p)
	if c.in != "" {
		panic("wallet: a packed payment has more than was packed")
	}
}

// packing carries a payment into its packed form, or out of it: each method does both, so that they cannot differ.
type packing struct {
	out      strings.Builder // packing
	in       string          // reading: what is left
	reading  bool
	currency money.Currency // of the payment, and of its amounts as a rule
}

// payment carries every field.
func (c *packing) payment(p *Payment) {
	carry(c, &p.Kind)
	carry(c, &p.Status)
	carry(c, &p.Merchant)
	carry(c, &p.Currency)
	c.currency = p.Currency
	carry(c, &p.Of.Payment)
	c.amount(&p.Amount)
	c.amount(&p.Commission)
	c.amount(&p.Tax)
	carry(c, &p.Fee.Plan)
	c.number(&p.Fee.Version)
	c.time(&p.CreatedAt)
	c.time(&p.UpdatedAt)
	carry(c, &p.Gateway)
	carry(c, &p.UTR)
	carry(c, &p.Reason)
	carry(c, &p.Sealed)
	carry(c, &p.SealID)
	c.number(&p.Notes)
	c.number(&p.Anomalies)
	c.payin(p)
	c.payout(p)
}

func (c *packing) payin(p *Payment) {
	carry(c, &p.OrderID)
	carry(c, &p.TxnRef)
	carry(c, &p.IntentURL)
	c.time(&p.ExpiresAt)
	c.flag(&p.Late)
	carry(c, &p.PaymentID)
	c.suspense(&p.Suspense)
	c.disputes(&p.Disputes)
	c.refunds(&p.Refunds)
	c.checkout(&p.Checkout)
}

func (c *packing) checkout(k *Checkout) {
	there := !k.Empty()
	if c.flag(&there); !there {
		return
	}
	carry(c, &k.Method)
	carry(c, &k.Origin)
	carry(c, &k.Signature)
	carry(c, &k.Trial)
	carry(c, &k.Config)
	c.number(&k.Attempts)
	c.flag(&k.Open)
	n := len(k.Refused)
	c.number(&n)
	if c.reading && n > 0 {
		k.Refused = make([]string, n)
	}
	for i := range k.Refused {
		carry(c, &k.Refused[i])
	}
	carry(c, &k.Order)
	carry(c, &k.Session)
	carry(c, &k.PaidBy)
	carry(c, &k.PaidBySub)
}

func (c *packing) payout(p *Payment) {
	carry(c, &p.Batch)
	carry(c, &p.RequestID)
	carry(c, &p.IFSC)
	carry(c, &p.BankName)
	carry(c, &p.AccountLast4)
	carry(c, &p.TransferType)
	c.number(&p.Attempts)
	c.time(&p.SubmittedAt)
	carry(c, &p.BankReference)
	carry(c, &p.ReturnReference)
	c.flag(&p.PaidAfterRefund)
}

func (c *packing) suspense(all *map[string]*Suspended) {
	n := len(*all)
	c.number(&n)
	if n == 0 {
		return
	}
	if !c.reading {
		for _, id := range slices.Sorted(maps.Keys(*all)) {
			c.suspended(*(*all)[id])
		}
		return
	}
	*all = make(map[string]*Suspended, n)
	for range n {
		s := c.suspended(Suspended{})
		(*all)[s.ID] = &s
	}
}

func (c *packing) disputes(all *[]Dispute) {
	n := len(*all)
	c.number(&n)
	if c.reading && n > 0 {
		*all = make([]Dispute, n)
	}
	for i := range *all {
		d := (*all)[i]
		carry(c, &d.ID)
		carry(c, &d.Case)
		carry(c, &d.Gateway)
		carry(c, &d.PaymentID)
		carry(c, &d.Suspense)
		carry(c, &d.Phase)
		carry(c, &d.Reason)
		carry(c, &d.Status)
		c.amount(&d.Amount)
		c.amount(&d.Held)
		c.amount(&d.Lost)
		c.amount(&d.Fee)
		c.time(&d.RespondBy)
		c.number(&d.Documents)
		c.number(&d.Bytes)
		c.time(&d.At)
		c.flag(&d.Platform)
		if c.reading {
			(*all)[i] = d
		}
	}
}

func (c *packing) refunds(all *[]Refund) {
	n := len(*all)
	c.number(&n)
	if c.reading && n > 0 {
		*all = make([]Refund, n)
	}
	for i := range *all {
		r := (*all)[i]
		carry(c, &r.ID)
		carry(c, &r.Suspense)
		carry(c, &r.Reference)
		c.amount(&r.Amount)
		c.amount(&r.Commission)
		c.amount(&r.Tax)
		carry(c, &r.Status)
		carry(c, &r.Reason)
		carry(c, &r.Actor)
		carry(c, &r.Gateway)
		carry(c, &r.Config)
		carry(c, &r.PaymentID)
		c.number(&r.Attempts)
		carry(c, &r.RefundID)
		carry(c, &r.UTR)
		carry(c, &r.Failure)
		c.flag(&r.Late)
		c.time(&r.CreatedAt)
		c.time(&r.At)
		if c.reading {
			(*all)[i] = r
		}
	}
}

func (c *packing) suspended(s Suspended) Suspended {
	carry(c, &s.ID)
	c.amount(&s.Amount)
	carry(c, &s.Gateway)
	carry(c, &s.Config)
	carry(c, &s.PaymentID)
	c.flag(&s.Open)
	c.flag(&s.Credited)
	return s
}

// carry carries a text of any type.
func carry[T ~string](c *packing, s *T) {
	if !c.reading {
		c.writeUvarint(uint64(len(*s)))
		c.out.WriteString(string(*s))
		return
	}
	n := c.uvarint()
	*s, c.in = T(c.in[:n]), c.in[n:]
}

// How an amount is packed.
const (
	minorOfPayment = iota // minor units of the payment's currency
	minorOfOther          // minor units, and their currency
	decimalOfOther        // more than fits 64 bits
)

func (c *packing) amount(a *money.Amount) {
	if c.reading {
		*a = c.readAmount()
		return
	}
	minor, fits := a.Minor()
	currency := a.Currency()
	switch {
	case fits && currency == c.currency:
		c.out.WriteByte(minorOfPayment)
		c.writeVarint(minor)
	case fits:
		c.out.WriteByte(minorOfOther)
		c.writeVarint(minor)
		carry(c, &currency)
	default:
		digits := a.Fixed()
		c.out.WriteByte(decimalOfOther)
		carry(c, &digits)
		carry(c, &currency)
	}
}

func (c *packing) readAmount() money.Amount {
	var digits string
	var currency money.Currency
	switch c.byte() {
	case minorOfPayment:
		return money.FromMinor(c.varint(), c.currency)
	case minorOfOther:
		minor := c.varint()
		carry(c, &currency)
		return money.FromMinor(minor, currency)
	}
	carry(c, &digits)
	carry(c, &currency)
	return money.Round(decimal.RequireFromString(digits), currency)
}

// time carries a time to the nanosecond, with its distance from UTC.
func (c *packing) time(t *time.Time) {
	if !c.reading {
		_, east := t.Zone()
		c.writeVarint(t.Unix())
		c.writeUvarint(uint64(t.Nanosecond()))
		c.writeVarint(int64(east))
		return
	}
	seconds, nanoseconds := c.varint(), c.uvarint()
	*t = time.Unix(seconds, int64(nanoseconds)).UTC()
	if east := c.varint(); east != 0 {
		*t = t.In(time.FixedZone("", int(east)))
	}
}

func (c *packing) number(n *int) {
	if !c.reading {
		c.writeVarint(int64(*n))
		return
	}
	*n = int(c.varint())
}

func (c *packing) flag(b *bool) {
	switch {
	case c.reading:
		*b = c.byte() == 1
	case *b:
		c.out.WriteByte(1)
	default:
		c.out.WriteByte(0)
	}
}

func (c *packing) byte() byte {
	b := c.in[0]
	c.in = c.in[1:]
	return b
}

// writeUvarint writes a number, the smaller the shorter: seven bits a byte, the lowest first, as encoding/binary does.
func (c *packing) writeUvarint(n uint64) {
	for ; n >= 0x80; n >>= 7 {
		c.out.WriteByte(byte(n) | 0x80)
	}
	c.out.WriteByte(byte(n))
}

// writeVarint writes a number that may be negative.
func (c *packing) writeVarint(n int64) { c.writeUvarint(uint64(n<<1) ^ uint64(n>>63)) }

func (c *packing) uvarint() uint64 {
	n := uint64(0)
	for shift := 0; ; shift += 7 {
		b := c.byte()
		n |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return n
		}
	}
}

func (c *packing) varint() int64 {
	n := c.uvarint()
	return int64(n>>1) ^ -int64(n&1)
}
