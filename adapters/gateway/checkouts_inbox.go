package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/vault"
	"github.com/khata-ledger/khata/eventstore/work"
)

// EarlyJobs is the kind of the jobs that try early messages again.
const EarlyJobs = "webhook.early"

// Bounds of the messages that are kept, for each gateway configuration.
const (
	mostEarly      = 1000
	mostUnmatched  = 200
	mostRefused    = 50
	maxRefusedBody = 16 << 10 // bytes of a refused body that are kept
	maxHeaderBytes = 4 << 10  // of the headers that are kept beside it
	keptFor        = 90 * 24 * time.Hour
	maxKept        = 200 // of one Kept
	mostPlain      = work.MaxInboxBytes / 2
)

// How fast strangers can make us write.
const (
	writesPerApp      = 1.0 / 5 // a second
	writesPerAppBurst = 20
	writesInAll       = 10.0 // a second
	writesInAllBurst  = 200
	maxWriters        = 10_000 // apps whose rate is remembered
)

// writes bounds how fast refused messages are written: each costs a stranger nothing.
type writes struct {
	clock func() time.Time
	apps  *recent[bucket] // by app; "" is all of them together
}

func newWrites(clock func() time.Time) *writes {
	return &writes{clock: clock, apps: newRecent[bucket](maxWriters)}
}

func (w *writes) may(app string) bool {
	return w.take(app, writesPerApp, writesPerAppBurst) && w.take("", writesInAll, writesInAllBurst)
}

func (w *writes) take(app string, perSecond, burst float64) (may bool) {
	now := w.clock()
	w.apps.update(app, func(b bucket, there bool) (bucket, bool) {
		if !there {
			b = bucket{tokens: burst, at: now}
		}
		may = b.take(now, perSecond, burst)
		return b, true
	})
	return may
}

// bucket is a token bucket.
type bucket struct {
	tokens float64
	at     time.Time // when tokens were counted
}

func (b *bucket) take(now time.Time, perSecond, burst float64) bool {
	if passed := now.Sub(b.at); passed > 0 {
		b.tokens, b.at = min(burst, b.tokens+passed.Seconds()*perSecond), now
	}
	if b.tokens < 1 {
		return false
	}
	b.tokens--
	return true
}

// kept is a message as it is sealed into the inbox. Its JSON form is stored.
type kept struct {
	Merchant string `json:"-"`
	Config   string `json:"-"`
	Gateway  string `json:"-"`
	Reason   string `json:"-"`

	MediaType string      `json:"media_type,omitempty"`
	Header    http.Header `json:"header,omitempty"`
	Body      []byte      `json:"body"`
	Length    int         `json:"length"`             // of the body as it came
	Messages  []Message   `json:"messages,omitempty"` // what it says that is still to be taken; without Raw, where that is the body
}

// KeptMessage is a message that is kept: an early one, one that was never matched, or one that was not believed. Its body may hold personal data.
type KeptMessage struct {
	ID        string
	State     string // early, unmatched or refused
	Reason    string
	Gateway   string
	Config    string
	At        time.Time
	Repeats   int    // how often it came again
	Digest    string // SHA-256 of the whole message, hexadecimal
	MediaType string
	Header    http.Header
	Body      []byte // a refused one's may be cut; nil when it can never be opened again
	Length    int    // of the body as it came
}

