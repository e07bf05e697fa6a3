package projections

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// Payin returns a merchant's payin by its txn_ref, after Reach. domain.NotFound.
func (v *Views) Payin(ctx context.Context, merchantID, txnRef string) (wallet.Payment, error) {
	return v.payment(ctx, txnRef, "WHERE txn_ref = $1 AND txn_ref <> '' AND merchant = $2", txnRef, merchantID)
}

// PayinByOrder returns a merchant's payin by its order_id, after Reach. domain.NotFound.
func (v *Views) PayinByOrder(ctx context.Context, merchantID, orderID string) (wallet.Payment, error) {
	return v.payment(ctx, orderID, byReference, merchantID, string(wallet.KindPayin), orderID)
}

// Payout returns a merchant's payout by its transaction id, after Reach. domain.NotFound.
func (v *Views) Payout(ctx context.Context, merchantID, id string) (wallet.Payment, error) {
	return v.payment(ctx, id, "WHERE id = $1 AND merchant = $2 AND kind = $3", id, merchantID, string(wallet.KindPayout))
}

// PayoutByRequest returns a merchant's payout by its partner_request_id, after Reach. domain.NotFound.
func (v *Views) PayoutByRequest(ctx context.Context, merchantID, requestID string) (wallet.Payment, error) {
	return v.payment(ctx, requestID, byReference, merchantID, string(wallet.KindPayout), requestID)
}

const byReference = "WHERE merchant = $1 AND kind = $2 AND reference = $3 AND reference <> ''"

func (v *Views) payment(ctx context.Context, name, clause string, args ...any) (wallet.Payment, error) {
	if err := v.Reach(ctx); err != nil {
		return wallet.Payment{}, err
	}
	rows, err := query(ctx, v, payments{}, paymentTable, clause+" LIMIT 1", args...)
	if err != nil {
		return wallet.Payment{}, err
	}
	if len(rows) == 0 {
		return wallet.Payment{}, domain.Errorf(domain.NotFound, "there is no transaction %s", name)
	}
	return rows[0].payment()
}

// Subject says whose a payment is.
type Subject struct {
	ID       string // transaction id: the subject of its records
	Merchant string
	Currency money.Currency
	Kind     wallet.Kind
}

// Subject finds a payment, of whatever merchant, by its transaction id or txn_ref: what a gateway's message names. Only if
// it is not there at once, it looks again after Reach. domain.NotFound.
func (v *Views) Subject(ctx context.Context, ref string) (Subject, error) {
	found, err := v.subject(ctx, ref)
	if domain.CodeOf(err) != domain.NotFound && !errors.Is(err, ErrBehind) {
		return found, err
	}
	if err := v.Reach(ctx); err != nil {
		return Subject{}, err
	}
	return v.subject(ctx, ref)
}

func (v *Views) subject(ctx context.Context, ref string) (Subject, error) {
	for _, clause := range []string{"WHERE id = $1 LIMIT 1", "WHERE txn_ref = $1 AND txn_ref <> '' LIMIT 1"} {
		rows, err := query(ctx, v, payments{}, paymentTable, clause, ref)
		if err != nil {
			return Subject{}, err
		}
		if len(rows) > 0 {
			r := &rows[0]
			return Subject{ID: r.id, Merchant: r.merchant, Currency: money.Currency(r.currency), Kind: wallet.Kind(r.kind)}, nil
		}
	}
	return Subject{}, domain.Errorf(domain.NotFound, "there is no transaction %s", ref)
}

// Balance is what a wallet has.
type Balance struct {
	Merchant  string
	Currency  money.Currency
	Available money.Amount
	Locked    money.Amount
	Owed      money.Amount        // by the merchant
	Position  eventstore.Position // of the newest record that it stands on; Seq 0 without any
	AsOf      time.Time           // when that record was recorded, or the moment asked for
}

// Balance returns what a wallet has now, after Reach. A wallet without history has nothing; that is no error.
func (v *Views) Balance(ctx context.Context, merchantID string, c money.Currency) (Balance, error) {
	if err := v.Reach(ctx); err != nil {
		return Balance{}, err
	}
	rows, err := query(ctx, v, balances{}, balanceTable, "WHERE merchant = $1 AND currency = $2", merchantID, string(c))
	if err != nil {
		return Balance{}, err
	}
	b := v.nothing(merchantID, c)
	if len(rows) > 0 {
		r := &rows[0]
		b.Available, b.Locked, b.Owed = money.FromMinor(r.available, c), money.FromMinor(r.locked, c), money.FromMinor(r.owed, c)
		b.Position, b.AsOf = eventstore.Position{Partition: int(r.partition), Seq: r.seq}, instant(r.moment)
	}
	return b, nil
}

