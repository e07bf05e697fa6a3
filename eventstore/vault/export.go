package vault

import (
	"bufio"
	"bytes"
	"context"
	"crypto/subtle"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
)

// Shape of an export.
const (
	exportFormat  = "khata-ledger/secrets/1"
	maxExportLine = 1 << 20
)

// line is one line of an export: exactly one of its fields is set. The header comes first, the count last.
type line struct {
	Header *header    `json:"header,omitempty"`
	Erased *erasedRow `json:"erased,omitempty"`
	Key    *keyRow    `json:"key,omitempty"`
	Secret *secretRow `json:"secret,omitempty"`
	End    *Count     `json:"end,omitempty"`
}

type header struct {
	Format string `json:"format"`
	Check  string `json:"master_check"` // hexadecimal
}

// Count is how much an export holds, or an import added.
type Count struct {
	Keys    int `json:"keys"`    // data keys
	Secrets int `json:"secrets"` // named secrets
	Erased  int `json:"erased"`  // ids of erased keys
}

// Export writes the whole store to w as NDJSON, as of one moment. Keys and secrets are still wrapped: without the master
// key the file opens nothing.
func (v *Vault) Export(ctx context.Context, w io.Writer) (Count, error) {
	var all contents
	err := v.with(ctx, func(m *master) error {
		return v.writing(ctx, m, func(tx *sql.Tx) (err error) {
			all, err = readContents(ctx, tx)
			return err
		})
	})
	if err != nil {
		return Count{}, fmt.Errorf("exporting secrets: %w", err)
	}
	n, err := all.write(w)
	if err != nil {
		return Count{}, fmt.Errorf("exporting secrets: %w", err)
	}
	return n, nil
}

func (c *contents) write(w io.Writer) (Count, error) {
	buf := bufio.NewWriter(w)
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	n := Count{Keys: len(c.keys), Secrets: len(c.secrets), Erased: len(c.erased)}
	err := enc.Encode(line{Header: &header{exportFormat, hex.EncodeToString(c.check)}})
	for i := range c.erased {
		err = errors.Join(err, enc.Encode(line{Erased: &c.erased[i]}))
	}
	for i := range c.keys {
		err = errors.Join(err, enc.Encode(line{Key: &c.keys[i]}))
	}
	for i := range c.secrets {
		err = errors.Join(err, enc.Encode(line{Secret: &c.secrets[i]}))
	}
	return n, errors.Join(err, enc.Encode(line{End: &n}), buf.Flush())
}

// Import adds what Export wrote, all of it or nothing, and returns what was new. What is there already, equal, is left
// alone, and a key that was erased here stays erased; one that was erased there is erased here. ErrWrongMaster if the file
// was written under another master key, ErrConflict if it contradicts the store, ErrTampered if a line does not open, ErrInvalid
// if it is no whole export.
func (v *Vault) Import(ctx context.Context, r io.Reader) (Count, error) {
	all, err := readExport(r)
	if err != nil {
		return Count{}, fmt.Errorf("importing secrets: %w", err)
	}
	v.turn.Lock() // as in Erase
	defer v.turn.Unlock()
	var added Count
	err = v.writing(ctx, v.master, func(tx *sql.Tx) (err error) {
		if subtle.ConstantTimeCompare(all.check, v.master.check) != 1 {
			return fmt.Errorf("the export belongs to another master key: %w", ErrWrongMaster)
		}
		added, err = v.merge(ctx, tx, &all)
		return err
	})
	v.keys.drop(func(*dataKey) bool { return true })
	if err != nil {
		return Count{}, fmt.Errorf("importing secrets: %w", err)
	}
	return added, nil
}

// readExport takes a whole export apart and checks its form.
func readExport(r io.Reader) (contents, error) {
	var c contents
	var end *Count
	scan := bufio.NewScanner(r)
	scan.Buffer(nil, maxExportLine)
	n := 0
	for scan.Scan() {
		n++
		var l line
		dec := json.NewDecoder(bytes.NewReader(scan.Bytes()))
		dec.DisallowUnknownFields()
		if err := dec.Decode(&l); err != nil {
			return c, fmt.Errorf("%w: line %d is none of an export of secrets", ErrInvalid, n)
		}
		if end != nil || (n == 1) != (l.Header != nil) {
			return c, fmt.Errorf("%w: line %d is out of place in an export of secrets", ErrInvalid, n)
		}
		if err := c.take(&l); err != nil {
			return c, fmt.Errorf("%w: line %d: %w", ErrInvalid, n, err)
		}
		end = l.End
	}
	if err := scan.Err(); err != nil {
		return c, fmt.Errorf("%w: line %d: %w", ErrInvalid, n+1, err)
	}
	if end == nil || *end != (Count{Keys: len(c.keys), Secrets: len(c.secrets), Erased: len(c.erased)}) {
		return c, fmt.Errorf("%w: the export of secrets is not complete", ErrInvalid)
	}
	return c, nil
}

