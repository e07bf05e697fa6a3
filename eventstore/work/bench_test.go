package work_test

import (
	"database/sql"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/khata-ledger/khata/eventstore/work"
	"github.com/khata-ledger/khata/migrations"
)

// A long queue must not make its head dearer.
func BenchmarkLeaseAndRetry(b *testing.B) {
	for _, backlog := range []int{1_000, 50_000} {
		b.Run(fmt.Sprint(backlog), func(b *testing.B) {
			db, err := sql.Open("sqlite", "file:"+filepath.Join(b.TempDir(), "work.db")+"?_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)")
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			if err := migrations.Up(b.Context(), db, migrations.SQLite, migrations.Work); err != nil {
				b.Fatal(err)
			}
			s := work.New(db, db)
			jobs := make([]work.Job, backlog)
			for i := range jobs {
				jobs[i] = work.Job{Kind: "k", Key: fmt.Sprint(i), Group: fmt.Sprint(i / 2), Order: int64(i), Due: start}
			}
			if err := s.PutAll(b.Context(), jobs); err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				got, err := s.Lease(b.Context(), "k", start, 1, time.Minute)
				if err != nil {
					b.Fatal(err)
				}
				for _, j := range got {
					if err := s.Retry(b.Context(), j, start, nil); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
