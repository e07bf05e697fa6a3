package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

func TestGateBoundsAllAndEach(t *testing.T) {
	g := NewGate("commands", Bounds{Most: 4})
	enter := func(who string, want error) *Place {
		t.Helper()
		p, err := g.Enter(t.Context(), who)
		if !errors.Is(err, want) {
			t.Fatalf("%s: %v, want %v", who, err, want)
		}
		return p
	}
	a := enter("a", nil)
	enter("a", nil)
	enter("a", ErrShare) // half of them is one's share
	enter("b", nil)
	last := enter("c", nil)
	enter("d", ErrFull)
	last.Leave()
	last.Leave() // who has left has left
	enter("d", nil)
	enter("d", ErrFull)
	a.Leave()
	enter("a", nil)
	if working, waiting, refused := g.counts(); working != 4 || waiting != 0 || refused["full"] != 2 || refused["share"] != 1 {
		t.Errorf("%d in work, %d wait, refused %v", working, waiting, refused)
	}
}

func TestGateQueueIsBoundedInLengthAndTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate("reads", Bounds{Most: 1, Queue: 2, Within: time.Second, Share: 3})
		first, err := g.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		got := make(chan error, 2)
		for range 2 {
			go func() {
				p, err := g.Enter(t.Context(), "a")
				got <- err
				if err == nil {
					p.Leave()
				}
			}()
		}
		synctest.Wait()
		if _, err := g.Enter(t.Context(), "b"); !errors.Is(err, ErrFull) {
			t.Errorf("a queue of two takes a third: %v", err)
		}
		first.Leave()
		if err := errors.Join(<-got, <-got); err != nil {
			t.Errorf("who waited was not let in: %v", err)
		}
		synctest.Wait()

		held, err := g.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		begun := time.Now()
		if _, err := g.Enter(t.Context(), "b"); !errors.Is(err, ErrFull) || time.Since(begun) != time.Second {
			t.Errorf("after %s: %v", time.Since(begun), err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := g.Enter(gone, "b"); !errors.Is(err, context.Canceled) {
			t.Errorf("who has gone: %v", err)
		}
		held.Leave()
		if working, waiting, refused := g.counts(); working+waiting != 0 || refused["late"] != 1 || len(g.of) != 0 {
			t.Errorf("%d in work, %d wait, refused %v, shares %v", working, waiting, refused, g.of)
		}
	})
}

// One who floods a class that queues has half of its places, and not all of them while others wait.
func TestGateLeavesPlacesToOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate("reads", Bounds{Most: 4, Queue: 16, Within: time.Second})
		got := make(chan *Place, 8)
		for range 8 {
			go func() {
				p, err := g.Enter(t.Context(), "flood")
				if err != nil {
					got <- nil
					return
				}
				got <- p
			}()
		}
		synctest.Wait()
		if working, waiting, _ := g.counts(); working != 2 || waiting != 6 {
			t.Errorf("one has %d of 4 places, and waits for %d", working, waiting)
		}
		begun := time.Now()
		p, err := g.Enter(t.Context(), "other")
		if err != nil || time.Since(begun) != 0 {
			t.Errorf("another one after %s: %v", time.Since(begun), err)
		}
		p.Leave()
		(<-got).Leave() // and one who waits has its place
		synctest.Wait()
		if working, waiting, _ := g.counts(); working != 2 || waiting != 5 {
			t.Errorf("behind one: %d in work, %d wait", working, waiting)
		}
		for range 7 {
			p := <-got
			defer p.Leave()
		}
		time.Sleep(time.Second)
		if working, waiting, refused := g.counts(); working != 2 || waiting != 0 || refused["late"] != 5 {
			t.Errorf("%d in work, %d wait, refused %v, shares %v", working, waiting, refused, g.of)
		}
	})
}

