package httpapi

import (
	"errors"
	"fmt"
	"html/template"
	"iter"
	"strings"

	"go.yaml.in/yaml/v4"
)

// docReference is an OpenAPI description as the page shows it, in the description's own order.
type docReference struct {
	Title, Version string
	Intro          template.HTML
	Style          template.CSS
	At             Reference
	Others         []Reference
	Header         string // the one that authenticates
	HeaderText     template.HTML
	Groups         []docGroup
}

type docGroup struct {
	Name       string
	Text       template.HTML
	Operations []docOperation
}

// ID is the group's place on the page.
func (g docGroup) ID() string {
	return "group-" + strings.ReplaceAll(strings.ToLower(g.Name), " ", "-")
}

type docOperation struct {
	ID, Method, Path, Summary string
	Roles                     string // that may, where keys have roles
	Text                      template.HTML
	Parameters                []docField
	Body                      []docField
	BodyExample               string
	Answers                   []docAnswer
}

type docField struct {
	Name, In, Type string
	Required       bool
	Bounds         []string
	Text           template.HTML
}

type docAnswer struct {
	Status   string
	Good     bool
	Text     template.HTML
	Messages []string
	Fields   []docField
	Example  string
}

// docSpec reads the YAML as nodes: they keep the order of fields and the text of numbers (1000.00).
type docSpec struct{ root *yaml.Node }

func newReference(text []byte) (*docReference, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return nil, err
	}
	if len(doc.Content) != 1 {
		return nil, errors.New("it is empty")
	}
	s := docSpec{doc.Content[0]}
	var scheme docNode // the first, which is the only one
	for _, scheme = range s.at("components", "securitySchemes").pairs() {
		break
	}
	r := &docReference{
		Title: s.at("info", "title").text(), Version: s.at("info", "version").text(), Intro: prose(s.at("info", "description").text()),
		Header: scheme.at("name").text(), HeaderText: prose(scheme.at("description").text()),
	}
	for _, tag := range s.at("tags").items() {
		g := docGroup{Name: tag.at("name").text(), Text: prose(tag.at("description").text())}
		for path, methods := range s.at("paths").pairs() {
			g.Operations = append(g.Operations, s.tagged(g.Name, path, methods)...)
		}
		for _, methods := range s.at("webhooks").pairs() {
			g.Operations = append(g.Operations, s.tagged(g.Name, "your callback URL", methods)...)
		}
		r.Groups = append(r.Groups, g)
	}
	if len(r.Groups) == 0 {
		return nil, errors.New("it has no tags to group the operations by")
	}
	return r, nil
}

// tagged are the operations of a path whose first tag is the name.
func (s docSpec) tagged(name, path string, methods docNode) []docOperation {
	var out []docOperation
	for method, op := range methods.pairs() {
		if tags := op.at("tags").items(); len(tags) > 0 && tags[0].text() == name {
			out = append(out, s.operation(method, path, op))
		}
	}
	return out
}

func (s docSpec) at(path ...string) docNode { return docNode{s, s.root}.at(path...) }

func (s docSpec) operation(method, path string, op docNode) docOperation {
	o := docOperation{
		ID: op.at("operationId").text(), Method: strings.ToUpper(method), Path: path,
		Summary: op.at("summary").text(), Text: prose(op.at("description").text()),
	}
	var roles []string
	for _, role := range op.at("x-roles").items() {
		roles = append(roles, role.text())
	}
	o.Roles = strings.Join(roles, ", ")
	for _, p := range op.at("parameters").items() {
		f := p.at("schema").field(p.at("name").text(), p.at("required").text() == "true")
		f.In, f.Text = p.at("in").text(), prose(p.at("description").text())
		o.Parameters = append(o.Parameters, f)
	}
	body := op.at("requestBody", "content", "application/json")
	o.Body = body.at("schema").fields("")
	o.BodyExample = body.at("example").json("")
	for status, response := range op.at("responses").pairs() {
		media := response.at("content", "application/json")
		a := docAnswer{Status: status, Good: status[0] == '2', Text: prose(response.at("description").text()), Example: media.at("example").json("")}
		if a.Good {
			a.Fields = media.at("schema").fields("")
		} else {
			for _, m := range media.at("schema", "properties", "message", "enum").items() {
				a.Messages = append(a.Messages, m.text())
			}
		}
		o.Answers = append(o.Answers, a)
	}
	return o
}

// docNode is a YAML node with its document, so that it can follow references.
type docNode struct {
	spec docSpec
	n    *yaml.Node
}

