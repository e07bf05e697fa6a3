package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/khata-ledger/khata/domain/wallet"
	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// Verdict is what Verify found in a pack.
type Verdict struct {
	Holds        bool     `json:"holds"`
	Payment      string   `json:"payment,omitempty"` // where the manifest is the ledger's
	Merchant     string   `json:"merchant_id,omitempty"`
	Ledger       string   `json:"ledger,omitempty"`
	CheckpointAt string   `json:"checkpoint_at,omitempty"`
	Masked       bool     `json:"personal_data_masked"`
	Proves       []string `json:"proves"`         // in words; none where anything does not hold
	DoesNotProve []string `json:"does_not_prove"` // in words
	Faults       []Fault  `json:"faults"`
}

// Fault is something that does not hold.
type Fault struct {
	Where   string `json:"where"` // a file of the pack, or the zip
	Problem string `json:"problem"`
}

func (v *Verdict) fault(where, format string, args ...any) {
	v.Faults = append(v.Faults, Fault{where, fmt.Sprintf(format, args...)})
}

func (v *Verdict) prove(format string, args ...any) {
	v.Proves = append(v.Proves, fmt.Sprintf(format, args...))
}

// Verify checks a pack with public keys alone. It believes nothing of the pack but what they have signed, and of that nothing that does not follow.
func Verify(b []byte, keys proof.Keys) Verdict {
	v := Verdict{Proves: []string{}, DoesNotProve: []string{}, Faults: []Fault{}}
	p := v.open(b, keys)
	if len(v.Faults) == 0 {
		v.content(p, keys)
	}
	if v.Holds = len(v.Faults) == 0; !v.Holds {
		v.Proves, v.DoesNotProve = []string{}, []string{}
	}
	return v
}

// opened is a pack whose files are those that were signed.
type opened struct {
	manifest manifest
	files    map[string][]byte
	signer   string
}

// open checks that the zip has exactly the files of a signed manifest, and is written as the ledger writes it.
func (v *Verdict) open(b []byte, keys proof.Keys) *opened {
	files, wrong := unpack(b)
	if wrong != nil {
		v.Faults = append(v.Faults, *wrong)
		return nil
	}
	p := &opened{files: map[string][]byte{}}
	for _, f := range files {
		p.files[f.name] = f.body
	}
	statement, there := p.files[manifestName]
	if !there {
		v.fault(manifestName, "it is missing: this is no dispute pack, or not a whole one")
		return nil
	}
	text, signer, err := proof.OpenStatement(statement, keys)
	if err != nil {
		v.fault(manifestName, "%s", strings.Replace(err.Error(), proof.ErrUnsigned.Error(), "its signature does not hold", 1))
		return nil
	}
	if p.manifest, err = parseManifest(text); err != nil {
		v.fault(manifestName, "%v", err)
		return nil
	}
	m := &p.manifest
	if p.signer = signer; signer != proof.Origin(m.ledger) {
		v.fault(manifestName, "it is of ledger %s, and signed by the key of %s", m.ledger, signer)
		return nil
	}
	v.Payment, v.Merchant, v.Ledger, v.Masked = m.payment, m.merchant, m.ledger.String(), m.masked
	v.CheckpointAt = m.at.Format(timeLayout)
	v.compare(m, files, p.files)
	if len(v.Faults) > 0 {
		return nil
	}
	want, err := archive(slices.Clone(files), m.at)
	if err != nil {
		v.fault(whole, "%v", err)
		return nil
	}
	if !bytes.Equal(b, want) {
		slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
		v.Faults = append(v.Faults, differs(b, want, files))
	}
	return p
}

// compare holds the files against the manifest.
func (v *Verdict) compare(m *manifest, files []file, bodies map[string][]byte) {
	signed := map[string]bool{manifestName: true}
	for _, l := range m.files {
		if signed[l.name] {
			v.fault(manifestName, "it names %s twice", l.name)
		}
		signed[l.name] = true
		body, there := bodies[l.name]
		sum := sha256.Sum256(body)
		switch {
		case !there:
			v.fault(l.name, "it is missing")
		case len(body) != l.size:
			v.fault(l.name, "it has %d bytes, and had %d when it was signed", len(body), l.size)
		case hex.EncodeToString(sum[:]) != l.hash:
			v.fault(l.name, "it was altered: its SHA-256 is not the one that was signed")
		}
	}
	for _, f := range files {
		if !signed[f.name] {
			v.fault(f.name, "it is no part of the pack: nobody has signed it")
		}
	}
	for _, name := range always() {
		if !signed[name] {
			v.fault(manifestName, "it does not name %s, which every pack has", name)
		}
	}
}

