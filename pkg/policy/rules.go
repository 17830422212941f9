package policy

import (
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
)

// The rules of the policies, one row of EKS's tables to a line:
// https://docs.aws.amazon.com/eks/latest/userguide/access-policy-permissions.html

// read allows to read the resources of an API group.
func read(group string, resources ...string) rbacv1.PolicyRule {
	return allow(group, []string{"get", "list", "watch"}, resources...)
}

// write allows to change the resources of an API group. It does not allow to read
// them.
func write(group string, resources ...string) rbacv1.PolicyRule {
	return allow(group, []string{"create", "delete", "deletecollection", "patch", "update"}, resources...)
}

func allow(group string, verbs []string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: verbs}
}

func clusterAdminRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		allow("*", []string{"*"}, "*"),
		{NonResourceURLs: []string{"*"}, Verbs: []string{"*"}},
	}
}

func adminViewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{read("*", "*")}
}

func secretReaderRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{read("", "secrets")}
}

func viewRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		read("", "configmaps", "endpoints", "persistentvolumeclaims", "persistentvolumeclaims/status", "pods", "replicationcontrollers", "replicationcontrollers/scale", "serviceaccounts", "services", "services/status"),
		read("", "bindings", "events", "limitranges", "namespaces/status", "pods/log", "pods/status", "replicationcontrollers/status", "resourcequotas", "resourcequotas/status"),
		read("", "namespaces"),
		read("apps", "controllerrevisions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status", "replicasets", "replicasets/scale", "replicasets/status", "statefulsets", "statefulsets/scale", "statefulsets/status"),
		read("autoscaling", "horizontalpodautoscalers", "horizontalpodautoscalers/status"),
		read("batch", "cronjobs", "cronjobs/status", "jobs", "jobs/status"),
		read("discovery.k8s.io", "endpointslices"),
		read("extensions", "daemonsets", "daemonsets/status", "deployments", "deployments/scale", "deployments/status", "ingresses", "ingresses/status", "networkpolicies", "replicasets", "replicasets/scale", "replicasets/status", "replicationcontrollers/scale"),
		read("networking.k8s.io", "ingresses", "ingresses/status", "networkpolicies"),
		read("policy", "poddisruptionbudgets", "poddisruptionbudgets/status"),
	}
}

// editRules are those of view, and what it takes to run workloads.
func editRules() []rbacv1.PolicyRule {
	return slices.Concat(viewRules(), []rbacv1.PolicyRule{
		read("", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy", "secrets", "services/proxy"),
		write("", "pods", "pods/attach", "pods/exec", "pods/portforward", "pods/proxy"),
		write("", "configmaps", "events", "persistentvolumeclaims", "replicationcontrollers", "replicationcontrollers/scale", "secrets", "serviceaccounts", "services", "services/proxy"),
		allow("", []string{"impersonate"}, "serviceaccounts"),
		write("apps", "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "replicasets", "replicasets/scale", "statefulsets", "statefulsets/scale"),
		write("autoscaling", "horizontalpodautoscalers"),
		write("batch", "cronjobs", "jobs"),
		write("extensions", "daemonsets", "deployments", "deployments/rollback", "deployments/scale", "ingresses", "networkpolicies", "replicasets", "replicasets/scale", "replicationcontrollers/scale"),
		write("networking.k8s.io", "ingresses", "networkpolicies"),
		write("policy", "poddisruptionbudgets"),
	})
}

// adminRules are those of edit, and what it takes to share a namespace.
func adminRules() []rbacv1.PolicyRule {
	return slices.Concat(editRules(), []rbacv1.PolicyRule{
		allow("authorization.k8s.io", []string{"create"}, "localsubjectaccessreviews"),
		read("rbac.authorization.k8s.io", "rolebindings", "roles"),
		write("rbac.authorization.k8s.io", "rolebindings", "roles"),
	})
}
