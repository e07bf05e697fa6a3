package linear

import (
	"encoding/binary"
	"hash/maphash"

	"github.com/anishathalye/porcupine"
)

// wallet is the model's state. It is never changed, but made anew.
type wallet struct {
	available, locked int64
	claims            string // of each name so many bytes; see claim
}

// phase is what became of a payment.
type phase byte

const (
	free phase = iota
	open
	over
)

// claim is what holds a reference or a key: nothing, or a payment of an amount. Of a key the amount is the name of its reference, too, so that
// it tells the requests under it apart.
type claim struct {
	phase  phase
	op     Op
	amount int64
	ref    int64
}

// claimBytes is the length of a claim in wallet.claims.
const claimBytes = 18

func (w wallet) claim(name int) claim {
	b := w.claims[name*claimBytes:][:claimBytes]
	at := func(i int) int64 { return int64(binary.BigEndian.Uint64([]byte(b[i : i+8]))) } //nolint:gosec // what with has written
	return claim{phase: phase(b[0]), op: Op(b[1]), amount: at(2), ref: at(10)}
}

func (w wallet) with(name int, c claim) wallet {
	b := []byte(w.claims)
	at := b[name*claimBytes:][:claimBytes]
	at[0], at[1] = byte(c.phase), byte(c.op)
	binary.BigEndian.PutUint64(at[2:], uint64(c.amount)) //nolint:gosec // claim reads it back
	binary.BigEndian.PutUint64(at[10:], uint64(c.ref))   //nolint:gosec // as above
	w.claims = string(b)
	return w
}

// model is a wallet that does one thing at a time; the caller holds mu.
func (h *History) model() porcupine.Model {
	seed := maphash.MakeSeed()
	empty := wallet{claims: string(make([]byte, claimBytes*len(h.names)))}
	return porcupine.Model{
		Init: func() any { return empty },
		Step: func(state, input, output any) (bool, any) {
			ok, after := h.step(state.(wallet), input.(asked), output.(Output))
			return ok, after
		},
		Equal: func(a, b any) bool { return a.(wallet) == b.(wallet) },
		Hash:  func(state any) uint64 { return maphash.Comparable(seed, state.(wallet)) },
	}
}

// step carries one operation out, and tells whether it can have been answered so.
func (h *History) step(w wallet, in asked, out Output) (bool, wallet) {
	kind, after := h.carryOut(w, in)
	if out.Kind == Unknown {
		return true, after // what has no end stands last where it did nothing
	}
	if kind != out.Kind || out.Shown && (out.Available != after.available || out.Locked != after.locked) {
		return false, w
	}
	return true, after
}

// carryOut is what the wallet answers, and what it is then.
func (h *History) carryOut(w wallet, in asked) (Kind, wallet) {
	switch in.Op {
	case Look:
		return Done, w
	case Adjust:
		if w.available+in.Amount < 0 {
			return Poor, w
		}
		w.available += in.Amount
		return Done, w
	case Pay, Create:
		return h.begin(w, in)
	case Settle, Refund, Collect:
	}
	c := w.claim(in.ref)
	if c.phase == free {
		return Absent, w // nothing to end: no answer fits
	}
	if c.phase == over {
		return Done, w // told twice
	}
	switch in.Op {
	case Settle:
		w.locked -= c.amount
	case Refund:
		w.locked -= c.amount
		w.available += c.amount
	default: // Collect
		w.available += c.amount
	}
	c.phase = over
	return Done, w.with(in.ref, c)
}

// begin makes a payment: Idempotency-Key, reference, balance.
func (h *History) begin(w wallet, in asked) (Kind, wallet) {
	made := claim{phase: open, op: in.Op, amount: in.Amount, ref: int64(in.ref)}
	if in.Key != "" {
		if held := w.claim(in.key); held.phase != free {
			if h.replays && held == made {
				return Done, w
			}
			return TakenKey, w
		}
	}
	if w.claim(in.ref).phase != free {
		return TakenRef, w
	}
	if in.Op == Pay {
		if w.available < in.Amount {
			return Poor, w
		}
		w.available -= in.Amount
		w.locked += in.Amount
	}
	if in.Key != "" {
		w = w.with(in.key, made)
	}
	return Done, w.with(in.ref, made)
}
