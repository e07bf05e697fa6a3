package sqlite_test
import ("testing";"github.com/khata-ledger/khata/eventstore/storetest")
func variant(stmts ...string) storetest.Backend {
 b:=backend(); n:=b.New
 b.New=func(tb testing.TB,p int)string{ l:=n(tb,p); for _,s:=range stmts { if err:=execute(tb.Context(),l,s);err!=nil{tb.Fatal(err)} }; return l}
 return b }
func BenchmarkA(b *testing.B){ storetest.Benchmark(b,variant()) }
func BenchmarkB(b *testing.B){ storetest.Benchmark(b,variant("drop trigger events_insert","drop trigger evidence_insert","drop trigger keys_insert")) }
func BenchmarkC(b *testing.B){ storetest.Benchmark(b,variant("drop table events", `CREATE TABLE events (
    partition        INTEGER NOT NULL,
    seq              INTEGER NOT NULL,
    stream           TEXT    NOT NULL,
    version          INTEGER NOT NULL,
    subject          TEXT    NOT NULL,
    type             TEXT    NOT NULL,
    schema           INTEGER NOT NULL,
    event_id         BLOB    NOT NULL,
    effective_at     INTEGER NOT NULL,
    recorded_at      INTEGER NOT NULL,
    dedupe_key       TEXT    NOT NULL, -- keys joined by line feeds
    data             TEXT    NOT NULL, -- JSON
    meta             TEXT    NOT NULL, -- JSON
    evidence_digests BLOB    NOT NULL, -- 32 bytes each
    hash             BLOB    NOT NULL,
    PRIMARY KEY (partition, seq)
)`,"CREATE INDEX events_stream  ON events (partition, stream, version)","CREATE INDEX events_subject ON events (partition, subject, seq)")) }
func BenchmarkD(b *testing.B){ storetest.Benchmark(b,variant("drop trigger events_insert","drop trigger evidence_insert","drop trigger keys_insert","drop index events_subject")) }
