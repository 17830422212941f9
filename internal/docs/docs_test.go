package docs

import (
	"maps"
	"reflect"
	"slices"
	"testing"
)

func TestParse(t *testing.T) {
	d := Parse("docs/x.md", "# A `b` C, d!\n\nsee [this](y.md#z) and `[no](link)` <img src=\"p.svg\">\n\n```sh\n[no](link)\na \\\n  b\n```\n\n## [A b](x) c d\n")
	if got, want := slices.Sorted(maps.Keys(d.Anchors)), []string{"a-b-c-d", "a-b-c-d-1"}; !slices.Equal(got, want) {
		t.Errorf("anchors %q, want %q", got, want)
	}
	if want := []Link{{"y.md#z", 3}, {"p.svg", 3}, {"x", 11}}; !slices.Equal(d.Links, want) {
		t.Errorf("links %v, want %v", d.Links, want)
	}
	if want := []Line{{"b", 1}, {"[no](link)", 3}}; !slices.Equal(d.Spans, want) {
		t.Errorf("spans %v, want %v", d.Spans, want)
	}
	if want := []Line{{"[no](link)", 6}, {"a \n  b", 7}}; len(d.Blocks) != 1 || !slices.Equal(d.Blocks[0].Commands(), want) {
		t.Errorf("blocks %v, want %v", d.Blocks, want)
	}
}

func TestCommandsOfConsole(t *testing.T) {
	d := Parse("", "```console\n$ a 'b\nc'\nd\n$ e\n```\n")
	if got, want := d.Blocks[0].Commands(), []Line{{"a 'b\nc'", 2}, {"e", 5}}; !slices.Equal(got, want) {
		t.Errorf("commands %v, want %v", got, want)
	}
}

func TestSplit(t *testing.T) {
	for line, want := range map[string][][]string{
		`a b  c # d`:               {{"a", "b", "c"}},
		`A=1 a 'b c' "d e"'f' \g`:  {{"A=1", "a", "b c", "d ef", "g"}},
		`a | b && c; d`:            {{"a"}, {"b"}, {"c"}, {"d"}},
		`a "$(b c)" -x=$(d | e) f`: {{"b", "c"}, {"d"}, {"e"}, {"a", "$()", "-x=$()", "f"}},
		`a 'b#c' > d`:              {{"a", "b#c", ">", "d"}},
		"a\nb":                     {{"a"}, {"b"}},
		``:                         nil,
	} {
		if got, complete := Split(line); !complete || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %q, complete %v, want %q", line, got, complete, want)
		}
	}
	for _, line := range []string{`a 'b`, `a "b`, `a $(b`, `"$(a`} {
		if _, complete := Split(line); complete {
			t.Errorf("%s is complete", line)
		}
	}
}
