package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore"
)

// TestTamperedColumns: whatever column of a record, of its evidence, of a head or of the ledger's identity is another one than was written,
// verify ends with 1 and names the record. The columns are those that the database has: one that is added later is tried, too.
func TestTamperedColumns(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		used(t, w)
		d := unguarded(w)
		tried := 0
		for _, table := range []string{"events", "evidence", "heads"} {
			for _, column := range d.columns(table) {
				seq, where := int64(5), "partition = {p} AND seq = {n}"
				switch table {
				case "evidence":
					seq = d.evidence
				case "heads":
					seq, where = d.head, "partition = {p}"
				}
				if table == "heads" && column == "epoch" {
					continue // who may append: a deposed owner is refused, and nothing that was recorded is another thing
				}
				tried++
				d.change(seq, fmt.Sprintf("UPDATE %s SET %s = %s WHERE %s", table, column, d.other(table, column), where))
				switch table + "." + column {
				case "heads.partition": // no record is meant: the partition is named
					d.wantWord(table+"."+column, fmt.Sprint("partition ", d.partition))
				case "heads.seq":
					d.wantNamed(table+"."+column, seq-1) // there the head stands now
				default:
					d.wantNamed(table+"."+column, seq)
				}
				d.restore()
			}
		}
		if tried < 20 {
			t.Errorf("only %d columns were tried", tried)
		}
		var id string
		w.ask("log", "SELECT id FROM ledger", &id)
		w.do("log", "UPDATE ledger SET id = '00000000-0000-4000-8000-000000000000'")
		d.wantNamed("the ledger's id", 1)
		w.do("log", "UPDATE ledger SET id = '"+id+"'")
		for _, n := range []string{"2", "3", "5"} { // SQLite has one, PostgreSQL four
			w.do("log", "UPDATE ledger SET partitions = "+n)
			d.wantWord("the number of partitions", n+" partitions")
			w.do("log", "UPDATE ledger SET partitions = (SELECT count(*) FROM heads)")
		}
		w.verify()
	})
}

// columns are the columns of a table.
func (d *damaged) columns(table string) []string {
	d.t.Helper()
	db := d.sql("log")
	defer db.Close()
	if d.onPostgres() {
		return column[string](d.world, db, "SELECT column_name::text FROM information_schema.columns WHERE table_schema = 'public' AND table_name = $1 ORDER BY 1", table)
	}
	return column[string](d.world, db, "SELECT name FROM pragma_table_info($1)", table)
}

// other is SQL for another value of a column, such as the column could hold.
func (d *damaged) other(table, column string) string {
	bytes := map[bool]string{false: "randomblob(%d)", true: "substr(sha256(hash::text::bytea), 1, %d)"}[d.onPostgres()]
	switch column {
	case "partition":
		return "partition + 100"
	case "seq":
		if table == "heads" {
			return "seq - 1"
		}
		return "seq + 1000000"
	case "hash":
		return fmt.Sprintf(bytes, 32)
	case "event_id":
		if d.onPostgres() {
			return "gen_random_uuid()"
		}
		return fmt.Sprintf(bytes, 16)
	case "evidence_digests":
		if d.onPostgres() {
			return "evidence_digests || sha256('x')"
		}
		return "CAST(evidence_digests || zeroblob(32) AS BLOB)"
	case "body":
		if d.onPostgres() {
			return `body || '\x00'::bytea`
		}
		return "CAST(body || x'00' AS BLOB)"
	case "data", "meta": // the same JSON, written otherwise
		if d.onPostgres() {
			return column + ` || '\x20'::bytea`
		}
		return column + " || ' '"
	case "stream", "subject", "type", "dedupe_key", "media_type":
		return column + " || 'x'"
	}
	return column + " + 1" // numbers and times
}

// wantNamed runs verify, which must end with 1 and name the record.
func (d *damaged) wantNamed(what string, seq int64) {
	d.t.Helper()
	d.wantWord(what, fmt.Sprintf("%d:%d", d.partition, seq))
}

// wantWord runs verify on the log, which must end with 1 and say something.
func (d *damaged) wantWord(what, text string) {
	d.t.Helper()
	got := execute(d.t, d.dir, nil, "verify", "--no-views", "--db", d.db)
	said := strings.NewReplacer(":\n", " ", ": ", " ", ", ", " ", "\n", " ").Replace(" " + wrongLines(got.stdout) + got.stderr + " ")
	if got.code != exitNo || !strings.Contains(said, " "+text+" ") {
		d.t.Errorf("%s: exit %d, and nothing names %s:\n%s%s", what, got.code, text, wrongLines(got.stdout), got.stderr)
	}
}

