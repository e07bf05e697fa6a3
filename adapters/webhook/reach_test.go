package webhook_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/khata-ledger/khata/adapters/webhook"
)

// names is a resolver whose answers to a host follow one another; the last one stays.
type names struct {
	mu    sync.Mutex
	hosts map[string][][]string
	asked []string
}

func (n *names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.asked = append(n.asked, host)
	answers := n.hosts[host]
	if len(answers) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if len(answers) > 1 {
		n.hosts[host] = answers[1:]
	}
	var list []netip.Addr
	for _, a := range answers[0] {
		list = append(list, netip.MustParseAddr(a))
	}
	return list, nil
}

func (n *names) lookups() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.asked)
}

// listening is a receiver at a given address, counting connections.
func listening(t *testing.T, address string, answer http.HandlerFunc) (*receiver, string) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", address)
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{answer: answer}
	r.Server = httptest.NewUnstartedServer(r)
	if err := r.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	r.Listener = l
	r.Config.SetKeepAlivesEnabled(false) // each attempt connects anew
	r.Start()
	t.Cleanup(r.Close)
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return r, port
}

// attempted makes one attempt at a URL, on its own, and returns what came of it.
func attempted(t *testing.T, callbackURL string, o webhook.Options) webhook.Attempt {
	t.Helper()
	s := newScene(t, sqliteWork(t)())
	s.join("mer_a", callbackURL)
	stop := s.run(s.store, o)
	_, a := s.awaitAttempt(s.callback("mer_a", "txn_1"), 1)
	stop()
	return a
}

// attemptedAll makes one attempt at each of several hosts.
func attemptedAll(t *testing.T, port string, hosts []string, o webhook.Options) map[string]webhook.Attempt {
	t.Helper()
	s := newScene(t, sqliteWork(t)())
	ids := map[string]string{}
	for i, host := range hosts {
		name := fmt.Sprintf("mer_%d", i)
		s.join(name, "http://"+host+":"+port+"/")
		ids[host] = s.callback(name, "txn_"+name)
	}
	stop := s.run(s.store, o)
	defer stop()
	attempts := map[string]webhook.Attempt{}
	for host, id := range ids {
		_, attempts[host] = s.awaitAttempt(id, 1)
	}
	return attempts
}

// nobody allows no private range.
func nobody() []netip.Prefix { return []netip.Prefix{netip.MustParsePrefix("10.255.255.255/32")} }

// Nothing is sent to an address that is private or special, however the URL says it.
func TestForbiddenAddressesAreNotCalled(t *testing.T) {
	server, port := listening(t, "127.0.0.1:0", nil)
	resolver := &names{hosts: map[string][][]string{
		"private.test":  {{"10.0.0.1"}},
		"loopback.test": {{"127.0.0.1"}},
		"mapped.test":   {{"::ffff:127.0.0.1"}},
		"mixed.test":    {{"127.0.0.1", "8.8.8.8"}},
		"mixed2.test":   {{"8.8.8.8", "127.0.0.1"}},
		"cgnat.test":    {{"100.64.0.1"}},
		"metadata.test": {{"169.254.169.254"}},
		"ula.test":      {{"fd00:ec2::254"}},
		"linklocal.com": {{"fe80::1"}},
		"nat64.test":    {{"64:ff9b::7f00:1"}},
		"6to4.test":     {{"2002:7f00:1::1"}},
		"multi.test":    {{"224.0.0.1"}},
		"zero.test":     {{"0.0.0.0"}},
		"zero6.test":    {{"::"}},
		"docs.test":     {{"192.0.2.1"}},
		"localhost":     {{"127.0.0.1", "::1"}},
	}}
	var hosts []string
	for host := range resolver.hosts {
		hosts = append(hosts, host)
	}
	slices.Sort(hosts)
	hosts = append(hosts, "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]", "0.0.0.0", "[::]", "[64:ff9b::7f00:1]")
	for host, a := range attemptedAll(t, port, hosts, webhook.Options{Allow: nobody(), Resolver: resolver, Attempts: 1}) {
		if a.Status != 0 || !strings.Contains(a.Error, webhook.ErrForbidden.Error()) {
			t.Errorf("%s: status %d, %q", host, a.Status, a.Error)
		}
	}
	// What resolvers of old take for 127.0.0.1 is not called, even where that is allowed.
	disguised := []string{"2130706433", "0x7f.1", "127.1", "0177.0.0.1", "127.0.0.1."}
	for host, a := range attemptedAll(t, port, disguised, webhook.Options{Resolver: resolver, Attempts: 1}) {
		if a.Status != 0 || a.Error == "" {
			t.Errorf("%s was called: status %d", host, a.Status)
		}
	}
	eq(t, "calls", len(server.got()), 0)
}

