package proof_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
)

var (
	ledgerID = uuid.MustParse("0198c9a4-0000-7000-8000-000000000001")
	noon     = time.Date(2026, 3, 31, 12, 0, 0, 0, time.UTC)
)

// chain is a partition's log: records whose hashes hold.
type chain struct {
	partition int
	records   []eventstore.Record
}

// newChain makes n records; those from number altered on, if that is not 0, are of another history.
func newChain(partition int, n, altered int64) *chain {
	head := eventstore.Head{Partition: partition, Hash: eventstore.Genesis(ledgerID, partition)}
	c := &chain{partition: partition}
	for seq := int64(1); seq <= n; seq++ {
		amount := "100.00"
		if seq == altered {
			amount = "900.00"
		}
		c.records = append(c.records, eventstore.Record{
			Stream: "wallet:mer_x:INR", Version: seq, Subject: fmt.Sprintf("txn_%d", seq), Type: "wallet.adjusted", Schema: 1,
			EventID: uuid.NewSHA1(ledgerID, fmt.Appendf(nil, "%d:%d", partition, seq)), EffectiveAt: noon, RecordedAt: noon,
			Keys: []string{fmt.Sprintf("k<%d>", seq), "Schlüssel"}, Data: []byte(`{"amount":"` + amount + `","note":"a \"b\" <c> ₹  ` + "\u2028" + `"}`), Meta: []byte(`{}`),
			Evidence: []eventstore.Evidence{{MediaType: "text/plain", Body: []byte("raw")}},
		})
	}
	eventstore.Chain(head, c.records)
	return c
}

func (c *chain) source() shelf {
	s := shelf{map[uint][]eventstore.Hash{}}
	var leaves []eventstore.Hash
	for i := range c.records {
		leaves = append(leaves, c.records[i].Hash)
		s.levels[0] = append(s.levels[0], proof.Leaf(c.records[i].Hash))
	}
	for from := 0; from+256 <= len(leaves); from += 256 {
		s.levels[8] = append(s.levels[8], naive(leaves[from:from+256]))
	}
	return s
}

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

