package lint

import (
	"cmp"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
)

// Severity says how bad a finding is.
type Severity int

const (
	// Info is what works here and may matter elsewhere.
	Info Severity = iota
	// Warning is what works, but hardly as it was meant.
	Warning
	// Error is what does not work: the server passes it over, or refuses by it.
	Error
)

// severityNames are the texts of severities in messages, flags and JSON.
var severityNames = [...]string{Info: "info", Warning: "warning", Error: "error"}

// Severities returns the names of the severities, the mildest first.
func Severities() []string { return slices.Clone(severityNames[:]) }

// ParseSeverity returns the severity of a name.
func ParseSeverity(name string) (Severity, error) {
	if i := slices.Index(severityNames[:], name); i >= 0 {
		return Severity(i), nil
	}
	return 0, fmt.Errorf("severity %q, want info, warning or error%s", name, suggest.DidYouMean(name, severityNames[:]))
}

// String returns "info", "warning" or "error".
func (s Severity) String() string { return severityNames[s] }

// MarshalText returns the text of String, for JSON.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is one thing that is wrong or doubtful, and where.
type Finding struct {
	Rule     string   `json:"rule"` // its ID: see Rules
	Severity Severity `json:"severity"`
	Message  string   `json:"message"` // what is wrong and what was expected, lower case
	// Suggestion is what to write instead, if that can be told.
	Suggestion string `json:"suggestion,omitempty"`

	File   string `json:"file"`   // as it was named
	Line   int    `json:"line"`   // in the file, from 1
	Column int    `json:"column"` // in characters, from 1

	// Principal is the ARN in the entry, and Entry the entry's place in its section,
	// such as "mapRoles[3]", or its name. Both may be empty.
	Principal string `json:"principal,omitempty"`
	Entry     string `json:"entry,omitempty"`
}

// Options say what is known besides the files. The zero value is nothing.
type Options struct {
	// Partition is the partition that the server is for, "" if that is not known.
	// Principals of others never get in.
	Partition string
	// UserIDStrict reads mapping files as dynamicfileUserIDStrict does.
	UserIDStrict bool
	// ReservedPrefixes are, by backend, what no username may begin with.
	ReservedPrefixes map[string][]string
	// BoundGroups are the groups that a binding of the cluster names. Nil: not known.
	BoundGroups []string
	// MaxFindings is how many findings of each severity are returned; of more, only how
	// many there are is said. Default 1,000.
	MaxFindings int
}

// Input is a file to check, or what stands for one.
type Input struct {
	Name string // for the findings
	Data []byte
}

// Check returns what there is to say about one file, in the order of its lines.
func Check(name string, data []byte, o Options) []Finding {
	return CheckAll([]Input{{Name: name, Data: data}}, o)
}

// CheckObject is Check for a Kubernetes object that has been decoded from JSON, as the
// API server has it. It has no lines; those of a text inside it count from there.
func CheckObject(name string, object map[string]any, o Options) []Finding {
	c := newChecker(o)
	c.document(&text{file: name, decoded: true}, nodeOf(object), true)
	c.shadows()
	return c.sorted(map[string]int{})
}

// CheckAll is Check for files that belong together: an access entry in one may hide
// a mapping in another. Findings are in the order of the files.
func CheckAll(inputs []Input, o Options) []Finding {
	c := newChecker(o)
	order := map[string]int{}
	for i, in := range inputs {
		order[in.Name] = i
		c.file(newText(in.Name, in.Data))
	}
	c.shadows()
	return c.sorted(order)
}

// sorted returns the findings in the order of the files and their lines.
func (c *checker) sorted(order map[string]int) []Finding {
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(order[a.File], order[b.File]), cmp.Compare(a.Line, b.Line),
			cmp.Compare(a.Column, b.Column), cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Rule, b.Rule), cmp.Compare(a.Message, b.Message))
	})
	// The same may be found by way of an alias, or by two parsers that read one file.
	findings := slices.Compact(c.findings)
	for _, severity := range slices.Backward([]Severity{Info, Warning, Error}) {
		if more := c.count[severity] - c.most(); more > 0 {
			findings = append(findings, Finding{
				Rule: string(moreFindings), Severity: severity, File: findings[len(findings)-1].File, Line: 1, Column: 1,
				Message: fmt.Sprintf("%d more findings of this severity (%s) are not shown", more, severity), Suggestion: "mend these first"})
		}
	}
	return findings
}

func (c *checker) most() int { return cmp.Or(c.options.MaxFindings, 1000) }

// checker collects the findings of files that belong together.
type checker struct {
	options  Options
	findings []Finding
	count    [Error + 1]int // findings, by severity, also those that are too many

	// What was spent of maxAsked, and what is known of what it costs.
	asked int
	sizes map[*yaml.Node]int
	bound map[string]bool   // BoundGroups; nil: not known
	near  map[string]string // suggestions for groups that are not among them

	// For what one source does to another.
	configMap []located
	entries   []located
}

func newChecker(o Options) *checker {
	c := &checker{options: o}
	if o.BoundGroups != nil {
		c.bound = map[string]bool{}
		for _, g := range o.BoundGroups {
			c.bound[g] = true
		}
	}
	return c
}

// maxPrincipal is the length of the longest ARN that is shown, in bytes.
const maxPrincipal = 1024

// report adds a finding at a node of a text. The severity is the rule's.
func (c *checker) report(rule ID, at point, f Finding) {
	f.Rule, f.Severity = string(rule), rule.severity()
	if c.count[f.Severity]++; c.count[f.Severity] > c.most() {
		return
	}
	f.Principal = cut(f.Principal, maxPrincipal)
	f.File, f.Line, f.Column = at.file, at.line, at.column
	c.findings = append(c.findings, f)
}
