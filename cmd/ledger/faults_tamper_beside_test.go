package main

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestTamperedKeys: a wrapped key is altered. What it sealed is not shown, nor shown as something else, and payments go on; under another
// check of the master key nothing starts.
func TestTamperedKeys(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		ids := w.initiated(m)["P-0"]
		cut := map[bool]string{false: "CAST(substr(%[1]s, 1, length(%[1]s) - 1) || x'AB' AS BLOB)", true: `substr(%[1]s, 1, length(%[1]s) - 1) || '\xAB'::bytea`}[w.onPostgres()]
		w.do("secrets", "CREATE TABLE kept_keys AS SELECT key_id, wrapped FROM data_keys", "UPDATE data_keys SET wrapped = "+fmt.Sprintf(cut, "wrapped")+" WHERE kind = 'seal'")
		w.start(w.flags...)
		status, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/"+ids[0], "")
		if name := o.text("data", "transaction", "beneficiary_name"); name != "" || status != http.StatusOK && status < 500 {
			t.Errorf("sealed under an altered key: %d %v", status, o)
		}
		w.wantBalance(m, "6960.00", "0.00")
		w.stop()
		if !strings.Contains(w.stderr.String(), "a wrapped value in the secrets") {
			t.Error("the log of the server does not tell of it")
		}
		w.do("secrets", "UPDATE data_keys SET wrapped = (SELECT k.wrapped FROM kept_keys k WHERE k.key_id = data_keys.key_id)", "DROP TABLE kept_keys")
		w.start(w.flags...)
		if _, o := w.call(m, http.MethodGet, "/api/v1/transactions/service/payout/"+ids[0], ""); o.text("data", "transaction", "beneficiary_name") != "Rahul Sharma" {
			t.Errorf("with the key as it was: %v", o)
		}
		w.stop()
		w.do("secrets", "UPDATE master SET check_value = "+fmt.Sprintf(cut, "check_value"))
		w.wantRefusal([]string{"serve", "--listen", w.addr}, "master key")
	})
}

// TestRewrittenBehindTheViews: a record is altered and everything behind it computed anew, which the log alone cannot show. Views and an exported
// checkpoint do. Only what lies behind the last checkpoint, and which no view has seen, can be rewritten without a trace.
func TestRewrittenBehindTheViews(t *testing.T) {
	t.Parallel()
	onBothStores(t, func(t *testing.T, w *world) {
		m := used(t, w)
		w.proven("checkpoint", "-o", "exported.txt")
		w.adjusted(m.ID, 1)
		d := unguarded(w)
		original := d.records()
		paid := lastOf(original, "payout.succeeded")
		utr := regexp.MustCompile(`"utr":"[^"]+"`)
		forged := d.records()
		forged[paid-1].Data = utr.ReplaceAll(forged[paid-1].Data, []byte(`"utr":"699999999999"`))
		if bytes.Equal(forged[paid-1].Data, original[paid-1].Data) {
			t.Fatalf("record %d has nothing to edit: %s", paid, original[paid-1].Data)
		}
		d.replace(forged)
		if got := execute(t, d.dir, nil, "verify", "--no-views", "--db", d.db); got.code != 0 {
			t.Fatalf("the rewritten chain does not hold, so this shows nothing: %+v", got)
		}
		if v, code := w.verdict(); code != exitNo || v.OK {
			t.Errorf("with the views: exit %d, %+v", code, v)
		}
		if out, code := w.run("proof", "consistency", "exported.txt"); code != exitNo || !strings.Contains(out, fmt.Sprintf("partition %d", d.partition)) {
			t.Errorf("with the checkpoint: exit %d, %q", code, out)
		}
		d.restore()

		d.rewrite(int64(len(original))) // the adjustment, which no checkpoint covers yet: the next one that is signed does
		if out, code := w.run("proof", "consistency", "exported.txt", "--from-log"); code != 0 {
			t.Errorf("behind the checkpoint: exit %d, %q", code, out)
		}
	})
}
