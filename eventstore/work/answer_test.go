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

	"github.com/khata-ledger/khata/eventstore/work"
)

func answer(key string) work.Answer {
	return work.Answer{Merchant: "mer_1", Scope: "POST /api/v1/payin/create", Key: key, Status: 201, Body: []byte("{\"a\":\x00}\n"), At: start}
}

func TestFirstAnswerStands(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s, ctx := newStore(pool()), t.Context()
		first := answer("k")
		if _, ok, err := s.Answer(ctx, first.Merchant, first.Scope, first.Key); ok || err != nil {
			t.Fatalf("before it is put: %t, %v", ok, err)
		}
		if got, err := s.PutAnswer(ctx, first); err != nil || !reflect.DeepEqual(got, first) {
			t.Fatalf("%+v, %v", got, err)
		}
		second := answer("k")
		second.Status, second.Body, second.At = 200, nil, start.Add(time.Hour)
		if got, err := s.PutAnswer(ctx, second); err != nil || !reflect.DeepEqual(got, first) {
			t.Fatalf("%+v, %v", got, err)
		}
		if got, ok, err := s.Answer(ctx, first.Merchant, first.Scope, first.Key); err != nil || !ok || !reflect.DeepEqual(got, first) {
			t.Fatalf("%+v, %t, %v", got, ok, err)
		}
		for _, other := range []work.Answer{
			{Merchant: "mer_2", Scope: first.Scope, Key: "k"}, {Merchant: "mer_1", Scope: "POST /other", Key: "k"}, {Merchant: "mer_1", Scope: first.Scope, Key: "K"},
		} {
			other.Status, other.At = 418, start
			if got, err := s.PutAnswer(ctx, other); err != nil || got.Status != 418 {
				t.Fatalf("%+v, %v", got, err)
			}
		}
	})
}

func TestAnswersRace(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		stand := make([]work.Answer, 8)
		var racers sync.WaitGroup
		for i := range stand {
			s := newStore(pool())
			racers.Go(func() {
				a := answer("k")
				a.Status = 200 + i
				var err error
				if stand[i], err = s.PutAnswer(t.Context(), a); err != nil {
					t.Error(err)
				}
			})
		}
		racers.Wait()
		for _, a := range stand {
			if a.Status != stand[0].Status || a.Status == 0 {
				t.Fatalf("answers %d and %d both stand", a.Status, stand[0].Status)
			}
		}
	})
}

func TestAnswerBounds(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		s := newStore(pool())
		for i, spoil := range []func(*work.Answer){
			func(a *work.Answer) { a.Merchant = "" },
			func(a *work.Answer) { a.Scope = "" },
			func(a *work.Answer) { a.Key = strings.Repeat("k", work.MaxNameBytes+1) },
			func(a *work.Answer) { a.Body = make([]byte, work.MaxAnswerBytes+1) },
			func(a *work.Answer) { a.At = time.Time{} },
		} {
			a := answer("k")
			spoil(&a)
			if _, err := s.PutAnswer(t.Context(), a); !errors.Is(err, work.ErrInvalid) {
				t.Errorf("case %d: %v", i, err)
			}
		}
	})
}

func TestPruneAnswers(t *testing.T) {
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		db := pool()
		s, ctx := work.New(db, db), t.Context()
		// More than one round of pruning.
		_, err := db.ExecContext(ctx, `INSERT INTO answers (merchant, scope, key, body_hash, status, body, created_at)
			WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5001)
			SELECT 'mer_1', 'old', CAST(i AS TEXT), 'ab', 200, $1, $2 FROM n`, []byte{}, start.Add(-time.Microsecond).UnixMicro())
		if err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			if _, err := s.PutAnswer(ctx, answer(fmt.Sprint(i))); err != nil {
				t.Fatal(err)
			}
		}
		for _, want := range []int64{5001, 0} {
			if n, err := s.PruneAnswers(ctx, start); err != nil || n != want {
				t.Fatalf("%d, %v, want %d", n, err, want)
			}
		}
		if n, err := s.PruneAnswers(ctx, start.Add(time.Microsecond)); err != nil || n != 3 {
			t.Fatalf("%d, %v", n, err)
		}
	})
}
