package accessentry

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const (
	role    = "arn:aws:iam::111122223333:role/team/Admins"
	userARN = "arn:aws:iam::111122223333:user/team/bob"
	sso     = "arn:aws:iam::111122223333:role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_Admins_0123456789abcdef"
)

// view is an access policy.
const view = `{"policyARN": "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", "accessScope": {"type": "cluster"}}`

// session is the identity of a session of the role with a name.
func session(t testing.TB, role, name string) iam.Identity {
	t.Helper()
	return identity(t, "arn:aws:sts::111122223333:assumed-role/"+role+"/"+name, "AROAEXAMPLE:"+name)
}

func identity(t testing.TB, arn, userID string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity(arn, "111122223333", userID, "ASIAEXAMPLE")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// static maps what its store has.
type static struct{ *objects.Store }

func (static) Name() string                                      { return Name }
func (static) MapsAccount(string) (bool, error)                  { return false, nil }
func (static) Status() mapper.Status                             { return mapper.Status{} }
func (s static) Lookup(id iam.Identity) (*mapper.Mapping, error) { return s.Store.Lookup(id.MapKey) }

// internalNames names nodes after their instances.
type internalNames struct{}

func (internalNames) PrivateDNSName(_ context.Context, caller iam.Identity, _ bool) (string, error) {
	return caller.SessionName + ".internal", nil
}

// TestEntry maps callers with one entry, the spec of which is given.
func TestEntry(t *testing.T) {
	admin := session(t, "Admins", "alice@example.com")
	bob := identity(t, userARN, "AIDAEXAMPLE")
	instance := session(t, "Admins", "i-0123456789abcdef0")
	cases := map[string]struct {
		spec   string // without its braces
		id     iam.Identity
		name   string
		groups []string
		reason reason.Code // of a refusal
	}{
		"STANDARD role": {spec: `"principalARN": "` + role + `"`, id: admin, name: "arn:aws:sts::111122223333:assumed-role/Admins/alice-example.com"},
		"STANDARD user": {spec: `"principalARN": "` + userARN + `", "type": "STANDARD"`, id: bob, name: userARN},
		"role without its path, in another case": {
			spec: `"principalARN": "arn:aws:iam::111122223333:role/ADMINS", "username": "a"`, id: admin, name: "a",
		},
		"user with another path": {spec: `"principalARN": "arn:aws:iam::111122223333:user/bob"`, id: bob, reason: reason.NotMapped},
		"SSO role with its path": {
			spec: `"principalARN": "` + sso + `", "username": "sso:{{SessionNameRaw}}", "kubernetesGroups": ["g"]`,
			id:   session(t, "AWSReservedSSO_Admins_0123456789abcdef", "a@b"), name: "sso:a@b", groups: []string{"g"},
		},
		"given names": {
			spec: `"principalARN": "` + role + `", "username": "u:{{AccountID}}", "kubernetesGroups": ["g", "t:{{SessionName}}"]`,
			id:   admin, name: "u:111122223333", groups: []string{"g", "t:alice-example.com"},
		},
		"policies": {
			spec: `"principalARN": "` + role + `", "username": "u", "accessPolicies": [` + view + `]`,
			id:   admin, name: "u", groups: []string{"iam-authenticator.dev:access-entry:e:uid"},
		},
		"groups and policies": {
			spec: `"principalARN": "` + role + `", "username": "u", "kubernetesGroups": ["g", "h"], "accessPolicies": [` + view + `]`,
			id:   admin, name: "u", groups: []string{"g", "h", "iam-authenticator.dev:access-entry:e:uid"},
		},
		"no policies": {spec: `"principalARN": "` + role + `", "username": "u", "accessPolicies": []`, id: admin, name: "u"},
		"EC2 with policies": {
			spec: `"principalARN": "` + role + `", "type": "EC2", "accessPolicies": [` + view + `]`,
			id:   instance, name: "system:node:i-0123456789abcdef0", groups: []string{"system:nodes", "iam-authenticator.dev:access-entry:e:uid"},
		},
		"EC2_LINUX":     {spec: `"principalARN": "` + role + `", "type": "EC2_LINUX"`, id: instance, name: "system:node:i-0123456789abcdef0.internal", groups: []string{"system:nodes"}},
		"EC2_WINDOWS":   {spec: `"principalARN": "` + role + `", "type": "EC2_WINDOWS"`, id: instance, name: "system:node:i-0123456789abcdef0.internal", groups: []string{"system:nodes", "eks:kube-proxy-windows"}},
		"FARGATE_LINUX": {spec: `"principalARN": "` + role + `", "type": "FARGATE_LINUX"`, id: session(t, "Admins", "fargate-1"), name: "system:node:fargate-1", groups: []string{"system:nodes", "system:node-proxier"}},
		"HYBRID_LINUX":  {spec: `"principalARN": "` + role + `", "type": "HYBRID_LINUX"`, id: session(t, "Admins", "mi-1"), name: "system:node:mi-1", groups: []string{"system:nodes"}},
		"EC2":           {spec: `"principalARN": "` + role + `", "type": "EC2"`, id: instance, name: "system:node:i-0123456789abcdef0", groups: []string{"system:nodes"}},
		"a person with a node's role": {
			spec: `"principalARN": "` + role + `", "type": "EC2_LINUX"`, id: admin, reason: reason.NotAnInstance,
		},
		"principal with the ID that is pinned": {spec: `"principalARN": "` + role + `", "username": "a", "principalID": "AROAEXAMPLE"`, id: admin, name: "a"},
		"principal that was created again":     {spec: `"principalARN": "` + role + `", "username": "a", "principalID": "AROAOTHER"`, id: admin, reason: reason.PrincipalIDMismatch},
		"placeholders that no caller chooses need no colon": {
			spec: `"principalARN": "` + role + `", "username": "{{AccessKeyID}}", "kubernetesGroups": ["sys{{AccountID}}:x"]`, id: admin, name: "ASIAEXAMPLE", groups: []string{"sys111122223333:x"},
		},

		// What the schema refuses as well.
		"reserved username": {spec: `"principalARN": "` + role + `", "username": "system:admin"`, id: admin, reason: reason.EntryInvalid},
		"username of ours":  {spec: `"principalARN": "` + role + `", "username": "iam-authenticator.dev:a"`, id: admin, reason: reason.EntryInvalid},
		"group of ours":     {spec: `"principalARN": "` + role + `", "kubernetesGroups": ["iam-authenticator.dev:access-entry:e:uid"]`, id: admin, reason: reason.EntryInvalid},
		"group of ours by its value": {
			spec: `"principalARN": "` + role + `", "kubernetesGroups": ["iam-authenticator.dev{{AccountID}}", "i{{AccountID}}:{{SessionName}}", "{{AccountID}}:iam-authenticator.dev:"]`,
			id:   admin, name: "arn:aws:sts::111122223333:assumed-role/Admins/alice-example.com",
			groups: []string{"iam-authenticator.dev111122223333", "i111122223333:alice-example.com", "111122223333:iam-authenticator.dev:"},
		},
		"policies for a node":   {spec: `"principalARN": "` + role + `", "type": "EC2_LINUX", "accessPolicies": [` + view + `]`, id: instance, reason: reason.EntryInvalid},
		"reserved group":        {spec: `"principalARN": "` + role + `", "kubernetesGroups": ["system:masters"]`, id: admin, reason: reason.EntryInvalid},
		"name chosen by caller": {spec: `"principalARN": "` + role + `", "username": "{{SessionName}}:masters"`, id: admin, reason: reason.EntryInvalid},
		"session":               {spec: `"principalARN": "arn:aws:sts::111122223333:assumed-role/Admins/alice@example.com"`, id: admin, reason: reason.NotMapped},
		"service-linked role":   {spec: `"principalARN": "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/Admins"`, id: admin, reason: reason.EntryInvalid},
		"unknown type":          {spec: `"principalARN": "` + role + `", "type": "EC2_BSD"`, id: admin, reason: reason.EntryInvalid},
		"username for a node":   {spec: `"principalARN": "` + role + `", "type": "EC2_LINUX", "username": "u"`, id: admin, reason: reason.EntryInvalid},
		"user as a node":        {spec: `"principalARN": "` + userARN + `", "type": "EC2_LINUX"`, id: bob, reason: reason.EntryInvalid},
		"unknown field":         {spec: `"principalARN": "` + role + `", "sessionNamePattern": "x"`, id: admin, reason: reason.EntryInvalid},
		"wrong type of groups":  {spec: `"principalARN": "` + role + `", "kubernetesGroups": "g"`, id: admin, reason: reason.EntryInvalid},
		"no principal":          {spec: `"username": "u"`, id: admin, reason: reason.NotMapped},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r := newReporter(nil, zap.NewNop(), nil)
			o := &objects.Object{Spec: []byte("{" + c.spec + "}")}
			o.Name, o.UID = "e", "uid"
			r.store.Upsert(o)
			chain := mapper.NewChain([]mapper.Mapper{static{r.store}}, mapper.ChainOptions{Nodes: internalNames{}})
			user, err := chain.Map(t.Context(), c.id)
			if c.reason != "" {
				if reason.Of(err) != c.reason {
					t.Fatalf("%+v, %v, want the reason %s", user, err, c.reason)
				}
				v, _ := r.store.Verdict("e")
				if v.Invalid != "" && errors.Is(err, mapper.ErrNotMapped) && !strings.HasPrefix(v.Invalid, "spec") {
					t.Errorf("%q doesn't say where the error is", v.Invalid)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if user.Username != c.name || !slices.Equal(user.Groups, c.groups) {
				t.Errorf("%q %q, want %q %q", user.Username, user.Groups, c.name, c.groups)
			}
		})
	}
}

// Bindings are made for one object, so whoever gets in by the next of its name has none
// of the last one's rights.
func TestEntryThatIsCreatedAgainHasAnotherGroup(t *testing.T) {
	r := newReporter(nil, zap.NewNop(), nil)
	chain := mapper.NewChain([]mapper.Mapper{static{r.store}}, mapper.ChainOptions{})
	object := func(uid string) *objects.Object {
		o := &objects.Object{Spec: []byte(`{"principalARN": "` + role + `", "username": "u", "accessPolicies": [` + view + `]}`)}
		o.Name, o.UID, o.Generation = "e", types.UID(uid), 1
		return o
	}
	check := func(want ...string) {
		t.Helper()
		user, err := chain.Map(t.Context(), session(t, "Admins", "alice"))
		if (err == nil) != (want != nil) || !slices.Equal(user.Groups, want) {
			t.Errorf("groups %q, %v, want %q", user.Groups, err, want)
		}
	}
	r.store.Upsert(object("one"))
	check("iam-authenticator.dev:access-entry:e:one")
	// As its finalizer keeps it for a while.
	deleted := object("one")
	deleted.DeletionTimestamp = new(metav1.Now())
	r.store.Upsert(deleted)
	check()
	r.store.Upsert(object("two"))
	check("iam-authenticator.dev:access-entry:e:two")
	r.store.Upsert(object("three")) // the deletion of the last was missed
	check("iam-authenticator.dev:access-entry:e:three")
}

// The prefix stands in the mapper too, which does not import the API types.
func TestReservedPrefixIsTheMappersToo(t *testing.T) {
	p, err := iam.ParsePrincipal(role)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mapper.NewMapping(mapper.Entry{Principal: p, Username: v1alpha1.ReservedPrefix}); err == nil {
		t.Errorf("the username %s is possible", v1alpha1.ReservedPrefix)
	}
}
