package entries

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// Format is how entries are printed.
type Format string

// The formats. JSON and YAML are the objects as Kubernetes has them, which kubectl
// applies.
const (
	FormatTable Format = "table" // for people; it may change
	FormatJSON  Format = "json"
	FormatYAML  Format = "yaml"
	FormatName  Format = "name" // accessentry.iam-authenticator.dev/NAME
)

// Print prints one entry; as a table, with a line for every field.
func Print(w io.Writer, e *v1alpha1.AccessEntry, f Format) error {
	switch f {
	case FormatJSON:
		return printJSON(w, e)
	case FormatYAML:
		return printYAML(w, e)
	case FormatName:
		_, err := fmt.Fprintln(w, qualified(e.Name))
		return err
	default:
		return describe(w, e)
	}
}

// PrintDone prints what was done to an entry, as kubectl does.
func PrintDone(w io.Writer, e *v1alpha1.AccessEntry, done string, d DryRun) error {
	switch d {
	case DryRunClient:
		done += " (dry run)"
	case DryRunServer:
		done += " (server dry run)"
	case DryRunNone:
	}
	_, err := fmt.Fprintln(w, qualified(e.Name), done)
	return err
}

func describe(w io.Writer, e *v1alpha1.AccessEntry) error {
	username, groups := effective(e)
	accepted, reason, message := acceptance(e)
	rows := [][]string{
		{"NAME", e.Name},
		{"PRINCIPAL", e.Spec.PrincipalARN},
		{"TYPE", string(e.Spec.Type)},
		{"USERNAME", username},
		{"GROUPS", orNone(groups, ", ")},
	}
	if e.Spec.PrincipalID != "" {
		rows = append(rows, []string{"PRINCIPAL ID", e.Spec.PrincipalID})
	}
	label := "POLICIES"
	if len(e.Spec.AccessPolicies) == 0 {
		rows = append(rows, []string{label, "<none>"})
	}
	for _, p := range e.Spec.AccessPolicies {
		scope := "cluster"
		if p.AccessScope.Type != v1alpha1.ScopeCluster {
			scope = "namespaces " + strings.Join(p.AccessScope.Namespaces, ", ")
		}
		rows = append(rows, []string{label, p.PolicyARN + " (" + scope + ")"})
		label = ""
	}
	rows = append(rows, []string{"ACCEPTED", accepted}, []string{"REASON", reason})
	if message != "" {
		rows = append(rows, []string{"MESSAGE", message})
	}
	if !e.CreationTimestamp.IsZero() {
		rows = append(rows, []string{"CREATED", e.CreationTimestamp.UTC().Format(time.RFC3339)})
	}
	return (&table{w: w}).print(rows)
}

// effective returns the username and groups that the entry gives, as templates.
func effective(e *v1alpha1.AccessEntry) (username string, groups []string) {
	username, groups = e.Defaults()
	if len(e.Spec.KubernetesGroups) > 0 {
		groups = e.Spec.KubernetesGroups
	}
	return cmp.Or(e.Spec.Username, username), groups
}

// acceptance returns the condition Accepted in words.
func acceptance(e *v1alpha1.AccessEntry) (status, reason, message string) {
	c, known := Accepted(e)
	if !known {
		return string(metav1.ConditionUnknown), "NotReported", ""
	}
	return string(c.Status), c.Reason, c.Message
}

func orNone(words []string, separator string) string {
	return cmp.Or(strings.Join(words, separator), "<none>")
}

// ListPrinter prints entries as they come, without keeping them.
type ListPrinter struct {
	w       io.Writer
	format  Format
	table   table
	printed int
}

// NewListPrinter returns a printer of no entries so far.
func NewListPrinter(w io.Writer, f Format) *ListPrinter {
	return &ListPrinter{w: w, format: f, table: table{w: w}}
}

// Print prints some more entries.
func (p *ListPrinter) Print(page []v1alpha1.AccessEntry) error {
	if len(page) == 0 {
		return nil
	}
	first := p.printed == 0
	p.printed += len(page)
	switch p.format {
	case FormatJSON:
		return p.printJSON(page, first)
	case FormatYAML:
		if first {
			if _, err := fmt.Fprintf(p.w, "%sitems:\n", p.yamlHead()); err != nil {
				return err
			}
		}
		return printYAML(p.w, page) // a list continues where one ended
	case FormatName:
		for _, e := range page {
			if err := Print(p.w, &e, FormatName); err != nil {
				return err
			}
		}
		return nil
	default:
		var rows [][]string
		if first {
			rows = append(rows, []string{"PRINCIPAL", "TYPE", "USERNAME", "GROUPS", "POLICIES", "ACCEPTED", "REASON", "NAME"})
		}
		for _, e := range page {
			rows = append(rows, row(&e))
		}
		return p.table.print(rows)
	}
}

