package access

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// verifier says what STS would.
type verifier struct {
	id  iam.Identity
	err error
}

func (v verifier) Verify(context.Context, string) (token.Verification, error) {
	return token.Verification{Identity: v.id}, v.err
}

var signedAt = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

const (
	signature     = "5ec2e7aaaabbbbccccddddeeeeffff00005ec2e7aaaabbbbccccddddeeeeffff"
	securityToken = "SECRETSESSIONTOKEN0123456789"
)

// tokenText returns a token, with changes to its URL.
func tokenText(changes ...string) string {
	url := "https://sts.eu-central-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=AWS4-HMAC-SHA256" +
		"&X-Amz-Credential=ASIAEXAMPLEEXAMPLE00%2F20260102%2Feu-central-1%2Fsts%2Faws4_request&X-Amz-Date=20260102T030405Z&X-Amz-Expires=60" +
		"&X-Amz-Security-Token=" + securityToken + "&X-Amz-SignedHeaders=host%3Bx-k8s-aws-id&X-Amz-Signature=" + signature
	return token.Prefix + base64.RawURLEncoding.EncodeToString([]byte(strings.NewReplacer(changes...).Replace(url)))
}

func session(t testing.TB, role, name string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity("arn:aws:sts::"+account+":assumed-role/"+role+"/"+name, account, "AROAEXAMPLE:"+name, "ASIAEXAMPLEEXAMPLE00")
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func tokenOptions(t testing.TB, v Verifier, sources *Sources) TokenOptions {
	t.Helper()
	endpoints, err := token.NewEndpoints("aws")
	if err != nil {
		t.Fatal(err)
	}
	return TokenOptions{
		Verifier: v, Endpoints: endpoints, ClusterIDs: []string{"demo", "old"},
		Now:     func() time.Time { return signedAt.Add(90 * time.Second) },
		Sources: func(context.Context) (*Sources, error) { return sources, nil },
	}
}

// stop returns the names of the steps at which a login stops, or "" if it doesn't.
func stop(e Explanation) string {
	var names []string
	for _, s := range e.Steps {
		if s.Result == Failed || s.Result == Open {
			names = append(names, s.Name)
		}
	}
	return strings.Join(names, ",")
}

// Each token stops where it should, and nothing that is written has a secret in it.
func TestTokenStopsAtItsStep(t *testing.T) {
	sources := roles(t, "- {rolearn: \""+arns+"role/developers\", username: \"dev:{{SessionName}}\", groups: [g]}\n")
	alice := session(t, "developers", "alice")
	refused := func(code reason.Code) Verifier { return verifier{err: reason.New(code, "so it says")} }
	good := tokenText()
	for name, c := range map[string]struct {
		bearer   string
		verifier Verifier
		after    time.Duration
		step     string
		code     reason.Code
	}{
		"granted":              {good, verifier{id: alice}, time.Minute, "", reason.Granted},
		"not mapped":           {good, verifier{id: session(t, "others", "alice")}, time.Minute, "account mapping", reason.NotMapped},
		"foreign":              {"eyJhbGciOiJSUzI1NiJ9.e30.c2ln", nil, 0, "token", reason.ForeignToken},
		"empty":                {"", nil, 0, "token", reason.ForeignToken},
		"cut off":              {good[:len(good)-3], nil, 0, "token", reason.MalformedToken},
		"not base64":           {good + "!", nil, 0, "token", reason.MalformedToken},
		"signature twice":      {tokenText("X-Amz-Expires=60", "X-Amz-Signature="+signature), nil, 0, "token", reason.MalformedToken},
		"unescaped":            {tokenText(securityToken, securityToken+"/+="), nil, 0, "token", reason.MalformedToken},
		"signature cut off":    {tokenText(signature, signature[:60]), nil, 0, "token", reason.MalformedToken},
		"unknown endpoint":     {tokenText("sts.eu-central-1.amazonaws.com", "sts.example.com"), nil, 0, "endpoint", reason.EndpointNotAllowed},
		"other region's host":  {tokenText("sts.eu-central-1.", "sts.eu-west-1."), nil, 0, "endpoint", reason.EndpointNotAllowed},
		"expired":              {good, nil, 16 * time.Minute, "time", reason.TokenExpired},
		"dated ahead":          {good, nil, -6 * time.Minute, "time", reason.TokenFromFuture},
		"dated ahead a little": {good, verifier{id: alice}, -time.Minute, "", reason.Granted},
		"other cluster":        {good, refused(reason.SignatureMismatch), time.Minute, "STS", reason.SignatureMismatch},
		"key disabled":         {good, refused(reason.CredentialsInvalid), time.Minute, "STS", reason.CredentialsInvalid},
		"other partition":      {good, refused(reason.PartitionMismatch), time.Minute, "principal", reason.PartitionMismatch},
		"STS unreachable":      {good, refused(reason.STSUnreachable), time.Minute, "STS", reason.STSUnreachable},
		"offline":              {good, nil, time.Minute, "STS", Undecided},
	} {
		t.Run(name, func(t *testing.T) {
			o := tokenOptions(t, c.verifier, sources)
			o.Now = func() time.Time { return signedAt.Add(c.after) }
			e, err := ExplainToken(t.Context(), c.bearer, o)
			if err != nil {
				t.Fatal(err)
			}
			if stop(e) != c.step || e.Reason != c.code || reason.Of(e.Err()) != c.code {
				t.Errorf("stops at %q with %s (%v), want %q with %s", stop(e), e.Reason, e.Err(), c.step, c.code)
			}
			var out bytes.Buffer
			if err := errors.Join(e.WriteText(&out), WriteJSON(&out, &e)); err != nil {
				t.Fatal(err)
			}
			written := out.String() + fmt.Sprint(e.Err())
			secrets := []string{signature[:20], securityToken, token.Prefix + good[len(token.Prefix):][:20]}
			if len(c.bearer) > 20 {
				secrets = append(secrets, c.bearer, c.bearer[len(token.Prefix):])
			}
			for _, secret := range secrets {
				if strings.Contains(written, secret) {
					t.Errorf("%q is written:\n%s", secret, written)
				}
			}
		})
	}
}

func TestTokenStepsSayWhatWasFound(t *testing.T) {
	sources := roles(t, "- {rolearn: \""+arns+"role/developers\", username: \"dev:{{SessionName}}\", groups: [g]}\n")
	e, err := ExplainToken(t.Context(), tokenText(), tokenOptions(t, verifier{id: session(t, "developers", "alice")}, sources))
	if err != nil {
		t.Fatal(err)
	}
	want := []Step{
		{"token", OK, "GetCallerIdentity, presigned with the access key ASIAEXAMPLEEXAMPLE00"},
		{"endpoint", OK, "sts.eu-central-1.amazonaws.com, in eu-central-1"},
		{"time", OK, "signed at 2026-01-02T03:04:05Z, 1m30s ago; it lives for another 13m30s"},
		{"STS", OK, "the signature is right, and signed for this cluster; the caller is arn:aws:sts::111122223333:assumed-role/developers/alice"},
		{"principal", OK, "arn:aws:iam::111122223333:role/developers"},
		{"EKSConfigMap", OK, sources.list[0].origin + " mapRoles[0] (line 1)"},
		{"entry", OK, "valid"},
		{"principal ID", OK, "any"},
		{"session name", OK, "any"},
		{"credentials", OK, "any"},
		{"node", None, "not for nodes alone"},
		{"template", OK, "dev:{{SessionName}}"},
		{"reserved names", OK, "none"},
		{"account mapping", None, "not needed, as there is an entry"},
	}
	if !slices.Equal(e.Steps, want) {
		t.Errorf("steps\n%+v, want\n%+v", e.Steps, want)
	}
	if e.Identity.UserID != "AROAEXAMPLE" || e.User.Username != "dev:alice" || e.Assumed != nil {
		t.Errorf("identity %+v, user %+v, assumed %q", e.Identity, e.User, e.Assumed)
	}
	if ahead := age(signedAt, signedAt.Add(-3*time.Second)); !strings.Contains(ahead, "3s ahead of this machine's clock") {
		t.Errorf("a token of the future is %q", ahead)
	}
}

// A malformed token is explained without a look at the sources.
func TestSourcesAreReadOnceTheCallerIsKnown(t *testing.T) {
	o := tokenOptions(t, verifier{err: reason.New(reason.SignatureMismatch, "no")}, nil)
	o.Sources = func(context.Context) (*Sources, error) { t.Error("the sources are read"); return nil, nil }
	e, err := ExplainToken(t.Context(), tokenText(), o)
	if err != nil || len(e.Suggestions) != 1 || !strings.Contains(e.Suggestions[0].Text, "demo or old") {
		t.Errorf("%+v, %v", e.Suggestions, err)
	}
}

func TestWhatAnARNDoesNotSayIsAssumedOrAskedFor(t *testing.T) {
	for name, c := range map[string]struct {
		entry, arn, session, id string
		code                    reason.Code
		assumed                 string // "" for nothing
	}{
		"nothing matters":         {`{rolearn: "` + arns + `role/a", username: u}`, "role/a", "", "", reason.Granted, ""},
		"session in the name":     {`{rolearn: "` + arns + `role/a", username: "u:{{SessionName}}"}`, "role/a", "", "", reason.Granted, "--session-name"},
		"session given":           {`{rolearn: "` + arns + `role/a", username: "u:{{SessionName}}"}`, "role/a", "bob", "", reason.Granted, ""},
		"session pattern":         {`{rolearn: "` + arns + `role/a", username: u, sessionNamePattern: "a.*"}`, "role/a", "", "", Undecided, "--session-name"},
		"session pattern, given":  {`{rolearn: "` + arns + `role/a", username: u, sessionNamePattern: "a.*"}`, "role/a", "bob", "", reason.SessionNameRefused, ""},
		"node":                    {`{rolearn: "` + arns + `role/a", username: "system:node:{{EC2PrivateDNSName}}"}`, "role/a", "", "", Undecided, "--session-name"},
		"ID pinned":               {`{rolearn: "` + arns + `role/a", username: u, userid: AROAX}`, "role/a", "", "", reason.Granted, "--principal-id"},
		"ID pinned, other given":  {`{rolearn: "` + arns + `role/a", username: u, userid: AROAX}`, "role/a", "", "AROAY", reason.PrincipalIDMismatch, ""},
		"ID of another kind":      {`{rolearn: "` + arns + `role/a", username: u, userid: AIDAX}`, "role/a", "", "", reason.PrincipalIDMismatch, "--principal-id"},
		"temporary credentials":   {`{rolearn: "` + arns + `user/a", username: u, requireTemporaryCredentials: true}`, "user/a", "", "", reason.TemporaryCredentialsRequired, "long-term"},
		"of a role always":        {`{rolearn: "` + arns + `role/a", username: u, requireTemporaryCredentials: true}`, "role/a", "", "", reason.Granted, ""},
		"access key in the name":  {`{rolearn: "` + arns + `user/a", username: "{{AccessKeyID}}"}`, "user/a", "", "", reason.Granted, "access key ID"},
		"reserved by the session": {`{rolearn: "` + arns + `role/a", username: "{{SessionName}}:masters"}`, "role/a", "system", "", reason.NameReserved, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := roles(t, "- "+c.entry+"\n")
			e, err := s.ExplainARN(t.Context(), principalOf(t, arns+c.arn), c.session, c.id)
			if err != nil {
				t.Fatal(err)
			}
			assumed := strings.Join(e.Assumed, "; ")
			if e.Reason != c.code || (assumed == "") != (c.assumed == "") || !strings.Contains(assumed, c.assumed) {
				t.Errorf("%s (%s), assumed %q, want %s, %q", e.Reason, e.Detail, assumed, c.code, c.assumed)
			}
			if c.id == "" && e.Identity.UserID != "" || e.Identity.AccessKeyID != "" {
				t.Errorf("what is assumed is shown as known: %+v", e.Identity)
			}
		})
	}
}

