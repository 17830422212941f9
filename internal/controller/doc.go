// Package controller keeps the RBAC bindings that the access policies of access
// entries stand for.
//
// An entry with policies has a group of its own, which the mapper gives to whoever
// gets in by it. The controller binds that group to the ClusterRoles of the policies:
// in the cluster, or in each namespace that a pattern matches, as they come and go.
// What an entry should have is worked out in plan.go from what the caches hold, with
// no I/O; reconcile.go makes it so. Nothing is written that is there already.
package controller
