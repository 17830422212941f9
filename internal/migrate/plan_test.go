package migrate

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

const account = "arn:aws:iam::111122223333:"

// plan plans and proves the migration of an aws-auth.
func plan(t *testing.T, d awsauth.Document, o Options) (*Plan, Proof) {
	t.Helper()
	s, err := FromAWSAuth(d)
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlan(s, o)
	proof, err := p.Prove(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return p, proof
}

func roles(entries ...string) awsauth.Document {
	return awsauth.Document{"mapRoles": "- " + strings.Join(entries, "\n- ") + "\n"}
}

func TestWhatCannotBeCarriedIsLeftWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		document awsauth.Document
		why      string
	}{
		"masters":            {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: a, groups: [system:masters]}`), "--masters-as-policy"},
		"another group":      {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: a, groups: [system:monitoring]}`), "it cannot start with system:"},
		"EC2 nodes":          {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "system:node:{{EC2PrivateDNSName}}", groups: [system:bootstrappers, system:nodes]}`), "nodes; --nodes carries them as EC2_LINUX"},
		"Fargate":            {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "system:node:{{SessionName}}", groups: [system:bootstrappers, system:nodes, system:node-proxier]}`), "--nodes carries them as FARGATE_LINUX"},
		"nodes with more":    {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "system:node:{{EC2PrivateDNSName}}", groups: [system:nodes, more]}`), "The username must not begin with system:"},
		"account":            {awsauth.Document{"mapAccounts": `["111122223333"]`}, "an account that is mapped as a whole"},
		"permission set":     {roles(`{sso: {permissionSetName: View, accountID: "111122223333"}, username: "v:{{SessionName}}"}`), "a permission set of IAM Identity Center"},
		"session name first": {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "{{SessionName}}"}`), "a colon before the session name"},
		"session in a group": {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: a, groups: ["{{SessionName}}"]}`), "otherwise callers would choose their groups"},
		"reserved username":  {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "eks:a"}`), "The username must not begin with eks:"},
		"session pattern":    {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: a, sessionNamePattern: "a.*"}`), "sessionNamePattern"},
		"temporary keys":     {awsauth.Document{"mapUsers": `[{userarn: arn:aws:iam::111122223333:user/a, username: a, requireTemporaryCredentials: true}]`}, "requireTemporaryCredentials"},
		"ID of another kind": {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: a, userid: AIDAUSER}`), "The principalID is that of a user"},
		"service-linked":     {roles(`{rolearn: arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/a, username: a}`), "A service-linked role"},
		"root":               {awsauth.Document{"mapUsers": `[{userarn: "arn:aws:iam::111122223333:root", username: a}]`}, "invalid principal"},
		"federated user":     {awsauth.Document{"mapUsers": `[{userarn: "arn:aws:sts::111122223333:federated-user/a", username: a}]`}, "invalid principal"},
		"session":            {roles(`{rolearn: "arn:aws:sts::111122223333:assumed-role/a/s", username: a}`), "the server skips it: names a session"},
		"typo":               {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: a, gruops: [a]}`), `the server skips it: unknown key "gruops"`},
		"no ARN":             {roles(`{rolearn: a, username: a}`), "the server skips it: principal ARN"},
	} {
		p, proof := plan(t, c.document, Options{})
		if len(p.Rows) != 1 || p.Rows[0].Outcome != Left || !strings.Contains(p.Rows[0].Why, c.why) || len(p.Entries()) != 0 {
			t.Errorf("%s: %+v, want it left because of %q", name, p.Rows, c.why)
		}
		if err := proof.Err(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWhatIsCarriedSaysTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		document awsauth.Document
		options  Options
		want     v1alpha1.AccessEntrySpec
		dropped  string
	}{
		"role": {roles(`{rolearn: "ARN:aws:IAM::111122223333:role/Team/A", username: "a:{{SessionName}}", groups: [g, "h:{{AccountID}}", g]}`), Options{},
			v1alpha1.AccessEntrySpec{PrincipalARN: account + "role/Team/A", Username: "a:{{SessionName}}", KubernetesGroups: []string{"g", "h:{{AccountID}}"}}, ""},
		"user with an ID": {awsauth.Document{"mapUsers": `[{userarn: arn:aws:iam::111122223333:user/p/a, username: a, userid: AIDAUSER}]`}, Options{},
			v1alpha1.AccessEntrySpec{PrincipalARN: account + "user/p/a", Username: "a", PrincipalID: "AIDAUSER"}, ""},
		"Linux nodes": {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "system:node:{{EC2PrivateDNSName}}", groups: [system:bootstrappers, system:nodes]}`), Options{Nodes: true},
			v1alpha1.AccessEntrySpec{PrincipalARN: account + "role/a", Type: v1alpha1.EC2Linux}, bootstrappers},
		"Windows nodes": {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "system:node:{{EC2PrivateDNSName}}", groups: [eks:kube-proxy-windows, system:nodes]}`), Options{Nodes: true},
			v1alpha1.AccessEntrySpec{PrincipalARN: account + "role/a", Type: v1alpha1.EC2Windows}, ""},
		"Fargate": {roles(`{rolearn: arn:aws:iam::111122223333:role/a, username: "system:node:{{SessionName}}", groups: [system:bootstrappers, system:nodes, system:node-proxier]}`), Options{Nodes: true},
			v1alpha1.AccessEntrySpec{PrincipalARN: account + "role/a", Type: v1alpha1.FargateLinux}, bootstrappers},
		"masters": {roles(`{rolearn: "arn:aws-cn:iam::111122223333:role/a", username: a, groups: [system:masters, ops]}`), Options{MastersAsPolicy: true},
			v1alpha1.AccessEntrySpec{PrincipalARN: "arn:aws-cn:iam::111122223333:role/a", Username: "a", KubernetesGroups: []string{"ops"}, AccessPolicies: []v1alpha1.AccessPolicy{
				{PolicyARN: "arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy", AccessScope: v1alpha1.AccessScope{Type: "cluster"}}}}, masters},
	} {
		p, proof := plan(t, c.document, c.options)
		if len(p.Entries()) != 1 {
			t.Errorf("%s: %+v", name, p.Rows)
			continue
		}
		if c.want.Type == "" {
			c.want.Type = v1alpha1.Standard
		}
		got, _ := json.Marshal(p.Entries()[0].Spec)
		want, _ := json.Marshal(c.want)
		if !bytes.Equal(got, want) || p.Entries()[0].Labels[Label] != AWSAuth {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
		if proof.Err() != nil || proof.Logins == 0 || (proof.Dropped[c.dropped] > 0) != (c.dropped != "") || (c.dropped != "") != strings.Contains(proof.String(), "without the group "+c.dropped) {
			t.Errorf("%s: %s, %v, want only %q dropped", name, proof, proof.Err(), c.dropped)
		}
	}
}

func TestOfDuplicatesTheLastStands(t *testing.T) {
	d := roles(
		`{rolearn: arn:aws:iam::111122223333:role/p/a, username: first}`,
		`{rolearn: arn:aws:iam::111122223333:role/A, username: last}`,
		`{rolearn: arn:aws:iam::111122223333:role/b, username: same}`,
		`{rolearn: arn:aws:iam::111122223333:role/b, username: same}`,
		`{rolearn: arn:aws:iam::111122223333:role/c, username: good}`,
		`{rolearn: arn:aws:iam::111122223333:role/c, username: "bad{{"}`,
	)
	d["mapUsers"] = `[{userarn: arn:aws:iam::111122223333:role/b, username: under-users}]`
	p, proof := plan(t, d, Options{})
	want := []struct {
		outcome Outcome
		why     string
	}{
		{Shadowed, "the last one does, eksctl migrates the first"},
		{Carried, ""},
		{Shadowed, "mapRoles[3] (line 4) is for the same principal and says the same"},
		{Carried, ""},
		{Left, "mapRoles[5] (line 6) is for the same principal, stands instead, and has a mistake: the principal is refused"},
		{Left, "the server skips it"},
		{Shadowed, "mapRoles[3] (line 4) is for the same principal, says something else"},
	}
	for i, w := range want {
		if r := p.Rows[i]; r.Outcome != w.outcome || !strings.Contains(r.Why, w.why) {
			t.Errorf("%s: %s because of %q, want %s because of %q", r.Place, r.Outcome, r.Why, w.outcome, w.why)
		}
	}
	if proof.Err() != nil || p.Entries()[0].Spec.Username != "last" {
		t.Errorf("%v, %+v", proof.Err(), p.Entries()[0].Spec)
	}
}

func TestProofFindsWhatWouldDiffer(t *testing.T) {
	for name, change := range map[string]func(*Plan){
		"a username":    func(p *Plan) { p.Rows[0].AccessEntry.Spec.Username = "b:{{SessionName}}" },
		"raw names":     func(p *Plan) { p.Rows[0].AccessEntry.Spec.Username = "a:{{SessionNameRaw}}" },
		"a group less":  func(p *Plan) { p.Rows[0].AccessEntry.Spec.KubernetesGroups = []string{"g"} },
		"a group more":  func(p *Plan) { p.Rows[0].AccessEntry.Spec.KubernetesGroups = []string{"g", "h", "i"} },
		"no ID":         func(p *Plan) { p.Rows[0].AccessEntry.Spec.PrincipalID = "" },
		"another's ID":  func(p *Plan) { p.Rows[0].AccessEntry.Spec.PrincipalID = "AROAOTHER" },
		"gone too soon": func(p *Plan) { p.Rows[0].AccessEntry = nil },
		"one too many":  func(p *Plan) { p.Rows[1].AccessEntry = p.Rows[0].AccessEntry.DeepCopy(); p.Rows[0].AccessEntry = nil },
	} {
		p, proof := plan(t, roles(
			`{rolearn: arn:aws:iam::111122223333:role/a, username: "a:{{SessionName}}", groups: [g, h], userid: AROAROLE}`,
			`{rolearn: arn:aws:iam::111122223333:role/b, username: "b:{{SessionName}}"}`), Options{})
		if proof.Err() != nil {
			t.Fatal(proof.Err())
		}
		change(p)
		proof, err := p.Prove(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if proof.Err() == nil || !strings.Contains(proof.Err().Error(), "nothing is done") || !strings.Contains(proof.String(), "differ") {
			t.Errorf("%s: no difference found", name)
		}
	}
}

// large is an aws-auth of n entries with everything in it that occurs.
func large(seed uint64, n int) awsauth.Document {
	random := rand.New(rand.NewPCG(seed, 0))
	var mapRoles, mapUsers strings.Builder
	for i := range n * 4 / 5 {
		arn, rest := fmt.Sprintf("%srole/r%d", account, i), fmt.Sprintf(`username: "r%d:{{SessionName}}", groups: [g%d, common]`, i, i%7)
		switch random.IntN(16) {
		case 0:
			rest = `username: "system:node:{{EC2PrivateDNSName}}", groups: [system:bootstrappers, system:nodes]`
		case 1:
			arn = fmt.Sprintf("%srole/path/to/R%d", account, i)
		case 2: // of one that stands before, in capitals
			arn = fmt.Sprintf("%srole/R%d", account, random.IntN(i+1))
		case 3:
			arn = fmt.Sprintf("%srole/AWSReservedSSO_Set%d_%016x", account, i, random.Uint64())
		case 4:
			fmt.Fprintf(&mapRoles, "- {sso: {permissionSetName: Set%d, accountID: \"111122223333\"}, %s}\n", random.IntN(i+1), rest)
			continue
		case 5:
			rest = `usrname: typo`
		case 6:
			rest += fmt.Sprintf(", userid: AROA%d", i)
		case 7:
			rest += `, sessionNamePattern: ".*@example.com"`
		case 8:
			rest = `username: "{{SessionNameRaw}}"`
		case 9:
			rest = `username: admin, groups: [system:masters, g]`
		case 10:
			rest = `username: "u:{{AccessKeyID}}:{{SessionNameRaw}}", groups: ["t:{{SessionName}}", "{{AccountID}}"]`
		case 11:
			rest = `username: "system:node:{{SessionName}}", groups: [system:nodes, system:bootstrappers, system:node-proxier]`
		}
		fmt.Fprintf(&mapRoles, "- {rolearn: %s, %s} # %d\n", arn, rest, i)
	}
	for i := range n - n*4/5 - 2 {
		name := fmt.Sprintf("u%d", i)
		switch random.IntN(6) {
		case 0:
			name = fmt.Sprintf("p/u%d", i)
		case 1:
			name = fmt.Sprintf("U%d", random.IntN(i+1))
		}
		fmt.Fprintf(&mapUsers, "- userarn: %suser/%s\n  username: user-%d\n  groups:\n  - users\n", account, name, i)
	}
	return awsauth.Document{"mapRoles": mapRoles.String(), "mapUsers": mapUsers.String(), "mapAccounts": "- '111122223333'\n- '012345678901'\n"}
}

func TestFiveHundredEntriesLogInAsBefore(t *testing.T) {
	for seed := range uint64(20) {
		for _, o := range []Options{{}, {Nodes: true, MastersAsPolicy: true}} {
			p, proof := plan(t, large(seed, 500), o)
			if err := proof.Err(); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if len(p.Rows) != 500 || p.Count(Carried) < 200 || p.Count(Shadowed) < 5 || p.Count(Left) < 20 || proof.Principals < 400 || proof.Logins < 2000 {
				t.Errorf("seed %d: %d rows, %d carried, %d shadowed, %d left, %s", seed, len(p.Rows), p.Count(Carried), p.Count(Shadowed), p.Count(Left), proof)
			}
			if (proof.Dropped[bootstrappers] > 0) != o.Nodes || (proof.Dropped[masters] > 0) != o.MastersAsPolicy {
				t.Errorf("seed %d: %s with %+v", seed, proof, o)
			}
		}
	}
}

func TestBrokenSectionsAreNotMigrated(t *testing.T) {
	for _, text := range []string{"a: b", "- {", "text"} {
		_, err := FromAWSAuth(awsauth.Document{"mapRoles": text})
		if err == nil || !strings.Contains(err.Error(), "mapRoles") || !strings.Contains(err.Error(), "mend it first") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestOfIdentityMappingsTheOlderStands(t *testing.T) {
	object := func(name, created, arn, username string) json.RawMessage {
		return fmt.Appendf(nil, `{"kind":"IAMIdentityMapping","metadata":{"name":%q,"creationTimestamp":%q},"spec":{"arn":%q,"username":%q,"groups":["g"]}}`, name, created, arn, username)
	}
	s, err := FromIdentityMappings([]json.RawMessage{
		object("young", "2026-02-01T00:00:00Z", account+"role/a", "young"),
		object("old", "2026-01-01T00:00:00Z", account+"role/a", "old"),
		object("bad", "2025-01-01T00:00:00Z", account+"role/a", ""),
		object("other", "2026-01-01T00:00:00Z", account+"user/b", "b"),
		object("wrong", "2026-01-01T00:00:00Z", "arn", "c"),
	})
	if err != nil {
		t.Fatal(err)
	}
	p := NewPlan(s, Options{})
	proof, err := p.Prove(t.Context())
	if err != nil || proof.Err() != nil {
		t.Fatal(err, proof.Err())
	}
	var outcomes []Outcome
	for _, r := range p.Rows {
		outcomes = append(outcomes, r.Outcome)
	}
	if want := []Outcome{Shadowed, Carried, Left, Carried, Left}; !slices.Equal(outcomes, want) {
		t.Errorf("%q, want %q", outcomes, want)
	}
	if e := p.Entries()[0]; e.Spec.Username != "old" || e.Labels[Label] != IdentityMappings {
		t.Errorf("%+v", e)
	}
	if _, err := FromIdentityMappings([]json.RawMessage{[]byte(`{"kind":"Pod"}`)}); err == nil {
		t.Error("a Pod is no IAMIdentityMapping")
	}
}
