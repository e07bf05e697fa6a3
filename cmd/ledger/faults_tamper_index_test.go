package main

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/khata-ledger/khata/adapters/ledger"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
)

// trailing are the tables that trail the log in its own database: what finds records by name, and kept states of wallets.
var trailing = []string{"index_checkpoints", "index_runs", "index_pages", "snapshots"}

// tampering is one edit of a row that trails the log. What no check finds says why it does no harm.
type tampering struct {
	name     string
	do       []string
	found    string // the check of verify that names it
	harmless string
}

// byColumn says which columns of the trailing tables can be another without harm, and which check finds the others.
var byColumn = map[string]tampering{
	"index_checkpoints.partition": {harmless: "the index is as good as none, and made anew"},
	"index_checkpoints.seq":       {found: "index"},
	"index_checkpoints.hash":      {harmless: "the index is of another history: it is made anew"},
	"index_runs.partition":        {found: "index"},
	"index_runs.run":              {found: "index"}, // it names the pages
	"index_runs.state":            {found: "index"},
	"index_runs.made_at":          {harmless: "when what a killed process left is swept"},
	"index_runs.from_seq":         {found: "index"},
	"index_runs.to_seq":           {found: "index"},
	"index_runs.level":            {harmless: "when it is merged"},
	"index_runs.entries":          {harmless: "told to people"},
	"index_runs.names":            {harmless: "how large a filter is: one of another size is refused as damaged, and the index made anew"},
	"index_runs.digest":           {found: "index"},
	"index_runs.pages":            {found: "index"},
	"index_runs.extra":            {found: "index"},
	"index_pages.partition":       {found: "index"},
	"index_pages.page":            {found: "index"},
	"index_pages.body":            {found: "index"},
	"snapshots.partition":         {harmless: "nobody looks for it there"},
	"snapshots.stream":            {found: "snapshots"},
	"snapshots.seq":               {harmless: "the record there has another hash, so nobody believes it"},
	"snapshots.hash":              {harmless: "the same"},
	"snapshots.version":           {found: "snapshots"},
	"snapshots.fold":              {harmless: "it was folded as this program does not fold, so nobody believes it"},
	"snapshots.state":             {found: "snapshots"},
}

// ofRows are edits of whole rows; none is a merchant whose wallet has no record.
func ofRows(none testMerchant) []tampering {
	const columns = "made_at, from_seq, to_seq, level, entries, names, digest, pages, extra FROM index_runs WHERE partition = {p}"
	return []tampering{
		{name: "checkpoints are gone", do: []string{"DELETE FROM index_checkpoints"}, harmless: "the index is made anew"},
		{name: "runs are gone", do: []string{"DELETE FROM index_runs WHERE partition = {p}"}, found: "index"},
		{name: "a run that is merged already", do: []string{"INSERT INTO index_runs SELECT partition, run + 1, 2, " + columns}, harmless: "it is swept"},
		{name: "a second run of the same records", do: []string{
			"INSERT INTO index_runs SELECT partition, run + 1, state, " + columns, "INSERT INTO index_pages SELECT partition, page + 1048576, body FROM index_pages",
		}, found: "index"},
		{name: "a page is gone", do: []string{"DELETE FROM index_pages WHERE partition = {p} AND page = (SELECT min(page) FROM index_pages WHERE partition = {p})"}, found: "index"},
		{name: "pages are swapped", do: []string{
			"UPDATE index_pages SET page = -1 WHERE partition = {p} AND page = (SELECT min(page) FROM index_pages WHERE partition = {p})",
			"UPDATE index_pages SET page = page - 1 WHERE partition = {p} AND page > 0",
			"UPDATE index_pages SET page = (SELECT max(page) + 1 FROM index_pages WHERE partition = {p}) WHERE partition = {p} AND page = -1",
		}, found: "index"},
		{name: "a page that no run has", do: []string{"INSERT INTO index_pages SELECT partition, page + 1000, body FROM index_pages"}, harmless: "nobody reads it"},
		{name: "a state is gone", do: []string{"DELETE FROM snapshots"}, harmless: "the stream is folded from its first record"},
		{name: "a state of a wallet without records", do: []string{fmt.Sprintf(
			"INSERT INTO snapshots SELECT partition, '%s', seq, hash, version, fold, state FROM snapshots", wallet.Stream(none.ID, money.INR))}, found: "snapshots"},
		{name: "a state of before the wallet's first record", do: []string{
			"UPDATE snapshots SET seq = 1, version = 1, hash = (SELECT e.hash FROM events e WHERE e.partition = snapshots.partition AND e.seq = 1)",
		}, found: "snapshots"},
	}
}