func TestStrictFileIsAskedForTheIDOfItsEntry(t *testing.T) {
	o := options(t, &Cluster{}, config.BackendDynamicFile)
	addFiles(&o)
	o.Server.DynamicFileUserIDStrict = true
	o.Server.DynamicFilePath = write(t, "dynamic.json", `{"mapRoles":[
		{"rolearn":"`+arns+`role/a","userid":"AROAX","username":"u"},
		{"userid":"AROAY","username":"only-by-id"}]}`)
	s := read(t, o)
	if e := explain(t, s, arns+"role/a"); e.Reason != reason.Granted || len(e.Assumed) != 1 {
		t.Errorf("%s (%s), assumed %q", e.Reason, e.Detail, e.Assumed)
	}
	e, err := s.ExplainARN(t.Context(), principalOf(t, arns+"role/b"), "", "AROAY")
	if err != nil || e.User == nil || e.User.Username != "only-by-id" {
		t.Errorf("%+v, %v", e, err)
	}
	for _, entry := range s.List(nil).Entries {
		if entry.Status != InForce {
			t.Errorf("%s is %s: %s", entry.Principal, entry.Status, entry.Why)
		}
	}
}

func TestEverySourceIsShownWithWhatItHas(t *testing.T) {
	cluster := &Cluster{
		AWSAuth: write(t, "aws-auth.yaml", awsAuth(map[string]string{mapper.MapRoles: "- {rolearn: \"" + arns + "role/a\", username: first}\n- {rolearn: \"" + arns + "role/p/A\", username: last}\n"})),
		AccessEntries: []string{write(t, "entries.yaml", "kind: AccessEntry\napiVersion: iam-authenticator.dev/v1alpha1\nmetadata: {name: session}\n"+
			"spec: {principalARN: \"arn:aws:sts::"+account+":assumed-role/a/x\"}\n")},
	}
	o := options(t, cluster, config.BackendAccessEntry, config.BackendEKSConfigMap, config.BackendMountedFile)
	addFiles(&o)
	o.ConfigFile = write(t, "config.yaml", "clusterID: demo\nserver:\n  mapRoles:\n  - rolearn: "+arns+"role/a\n    username: from-file\n")
	o.Server.BootstrapAdmin = []string{arns + "role/breakglass"}
	s := read(t, o)
	e := explain(t, s, arns+"role/a")
	want := []Step{
		{"BootstrapAdmin", None, "no entry in " + o.ConfigFile},
		{"AccessEntry", None, `AccessEntry/session names it, but is skipped: `},
		{"EKSConfigMap", OK, cluster.AWSAuth + " mapRoles[1] (line 2) (it stands instead of " + cluster.AWSAuth + " mapRoles[0] (line 1))"},
		{"MountedFile", NotReached, o.ConfigFile + ":4 mapRoles[0] is for the principal too, but shadowed: an earlier source decided"},
	}
	for i, step := range want {
		if got := e.Steps[1+i]; got.Name != step.Name || got.Result != step.Result || !strings.HasPrefix(got.Detail, step.Detail) {
			t.Errorf("step %+v, want %+v", got, step)
		}
	}
	if e := explain(t, s, arns+"role/breakglass"); e.User == nil || !slices.Contains(e.User.Groups, "system:masters") || e.User.Entry != "bootstrapAdmin[0]" {
		t.Errorf("the bootstrap administrator: %+v", e.User)
	}
}

