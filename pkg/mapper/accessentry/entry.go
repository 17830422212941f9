package accessentry

import (
	"fmt"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
)

// kind is the kind of the entries.
const kind = "AccessEntry"

// entry returns the mapping that a spec says. What it leaves out is as for its type.
func entry(data []byte) (e mapper.Entry, arn string, err error) {
	var a v1alpha1.AccessEntry
	if err := objects.Decode(data, &a.Spec); err != nil {
		return e, "", err
	}
	arn = a.Spec.PrincipalARN
	if err := a.Validate().ToAggregate(); err != nil {
		return e, arn, err
	}
	if e.Principal, err = iam.ParsePrincipal(arn); err != nil {
		return e, arn, err
	}
	e.UserID = a.Spec.PrincipalID
	e.Username, e.Groups = a.Defaults()
	// The names of nodes are reserved ones, and the type gives them. All others are
	// free, and none of them may become a reserved one.
	e.ForbidReserved = a.Spec.Type == v1alpha1.Standard || a.Spec.Type == ""
	if a.Spec.Username != "" {
		e.Username = a.Spec.Username
	}
	if len(a.Spec.KubernetesGroups) > 0 {
		e.Groups = a.Spec.KubernetesGroups
	}
	if e.ForbidReserved {
		err = checkGroups(e.Groups)
	}
	return e, arn, err
}

// checkGroups refuses groups that would refuse every login: EKS, and the schema with
// it, takes the reserved prefixes other than system:, and ForbidReserved does not.
func checkGroups(groups []string) error {
	for i, g := range groups {
		for _, prefix := range [...]string{"eks:", "aws:", "amazon:", "iam:"} {
			if strings.HasPrefix(g, prefix) {
				return fmt.Errorf("spec.kubernetesGroups[%d]: begins with %s, which is reserved", i, prefix)
			}
		}
	}
	return nil
}
