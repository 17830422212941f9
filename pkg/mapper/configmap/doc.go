// Package configmap reads mappings from the ConfigMap aws-auth in kube-system, as
// EKS and the original do, and follows its changes.
//
// It needs these rights in kube-system:
//
//	get, list, watch  configmaps  resourceNames: [aws-auth]
//	create            events      (optional: shows bad entries on the ConfigMap)
package configmap
