package sqlite_test
import ("testing";"github.com/khata-ledger/khata/eventstore/storetest")
func variant(stmts ...string) storetest.Backend {
 b:=backend(); n:=b.New
 b.New=func(tb testing.TB,p int)string{ l:=n(tb,p); for _,s:=range stmts { if err:=execute(tb.Context(),l,s);err!=nil{tb.Fatal(err)} }; return l}
 return b }
func BenchmarkA(b *testing.B){ storetest.Benchmark(b,variant()) }
func BenchmarkB(b *testing.B){ storetest.Benchmark(b,variant("drop trigger events_insert","drop trigger evidence_insert","drop trigger keys_insert")) }
func BenchmarkC(b *testing.B){ storetest.Benchmark(b,variant("drop table evidence", `CREATE TABLE evidence (
    partition  INTEGER NOT NULL,
    seq        INTEGER NOT NULL,
    n          INTEGER NOT NULL,
    media_type TEXT    NOT NULL,
    body       BLOB    NOT NULL,
    PRIMARY KEY (partition, seq, n)
)`)) }