// What the settings name is called, and only that, even if the name has other addresses.
func TestAllowedAddressesAreCalled(t *testing.T) {
	server, port := listening(t, "127.0.0.1:0", nil)
	resolver := &names{hosts: map[string][][]string{"shop.test": {{"10.0.0.1", "127.0.0.1", "::1"}}}}
	a := attempted(t, "http://shop.test:"+port+"/in?token=7", webhook.Options{Resolver: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	eq(t, "status", a.Status, http.StatusOK)
	eq(t, "path", server.got()[0].path, "/in?token=7")
}

// A name that changes between the check and the connection gains nothing: there is one look-up, and the address that was
// checked is what is dialled. At the next attempt, it is checked again.
func TestRebinding(t *testing.T) {
	good, port := listening(t, "127.0.0.1:0", answering(http.StatusInternalServerError, ""))
	evil, _ := listening(t, "127.0.0.2:"+port, nil)
	resolver := &names{hosts: map[string][][]string{"rebind.test": {{"127.0.0.1"}, {"127.0.0.2"}}}}
	s := newScene(t, sqliteWork(t)())
	s.join("mer_a", "http://rebind.test:"+port+"/")
	id := s.callback("mer_a", "txn_1")
	s.run(s.store, webhook.Options{Resolver: resolver, Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}})
	_, first := s.awaitAttempt(id, 1)
	eq(t, "status", first.Status, http.StatusInternalServerError)
	eq(t, "look-ups", resolver.lookups(), 1)
	s.clock.advance(5 * time.Minute)
	_, second := s.awaitAttempt(id, 2)
	if second.Status != 0 || !strings.Contains(second.Error, webhook.ErrForbidden.Error()) {
		t.Errorf("second attempt: status %d, %q", second.Status, second.Error)
	}
	eq(t, "calls of the good one", len(good.got()), 1)
	eq(t, "calls of the other", len(evil.got()), 0)
}

// rawServer answers each connection with fixed bytes and closes it.
func rawServer(t *testing.T, serve func(conn net.Conn)) string {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer conn.Close() //nolint:errcheck // the other side may have gone
				serve(conn)
			})
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		conns.Wait()
	})
	return l.Addr().String()
}

func saying(answer string) func(net.Conn) {
	return func(conn net.Conn) {
		if _, err := http.ReadRequest(bufio.NewReader(conn)); err == nil {
			io.WriteString(conn, answer) //nolint:errcheck // the client may refuse to read on
		}
	}
}

// Neither the URL nor the body, the answer or a key is logged, whatever the merchant's server does.
func TestLogsTellNothing(t *testing.T) {
	s := newScene(t, sqliteWork(t)())
	const pii = "Rahul-Sharma-9876543210"
	targets := []string{
		receiverThat(t, answering(http.StatusOK, pii)).URL,
		receiverThat(t, answering(http.StatusBadGateway, pii)).URL,
		receiverThat(t, func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "http://[::1/"+pii)
			w.WriteHeader(http.StatusFound)
		}).URL,
		"http://" + rawServer(t, saying(pii+"\r\n\r\n")),
		"http://" + rawServer(t, saying("HTTP/1.1 "+pii+"\r\n\r\n")),
		"http://" + rawServer(t, saying("HTTP/1.1 200 OK\r\n"+pii+"\r\n\r\n")),
		"http://" + rawServer(t, saying("HTTP/1.1 200 OK\r\nContent-Length: "+pii+"\r\n\r\n")),
		"http://" + rawServer(t, saying("HTTP/1.1 200 OK\r\nTransfer-Encoding: "+pii+"\r\n\r\n")),
		"http://" + rawServer(t, saying("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n"+pii)),
		"http://" + rawServer(t, saying("")),
		"http://127.0.0.1:1",
		"http://10.1.1.1",
		"http://nowhere.invalid",
	}
	stop := s.run(s.store, webhook.Options{Attempts: 1, Resolver: &names{}})
	var ids []string
	for i, target := range targets {
		name := "mer_" + string(rune('a'+i))
		s.join(name, target+"/SECRET-PATH?token=SECRET-QUERY")
		ids = append(ids, s.callback(name, "txn_"+name))
	}
	for _, id := range ids {
		until(t, "an end", func() bool { d, _ := s.get(id); return d.State != webhook.Pending })
	}
	_, a := s.awaitAttempt(ids[8], 1)
	eq(t, "an answer that breaks off counts by its status", a.Status, http.StatusOK)
	stop()
	logs := s.logs.String()
	for _, id := range ids {
		if !strings.Contains(logs, id) {
			t.Errorf("%s is not in the logs", id)
		}
	}
	for _, secret := range []string{"SECRET", "Rahul", "9876543210", "klyro_of", "407241812279", "ORDER-", "REF-", "net_amount"} {
		if i := strings.Index(logs, secret); i >= 0 {
			t.Errorf("%q is in the logs: %s", secret, logs[max(0, i-200):min(len(logs), i+100)])
		}
	}
}

