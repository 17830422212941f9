package lint

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"
	"unicode"
)

// Counts are how many findings there are of each severity.
type Counts struct {
	Errors   int `json:"errors"`
	Warnings int `json:"warnings"`
	Infos    int `json:"infos"`
}

// Count counts findings.
func Count(findings []Finding) (n Counts) {
	for _, f := range findings {
		switch f.Severity {
		case Error:
			n.Errors++
		case Warning:
			n.Warnings++
		default:
			n.Infos++
		}
	}
	return n
}

// String returns the counts as "2 errors, 1 warning", without those that are zero.
func (n Counts) String() string {
	var parts []string
	for _, c := range []struct {
		n    int
		name string
	}{{n.Errors, "error"}, {n.Warnings, "warning"}, {n.Infos, "note"}} {
		switch {
		case c.n == 1:
			parts = append(parts, "1 "+c.name)
		case c.n > 1:
			parts = append(parts, fmt.Sprintf("%d %ss", c.n, c.name))
		}
	}
	if parts == nil {
		return "no findings"
	}
	return strings.Join(parts, ", ")
}

// Formats are the names of the formats that Write takes.
func Formats() []string { return []string{"text", "json", "sarif", "github"} }

// Write writes findings in a format: "text" for people, "json", "sarif" for code
// scanning, or "github" for annotations of a GitHub workflow. Version is that of this
// program.
func Write(w io.Writer, format string, findings []Finding, version string) error {
	switch format {
	case "text":
		return writeText(w, findings)
	case "json":
		return writeJSON(w, findings)
	case "sarif":
		return writeSARIF(w, findings, version)
	case "github":
		return writeGitHub(w, findings)
	default:
		return fmt.Errorf("format %q, want %s", format, strings.Join(Formats(), ", "))
	}
}

// writeText writes a line as compilers do for each finding, and one for what to do.
func writeText(w io.Writer, findings []Finding) error {
	var b strings.Builder
	for _, f := range findings {
		place := ""
		if f.Entry != "" {
			place = f.Entry + ": "
		}
		fmt.Fprintf(&b, "%s:%d:%d: %s: %s [%s]\n", printable(f.File), f.Line, f.Column, f.Severity, printable(place+f.Message), f.Rule)
		if f.Suggestion != "" {
			fmt.Fprintf(&b, "    %s\n", printable(f.Suggestion))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// printable replaces what a file could send to a terminal in a message.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) {
			return '\ufffd'
		}
		return r
	}, s)
}

func writeJSON(w io.Writer, findings []Finding) error {
	if findings == nil {
		findings = []Finding{}
	}
	return encode(w, struct {
		Findings []Finding `json:"findings"`
		Counts
	}{findings, Count(findings)})
}

func encode(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// writeGitHub writes workflow commands:
// https://docs.github.com/actions/reference/workflow-commands-for-github-actions
func writeGitHub(w io.Writer, findings []Finding) error {
	levels := map[Severity]string{Error: "error", Warning: "warning", Info: "notice"}
	data := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	property := strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
	var b strings.Builder
	for _, f := range findings {
		message := f.Message
		if f.Suggestion != "" {
			message += "\n" + f.Suggestion
		}
		fmt.Fprintf(&b, "::%s file=%s,line=%d,col=%d,title=%s::%s\n",
			levels[f.Severity], property.Replace(filepath.ToSlash(f.File)), f.Line, f.Column, property.Replace(f.Rule), data.Replace(message))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// The parts of SARIF 2.1.0 that are used:
// https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
type (
	sarifLog struct {
		Schema  string     `json:"$schema"`
		Version string     `json:"version"`
		Runs    []sarifRun `json:"runs"`
	}
	sarifRun struct {
		Tool       sarifTool     `json:"tool"`
		ColumnKind string        `json:"columnKind"`
		Results    []sarifResult `json:"results"`
	}
	sarifTool struct {
		Driver sarifDriver `json:"driver"`
	}
	sarifDriver struct {
		Name    string      `json:"name"`
		Version string      `json:"version,omitempty"`
		Rules   []sarifRule `json:"rules"`
	}
	sarifRule struct {
		ID                   ID           `json:"id"`
		ShortDescription     sarifMessage `json:"shortDescription"`
		DefaultConfiguration sarifLevel   `json:"defaultConfiguration"`
	}
	sarifLevel struct {
		Level string `json:"level"`
	}
	sarifMessage struct {
		Text string `json:"text"`
	}
	sarifResult struct {
		RuleID    string          `json:"ruleId"`
		RuleIndex int             `json:"ruleIndex"`
		Level     string          `json:"level"`
		Message   sarifMessage    `json:"message"`
		Locations []sarifLocation `json:"locations"`
	}
	sarifLocation struct {
		PhysicalLocation sarifPhysical `json:"physicalLocation"`
	}
	sarifPhysical struct {
		ArtifactLocation sarifArtifact `json:"artifactLocation"`
		Region           sarifRegion   `json:"region"`
	}
	sarifArtifact struct {
		URI string `json:"uri"`
	}
	sarifRegion struct {
		StartLine   int `json:"startLine"`
		StartColumn int `json:"startColumn"`
	}
)

func writeSARIF(w io.Writer, findings []Finding, version string) error {
	levels := map[Severity]string{Error: "error", Warning: "warning", Info: "note"}
	run := sarifRun{
		Tool:       sarifTool{sarifDriver{Name: "authenticator lint", Version: version}},
		ColumnKind: "unicodeCodePoints",
		Results:    []sarifResult{},
	}
	index := map[string]int{}
	for i, r := range rules {
		index[string(r.ID)] = i
		run.Tool.Driver.Rules = append(run.Tool.Driver.Rules, sarifRule{r.ID, sarifMessage{r.Summary}, sarifLevel{levels[r.Severity]}})
	}
	for _, f := range findings {
		message := f.Message
		if f.Suggestion != "" {
			message += " (" + f.Suggestion + ")"
		}
		run.Results = append(run.Results, sarifResult{
			RuleID: f.Rule, RuleIndex: index[f.Rule], Level: levels[f.Severity], Message: sarifMessage{message},
			Locations: []sarifLocation{{sarifPhysical{sarifArtifact{uri(f.File)}, sarifRegion{f.Line, f.Column}}}},
		})
	}
	return encode(w, sarifLog{Schema: "https://json.schemastore.org/sarif-2.1.0.json", Version: "2.1.0", Runs: []sarifRun{run}})
}

// uri returns the reference to a file.
func uri(file string) string {
	u := url.URL{Path: filepath.ToSlash(file)}
	if filepath.IsAbs(file) {
		u.Scheme = "file"
	}
	return u.String()
}