func row(e *v1alpha1.AccessEntry) []string {
	username, groups := effective(e)
	accepted, reason, _ := acceptance(e)
	var policies []string
	for _, p := range e.Spec.AccessPolicies {
		text := PolicyName(p.PolicyARN)
		if p.AccessScope.Type != v1alpha1.ScopeCluster {
			text += "(" + strings.Join(p.AccessScope.Namespaces, ",") + ")"
		}
		policies = append(policies, text)
	}
	return []string{e.Spec.PrincipalARN, string(e.Spec.Type), username, orNone(groups, ","), orNone(policies, ","), accepted, reason, e.Name}
}

// printJSON prints one entry after the other into a list.
func (p *ListPrinter) printJSON(page []v1alpha1.AccessEntry, first bool) error {
	var text bytes.Buffer
	for i, e := range page {
		if first && i == 0 {
			text.WriteString(p.jsonHead())
		} else {
			text.WriteString(",")
		}
		data, err := json.MarshalIndent(e, "    ", "  ")
		if err != nil {
			return err
		}
		text.WriteString("\n    ")
		text.Write(data)
	}
	_, err := p.w.Write(text.Bytes())
	return err
}

func (p *ListPrinter) jsonHead() string {
	return fmt.Sprintf("{\n  \"apiVersion\": %q,\n  \"kind\": %q,\n  \"items\": [", v1alpha1.SchemeGroupVersion, kind+"List")
}

func (p *ListPrinter) yamlHead() string {
	return fmt.Sprintf("apiVersion: %s\nkind: %sList\n", v1alpha1.SchemeGroupVersion, kind)
}

// Close prints what stands behind all entries. Output that has not been closed is
// no JSON: nobody takes half of a list for the whole.
func (p *ListPrinter) Close() (printed int, err error) {
	switch {
	case p.format == FormatJSON && p.printed == 0:
		_, err = fmt.Fprintln(p.w, p.jsonHead()+"]\n}")
	case p.format == FormatJSON:
		_, err = fmt.Fprint(p.w, "\n  ]\n}\n")
	case p.format == FormatYAML && p.printed == 0:
		_, err = fmt.Fprint(p.w, p.yamlHead()+"items: []\n")
	}
	return p.printed, err
}

// PrintPolicies prints the known policies, with their ARNs in a partition. JSON and
// YAML have the keys of "aws eks list-access-policies".
func PrintPolicies(w io.Writer, partition string, f Format) error {
	type policy struct {
		Name string `json:"name"`
		ARN  string `json:"arn"`
	}
	var list struct {
		AccessPolicies []policy `json:"accessPolicies"`
	}
	rows := [][]string{{"NAME", "SHORT", "ALLOWS"}}
	var arns strings.Builder
	for _, p := range Policies() {
		list.AccessPolicies = append(list.AccessPolicies, policy{p.Name, p.ARN(partition)})
		rows = append(rows, []string{p.Name, p.Short, p.Allows})
		arns.WriteString(p.ARN(partition) + "\n")
	}
	switch f {
	case FormatJSON:
		return printJSON(w, list)
	case FormatYAML:
		return printYAML(w, list)
	case FormatName:
		_, err := io.WriteString(w, arns.String())
		return err
	default:
		return (&table{w: w}).print(rows)
	}
}

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

func printYAML(w io.Writer, v any) error {
	data, err := yaml.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}

// table prints rows in columns, which widen as wider cells come: what was printed
// isn't kept.
type table struct {
	w      io.Writer
	widths []int
}

func (t *table) print(rows [][]string) error {
	for _, row := range rows {
		for i, cell := range row {
			row[i] = printable(cell)
			if i == len(t.widths) {
				t.widths = append(t.widths, 0)
			}
			t.widths[i] = max(t.widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var text bytes.Buffer
	for _, row := range rows {
		last := len(row) - 1
		for i, cell := range row[:last] {
			text.WriteString(cell)
			text.WriteString(strings.Repeat(" ", t.widths[i]-utf8.RuneCountInString(cell)+3))
		}
		text.WriteString(row[last] + "\n")
	}
	_, err := t.w.Write(text.Bytes())
	return err
}

// printable quotes a text that would do something to a terminal.
func printable(text string) string {
	for _, r := range text {
		if !strconv.IsPrint(r) {
			return strconv.Quote(text)
		}
	}
	return text
}
