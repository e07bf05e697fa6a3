package merchant

import (
	"fmt"

	"github.com/khata-ledger/khata/domain/stored"
)

// blank returns an empty event of a stored type and version, nil when there is none such.
func blank(typ string, schema int) Event {
	if schema != 1 {
		return nil
	}
	switch typ {
	case "merchant.created":
		return &Created{}
	case "merchant.key_added":
		return &KeyAdded{}
	case "merchant.key_expires":
		return &KeyExpires{}
	case "merchant.key_revoked":
		return &KeyRevoked{}
	case "merchant.ip_allowed":
		return &IPAllowed{}
	case "merchant.callback_set":
		return &CallbackSet{}
	case "merchant.plan_set":
		return &PlanSet{}
	case "merchant.approval_set":
		return &ApprovalSet{}
	case "merchant.suspended":
		return &Suspended{}
	case "merchant.resumed":
		return &Resumed{}
	case "merchant.data_opened":
		return &DataOpened{}
	case "merchant.app_opened":
		return &AppOpened{}
	case "merchant.domains_set":
		return &DomainsSet{}
	case "merchant.currency_set":
		return &CurrencySet{}
	case "merchant.gateway_added":
		return &GatewayAdded{}
	case "merchant.gateway_step_set":
		return &GatewayStepSet{}
	case "merchant.gateway_trial_started":
		return &GatewayTrialStarted{}
	case "merchant.gateway_trial_ended":
		return &GatewayTrialEnded{}
	case "merchant.gateway_reset":
		return &GatewayReset{}
	case "merchant.gateway_switched":
		return &GatewaySwitched{}
	case "merchant.gateway_ranked":
		return &GatewayRanked{}
	case "operator.created":
		return &OperatorCreated{}
	case "operator.revoked":
		return &OperatorRevoked{}
	}
	return nil
}

// Type is the stored name of the event: see Event. It never changes.
func (*Created) Type() string             { return "merchant.created" }
func (*KeyAdded) Type() string            { return "merchant.key_added" }
func (*KeyExpires) Type() string          { return "merchant.key_expires" }
func (*KeyRevoked) Type() string          { return "merchant.key_revoked" }
func (*IPAllowed) Type() string           { return "merchant.ip_allowed" }
func (*CallbackSet) Type() string         { return "merchant.callback_set" }
func (*PlanSet) Type() string             { return "merchant.plan_set" }
func (*ApprovalSet) Type() string         { return "merchant.approval_set" }
func (*Suspended) Type() string           { return "merchant.suspended" }
func (*Resumed) Type() string             { return "merchant.resumed" }
func (*DataOpened) Type() string          { return "merchant.data_opened" }
func (*AppOpened) Type() string           { return "merchant.app_opened" }
func (*DomainsSet) Type() string          { return "merchant.domains_set" }
func (*CurrencySet) Type() string         { return "merchant.currency_set" }
func (*GatewayAdded) Type() string        { return "merchant.gateway_added" }
func (*GatewayStepSet) Type() string      { return "merchant.gateway_step_set" }
func (*GatewayTrialStarted) Type() string { return "merchant.gateway_trial_started" }
func (*GatewayTrialEnded) Type() string   { return "merchant.gateway_trial_ended" }
func (*GatewayReset) Type() string        { return "merchant.gateway_reset" }
func (*GatewaySwitched) Type() string     { return "merchant.gateway_switched" }
func (*GatewayRanked) Type() string       { return "merchant.gateway_ranked" }
func (*OperatorCreated) Type() string     { return "operator.created" }
func (*OperatorRevoked) Type() string     { return "operator.revoked" }

// Schema is the version of the stored shape: see Event.
func (*Created) Schema() int             { return 1 }
func (*KeyAdded) Schema() int            { return 1 }
func (*KeyExpires) Schema() int          { return 1 }
func (*KeyRevoked) Schema() int          { return 1 }
func (*IPAllowed) Schema() int           { return 1 }
func (*CallbackSet) Schema() int         { return 1 }
func (*PlanSet) Schema() int             { return 1 }
func (*ApprovalSet) Schema() int         { return 1 }
func (*Suspended) Schema() int           { return 1 }
func (*Resumed) Schema() int             { return 1 }
func (*DataOpened) Schema() int          { return 1 }
func (*AppOpened) Schema() int           { return 1 }
func (*DomainsSet) Schema() int          { return 1 }
func (*CurrencySet) Schema() int         { return 1 }
func (*GatewayAdded) Schema() int        { return 1 }
func (*GatewayStepSet) Schema() int      { return 1 }
func (*GatewayTrialStarted) Schema() int { return 1 }
func (*GatewayTrialEnded) Schema() int   { return 1 }
func (*GatewayReset) Schema() int        { return 1 }
func (*GatewaySwitched) Schema() int     { return 1 }
func (*GatewayRanked) Schema() int       { return 1 }
func (*OperatorCreated) Schema() int     { return 1 }
func (*OperatorRevoked) Schema() int     { return 1 }

// Encode writes an event as it is stored: compact JSON, fields in a fixed order.
func Encode(e Event) ([]byte, error) {
	data, err := stored.Encode(e)
	if err != nil {
		return nil, fmt.Errorf("encoding %s of %s: %w", e.Type(), e.Subject(), err)
	}
	return data, nil
}

// Decode reads a stored event. It refuses a type or version that it does not know (stored.ErrUnknownType), a field that the version
// does not have, and an event of nobody.
func Decode(typ string, schema int, data []byte) (Event, error) {
	e := blank(typ, schema)
	if e == nil {
		return nil, stored.Unknown(typ, schema)
	}
	if err := stored.Decode(data, e); err != nil {
		return nil, fmt.Errorf("decoding %s: %w", typ, err)
	}
	if e.Subject() == "" {
		return nil, fmt.Errorf("decoding %s: it names nobody", typ)
	}
	return e, nil
}
