package gateway_test

import (
	"context"
	"errors"
	"testing"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/eventstore/executor"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/migrations"
)

// unread is a vault whose database is away, or holds what cannot be read.
type unread struct {
	*vault.Vault
	err error
}

func (u unread) Secret(context.Context, string) ([]byte, error) { return nil, u.err }

// TestSecretsAreAway: the secrets of a gateway that cannot be read now are no fault of ours: who asks for a page is told to try again. Those that were
// tampered with are.
func TestSecretsAreAway(t *testing.T) {
	t.Parallel()
	s := newShop(t, migrations.SQLite)
	p := s.ordered(s.checkouts())
	for failure, away := range map[error]bool{
		errors.New("FATAL: the database system is starting up (SQLSTATE 57P03)"): true, vault.ErrTampered: false,
	} {
		engine, err := gateway.NewCheckouts(s.books, unread{s.vault, failure}, s.jobs, []gateway.Checkout{s.fake, s.spare}, s.options())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := engine.Client(t.Context(), s.merchant(p.Merchant), p); !errors.Is(err, failure) || errors.Is(err, executor.ErrStore) != away {
			t.Errorf("with %q: %v", failure, err)
		}
	}
}
