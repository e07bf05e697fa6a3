package ops

import (
	"bytes"
	"context"
	"errors"
	"net/http"

	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/merchant"
)

// Prover lets others check the log without trusting who keeps it. Its files are what `ledger proof verify` reads.
type Prover interface {
	// Key returns the public key of checkpoints; it is made when there is none.
	Key(ctx context.Context) (string, error)
	// Checkpoint signs what the log is now. Refuted when that does not extend what was signed before.
	Checkpoint(ctx context.Context) ([]byte, error)
	// Include proves the records of a subject, stream or position under a checkpoint; nil for the last one signed, or a new one. domain.NotFound;
	// domain.Invalid for a checkpoint that is none of this ledger, records that it does not cover, or more than a proof holds.
	Include(ctx context.Context, subject string, checkpoint []byte) ([]byte, error)
	// Consistency proves that the log, signed now, extends an older checkpoint. domain.Invalid; Refuted when it does not.
	Consistency(ctx context.Context, older []byte) ([]byte, error)
}

// Refuted is a finding: the log does not extend what was signed.
type Refuted struct{ Problem string }

func (r *Refuted) Error() string { return r.Problem }

// maxCheckpoint bounds the checkpoint that a request brings, in bytes: 1024 partitions have some 70 each.
const maxCheckpoint = 256 << 10

func (a *API) proofKey(*http.Request, merchant.Operator) (*file, error) {
	return whole(typeText, "", func(ctx context.Context) ([]byte, error) {
		key, err := a.ports.Prover.Key(ctx)
		return []byte(key + "\n"), err
	}), nil
}

func (a *API) proofCheckpoint(*http.Request, merchant.Operator) (*file, error) {
	return whole(typeText, "ledger.checkpoint", a.ports.Prover.Checkpoint), nil
}

func (a *API) proofInclude(r *http.Request, _ merchant.Operator) (*file, error) {
	return a.include(r, nil)
}

// proofIncludeUnder proves under the checkpoint that is sent.
func (a *API) proofIncludeUnder(r *http.Request, _ merchant.Operator, body []byte) (*file, error) {
	return a.include(r, body)
}

func (a *API) include(r *http.Request, checkpoint []byte) (*file, error) {
	subject, err := pathText(r, "subject")
	if err != nil {
		return nil, err
	}
	return whole(typeJSON, fileName(subject)+".proof", func(ctx context.Context) ([]byte, error) {
		return a.ports.Prover.Include(ctx, subject, checkpoint)
	}), nil
}

func (a *API) proofConsistency(_ *http.Request, _ merchant.Operator, body []byte) (*file, error) {
	return whole(typeJSON, "consistency.proof", func(ctx context.Context) ([]byte, error) {
		return a.ports.Prover.Consistency(ctx, body)
	}), nil
}

// guardUpload is guardExport for a request that brings a checkpoint: its body, as the file is.
func (a *API) guardUpload(may func(merchant.Role) bool, prepare func(*http.Request, merchant.Operator, []byte) (*file, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.guardExport(may, func(r *http.Request, by merchant.Operator) (*file, error) {
			body, err := httpapi.ReadBody(w, r, maxCheckpoint)
			switch {
			case errors.Is(err, httpapi.ErrTooLarge), errors.Is(err, httpapi.ErrBodies):
				return nil, err
			case err != nil:
				return nil, domain.InvalidField("checkpoint", "did not arrive whole")
			case len(bytes.TrimSpace(body)) == 0:
				return nil, domain.InvalidField("checkpoint", "is missing: send the file as the body")
			}
			return prepare(r, by, body)
		}).ServeHTTP(w, r)
	})
}
