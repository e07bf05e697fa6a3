package bankfile

import (
	"bufio"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"

	"github.com/khata-ledger/khata/domain/reconcile"
)

// Bounds of camt.053.
const (
	maxDepth   = 48       // of elements
	maxOutside = 64       // elements around the document
	tokenSlack = 16 << 10 // bytes of a tag, a comment or a text beyond Limits.Field
	camtSpace  = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
)

// readCAMT reads camt.053. There is neither a DTD nor an entity but XML's own five, and every token, depth and number is bounded.
func readCAMT(t *text, o *Options) (reconcile.Statement, error) {
	g := &guard{in: bufio.NewReaderSize(t, 64<<10), most: o.Limits.Field + tokenSlack}
	d := xml.NewDecoder(g)
	d.CharsetReader = func(string, io.Reader) (io.Reader, error) { return g, nil } // it is UTF-8 by now
	r := &camtReader{o: o, d: d, root: camtTree(), utrs: newUTRFinder(nil), spaces: map[string]string{}}
	for {
		g.used = 0
		token, err := d.RawToken()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return reconcile.Statement{}, r.malformed(err, g.err)
		}
		if err := r.take(token); err != nil {
			return reconcile.Statement{}, err
		}
	}
	switch {
	case len(r.names) > 0:
		return reconcile.Statement{}, fault(r.line(), r.names[len(r.names)-1], "is not ended: the file was cut off")
	case !r.done:
		return reconcile.Statement{}, fault(0, "", "the file has no element Document of camt.053")
	case len(r.pages) == 0:
		return reconcile.Statement{}, fault(0, "", "the file has no statement (BkToCstmrStmt/Stmt)")
	}
	return together(r.pages, o)
}

// guard bounds the bytes of one token, which the decoder keeps as a whole.
type guard struct {
	in         *bufio.Reader
	used, most int
	err        error // of the file, not of what stands in it
}

var errToken = errors.New("token too long")

// ReadByte is what the decoder reads by.
func (g *guard) ReadByte() (byte, error) {
	if g.used++; g.used > g.most {
		return 0, errToken
	}
	c, err := g.in.ReadByte()
	if err != nil && !errors.Is(err, io.EOF) {
		g.err = err
	}
	return c, err
}

func (g *guard) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := g.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}

// declared is the encoding that an XML declaration names, as Options.Encoding has it; "" for UTF-8, and for UTF-16, whose first bytes tell it.
func declared(head []byte) (string, error) {
	head = bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))
	if !bytes.HasPrefix(head, []byte("<?xml")) {
		return "", nil
	}
	declaration, _, _ := bytes.Cut(head, []byte("?>"))
	_, rest, found := strings.Cut(string(declaration), "encoding")
	if !found {
		return "", nil
	}
	name := strings.ToLower(strings.Trim(strings.TrimSpace(rest), "='\" \t\r\n"))
	if i := strings.IndexAny(name, "'\" "); i >= 0 {
		name = name[:i]
	}
	switch name {
	case "utf-8", "utf8", "us-ascii", "ascii", "":
		return "", nil
	case "iso-8859-1", "latin1", "windows-1252", "cp1252":
		return "windows-1252", nil
	case "utf-16", "utf-16le", "utf-16be":
		return "utf-16", nil // for newText to say that its first bytes are not
	}
	return "", fault(1, "encoding", "is %s: camt.053 is read in UTF-8, UTF-16, ISO-8859-1 and Windows-1252", shown(name))
}

// camtReader follows the elements of a file.
type camtReader struct {
	o    *Options
	d    *xml.Decoder
	root *element
	utrs *utrFinder

	names   []string          // of the open elements, from the file's first
	at      []*element        // of those within the document: nil where they are not known
	base    int               // how many stand around the document
	spaces  map[string]string // prefix -> namespace, of those around the document
	prefix  string            // of the document
	space   string
	outside int
	inside  bool // within the document
	done    bool // it has ended
	text    []byte
	ccy     string // attribute of the element

	page    *page
	stmt    statement
	balance balanceRead
	entry   entry
	tx      transaction
	entries int // of the file
	lines   int // likewise
	pages   []*page
}

func (r *camtReader) line() int {
	line, _ := r.d.InputPos()
	return line
}

// malformed says why the decoder could not go on.
func (r *camtReader) malformed(err, ofFile error) error {
	var syntax *xml.SyntaxError
	switch {
	case ofFile != nil:
		return ofFile
	case errors.Is(err, errToken):
		return fault(r.line(), r.open(), "has more than %d bytes", r.o.Limits.Field)
	case errors.As(err, &syntax):
		message := "is not well-formed XML"
		switch {
		case strings.Contains(syntax.Msg, "unexpected EOF"):
			message = "ends within its XML: the file was cut off"
		case strings.Contains(syntax.Msg, "entity"):
			message = "has an entity that XML does not know: none may be defined"
		}
		return fault(syntax.Line, r.open(), "%s", message)
	}
	return fault(r.line(), r.open(), "is not XML 1.0") // a version or an encoding in its declaration
}

