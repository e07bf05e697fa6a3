package main

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/projections"
)

// operatorCommand is `ledger operator`: people at the platform, who use the operator API.
type operatorCommand struct {
	Create operatorCreate `cmd:"" help:"Make an operator and their key, which is shown this once."`
	List   operatorList   `cmd:"" help:"List operators."`
	Revoke operatorRevoke `cmd:"" help:"End an operator's key at once."`
}

type operatorCreate struct {
	storeFlags
	actorFlag
	Name string        `required:"" help:"Name of the person."`
	Role merchant.Role `required:"" enum:"owner,maker,checker,auditor,support" help:"What they may do: owner, maker, checker, auditor, support."`
}

// operatorCreated is the answer of `operator create`.
type operatorCreated struct {
	Operator string `json:"operator_id"`
	APIKey   string `json:"api_key"` // shown this once
}

// Run makes the operator.
func (c *operatorCreate) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	if err := checkText("--name", c.Name, maxActor); err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		id, at := newID("opr_"), present()
		key, text := generateKey(c.Role, at)
		_, err := submitOperator(ctx, l, actor, "operator create", merchant.CreateOperator{
			Of:       merchant.Of{Merchant: id, Actor: actor},
			Operator: merchant.Operator{ID: id, Name: c.Name, Role: c.Role, Key: key, CreatedAt: at},
		})
		if err != nil {
			return err
		}
		return t.answer(operatorCreated{id, text})
	})
}

func submitOperator(ctx context.Context, l *ledger.Ledger, actor, name string, c merchant.Command) (merchant.Operator, error) {
	from, err := origin(actor, name, c)
	if err != nil {
		return merchant.Operator{}, err
	}
	return l.SubmitOperator(ctx, c, from)
}

// operatorJSON is an operator as it is shown.
type operatorJSON struct {
	ID        string        `json:"operator_id"`
	Name      string        `json:"name"`
	Role      merchant.Role `json:"role"`
	KeyLast4  string        `json:"key_last4"`
	Revoked   bool          `json:"revoked"`
	CreatedAt time.Time     `json:"created_at"`
}

func operatorView(o merchant.Operator) operatorJSON {
	return operatorJSON{o.ID, o.Name, o.Role, o.Key.Last4, o.Key.Revoked, o.CreatedAt}
}

type operatorList struct{ storeFlags }

// operatorsJSON is the answer of `operator list`.
type operatorsJSON struct {
	Operators []operatorJSON `json:"operators"`
}

// Run lists.
func (c *operatorList) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		views, err := s.openViews(ctx, t)
		if err != nil {
			return err
		}
		out := operatorsJSON{Operators: []operatorJSON{}}
		for after := ""; ; {
			page, err := views.Operators(ctx, after, projections.MaxLimit)
			if err != nil {
				return err
			}
			for _, o := range page {
				out.Operators = append(out.Operators, operatorView(o))
				after = o.ID
			}
			if len(page) < projections.MaxLimit {
				return t.answer(out)
			}
		}
	})
}

type operatorRevoke struct {
	storeFlags
	actorFlag
	ID     string `arg:"" help:"Operator."`
	Reason string `default:"revoked" help:"Why; it stays in the log for ever." placeholder:"TEXT"`
}

// Run revokes.
func (c *operatorRevoke) Run(ctx context.Context, t *terminal) error {
	actor, err := c.who()
	if err != nil {
		return err
	}
	if err := checkText("--reason", c.Reason, maxReason); err != nil {
		return err
	}
	return deciding(ctx, &c.storeFlags, t, func(_ *stores, l *ledger.Ledger) error {
		o, err := submitOperator(ctx, l, actor, "operator revoke", merchant.RevokeOperator{
			Of: merchant.Of{Merchant: c.ID, Actor: actor}, Reason: c.Reason,
		})
		if err != nil {
			return err
		}
		return t.answer(operatorView(o))
	})
}