// TestTamperedIndex: whatever row that trails the log is another one than was written, verify says what is wrong, or it does no
// harm, as the table above says: then a reference that was taken stays taken, and balances are what they were. The columns are those that the
// database has: one that is added later must be judged here.
func TestTamperedIndex(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		var none testMerchant
		w.ledger(&none, "merchant", "create", "--name", "None", "--service", "payout")
		w.ledger(nil, "rebuild", "index")
		d := unguarded(w)
		d.keepState(m)
		w.verify()
		for _, table := range trailing {
			w.do("log", "CREATE TABLE kept_"+table+" AS SELECT * FROM "+table)
		}
		all := ofRows(none)
		judged := maps.Clone(byColumn)
		for _, table := range trailing {
			for _, column := range d.columns(table) {
				c, known := judged[table+"."+column]
				if !known {
					t.Errorf("%s.%s is judged nowhere", table, column)
				}
				delete(judged, table+"."+column)
				c.name, c.do = table+"."+column, []string{fmt.Sprintf("UPDATE %s SET %s = %s WHERE partition = {p}", table, column, d.otherTrailing(table, column))}
				all = append(all, c)
			}
		}
		for column := range judged {
			t.Errorf("%s is judged, and is not there", column)
		}
		for _, c := range all {
			d.change(0, slices.Clone(c.do)...)
			d.wantFound(c)
			d.restoreTrailing()
		}
		for _, together := range rounds(all) {
			var names []string
			for _, c := range together {
				d.change(0, slices.Clone(c.do)...)
				names = append(names, c.name)
			}
			d.wantHarmless(names, m)
			d.restoreTrailing()
		}
	})
}

// rounds are the harmless edits, those together that do not hide one another.
func rounds(all []tampering) (together [5][]tampering) {
	checkpoints, states := 0, 0
	for _, c := range all {
		switch {
		case c.harmless == "":
		case strings.Contains(c.do[0], "index_checkpoints"):
			together[checkpoints] = append(together[checkpoints], c)
			checkpoints++
		case strings.Contains(c.do[0], "snapshots"):
			together[states] = append(together[states], c)
			states++
		default:
			together[4] = append(together[4], c)
		}
	}
	return together
}

// keepState keeps the state of a merchant's wallet, as a server does when the wallet has grown enough.
func (d *damaged) keepState(m testMerchant) {
	d.t.Helper()
	stream := wallet.Stream(m.ID, money.INR)
	state, version := wallet.NewWallet(m.ID, money.INR), int64(0)
	records := d.records()
	for i := range records {
		if records[i].Stream != stream {
			continue
		}
		fact, err := ledger.DecodeFact(&records[i])
		if err != nil {
			d.t.Fatal(err)
		}
		state.Evolve(fact.(wallet.Event))
		version = records[i].Version
	}
	text, err := state.Snapshot()
	if err != nil || version == 0 {
		d.t.Fatal(version, err)
	}
	log := d.openLog()
	defer log.Close()
	at := records[len(records)-1]
	err = log.KeepSnapshot(d.t.Context(), eventstore.Snapshot{
		Partition: d.partition, Stream: stream, Seq: at.Seq, Hash: at.Hash, Version: version, Fold: wallet.FoldVersion, State: text,
	})
	if err != nil {
		d.t.Fatal(err)
	}
}

// otherTrailing is SQL for another value of a column.
func (d *damaged) otherTrailing(table, column string) string {
	switch column {
	case "body": // of every page, the checksum too
		if d.onPostgres() {
			return `body || '\x00'::bytea`
		}
		return "CAST(body || x'00' AS BLOB)"
	case "state":
		if table == "index_runs" {
			return "2"
		}
		if d.onPostgres() {
			return `replace(convert_from(state, 'UTF8'), '6960.00', '9960.00')::bytea`
		}
		return "CAST(replace(CAST(state AS TEXT), '6960.00', '9960.00') AS BLOB)"
	case "page":
		return "-page"
	case "seq":
		return "seq - 1"
	}
	return d.other(table, column)
}

func (d *damaged) restoreTrailing() {
	d.t.Helper()
	for _, table := range trailing {
		d.do("log", "DELETE FROM "+table, "INSERT INTO "+table+" SELECT * FROM kept_"+table)
	}
}

// wantFound verifies the log as the command does, in this process; the check that is wrong must be named, and none where the edit is harmless.
func (d *damaged) wantFound(c tampering) {
	d.t.Helper()
	log := d.openLog()
	defer log.Close()
	checks, err := ledger.Verify(d.t.Context(), log, func(int64, int64) {})
	if err != nil {
		d.t.Fatalf("%s: %v", c.name, err)
	}
	var wrong []string
	for _, check := range checks {
		if check.OK {
			continue
		}
		wrong = append(wrong, check.Name)
		if !strings.Contains(check.Problem, fmt.Sprint("partition ", d.partition)) && !strings.Contains(check.Problem, fmt.Sprintf(" %d:", d.partition)) {
			d.t.Errorf("%s: what is wrong is not named: %+v", c.name, check)
		}
	}
	if c.found == "" && len(wrong) > 0 || c.found != "" && !slices.Contains(wrong, c.found) {
		d.t.Errorf("%s: wrong is %q; want %q", c.name, wrong, c.found)
	}
}

// wantHarmless uses a store.
func (d *damaged) wantHarmless(edits []string, m testMerchant) {
	d.t.Helper()
	d.start(d.flags...)
	d.wantBalance(m, "6960.00", "0.00")
	status, o := d.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "1000", "P-0"))
	if status != http.StatusConflict {
		d.t.Errorf("%q: a reference that is taken: %d %v", edits, status, o)
	}
	status, o = d.call(m, http.MethodPost, "/api/v1/services/payout/process", payoutBody(loadAccount, "6955", "TOO-MUCH"))
	if status < 400 {
		d.t.Errorf("%q: more than there is: %d %v", edits, status, o)
	}
	d.kill()
}