// Who sends his body slowly, and who does not read his answer, has no place.
func TestSlowClientsHaveNoPlace(t *testing.T) {
	g := NewGate("gateways", Bounds{Most: 1, Share: 1})
	large := strings.Repeat("x", 16<<20)
	front := &Front{Logger: discarded(), Next: g.Around(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		switch {
		case err != nil:
			w.WriteHeader(http.StatusBadRequest)
		case r.URL.Path == "/large":
			io.WriteString(w, large)
		default:
			fmt.Fprintf(w, "%d bytes", len(b))
		}
	}))}
	s := serveBounded(t, NewConnections(100, nil, 1, func(string) bool { return false }), front)
	sender, reader := s.dial(), s.dial()
	fmt.Fprintf(sender.c, "POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
	fmt.Fprintf(reader.c, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
	if _, err := reader.in.ReadByte(); err != nil { // it is being answered
		t.Fatal(err)
	}
	if status, _, body := s.dial().ask("/b"); status != http.StatusOK || body != "0 bytes" {
		t.Errorf("beside slow clients: %d %s", status, body)
	}
	fmt.Fprintf(sender.c, "67890")
	res, err := http.ReadResponse(sender.in, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if b, err := io.ReadAll(res.Body); err != nil || string(b) != "10 bytes" {
		t.Errorf("who sent slowly: %s %v", b, err)
	}
}

func TestNilGateLetsEverybodyIn(t *testing.T) {
	var g *Gate
	for range 3 {
		p, err := g.Enter(t.Context(), "a")
		if err != nil {
			t.Fatal(err)
		}
		p.Leave()
	}
}

func TestGateUnderLoad(t *testing.T) {
	g := NewGate("commands", Bounds{Most: 8, Queue: 8, Within: time.Minute})
	var mu sync.Mutex
	in, most := 0, 0
	var running sync.WaitGroup
	for i := range 64 {
		running.Go(func() {
			for range 200 {
				p, err := g.Enter(t.Context(), string(rune('a'+i%3)))
				if err != nil {
					continue
				}
				mu.Lock()
				in++
				most = max(most, in)
				mu.Unlock()
				mu.Lock()
				in--
				mu.Unlock()
				p.Leave()
			}
		})
	}
	running.Wait()
	if working, waiting, _ := g.counts(); most > 8 || working+waiting != 0 || len(g.of) != 0 {
		t.Errorf("at most %d at once; %d in work, %d wait, shares %v left", most, working, waiting, g.of)
	}
}

func TestRefusalsSayWhen(t *testing.T) {
	for err, status := range map[error]int{ErrFull: http.StatusServiceUnavailable, ErrShare: http.StatusTooManyRequests, ErrBodies: http.StatusServiceUnavailable} {
		w := httptest.NewRecorder()
		Refuse(w, httptest.NewRequest(http.MethodGet, "/", nil), err)
		if w.Code != status || w.Header().Get("Retry-After") != "1" || !strings.HasPrefix(w.Body.String(), `{"success":false,"message":"`) {
			t.Errorf("%v: %d %v %s", err, w.Code, w.Header(), w.Body)
		}
	}
}

// Large bodies share a bound, small ones do not count, and who says that much is coming has no memory for it yet.
func TestLargeBodiesShareABound(t *testing.T) {
	bodies := NewBodies(40 << 10)
	read, release := make(chan error), make(chan struct{})
	front := &Front{Logger: discarded(), Bodies: bodies, Next: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := ReadBody(w, r, 1<<20)
		read <- err
		<-release
		if err != nil {
			Refuse(w, r, err)
			return
		}
		Write(w, http.StatusOK, AppendString(nil, string(b[:1])))
	})}
	var running sync.WaitGroup
	send := func(n int) {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", n)))
		r.RemoteAddr = fmt.Sprintf("192.0.2.%d:1", n%251) // each has its share
		running.Go(func() { front.ServeHTTP(httptest.NewRecorder(), r) })
	}
	for _, c := range []struct {
		bytes int
		want  error
		used  int64
	}{{48 << 10, nil, 32 << 10}, {smallBody, nil, 32 << 10}, {smallBody + 1, nil, 32<<10 + 1}, {40 << 10, ErrBodies, 32<<10 + 1}} {
		send(c.bytes)
		if err := <-read; !errors.Is(err, c.want) {
			t.Errorf("%d bytes: %v, want %v", c.bytes, err, c.want)
		}
		if used, _ := bodies.counts(); used != c.used {
			t.Errorf("%d bytes in use behind a body of %d, want %d", used, c.bytes, c.used)
		}
	}
	close(release)
	running.Wait()
	if used, refused := bodies.counts(); used != 0 || refused != 1 {
		t.Errorf("%d bytes left, %d refused", used, refused)
	}
}

// One key leaves room for the large bodies of others.
func TestAKeyHasHalfOfTheLargeBodies(t *testing.T) {
	bodies := NewBodies(64 << 10)
	of := func(key string) *Exchange { return &Exchange{KeyID: key, bodies: bodies} }
	a, again, b := of("key_a"), of("key_a"), of("key_b")
	if !a.hold(32<<10) || again.hold(1) || !b.hold(32<<10) {
		t.Error("a share is not half")
	}
	a.release()
	if !again.hold(32 << 10) {
		t.Error("what was given back is not there")
	}
	again.release()
	b.release()
	if used, refused := bodies.counts(); used != 0 || refused != 1 || len(bodies.of) != 0 {
		t.Errorf("%d used, %d refused, %v", used, refused, bodies.of)
	}
}

func TestAdmissionMetrics(t *testing.T) {
	a := &Admission{Commands: NewGate("commands", Bounds{Most: 2}), Bodies: NewBodies(1), Connections: NewConnections(4, nil, 2, func(string) bool { return false })}
	if _, err := a.Commands.Enter(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Commands.Enter(t.Context(), "a"); !errors.Is(err, ErrShare) {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	if err := reg.Register(a.Metrics()); err != nil {
		t.Fatal(err)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			name := f.GetName()
			for _, l := range m.GetLabel() {
				name += " " + l.GetValue()
			}
			got[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	for name, want := range map[string]float64{
		"ledger_http_in_work commands": 1, "ledger_http_in_work_limit commands": 2, "ledger_http_waiting commands": 0,
		"ledger_http_refused_total commands full": 0, "ledger_http_refused_total commands late": 0, "ledger_http_refused_total commands share": 1,
		"ledger_http_refused_total connections full": 0, "ledger_http_refused_total bodies full": 0, "ledger_http_body_bytes": 0,
		"ledger_http_connections ordinary": 0, "ledger_http_connections reserve": 0, "ledger_http_connections refused": 0,
	} {
		if v, there := got[name]; !there || v != want {
			t.Errorf("%s is %v, want %v", name, v, want)
		}
	}
	if n := a.refusedInAll(); n != 1 {
		t.Errorf("%d refused", n)
	}
}
