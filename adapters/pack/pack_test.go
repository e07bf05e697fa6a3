package pack

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"flag"
	"fmt"
	"hash/crc32"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/domain/merchant"
	"github.com/khata-ledger/khata/domain/money"
	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
)

func TestAPackHolds(t *testing.T) {
	key := newKey(t, ledgerID)
	for _, masked := range []bool{true, false} {
		zip := made(t, key, masked)
		v := Verify(zip, keysOf(t, key))
		if !v.Holds || len(v.Faults) > 0 || v.Payment != txn || v.Masked != masked || v.Ledger != ledgerID.String() {
			t.Fatalf("masked %v: %+v", masked, v)
		}
		said := strings.Join(append(v.Proves, v.DoesNotProve...), "\n")
		want := []string{
			"4 records of the payment, 2 records of decisions about its batch " + bat, "5 raw messages of these records", "The postings of each event sum to zero",
			"no further record", "1 message says of the batch",
			"moved merchant:" + shop + ":available by 0.00 INR, to the status refunded", "2 pairs of them have nothing in between",
		}
		if masked {
			want = append(want, "personal data is masked", "4 masked messages say", "1 withheld message says")
		} else {
			want = append(want, "personal data is shown", "1 request body or document is shown as received", "4 opened messages show")
		}
		for _, s := range want {
			if !strings.Contains(said, s) {
				t.Errorf("masked %v: it does not say %q in\n%s", masked, s, said)
			}
		}
		if again := made(t, key, masked); !bytes.Equal(zip, again) {
			t.Error("equal sources give other bytes")
		}
	}
}

// TestAMaskedPackGivesNothingAway: not in any file, as the zip has it.
func TestAMaskedPackGivesNothingAway(t *testing.T) {
	key := newKey(t, ledgerID)
	for _, masked := range []bool{true, false} {
		files, wrong := unpack(made(t, key, masked))
		if wrong != nil {
			t.Fatal(wrong)
		}
		for _, secret := range []string{"9876543210", "1234567890", "राहुल", "192.0.2.9", "RAHUL", "letter of the bank", "rent of"} {
			found := slices.ContainsFunc(files, func(f file) bool {
				return !strings.HasSuffix(f.name, ".sealed") && f.name != summaryName && bytes.Contains(f.body, []byte(secret))
			})
			if found == masked {
				t.Errorf("masked %v, %q found: %v", masked, secret, found)
			}
		}
	}
}

// TestAnyZipReaderReadsIt: the zip is written by hand, and must be one for everybody.
func TestAnyZipReaderReadsIt(t *testing.T) {
	b := made(t, newKey(t, ledgerID), true)
	r, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, f := range r.File {
		names = append(names, f.Name)
		in, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		var body bytes.Buffer
		if _, err := body.ReadFrom(in); err != nil { // the checksum, too
			t.Errorf("%s: %v", f.Name, err)
		}
		if want := noon.Add(time.Hour); !f.Modified.Equal(want) {
			t.Errorf("%s is of %s, not of the checkpoint's time", f.Name, f.Modified)
		}
	}
	if !slices.IsSorted(names) || len(names) < len(always())+1 {
		t.Errorf("files %v", names)
	}
}

// places are where the bytes of each file lie in a zip.
func places(t *testing.T, b []byte) (names []string, spans [][2]int) {
	t.Helper()
	files, wrong := unpack(b)
	if wrong != nil {
		t.Fatal(wrong)
	}
	at := 0
	for _, f := range files {
		from := at + localBytes + len(f.name)
		names, spans = append(names, f.name), append(spans, [2]int{from, from + len(f.body)})
		at = from + len(f.body)
	}
	return names, spans
}

