package policy

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// The names of the policies that are shipped, as in EKS's ARNs.
const (
	ClusterAdmin = "AmazonEKSClusterAdminPolicy"
	Admin        = "AmazonEKSAdminPolicy"
	Edit         = "AmazonEKSEditPolicy"
	View         = "AmazonEKSViewPolicy"
	AdminView    = "AmazonEKSAdminViewPolicy"
	SecretReader = "AmazonEKSSecretReaderPolicy"
)

// Label is borne by the ClusterRole that holds the rules of a policy; its value is
// the policy's name. Operators add policies by labelling ClusterRoles of theirs.
const Label = v1alpha1.GroupName + "/access-policy"

// GroupPrefix begins the names of our groups and ClusterRoles. Every mapper keeps it
// from usernames and groups, in any letter case.
const GroupPrefix = v1alpha1.ReservedPrefix

// amazon begins the names that are AWS's to give.
const amazon = "Amazon"

// Builtin returns the ClusterRoles of the shipped policies, with exactly EKS's rules.
func Builtin() []rbacv1.ClusterRole {
	return []rbacv1.ClusterRole{
		role(ClusterAdmin, clusterAdminRules()),
		role(Admin, adminRules()),
		role(Edit, editRules()),
		role(View, viewRules()),
		role(AdminView, adminViewRules()),
		role(SecretReader, secretReaderRules()),
	}
}

func role(name string, rules []rbacv1.PolicyRule) rbacv1.ClusterRole {
	return rbacv1.ClusterRole{
		TypeMeta:   metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: "ClusterRole"},
		ObjectMeta: metav1.ObjectMeta{Name: RoleName(name), Labels: map[string]string{Label: name}},
		Rules:      rules,
	}
}

// RoleName returns the name of the ClusterRole of a shipped policy.
func RoleName(name string) string { return GroupPrefix + name }

// ParseARN returns the name in the ARN of an access policy, such as
// arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy in any partition.
func ParseARN(arn string) (name string, err error) {
	_, name, err = v1alpha1.ParsePolicyARN(arn)
	return name, err
}

// Resolve returns the name of the ClusterRole that holds the rules of a policy, given
// the names of those ClusterRoles that bear Label with the policy's name. Names that
// begin with Amazon stand for the shipped ClusterRoles alone, whoever else bears the
// label. The error says what to do.
func Resolve(name string, labelled []string) (string, error) {
	err := CheckName(name)
	switch {
	case err != nil:
		return "", err
	case IsBuiltin(name) && slices.Contains(labelled, RoleName(name)):
		return RoleName(name), nil
	case IsBuiltin(name):
		return "", fmt.Errorf("policy %s: there is no ClusterRole %s with the label %s=%s: apply deploy/policies.yaml", name, RoleName(name), Label, name)
	case len(labelled) == 1:
		return labelled[0], nil
	case len(labelled) == 0:
		return "", fmt.Errorf("policy %s: no ClusterRole has the label %s=%s", name, Label, name)
	default:
		labelled = slices.Sorted(slices.Values(labelled))
		return "", fmt.Errorf("policy %s: %d ClusterRoles have the label %s=%s, want one: %s", name, len(labelled), Label, name, strings.Join(labelled, ", "))
	}
}

// CheckName tells whether a ClusterRole can hold the rules of a policy with that name:
// one of those that are shipped, or one of the operator's own, which is the value of a
// label.
func CheckName(name string) error {
	switch problems := validation.IsValidLabelValue(name); {
	case IsBuiltin(name):
		return nil
	case strings.HasPrefix(name, amazon):
		return fmt.Errorf("policy %s is AWS's, and its rules are not known here: use one of %s, or a policy of your own", name, strings.Join(names(), ", "))
	case name == "" || len(problems) > 0:
		return fmt.Errorf("policy %q can't be the value of a label, and so no ClusterRole can hold its rules: want at most 63 letters, digits, dashes, underscores and dots", name)
	}
	return nil
}

// IsBuiltin tells whether the policy is one of those that are shipped.
func IsBuiltin(name string) bool { return slices.Contains(names(), name) }

// names returns the names of the shipped policies.
func names() []string { return []string{ClusterAdmin, Admin, Edit, View, AdminView, SecretReader} }

// Group returns the group of those who get in by an access entry with policies. It
// names the object and not its name alone, so that an entry that is created again
// inherits no binding of the last.
func Group(entryName string, uid types.UID) string {
	return GroupPrefix + "access-entry:" + entryName + ":" + string(uid)
}

// Matches tells whether a namespace is one of those that a pattern stands for, in
// which * stands for any characters, or none.
//
// A pattern in the place of the namespace is matched if all that it stands for is,
// since its own * is matched by no other character than *.
func Matches(pattern, namespace string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == namespace
	}
	namespace, ok := strings.CutPrefix(namespace, first)
	if !ok {
		return false
	}
	// Between two * the first place will do: it leaves most to what follows.
	for {
		part, after, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(namespace, part)
		}
		_, namespace, ok = strings.Cut(namespace, part)
		if !ok {
			return false
		}
		rest = after
	}
}