// A server that takes the connection and never speaks ends with the attempt: nothing stays behind, though the sender goes on.
func TestSilentServersLeaveNothingBehind(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		closed := make(chan struct{}, 10)
		address := rawServer(t, func(conn net.Conn) {
			io.Copy(io.Discard, conn) //nolint:errcheck // until the client goes away
			closed <- struct{}{}
		})
		s := newScene(t, sqliteWork(t)())
		s.join("mer_a", scheme+"://"+address+"/")
		s.run(s.store, webhook.Options{Timeout: 100 * time.Millisecond, Attempts: 1})
		_, a := s.awaitAttempt(s.callback("mer_a", "txn_1"), 1)
		eq(t, "status", a.Status, 0)
		eq(t, "problem", a.Error, "no answer within 100ms")
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatalf("%s: the connection outlives its attempt", scheme)
		}
	}
}

// An attempt that a kill cuts short counts. The next one is made when its lease has run out, and not by two processes before.
func TestKilledInTheMiddle(t *testing.T) {
	onBoth(t, func(t *testing.T, open func() *sql.DB) {
		s := newScene(t, open())
		server := receiverThat(t, answering(http.StatusBadGateway, ""))
		s.join("mer_a", server.URL)
		id := s.callback("mer_a", "txn_1")
		killed := func() {
			t.Helper()
			lease := s.clock.Now().Add(30 * time.Second)
			if ok, err := s.store.Abandon(t.Context(), id, s.clock.Now(), lease); err != nil || !ok {
				t.Fatalf("begin: %v, %v", ok, err)
			}
			if ok, err := newStore(open()).Abandon(t.Context(), id, s.clock.Now(), lease); err != nil || ok {
				t.Fatalf("a second attempt at the same time: %v, %v", ok, err)
			}
		}
		killed()
		stop := s.run(newStore(open()), webhook.Options{Attempts: 3})
		s.clock.advance(30*time.Second - time.Microsecond)
		s.barrier()
		eq(t, "calls while the lease lasts", len(server.got()), 0)
		s.clock.advance(time.Microsecond)
		d, _ := s.awaitAttempt(id, 2)
		eq(t, "attempts", d.Attempts, 2)
		stop()

		s.clock.advance(5 * time.Minute)
		killed() // in the last one
		s.run(newStore(open()), webhook.Options{Attempts: 3})
		s.clock.advance(30 * time.Second)
		d, attempts := s.await(id, webhook.Failed)
		eq(t, "attempts", d.Attempts, 3)
		eq(t, "calls", len(server.got()), 1)
		for i, cut := range []bool{true, false, true} {
			eq(t, fmt.Sprintf("attempt %d was cut short", i+1), attempts[i].FinishedAt.IsZero(), cut)
		}
	})
}

// Over TLS, callbacks go only to servers that prove who they are.
func TestTLS(t *testing.T) {
	r := &receiver{}
	r.Server = httptest.NewUnstartedServer(r)
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // it tells of the handshakes that are refused
	r.StartTLS()
	t.Cleanup(r.Close)
	a := attempted(t, r.URL, webhook.Options{Attempts: 1})
	if a.Status != 0 || !strings.Contains(a.Error, "certificate") {
		t.Errorf("an unknown authority: status %d, %q", a.Status, a.Error)
	}
	eq(t, "calls", len(r.got()), 0)
	roots := r.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	a = attempted(t, r.URL, webhook.Options{Attempts: 1, Roots: roots})
	eq(t, "status", a.Status, http.StatusOK)
	u, err := url.Parse(r.URL)
	if err != nil {
		t.Fatal(err)
	}
	a = attempted(t, "https://other.test:"+u.Port()+"/", webhook.Options{Attempts: 1, Roots: roots, Resolver: &names{hosts: map[string][][]string{"other.test": {{"127.0.0.1"}}}}})
	if a.Status != 0 || !strings.Contains(a.Error, "certificate") {
		t.Errorf("another name: status %d, %q", a.Status, a.Error)
	}
}