// TestAFlippedBitFails: in every byte of every header, and in every file a sample over its whole length; and the fault names the file.
func TestAFlippedBitFails(t *testing.T) {
	key := newKey(t, ledgerID)
	keys := keysOf(t, key)
	b := made(t, key, true)
	names, spans := places(t, b)
	flip := func(at int, bit uint, want string) {
		b[at] ^= 1 << bit
		v := Verify(b, keys)
		b[at] ^= 1 << bit
		switch {
		case v.Holds || len(v.Faults) == 0 || len(v.Proves) > 0 || v.Faults[0].Where == "" || v.Faults[0].Problem == "":
			t.Fatalf("bit %d of byte %d of %d: %+v", bit, at, len(b), v)
		case want != "" && !slices.ContainsFunc(v.Faults, func(f Fault) bool { return f.Where == want }):
			t.Fatalf("bit %d of byte %d lies in %s, and the faults are %+v", bit, at, want, v.Faults)
		}
	}
	before := 0
	for i, span := range spans {
		for at := before; at < span[0]; at++ { // headers
			flip(at, uint(at%8), "")
		}
		step := max((span[1]-span[0])/40, 1)
		for at := span[0]; at < span[1]; at += step {
			flip(at, uint(at%8), names[i])
		}
		before = span[1]
	}
	for at := before; at < len(b); at++ { // the directory
		flip(at, uint(at%8), "")
		flip(at, uint(at+5)%8, "")
	}
	if v := Verify(b, keys); !v.Holds {
		t.Fatalf("put back: %+v", v)
	}
}

func TestATruncatedPackFails(t *testing.T) {
	key := newKey(t, ledgerID)
	keys := keysOf(t, key)
	b := made(t, key, false)
	for cut := 0; cut < len(b); cut += 1 + len(b)/200 {
		if v := Verify(b[:cut], keys); v.Holds || len(v.Faults) != 1 || v.Faults[0].Where != whole {
			t.Fatalf("%d of %d bytes: %+v", cut, len(b), v)
		}
	}
	for _, more := range []string{"\x00", "something behind it"} {
		if v := Verify(append(bytes.Clone(b), more...), keys); v.Holds {
			t.Errorf("%q behind it: %+v", more, v)
		}
		if v := Verify(append([]byte(more), b...), keys); v.Holds {
			t.Errorf("%q in front of it: %+v", more, v)
		}
	}
}