// keep seals a message into the inbox.
func (c *Checkouts) keep(ctx context.Context, k kept, state work.InboxState, most int) (work.InboxItem, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return work.InboxItem{}, fmt.Errorf("making the id of a message: %w", err)
	}
	sum := digest(k.Body)
	k.Length, k.MediaType, k.Header = len(k.Body), mediaType(k.MediaType), keptHeader(k.Header)
	if state == work.InboxRefused && len(k.Body) > maxRefusedBody {
		k.Body = k.Body[:maxRefusedBody]
	}
	k.Messages = slices.Clone(k.Messages)
	for i := range k.Messages {
		if m := &k.Messages[i]; digest(m.Body) == sum {
			m.Body = nil
		}
	}
	plain, err := json.Marshal(k)
	if len(plain) > mostPlain { // the parts that its messages came in repeat it: the whole is evidence enough
		for i := range k.Messages {
			k.Messages[i].Body = nil
		}
		plain, err = json.Marshal(k)
	}
	if err != nil {
		return work.InboxItem{}, errors.New("a message cannot be encoded") // its error may quote it
	}
	sealed, err := c.vault.Seal(ctx, k.Merchant, id, plain)
	if err != nil {
		return work.InboxItem{}, fmt.Errorf("sealing a message: %w", err)
	}
	return c.jobs.KeepInbox(ctx, work.InboxItem{
		ID: id, Merchant: k.Merchant, Config: k.Config, Gateway: k.Gateway, State: state, Reason: k.Reason, Digest: sum, Sealed: sealed,
		At: eventstore.Micros(c.clock()),
	}, most)
}

// keptHeader is what is kept of a message's headers: what its company has set, not what proxies and we ourselves know of it.
func keptHeader(h http.Header) http.Header {
	out, size := http.Header{}, 0
	for _, name := range slices.Sorted(maps.Keys(h)) {
		lower := strings.ToLower(name)
		if lower == "authorization" || lower == "cookie" || strings.HasPrefix(lower, "x-forwarded") {
			continue
		}
		size += len(name)
		for _, v := range h[name] {
			size += len(v)
		}
		if size > maxHeaderBytes {
			break
		}
		out[name] = h[name]
	}
	return out
}

// keepRefused keeps a message that was not believed, as evidence, unless they come too fast. That it cannot be kept changes nothing for who sent it.
func (c *Checkouts) keepRefused(ctx context.Context, k kept) {
	if !c.writes.may(k.Merchant) {
		c.count.count(k.Gateway, CountNotKept)
		return
	}
	if _, err := c.keep(ctx, k, work.InboxRefused, mostRefused); err != nil {
		c.count.count(k.Gateway, CountNotKept)
		c.log.Warn("a refused message was not kept", "gateway", k.Gateway, "app", k.Merchant, "config", k.Config, "error", err)
	}
}

func (c *Checkouts) keepUnmatched(ctx context.Context, k kept) error {
	_, err := c.keep(ctx, k, work.InboxUnmatched, mostUnmatched)
	return err
}

// keepEarly keeps a message, and the job that tries it again. Should the job be lost in between, the gateway was not answered, and sends again.
func (c *Checkouts) keepEarly(ctx context.Context, k kept) error {
	item, err := c.keep(ctx, k, work.InboxEarly, mostEarly)
	if err != nil {
		return err
	}
	return c.jobs.Put(ctx, work.Job{Kind: EarlyJobs, Key: item.ID.String(), Due: c.clock().Add(firstEarlyGap)})
}

// Gaps between the tries of an early message.
const (
	firstEarlyGap = time.Second
	maxEarlyGap   = time.Minute
)

// How many early messages are tried at a time, in all and of one company: to try one may take a question to it, and a company that hangs
// must not hold up the messages of the others.
const (
	maxEarly   = 16
	maxEarlyOf = 4
)

