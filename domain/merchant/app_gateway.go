package merchant

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/khata-ledger/khata/domain"
)

// decideGateway decides what happens to one gateway configuration. The set-up:
//
//	                   credentials -> webhook -> package -> trial order -> security
//	verified by        the company    ------- the trial order, paid -----   the app's domains
//	taken again        after it failed, or after a reset (13010)
//	while a trial is   nothing can be taken, reset or disabled (13010, 13011, 13013)
//	after the trial    nothing but security can be taken (13014); security not before (13012)
//
// Without credentials no other step can be taken (13008), and not behind credentials that failed (13009). Only a gateway that is enabled and
// wholly verified takes payments.
func decideGateway(a *App, c Command) ([]Event, error) {
	switch c := c.(type) {
	case SetGatewayStep:
		g, err := configured(a, c.Config)
		if err != nil {
			return nil, err
		}
		return setStep(a, &g, c)
	case StartTrial:
		g, err := configured(a, c.Config)
		if err != nil {
			return nil, err
		}
		return startTrial(&g, c)
	case EndTrial:
		g, err := configured(a, c.Config)
		if err != nil || g.Trial != c.Transaction || c.Transaction == "" {
			return nil, err
		}
		return []Event{&GatewayTrialEnded{
			Of: c.Of, Config: c.Config, Transaction: c.Transaction, Passed: c.Passed, Failure: failure(c.Failure, c.Passed),
		}}, nil
	case ResetGateway:
		g, err := configured(a, c.Config)
		if err != nil {
			return nil, err
		}
		if g.Trial != "" {
			return nil, refused("GatewayStatusInVerify", "Gateway is in verification, can't reattempt")
		}
		return []Event{&GatewayReset{Of: c.Of, Config: c.Config}}, nil
	case SwitchGateway:
		g, err := configured(a, c.Config)
		if err != nil {
			return nil, err
		}
		return switchGateway(&g, c)
	case RankGateway:
		g, err := configured(a, c.Config)
		if err != nil {
			return nil, err
		}
		if err := validRanks(c.Ranks, c.Methods); err != nil {
			return nil, err
		}
		if slices.Equal(g.Ranks, c.Ranks) && slices.Equal(g.Methods, c.Methods) {
			return nil, nil
		}
		return []Event{&GatewayRanked{Of: c.Of, Config: c.Config, Ranks: slices.Clone(c.Ranks), Methods: slices.Clone(c.Methods)}}, nil
	}
	return nil, fmt.Errorf("merchant: command %T is not known", c)
}

func configured(a *App, id string) (Gateway, error) {
	g, there := a.Gateway(id)
	if !there {
		return g, &domain.Error{
			Code: domain.NotFound, Message: "Gateway not found or is disabled for the provided ID",
			Details: map[string]string{KSPayError: "gatewayErrors.gatewayNotFound"},
		}
	}
	return g, nil
}

func setStep(a *App, g *Gateway, c SetGatewayStep) ([]Event, error) {
	at := g.at(c.Step)
	if at == nil {
		return nil, domain.InvalidField("step", fmt.Sprintf("must be %s, %s, %s or %s", StepCredentials, StepWebhook, StepPackage, StepSecurity))
	}
	if err := mayTake(a, g, c.Step); err != nil {
		return nil, err
	}
	secrets := c.Step == StepCredentials || c.Step == StepWebhook
	switch {
	case secrets && c.Version != g.Version+1:
		return nil, domain.Errorf(domain.Stale, "the secrets of gateway %s have version %d, these are version %d", g.ID, g.Version, c.Version)
	case !secrets && c.Version != g.Version:
		return nil, domain.Errorf(domain.Stale, "the secrets of gateway %s have version %d now", g.ID, g.Version)
	case len(c.Public) > maxPublic || !utf8.ValidString(c.Public):
		return nil, domain.InvalidField("public", "is too long, or not UTF-8")
	}
	e := &GatewayStepSet{Of: c.Of, Config: c.Config, Step: c.Step, State: StepInVerification, Version: c.Version}
	switch c.Step {
	case StepCredentials:
		e.Public = c.Public
		if c.Failed != "" {
			e.State, e.Failure = StepFailed, failure(c.Failed, false)
		}
	case StepSecurity:
		e.State = StepVerified
	}
	return []Event{e}, nil
}

// mayTake says why a step cannot be taken now.
func mayTake(a *App, g *Gateway, step string) error {
	if step == StepSecurity {
		switch {
		case !g.Tried():
			return refused("GatewayStatusNotVerified", "Gateway is in verification, can't add domain")
		case g.Security == StepVerified:
			return refused("stepAlreadyCompleted", "Step already in verification state")
		case len(a.Domains) == 0:
			return domain.InvalidField("domain", "the app has none yet: its customers could not be told from strangers")
		}
		return nil
	}
	switch {
	case g.Tried():
		return refused("paymentGatewayCannotBeEdited", "Gateway can't be edited, reattempt the verification process to edit the details")
	case step != StepCredentials && g.Credentials == StepPending:
		return refused("credentialsNotYetAdded", "Credentials not yet updated, or step 1 is still pending")
	case step != StepCredentials && g.Credentials == StepFailed:
		return refused("credentialStepFailed", "Step 1 (Credential Status) is in a failed state; cannot update step 2 or step 3.")
	case g.Trial != "" || *g.at(step) == StepInVerification:
		return refused("stepAlreadyCompleted", "Step already in verification state")
	case step == StepPackage && g.Webhook != StepInVerification:
		return refused("credentialsNotYetAdded", "Credentials not yet updated, or step 1 is still pending")
	}
	return nil
}

func startTrial(g *Gateway, c StartTrial) ([]Event, error) {
	switch {
	case g.Tried():
		return nil, refused("paymentGatewayCannotBeEdited", "Gateway can't be edited, reattempt the verification process to edit the details")
	case g.Credentials == StepFailed:
		return nil, refused("credentialStepFailed", "Step 1 (Credential Status) is in a failed state; cannot update step 2 or step 3.")
	case g.Credentials != StepInVerification || g.Webhook != StepInVerification || g.Package != StepInVerification:
		return nil, refused("credentialsNotYetAdded", "Credentials not yet updated, or step 1 is still pending")
	case g.Trial != "":
		return nil, refused("GatewayStatusInVerify", "Gateway is in verification, can't reattempt")
	case !ValidID("tx_", c.Transaction):
		return nil, domain.InvalidField("transaction", wrongID("tx_"))
	}
	return []Event{&GatewayTrialStarted{Of: c.Of, Config: c.Config, Transaction: c.Transaction}}, nil
}

func switchGateway(g *Gateway, c SwitchGateway) ([]Event, error) {
	switch {
	case g.Enabled == c.Enabled:
		return nil, nil
	case g.Trial != "":
		return nil, refused("GatewayStatusNotVerifiedCannotDisable", "Gateway is in verification, can't disable")
	}
	return []Event{&GatewaySwitched{Of: c.Of, Config: c.Config, Enabled: c.Enabled}}, nil
}

// failure makes a reason fit to be kept.
func failure(s string, passed bool) string {
	if passed {
		return ""
	}
	s = strings.ToValidUTF8(s, "?")
	if len(s) > maxFailure {
		s = strings.ToValidUTF8(s[:maxFailure], "")
	}
	return s
}
