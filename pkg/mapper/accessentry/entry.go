package accessentry

import (
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// kind is the kind of the entries.
const kind = "AccessEntry"

// entry returns the mapping that an object says. What its spec leaves out is as for
// its type. Validate has refused reserved names that are spelled out, and the mapper
// refuses those that only a value would complete.
func entry(o *objects.Object) (e mapper.Entry, arn string, err error) {
	var a v1alpha1.AccessEntry
	if err := objects.Decode(o.Spec, &a.Spec); err != nil {
		return e, objects.Text(o.Spec, "principalARN"), err
	}
	arn = a.Spec.PrincipalARN
	if err := a.Validate().ToAggregate(); err != nil {
		return e, arn, err
	}
	if e.Principal, err = iam.ParsePrincipal(arn); err != nil {
		return e, arn, err
	}
	e.UserID = a.Spec.PrincipalID
	e.Node = NodeKind(a.Spec.Type)
	e.Username, e.Groups = a.Defaults()
	if a.Spec.Username != "" {
		e.Username = a.Spec.Username
	}
	if len(a.Spec.KubernetesGroups) > 0 {
		e.Groups = a.Spec.KubernetesGroups
	}
	if len(a.Spec.AccessPolicies) > 0 {
		e.PolicyGroup = policy.Group(o.Name, o.UID)
	}
	return e, arn, nil
}

// NodeKind returns the kind of nodes that an entry of the type is for.
func NodeKind(t v1alpha1.AccessEntryType) mapper.NodeKind {
	switch t {
	case v1alpha1.EC2Linux, v1alpha1.EC2Windows, v1alpha1.EC2:
		return mapper.EC2Node
	case v1alpha1.FargateLinux:
		return mapper.FargateNode
	case v1alpha1.HybridLinux:
		return mapper.HybridNode
	default:
		return mapper.NoNode
	}
}
