// Package v1alpha1 holds the API types of the group iam-authenticator.dev.
//
// The rules of an AccessEntry stand here twice: as CEL in the markers of types.go,
// for the schema of the CRD, and in Go in validate.go, for files, for tools and for
// whoever reads objects that an older schema let in. The cases of
// internal/apistest hold both to the same answers.
//
// +kubebuilder:object:generate=true
// +groupName=iam-authenticator.dev
package v1alpha1

//go:generate go tool -modfile=../../../.ci/tools.mod controller-gen object crd paths=. output:crd:dir=../../../deploy/crd