// early handles the job of an early message.
func (c *Checkouts) early(ctx context.Context, j work.Job) work.Outcome {
	now := c.clock()
	again := func(err error) work.Outcome {
		if err != nil {
			c.log.Warn("an early message is put off", "message", j.Key, "error", err)
		}
		return work.Again(c.jittered(now.Add(doubled(firstEarlyGap, j.Attempt, maxEarlyGap)), now), nil)
	}
	id, err := uuid.Parse(j.Key)
	if err != nil {
		c.log.Error("the job of an early message is unreadable", "message", j.Key)
		return work.Finish()
	}
	item, there, err := c.jobs.InboxItem(ctx, id)
	if err != nil {
		return again(err)
	}
	if !there || item.State != work.InboxEarly {
		return work.Finish()
	}
	done, free := c.earlyTurns.take(item.Gateway)
	if !free {
		return again(nil)
	}
	defer done()
	ctx, cancel := context.WithTimeout(ctx, inboundTimeout)
	defer cancel()
	k, err := c.openKept(ctx, &item)
	if errors.Is(err, vault.ErrErased) || errors.Is(err, vault.ErrTampered) {
		c.log.Error("an early message cannot be opened any more", "message", j.Key, "error", err)
		return c.giveUp(ctx, item, "it cannot be opened any more", again)
	}
	if err != nil {
		return again(err)
	}
	app, err := c.apps.Merchant(ctx, item.Merchant)
	if err != nil {
		return again(err)
	}
	age := now.Sub(item.At)
	last := age >= c.o.EarlyFor
	unknown, silent := false, false
	for _, m := range k.Messages {
		switch err := c.take(ctx, &place{app, item.Config, item.Gateway}, m, age); {
		case errors.Is(err, errEarly), errors.Is(err, errDoubted):
			unknown = true
		case err != nil && last && (m.onlyApproves() || errors.Is(err, errUnconfirmed)):
			silent = true
		case err != nil:
			return again(err)
		}
	}
	switch {
	case silent: // the payin's expiry asks, too
		return c.giveUp(ctx, item, "the gateway does not say what there is to collect", again)
	case unknown && last:
		c.count.count(item.Gateway, CountUnmatched)
		return c.giveUp(ctx, item, "the order never became known", again)
	case unknown:
		return again(nil)
	}
	c.count.count(item.Gateway, CountCallback)
	if err := c.jobs.RemoveInbox(ctx, item.ID); err != nil {
		return again(err)
	}
	return work.Finish()
}

func (c *Checkouts) giveUp(ctx context.Context, item work.InboxItem, why string, again func(error) work.Outcome) work.Outcome {
	if err := c.jobs.GiveUpInbox(ctx, item.ID, why, mostUnmatched); err != nil {
		return again(err)
	}
	return work.Finish()
}

// openKept opens what keep has sealed.
func (c *Checkouts) openKept(ctx context.Context, item *work.InboxItem) (kept, error) {
	k := kept{Merchant: item.Merchant, Config: item.Config, Gateway: item.Gateway, Reason: item.Reason}
	plain, err := c.vault.Unseal(ctx, item.ID, item.Sealed)
	if err != nil {
		return k, err
	}
	if json.Unmarshal(plain, &k) != nil {
		return k, fmt.Errorf("%w: message %s is unreadable", vault.ErrTampered, item.ID)
	}
	for i := range k.Messages {
		if m := &k.Messages[i]; m.Body == nil {
			m.Body = k.Body
		}
	}
	return k, nil
}

// Kept returns the newest messages that are kept of an app's gateway configuration, newest first, at most 200; "" are those that named none of
// the app's.
func (c *Checkouts) Kept(ctx context.Context, app, config string, limit int) ([]KeptMessage, error) {
	items, err := c.jobs.Inbox(ctx, app, config, min(max(limit, 1), maxKept))
	if err != nil {
		return nil, err
	}
	out := make([]KeptMessage, len(items))
	for i := range items {
		item := &items[i]
		k, err := c.openKept(ctx, item)
		if err != nil && !errors.Is(err, vault.ErrErased) && !errors.Is(err, vault.ErrTampered) {
			return nil, err
		}
		out[i] = KeptMessage{
			ID: item.ID.String(), State: string(item.State), Reason: item.Reason, Gateway: item.Gateway, Config: item.Config, At: item.At,
			Repeats: item.Repeats, Digest: item.Digest, MediaType: k.MediaType, Header: k.Header, Body: k.Body, Length: k.Length,
		}
	}
	return out, nil
}
