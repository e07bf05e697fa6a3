package httpapi

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Admission is what bounds the requests of a server, by class. What is nil bounds nothing.
type Admission struct {
	Commands  *Gate // of merchants: what is decided, and durable before it is answered
	Reads     *Gate // of merchants
	Waits     *Gate // for the bank, or a gateway: they take memory only
	Pages     *Gate // that customers see
	Gateways  *Gate // what banks and gateways tell
	Operators *Gate
	Probes    *Gate // readiness and metrics, which read the stores
	More      []*Gate

	Connections *Connections
	Bodies      *Bodies
}

func (a *Admission) gates() []*Gate {
	var all []*Gate
	for _, g := range append([]*Gate{a.Commands, a.Reads, a.Waits, a.Pages, a.Gateways, a.Operators, a.Probes}, a.More...) {
		if g != nil {
			all = append(all, g)
		}
	}
	return all
}

// counts are how many are in work, how many wait, and how many were refused, by reason.
func (g *Gate) counts() (working, waiting int, refused map[string]uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	refused = make(map[string]uint64, len(g.refused))
	for reason, n := range g.refused {
		refused[reason] = n
	}
	return g.working, g.here - g.working, refused
}

// admissionMetrics reads an Admission when Prometheus asks.
type admissionMetrics struct {
	of                                           *Admission
	working, waiting, refused, open, bytes, most *prometheus.Desc
}

// Metrics are ledger_http_in_work, ledger_http_waiting, ledger_http_in_work_limit, ledger_http_refused_total, ledger_http_connections and
// ledger_http_body_bytes.
func (a *Admission) Metrics() prometheus.Collector {
	desc := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, labels, nil)
	}
	return &admissionMetrics{
		of:      a,
		working: desc("ledger_http_in_work", "Requests in work, by class.", "class"),
		waiting: desc("ledger_http_waiting", "Requests that wait for a place, by class.", "class"),
		most:    desc("ledger_http_in_work_limit", "How many requests may be in work, by class.", "class"),
		refused: desc("ledger_http_refused_total", "Requests, large bodies and connections for which there was no room, by class and reason.", "class", "reason"),
		open:    desc("ledger_http_connections", "Open connections: ordinary ones, those of the reserve, and those that are being refused.", "kind"),
		bytes:   desc("ledger_http_body_bytes", "Memory of request bodies larger than 16 KiB."),
	}
}

// Describe implements prometheus.Collector.
func (m *admissionMetrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.working, m.waiting, m.most, m.refused, m.open, m.bytes} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (m *admissionMetrics) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(v uint64, class, reason string) {
		ch <- prometheus.MustNewConstMetric(m.refused, prometheus.CounterValue, float64(v), class, reason)
	}
	for _, g := range m.of.gates() {
		working, waiting, refused := g.counts()
		gauge(m.working, float64(working), g.class)
		gauge(m.waiting, float64(waiting), g.class)
		gauge(m.most, float64(g.bounds.Most), g.class)
		for reason, n := range refused {
			counter(n, g.class, reason)
		}
	}
	if c := m.of.Connections; c != nil {
		open, inside, held := c.counts()
		gauge(m.open, float64(open), "ordinary")
		gauge(m.open, float64(inside), "reserve")
		gauge(m.open, float64(held), "refused")
		counter(c.answered.Load(), "connections", "full")
	}
	if b := m.of.Bodies; b != nil {
		used, refused := b.counts()
		gauge(m.bytes, float64(used))
		counter(refused, "bodies", "full")
	}
}

// refusedInAll counts what was refused since the start.
func (a *Admission) refusedInAll() (n uint64) {
	for _, g := range a.gates() {
		if g == a.Waits {
			continue // who is not waited with is answered all the same
		}
		_, _, refused := g.counts()
		for _, one := range refused {
			n += one
		}
	}
	if a.Connections != nil {
		n += a.Connections.answered.Load()
	}
	if a.Bodies != nil {
		_, refused := a.Bodies.counts()
		n += refused
	}
	return n
}

// Watch says in the log when requests are refused, in one line an interval: each refusal by itself would be as many as somebody likes.
func (a *Admission) Watch(ctx context.Context, logger *slog.Logger, interval time.Duration) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	before := a.refusedInAll()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if now := a.refusedInAll(); now != before {
			logger.Warn("requests were refused, for there was no room", "refused", now-before, "within", interval.String())
			before = now
		}
	}
}