// content checks that what the ledger has signed follows from the records.
func (v *Verdict) content(p *opened, keys proof.Keys) {
	signed, c, records, verdict := proof.OpenInclusion(p.files[inclusionName], keys)
	for _, f := range verdict.Faults {
		v.fault(inclusionName, "%s: %s", f.Where, f.Problem)
	}
	if len(verdict.Faults) > 0 {
		return
	}
	switch {
	case verdict.Kind != "inclusion":
		v.fault(inclusionName, "it is no inclusion proof")
		return
	case signed != string(p.files[checkpointName]):
		v.fault(checkpointName, "it is not the checkpoint that the records lead to")
	case c.Ledger != p.manifest.ledger || !c.At.Equal(p.manifest.at):
		v.fault(manifestName, "it is of another ledger or time than the checkpoint")
	}
	s, err := tell(p.manifest.payment, records)
	if err != nil {
		v.fault(inclusionName, "%v", err)
		return
	}
	if s.payment.Merchant != p.manifest.merchant || s.opening.Unmasked == p.manifest.masked {
		v.fault(manifestName, "merchant or masking are not what the records say")
	}
	d := v.documents(p)
	if d == nil {
		return
	}
	neighbours, err := s.checkSteps(d.steps)
	if err != nil {
		v.fault(balancesName, "%v", err)
		return
	}
	tied := v.messages(p, s, d)
	v.parties(s, d)
	v.derived(p, s, d, &c)
	if len(v.Faults) == 0 {
		v.say(s, d, &c, tied, neighbours)
	}
}

// documents reads what does not follow from the records.
func (v *Verdict) documents(p *opened) *documents {
	d := &documents{format: p.manifest.format, masked: p.manifest.masked}
	var sum summary
	var steps balancesFile
	for _, f := range []struct {
		name string
		into any
	}{
		{summaryName, &sum}, {balancesName, &steps}, {indexName, &d.index}, {personalName, &d.personal}, {callbacksName, &d.callbacks}, {answersName, &d.answers},
	} {
		if err := decode(p.files[f.name], f.into); err != nil {
			v.fault(f.name, "%v", err)
		}
	}
	if len(v.Faults) > 0 {
		return nil
	}
	d.merchantName, d.steps = sum.MerchantName, steps.Events
	return d
}

func decode(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("it cannot be read: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something stands behind its end")
	}
	return nil
}

// ties are how messages are tied to their records.
type ties struct {
	sealed int // byte for byte what the record's digest is of
	bodies int // shown, and what the record has the SHA-256 of, or commits to: the body of a request, a document
	word   int // shown, on the ledger's word that the sealed bytes open to it
}

// sealOverhead is what sealing adds: version, key id, nonce and tag. See package vault.
const sealOverhead = 1 + 16 + 12 + 16

// messages checks the messages against the digests of the records.
func (v *Verdict) messages(p *opened, s *story, d *documents) (t ties) {
	used, next := map[string]bool{}, 0
	for i := range s.entries {
		e := &s.entries[i]
		for n, digest := range e.record.EvidenceDigests {
			if next >= len(d.index.Messages) {
				v.fault(indexName, "it ends before message %d of record %s", n, e.record.Position())
				return t
			}
			x := &d.index.Messages[next]
			next++
			if x.Position != e.record.Position().String() || x.Number != n || x.Event != e.record.Type || x.Digest != digest.String() {
				v.fault(indexName, "message %d of record %s is missing, or not the one that the record has", n, e.record.Position())
				return t
			}
			if e.part == ofBatch {
				if x.Shown != LeftOut || x.Sealed != "" || x.File != "" {
					v.fault(indexName, "message %d of record %s concerns the batch, and cannot be here", n, x.Position)
				}
				continue
			}
			used[x.Sealed], used[x.File] = true, true
			v.message(p, e, x, digest, &t)
		}
	}
	if next != len(d.index.Messages) {
		v.fault(indexName, "it names messages that no record has")
	}
	for name := range p.files {
		if strings.HasPrefix(name, "messages/") && name != indexName && !used[name] {
			v.fault(name, "it is no message of a record")
		}
	}
	return t
}

