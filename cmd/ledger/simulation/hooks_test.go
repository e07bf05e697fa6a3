package simulation

import (
	"bufio"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"database/sql"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/khata-ledger/khata/adapters/webhook"
)

// hooks are the merchants' servers, the network before them, and what the oracle expects of callbacks.
type hooks struct {
	world *world
	shops *shops

	attempts, perMerchant int // options of the deliverer
	gap                   time.Duration
	asleep                atomic.Int32 // servers that take their time

	mu       sync.Mutex
	received map[string][]receipt // by the callback's id
	news     *newsreel
	calls    int
}

// receipt is a callback that reached a merchant's server.
type receipt struct {
	shop       string
	body       string
	generation int  // of the work database
	thanked    bool // the answer 200 was taken
}

// patience is how long the deliverer waits for an answer.
const patience = 3 * time.Second

func newHooks(w *world, dice *rand.Rand, s *shops) *hooks {
	return &hooks{
		world: w, shops: s, attempts: 2 + dice.IntN(4), perMerchant: 1 + dice.IntN(3), gap: time.Duration(2+dice.IntN(6)) * time.Second,
		received: map[string][]receipt{}, news: newNewsreel(w),
	}
}

// join starts the outbox and the deliverer of a process.
func (h *hooks) join(ctx context.Context, p *process, logger *slog.Logger, run func(func(context.Context) error)) []consumer {
	w := h.world
	db := sql.OpenDB(wire{p})
	store := webhook.NewStore(db, db)
	outbox := webhook.NewOutbox(p.store("callbacks"), clerk{p}, store, w.now)
	sender := webhook.NewSender(store, w.plant.merchants(clerk{p}), w.plant.secrets(clerk{p}), webhook.Options{
		Attempts: h.attempts, Gap: h.gap, Timeout: patience, PerMerchant: h.perMerchant, Concurrency: 5,
		Poll:     time.Second + 17*time.Microsecond, // at no time at which something else ends
		Resolver: street{p}, Dial: street{p}.dial, Clock: w.now, Logger: logger,
	})
	run(func(ctx context.Context) error { sender.Run(ctx); return nil })
	go func() {
		<-ctx.Done()
		p.running.Wait()
		if err := db.Close(); err != nil {
			w.wrong("process %s: %v", p.name, err)
		}
	}()
	tell := w.plant.outbox(outbox.Handle)
	return []consumer{
		{"callbacks", "payin", tell, outbox.Types()}, {"callbacks", "payout", tell, outbox.Types()}, {"callbacks", "batch", tell, outbox.Types()},
	}
}

// street is the network between a process and the merchants' servers.
type street struct{ of *process }

// address is where a merchant's server is.
func address(number int) string { return fmt.Sprintf("93.184.216.%d", number+1) }

// private is an address that no callback may go to.
const private = "10.0.0.7"

// LookupNetIP resolves a name: sometimes not, and sometimes to an address that is none of the internet's.
func (s street) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	w, number := s.of.world, 0
	if _, err := fmt.Sscanf(host, "shop%d.test", &number); err != nil {
		return nil, err
	}
	switch {
	case s.of.isDead():
		return nil, errDead
	case w.away("name " + host):
		return nil, errCut
	case w.away("true name " + host):
		return []netip.Addr{netip.MustParseAddr(private)}, nil
	}
	return []netip.Addr{netip.MustParseAddr(address(number))}, nil
}

// dial connects to a merchant's server.
func (s street) dial(_ context.Context, _, to string) (net.Conn, error) {
	w := s.of.world
	switch {
	case s.of.isDead():
		return nil, errDead
	case w.away("route " + to):
		return nil, errCut
	}
	for n := range w.profile.merchants {
		if to == address(n)+":80" {
			near, far := net.Pipe()
			go w.extras.hooks.serve(s.of, fmt.Sprintf("mer_%016d", n), far)
			return near, nil
		}
	}
	w.wrong("a callback goes to %s, where no merchant is", to)
	return nil, errCut
}

// serve is a merchant's server, on one connection of a process.
func (h *hooks) serve(p *process, shop string, conn net.Conn) {
	in := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(in)
		if err != nil {
			break
		}
		body, err := io.ReadAll(r.Body)
		if err != nil || !h.take(p, shop, conn, r, body) {
			break
		}
	}
	if err := conn.Close(); err != nil {
		h.world.wrong("closing a pipe: %v", err)
	}
}

// answers are what a flaky server says: status lines and what follows.
func answers() []string {
	return []string{
		"200 OK\r\nContent-Length: 2\r\n\r\nok", "200 OK\r\nContent-Length: 0\r\n\r\n", "201 Created\r\nContent-Length: 0\r\n\r\n",
		"301 Moved Permanently\r\nLocation: http://" + private + "/\r\nContent-Length: 0\r\n\r\n", "429 Too Many Requests\r\nContent-Length: 0\r\n\r\n",
		"500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops", "503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "204 No Content\r\n\r\n",
	}
}

