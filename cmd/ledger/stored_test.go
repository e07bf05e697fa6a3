package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// storedVersions are stores that earlier versions of the schema have made, kept for ever: each must open, verify and go on. A new
// migration of the log, of work or of secrets adds the store that the version before it leaves behind.
var storedVersions = []struct {
	file     string // testdata/stores
	merchant testMerchant
	balance  string // available
	paid     string // a partner_request_id that is taken
	payout   string // its transaction
}{
	{
		"1.tar.gz", testMerchant{ID: "mer_demo000000000000", Key: "klyro_qtDse8yyI1tK5939-GoiRbwv-RexfyQOfGFD6Dj8V2U"},
		"1920.00", "PAYOUT-2", "txn_yknwccwv1loitb0r",
	},
}

func TestStoredVersions(t *testing.T) {
	t.Parallel()
	for _, stored := range storedVersions {
		t.Run(stored.file, func(t *testing.T) {
			w := storeIn(t)
			unpack(t, filepath.Join("testdata", "stores", stored.file), w.dir)
			w.wantRefusal([]string{"verify"}, "run `ledger migrate`")
			w.ledger(nil, "migrate")
			w.verify()
			var story struct{ Events []object }
			w.ledger(&story, "replay", stored.payout, "--json")
			if len(story.Events) != 3 {
				t.Errorf("the payout's story has %d events", len(story.Events))
			}
			w.start()
			w.wantBalance(stored.merchant, stored.balance, "0.00")
			const process = "/api/v1/services/payout/process"
			if status, o := w.call(stored.merchant, http.MethodPost, process, payoutBody("123456789099", "1000", stored.paid)); status != http.StatusConflict {
				t.Errorf("a reference that was taken before the migration: %d %v", status, o)
			}
			if status, o := w.call(stored.merchant, http.MethodPost, process, payoutBody("123456789099", "1000", "NEW-1")); status != http.StatusOK {
				t.Errorf("a new payout: %d %v", status, o)
			}
			w.wantBalance(stored.merchant, "910.00", "0.00")
			w.stop()
			w.verify()
		})
	}
}

// unpack writes the files of an archive into a folder.
func unpack(t *testing.T, archive, dir string) {
	t.Helper()
	f, err := os.Open(archive)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	zipped, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(files)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, filepath.Base(header.Name)), body, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
