package v1alpha1

import (
	"slices"
	"testing"
)

func TestDefaultsOfEachType(t *testing.T) {
	const (
		role     = "arn:aws-cn:iam::111122223333:role/team/Admins"
		user     = "arn:aws:iam::111122223333:user/team/alice"
		instance = "system:node:{{EC2PrivateDNSName}}"
		session  = "system:node:{{SessionName}}"
	)
	cases := []struct {
		name      string
		kind      AccessEntryType
		principal string
		username  string
		groups    []string
	}{
		{"role", Standard, role, "arn:aws-cn:sts::111122223333:assumed-role/Admins/{{SessionName}}", nil},
		{"user", Standard, user, user, nil},
		{"no type", "", user, user, nil},
		{"EC2_LINUX", EC2Linux, role, instance, []string{"system:nodes"}},
		{"EC2_WINDOWS", EC2Windows, role, instance, []string{"system:nodes", "eks:kube-proxy-windows"}},
		{"FARGATE_LINUX", FargateLinux, role, session, []string{"system:nodes", "system:node-proxier"}},
		{"HYBRID_LINUX", HybridLinux, role, session, []string{"system:nodes"}},
		{"EC2", EC2, role, session, []string{"system:nodes"}},
		{"unknown type", "HYPERPOD_LINUX", role, "", nil},
		{"no principal", Standard, "", "", nil},
		{"root", Standard, "arn:aws:iam::111122223333:root", "", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			e := &AccessEntry{Spec: AccessEntrySpec{PrincipalARN: c.principal, Type: c.kind, Username: "custom", KubernetesGroups: []string{"custom"}}}
			username, groups := e.Defaults()
			if username != c.username || !slices.Equal(groups, c.groups) {
				t.Errorf("got %q %q, want %q %q", username, groups, c.username, c.groups)
			}
		})
	}
}
