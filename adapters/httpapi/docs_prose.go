package httpapi

import (
	"html/template"
	"regexp"
	"strings"
)

// prose turns the little Markdown of descriptions into HTML: paragraphs, `code`, **bold**, fenced code, and tables whose lines
// begin with a bar.
func prose(s string) template.HTML {
	var b strings.Builder
	for s = strings.TrimSpace(s); s != ""; s = strings.TrimLeft(s, "\n") {
		if rest, fenced := strings.CutPrefix(s, "```\n"); fenced {
			code, after, _ := strings.Cut(rest, "\n```")
			b.WriteString("<pre><code>" + template.HTMLEscapeString(code) + "</code></pre>")
			s = after
			continue
		}
		block, after, _ := strings.Cut(s, "\n\n")
		if strings.HasPrefix(block, "|") {
			writeTable(&b, block)
		} else {
			b.WriteString("<p>" + inline(block) + "</p>")
		}
		s = after
	}
	return template.HTML(b.String()) //nolint:gosec // escaped above
}

// inline is text within a paragraph or cell.
func inline(s string) string {
	code, bold := regexp.MustCompile("`([^`]+)`"), regexp.MustCompile(`\*\*([^*]+)\*\*`)
	return bold.ReplaceAllString(code.ReplaceAllString(template.HTMLEscapeString(s), "<code>$1</code>"), "<strong>$1</strong>")
}

// writeTable writes a table: its heads, a line of dashes that is left out, its rows.
func writeTable(b *strings.Builder, block string) {
	b.WriteString(`<div class="scroll"><table>`)
	for i, line := range strings.Split(block, "\n") {
		if i == 1 {
			continue
		}
		cell := "td"
		if i == 0 {
			cell = "th"
		}
		b.WriteString("<tr>")
		for text := range strings.SplitSeq(strings.Trim(line, "| "), "|") {
			b.WriteString("<" + cell + ">" + inline(strings.TrimSpace(text)) + "</" + cell + ">")
		}
		b.WriteString("</tr>")
	}
	b.WriteString("</table></div>")
}
