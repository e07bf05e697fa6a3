package main

import (
	"errors"
	"strings"
	"time"

	"github.com/khata-ledger/khata/adapters/httpapi"
)

// admissionFlags bound what is in work at the same time.
type admissionFlags struct {
	MaxConnections int           `default:"2048" help:"Connections that are served; half of them of one address, unless it is a trusted proxy's. More are refused."`
	MaxCommands    int           `default:"512" help:"Commands of merchants in work; half of them of one merchant. More are refused."`
	MaxReads       int           `default:"8"  help:"Reads of merchants in work; half of them, and of the queue of 256, of one merchant. More are refused."`
	MaxWaits       int           `default:"4096" help:"Requests that wait for a bank; half of them of one merchant. More are answered without waiting."`
	RefusalPause   time.Duration `default:"250ms" help:"How long nothing is read from a connection whose request was refused."`
}

func (f *admissionFlags) check() error {
	switch {
	case f.MaxConnections < 1 || f.MaxCommands < 1 || f.MaxReads < 1 || f.MaxWaits < 1:
		return errors.New("--max-connections, --max-commands, --max-reads and --max-waits must be at least 1")
	case f.RefusalPause < 0:
		return errors.New("--refusal-pause must not be negative")
	}
	return nil
}

// Bounds of what no flag bounds.
const (
	reservedConnections = 256      // beside --max-connections, for probes, operators and banks
	maxLargeBodies      = 64 << 20 // bytes of all bodies larger than 16 KiB
	readQueue           = 256
	readQueueWithin     = time.Second
	maxPages            = 256 // that customers load; some of them wait for a gateway
	maxGateways         = 128 // messages of banks and gateways: as many as gateway.Checkouts has in work, so that two that hang leave room
	gatewayQueue        = 256
	gatewayQueueWithin  = 5 * time.Second
	maxOperators        = 8
	operatorQueue       = 64
	operatorQueueWithin = 5 * time.Second
	maxProbes           = 4
	probeQueue          = 32
	probeQueueWithin    = 2 * time.Second
	refusalsEvery       = 10 * time.Second // one line of the log
)

// admission makes the bounds of a server.
func (c *serveCommand) admission() *httpapi.Admission {
	return &httpapi.Admission{
		Commands:    httpapi.NewGate("commands", httpapi.Bounds{Most: c.MaxCommands}),
		Reads:       httpapi.NewGate("reads", httpapi.Bounds{Most: c.MaxReads, Queue: readQueue, Within: readQueueWithin}),
		Waits:       httpapi.NewGate("waits", httpapi.Bounds{Most: c.MaxWaits}),
		Pages:       httpapi.NewGate("pages", httpapi.Bounds{Most: maxPages}),
		Gateways:    httpapi.NewGate("gateways", httpapi.Bounds{Most: maxGateways, Queue: gatewayQueue, Within: gatewayQueueWithin}),
		Operators:   httpapi.NewGate("operators", httpapi.Bounds{Most: maxOperators, Queue: operatorQueue, Within: operatorQueueWithin}),
		Probes:      httpapi.NewGate("probes", httpapi.Bounds{Most: maxProbes, Queue: probeQueue, Within: probeQueueWithin}),
		Connections: httpapi.NewConnections(c.MaxConnections, prefixes(c.TrustedProxy), reservedConnections, reserved),
		Bodies:      httpapi.NewBodies(maxLargeBodies),
	}
}

// reserved tells what is served also when there are more connections than may be: probes, operators, and what banks and gateways tell.
func reserved(path string) bool {
	switch path {
	case "/healthz", "/readyz", "/metrics":
		return true
	}
	return strings.HasPrefix(path, "/ops/") || strings.HasPrefix(path, "/gateways/") || strings.HasPrefix(path, "/sandbox/")
}
