package access

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"sigs.k8s.io/yaml"
)

// marks show the results of steps.
var marks = map[Result]string{OK: "✓", Failed: "✗", Open: "?", None: "–", NotReached: " "}

// WriteText writes the explanation for people. Snippets are indented by four blanks,
// and nothing else is.
func (e *Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	if d := e.Denial; d != nil {
		fmt.Fprintf(&b, "%s  %s: %s\n", d.Time.Format(time.RFC3339), d.Outcome, d.Reason)
		if d.Detail != "" {
			fmt.Fprintf(&b, "it said: %s\n", d.Detail)
		}
	}
	if e.Identity != nil {
		fmt.Fprintf(&b, "caller: %s\n", e.Identity.ARN)
	}
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range e.Steps {
		if s.Result == NotReached && s.Detail == "" {
			continue
		}
		fmt.Fprintf(table, "%s %s\t%s\n", marks[s.Result], s.Name, printable(s.Detail))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, a := range e.Assumed {
		fmt.Fprintf(&b, "Assumed: %s\n", a)
	}
	switch {
	case e.User != nil:
		fmt.Fprintf(&b, "Granted: username %s, groups %s\n", printable(e.User.Username), printable(fmt.Sprint(e.User.Groups)))
	case e.Outcome == "unavailable":
		fmt.Fprintf(&b, "Not decided: %s\n", e.why())
	default:
		fmt.Fprintf(&b, "Refused: %s\n", e.Reason) // a step says why
	}
	if e.Hint != "" {
		fmt.Fprintf(&b, "Hint: %s\nSee: %s\n", e.Hint, e.URL)
	}
	for _, s := range e.Suggestions {
		fmt.Fprintf(&b, "* %s\n", printable(s.Text))
		for line := range strings.Lines(s.Snippet) {
			b.WriteString("    " + line)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// why returns the reason, with what no step says of it: nothing failed.
func (e *Explanation) why() string {
	if slices.ContainsFunc(e.Steps, func(s Step) bool { return strings.Contains(s.Detail, e.Detail) }) {
		return string(e.Reason)
	}
	return string(e.Reason) + ": " + printable(e.Detail)
}

// WriteJSON writes a value as indented JSON.
func WriteJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// WriteYAML writes a value as YAML with the keys of its JSON.
func WriteYAML(w io.Writer, v any) error {
	data, err := yaml.Marshal(v)
	if err == nil {
		_, err = w.Write(data)
	}
	return err
}

// WriteTable writes who gets in, one row for each entry in force, and behind that what
// is not in force and why.
func (l List) WriteTable(w io.Writer) error {
	inForce := table{{"PRINCIPAL", "SOURCE", "USERNAME", "GROUPS", "POLICIES"}}
	for _, e := range l.Entries {
		if e.Status == InForce {
			inForce = append(inForce, []string{principal(e), e.Source, e.Username, l.groups(e), policies(e)})
		}
	}
	var b strings.Builder
	unread := slices.ContainsFunc(l.Sources, func(s ListSource) bool { return s.Error != "" })
	if len(inForce) == 1 && unread {
		b.WriteString("Nobody is known to get in, but not every source could be read.\n")
	} else if len(inForce) == 1 {
		b.WriteString("Nobody gets in.\n")
	} else if err := inForce.write(&b); err != nil {
		return err
	}
	if slices.ContainsFunc(l.Entries, func(e ListEntry) bool { return e.Status == InForce && e.Admin }) {
		b.WriteString("* a cluster administrator\n")
	}
	if l.Findings() > 0 {
		b.WriteString("\n")
		if err := l.WriteProblems(&b); err != nil {
			return err
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteWide writes every entry with all that is known of it.
func (l List) WriteWide(w io.Writer) error {
	rows := table{{"PRINCIPAL", "SOURCE", "USERNAME", "GROUPS", "POLICIES", "TYPE", "SESSION PATTERN", "USER ID", "ENTRY", "STATUS", "WHY"}}
	for _, e := range l.Entries {
		groups := strings.Join(append(nonEmpty(l.groups(e)), nonEmpty(e.PolicyGroup)...), ",")
		rows = append(rows, []string{principal(e), e.Source, e.Username, groups, policies(e),
			e.Type, e.SessionNamePattern, e.UserID, e.Entry, string(e.Status), strings.Join(append(nonEmpty(e.Why), e.Warnings...), "; ")})
	}
	var b strings.Builder
	if err := rows.write(&b); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// WriteProblems writes what is not in force or doubtful, and why.
func (l List) WriteProblems(w io.Writer) error {
	rows := table{{"PRINCIPAL", "SOURCE", "ENTRY", "STATUS", "WHY"}}
	for _, s := range l.Sources {
		if s.Error != "" {
			rows = append(rows, []string{"", s.Name, s.Origin, "Error", s.Error})
		}
		for _, p := range s.Problems {
			rows = append(rows, []string{"", s.Name, s.Origin, "Doubtful", p})
		}
	}
	for _, e := range l.Entries {
		why := strings.Join(append(nonEmpty(e.Why), e.Warnings...), "; ")
		switch {
		case e.Status != InForce:
			rows = append(rows, []string{principal(e), e.Source, e.Entry, string(e.Status), why})
		case why != "":
			rows = append(rows, []string{principal(e), e.Source, e.Entry, "Doubtful", why})
		}
	}
	return rows.write(w)
}

// OnlyProblems returns the list with nothing but what is not in force or doubtful.
func (l List) OnlyProblems() List {
	l.Entries = slices.DeleteFunc(slices.Clone(l.Entries), func(e ListEntry) bool { return e.Status == InForce && len(e.Warnings) == 0 })
	return l
}

// table is rows of cells, the first of which has the titles.
type table [][]string

func (t table) write(w io.Writer) error {
	columns := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	for _, row := range t {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = cmp.Or(printable(cell), "-")
		}
		fmt.Fprintln(columns, strings.Join(cells, "\t"))
	}
	return columns.Flush()
}

func principal(e ListEntry) string {
	if e.Account {
		return e.Principal + " (all)"
	}
	return e.Principal
}

// groups marks those that are cluster administrators.
func (l List) groups(e ListEntry) string {
	shown := slices.Clone(e.Groups)
	for i, g := range shown {
		if g == "system:masters" || slices.Contains(l.AdminGroups, g) {
			shown[i] += "*"
		}
	}
	return strings.Join(shown, ",")
}

// policies shows the names of policies, with their namespaces, and marks those of
// cluster administrators.
func policies(e ListEntry) string {
	var shown []string
	for _, p := range e.Policies {
		name := p.ARN[strings.LastIndexByte(p.ARN, '/')+1:]
		if len(p.Namespaces) > 0 {
			name += "(" + strings.Join(p.Namespaces, ",") + ")"
		}
		if isAdmin(p) {
			name += "*"
		}
		shown = append(shown, name)
	}
	return strings.Join(shown, ",")
}

func nonEmpty(s string) []string {
	if s == "" {
		return nil
	}
	return []string{s}
}

// printable puts text on one line, without what a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t':
			return ' '
		case unicode.In(r, unicode.C, unicode.Zl, unicode.Zp):
			return '\uFFFD'
		default:
			return r
		}
	}, s)
}
