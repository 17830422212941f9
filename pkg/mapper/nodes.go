package mapper

import (
	"context"
	"errors"
	"strings"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Nodes knows the EC2 instances that nodes run on.
type Nodes interface {
	// PrivateDNSName returns the private DNS name of the instance that the caller's
	// session is named after, such as "ip-10-0-0-1.eu-west-1.compute.internal". It is
	// empty if the instance has none. With prove, it must return an error unless the
	// caller has the role of that instance. If an error carries a reason code, that is the
	// reason of the decision; otherwise TemplateFailed is.
	PrivateDNSName(ctx context.Context, caller iam.Identity, prove bool) (string, error)
}

// NodeProof says which callers must prove to be the EC2 instance that their session is
// named after.
type NodeProof int

// What proof is wanted of nodes.
const (
	// ProveEC2Nodes wants a proof where an entry is for an EC2Node.
	ProveEC2Nodes NodeProof = iota
	// ProveAllInstances also wants one for {{EC2PrivateDNSName}} and {{EC2InstanceID}}
	// in any entry.
	ProveAllInstances
	// ProveNothing takes the session name for what it says.
	ProveNothing
)

// NodeKind is the kind of nodes that an entry is for.
type NodeKind int

// The kinds of nodes. What their sessions are called is EKS's:
// https://docs.aws.amazon.com/eks/latest/userguide/creating-access-entries.html
// https://docs.aws.amazon.com/eks/latest/userguide/hybrid-nodes-creds.html
const (
	// NoNode is for entries that are for anybody.
	NoNode NodeKind = iota
	// EC2Node is an EC2 instance. Its sessions are named after it: i-0123456789abcdef0.
	EC2Node
	// FargateNode is a node of AWS Fargate. Its sessions have the name of the node, which
	// begins with "fargate-".
	FargateNode
	// HybridNode is a machine outside of AWS. Its sessions have the name of the node: a
	// managed instance ID of Systems Manager (mi-0123456789abcdef0), or what a certificate
	// for IAM Roles Anywhere says.
	HybridNode
)

// fargatePrefix begins the names of Fargate's nodes, such as
// "fargate-ip-10-0-0-1.eu-west-1.compute.internal".
const fargatePrefix = "fargate-"

// checkSession tells whether a node of the kind can have a session with the name. A kind
// can't take the names of another, so that the role of one is no way to be the other.
func (k NodeKind) checkSession(name string) error {
	var want string
	switch k {
	case EC2Node:
		return checkInstance(name)
	case FargateNode:
		if strings.HasPrefix(name, fargatePrefix) && isNodeName(name) {
			return nil
		}
		want = `the name of a Fargate node, such as "fargate-ip-10-0-0-1.ec2.internal"`
	case HybridNode:
		if isNodeName(name) && !strings.HasPrefix(name, fargatePrefix) && !isEC2Name(name) {
			return nil
		}
		want = `the name of a node outside of AWS in lower case, such as "mi-0123456789abcdef0"`
	default:
		return nil
	}
	return reason.New(reason.NodeNameRefused, "the session name %q, want %s", name, want)
}

// checkInstance tells whether a session is named after an instance.
func checkInstance(session string) error {
	if iam.IsInstanceID(session) {
		return nil
	}
	return reason.New(reason.NotAnInstance, "the session name %q, want an EC2 instance ID such as i-0123456789abcdef0", session)
}

// isEC2Name tells whether EC2 gives such names to instances:
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-instance-naming.html
func isEC2Name(name string) bool {
	return iam.IsInstanceID(name) || strings.HasSuffix(name, ".ec2.internal") || strings.HasSuffix(name, ".compute.internal")
}

// isNodeName tells whether a Node object can have the name: a DNS subdomain, as in RFC
// 1123, in lower case.
// https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names
func isNodeName(name string) bool {
	const letters, most = "abcdefghijklmnopqrstuvwxyz0123456789", 253
	if len(name) > most {
		return false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || strings.Trim(label, letters+"-") != "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
	}
	return true
}

// instance is what is known of the instance that a caller's session is named after.
type instance struct {
	ctx     context.Context
	caller  iam.Identity
	nodes   Nodes
	prove   bool
	asked   bool
	dnsName string
}

// ask asks once for the instance.
func (i *instance) ask() error {
	if i.asked {
		return nil
	}
	if err := checkInstance(i.caller.SessionName); err != nil {
		return err
	}
	if i.nodes == nil {
		return reason.New(reason.TemplateFailed, "EC2 instances are not looked up here")
	}
	name, err := i.nodes.PrivateDNSName(i.ctx, i.caller, i.prove)
	if err == nil {
		i.asked, i.dnsName = true, name
		return nil
	}
	place := "EC2 instance " + i.caller.SessionName
	if i.ctx.Err() != nil {
		return reason.New(reason.Canceled, "%s: %w", place, err)
	}
	if _, ok := errors.AsType[*reason.Error](err); ok {
		return within(place, err)
	}
	return reason.New(reason.TemplateFailed, "%s: %w", place, err)
}

// nodeName returns the private DNS name, if a node can have it.
func (i *instance) nodeName() (string, error) {
	if err := i.ask(); err != nil {
		return "", err
	}
	if !isNodeName(i.dnsName) {
		return "", reason.New(reason.NodeNameRefused, "EC2 gives the instance %s the private DNS name %q, which no node can have",
			i.caller.SessionName, shorten(i.dnsName))
	}
	return i.dnsName, nil
}
