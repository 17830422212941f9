package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the name of the API group.
const GroupName = "iam-authenticator.dev"

// ReservedPrefix begins names that nobody can be given: those of the groups of access
// entries with policies. It is reserved in any letter case.
const ReservedPrefix = GroupName + ":"

// SchemeGroupVersion is the group and version of the types in this package.
var SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

// Resource returns the resource of that name in the group.
func Resource(resource string) schema.GroupResource {
	return SchemeGroupVersion.WithResource(resource).GroupResource()
}

// AddToScheme makes the types of this package known to a scheme.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion, &AccessEntry{}, &AccessEntryList{})
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
