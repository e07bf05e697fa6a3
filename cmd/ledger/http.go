package main

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/khata-ledger/khata/adapters/gateway"
	"github.com/khata-ledger/khata/adapters/httpapi"
	"github.com/khata-ledger/khata/adapters/httpapi/klyropay"
	"github.com/khata-ledger/khata/adapters/httpapi/kspay"
	"github.com/khata-ledger/khata/adapters/httpapi/ops"
)

// handler puts every HTTP endpoint behind one front.
func (s *server) handler(zone *time.Location) (http.Handler, error) {
	metrics, err := httpapi.NewMetrics(s.metrics)
	if err != nil {
		return nil, err
	}
	s.ready = httpapi.NewReadiness(s.logger, readyWithin,
		httpapi.Check{Name: "store", Probe: s.storeReachable},
		httpapi.Check{Name: "views", Probe: s.viewsNear})

	rt := httpapi.NewRouter()
	s.admission = s.cfg.admission()
	dialect, err := s.dialect(zone)
	if err != nil {
		return nil, err
	}
	dialect.Register(rt)
	s.admission.More = dialect.Gates()
	if err := s.metrics.Register(s.admission.Metrics()); err != nil {
		return nil, fmt.Errorf("registering the metrics of admission: %w", err)
	}
	apps, err := s.kspay(zone)
	if err != nil {
		return nil, err
	}
	apps.Register(rt)
	s.pages().Register(rt)
	rt.Handle(http.MethodPost, gateway.WebhookPath("{gateway}", "{app}", "{config}"), s.admission.Gateways.Around(s.checkouts))
	s.operators(zone).Register(rt)
	rt.Handle(http.MethodGet, "/healthz", httpapi.Quietly(http.HandlerFunc(httpapi.Alive)))
	probes := s.admission.Probes
	rt.Handle(http.MethodGet, "/readyz", httpapi.Quietly(probes.Around(s.ready)))
	rt.Handle(http.MethodGet, "/metrics", httpapi.Quietly(probes.Around(promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{}))))
	if err := document(rt); err != nil {
		return nil, fmt.Errorf("the API reference: %w", err)
	}
	rt.Mount("/gateways/", s.admission.Gateways.Around(s.inbound))
	if s.bank != nil && s.bank.server != nil {
		rt.Mount("/sandbox/", s.bank.server)
	}
	return &httpapi.Front{
		Next: rt, Logger: s.logger, Metrics: metrics, Trusted: prefixes(s.cfg.TrustedProxy),
		Bodies: s.admission.Bodies, Reserved: reserved, Pause: s.cfg.RefusalPause,
	}, nil
}

// document serves the descriptions of the APIs, and a page of each.
func document(rt *httpapi.Router) error {
	merchants := httpapi.Reference{Name: "KlyroPay API", Page: "/docs", Spec: "/openapi/klyropay.yaml"}
	apps := httpapi.Reference{Name: "KS Pay API", Page: "/docs/kspay", Spec: "/openapi/kspay.yaml"}
	operators := httpapi.Reference{Name: "Operator API", Page: "/docs/operator", Spec: "/openapi/operator.yaml"}
	for _, api := range []struct {
		spec   []byte
		at     httpapi.Reference
		others []httpapi.Reference
	}{
		{klyropay.OpenAPI(), merchants, []httpapi.Reference{apps, operators}},
		{kspay.OpenAPI(), apps, []httpapi.Reference{merchants, operators}},
		{ops.OpenAPI(), operators, []httpapi.Reference{merchants, apps}},
	} {
		page, err := httpapi.Docs(api.spec, api.at, api.others...)
		if err != nil {
			return fmt.Errorf("%s: %w", api.at.Name, err)
		}
		rt.Handle(http.MethodGet, api.at.Page, page)
		rt.Handle(http.MethodGet, api.at.Spec, httpapi.Spec(api.spec))
	}
	return nil
}

// noGateway stands in events for the gateway of a server that has none.
const noGateway = "none"

// dialect is the KlyroPay API on this ledger.
func (s *server) dialect(zone *time.Location) (*klyropay.API, error) {
	gatewayName := noGateway
	if s.bank != nil {
		gatewayName = s.bank.client.Name()
	}
	return klyropay.New(
		klyropay.Ports{
			Merchants: s.ports, Ledger: s.ports, Log: s.ports, Vault: s.stores.vault, Answers: s.stores.work, Payments: s.views, Lists: s.ports,
			Batches: batchService{s.batches}, BatchViews: s.views, BatchFiles: batchFiles{},
		},
		klyropay.Options{
			MaxBody: int64(s.cfg.MaxBody), MaxBatchBody: int64(s.cfg.MaxBatchBody), RateLimit: s.cfg.RateLimit, FailureLimit: klyropay.DefaultFailureLimit,
			PayinExpiry: s.cfg.PayinExpiry, GatewayWait: s.cfg.GatewayWait, Zone: zone,
			VPA: s.cfg.PayeeVPA, PayeeName: s.cfg.PayeeName, Gateway: gatewayName, Logger: s.logger,
			Commands: s.admission.Commands, Reads: s.admission.Reads, Waits: s.admission.Waits,
		})
}

// operators is the operator API.
func (s *server) operators(zone *time.Location) *ops.API {
	desk := s.desk()
	return ops.New(
		ops.Ports{
			Views: s.views, Deliveries: deliveries{s.webhooks}, Timeline: timeline{s.ledger}, Merchants: s.ledger, Batches: s.batches, Books: s.views,
			Periods: closings{s.views, s.ledger},
			Auditor: auditor{s.stores.log, s.views, s.ledger}, Prover: notary{&prover{stores: s.stores, views: s.views}},
			Packer: disputePacker{s}, Disputes: disputeDesk{s.views, s.ledger}, Refunds: refundDesk{disputeDesk{s.views, s.ledger}},
			Reconciliation: reconcileDesk{newReconciling(s.stores, s.ledger, s.views, zone), zone},
			Apps:           desk, Trials: desk, AppPayments: s.views,
		},
		ops.Options{
			RateLimit: s.cfg.RateLimit, FailureLimit: klyropay.DefaultFailureLimit, Exports: s.cfg.Exports, Stopping: s.exports, Logger: s.logger,
			Gate: s.admission.Operators,
		})
}

func (s *server) storeReachable(ctx context.Context) (string, error) {
	for p := range s.stores.info.Partitions {
		if _, err := s.stores.log.Head(ctx, p); err != nil {
			return "the log cannot be read", err
		}
	}
	return fmt.Sprintf("%s, %d partitions", s.stores.dialect, s.stores.info.Partitions), nil
}

func (s *server) viewsNear(context.Context) (string, error) {
	return s.views.Standing(), s.views.Ready(readyLag)
}