// raw writes a zip of any kind: what an attacker would send.
func raw(t *testing.T, method uint16, size uint64, entries ...file) []byte {
	t.Helper()
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for _, e := range entries {
		h := &zip.FileHeader{Name: e.name, Method: method, CompressedSize64: uint64(len(e.body)), UncompressedSize64: uint64(len(e.body)), CRC32: crc32.ChecksumIEEE(e.body)}
		if size > 0 {
			h.UncompressedSize64 = size
		}
		in, err := w.CreateRaw(h)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := in.Write(e.body); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestOtherZipsAreRefused(t *testing.T) {
	key := newKey(t, ledgerID)
	keys := keysOf(t, key)
	files, wrong := unpack(made(t, key, true))
	if wrong != nil {
		t.Fatal(wrong)
	}
	with := func(more ...file) []file { return append(slices.Clone(files), more...) }
	without := slices.DeleteFunc(slices.Clone(files), func(f file) bool { return f.name == postingsName })
	many := make([]byte, endBytes)
	binary.LittleEndian.PutUint32(many, endSignature)
	for name, tt := range map[string]struct {
		zip         []byte
		where, what string
	}{
		"nothing":                {nil, whole, "cannot be read as a zip"},
		"no zip":                 {[]byte("%PDF-1.4"), whole, "cannot be read as a zip"},
		"an empty zip":           {many, manifestName, "is missing"},
		"twice the same":         {raw(t, zip.Store, 0, with(files[0])...), files[0].name, "twice"},
		"one too many":           {raw(t, zip.Store, 0, with(file{"note.txt", []byte("x")})...), "note.txt", "nobody has signed it"},
		"one too few":            {raw(t, zip.Store, 0, without...), postingsName, "is missing"},
		"without a manifest":     {raw(t, zip.Store, 0, file{"a", nil}), manifestName, "is missing"},
		"a way out":              {raw(t, zip.Store, 0, with(file{"../../etc/passwd", nil})...), `"../../etc/passwd"`, "this name"},
		"from the root":          {raw(t, zip.Store, 0, file{"/etc/passwd", nil}), `"/etc/passwd"`, "this name"},
		"a hidden way out":       {raw(t, zip.Store, 0, file{"messages/../x", nil}), `"messages/../x"`, "this name"},
		"a way out of Windows":   {raw(t, zip.Store, 0, file{`..\x`, nil}), `"..\\x"`, "this name"},
		"a folder":               {raw(t, zip.Store, 0, file{"messages/", nil}), `"messages/"`, "this name"},
		"compressed":             {raw(t, zip.Deflate, 1<<40, file{"a", bytes.Repeat([]byte{0}, 100)}), "a", "compressed"},
		"larger than it is":      {raw(t, zip.Store, 1<<40, file{"a", []byte("x")}), "a", "cannot be"},
		"written by another one": {raw(t, zip.Store, 0, files...), files[0].name, "not as the ledger writes it"},
	} {
		v := Verify(tt.zip, keys)
		if v.Holds || len(v.Faults) == 0 || v.Faults[0].Where != tt.where || !strings.Contains(v.Faults[0].Problem, tt.what) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	var overlapping bytes.Buffer // two entries of the directory share their bytes, as in a bomb
	one := raw(t, zip.Store, 0, file{"a", bytes.Repeat([]byte("x"), 1000)})
	overlapping.Write(one)
	if v := Verify(overlapping.Bytes(), keys); v.Holds {
		t.Error("no manifest, and it holds")
	}
}

func TestAnotherKeyDoesNotVerify(t *testing.T) {
	key, other, stranger := newKey(t, ledgerID), newKey(t, ledgerID), newKey(t, uuid.MustParse("0198c9a4-0000-7000-8000-000000000002"))
	b := made(t, key, true)
	nothing := func(map[string][]byte, *manifest) {}
	both, err := proof.ParseKeys(key.String() + "\n" + stranger.String())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		zip  []byte
		keys proof.Keys
		what string
	}{
		"another key of this ledger":              {b, keysOf(t, other), "another key"},
		"another ledger's key":                    {b, keysOf(t, stranger), "another key"},
		"signed again by another key":             {resigned(t, b, other, nothing), keysOf(t, key), "another key"},
		"signed again by another ledger":          {resigned(t, b, stranger, nothing), keysOf(t, key), "another key"},
		"signed again by another, which is known": {resigned(t, b, stranger, nothing), both, "signed by the key of"},
	} {
		v := Verify(tt.zip, tt.keys)
		if v.Holds || len(v.Faults) != 1 || v.Faults[0].Where != manifestName || !strings.Contains(v.Faults[0].Problem, tt.what) || v.Payment != "" {
			t.Errorf("%s: %+v", name, v)
		}
	}
	// A key that has signed the manifest but not the checkpoint within.
	v := Verify(resigned(t, b, other, nothing), keysOf(t, other))
	if v.Holds || v.Faults[0].Where != inclusionName {
		t.Errorf("the checkpoint of another key: %+v", v)
	}
}

// TestTheLedgerCannotTellAnotherStory: not even who holds the key can sign a pack whose parts do not follow from the records.
func TestTheLedgerCannotTellAnotherStory(t *testing.T) {
	key := newKey(t, ledgerID)
	clear, masked := made(t, key, false), made(t, key, true)
	swap := func(name, old, new string) func(map[string][]byte, *manifest) {
		return func(files map[string][]byte, _ *manifest) {
			if !bytes.Contains(files[name], []byte(old)) {
				t.Fatalf("%s has no %q:\n%s", name, old, files[name])
			}
			files[name] = bytes.Replace(files[name], []byte(old), []byte(new), 1)
		}
	}
	for name, tt := range map[string]struct {
		zip    []byte
		change func(map[string][]byte, *manifest)
		where  string
	}{
		"an amount in the timeline": {clear, swap(timelineName, "1000.00", "9000.00"), timelineName},
		"a word in the table":       {clear, swap(tableName, "payout.succeeded", "payout.failed   "), tableName},
		"a posting":                 {clear, swap(postingsName, "1010.00", "1011.00"), postingsName},
		"who decided":               {clear, swap(actionsName, "asha, ravi", "asha, rani"), actionsName},
		"the status":                {clear, swap(summaryName, "refunded", "success"), summaryName},
		"the UTR":                   {clear, swap(summaryName, "632616000002", "632616000003"), summaryName},
		"a balance":                 {clear, swap(balancesName, "3990.00", "9990.00"), balancesName},
		"all balances": {clear, func(f map[string][]byte, _ *manifest) {
			f[balancesName] = bytes.ReplaceAll(f[balancesName], []byte("5000.00"), []byte("6000.00"))
		}, balancesName},
		"an opened body":                {clear, swap("messages/0-4-0.json", `"amount":1000`, `"amount":9000`), "messages/0-4-0.json"},
		"the length of another message": {clear, swap("messages/0-7-0.json", "paid", "not paid"), "messages/0-7-0.json"},
		"sealed bytes":                  {clear, swap("messages/0-7-0.sealed", "paid", "pail"), "messages/0-7-0.sealed"},
		"a digest":                      {clear, swap(indexName, `"digest": "`, `"digest": "0`), indexName},
		"a media type":                  {clear, swap(indexName, `"application/pdf"`, `"application/png"`), "messages/0-8-0.sealed"},
		"the key of a commitment":       {clear, swap(indexName, `"commitment_key": "07`, `"commitment_key": "08`), "messages/0-4-0.json"},
		"a commitment's key elsewhere":  {clear, swap(indexName, `"commitment_key": "07`, `"commitment_key": "", "x": "07`), indexName},
		"a message as erased":           {clear, swap(indexName, `"as_is"`, `"erased"`), indexName},
		"a masked one where none is":    {clear, swap(indexName, `"as_is"`, `"masked"`), indexName},
		"the party as masked":           {clear, swap(personalName, `"as_is"`, `"masked"`), personalName},
		"masked where the log says not": {clear, func(_ map[string][]byte, m *manifest) { m.masked = true }, manifestName},
		"clear where the log says not":  {masked, func(_ map[string][]byte, m *manifest) { m.masked = false }, manifestName},
		"another payment":               {clear, func(_ map[string][]byte, m *manifest) { m.payment = "txn_0" }, inclusionName},
		"another merchant":              {clear, func(_ map[string][]byte, m *manifest) { m.merchant = "mer_b" }, manifestName},
		"another time":                  {clear, func(_ map[string][]byte, m *manifest) { m.at = m.at.Add(time.Hour) }, manifestName},
		"a checkpoint beside":           {clear, swap(checkpointName, " 10 ", " 11 "), checkpointName},
		"a record":                      {clear, swap(inclusionName, `\"1000.00\"`, `\"9000.00\"`), inclusionName},
		"a file more":                   {clear, func(f map[string][]byte, _ *manifest) { f["messages/0-9-9.txt"] = []byte("x") }, "messages/0-9-9.txt"},
		"a file less":                   {clear, func(f map[string][]byte, _ *manifest) { delete(f, answersName) }, manifestName},
		"a field too many":              {clear, swap(callbacksName, `"callbacks":`, `"more": 1, "callbacks":`), callbacksName},
		"a party left out": {clear, func(f map[string][]byte, _ *manifest) {
			altered(t, f, personalName, func(p *personalFile) { p.Parties = []known{} })
		}, personalName},
		"a message left out": {clear, func(f map[string][]byte, _ *manifest) {
			altered(t, f, indexName, func(x *indexFile) { x.Messages = x.Messages[1:] })
		}, indexName},
	} {
		v := Verify(resigned(t, tt.zip, key, tt.change), keysOf(t, key))
		if v.Holds || len(v.Faults) == 0 || !slices.ContainsFunc(v.Faults, func(f Fault) bool { return f.Where == tt.where }) {
			t.Errorf("%s: want a fault of %s, got %+v", name, tt.where, v)
		}
	}
	for name, change := range map[string]func(map[string][]byte, *manifest){
		pdfName: swap(pdfName, "Dispute pack", "Dispute puck"), readmeName: swap(readmeName, "DOES NOT PROVE", "PROVES, TOO"),
	} {
		v := Verify(resigned(t, clear, key, change), keysOf(t, key))
		if !v.Holds || !strings.Contains(strings.Join(v.DoesNotProve, "\n"), name+" is the ledger's signed word") {
			t.Errorf("%s, which this program would not write so: %+v", name, v)
		}
	}
}

// TestWhatIsNoPackIsNotMade names what is wrong with the source.
func TestWhatIsNoPackIsNotMade(t *testing.T) {
	key := newKey(t, ledgerID)
	for name, tt := range map[string]struct {
		seqs   []int64
		change func(*Source)
		want   string
	}{
		"without the opening":     {[]int64{4, 5, 7, 8}, nil, "no record of the opening"},
		"with another's record":   {[]int64{4, 5, 6, 7, 8, 9}, nil, "record 0:6: it is about"},
		"out of order":            {[]int64{5, 4, 7, 8, 9}, nil, "record 0:4 is out of order"},
		"without the first":       {[]int64{5, 7, 8, 9}, nil, "is no payin and no payout"},
		"of an adjustment":        {[]int64{1, 9}, func(s *Source) { s.Payment = "txn_0" }, "not the opening of this payment's data"},
		"masked against the log":  {[]int64{4, 5, 7, 8, 9}, func(s *Source) { s.Masked = false }, "the log says otherwise"},
		"a message short":         {[]int64{4, 5, 7, 8, 9}, func(s *Source) { s.Messages = s.Messages[:2] }, "record 0:7: its message 0 is not there"},
		"a message too many":      {[]int64{4, 5, 7, 8, 9}, func(s *Source) { s.Messages = append(s.Messages, s.Messages[0]) }, "which has none"},
		"another sealed message":  {[]int64{4, 5, 7, 8, 9}, func(s *Source) { s.Messages[0].Sealed = []byte("x") }, "messages/0-4-0.sealed"},
		"balances that do not go": {[]int64{4, 5, 7, 8, 9}, func(s *Source) { s.Balances[1].Before.Locked = "1.00" }, "0:5 leads from"},
		"no balances":             {[]int64{4, 5, 7, 8, 9}, func(s *Source) { s.Balances = nil }, "balances of 0:4 are missing"},
	} {
		l, _ := payout(t, true)
		src := l.source(key, true, tt.seqs...)
		if tt.change != nil {
			tt.change(src)
		}
		if _, _, err := Build(src, key); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestADocumentIsTied: the record says what the SHA-256 of a document of evidence is.
func TestADocumentIsTied(t *testing.T) {
	key := newKey(t, ledgerID)
	for document, holds := range map[string]bool{"the bill": true, "the bell": false, "the bill, through the API": true} {
		document, api := strings.CutSuffix(document, ", through the API")
		request, origin := "", jsonMessage(`{"command":"dispute evidence"}`)
		if api { // the record knows the request that brought the document, of which only the document is kept
			request, origin.MediaType = strings.Repeat("ab", 32), originType
		}
		l := &log{t: t, opened: map[int64][][]byte{}}
		of := wallet.Of{Merchant: shop, Currency: money.INR, Payment: txn}
		price := wallet.Priced{Amount: inr("1000"), Commission: inr("10"), Tax: inr("0")}
		l.wallet("key:key_1", &wallet.PayinCreated{Of: of, Priced: price, OrderID: "O", Gateway: "sandbox", ExpiresAt: noon}, "")
		l.wallet("gateway:sandbox", &wallet.PayinSucceeded{Of: of, Priced: price, Gateway: "sandbox", PaymentID: "pay_1", UTR: "1"}, "", jsonMessage(`{}`))
		sum := sha256.Sum256([]byte("the bill"))
		l.wallet("asha", &wallet.DisputeEvidence{Of: of, Dispute: "dsp_1", Kind: "billing_proof", Size: 8, Digest: hex.EncodeToString(sum[:]), Actor: "asha"}, request,
			origin, eventstore.Evidence{MediaType: "text/plain", Body: []byte(document)})
		opening := &merchant.DataOpened{Of: merchant.Of{Merchant: shop, Actor: "asha"}, Transaction: txn, Purpose: merchant.PurposePack, Unmasked: true, Reason: "r"}
		data, err := merchant.Encode(opening)
		l.add(merchant.Stream(shop), shop, "asha", opening, data, err, "")
		src := l.source(key, false, 1, 2, 3, 4)
		src.Personal = nil
		b, _, err := Build(src, key)
		if !holds {
			if err == nil || !strings.Contains(err.Error(), "messages/0-3-1.txt: it is not the document that was attached") {
				t.Errorf("another document: %v", err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if v := Verify(b, keysOf(t, key)); !v.Holds || !strings.Contains(strings.Join(v.Proves, "\n"), "1 request body or document is shown as received") {
			t.Errorf("%+v", v)
		}
	}
}

// TestTheKeyOfACommitmentIsNotGivenWithStars: who had the key beside a masked request could try out what the stars stand for.
func TestTheKeyOfACommitmentIsNotGivenWithStars(t *testing.T) {
	key := newKey(t, ledgerID)
	for _, masked := range []bool{true, false} {
		if given := bytes.Contains(made(t, key, masked), []byte(hex.EncodeToString(requestKey))); given == masked {
			t.Errorf("masked %v: the key is given: %v", masked, given)
		}
	}
}

// TestRequestsOfOldRecords: a record that is older than commitments has the SHA-256 of its request; a pack of it holds, and ties the request to it.
func TestRequestsOfOldRecords(t *testing.T) {
	key := newKey(t, ledgerID)
	l, seqs := payout(t, false)
	src := l.source(key, false, seqs...)
	at := slices.IndexFunc(src.Messages, func(m Message) bool { return m.Position.Seq == 4 })
	sum := sha256.Sum256(src.Messages[at].Opened)
	old := &log{t: t, opened: l.opened}
	for i := range l.records {
		r := l.records[i]
		if r.Seq == 4 {
			r.Meta = eventstore.Meta{Command: "c", Actor: "key:key_maker", Request: "req_1", BodyHash: hex.EncodeToString(sum[:])}.Bytes()
		}
		head := eventstore.Head{Hash: eventstore.Genesis(ledgerID, 0)}
		if i > 0 {
			last := &old.records[i-1]
			head = eventstore.Head{Seq: last.Seq, Hash: last.Hash, RecordedAt: last.RecordedAt}
		}
		one := []eventstore.Record{r}
		eventstore.Chain(head, one)
		old.records = append(old.records, one[0])
	}
	b, _, err := Build(old.source(key, false, seqs...), key)
	if err != nil {
		t.Fatal(err)
	}
	if v := Verify(b, keysOf(t, key)); !v.Holds || !strings.Contains(strings.Join(v.Proves, "\n"), "1 request body or document is shown as received") {
		t.Errorf("%+v", v)
	}
	src = old.source(key, false, seqs...)
	src.Messages[at].Opened = bytes.Replace(src.Messages[at].Opened, []byte("9876543210"), []byte("9876543211"), 1)
	if _, _, err := Build(src, key); err == nil || !strings.Contains(err.Error(), "another SHA-256") {
		t.Errorf("another body: %v", err)
	}
}

func TestErasedDataIsNoted(t *testing.T) {
	key := newKey(t, ledgerID)
	l, seqs := payout(t, false)
	src := l.source(key, false, seqs...)
	for i := range src.Messages {
		src.Messages[i].Opened, src.Messages[i].Erased = nil, true
	}
	src.Personal[0].Opened, src.Personal[0].Erased = nil, true
	b, _, err := Build(src, key)
	if err != nil {
		t.Fatal(err)
	}
	v := Verify(b, keysOf(t, key))
	if !v.Holds || !strings.Contains(strings.Join(v.DoesNotProve, "\n"), "5 erased messages said: the key was erased for ever") {
		t.Errorf("%+v", v)
	}
	files, _ := unpack(b)
	for _, f := range files {
		if f.name == readmeName && !bytes.Contains(f.body, []byte("5 messages were erased for ever")) || f.name == pdfName && !bytes.Contains(f.body, []byte("erased for ever")) {
			t.Errorf("%s says nothing of it:\n%s", f.name, f.body)
		}
	}
}

// TestTheSummaryDoesNotMangleNames: a name in Devanagari cannot be drawn; the page says so and where it stands.
func TestTheSummaryDoesNotMangleNames(t *testing.T) {
	files, wrong := unpack(made(t, newKey(t, ledgerID), false))
	if wrong != nil {
		t.Fatal(wrong)
	}
	for _, f := range files {
		if f.name == pdfName && (!bytes.Contains(f.body, []byte("[11 characters of Devanagari: see summary.json]")) || bytes.Contains(f.body, []byte("??"))) {
			t.Error("the PDF does not say where the name is to be read")
		}
		if f.name == summaryName && !bytes.Contains(f.body, []byte(hindi)) {
			t.Error("summary.json does not have the name")
		}
	}
	for s, want := range map[string]string{
		"Müller & Söhne": "M\xfcller & S\xf6hne", "a\tb": "a b", "": "", "₹5": "[1 characters of another script: see summary.json]5",
		"a " + hindi + " b": "a [11 characters of Devanagari: see summary.json] b", "山田 太郎": "[5 characters of Han: see summary.json]",
	} {
		if got := written(s); got != want {
			t.Errorf("%q is written %q", s, got)
		}
	}
}

var update = flag.Bool("update", false, "write the stored packs anew: only together with a new Format")

// TestStoredPacksHold: what was given out once must hold for ever, under the same Format.
func TestStoredPacksHold(t *testing.T) {
	if *update {
		key := newKey(t, ledgerID)
		for name, masked := range map[string]bool{"masked.v2.zip": true, "clear.v2.zip": false} {
			if err := os.WriteFile("testdata/"+name, made(t, key, masked), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile("testdata/key.v2.txt", []byte(key.String()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"masked.v1.zip", "clear.v1.zip", "masked.v2.zip", "clear.v2.zip"} {
		text, err := os.ReadFile("testdata/key." + strings.Split(name, ".")[1] + ".txt")
		if err != nil {
			t.Fatal(err)
		}
		keys, err := proof.ParseKeys(string(text))
		if err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile("testdata/" + name)
		if err != nil {
			t.Fatal(err)
		}
		v := Verify(b, keys)
		if !v.Holds || v.Masked == slices.Contains(v.Proves, "1 request body or document is shown as received: the record has its SHA-256, or commits to it.") {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func TestSealed(t *testing.T) {
	for want, fact := range map[string]wallet.Event{"a": &wallet.PayinCreated{Sealed: "a"}, "b": &wallet.PayoutInitiated{Sealed: "b"}, "": &wallet.PayinExpired{}} {
		if got := Sealed(fact); got != want {
			t.Errorf("%T: %q", fact, got)
		}
	}
}

func TestTooLargeIsRefused(t *testing.T) {
	if _, err := archive([]file{{"a", make([]byte, MaxBytes)}}, noon); err == nil || !strings.Contains(fmt.Sprint(err), "too large") {
		t.Error(err)
	}
	if v := Verify(make([]byte, MaxBytes+1), proof.Keys{}); v.Holds || v.Faults[0].Where != whole {
		t.Errorf("%+v", v)
	}
}
