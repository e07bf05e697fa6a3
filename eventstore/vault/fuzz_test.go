package vault

import (
	"bytes"
	"os"
	"testing"
)

// An export is read whole or refused, whatever it holds; what is read has what its end says.
func FuzzReadExport(f *testing.F) {
	whole, err := os.ReadFile("testdata/export-v1.ndjson")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add(bytes.ReplaceAll(whole, []byte(`"mer_1"`), []byte(`"\u0000"`)))
	f.Add(bytes.ReplaceAll(whole, []byte(`"keys":2`), []byte(`"keys":-1`)))
	f.Add([]byte(`{"header":{"format":"khata-ledger/secrets/1","master_check":""}}` + "\n" + `{"end":{"keys":0,"secrets":0,"erased":0}}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		all, err := readExport(bytes.NewReader(b))
		if err == nil && bytes.Count(b, []byte("\n"))+1 < len(all.keys)+len(all.secrets)+len(all.erased)+2 {
			t.Errorf("%d keys, %d secrets, %d erased of %d lines", len(all.keys), len(all.secrets), len(all.erased), bytes.Count(b, []byte("\n"))+1)
		}
	})
}
