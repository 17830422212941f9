package configmap

import (
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// The ConfigMap that people copy together from the articles they find: a role whose
// ARN was copied with its path, the role of a permission set, a user with a path, and
// the nodes next to them.
func TestConfigMapOfTheArticles(t *testing.T) {
	doc, unknown := parse(&corev1.ConfigMap{Data: map[string]string{
		"mapRoles": `
- rolearn: arn:aws:iam::111122223333:role/eksctl-nodegroup-NodeInstanceRole
  username: system:node:{{EC2PrivateDNSName}}
  groups:
  - system:bootstrappers
  - system:nodes
- rolearn: arn:aws:iam::111122223333:role/path/to/Admins
  username: admin
  groups:
  - system:masters
- rolearn: arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Developers_0123456789abcdef
  username: dev:{{SessionName}}
  groups: [developers]
- sso: {permissionSetName: Viewers, accountID: "111122223333"}
  username: view:{{SessionName}}
  groups: [viewers]
`,
		"mapUsers": `
- userarn: arn:aws:iam::111122223333:user/division/bob
  username: bob
  groups: [developers]
`,
		"mapAccounts": "- \"444455556666\"\n- 000000000012\n",
	}})
	if err := doc.Err(); err != nil || len(unknown)+len(doc.Problems()) > 0 {
		t.Fatalf("%v, %v, %v", err, unknown, doc.Problems())
	}
	index, _ := mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
	chain := mapper.NewChain([]mapper.Mapper{fixed{index}}, mapper.ChainOptions{})
	for _, c := range []struct {
		arn, account, userID string
		want                 string
		code                 reason.Code
	}{
		{"arn:aws:sts::111122223333:assumed-role/Admins/alice", "111122223333", "AROAX:alice", "admin", reason.Granted},
		{"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Developers_0123456789abcdef/alice@example.com", "111122223333", "AROAX:alice@example.com", "dev:alice-example.com", reason.Granted},
		{"arn:aws:sts::111122223333:assumed-role/AWSReservedSSO_Viewers_fedcba9876543210/alice@example.com", "111122223333", "AROAX:alice@example.com", "view:alice-example.com", reason.Granted},
		{"arn:aws:iam::111122223333:user/division/bob", "111122223333", "AIDAX", "bob", reason.Granted},
		{"arn:aws:iam::111122223333:user/bob", "111122223333", "AIDAX", "", reason.NotMapped},
		{"arn:aws:iam::000000000012:user/carol", "000000000012", "AIDAX", "arn:aws:iam::000000000012:user/carol", reason.Granted},
		// A person who names a session after nothing doesn't get in as a node.
		{"arn:aws:sts::111122223333:assumed-role/eksctl-nodegroup-NodeInstanceRole/alice", "111122223333", "AROAX:alice", "", reason.NotAnInstance},
	} {
		id, err := iam.NewIdentity(c.arn, c.account, c.userID, "ASIAX")
		if err != nil {
			t.Fatal(err)
		}
		user, err := chain.Map(t.Context(), id)
		if reason.Of(err) != c.code || user.Username != c.want {
			t.Errorf("%s: %q, %v, want %q, %s", c.arn, user.Username, err, c.want, c.code)
		}
	}
}

type fixed struct{ index *mapper.Index }

func (fixed) Name() string                                      { return "Fixed" }
func (f fixed) Lookup(id iam.Identity) (*mapper.Mapping, error) { return f.index.Lookup(id) }
func (f fixed) MapsAccount(account string) (bool, error)        { return f.index.MapsAccount(account), nil }
func (fixed) Status() mapper.Status                             { return mapper.Status{} }
