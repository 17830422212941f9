package migrate

import (
	"context"
	"fmt"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/iam-authenticator/authenticator/internal/eks"
	"github.com/iam-authenticator/authenticator/internal/entries"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// eksRequests bounds how many requests EKS gets at once: it throttles above some tens
// per second.
const eksRequests = 4

// FromEKS plans access entries that say what those of an EKS cluster say. EKS answers
// with templates, which are carried as they are: there is nothing to prove.
func FromEKS(ctx context.Context, client *eks.Client, cluster string, progress func(string)) (*Plan, error) {
	arns, err := client.ListAccessEntries(ctx, cluster)
	if err != nil {
		return nil, err
	}
	progress(fmt.Sprintf("Reading %d access entries of the EKS cluster %s…", len(arns), cluster))
	p := &Plan{From: EKS, Rows: make([]Row, len(arns))}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(eksRequests)
	for i, arn := range arns {
		g.Go(func() error {
			e, err := client.DescribeAccessEntry(ctx, cluster, arn)
			if err != nil {
				return err
			}
			policies, err := client.ListAssociatedAccessPolicies(ctx, cluster, arn)
			if err != nil {
				return err
			}
			p.Rows[i] = eksRow(e, policies)
			return nil
		})
	}
	return p, g.Wait()
}

func eksRow(e eks.AccessEntry, policies []eks.AssociatedPolicy) Row {
	row := Row{Place: "access entry", PrincipalARN: e.PrincipalARN, Username: e.Username, Groups: e.Groups, Outcome: Left}
	spec := v1alpha1.AccessEntrySpec{PrincipalARN: e.PrincipalARN, Type: v1alpha1.AccessEntryType(e.Type)}
	username, groups := (&v1alpha1.AccessEntry{Spec: spec}).Defaults()
	if spec.Type == v1alpha1.Standard {
		if e.Username != username {
			spec.Username = e.Username
		}
		spec.KubernetesGroups = e.Groups
	} else if e.Username != username || !slices.Equal(sorted(e.Groups, nil), sorted(groups, nil)) {
		row.Notes = append(row.Notes, fmt.Sprintf("here, the type %s gives %q in %q", e.Type, username, groups))
	}
	for _, p := range policies {
		spec.AccessPolicies = append(spec.AccessPolicies, v1alpha1.AccessPolicy{
			PolicyARN:   p.PolicyARN,
			AccessScope: v1alpha1.AccessScope{Type: v1alpha1.AccessScopeType(p.Scope.Type), Namespaces: p.Scope.Namespaces},
		})
	}
	if len(policies) > 0 {
		row.Notes = append(row.Notes, "for the access policies, 'authenticator controller' must run")
	}
	entry, err := entries.NewEntry(spec)
	if err != nil {
		row.Why, row.Notes = err.Error(), nil
		return row
	}
	entry.Labels = map[string]string{Label: EKS}
	row.Outcome, row.AccessEntry = Carried, entry
	return row
}