func TestNearMissesSayWhatDiffers(t *testing.T) {
	for name, c := range map[string]struct {
		entry, arn string
		want       string
	}{
		"one digit":          {`rolearn: arn:aws:iam::111122223334:role/dev`, "role/dev", "111122223334: one digit differs"},
		"two digits swapped": {`rolearn: arn:aws:iam::111122232333:role/dev`, "role/dev", "one digit differs"},
		"account":            {`rolearn: arn:aws:iam::444455556666:role/dev`, "role/dev", "in the account 444455556666, the caller is in 111122223333"},
		"partition":          {`rolearn: arn:aws-cn:iam::111122223333:role/dev`, "role/dev", "partition aws-cn"},
		"kind":               {`rolearn: arn:aws:iam::111122223333:user/dev`, "role/dev", "is for the user of that name, the caller is a role"},
		"path of a user":     {`rolearn: arn:aws:iam::111122223333:user/team/bob`, "user/bob", "with the path /team/, the caller's is /"},
		"similar name":       {`rolearn: arn:aws:iam::111122223333:role/developers`, "role/developer", "a role with a similar name, developers"},
		"skipped session":    {`rolearn: arn:aws:sts::111122223333:assumed-role/dev/x`, "role/dev", "seems meant, but is skipped: names a session"},
		"skipped account":    {`rolearn: arn:aws:iam::1111:role/dev`, "role/dev", "seems meant, but is skipped"},
		"new SSO role":       {`rolearn: arn:aws:iam::111122223333:role/AWSReservedSSO_Ops_0123456789abcdef`, "role/AWSReservedSSO_Ops_fedcba9876543210", "an earlier role of the same permission set"},
		"permission set":     {`sso: {permissionSetName: ops, accountID: "111122223333"}`, "role/AWSReservedSSO_Ops_fedcba9876543210", "letter case counts"},
		"SSO account":        {`sso: {permissionSetName: Ops, accountID: "444455556666"}`, "role/AWSReservedSSO_Ops_fedcba9876543210", "in the account 444455556666"},
		"nothing alike":      {`rolearn: arn:aws:iam::111122223333:role/somebody-else`, "role/dev", ""},
	} {
		t.Run(name, func(t *testing.T) {
			e := explain(t, roles(t, "- "+c.entry+"\n  username: u\n"), arns+c.arn)
			if e.Reason != reason.NotMapped || e.Suggestions[len(e.Suggestions)-1].Snippet == "" {
				t.Fatalf("%+v", e)
			}
			if c.want == "" && len(e.Suggestions) != 1 || !strings.Contains(fmt.Sprint(e.Suggestions), c.want) {
				t.Errorf("suggestions %+v, want %q", e.Suggestions, c.want)
			}
		})
	}
}

