package lint

import (
	"fmt"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// size is about what etcd takes of one object, in bytes.
const size = 1 << 20

// pathological are sections of about the given size that cost a careless linter much
// more than others.
func pathological(size int) map[string]string {
	fill := func(unit string) string { return strings.Repeat(unit, size/len(unit)) }
	numbered := func(head, format, tail string) string {
		var b strings.Builder
		b.WriteString(head)
		for i := 0; b.Len() < size; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String() + tail
	}
	var groups, accounts strings.Builder
	for i := range 1000 {
		fmt.Fprintf(&groups, "g%d,", i)
	}
	for i := range 1000 {
		fmt.Fprintf(&accounts, "%012d,", i)
	}
	var big strings.Builder
	for i := range size / 20 {
		fmt.Fprintf(&big, "k%d: 1,", i)
	}
	head := "- rolearn: arn:aws:iam::111122223333:role/a\n  username: a\n"
	anchor := head + "  groups: &g [" + groups.String() + "]\n"
	return map[string]string{
		"good entries":           numbered("", "- rolearn: arn:aws:iam::111122223333:role/r%d\n  username: n:{{SessionName}}\n  groups: [a, b]\n", ""),
		"lines of one character": fill("a\n"),
		"empty items":            fill("-\n"),
		"comments":               fill("#\n"),
		"comments and items":     fill("- a\n#\n"),
		"a line of items":        "[" + fill("a,") + "a]",
		"wrong items":            fill("- a: 1\n"),
		"near-miss keys":         numbered(head, "  requireTemporary%08x: [a]\n", ""),
		"near-miss entries":      fill("- {rolearn: 'arn:aws:iam::111122223333:role/a', username: a, gruops: [a]}\n"),
		"long keys":              fill("- " + strings.Repeat("usernamegroups", 4) + ": 1\n"),
		"near-miss keys of many": numbered(anchor, "  requireTemporary%08x: *g\n", ""),
		"doubtful groups":        numbered(anchor, "- {rolearn: 'arn:aws:iam::111122223333:role/r%d', username: a, groups: *g}\n", ""),
		"forgeable names":        numbered("", "- {rolearn: 'arn:aws:iam::111122223333:role/r%d', username: '{{SessionName}}', groups: [system:maters, 'а']}\n", ""),
		"one principal":          fill("- {rolearn: 'arn:aws:iam::111122223333:role/a', username: a}\n"),
		"merged entries":         "- &b {" + big.String() + "}\n" + fill("- {<<: *b, rolearn: 'arn:aws:iam::111122223333:role/r'}\n"),
		"deep lists":             strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000),
		"deep items":             strings.Repeat("- ", 9_000) + "a",
		"look-alikes":            "- rolearn: " + strings.Repeat("а", size/2) + "\n  username: " + strings.Repeat("а", 500) + "\n",
		"patterns":               numbered("", "- {rolearn: 'arn:aws:iam::111122223333:role/r%d', username: a, sessionNamePattern: '([a-z]{9}|.{9})x x'}\n", ""),
		"accounts":               "- [" + accounts.String() + "]\n" + fill("- '111122223333'\n"),
	}
}

func TestFindingsAreBounded(t *testing.T) {
	const mistakes = 20_000
	text := strings.Repeat("-\n", mistakes)
	findings := Check("f", []byte(text), Options{})
	last := findings[len(findings)-1]
	if len(findings) != 1001 || last.Rule != string(moreFindings) || !strings.Contains(last.Message, fmt.Sprintf("%d more", mistakes-1000)) || last.Severity != Error {
		t.Errorf("%d findings, the last %+v", len(findings), last)
	}
	if n := len(Check("f", []byte(text), Options{MaxFindings: 5000})); n != 5001 {
		t.Errorf("%d findings, want 5001", n)
	}
}

// TestEffortIsBounded counts what the time is spent on: how much is asked again of the
// server's parser.
func TestEffortIsBounded(t *testing.T) {
	for name, section := range pathological(size / 16) {
		root, err := mapper.ParseYAML([]byte(section))
		if err != nil || root == nil {
			continue
		}
		c := newChecker(Options{BoundGroups: []string{}})
		c.bare(newText("f", []byte(section)), root)
		if c.asked > 2*maxAsked || len(c.findings) > 3*c.most() || len(c.near) > maxNear {
			t.Errorf("%s: %d nodes asked about, %d findings, %d suggestions", name, c.asked, len(c.findings), len(c.near))
		}
	}
}

// BenchmarkPathological shows that what a text costs depends on its size alone: ns/op
// of all should be within a small factor of that of good entries.
func BenchmarkPathological(b *testing.B) {
	for name, section := range pathological(size) {
		b.Run(strings.ReplaceAll(name, " ", "_"), func(b *testing.B) {
			b.SetBytes(int64(len(section)))
			for b.Loop() {
				CheckObject("f", map[string]any{"kind": "ConfigMap", "metadata": map[string]any{"name": "aws-auth", "namespace": "kube-system"},
					"data": map[string]any{"mapRoles": section}}, Options{BoundGroups: []string{"bound"}})
			}
		})
	}
}
