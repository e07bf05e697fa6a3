package ops

import (
	"context"
	"io"
	"net/http"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/eventstore"
)

// Packer makes dispute packs: one payment's whole story, with proof, as `ledger dispute verify` reads it.
type Packer interface {
	// Pack makes the pack of a payment. That sealed data is opened for it is recorded in the log first. domain.NotFound; domain.Invalid for what is
	// no payin and no payout, or has more messages than a pack holds.
	Pack(ctx context.Context, payment string, o Opening, from eventstore.Origin) ([]byte, error)
}

// Opening says who has sealed data opened, and why.
type Opening struct {
	Actor    string
	Reason   string
	Unmasked bool // personal data as it is
}

const typeZip = "application/zip"

// unmasks is who may have personal data as it is.
func unmasks(r merchant.Role) bool { return r == merchant.Owner || r == merchant.Auditor }

// pack answers with a payment's dispute pack: masked, or with ?unmasked=true&reason=... for those who may as it is. Only the headers of one are no pack, and
// open nothing.
func (a *API) pack(r *http.Request, by merchant.Operator) (*file, error) {
	name, err := id(r)
	if err != nil {
		return nil, err
	}
	p := query(r)
	o := Opening{Actor: actor(by), Reason: p.text("reason"), Unmasked: p.text("unmasked", "true", "false") == "true"}
	if fault := reasonFault(o.Reason, merchant.MaxReason); fault != "" && (o.Unmasked || o.Reason != "") {
		p.wrong["reason"] = fault
	}
	if err := p.err(); err != nil {
		return nil, err
	}
	if o.Unmasked && !unmasks(by.Role) {
		return nil, domain.Errorf(domain.Forbidden, "role %s does not see personal data", by.Role)
	}
	from := packOrigin(r, by)
	return &file{name: fileName(name) + ".zip", kind: typeZip, write: func(ctx context.Context, w io.Writer) error {
		if r.Method == http.MethodHead {
			return nil
		}
		zip, err := a.ports.Packer.Pack(ctx, name, o, from)
		if err != nil {
			return err
		}
		a.opts.Logger.Info("a dispute pack is made", "request_id", from.Request, "operator", by.ID, "transaction", name, "unmasked", o.Unmasked)
		_, err = w.Write(zip)
		return err
	}}, nil
}

// packOrigin is origin for a request without a body.
func packOrigin(r *http.Request, by merchant.Operator) eventstore.Origin {
	from := origin(r, by, nil)
	from.BodyHash, from.Evidence = "", from.Evidence[1:]
	return from
}
