package pack

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/khata-ledger/khata/eventstore"
	"github.com/khata-ledger/khata/eventstore/proof"
	"github.com/khata-ledger/khata/eventstore/vault"
)

// documents are what of a pack does not follow from its records.
type documents struct {
	format       string
	masked       bool
	merchantName string
	steps        []Step
	index        indexFile
	personal     personalFile
	callbacks    callbacksFile
	answers      answersFile
}

type (
	indexFile struct {
		Messages []indexed `json:"messages"`
	}
	callbacksFile struct {
		Callbacks []Callback `json:"callbacks"`
	}
	answersFile struct {
		Answers []Answer `json:"answers"`
	}
	balancesFile struct {
		Wallet string `json:"wallet"`
		Events []Step `json:"events"`
	}
)

// Receipt says what a pack holds.
type Receipt struct {
	Files        int
	Records      int
	Messages     int
	Masked       bool
	CheckpointAt time.Time
	Opened       eventstore.Position // of the record that says so
}

// Build makes a pack and signs it. Equal sources give equal bytes. It checks what it writes as Verify does, so that a pack which does not hold is an error here:
// of the store, or of this program. ErrTooLarge.
func Build(src *Source, key Signer) ([]byte, Receipt, error) {
	keys, err := proof.ParseKeys(key.String())
	if err != nil {
		return nil, Receipt{}, err
	}
	signed, c, records, verdict := proof.OpenInclusion(src.Inclusion, keys)
	if !verdict.Holds {
		return nil, Receipt{}, fmt.Errorf("the inclusion proof of %s does not hold: %v", src.Payment, verdict.Faults)
	}
	s, err := tell(src.Payment, records)
	if err != nil {
		return nil, Receipt{}, err
	}
	if s.opening.Unmasked == src.Masked {
		return nil, Receipt{}, errors.New("the log says otherwise whether personal data is masked")
	}
	d, files, err := gather(src, s)
	if err != nil {
		return nil, Receipt{}, err
	}
	derived, err := s.derive(d, &c)
	if err != nil {
		return nil, Receipt{}, err
	}
	files = append(files, derived...)
	files = append(files, file{inclusionName, src.Inclusion}, file{checkpointName, []byte(signed)}, file{keyName, []byte(key.String() + "\n")})
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.name, b.name) })
	m := manifest{format: Format, ledger: c.Ledger, payment: src.Payment, merchant: s.payment.Merchant, at: c.At, masked: src.Masked, files: list(files)}
	statement, err := key.SignStatement(m.text())
	if err != nil {
		return nil, Receipt{}, err
	}
	zip, err := archive(append(files, file{manifestName, statement}), c.At)
	if err != nil {
		return nil, Receipt{}, err
	}
	if v := Verify(zip, keys); !v.Holds {
		return nil, Receipt{}, fmt.Errorf("the pack does not hold: %s: %s", v.Faults[0].Where, v.Faults[0].Problem)
	}
	return zip, Receipt{
		Files: len(files) + 1, Records: len(records), Messages: len(d.index.Messages), Masked: src.Masked, CheckpointAt: c.At, Opened: s.openedAt(),
	}, nil
}

func (s *story) openedAt() eventstore.Position {
	for i := range s.entries {
		if s.entries[i].part == ofOpening {
			return s.entries[i].record.Position()
		}
	}
	return eventstore.Position{}
}

// gather masks what has to be, and writes what does not follow from the records.
func gather(src *Source, s *story) (*documents, []file, error) {
	d := &documents{format: Format, masked: src.Masked, merchantName: src.MerchantName, steps: src.Balances}
	m := newMasker(src.Personal)
	files, err := d.messages(src, s, m)
	if err != nil {
		return nil, nil, err
	}
	d.personal.Parties = []known{}
	for i := range src.Personal {
		k, err := d.party(&src.Personal[i], s, m)
		if err != nil {
			return nil, nil, fmt.Errorf("record %s: %w", src.Personal[i].Position, err)
		}
		d.personal.Parties = append(d.personal.Parties, k)
	}
	d.callbacks.Callbacks = slices.Clone(src.Callbacks)
	for i := range d.callbacks.Callbacks {
		c := &d.callbacks.Callbacks[i]
		c.Body = d.shown(m, c.Body)
		c.Attempts = slices.Clone(c.Attempts)
		for j := range c.Attempts {
			c.Attempts[j].Answer = d.shown(m, c.Attempts[j].Answer)
		}
	}
	d.answers.Answers = slices.Clone(src.Answers)
	for i := range d.answers.Answers {
		d.answers.Answers[i].Body = d.shown(m, d.answers.Answers[i].Body)
	}
	if d.callbacks.Callbacks == nil {
		d.callbacks.Callbacks = []Callback{}
	}
	if d.answers.Answers == nil {
		d.answers.Answers = []Answer{}
	}
	return d, files, nil
}

// shown is a text of the queue as the pack shows it.
func (d *documents) shown(m masker, s string) string {
	if !d.masked || s == "" {
		return s
	}
	masked, ok := m.json([]byte(s))
	if !ok {
		return "(withheld)"
	}
	return strings.TrimSuffix(string(masked), "\n")
}