// message checks one message.
func (v *Verdict) message(p *opened, e *entry, x *indexed, digest eventstore.Hash, t *ties) {
	sealed, there := p.files[x.Sealed]
	kept := eventstore.Evidence{MediaType: x.MediaType, Body: sealed}
	if !there || kept.Digest() != digest {
		v.fault(x.Sealed, "it is not the message that record %s has a digest of", x.Position)
		return
	}
	t.sealed++
	body, there := p.files[x.File]
	switch x.Shown {
	case AsIs:
	case Masked, Withheld:
		if !p.manifest.masked {
			v.fault(indexName, "%s is masked or withheld in a pack that shows personal data", x.Sealed)
		}
	case Erased, LeftOut:
	}
	if shown := x.Shown == AsIs || x.Shown == Masked; shown != there || shown != (x.File != "") {
		v.fault(indexName, "what is shown of %s is not there, or should not be", x.Sealed)
		return
	}
	if x.Shown != AsIs {
		return
	}
	if len(body) != len(sealed)-sealOverhead {
		v.fault(x.File, "it has %d bytes, and %d were sealed", len(body), len(sealed)-sealOverhead)
		return
	}
	sum := sha256.Sum256(body)
	switch said := hex.EncodeToString(sum[:]); {
	case said == e.meta.BodyHash || said == documentHash(e) || opens(x.Key, e.meta.BodyHash, said):
		t.bodies++
	case x.Key != "":
		v.fault(x.File, "it is not the body that was received: record %s commits to another one, or under another key", x.Position)
	case e.meta.BodyHash != "" && !vault.IsCommitment(e.meta.BodyHash) && x.Number == 0 && len(e.record.EvidenceDigests) > 1 && x.MediaType != originType:
		// an API's request comes first, then its origin
		v.fault(x.File, "it is not the body that was received: record %s has another SHA-256 of it", x.Position)
	case documentHash(e) != "" && x.Number == len(e.record.EvidenceDigests)-1: // a document comes last
		v.fault(x.File, "it is not the document that was attached: record %s has another SHA-256 of it", x.Position)
	default:
		t.word++
	}
}

// originType is of what says where a request came from.
const originType = "application/vnd.khata.origin+json"

// opens tells whether a record commits to the digest of a body, under a key in hexadecimal.
func opens(key, committed, digest string) bool {
	b, err := hex.DecodeString(key)
	return err == nil && vault.Holds(b, committed, digest)
}

// documentHash is the SHA-256 of the document that a record says it attaches, in hexadecimal; "" for none.
func documentHash(e *entry) string {
	if attached, is := e.fact.(*wallet.DisputeEvidence); is {
		return attached.Digest
	}
	return ""
}

// parties checks that personal.json has the sealed part of each event that has one, and no other.
func (v *Verdict) parties(s *story, d *documents) {
	next := 0
	for i := range s.entries {
		if len(sealedPart(&s.entries[i])) == 0 {
			continue
		}
		at := s.entries[i].record.Position().String()
		if next >= len(d.personal.Parties) || d.personal.Parties[next].Position != at || d.personal.Parties[next].Event != s.entries[i].record.Type {
			v.fault(personalName, "the sealed part of record %s is missing", at)
			return
		}
		k := &d.personal.Parties[next]
		next++
		if (k.Shown == Erased) != (len(k.Data) == 0) || k.Shown != Erased && (k.Shown == Masked) != d.masked {
			v.fault(personalName, "the sealed part of record %s is not shown as the pack says", at)
		}
	}
	if next != len(d.personal.Parties) {
		v.fault(personalName, "it has sealed parts that no record has")
	}
}

// derived makes again what follows from the records, and compares.
func (v *Verdict) derived(p *opened, s *story, d *documents, c *proof.Checkpoint) {
	files, err := s.derive(d, c)
	if err != nil {
		v.fault(postingsName, "%v", err)
		return
	}
	for _, f := range files {
		switch {
		case bytes.Equal(f.body, p.files[f.name]):
		case f.name == pdfName || f.name == readmeName: // for people: their words may change from version to version
			v.DoesNotProve = append(v.DoesNotProve, f.name+" is the ledger's signed word: another version of the program has written it, so it was not compared with the records.")
		default:
			v.fault(f.name, "it is not what the records say")
		}
	}
}