// What is suggested for somebody who is not mapped lets exactly that principal in.
func TestSuggestedSnippetMends(t *testing.T) {
	principals := []string{"role/dev", "role/team/Dev.ops@x", "role/system", "role/eks", "user/bob", "user/p/bob=+,.@-_", "root",
		"role/AWSReservedSSO_Ops_0123456789abcdef", "role/_"}
	for _, arn := range principals {
		arn := arns + arn
		t.Run(arn, func(t *testing.T) {
			e := explain(t, roles(t, ""), arn)
			snippet := e.Suggestions[len(e.Suggestions)-1]
			section := mapper.MapRoles
			if strings.Contains(snippet.Text, mapper.MapUsers) {
				section = mapper.MapUsers
			}
			mended := write(t, "aws-auth.yaml", awsAuth(map[string]string{section: snippet.Snippet}))
			s := read(t, options(t, &Cluster{AWSAuth: mended}, config.BackendEKSConfigMap))
			if e := explain(t, s, arn); e.Reason != reason.Granted || len(s.List(nil).OnlyProblems().Entries) > 0 {
				t.Errorf("%s (%s) with\n%s", e.Reason, e.Detail, snippet.Snippet)
			}
			if principalOf(t, arn).Kind == iam.Root {
				return
			}
			empty := write(t, "empty.yaml", "")
			e = explain(t, read(t, options(t, &Cluster{AccessEntries: []string{empty}}, config.BackendAccessEntry)), arn)
			snippet = e.Suggestions[len(e.Suggestions)-1]
			var entry v1alpha1.AccessEntry
			if err := yaml.UnmarshalStrict([]byte(snippet.Snippet), &entry); err != nil {
				t.Fatal(err)
			}
			if errs := entry.Validate(); len(errs) > 0 {
				t.Errorf("%v with\n%s", errs, snippet.Snippet)
			}
			s = read(t, options(t, &Cluster{AccessEntries: []string{write(t, "e.yaml", snippet.Snippet)}}, config.BackendAccessEntry))
			if e := explain(t, s, arn); e.Reason != reason.Granted {
				t.Errorf("%s (%s) with\n%s", e.Reason, e.Detail, snippet.Snippet)
			}
		})
	}
}

