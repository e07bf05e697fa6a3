package ledger

import (
	"fmt"
	"slices"

	"github.com/khata-ledger/khata/domain/route"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// rerouted makes a choice of a gateway anew.
func (v *verifier) rerouted(r *eventstore.Record, e wallet.Event) {
	made, routes := e.(*wallet.PayinRouted)
	if !routes {
		return
	}
	ranked, chosen := route.Choose(made.Candidates)
	var err error
	switch {
	case chosen < 0:
		err = fmt.Errorf("payin %s was routed to %s, and no candidate is usable", made.Payment, made.Config)
	case ranked[chosen].Config != made.Config || ranked[chosen].Gateway != made.Gateway:
		err = fmt.Errorf("payin %s was routed to %s of %s, and the candidates give %s of %s",
			made.Payment, made.Config, made.Gateway, ranked[chosen].Config, ranked[chosen].Gateway)
	case !slices.Equal(ranked, made.Candidates):
		err = fmt.Errorf("payin %s was routed to %s, with other reasons than the candidates give", made.Payment, made.Config)
	}
	v.note(checkRoutes, r.Position(), err, 1)
}