func mustKey(t fataler) *proof.SigningKey {
	t.Helper()
	key, err := proof.NewSigningKey(ledgerID)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func mustKeys(t fataler, key *proof.SigningKey) proof.Keys {
	t.Helper()
	keys, err := proof.ParseKeys(key.String() + "\n")
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// sign signs chains as of sizes.
func sign(t *testing.T, key *proof.SigningKey, at time.Time, chains []*chain, sizes ...int64) []byte {
	t.Helper()
	c := proof.Checkpoint{Ledger: ledgerID, At: at}
	for i, one := range chains {
		root, err := proof.NewTree(one.source(), sizes[i]).Root(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Trees = append(c.Trees, proof.TreeHead{Size: sizes[i], Root: root})
	}
	signed, err := key.Sign(&c)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func include(t *testing.T, signed []byte, c *chain, size int64, seqs ...int64) ([]byte, error) {
	t.Helper()
	var records []proof.Included
	for _, seq := range seqs {
		path, err := proof.NewTree(c.source(), size).Inclusion(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		previous := eventstore.Genesis(ledgerID, c.partition)
		if seq > 1 {
			previous = c.records[seq-2].Hash
		}
		records = append(records, proof.Included{Record: c.records[seq-1], Previous: previous, Path: path})
	}
	return proof.Inclusion(signed, records)
}

func consistency(t *testing.T, older, newer []byte, chains []*chain, from, to []int64) ([]byte, error) {
	t.Helper()
	var paths [][]eventstore.Hash
	for i, c := range chains {
		path, err := proof.NewTree(c.source(), to[i]).Consistency(t.Context(), from[i])
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return proof.Consistency(older, newer, paths)
}

// proven are the three kinds of files over the same chains, and the key that signed them.
func proven(t *testing.T) (files map[string][]byte, key *proof.SigningKey) {
	t.Helper()
	key = mustKey(t)
	chains := []*chain{newChain(0, 700, 0), newChain(1, 3, 0)}
	older := sign(t, key, noon, chains, 300, 0)
	newer := sign(t, key, noon.Add(time.Hour), chains, 700, 3)
	inclusion, err := include(t, newer, chains[0], 700, 1, 2, 699)
	if err != nil {
		t.Fatal(err)
	}
	extension, err := consistency(t, older, newer, chains, []int64{300, 0}, []int64{700, 3})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{"checkpoint": older, "inclusion": inclusion, "consistency": extension}, key
}

func TestWhatIsProvenHolds(t *testing.T) {
	files, key := proven(t)
	for kind, want := range map[string]string{
		"checkpoint":  "held 300 records in 2 partitions",
		"inclusion":   "Record 0:699 (wallet.adjusted of txn_699, recorded 2026-03-31T12:00:00.000000Z) was in ledger " + ledgerID.String(),
		"consistency": "Partition 0: the first 300 of its 700 records are those of the older checkpoint",
	} {
		v := proof.Verify(files[kind], mustKeys(t, key))
		if !v.Holds || v.Kind != kind || len(v.Faults) != 0 || !strings.Contains(strings.Join(v.Proves, "\n"), want) {
			t.Errorf("%s: %+v", kind, v)
		}
	}
}

// TestAFlippedBitFails: whichever bit of whichever file is flipped, nothing holds any more.
func TestAFlippedBitFails(t *testing.T) {
	files, key := proven(t)
	keys := mustKeys(t, key)
	for _, kind := range []string{"checkpoint", "inclusion", "consistency"} {
		file := files[kind]
		rapid.Check(t, func(t *rapid.T) {
			at, bit := rapid.IntRange(0, len(file)-1).Draw(t, "at"), rapid.IntRange(0, 7).Draw(t, "bit")
			wrong := bytes.Clone(file)
			wrong[at] ^= 1 << bit
			if v := proof.Verify(wrong, keys); v.Holds || len(v.Faults) == 0 || v.Faults[0].Where == "" || v.Faults[0].Problem == "" {
				t.Fatalf("%s with bit %d of byte %d (%q) flipped: %+v", kind, bit, at, file[at], v)
			}
		})
	}
	file := files["checkpoint"] // it is small: every bit
	for at := range file {
		for bit := range 8 {
			wrong := bytes.Clone(file)
			wrong[at] ^= 1 << bit
			if proof.Verify(wrong, keys).Holds {
				t.Fatalf("a checkpoint with bit %d of byte %d (%q) flipped holds", bit, at, file[at])
			}
		}
	}
}

// TestATruncatedFileFails names the line at which it ends.
func TestATruncatedFileFails(t *testing.T) {
	files, key := proven(t)
	keys := mustKeys(t, key)
	for _, kind := range []string{"checkpoint", "inclusion", "consistency"} {
		file := files[kind]
		rapid.Check(t, func(t *rapid.T) {
			cut := rapid.IntRange(0, len(file)-1).Draw(t, "cut")
			v := proof.Verify(file[:cut], keys)
			lines := bytes.Count(file[:cut], []byte("\n")) + 1
			if v.Holds || len(v.Faults) != 1 {
				t.Fatalf("%d of %d bytes: %+v", cut, len(file), v)
			}
			var line int
			if _, err := fmt.Sscanf(v.Faults[0].Where, "line %d", &line); err != nil || line < lines-1 || line > lines+1 {
				t.Fatalf("cut in line %d: %+v", lines, v.Faults)
			}
		})
	}
}

func TestAnotherKeyDoesNotVerify(t *testing.T) {
	files, key := proven(t)
	other := mustKeys(t, mustKey(t))
	for kind, file := range files {
		v := proof.Verify(file, other)
		if v.Holds || len(v.Proves) != 0 || !strings.Contains(v.Faults[0].Problem, "signed by another key") {
			t.Errorf("%s: %+v", kind, v)
		}
	}
	next, err := key.Next()
	if err != nil {
		t.Fatal(err)
	}
	both, err := next.Keys()
	if err != nil {
		t.Fatal(err)
	}
	for kind, file := range files {
		if v := proof.Verify(file, both); !v.Holds {
			t.Errorf("%s, with the keys before and after a rotation: %+v", kind, v)
		}
		if v := proof.Verify(file, mustKeys(t, next)); v.Holds {
			t.Errorf("%s, with the next key alone: %+v", kind, v)
		}
	}
}

// TestARewriteIsFound: a history with another record 10, whose hashes hold, does not extend the checkpoint of the first one, whatever paths
// are shown.
func TestARewriteIsFound(t *testing.T) {
	key := mustKey(t)
	keys := mustKeys(t, key)
	first, second := newChain(0, 700, 0), newChain(0, 700, 10)
	older := sign(t, key, noon, []*chain{first}, 300)
	forged := sign(t, key, noon.Add(time.Hour), []*chain{second}, 700)
	if _, err := consistency(t, older, forged, []*chain{second}, []int64{300}, []int64{700}); err == nil || !strings.Contains(err.Error(), "partition 0: ") {
		t.Fatalf("the ledger's own check: %v", err)
	}
	honest := sign(t, key, noon.Add(time.Hour), []*chain{first}, 700)
	for _, paths := range []*chain{first, second} { // who forges does not check
		file, err := consistency(t, older, honest, []*chain{first}, []int64{300}, []int64{700})
		if err != nil {
			t.Fatal(err)
		}
		file = bytes.Replace(file, jsonText(t, honest), jsonText(t, forged), 1)
		for i, h := range pathOf(t, first) {
			file = bytes.Replace(file, []byte(h.String()), []byte(pathOf(t, paths)[i].String()), 1)
		}
		v := proof.Verify(file, keys)
		if v.Holds || len(v.Proves) != 0 || v.Faults[0].Where != "partition 0" || !strings.Contains(v.Faults[0].Problem, "history was rewritten") {
			t.Errorf("a forged proof: %+v", v)
		}
	}
	if _, err := include(t, older, second, 300, 10); err == nil || !strings.Contains(err.Error(), "record 0:10") {
		t.Errorf("the altered record under the first history's checkpoint: %v", err)
	}
}

func pathOf(t *testing.T, c *chain) []eventstore.Hash {
	t.Helper()
	path, err := proof.NewTree(c.source(), 700).Consistency(t.Context(), 300)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// jsonText is a checkpoint as it stands within a file.
func jsonText(t *testing.T, signed []byte) []byte {
	t.Helper()
	return []byte(strings.ReplaceAll(string(signed), "\n", `\n`))
}

func TestAFaultNamesItsRecord(t *testing.T) {
	files, key := proven(t)
	wrong := bytes.Replace(files["inclusion"], []byte(`"subject": "txn_2"`), []byte(`"subject": "txn_3"`), 1)
	v := proof.Verify(wrong, mustKeys(t, key))
	if v.Holds || len(v.Faults) != 1 || v.Faults[0].Where != "record 0:2" || len(v.Proves) != 2 {
		t.Errorf("%+v", v)
	}
}

func TestShrunkCheckpointsInAFile(t *testing.T) {
	key := mustKey(t)
	keys := mustKeys(t, key)
	chains := []*chain{newChain(0, 20, 0)}
	a, b := sign(t, key, noon, chains, 10), sign(t, key, noon.Add(time.Hour), chains, 20)
	if v := proof.Verify(append(bytes.Clone(a), b...), keys); !v.Holds || len(v.Proves) != 3 {
		t.Errorf("two in order: %+v", v)
	}
	if v := proof.Verify(append(bytes.Clone(b), a...), keys); v.Holds || v.Faults[0].Where != "checkpoint at line 6" {
		t.Errorf("two out of order: %+v", v)
	}
	torn := append(append(bytes.Clone(a[:60]), '\n'), b...)
	if v := proof.Verify(torn, keys); v.Holds || len(v.Faults) != 1 || v.Faults[0].Where != "line 2" {
		t.Errorf("one torn by a crash: %+v", v)
	}
	forked := sign(t, key, noon.Add(time.Hour), []*chain{newChain(0, 20, 3)}, 10)
	if v := proof.Verify(append(bytes.Clone(a), forked...), keys); v.Holds || !strings.Contains(v.Faults[0].Problem, "partition 0") {
		t.Errorf("two of the same size and other roots: %+v", v)
	}
}

func TestCheckpointGrammar(t *testing.T) {
	root := "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=" // of no records
	origin := proof.Origin(ledgerID)
	whole := origin + "\n2026-03-31T12:00:00Z\n0 0 " + root + "\n1 5 " + root + "\n"
	if c, err := proof.ParseCheckpoint(whole); err != nil || c.Text() != whole {
		t.Fatalf("%+v, %v", c, err)
	}
	for _, tt := range []struct{ from, to, want string }{
		{"khata-ledger/", "khata-ledgers/", "line 1"},
		{ledgerID.String(), strings.ToUpper(ledgerID.String()), "line 1"},
		{"12:00:00Z", "12:00:00+00:00", "line 2"},
		{"12:00:00Z", "12:00:00.5Z", "line 2"},
		{"12:00:00Z", "25:00:00Z", "line 2"},
		{"0 0 ", "0  0 ", "line 3"},
		{"0 0 ", "0 00 ", "line 3"},
		{"0 0 ", "0 -0 ", "line 3"},
		{"0 0 ", "00 0 ", "line 3"},
		{"0 0 47D", "0 0 57D", "line 3"},
		{"1 5 ", "2 5 ", "line 4"},
		{"1 5 ", "1 +5 ", "line 4"},
		{"1 5 ", "1 9223372036854775808 ", "line 4"},
		{"1 5 " + root, "1 5 " + strings.Replace(root, "FU=", "FV=", 1), "line 4"},
		{"1 5 " + root, "1 5 " + strings.TrimSuffix(root, "="), "line 4"},
		{"1 5 " + root, "1 5 " + root + " ", "line 4"},
		{"1 5 " + root, "1 5 " + root + "\r", "line 4"},
		{"1 5 " + root + "\n", "1 5 " + root, "line 4"},
		{"\n0 0 " + root + "\n1 5 " + root, "", "line 3"},
		{"1 5 " + root + "\n", "1 5 " + root + "\n\n", "line 5"},
	} {
		text := strings.Replace(whole, tt.from, tt.to, 1)
		if text == whole {
			t.Fatalf("%q is not in it", tt.from)
		}
		if _, err := proof.ParseCheckpoint(text); err == nil || !strings.HasPrefix(err.Error(), tt.want+":") {
			t.Errorf("%q for %q: %v", tt.to, tt.from, err)
		}
	}
}

func TestKeys(t *testing.T) {
	key := mustKey(t)
	secret, err := key.Secret()
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprint(key), fmt.Sprintf("%v", key), fmt.Sprintf("%+v", key), fmt.Sprintf("%#v", key)} {
		if strings.Contains(printed, "PRIVATE") {
			t.Errorf("a key prints as %s", printed)
		}
	}
	again, err := proof.ParseSigningKey(ledgerID, secret)
	if err != nil || again.String() != key.String() {
		t.Errorf("a key kept and read: %v, %v", again, err)
	}
	if _, err := proof.ParseSigningKey(uuid.New(), secret); err == nil {
		t.Error("a key of another ledger")
	}
	if _, err := proof.ParseSigningKey(ledgerID, secret[:len(secret)-9]); err == nil || strings.Contains(err.Error(), "PRIVATE") {
		t.Errorf("a secret cut short: %v", err)
	}
	for _, wrong := range []string{"", "\n", "abc", key.String() + "\nabc", key.String()[:len(key.String())-4]} {
		if _, err := proof.ParseKeys(wrong); err == nil {
			t.Errorf("%q are keys", wrong)
		}
	}
	if _, err := key.Sign(&proof.Checkpoint{Ledger: uuid.New(), At: noon, Trees: []proof.TreeHead{{Root: proof.EmptyRoot()}}}); err == nil {
		t.Error("it signs for another ledger")
	}
}

func FuzzVerify(f *testing.F) {
	key := mustKey(f)
	keys := mustKeys(f, key)
	f.Add([]byte("{\n  \"format\": \"khata-ledger/inclusion/1\"}"))
	f.Add([]byte("{\n  \"format\": \"khata-ledger/consistency/1\",\n  \"older\": \"\"}"))
	f.Add([]byte(proof.Origin(ledgerID) + "\n2026-03-31T12:00:00Z\n0 0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— a b\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		if v := proof.Verify(file, keys); v.Holds { // nothing was signed
			t.Errorf("%q: %+v", file, v)
		}
	})
}
