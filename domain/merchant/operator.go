package merchant

import (
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain"
)

// DecideOperator is Decide for an operator: CreateOperator and RevokeOperator.
func DecideOperator(o *Operator, c Command) ([]Event, error) {
	if o == nil {
		o = &Operator{}
	}
	if err := addressed(o.ID, c.Target()); err != nil {
		return nil, err
	}
	switch c := c.(type) {
	case CreateOperator:
		return createOperator(o, c)
	case RevokeOperator:
		return revokeOperator(o, c)
	}
	return nil, fmt.Errorf("merchant: command %T of an operator is not known", c)
}

func createOperator(o *Operator, c CreateOperator) ([]Event, error) {
	made := c.Operator
	made.Key, made.CreatedAt = normal(made.Key), micros(made.CreatedAt)
	switch {
	case o.ID != "":
		return nil, domain.Errorf(domain.Stale, "operator %s exists", o.ID)
	case made.ID != c.Merchant:
		return nil, domain.InvalidField("id", fmt.Sprintf("%q is not the operator %q that the command names", made.ID, c.Merchant))
	}
	if err := validName(made.Name, false); err != nil {
		return nil, err
	}
	if roles := []Role{Owner, Maker, Checker, Auditor, Support}; !slices.Contains(roles, made.Role) {
		return nil, domain.InvalidField("role", fmt.Sprintf("%q is not one of %v", string(made.Role), roles))
	}
	if made.Key.Role == "" {
		made.Key.Role = made.Role
	}
	if err := validKey(made.Key, made.Role); err != nil {
		return nil, err
	}
	return []Event{&OperatorCreated{Of: c.Of, Operator: made}}, nil
}

func revokeOperator(o *Operator, c RevokeOperator) ([]Event, error) {
	if o.ID == "" {
		return nil, domain.Errorf(domain.NotFound, "no operator %s", c.Merchant)
	}
	if err := validReason(c.Reason); err != nil {
		return nil, err
	}
	if o.Key.Revoked {
		return nil, nil
	}
	return []Event{&OperatorRevoked{Of: c.Of, Reason: c.Reason}}, nil
}

// Evolve brings the operator behind an event. It cannot fail.
func (o *Operator) Evolve(e Event) {
	switch e := e.(type) {
	case *OperatorCreated:
		*o = e.Operator
	case *OperatorRevoked:
		o.Key.Revoked = true
	}
}
