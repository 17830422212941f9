package policy

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// Ceiling bounds what access entries may give. The zero value bounds nothing.
type Ceiling struct {
	// MaxPolicy is the name of a shipped policy: no entry gives a policy that allows
	// more. A policy of the operator's own is as much as ClusterAdmin, since its
	// rules may be anything. Empty: any policy.
	MaxPolicy string
	// Namespaces are patterns as in access scopes: every namespace of an entry must
	// lie within one of them, and no entry gives a policy in the whole cluster.
	// Empty: anywhere.
	Namespaces []string
}

// Check tells whether the ceiling makes sense.
func (c Ceiling) Check() error {
	if c.MaxPolicy != "" && !IsBuiltin(c.MaxPolicy) {
		return fmt.Errorf("policy %q can't be the highest, want one of %s", c.MaxPolicy, strings.Join(names(), ", "))
	}
	for _, n := range c.Namespaces {
		if n == "" || strings.Trim(n, "abcdefghijklmnopqrstuvwxyz0123456789-*") != "" {
			return fmt.Errorf("namespace %q is not possible, want lower-case letters, digits, - and *, which stands for any characters", n)
		}
	}
	return nil
}

// Allows returns nil if an entry may give the policy within its scope; otherwise the
// error says why not.
func (c Ceiling) Allows(p v1alpha1.AccessPolicy) error {
	name, err := ParseARN(p.PolicyARN)
	if err != nil {
		return err
	}
	if c.MaxPolicy != "" && c.MaxPolicy != ClusterAdmin && !slices.Contains(within(c.MaxPolicy), name) {
		return fmt.Errorf("policy %s is not within %s, which is the most that access entries may give", name, c.MaxPolicy)
	}
	if len(c.Namespaces) == 0 {
		return nil
	}
	allowed := strings.Join(c.Namespaces, ", ")
	if p.AccessScope.Type != v1alpha1.ScopeNamespace {
		return errors.New("access entries may not give policies in the whole cluster, only in namespaces within " + allowed)
	}
	for _, n := range p.AccessScope.Namespaces {
		if !slices.ContainsFunc(c.Namespaces, func(pattern string) bool { return Matches(pattern, n) }) {
			return fmt.Errorf("namespace %q is not within those in which access entries may give policies: %s", n, allowed)
		}
	}
	return nil
}

// within returns the shipped policies that allow no more than the one of a name, which
// is not ClusterAdmin: Admin is above Edit, and Edit above View. AdminView reads
// everything, which is more than Admin reads, and SecretReader's one resource is part
// of Edit and of AdminView.
func within(name string) []string {
	switch name {
	case Admin:
		return []string{Admin, Edit, View, SecretReader}
	case Edit:
		return []string{Edit, View, SecretReader}
	case AdminView:
		return []string{AdminView, View, SecretReader}
	default: // of an unknown one, nobody can tell what it is above
		return []string{name}
	}
}
