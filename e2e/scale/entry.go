package main

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const (
	account    = "111122223333"
	maxEntries = 1_000_000
)

// entryName is the name of the entry i, and of its role.
func entryName(i int) string { return fmt.Sprintf("app-%06d", i) }

// newEntry is an entry as teams make them: a role with a path, a username and two groups.
func newEntry(i int) v1alpha1.AccessEntry {
	return v1alpha1.AccessEntry{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AccessEntry"},
		ObjectMeta: metav1.ObjectMeta{Name: entryName(i)},
		Spec: v1alpha1.AccessEntrySpec{
			PrincipalARN:     fmt.Sprintf("arn:aws:iam::%s:role/teams/team-%02d/%s", account, i%100, entryName(i)),
			Username:         entryName(i) + ":{{SessionName}}",
			KubernetesGroups: []string{fmt.Sprintf("team-%02d", i%100), "deployers"},
		},
	}
}

// newCaller is a caller with a session of a role.
func newCaller(role string) (iam.Identity, error) {
	return iam.NewIdentity(fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/alice", account, role), account, "AROAEXAMPLEID:alice", "ASIAEXAMPLEID")
}