// open is the element that is open, "" outside of all.
func (r *camtReader) open() string {
	if len(r.names) == 0 {
		return ""
	}
	return shown(r.names[len(r.names)-1])
}

// take takes one token.
func (r *camtReader) take(token xml.Token) error {
	switch t := token.(type) {
	case xml.StartElement:
		return r.start(t)
	case xml.EndElement:
		return r.end(t)
	case xml.CharData:
		return r.chars(t)
	case xml.Directive:
		return fault(r.line(), "", "has a DOCTYPE or another declaration: camt.053 has none, and none is read")
	}
	return nil // comments and processing instructions
}

func (r *camtReader) chars(t xml.CharData) error {
	if len(r.names) == 0 {
		if len(bytes.TrimSpace(bytes.TrimPrefix(t, []byte("\ufeff")))) > 0 {
			return fault(r.line(), "", "has text outside of all elements: the file is damaged")
		}
		return nil
	}
	node := r.node()
	if node == nil || node.is == none {
		return nil
	}
	if len(r.text)+len(t) > r.o.Limits.Field {
		return fault(r.line(), r.open(), "has more than %d bytes", r.o.Limits.Field)
	}
	r.text = append(r.text, t...)
	return nil
}

// node is the element that is open, nil when it is none that is read.
func (r *camtReader) node() *element {
	if !r.inside || len(r.at) == 0 {
		return nil
	}
	return r.at[len(r.at)-1]
}

func (r *camtReader) start(t xml.StartElement) error {
	switch {
	case len(r.names) == 0 && len(r.spaces) > 0, len(r.names) == 0 && r.done:
		return fault(r.line(), shown(t.Name.Local), "stands behind the end of the XML")
	case len(r.names) >= maxDepth:
		return fault(r.line(), shown(t.Name.Local), "is more than %d elements deep", maxDepth)
	}
	r.names = append(r.names, full(t.Name))
	r.text = r.text[:0]
	if !r.inside {
		return r.around(t)
	}
	var node *element
	if parent := r.node(); parent != nil {
		node = parent.within[t.Name.Local]
	}
	r.at = append(r.at, node)
	if node == nil {
		return nil
	}
	if node.is != none && node.within == nil {
		r.ccy = ""
	}
	if t.Name.Space != r.prefix {
		return fault(r.line(), shown(t.Name.Local), "is of another namespace than its document")
	}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "" && a.Name.Local == "Ccy":
			r.ccy = a.Value
		case (a.Name.Space == "" && a.Name.Local == "xmlns" && r.prefix == "" || a.Name.Space == "xmlns" && a.Name.Local == r.prefix) && a.Value != r.space:
			return fault(r.line(), shown(t.Name.Local), "is of another namespace than its document")
		}
	}
	return r.begin(node.is)
}

// around takes an element before the document, or the document itself.
func (r *camtReader) around(t xml.StartElement) error {
	if r.outside++; r.outside > maxOutside {
		return fault(r.line(), "", "the file has no element Document of camt.053")
	}
	for _, a := range t.Attr {
		switch {
		case a.Name.Space == "" && a.Name.Local == "xmlns":
			r.spaces[""] = a.Value
		case a.Name.Space == "xmlns":
			r.spaces[a.Name.Local] = a.Value
		}
	}
	if len(r.spaces) == 0 {
		r.spaces[""] = ""
	}
	if t.Name.Local != "Document" {
		return nil
	}
	if r.done {
		return fault(r.line(), "Document", "stands twice in the file")
	}
	r.prefix, r.space = t.Name.Space, r.spaces[t.Name.Space]
	version, ok := strings.CutPrefix(r.space, camtSpace)
	switch {
	case !ok && strings.Contains(r.space, "camt.05"), ok && (len(version) != 2 || !allDigits(version) || version < "02" || version > "13"):
		return fault(r.line(), "Document", "is of %s: what is read is camt.053.001.02 to camt.053.001.13", shown(r.space))
	case !ok:
		return fault(r.line(), "Document", "is not of the namespace %sNN", camtSpace)
	}
	r.inside, r.base, r.at = true, len(r.names), append(r.at[:0], r.root)
	return nil
}

// full is a name with its prefix.
func full(n xml.Name) string {
	if n.Space == "" {
		return n.Local
	}
	return n.Space + ":" + n.Local
}

func (r *camtReader) end(t xml.EndElement) error {
	n := len(r.names)
	if n == 0 || r.names[n-1] != full(t.Name) {
		return fault(r.line(), shown(t.Name.Local), "is ended, but was not begun")
	}
	if r.inside {
		node := r.node()
		if node != nil && node.is != none {
			if err := r.finish(node.is, strings.TrimSpace(string(r.text))); err != nil {
				return err
			}
		}
		r.at = r.at[:len(r.at)-1]
		if n == r.base {
			r.inside, r.done = false, true
		}
	}
	r.names, r.text = r.names[:n-1], r.text[:0]
	return nil
}
