package lint

import (
	"encoding/json"
	"strings"
	"testing"
)

var printed = []Finding{
	{Rule: "unknown-key", Severity: Error, Message: "100% wrong:\nkey", Suggestion: "did you mean \"groups\"?", File: "a b,c:d.yaml", Line: 3, Column: 7, Entry: "mapRoles[0]", Principal: "arn"},
	{Rule: "role-path", Severity: Info, Message: "a\x1b[31m path", File: "/etc/x.yaml", Line: 1, Column: 1},
}

func TestWriteGitHubEscapes(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "github", printed, "v1"); err != nil {
		t.Fatal(err)
	}
	const want = "::error file=a b%2Cc%3Ad.yaml,line=3,col=7,title=unknown-key::100%25 wrong:%0Akey%0Adid you mean \"groups\"?\n" +
		"::notice file=/etc/x.yaml,line=1,col=1,title=role-path::a\x1b[31m path\n"
	if b.String() != want {
		t.Errorf("got\n%q, want\n%q", b.String(), want)
	}
}

func TestWriteTextKeepsOneLinePerFindingAndTerminalsSafe(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "text", printed, "v1"); err != nil {
		t.Fatal(err)
	}
	const want = "a b,c:d.yaml:3:7: error: mapRoles[0]: 100% wrong:\ufffdkey [unknown-key]\n    did you mean \"groups\"?\n" +
		"/etc/x.yaml:1:1: info: a\ufffd[31m path [role-path]\n"
	if b.String() != want {
		t.Errorf("got\n%q, want\n%q", b.String(), want)
	}
}

func TestNothingThatATerminalObeysIsPrinted(t *testing.T) {
	for _, r := range "\x1b\u0085\u009b\u00ad\u061c\u200e\u202e\u2028\u2066\ufeff\U000e0041" {
		if got := printable("a" + string(r) + "b"); got != "a\ufffdb" {
			t.Errorf("%U: %q", r, got)
		}
	}
}

func TestWriteJSONHasStableKeys(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "json", printed[:1], "v1"); err != nil {
		t.Fatal(err)
	}
	const want = `{
  "findings": [
    {
      "rule": "unknown-key",
      "severity": "error",
      "message": "100% wrong:\nkey",
      "suggestion": "did you mean \"groups\"?",
      "file": "a b,c:d.yaml",
      "line": 3,
      "column": 7,
      "principal": "arn",
      "entry": "mapRoles[0]"
    }
  ],
  "errors": 1,
  "warnings": 0,
  "infos": 0
}
`
	if b.String() != want {
		t.Errorf("got\n%s", b.String())
	}
	b.Reset()
	if err := Write(&b, "json", nil, "v1"); err != nil || !strings.Contains(b.String(), `"findings": []`) {
		t.Errorf("without findings: %v, %s", err, b.String())
	}
}

// TestWriteSARIF checks what the schema of SARIF 2.1.0 requires of the parts that are
// used: sections 3.13, 3.14, 3.19, 3.27 and 3.30 of the specification.
func TestWriteSARIF(t *testing.T) {
	var b strings.Builder
	if err := Write(&b, "sarif", printed, "v1"); err != nil {
		t.Fatal(err)
	}
	var log struct {
		Schema  string `json:"$schema"`
		Version string
		Runs    []struct {
			ColumnKind string
			Tool       struct {
				Driver struct {
					Name, Version string
					Rules         []struct {
						ID                   string
						ShortDescription     struct{ Text string }
						DefaultConfiguration struct{ Level string }
					}
				}
			}
			Results []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	decoder := json.NewDecoder(strings.NewReader(b.String()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&log); err != nil {
		t.Fatal(err)
	}
	if log.Version != "2.1.0" || !strings.HasSuffix(log.Schema, "sarif-2.1.0.json") || len(log.Runs) != 1 {
		t.Fatalf("%s", b.String())
	}
	run := log.Runs[0]
	if run.ColumnKind != "unicodeCodePoints" || run.Tool.Driver.Name == "" || run.Tool.Driver.Version != "v1" || len(run.Tool.Driver.Rules) != len(Rules()) {
		t.Errorf("run %+v", run)
	}
	levels := map[string]bool{"error": true, "warning": true, "note": true}
	for _, r := range run.Tool.Driver.Rules {
		if r.ID == "" || r.ShortDescription.Text == "" || !levels[r.DefaultConfiguration.Level] {
			t.Errorf("rule %+v", r)
		}
	}
	uris := []string{"a%20b,c:d.yaml", "file:///etc/x.yaml"}
	for i, r := range run.Results {
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.RuleID != printed[i].Rule || !levels[r.Level] || r.Message.Text == "" || len(r.Locations) != 1 {
			t.Fatalf("result %+v", r)
		}
		at := r.Locations[0].PhysicalLocation
		if strings.TrimPrefix(at.ArtifactLocation.URI, "./") != uris[i] || at.Region.StartLine != printed[i].Line || at.Region.StartColumn != printed[i].Column {
			t.Errorf("location %+v", at)
		}
	}
}

func TestCounts(t *testing.T) {
	for want, n := range map[string]Counts{
		"no findings":                  {},
		"1 error, 2 warnings, 1 note":  {1, 2, 1},
		"2 errors, 1 warning, 3 notes": {2, 1, 3},
	} {
		if got := n.String(); got != want {
			t.Errorf("%+v: %q, want %q", n, got, want)
		}
	}
}
