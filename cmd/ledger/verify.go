package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"text/tabwriter"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/adapters/webhook"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/projections"
)

// verifyCommand checks the log and the views.
type verifyCommand struct {
	storeFlags `embed:""`
	JSON       bool `name:"json" help:"Print JSON for machines."`
	NoViews    bool `help:"Do not check the views."`
	Sealed     bool `help:"Open everything that is sealed as well: every key and secret, all messages and personal data. Nothing of it is shown. It needs the master key."`
}

// verification is the answer. Checks are ledger.Check for the log, and one for each view.
type verification struct {
	OK     bool           `json:"ok"`
	Checks []ledger.Check `json:"checks"`
}

// Run answers, and ends with exit code 1 when a check found a fault.
func (c *verifyCommand) Run(ctx context.Context, t *terminal) error {
	return reading(ctx, &c.storeFlags, func(s *stores) error {
		v, err := c.verify(ctx, t, s)
		if err != nil {
			return err
		}
		if c.JSON {
			err = t.answer(v)
		} else {
			err = v.table(t.out)
		}
		if err == nil && !v.OK {
			err = errNo
		}
		return err
	})
}

func (c *verifyCommand) verify(ctx context.Context, t *terminal, s *stores) (verification, error) {
	tell, finish := t.progress("verifying the log")
	if tell == nil {
		tell = func(int64, int64) {}
	}
	checks, err := ledger.Verify(ctx, s.log, tell)
	if err := errors.Join(err, finish()); err != nil {
		return verification{}, fmt.Errorf("verifying the log: %w", err)
	}
	v := verification{Checks: checks}
	if c.Sealed {
		if err := v.sealed(ctx, t, s); err != nil {
			return verification{}, err
		}
	}
	if !c.NoViews {
		if err := v.views(ctx, t, s); err != nil {
			return verification{}, err
		}
	}
	v.OK = v.holds()
	return v, nil
}

// sealed adds the checks of what is sealed.
func (v *verification) sealed(ctx context.Context, t *terminal, s *stores) error {
	if s.vault == nil {
		return usagef("--sealed needs the master key: give --master-key-file")
	}
	log, able := s.log.(ledger.Sealed)
	if !able {
		return errors.New("this log does not give its messages one by one")
	}
	tell, finish := t.progress("opening what is sealed")
	if tell == nil {
		tell = func(int64, int64) {}
	}
	checks, err := ledger.VerifySealed(ctx, log, s.vault, secretsOf, tell)
	if err := errors.Join(err, finish()); err != nil {
		return fmt.Errorf("opening what is sealed: %w", err)
	}
	v.Checks = append(v.Checks, checks...)
	return nil
}

// secretsOf names the secrets that a merchant needs: what signs its callbacks, and those of its gateways.
func secretsOf(m *merchant.Merchant) (names []string) {
	for _, k := range m.SigningKeys(present()) {
		names = append(names, webhook.SecretName(k.ID))
	}
	if m.App != nil {
		for i := range m.App.Gateways {
			if g := &m.App.Gateways[i]; g.Version > 0 {
				names = append(names, g.SecretName())
			}
		}
	}
	return names
}

// views adds a check for each view. A log that was found broken cannot be replayed: then the views are not compared.
func (v *verification) views(ctx context.Context, t *terminal, s *stores) error {
	switch err := s.openViewsDatabase(ctx, false); {
	case errors.Is(err, fs.ErrNotExist):
		v.Checks = append(v.Checks, ledger.Check{Name: "views", OK: true, Problem: "absent: they are built when the server starts"})
		return nil
	case errors.Is(err, projections.ErrDamaged):
		v.Checks = append(v.Checks, ledger.Check{Name: "views", Problem: err.Error()})
		return nil
	case err != nil:
		return err
	}
	views, err := s.viewsOn(ctx, t)
	if err != nil {
		return err
	}
	findings, err := views.Check(ctx)
	switch {
	case err != nil && v.holds():
		return fmt.Errorf("verifying the views: %w", err)
	case err != nil:
		v.Checks = append(v.Checks, ledger.Check{Name: "views", Problem: "not compared with the log: " + err.Error()})
	}
	for _, f := range findings {
		v.Checks = append(v.Checks, viewCheck(f))
	}
	return nil
}

// holds tells whether every check so far found all well.
func (v *verification) holds() bool {
	return !slices.ContainsFunc(v.Checks, func(c ledger.Check) bool { return !c.OK })
}

// viewCheck is a finding about a view as a check. A view that is absent is no fault: it is built at the next start.
func viewCheck(f projections.Finding) ledger.Check {
	c := ledger.Check{Name: "view " + f.View, OK: !f.Fault, Checked: f.Rows}
	if f.Fault || f.Absent {
		c.Problem = f.Message
	}
	return c
}

func (v verification) table(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	for _, c := range v.Checks {
		word := "ok"
		if !c.OK {
			word = "WRONG"
		}
		if _, err := fmt.Fprintf(w, "%s\t%s\t%d checked\t%s\t%s\n", word, c.Name, c.Checked, c.Position, c.Problem); err != nil {
			return err
		}
	}
	return w.Flush()
}