func (c *contents) take(l *line) (err error) {
	switch {
	case l.Header != nil:
		if l.Header.Format != exportFormat {
			return fmt.Errorf("format %q, this version reads %q", l.Header.Format, exportFormat)
		}
		c.check, err = hex.DecodeString(l.Header.Check)
	case l.Erased != nil:
		c.erased = append(c.erased, *l.Erased)
	case l.Key != nil:
		c.keys = append(c.keys, *l.Key)
	case l.Secret != nil:
		c.secrets = append(c.secrets, *l.Secret)
	case l.End == nil:
		return errors.New("empty")
	}
	return err
}

func (v *Vault) merge(ctx context.Context, tx *sql.Tx, all *contents) (Count, error) {
	var added Count
	for i := range all.erased {
		n, err := mergeErased(ctx, tx, &all.erased[i])
		if err != nil {
			return added, err
		}
		added.Erased += n
	}
	for i := range all.keys {
		n, err := v.mergeKey(ctx, tx, &all.keys[i])
		if err != nil {
			return added, fmt.Errorf("data key %s of %s: %w", all.keys[i].ID, all.keys[i].Owner, err)
		}
		added.Keys += n
	}
	for i := range all.secrets {
		n, err := v.mergeSecret(ctx, tx, &all.secrets[i])
		if err != nil {
			return added, fmt.Errorf("secret %s: %w", all.secrets[i].Name, err)
		}
		added.Secrets += n
	}
	return added, nil
}

func mergeErased(ctx context.Context, tx *sql.Tx, e *erasedRow) (int, error) {
	if _, err := tx.ExecContext(ctx, `DELETE FROM data_keys WHERE key_id = $1`, e.ID[:]); err != nil {
		return 0, err
	}
	return count(tx.ExecContext(ctx, `INSERT INTO erased_keys (key_id, owner, erased_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		e.ID[:], e.Owner, e.ErasedAt))
}

func (v *Vault) mergeKey(ctx context.Context, tx *sql.Tx, k *keyRow) (int, error) {
	secret, err := v.master.unwrap(ctx, tx, k.Wrapped, k.binding())
	if err != nil {
		return 0, err
	}
	var gone int
	if err := tx.QueryRowContext(ctx, `SELECT COUNT(*) FROM erased_keys WHERE key_id = $1`, k.ID[:]).Scan(&gone); err != nil || gone > 0 {
		return 0, err
	}
	n, err := count(tx.ExecContext(ctx, `INSERT INTO data_keys (key_id, owner, kind, period, wrapped, created_at)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`, k.ID[:], k.Owner, k.Kind, k.Period, k.Wrapped, k.CreatedAt))
	if err != nil || n > 0 {
		return n, err
	}
	var there uuid.UUID
	var wrapped []byte
	err = tx.QueryRowContext(ctx, `SELECT key_id, wrapped FROM data_keys WHERE owner = $1 AND kind = $2 AND period = $3`,
		k.Owner, k.Kind, k.Period).Scan((*id)(&there), &wrapped)
	if errors.Is(err, sql.ErrNoRows) || err == nil && there != k.ID {
		return 0, ErrConflict
	}
	if err != nil {
		return 0, err
	}
	return 0, v.same(ctx, tx, wrapped, k.binding(), secret)
}

func (v *Vault) mergeSecret(ctx context.Context, tx *sql.Tx, s *secretRow) (int, error) {
	binding := bindSecret(s.Name)
	secret, err := v.master.unwrap(ctx, tx, s.Wrapped, binding)
	if err != nil {
		return 0, err
	}
	n, err := count(tx.ExecContext(ctx, `INSERT INTO named_secrets (name, wrapped, updated_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
		s.Name, s.Wrapped, s.UpdatedAt))
	if err != nil || n > 0 {
		return n, err
	}
	var wrapped []byte
	if err := tx.QueryRowContext(ctx, `SELECT wrapped FROM named_secrets WHERE name = $1`, s.Name).Scan(&wrapped); err != nil {
		return 0, err
	}
	err = v.same(ctx, tx, wrapped, binding, secret)
	if errors.Is(err, ErrConflict) && strings.HasPrefix(s.Name, MovingPrefix) {
		err = nil
	}
	return 0, err
}

// same returns ErrConflict unless the wrapped value in the store holds that secret. The wrapped bytes themselves may differ:
// a rotation and one back wraps anew.
func (v *Vault) same(ctx context.Context, tx *sql.Tx, wrapped, binding, secret []byte) error {
	there, err := v.master.unwrap(ctx, tx, wrapped, binding)
	if err == nil && subtle.ConstantTimeCompare(there, secret) != 1 {
		err = ErrConflict
	}
	return err
}

func count(res sql.Result, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	n, err := res.RowsAffected()
	return int(n), err
}