// wrongLines are the lines of verify's table that tell of a fault.
func wrongLines(table string) string {
	var wrong []string
	for line := range strings.Lines(table) {
		if strings.HasPrefix(line, "WRONG") {
			wrong = append(wrong, line)
		}
	}
	return strings.Join(wrong, "")
}

// TestForgedHistory: somebody with every right alters the log and computes all hashes and heads anew, so that the chain holds. What then is no
// history that the program could have written, verify names; the last cases show what only an exported checkpoint can.
func TestForgedHistory(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		used(t, w)
		d := unguarded(w)
		original := d.records()
		last := lastOf(original, "payout.succeeded")
		for name, forge := range map[string]func(r []eventstore.Record) (forged []eventstore.Record, first int64){
			"a record is gone": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				return slices.Delete(r, int(last)-2, int(last)-1), last - 1
			},
			"a record stands twice": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				return append(r, r[last-1]), d.head + 1
			},
			"a record is put in between": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				return slices.Insert(r, int(last), r[last-1]), last + 1
			},
			"two records are swapped": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-2], r[last-1] = r[last-1], r[last-2]
				return r, last - 1
			},
			"a record is in another stream": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-1].Stream = strings.Replace(r[last-1].Stream, ":mer_", ":mer-", 1)
				return r, last
			},
			"a record is about another payment": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-1].Subject = "txn_aaaaaaaaaaaaaaaa"
				return r, last
			},
			"a record has another type": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-1].Type = "payout.returned"
				return r, last
			},
			"a record is of a version that does not exist": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-1].Schema = 99
				return r, last
			},
			"a record has no such evidence": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-1].EvidenceDigests = append(slices.Clone(r[last-1].EvidenceDigests), eventstore.Hash{1})
				return r, last
			},
			"time runs backwards": func(r []eventstore.Record) ([]eventstore.Record, int64) {
				r[last-1].RecordedAt = r[0].RecordedAt.AddDate(-1, 0, 0)
				return r, last
			},
		} {
			forged, first := forge(slices.Clone(original))
			d.replace(forged)
			d.wantNamed(name, first)
			d.restore()
		}
		w.verify()
	})
}

// lastOf is the position of the last record of a type.
func lastOf(records []eventstore.Record, typ string) int64 {
	for i := len(records) - 1; i >= 0; i-- {
		if records[i].Type == typ {
			return int64(i) + 1
		}
	}
	return 0
}

// genesis is what the partition's first record stands on.
func (d *damaged) genesis() eventstore.Hash {
	d.t.Helper()
	var text string
	d.ask("log", "SELECT id FROM ledger", &text)
	id, err := uuid.Parse(text)
	if err != nil {
		d.t.Fatal(err)
	}
	return eventstore.Genesis(id, d.partition)
}

// replace puts records in the place of those that the busiest partition has, numbered and chained anew, with the head behind them.
func (d *damaged) replace(records []eventstore.Record) {
	d.t.Helper()
	d.change(1, "DELETE FROM events WHERE partition = {p}")
	db := d.sql("log")
	defer db.Close()
	prev := d.genesis()
	for i := range records {
		r := &records[i]
		r.Seq = int64(i) + 1
		r.Hash, _ = r.Next(prev, nil)
		prev = r.Hash
		var id, data, meta any = r.EventID[:], string(r.Data), string(r.Meta)
		if d.onPostgres() {
			id, data, meta = r.EventID.String(), r.Data, r.Meta
		}
		d.exec(db, `INSERT INTO events (partition, seq, stream, version, subject, type, schema, event_id, effective_at, recorded_at, dedupe_key, data, meta, evidence_digests, hash)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`, d.partition, r.Seq, r.Stream, r.Version, r.Subject, r.Type, r.Schema, id,
			r.EffectiveAt.UnixMicro(), r.RecordedAt.UnixMicro(), strings.Join(r.Keys, "\n"), data, meta, r.JoinDigests(), r.Hash[:])
	}
	d.exec(db, "UPDATE heads SET seq = $1, hash = $2, recorded_at = $3 WHERE partition = $4", len(records), prev[:], records[len(records)-1].RecordedAt.UnixMicro(), d.partition)
}