func (d *documents) party(p *Personal, s *story, m masker) (known, error) {
	k := known{Position: p.Position.String(), Shown: AsIs}
	for i := range s.entries {
		if s.entries[i].record.Position() == p.Position {
			k.Event = s.entries[i].record.Type
		}
	}
	switch {
	case p.Erased:
		k.Shown = Erased
		return k, nil
	case d.masked:
		k.Shown = Masked
		masked, err := m.maskedData(p.Opened)
		k.Data = masked
		return k, err
	case !json.Valid(p.Opened):
		return k, errors.New("the sealed part is no JSON")
	}
	k.Data = p.Opened
	return k, nil
}

// messages writes the messages of all records, and their index.
func (d *documents) messages(src *Source, s *story, m masker) (files []file, err error) {
	d.index.Messages = []indexed{}
	next := 0
	for i := range s.entries {
		r := &s.entries[i].record
		for n, digest := range r.EvidenceDigests {
			x := indexed{Position: r.Position().String(), Number: n, Event: r.Type, Digest: digest.String(), Shown: LeftOut}
			if s.entries[i].part != ofBatch {
				if next >= len(src.Messages) || src.Messages[next].Position != r.Position() || src.Messages[next].Number != n {
					return nil, fmt.Errorf("record %s: its message %d is not there", r.Position(), n)
				}
				files = append(files, d.message(&x, &src.Messages[next], s.entries[i].meta.BodyHash, m)...)
				next++
			}
			d.index.Messages = append(d.index.Messages, x)
		}
	}
	if next != len(src.Messages) {
		return nil, fmt.Errorf("there is a message of %s, which has none", src.Messages[next].Position)
	}
	return files, nil
}

// message writes one message, sealed and as it is shown. The key of what its record has committed to is given away only with the whole of the
// text that it is a commitment to: who had it beside a masked one could try out what the stars stand for.
func (d *documents) message(x *indexed, msg *Message, committed string, m masker) []file {
	name := fmt.Sprintf("messages/%d-%d-%d", msg.Position.Partition, msg.Position.Seq, msg.Number)
	x.MediaType, x.Sealed = msg.MediaType, name+".sealed"
	files := []file{{x.Sealed, msg.Sealed}}
	body := msg.Opened
	switch {
	case msg.Erased:
		x.Shown = Erased
		return files
	case d.masked:
		masked, ok := m.message(msg.MediaType, msg.Opened)
		if !ok {
			x.Shown = Withheld
			return files
		}
		if x.Shown, body = Masked, masked; bytes.Equal(masked, msg.Opened) {
			x.Shown = AsIs
		}
	default:
		x.Shown = AsIs
	}
	if sum := sha256.Sum256(body); x.Shown == AsIs && vault.Holds(msg.Key, committed, hex.EncodeToString(sum[:])) {
		x.Key = hex.EncodeToString(msg.Key)
	}
	x.File = name + extension(msg.MediaType, body)
	return append(files, file{x.File, body})
}

func extension(mediaType string, body []byte) string {
	base, _, err := mime.ParseMediaType(mediaType)
	switch {
	case err == nil && (base == "application/json" || strings.HasSuffix(base, "+json")):
		return ".json"
	case utf8.Valid(body):
		return ".txt"
	}
	return ".bin"
}

// derive writes what follows from the records and the documents, and the documents.
func (s *story) derive(d *documents, c *proof.Checkpoint) (files []file, err error) {
	lines, err := s.lines(d.steps)
	if err != nil {
		return nil, err
	}
	if _, err := s.checkSteps(d.steps); err != nil {
		return nil, err
	}
	actions, err := s.actions()
	if err != nil {
		return nil, err
	}
	sum := s.summary(d, c)
	for _, f := range []struct {
		name string
		of   any
	}{
		{timelineName, timelineFile{s.payment.Payment, lines}}, {actionsName, actions}, {summaryName, sum},
		{balancesName, balancesFile{s.stream(), d.steps}}, {indexName, d.index}, {personalName, d.personal},
		{callbacksName, d.callbacks}, {answersName, d.answers},
	} {
		body, err := encode(f.of)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", f.name, err)
		}
		files = append(files, file{f.name, body})
	}
	text, err := table(s.payment.Payment, lines)
	if err != nil {
		return nil, err
	}
	postings, err := s.postings()
	if err != nil {
		return nil, err
	}
	pdf, err := pdfOf(&sum, lines)
	if err != nil {
		return nil, fmt.Errorf("writing %s: %w", pdfName, err)
	}
	return append(files, file{tableName, text}, file{postingsName, postings}, file{readmeName, readme(&sum)}, file{pdfName, pdf}), nil
}

// stream is the wallet that the payment is of.
func (s *story) stream() string {
	for i := range s.entries {
		if s.entries[i].part == ofPayment {
			return s.entries[i].record.Stream
		}
	}
	return ""
}