func TestRefusalsSayWhatToChange(t *testing.T) {
	for name, c := range map[string]struct{ entry, session, want string }{
		"recreated":       {"username: u\n  userid: AROAOLD", "alice", "replace AROAOLD by AROANEW in"},
		"session pattern": {"username: u\n  sessionNamePattern: bob", "alice", "matches bob as a whole"},
		"reserved":        {`username: "{{SessionName}}:masters"`, "system", "begin the name with text of your own"},
		"mistake":         {"username: u\n  gruops: []", "alice", "correct"},
	} {
		t.Run(name, func(t *testing.T) {
			s := roles(t, "- rolearn: "+arns+"role/a\n  "+c.entry+"\n")
			e, err := s.ExplainARN(t.Context(), principalOf(t, arns+"role/a"), c.session, "AROANEW")
			if err != nil || len(e.Suggestions) != 1 || !strings.Contains(e.Suggestions[0].Text, c.want) {
				t.Errorf("%s: suggestions %+v, %v, want %q", e.Reason, e.Suggestions, err, c.want)
			}
		})
	}
}

func TestJSONKeysAreThoseDocumented(t *testing.T) {
	e := explain(t, roles(t, "- {rolearn: \""+arns+"role/a\", username: u, groups: [g]}\n"), arns+"role/a")
	data, err := json.Marshal(&e)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"outcome":"granted","reason":"Granted","identity":{"arn":"arn:aws:sts::111122223333:assumed-role/a/*",` +
		`"canonicalARN":"arn:aws:iam::111122223333:role/a","accountID":"111122223333"},"user":{"username":"u","groups":["g"],"source":"EKSConfigMap","entry":`
	if !strings.HasPrefix(string(data), want) {
		t.Errorf("%s\nwant %s…", data, want)
	}
}

func TestPrincipalOfAnotherPartitionIsRefused(t *testing.T) {
	s := roles(t, "- {rolearn: \"arn:aws-cn:iam::"+account+":role/a\", username: u}\n")
	if e := explain(t, s, "arn:aws-cn:iam::"+account+":role/a"); e.Reason != reason.PartitionMismatch || stop(e) != "principal" {
		t.Errorf("%s at %q", e.Reason, stop(e))
	}
}

// nodeNames says what EC2 would.
type nodeNames struct{ err error }

func (n nodeNames) PrivateDNSName(context.Context, iam.Identity, bool) (string, error) {
	return "ip-10-0-0-1.ec2.internal", n.err
}

// What the names of nodes come from may have reasons of its own.
func TestWhateverEC2SaysEndsTheLoginAtTheNode(t *testing.T) {
	s := roles(t, "- {rolearn: \""+arns+"role/node\", username: \"system:node:{{EC2PrivateDNSName}}\"}\n")
	for code, step := range map[reason.Code]string{reason.Granted: "", reason.EC2Unavailable: "node", reason.Canceled: "node", Undecided: "node", reason.InstanceNotFound: "node", reason.TemplateFailed: "template"} {
		s.chain.Nodes = nodeNames{}
		if code != reason.Granted {
			s.chain.Nodes = nodeNames{reason.New(code, "EC2 says so")}
		}
		e, err := s.ExplainARN(t.Context(), principalOf(t, arns+"role/node"), "i-0123456789abcdef0", "")
		if err != nil || e.Reason != code || stop(e) != step {
			t.Errorf("%s at %q (%v), want %s at %q", e.Reason, stop(e), err, code, step)
		}
	}
}

func TestSimilarNameIsNamedOnlyIfNothingIsNearer(t *testing.T) {
	e := explain(t, roles(t, "- {rolearn: \"arn:aws:iam::111122223334:role/dev\", username: u}\n- {rolearn: \""+arns+"role/devs\", username: u}\n"), arns+"role/dev")
	if len(e.Suggestions) != 2 || !strings.Contains(e.Suggestions[0].Text, "one digit differs") {
		t.Errorf("suggestions %+v", e.Suggestions)
	}
}