func (v *Views) nothing(merchantID string, c money.Currency) Balance {
	return Balance{
		Merchant: merchantID, Currency: c, Available: money.Zero(c), Locked: money.Zero(c), Owed: money.Zero(c),
		Position: eventstore.Position{Partition: eventstore.PartitionOf(merchantID, v.info.Partitions)},
	}
}

// BalanceAt returns what a wallet had at a moment, by what the ledger had recorded until then, that microsecond included;
// after Reach. Position is the newest record until then that moved money of the wallet.
func (v *Views) BalanceAt(ctx context.Context, merchantID string, c money.Currency, at time.Time) (Balance, error) {
	if err := v.Reach(ctx); err != nil {
		return Balance{}, err
	}
	b := v.nothing(merchantID, c)
	b.AsOf = eventstore.Micros(at)
	for _, part := range []struct {
		account string
		sign    int64 // what the merchant has is a liability: its debits less credits are negative
		to      *money.Amount
	}{
		{wallet.AccountAvailable(merchantID), -1, &b.Available},
		{wallet.AccountLocked(merchantID), -1, &b.Locked},
		{wallet.AccountReceivable(merchantID), 1, &b.Owed},
	} {
		accounts, err := query(ctx, v, journal{}, accountTable, "WHERE name = $1 AND currency = $2 AND partition = $3",
			part.account, string(c), b.Position.Partition)
		if err != nil {
			return Balance{}, err
		}
		if len(accounts) == 0 {
			continue
		}
		rows, err := query(ctx, v, journal{}, lineTable, `WHERE partition = $1 AND account = $2 AND recorded_at <= $3
			ORDER BY recorded_at DESC, seq DESC, line DESC LIMIT 1`, b.Position.Partition, accounts[0].account, at.UnixMicro())
		if err != nil {
			return Balance{}, err
		}
		if len(rows) > 0 {
			*part.to = money.FromMinor(part.sign*rows[0].balance, c)
			b.Position.Seq = max(b.Position.Seq, rows[0].seq)
		}
	}
	return b, nil
}

// Merchant returns a merchant, after Reach. domain.NotFound.
func (v *Views) Merchant(ctx context.Context, id string) (merchant.Merchant, error) {
	if err := v.Reach(ctx); err != nil {
		return merchant.Merchant{}, err
	}
	found, err := owners[merchant.Merchant](ctx, v, merchantTable, "WHERE id = $1", id)
	if err != nil {
		return merchant.Merchant{}, err
	}
	if len(found) == 0 {
		return merchant.Merchant{}, domain.Errorf(domain.NotFound, "there is no merchant %s", id)
	}
	return found[0], nil
}

// Merchants returns up to limit merchants whose ids follow after, by id; after Reach.
func (v *Views) Merchants(ctx context.Context, after string, limit int) ([]merchant.Merchant, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	return owners[merchant.Merchant](ctx, v, merchantTable, "WHERE id > $1 ORDER BY id LIMIT $2", after, bounded(limit))
}

// Operators returns up to limit operators whose ids follow after, by id; after Reach.
func (v *Views) Operators(ctx context.Context, after string, limit int) ([]merchant.Operator, error) {
	if err := v.Reach(ctx); err != nil {
		return nil, err
	}
	return owners[merchant.Operator](ctx, v, operatorTable, "WHERE id > $1 ORDER BY id LIMIT $2", after, bounded(limit))
}

// owners reads states of merchants or operators.
func owners[T any](ctx context.Context, v *Views, t *table[ownerRow], clause string, args ...any) ([]T, error) {
	rows, err := query(ctx, v, merchants{}, t, clause, args...)
	if err != nil {
		return nil, err
	}
	found := make([]T, len(rows))
	for i := range rows {
		if err := json.Unmarshal([]byte(rows[i].state), &found[i]); err != nil {
			return nil, fmt.Errorf("the state of %s: %w", rows[i].id, err)
		}
	}
	return found, nil
}
