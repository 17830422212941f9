package controller

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// The labels of our bindings. That of the policy is policy.Label.
const (
	managedByLabel = "app.kubernetes.io/managed-by"
	managedBy      = "iam-authenticator-controller"
	// entryLabel is the UID of the entry: a name may have more characters than a
	// label, and may be used again.
	entryLabel = v1alpha1.GroupName + "/access-entry-uid"
	// entryNameLabel is for people who look for the bindings of an entry. It is left
	// out if the name is too long.
	entryNameLabel = v1alpha1.GroupName + "/access-entry"
)

const (
	entryKind = "AccessEntry"
	// maxEntryName bounds what part of an entry's name is in those of its bindings:
	// tools keep objects in files, whose names have limits.
	maxEntryName = 100
)

// binding is a RoleBinding, or a ClusterRoleBinding if it is in no namespace.
type binding struct {
	namespace, name string
	uid             types.UID
	version         string
	labels          map[string]string
	owners          []metav1.OwnerReference
	subjects        []rbacv1.Subject
	role            rbacv1.RoleRef
}

// newBinding returns the binding that gives an entry a policy.
func newBinding(e *v1alpha1.AccessEntry, policyName, roleName, namespace string) *binding {
	labels := map[string]string{
		managedByLabel: managedBy,
		entryLabel:     string(e.UID),
		policy.Label:   policyName,
	}
	if len(validation.IsValidLabelValue(e.Name)) == 0 {
		labels[entryNameLabel] = e.Name
	}
	return &binding{
		namespace: namespace,
		name:      policy.GroupPrefix + e.Name[:min(len(e.Name), maxEntryName)] + nameSuffix(e.UID, policyName),
		labels:    labels,
		owners: []metav1.OwnerReference{{
			APIVersion: v1alpha1.SchemeGroupVersion.String(),
			Kind:       entryKind,
			Name:       e.Name,
			UID:        e.UID,
		}},
		subjects: []rbacv1.Subject{{
			APIGroup: rbacv1.GroupName,
			Kind:     rbacv1.GroupKind,
			Name:     policy.Group(e.Name, e.UID),
		}},
		role: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: roleName},
	}
}

// nameSuffix ends the names of the bindings of an entry and a policy.
func nameSuffix(entry types.UID, policyName string) string {
	sum := sha256.Sum256([]byte(string(entry) + "/" + policyName))
	return ":" + hex.EncodeToString(sum[:8])
}

// made tells whether the controller made the binding for the entry of its labels: its
// name follows from them. Labels can be put on anything; names can't be changed.
func (b *binding) made() bool {
	return b.labels[managedByLabel] == managedBy && strings.HasPrefix(b.name, policy.GroupPrefix) &&
		strings.HasSuffix(b.name, nameSuffix(types.UID(b.labels[entryLabel]), b.labels[policy.Label]))
}

// belongsTo tells whether a binding that has the name of one of the entry's is it, be
// it that somebody took away its labels or its owner.
func (b *binding) belongsTo(entry types.UID) bool {
	return b.labels[entryLabel] == string(entry) ||
		slices.ContainsFunc(b.owners, func(o metav1.OwnerReference) bool { return o.UID == entry })
}

// is tells whether the binding is all that it should be. Others may add labels and
// owners to it.
func (b *binding) is(want *binding) bool {
	for key, value := range want.labels {
		if b.labels[key] != value {
			return false
		}
	}
	for _, owner := range want.owners {
		if !slices.ContainsFunc(b.owners, func(o metav1.OwnerReference) bool {
			return o.UID == owner.UID && o.APIVersion == owner.APIVersion && o.Kind == owner.Kind && o.Name == owner.Name
		}) {
			return false
		}
	}
	return b.role == want.role && slices.Equal(b.subjects, want.subjects)
}

// entryUID returns the entry that the binding says it is of.
func entryUID(o client.Object) types.UID { return types.UID(o.GetLabels()[entryLabel]) }

func (b *binding) kind() string {
	if b.namespace == "" {
		return "ClusterRoleBinding"
	}
	return "RoleBinding"
}

// key names the binding among others.
func (b *binding) key() types.NamespacedName {
	return types.NamespacedName{Namespace: b.namespace, Name: b.name}
}

// object returns the binding as an object of the API, into which an answer may be read:
// it shares nothing with the binding.
func (b *binding) object() client.Object {
	meta := metav1.ObjectMeta{
		Namespace: b.namespace, Name: b.name, UID: b.uid, ResourceVersion: b.version,
		Labels: maps.Clone(b.labels), OwnerReferences: slices.Clone(b.owners),
	}
	typ := metav1.TypeMeta{APIVersion: rbacv1.SchemeGroupVersion.String(), Kind: b.kind()}
	if b.namespace == "" {
		return &rbacv1.ClusterRoleBinding{TypeMeta: typ, ObjectMeta: meta, Subjects: slices.Clone(b.subjects), RoleRef: b.role}
	}
	return &rbacv1.RoleBinding{TypeMeta: typ, ObjectMeta: meta, Subjects: slices.Clone(b.subjects), RoleRef: b.role}
}

// bindingOf returns an object of the API as a binding, which shares its values.
func bindingOf(o client.Object) *binding {
	b := &binding{
		namespace: o.GetNamespace(), name: o.GetName(), uid: o.GetUID(), version: o.GetResourceVersion(),
		labels: o.GetLabels(), owners: o.GetOwnerReferences(),
	}
	switch o := o.(type) {
	case *rbacv1.ClusterRoleBinding:
		b.subjects, b.role = o.Subjects, o.RoleRef
	case *rbacv1.RoleBinding:
		b.subjects, b.role = o.Subjects, o.RoleRef
	}
	return b
}