// at goes down by names, following references on the way; an absent node when there is nothing.
func (n docNode) at(path ...string) docNode {
	for _, name := range path {
		next := n.own(name)
		if next.n == nil {
			next = n.target().own(name)
		}
		n = next
	}
	return n
}

// own is a member of the mapping itself.
func (n docNode) own(name string) docNode {
	if n.n != nil && n.n.Kind == yaml.MappingNode {
		for i := 0; i+1 < len(n.n.Content); i += 2 {
			if n.n.Content[i].Value == name {
				return docNode{n.spec, n.n.Content[i+1]}
			}
		}
	}
	return docNode{spec: n.spec}
}

// target is what the node's $ref points to.
func (n docNode) target() docNode {
	ref := n.own("$ref").text()
	if !strings.HasPrefix(ref, "#/") {
		return docNode{spec: n.spec}
	}
	return n.spec.at(strings.Split(ref[2:], "/")...)
}

func (n docNode) text() string {
	if n.n == nil || n.n.Kind != yaml.ScalarNode {
		return ""
	}
	return n.n.Value
}

func (n docNode) items() []docNode {
	if n.n == nil || n.n.Kind != yaml.SequenceNode {
		return nil
	}
	items := make([]docNode, len(n.n.Content))
	for i, c := range n.n.Content {
		items[i] = docNode{n.spec, c}
	}
	return items
}

// pairs goes through a mapping in order.
func (n docNode) pairs() iter.Seq2[string, docNode] {
	return func(yield func(string, docNode) bool) {
		if n.n == nil || n.n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.n.Content); i += 2 {
			if !yield(n.n.Content[i].Value, docNode{n.spec, n.n.Content[i+1]}) {
				return
			}
		}
	}
}

// fields flattens the properties of a schema: data.transaction.status.
func (n docNode) fields(prefix string) []docField {
	required := map[string]bool{}
	for _, r := range n.at("required").items() {
		required[r.text()] = true
	}
	var fields []docField
	for name, schema := range n.at("properties").pairs() {
		full := prefix + name
		switch {
		case schema.at("properties").n != nil:
			fields = append(fields, schema.fields(full+".")...)
		case schema.at("items", "properties").n != nil:
			fields = append(fields, schema.at("items").fields(full+"[].")...)
		default:
			fields = append(fields, schema.field(full, required[name]))
		}
	}
	return fields
}

// field describes one schema without properties.
func (n docNode) field(name string, required bool) docField {
	f := docField{Name: name, Required: required, Text: prose(n.at("description").text())}
	types := []string{n.at("type").text()}
	for _, t := range n.at("type").items() {
		types = append(types, t.text())
	}
	for _, one := range n.at("oneOf").items() {
		types = append(types, one.at("type").text())
	}
	f.Type = strings.Join(nonEmpty(types), " or ")
	if c := n.at("const"); c.n != nil {
		f.Bounds = append(f.Bounds, "always "+c.json(""))
	}
	var choices []string
	for _, e := range n.at("enum").items() {
		choices = append(choices, e.text())
	}
	if len(choices) > 0 {
		f.Bounds = append(f.Bounds, "one of "+strings.Join(choices, " | "))
	}
	for _, b := range []struct{ key, words string }{
		{"minimum", "at least "}, {"maximum", "at most "}, {"minLength", "characters at least "}, {"maxLength", "characters at most "},
		{"pattern", "matches "}, {"format", "format "}, {"default", "default "},
	} {
		if v := n.at(b.key).text(); v != "" {
			f.Bounds = append(f.Bounds, b.words+v)
		}
	}
	return f
}

func nonEmpty(all []string) []string {
	var kept []string
	for _, s := range all {
		if s != "" {
			kept = append(kept, s)
		}
	}
	return kept
}

// json shows a node as indented JSON, its numbers as they are written.
func (n docNode) json(indent string) string {
	switch {
	case n.n == nil:
		return ""
	case n.n.Kind == yaml.ScalarNode && n.n.ShortTag() == "!!str":
		return string(AppendString(nil, n.n.Value))
	case n.n.Kind == yaml.ScalarNode:
		return n.n.Value
	}
	var lines []string
	deeper := indent + "  "
	open, end := "{", "}"
	for name, v := range n.pairs() {
		lines = append(lines, fmt.Sprintf("%s%s: %s", deeper, AppendString(nil, name), v.json(deeper)))
	}
	if n.n.Kind == yaml.SequenceNode {
		open, end = "[", "]"
		for _, v := range n.items() {
			lines = append(lines, deeper+v.json(deeper))
		}
	}
	return open + "\n" + strings.Join(lines, ",\n") + "\n" + indent + end
}
