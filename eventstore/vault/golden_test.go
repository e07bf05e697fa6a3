package vault_test

import (
	"database/sql"
	"os"
	"testing"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/vault"
)

// What version 1 stored has to be opened for ever: the export in testdata, under this master key, and this sealed value.
func TestGoldenVersion1(t *testing.T) {
	const (
		masterKey   = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
		event       = "01890a5d-ac96-774b-bcce-b302099a8057"
		sealed      = "AQa3THngdUoYuCktF_YY-Xpt-ucuczVbpuogYCQzclQtCJ0q3le8-HqWo4nO2Fm4My9tNqQ"
		fingerprint = "441ba4d97e02558d263149a880d240b3"
	)
	onBoth(t, func(t *testing.T, pool func() *sql.DB) {
		key, err := vault.ParseKey([]byte(masterKey))
		if err != nil {
			t.Fatal(err)
		}
		v := open(t, pool(), key)
		file, err := os.Open("testdata/export-v1.ndjson")
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		if _, err := v.Import(t.Context(), file); err != nil {
			t.Fatal(err)
		}
		if got, err := v.UnsealString(t.Context(), uuid.MustParse(event), sealed); err != nil || got != "Asha Rao" {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := v.Fingerprint(t.Context(), "mer_1", "12345678"); err != nil || got != fingerprint {
			t.Errorf("%q, %v", got, err)
		}
		if got, err := v.Secret(t.Context(), "hook"); err != nil || string(got) != "s3cret" {
			t.Errorf("%q, %v", got, err)
		}
	})
}
