package pack

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/khata-ledger/khata/eventstore/proof"
)

// Format names the shape of the file. Whatever is made from records is made alike for ever under one name.
const Format = "khata-ledger/dispute-pack/2"

// formatPlain is that of packs whose records have the SHA-256 of requests in clear: those of the present format differ from it in that an opened
// request comes with the key of its record's commitment, where the record has one. They are read for ever, too.
const formatPlain = "khata-ledger/dispute-pack/1"

// Names of files.
const (
	manifestName   = "manifest.txt"
	readmeName     = "README.txt"
	pdfName        = "summary.pdf"
	summaryName    = "summary.json"
	timelineName   = "timeline.json"
	tableName      = "timeline.txt"
	postingsName   = "postings.csv"
	actionsName    = "actions.json"
	callbacksName  = "callbacks.json"
	answersName    = "answers.json"
	balancesName   = "balances.json"
	personalName   = "personal.json"
	indexName      = "messages/index.json"
	inclusionName  = "proof/inclusion.json"
	checkpointName = "proof/checkpoint.txt"
	keyName        = "proof/key.txt"
	whole          = "the zip" // where a fault is of no one file
)

// always lists the files that every pack has, but the manifest.
func always() []string {
	return []string{
		readmeName, pdfName, summaryName, timelineName, tableName, postingsName, actionsName, callbacksName, answersName, balancesName, personalName,
		indexName, inclusionName, checkpointName, keyName,
	}
}

const timeLayout = "2006-01-02T15:04:05Z"

// manifest is what the ledger signs of a pack.
type manifest struct {
	format   string
	ledger   uuid.UUID
	payment  string
	merchant string
	at       time.Time // of the checkpoint
	masked   bool
	files    []listed
}

type listed struct {
	name string
	size int
	hash string // SHA-256, hexadecimal
}

func list(files []file) []listed {
	all := make([]listed, len(files))
	for i := range files {
		sum := sha256.Sum256(files[i].body)
		all[i] = listed{files[i].name, len(files[i].body), hex.EncodeToString(sum[:])}
	}
	return all
}

// text is what is signed.
func (m *manifest) text() string {
	var b strings.Builder
	data := "shown"
	if m.masked {
		data = "masked"
	}
	fmt.Fprintf(&b, "%s\nledger %s\npayment %s\nmerchant %s\ncheckpoint-time %s\npersonal-data %s\n",
		m.format, m.ledger, m.payment, m.merchant, m.at.UTC().Format(timeLayout), data)
	for _, f := range m.files {
		fmt.Fprintf(&b, "file %s %d %s\n", f.hash, f.size, f.name)
	}
	return b.String()
}

// parseManifest reads what text writes, and nothing else.
func parseManifest(text string) (m manifest, err error) {
	var values [5]string
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	names := []string{"ledger", "payment", "merchant", "checkpoint-time", "personal-data"}
	if m.format = lines[0]; m.format != Format && m.format != formatPlain {
		return m, fmt.Errorf("its format is %s; this program reads %s", printable(lines[0]), Format)
	}
	if len(lines) < len(names)+1 {
		return m, fmt.Errorf("it ends within its head")
	}
	for i, name := range names {
		value, is := strings.CutPrefix(lines[i+1], name+" ")
		if !is {
			return m, fmt.Errorf("line %d does not say the %s", i+2, name)
		}
		values[i] = value
	}
	if m.ledger, err = uuid.Parse(values[0]); err != nil {
		return m, fmt.Errorf("line 2: %s is no ledger's id", printable(values[0]))
	}
	m.payment, m.merchant, m.masked = values[1], values[2], values[4] == "masked"
	if m.at, err = time.Parse(timeLayout, values[3]); err != nil {
		return m, fmt.Errorf("line 5: %s is no time", printable(values[3]))
	}
	for i, line := range lines[len(names)+1:] {
		part := strings.SplitN(line, " ", 4)
		if len(part) != 4 || part[0] != "file" || !validName(part[3]) {
			return m, fmt.Errorf("line %d names no file", i+len(names)+2)
		}
		size, err := strconv.Atoi(part[2])
		if err != nil {
			return m, fmt.Errorf("line %d: %s is no size", i+len(names)+2, printable(part[2]))
		}
		m.files = append(m.files, listed{part[3], size, part[1]})
	}
	if m.text() != text {
		return m, fmt.Errorf("it is not as the ledger writes it")
	}
	return m, nil
}

// Signer signs manifests; *proof.SigningKey is one.
type Signer interface {
	// SignStatement signs a text that is no checkpoint.
	SignStatement(text string) ([]byte, error)
	// String is the public key.
	String() string
}

var _ Signer = (*proof.SigningKey)(nil)
