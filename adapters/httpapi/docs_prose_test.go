package httpapi

import "testing"

func TestProse(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", " \n", ""},
		{"paragraphs", "One `<a>` **b**.\n\nTwo.\n", "<p>One <code>&lt;a&gt;</code> <strong>b</strong>.</p><p>Two.</p>"},
		{"fenced code keeps its blank lines", "A:\n\n```\nif (a < b) {\n\n}\n```\n\nB", "<p>A:</p><pre><code>if (a &lt; b) {\n\n}</code></pre><p>B</p>"},
		{"code at the end", "```\nx\n```", "<pre><code>x</code></pre>"},
		{"code that is never closed", "```\nx", "<pre><code>x</code></pre>"},
		{"a table", "| a | b |\n|---|---|\n| `1` | x & y |\n\nC", `<div class="scroll"><table><tr><th>a</th><th>b</th></tr>` +
			`<tr><td><code>1</code></td><td>x &amp; y</td></tr></table></div><p>C</p>`},
	} {
		if got := string(prose(c.in)); got != c.want {
			t.Errorf("%s: %s\nwant %s", c.name, got, c.want)
		}
	}
}
