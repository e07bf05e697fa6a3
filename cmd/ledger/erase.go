package main

import (
	"context"
	"time"

	"github.com/khata-ledger/khata/adapters/ledger"
)

// secretsErase makes a merchant's personal data unreadable for ever.
type secretsErase struct {
	storeFlags
	Merchant string `required:"" help:"Whose." placeholder:"ID"`
	Before   string `required:"" help:"Erase the data keys of the months that ended at or before this day." placeholder:"YYYY-MM-DD"`
	ForEver  bool   `required:"" help:"Say that you mean it: what these keys sealed can never be opened again, in no copy of the log. Backups of the secrets must be destroyed too."`
}

// erased is the answer.
type erased struct {
	Merchant string `json:"merchant_id"`
	Before   string `json:"before"`
	Keys     int    `json:"keys_erased"`
}

// Run erases. It changes no event, balance or hash.
func (c *secretsErase) Run(ctx context.Context, t *terminal) error {
	before, err := time.ParseInLocation(time.DateOnly, c.Before, time.UTC)
	if err != nil {
		return usagef("--before %s: it must be a day such as 2026-04-01", c.Before)
	}
	if before.After(time.Now()) {
		return usagef("--before %s: it must not be in the future: the keys of the present month are in use", c.Before)
	}
	return deciding(ctx, &c.storeFlags, t, func(s *stores, l *ledger.Ledger) error {
		if _, err := l.Merchant(ctx, c.Merchant); err != nil {
			return err
		}
		keys, err := s.vault.Erase(ctx, c.Merchant, before)
		if err != nil {
			return err
		}
		return t.answer(erased{c.Merchant, c.Before, keys})
	})
}
