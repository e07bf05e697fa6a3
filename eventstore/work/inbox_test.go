package work_test

import (
	"database/sql"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/work"
)

// message is one of a configuration, the n-th in time.
func message(state work.InboxState, n int) work.InboxItem {
	return work.InboxItem{
		ID: uuid.Must(uuid.NewV7()), Merchant: "ap_1", Config: "gc_1", Gateway: "fake", State: state, Reason: "why", Digest: fmt.Sprintf("%064d", n),
		Sealed: []byte{0, byte(n)}, At: start.Add(time.Duration(n) * time.Second),
	}
}

// inbox is what is kept, newest first, as "state digest".
func inbox(t *testing.T, s *work.Store) []string {
	t.Helper()
	list, err := s.Inbox(t.Context(), "ap_1", "gc_1", 100)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, i := range list {
		out = append(out, string(i.State)+" "+strings.TrimLeft(i.Digest, "0"))
	}
	return out
}

func wantInbox(t *testing.T, s *work.Store, want ...string) {
	t.Helper()
	if got := inbox(t, s); !reflect.DeepEqual(got, append([]string{}, want...)) {
		t.Fatalf("kept %q, want %q", got, want)
	}
}

func keep(t *testing.T, s *work.Store, i work.InboxItem, most int) work.InboxItem {
	t.Helper()
	stands, err := s.KeepInbox(t.Context(), i, most)
	if err != nil {
		t.Fatal(err)
	}
	return stands
}

func TestInbox(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		first := message(work.InboxEarly, 1)
		if got := keep(t, s, first, 10); !reflect.DeepEqual(got, first) {
			t.Fatalf("%+v", got)
		}
		again := message(work.InboxEarly, 1)
		again.Sealed, again.At = nil, start.Add(time.Hour)
		if got := keep(t, s, again, 10); got.ID != first.ID || got.Repeats != 1 || !got.At.Equal(first.At) {
			t.Fatalf("the same one again: %+v", got)
		}
		refused := message(work.InboxRefused, 1) // one that was not believed does not hide one that is
		keep(t, s, refused, 10)
		got, there, err := s.InboxItem(ctx, first.ID)
		first.Repeats = 1
		if err != nil || !there || !reflect.DeepEqual(got, first) {
			t.Fatalf("%+v, %t, %v", got, there, err)
		}
		if len(inbox(t, s)) != 2 {
			t.Fatalf("%q", inbox(t, s))
		}
		if err := s.RemoveInbox(ctx, first.ID); err != nil {
			t.Fatal(err)
		}
		if _, there, err := s.InboxItem(ctx, first.ID); there || err != nil {
			t.Fatalf("%t, %v", there, err)
		}
		wantInbox(t, s, "refused 1")
		if list, err := s.Inbox(ctx, "ap_1", "gc_2", 10); err != nil || len(list) != 0 {
			t.Fatalf("another configuration's: %+v, %v", list, err)
		}
	})
}

func TestInboxIsBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		for n := range 6 {
			keep(t, s, message(work.InboxRefused, n+1), 3)
		}
		wantInbox(t, s, "refused 6", "refused 5", "refused 4")
		other := message(work.InboxRefused, 1)
		other.Config = "gc_2"
		keep(t, s, other, 3)
		wantInbox(t, s, "refused 6", "refused 5", "refused 4")
		for n := 10; n < 14; n++ { // beyond their bound early ones become unmatched, within the same bound
			keep(t, s, message(work.InboxEarly, n), 2)
		}
		wantInbox(t, s, "early 13", "early 12", "unmatched 11", "unmatched 10", "refused 6", "refused 5", "refused 4")
		keep(t, s, message(work.InboxEarly, 14), 2)
		keep(t, s, message(work.InboxEarly, 15), 2)
		wantInbox(t, s, "early 15", "early 14", "unmatched 13", "unmatched 12", "refused 6", "refused 5", "refused 4")

		late := message(work.InboxEarly, 12) // stands among the unmatched already
		late.At = start.Add(time.Hour)
		keep(t, s, late, 5)
		if err := s.GiveUpInbox(ctx, late.ID, "never known", 2); err != nil {
			t.Fatal(err)
		}
		wantInbox(t, s, "unmatched 12", "early 15", "early 14", "unmatched 13", "refused 6", "refused 5", "refused 4")
		if got, _, err := s.InboxItem(ctx, late.ID); err != nil || got.Reason != "never known" {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, id := range []uuid.UUID{late.ID, uuid.Must(uuid.NewV7())} { // not early any more, and never there
			if err := s.GiveUpInbox(ctx, id, "again", 2); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int64{3, 0} {
			if n, err := s.PruneInbox(ctx, start.Add(10*time.Second)); err != nil || n != want+want/3 { // that of the other configuration too
				t.Fatalf("%d, %v", n, err)
			}
		}
		wantInbox(t, s, "unmatched 12", "early 15", "early 14", "unmatched 13")
	})
}

func TestInboxTogether(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		ids := make([]uuid.UUID, 8)
		var all sync.WaitGroup
		for i := range ids {
			s := newStore(pool())
			all.Go(func() {
				got, err := s.KeepInbox(t.Context(), message(work.InboxEarly, 1), 5)
				if err != nil {
					t.Error(err)
				}
				ids[i] = got.ID
			})
		}
		all.Wait()
		s := newStore(pool())
		wantInbox(t, s, "early 1")
		got, there, err := s.InboxItem(t.Context(), ids[0])
		if err != nil || !there || got.Repeats != len(ids)-1 {
			t.Fatalf("%+v, %v", got, err)
		}
		for _, id := range ids {
			if id != ids[0] {
				t.Fatalf("%s and %s both stand", id, ids[0])
			}
		}
	})
}

func TestInboxBounds(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		for i, spoil := range []func(*work.InboxItem){
			func(i *work.InboxItem) { i.Merchant = "" },
			func(i *work.InboxItem) { i.Gateway = "" },
			func(i *work.InboxItem) { i.Reason = "" },
			func(i *work.InboxItem) { i.Digest = "" },
			func(i *work.InboxItem) { i.ID = uuid.Nil },
			func(i *work.InboxItem) { i.At = time.Time{} },
			func(i *work.InboxItem) { i.Config = strings.Repeat("c", work.MaxNameBytes+1) },
			func(i *work.InboxItem) { i.Sealed = make([]byte, work.MaxInboxBytes+1) },
		} {
			m := message(work.InboxEarly, 1)
			spoil(&m)
			if _, err := s.KeepInbox(t.Context(), m, 5); !errors.Is(err, work.ErrInvalid) {
				t.Errorf("case %d: %v", i, err)
			}
		}
		if got := inbox(t, s); len(got) != 0 {
			t.Errorf("%q", got)
		}
	})
}
