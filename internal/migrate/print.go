package migrate

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// PrintTable prints the plan for people.
func (p *Plan) PrintTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "FROM\tPRINCIPAL\tTYPE\tUSERNAME\tGROUPS\tPOLICIES")
	for _, r := range p.Rows {
		if r.Outcome != Carried {
			continue
		}
		username, groups := effective(r.AccessEntry)
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\n", r.Place, r.AccessEntry.Spec.PrincipalARN, r.AccessEntry.Spec.Type,
			awsauth.Printable(username), cmp.Or(awsauth.Printable(strings.Join(groups, ",")), "<none>"), cmp.Or(policies(r.AccessEntry), "<none>"))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, part := range []struct {
		outcome Outcome
		title   string
	}{
		{Shadowed, "\nDecides nothing, as another entry stands instead:"},
		{Left, "\nStays in " + p.From + ":"},
	} {
		if p.Count(part.outcome) == 0 {
			continue
		}
		fmt.Fprintln(w, part.title)
		for _, r := range p.Rows {
			if r.Outcome == part.outcome {
				fmt.Fprintf(w, "  %s: %s\n", r.Name(), r.Why)
			}
		}
	}
	title := "\nTo be known:\n"
	for _, r := range p.Rows {
		for _, note := range r.Notes {
			if _, err := fmt.Fprintf(w, "%s  %s: %s\n", title, r.Name(), note); err != nil {
				return err
			}
			title = ""
		}
	}
	_, err := fmt.Fprintf(w, "\n%d carried, %d shadowed, %d left\n", p.Count(Carried), p.Count(Shadowed), p.Count(Left))
	return err
}

// Name returns where the entry stands and whom it is for.
func (r Row) Name() string {
	if r.PrincipalARN == "" {
		return r.Place
	}
	return r.Place + ", " + awsauth.Printable(r.PrincipalARN)
}

// policies returns the names of an entry's policies with where they hold.
func policies(e *v1alpha1.AccessEntry) string {
	var names []string
	for _, p := range e.Spec.AccessPolicies {
		scope := strings.Join(p.AccessScope.Namespaces, ",")
		names = append(names, fmt.Sprintf("%s (%s)", entries.PolicyName(p.PolicyARN), cmp.Or(scope, "cluster")))
	}
	return strings.Join(names, ", ")
}

// PrintJSON prints the plan and its proof, if there is one.
func (p *Plan) PrintJSON(w io.Writer, proof *Proof) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(struct {
		*Plan
		Proof *Proof `json:"proof,omitempty"`
	}{p, proof})
}

// PrintManifests prints the access entries for kubectl.
func (p *Plan) PrintManifests(w io.Writer) error {
	for _, e := range p.Entries() {
		if _, err := io.WriteString(w, "---\n"); err != nil {
			return err
		}
		if err := entries.Print(w, e, entries.FormatYAML); err != nil {
			return err
		}
	}
	return nil
}

// eksctlEntry is an access entry as eksctl reads it:
// https://docs.aws.amazon.com/eks/latest/eksctl/access-entries.html
type eksctlEntry struct {
	PrincipalARN       string                   `json:"principalARN"`
	Type               v1alpha1.AccessEntryType `json:"type,omitempty"`
	KubernetesUsername string                   `json:"kubernetesUsername,omitempty"`
	KubernetesGroups   []string                 `json:"kubernetesGroups,omitempty"`
	AccessPolicies     []eksctlPolicy           `json:"accessPolicies,omitempty"`
}

type eksctlPolicy struct {
	PolicyARN   string               `json:"policyARN"`
	AccessScope v1alpha1.AccessScope `json:"accessScope"`
}

// PrintEksctl prints the access entries as that part of an eksctl ClusterConfig. What
// eksctl can't say, a principal ID, is left out: EKS stores its own.
func (p *Plan) PrintEksctl(w io.Writer) error {
	list := []eksctlEntry{}
	for _, e := range p.Entries() {
		entry := eksctlEntry{PrincipalARN: e.Spec.PrincipalARN, KubernetesUsername: e.Spec.Username, KubernetesGroups: e.Spec.KubernetesGroups}
		if e.Spec.Type != v1alpha1.Standard {
			entry.Type = e.Spec.Type
		}
		for _, policy := range e.Spec.AccessPolicies {
			entry.AccessPolicies = append(entry.AccessPolicies, eksctlPolicy(policy))
		}
		list = append(list, entry)
	}
	data, err := yaml.Marshal(map[string]any{"accessConfig": map[string]any{"accessEntries": list}})
	if err != nil {
		return err
	}
	_, err = w.Write(data)
	return err
}