const thanks = "200 OK\r\nContent-Length: 2\r\n\r\nok"

// take takes a callback in, and answers it as the dice and the merchant's temper have it. It is false when the connection ends.
func (h *hooks) take(p *process, shop string, conn net.Conn, r *http.Request, body []byte) bool {
	w := h.world
	v := w.park(context.Background(), p, "callback", r.Header.Get("webhook-id")+" at "+shop, false)
	if !v.done() {
		return false
	}
	number := h.receive(shop, r, body)
	h.shops.mu.Lock()
	temper := h.shops.byID[shop].temper
	h.shops.mu.Unlock()
	answer := thanks
	switch {
	case v.fault == garbled:
		answer = "twenty of something\r\n\r\n"
	case !v.answered() || temper == deaf && v.draw%8 > 0:
		return false
	case temper == broken:
		answer = answers()[5]
	case temper == flaky:
		answer = answers()[v.draw%uint64(len(answers()))]
	case temper == silent && v.draw%8 > 0:
		_, err := io.Copy(io.Discard, conn) // until the other side has had enough
		return err != nil
	case temper == sluggish:
		h.asleep.Add(1)
		time.Sleep(patience/2 + time.Duration(v.draw%uint64(patience)))
		h.asleep.Add(-1)
	}
	if _, err := io.WriteString(conn, "HTTP/1.1 "+answer); err != nil {
		return false
	}
	if strings.HasPrefix(answer, "200") {
		h.mu.Lock()
		h.received[r.Header.Get("webhook-id")][number].thanked = true
		h.mu.Unlock()
	}
	return v.fault != garbled
}

// receive notes a callback that reached a merchant's server, and judges it by what the log and the work database have at this moment.
func (h *hooks) receive(shop string, r *http.Request, body []byte) (number int) {
	w, id := h.world, r.Header.Get("webhook-id")
	name := fmt.Sprintf("callback %s to %s", id, shop)
	h.shops.mu.Lock()
	m := h.shops.byID[shop]
	known, keys := m.urls["http://"+r.Host+r.URL.Path], [][]byte{}
	for _, k := range m.keys {
		keys = append(keys, k)
	}
	h.shops.mu.Unlock()
	if r.Method != http.MethodPost || !known {
		w.wrong("%s: %s %s%s is no callback URL of this merchant", name, r.Method, r.Host, r.URL.Path)
	}
	if !slices.ContainsFunc(keys, func(k []byte) bool { return signs(k, r.Header, body) }) {
		w.wrong("%s: no key of this merchant has signed it", name)
	}
	h.news.follow()
	h.news.judge(name, id, shop, body)
	h.mu.Lock()
	defer h.mu.Unlock()
	h.calls++
	before := h.received[id]
	if len(before) > 0 && before[0].body != string(body) {
		w.wrong("%s says %s, and has said %s", name, body, before[0].body)
	}
	now := receipt{shop: shop, body: string(body), generation: w.work.generation}
	h.received[id] = append(before, now)
	h.stored(name, id, h.received[id])
	return len(before)
}

// stored compares what has reached a server with what the work database has of it; the caller holds mu.
func (h *hooks) stored(name, id string, received []receipt) {
	w, made := h.world, 0
	for _, r := range received {
		if r.generation == w.work.generation {
			made++
		}
	}
	found, err := w.work.query(`SELECT d.attempts, (SELECT COUNT(*) FROM deliveries o WHERE o.merchant = d.merchant AND o.subject = d.subject
		AND o.state = 'pending' AND o.seq < d.seq) FROM deliveries d WHERE d.id = '`+id+`'`, nil)
	if err != nil || len(found.values) != 1 {
		w.wrong("%s is not stored (%v)", name, err)
		return
	}
	attempts, earlier := found.values[0][0].(int64), found.values[0][1].(int64)
	switch {
	case attempts < int64(made) || attempts > int64(h.attempts):
		w.wrong("%s: it has come %d times, and %d attempts of at most %d are counted", name, made, attempts, h.attempts)
	case earlier > 0:
		w.wrong("%s: it comes before an earlier one of the same subject has ended", name)
	}
}

// signs tells whether a key has signed a callback, both ways.
func signs(key []byte, header http.Header, body []byte) bool {
	mac := func(parts ...string) []byte {
		h := hmac.New(sha256.New, key)
		h.Write([]byte(strings.Join(parts, "")))
		return h.Sum(nil)
	}
	standard := mac(header.Get("webhook-id"), ".", header.Get("webhook-timestamp"), ".", string(body))
	return header.Get("X-KlyroPay-Signature") == hex.EncodeToString(mac(string(body))) &&
		slices.Contains(strings.Split(header.Get("webhook-signature"), " "), "v1,"+base64.StdEncoding.EncodeToString(standard))
}
