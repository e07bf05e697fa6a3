package main

import (
	"context"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/khata-ledger/khata/adapters/gateway"
)

// counters are the metrics beside those of HTTP. What can be asked is asked when Prometheus asks.
type counters struct {
	gateways *prometheus.CounterVec
}

func newCounters(s *server) (*counters, error) {
	c := &counters{gateways: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ledger_gateway_events_total", Help: "What happened with gateways: sent, inquired, unknown, anomaly, ...",
	}, []string{"gateway", "event"})}
	all := []prometheus.Collector{
		c.gateways, newDepths(s),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	}
	for _, m := range all {
		if err := s.metrics.Register(m); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (c *counters) gateway(name string, e gateway.Event) {
	c.gateways.WithLabelValues(name, string(e)).Inc()
}

// depths reads queues and lags. A figure that cannot be read is left out.
type depths struct {
	server *server

	queue, head, views, jobs, callbacks, poison *prometheus.Desc
}

func newDepths(s *server) *depths {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &depths{
		server:    s,
		queue:     desc("ledger_queue_commands", "Commands that wait to be decided, by partition.", "partition"),
		head:      desc("ledger_log_position", "Newest position known, by partition.", "partition"),
		views:     desc("ledger_views_behind_records", "Records that the views have not taken in yet."),
		jobs:      desc("ledger_jobs", "Jobs that wait, by kind.", "kind"),
		callbacks: desc("ledger_callbacks", "Callbacks, by state.", "state"),
		poison:    desc("ledger_records_put_aside", "Records whose effect a consumer could not cause; each is in the log of the server."),
	}
}

// scrapeWithin bounds what a scrape may cost the stores.
const scrapeWithin = 2 * time.Second

// Describe implements prometheus.Collector.
func (d *depths) Describe(ch chan<- *prometheus.Desc) {
	for _, x := range []*prometheus.Desc{d.queue, d.head, d.views, d.jobs, d.callbacks, d.poison} {
		ch <- x
	}
}

// Collect implements prometheus.Collector.
func (d *depths) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	s := d.server
	gauge := func(what *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(what, prometheus.GaugeValue, v, labels...)
	}
	seqs, _ := s.tail.Seqs()
	for p, seq := range seqs {
		gauge(d.queue, float64(s.ledger.Queued(p)), strconv.Itoa(p))
		gauge(d.head, float64(seq), strconv.Itoa(p))
	}
	gauge(d.views, float64(s.views.Lag()))
	for _, kind := range s.jobKinds() {
		if n, err := s.stores.work.Count(ctx, kind); err == nil {
			gauge(d.jobs, float64(n), kind)
		}
	}
	if counts, err := s.webhooks.Count(ctx); err == nil {
		for state, n := range counts {
			gauge(d.callbacks, float64(n), string(state))
		}
	}
	if n, err := s.poison.Count(ctx); err == nil {
		gauge(d.poison, float64(n))
	}
}

// jobKinds are the kinds of due jobs that this server works on.
func (s *server) jobKinds() []string {
	kinds := slices.Concat(s.expiry.Kinds(), []string{gateway.EarlyJobs, gateway.TrialJobs, gateway.LateJobs}, s.refunds.Kinds())
	if s.bank != nil {
		kinds = append(kinds, gateway.PayoutJobs(s.bank.client.Name()), gateway.BatchJobs(s.bank.client.Name()))
	}
	return kinds
}
