package entries

import (
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// Policy is an access policy that AWS documents:
// https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html
type Policy struct {
	Name   string // in its ARN
	Short  string // what people may say instead
	Allows string // in a line
}

// Policies returns the policies that are known by name. AWS has others, which ARNs
// name.
func Policies() []Policy {
	return []Policy{
		{policy.ClusterAdmin, "cluster-admin", "everything"},
		{policy.Admin, "admin", "what edit allows, and managing roles and role bindings"},
		{policy.Edit, "edit", "what view allows, reading secrets, and changing workloads, services and configuration"},
		{policy.View, "view", "reading most built-in resources, but no secrets, roles and role bindings"},
		{policy.AdminView, "admin-view", "reading all resources, secrets too"},
		{policy.SecretReader, "secret-reader", "reading secrets"},
	}
}

// ARN returns the ARN of the policy in a partition.
func (p Policy) ARN(partition string) string { return v1alpha1.PolicyARN(partition, p.Name) }

// PolicyName returns the name in the ARN of an access policy, and any other text as it
// is.
func PolicyName(arn string) string {
	if name, err := policy.ParseARN(arn); err == nil {
		return name
	}
	return arn
}

// PolicyARN returns the ARN that a text means in a partition: an ARN, or the name or
// the short name of a known policy in any letter case. The ARN may be one of a policy
// that is not known; known tells.
func PolicyARN(text, partition string) (arn string, known bool, err error) {
	policies := Policies()
	name := PolicyName(text)
	i := slices.IndexFunc(policies, func(p Policy) bool {
		return strings.EqualFold(p.Name, name) || strings.EqualFold(p.Short, text)
	})
	if !strings.HasPrefix(text, "arn:") {
		if i < 0 {
			return "", false, fmt.Errorf("policy %q is not known%s; give the ARN of any other", text, suggest.DidYouMean(text, policyWords()))
		}
		return policies[i].ARN(partition), true, nil
	}
	if !strings.HasPrefix(text, "arn:"+partition+":") {
		return "", false, fmt.Errorf("policy %q is not of the partition %s", text, partition)
	}
	if i < 0 {
		return text, false, nil
	}
	return policies[i].ARN(partition), true, nil
}

// policyWords are what known policies may be called.
func policyWords() (words []string) {
	for _, p := range Policies() {
		words = append(words, p.Name, p.Short)
	}
	return words
}

// ParseScope parses an access scope as the AWS CLI does:
//
//	type=cluster
//	type=namespace,namespaces=team-a,team-b
//
// What the values may be is up to v1alpha1.
func ParseScope(text string) (scope v1alpha1.AccessScope, err error) {
	const want = "want type=cluster, or type=namespace,namespaces=NAME,NAME…"
	var last string
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		key, value, isPair := strings.Cut(part, "=")
		if !isPair {
			key, value = last, part
		} else if seen[key] {
			return scope, fmt.Errorf("access scope %q has %s twice, %s", text, key, want)
		}
		switch {
		case key == "type" && isPair:
			scope.Type = v1alpha1.AccessScopeType(value)
		case key == "namespaces":
			if value == "" {
				return scope, fmt.Errorf("access scope %q has an empty namespace, %s", text, want)
			}
			scope.Namespaces = append(scope.Namespaces, value)
		default:
			return scope, fmt.Errorf("access scope %q: unexpected %q, %s", text, part, want)
		}
		last, seen[key] = key, true
	}
	if scope.Type == "" {
		return scope, fmt.Errorf("access scope %q has no type, %s", text, want)
	}
	return scope, nil
}

// Associate gives the entry a policy within a scope, in place of the scope that it
// had.
func Associate(e *v1alpha1.AccessEntry, policyARN string, scope v1alpha1.AccessScope) {
	associated := v1alpha1.AccessPolicy{PolicyARN: policyARN, AccessScope: scope}
	if i := indexPolicy(e, policyARN); i >= 0 {
		e.Spec.AccessPolicies[i] = associated
		return
	}
	e.Spec.AccessPolicies = append(e.Spec.AccessPolicies, associated)
}

// Disassociate takes a policy from the entry. It is an error if the entry has none
// such.
func Disassociate(e *v1alpha1.AccessEntry, policyARN string) error {
	i := indexPolicy(e, policyARN)
	if i < 0 {
		has := "it has none"
		if len(e.Spec.AccessPolicies) > 0 {
			has = "it has " + strings.Join(policyNames(e), ", ")
		}
		return fmt.Errorf("the access entry of %s has no policy %s: %s", e.Spec.PrincipalARN, PolicyName(policyARN), has)
	}
	e.Spec.AccessPolicies = slices.Delete(e.Spec.AccessPolicies, i, i+1)
	return nil
}

// HasPolicy tells whether a policy is associated with the entry.
func HasPolicy(e *v1alpha1.AccessEntry, policyARN string) bool { return indexPolicy(e, policyARN) >= 0 }

func indexPolicy(e *v1alpha1.AccessEntry, arn string) int {
	return slices.IndexFunc(e.Spec.AccessPolicies, func(p v1alpha1.AccessPolicy) bool { return p.PolicyARN == arn })
}

func policyNames(e *v1alpha1.AccessEntry) (names []string) {
	for _, p := range e.Spec.AccessPolicies {
		names = append(names, PolicyName(p.PolicyARN))
	}
	return names
}
