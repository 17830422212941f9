// Package policy holds EKS's access policies as plain Kubernetes RBAC: what each of
// them allows, the ClusterRole that says so, the group of those who have it, and how
// far an access entry may reach.
package policy

//go:generate go run genmanifest.go
