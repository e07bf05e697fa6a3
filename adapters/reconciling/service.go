package reconciling

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain"
	"github.com/khata-ledger/khata/domain/books"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/reconcile"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/projections"
)

// Log is where the streams of sources are.
type Log interface {
	// SubmitSource appends events that were decided on so many events of the source: domain.Stale when it has more by now.
	SubmitSource(ctx context.Context, name string, seen int64, events []reconcile.Event, o eventstore.Origin) error
	// EachOfSource calls f with the events of a source behind a position, in order.
	EachOfSource(ctx context.Context, name string, after int64, f func(r *eventstore.Record, e reconcile.Event) error) error
	// Sources returns the names of all sources.
	Sources(ctx context.Context) ([]string, error)
}

// Poster posts what settles a break. Either posts once for one id, however often it is asked, and returns the position of the record.
type Poster interface {
	AdjustBooks(ctx context.Context, c books.Adjust, o eventstore.Origin) (eventstore.Position, error)
	AdjustWallet(ctx context.Context, c wallet.AdjustWallet, o eventstore.Origin) (eventstore.Position, error)
	// Merchant tells that there is one: domain.NotFound.
	KnowMerchant(ctx context.Context, id string) error
}

// Views are the read models; *projections.Views is one.
type Views interface {
	Statement(ctx context.Context, f projections.StatementFilter) (*projections.Statement, error)
	PaymentsByRefs(ctx context.Context, refs []string) (map[string]projections.PaymentStatus, error)
}

// Vault seals narrations.
type Vault interface {
	SealString(ctx context.Context, owner string, id uuid.UUID, plaintext string) (string, error)
	UnsealString(ctx context.Context, id uuid.UUID, sealed string) (string, error)
	Fingerprint(ctx context.Context, owner, text string) (string, error)
}

// Options configure a Service.
type Options struct {
	Zone  *time.Location // whose days count
	Clock func() time.Time
}

// Service reconciles. It is safe for concurrent use.
type Service struct {
	log   Log
	post  Poster
	views Views
	vault Vault
	zone  *time.Location
	clock func() time.Time

	turn  sync.Mutex
	known map[string]*folded // guarded by turn
	order []string           // of known, the one that was used last behind
}

// folded is a source as far as it was read.
type folded struct {
	turn   sync.Mutex
	source *reconcile.Source
	seq    int64 // of the last record in it
}

// keptSources is how many sources are kept in memory: each is as large as its lines are many.
const keptSources = 4

// New makes a service.
func New(log Log, post Poster, views Views, vault Vault, o Options) *Service {
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return &Service{log: log, post: post, views: views, vault: vault, zone: o.Zone, clock: o.Clock, known: map[string]*folded{}}
}

// slot is where a source is kept.
func (s *Service) slot(name string) *folded {
	s.turn.Lock()
	defer s.turn.Unlock()
	f := s.known[name]
	if f == nil {
		f = &folded{source: reconcile.NewSource()}
		s.known[name] = f
	}
	s.order = append(slices.DeleteFunc(s.order, func(n string) bool { return n == name }), name)
	if len(s.order) > keptSources {
		delete(s.known, s.order[0])
		s.order = s.order[1:]
	}
	return f
}

// with calls f with a source as it is now. f keeps nothing of it, and changes nothing.
func (s *Service) with(ctx context.Context, name string, f func(*reconcile.Source) error) error {
	if err := reconcile.CheckName(name); err != nil {
		return err
	}
	slot := s.slot(name)
	slot.turn.Lock()
	defer slot.turn.Unlock()
	err := s.log.EachOfSource(ctx, name, slot.seq, func(r *eventstore.Record, e reconcile.Event) error {
		slot.source.Evolve(e, r.EventID.String(), r.RecordedAt)
		slot.seq = r.Seq
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading source %s: %w", name, err)
	}
	return f(slot.source)
}

// on is with for a source that there is.
func (s *Service) on(ctx context.Context, name string, f func(*reconcile.Source) error) error {
	return s.with(ctx, name, func(src *reconcile.Source) error {
		if src.Version == 0 {
			return domain.Errorf(domain.NotFound, "there is no source %s: `ledger reconcile source` makes one", name)
		}
		return f(src)
	})
}

// attempts is how often a decision is taken anew when others decide about the source at the same time.
const attempts = 10

// decide appends what f decides. It tells whether there was anything to append.
func (s *Service) decide(ctx context.Context, name string, o eventstore.Origin, f func(*reconcile.Source) ([]reconcile.Event, error)) (bool, error) {
	for n := 1; ; n++ {
		var events []reconcile.Event
		var seen int64
		err := s.with(ctx, name, func(src *reconcile.Source) (err error) {
			events, err = f(src)
			seen = src.Version
			return err
		})
		if err != nil || len(events) == 0 {
			return false, err
		}
		err = s.log.SubmitSource(ctx, name, seen, events, o)
		if domain.CodeOf(err) != domain.Stale || n == attempts {
			return err == nil, err
		}
	}
}

// Declare makes a source, or gives it other terms. It tells whether that changed anything.
func (s *Service) Declare(ctx context.Context, name string, c money.Currency, t reconcile.Terms, o eventstore.Origin) (bool, error) {
	if t.Against != "" {
		if err := s.against(ctx, t.Against, c); err != nil {
			return false, err
		}
	}
	if err := s.alone(ctx, name, c, &t); err != nil {
		return false, err
	}
	return s.decide(ctx, name, o, func(src *reconcile.Source) ([]reconcile.Event, error) { return src.Declare(name, c, t, o.Actor) })
}

// alone refuses a second source of one account and one account of the books: each line would be a break of both, and be settled twice.
func (s *Service) alone(ctx context.Context, name string, c money.Currency, t *reconcile.Terms) error {
	all, err := s.log.Sources(ctx)
	if err != nil {
		return err
	}
	for _, other := range all {
		if other == name {
			continue
		}
		err := s.on(ctx, other, func(src *reconcile.Source) error {
			if src.Currency == c && src.Terms.Overlaps(t) {
				return domain.InvalidField("account", fmt.Sprintf("source %s is of account %s already", other, src.Account))
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// against refuses what no bank account can be matched against.
func (s *Service) against(ctx context.Context, name string, c money.Currency) error {
	return s.with(ctx, name, func(src *reconcile.Source) error {
		switch {
		case src.Version == 0:
			return domain.InvalidField("against", "there is no source "+name)
		case src.Kind != reconcile.Settlement:
			return domain.InvalidField("against", fmt.Sprintf("source %s is of kind %s, and must be of kind settlement", name, src.Kind))
		case src.Currency != c:
			return domain.InvalidField("against", fmt.Sprintf("source %s is in %s", name, src.Currency))
		}
		return nil
	})
}

// names are the sources that are meant: the one, or all of them without a name; settlement sources first, since bank accounts are matched against them.
func (s *Service) names(ctx context.Context, name string) ([]string, error) {
	if name != "" {
		return []string{name}, s.on(ctx, name, func(*reconcile.Source) error { return nil })
	}
	all, err := s.log.Sources(ctx)
	if err != nil {
		return nil, err
	}
	slices.Sort(all)
	var first, then []string
	for _, n := range all {
		err := s.on(ctx, n, func(src *reconcile.Source) error {
			if src.Kind == reconcile.Settlement {
				first = append(first, n)
			} else {
				then = append(then, n)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return append(first, then...), nil
}

// today is the day that it is where the business is.
func (s *Service) today() reconcile.Day { return reconcile.DayOf(s.clock(), s.zone) }
