package v1alpha1

import "github.com/iam-authenticator/authenticator/pkg/iam"

// Defaults returns the username and the groups, as templates, of an entry whose
// spec names none: for STANDARD the ARN and no groups, for the other types what
// Kubernetes wants of such a node. The username is empty if there is no default, as
// the type is unknown or the principal is no role or user. The names are EKS's:
// https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html
func (e *AccessEntry) Defaults() (username string, groups []string) {
	const (
		instance = "system:node:{{EC2PrivateDNSName}}"
		session  = "system:node:{{SessionName}}"
		nodes    = "system:nodes"
	)
	switch e.entryType() {
	case Standard:
		return e.Spec.defaultUsername(), nil
	case EC2Linux:
		return instance, []string{nodes}
	case EC2Windows:
		return instance, []string{nodes, "eks:kube-proxy-windows"}
	case FargateLinux:
		return session, []string{nodes, "system:node-proxier"}
	case HybridLinux, EC2:
		return session, []string{nodes}
	default:
		return "", nil
	}
}

// defaultUsername returns the ARN that AWS shows for the caller.
func (s *AccessEntrySpec) defaultUsername() string {
	p, err := iam.ParsePrincipal(s.PrincipalARN)
	switch {
	case err == nil && p.Kind == iam.User:
		return p.Canonical()
	case err == nil && p.Kind == iam.Role:
		return "arn:" + p.Partition + ":sts::" + p.Account + ":assumed-role/" + p.Name + "/{{SessionName}}"
	default:
		return ""
	}
}

// entryType returns the type of the entry, which is STANDARD if none is given.
func (e *AccessEntry) entryType() AccessEntryType {
	if e.Spec.Type == "" {
		return Standard
	}
	return e.Spec.Type
}
