package lint

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
)

// role is the beginning of an entry that is good with what is put behind it.
const role = "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: admin:{{SessionName}}\n"

const (
	configMap = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: aws-auth\n  namespace: kube-system\ndata:\n"
	entryHead = "apiVersion: iam-authenticator.dev/v1alpha1\nkind: AccessEntry\nmetadata:\n  name: a\nspec:\n  principalARN: arn:aws:iam::111122223333:role/team/Admins\n"
)

// ruleTests have for every rule a text that breaks it, the place of the finding, and
// the same text without the mistake, or "" if there is none worth showing.
var ruleTests = []struct {
	rule      ID
	name      string
	bad       string
	at        string // line:column
	good      string
	suggested string // part of the suggestion
}{
	{yamlSyntax, "tab", "mapRoles:\n\t- a\n", "2:1", "", "no tabs"},
	{yamlSyntax, "in a section", configMap + "  mapRoles: |\n    - a: b\n      c: d: e\n", "9:7", "", ""},
	{yamlSyntax, "two documents in a section", configMap + "  mapUsers: |\n    - a\n    ---\n    - b\n", "9:5", "", ""},
	{unknownDocument, "no known key", "hello: world\n", "1:1", "clusterID: demo\n", ""},
	{unknownDocument, "text", "hello\n", "1:1", "", ""},
	{unknownDocument, "misspelt kind", strings.Replace(configMap, "ConfigMap", "Configmap", 1), "2:7", "", "ConfigMap"},
	{unknownDocument, "configuration beside another document", "---\nclusterID: demo\n---\n" + configMap, "2:1", "", ""},
	{unknownDocument, "item without a kind", "kind: List\nitems:\n- a: b\n", "3:3", "", ""},
	{configMapName, "name", strings.Replace(configMap, "aws-auth", "aws_auth", 1) + "  mapRoles: |\n    " + indent(role, 4), "4:9", "", "aws-auth"},
	{configMapName, "namespace", strings.Replace(configMap, "kube-system", "default", 1), "5:14", "", "kube-system"},
	{dataKey, "letter case", configMap + "  maproles: |\n    []\n", "7:3", configMap + "  mapRoles: |\n    []\n", "mapRoles"},
	{dataKey, "binary", strings.Replace(configMap, "\ndata:", "\nbinaryData:", 1) + "  mapRoles: W10=\n", "7:3", "", "under data"},
	{dataType, "list", configMap + "  mapRoles:\n  - rolearn: a\n", "8:3", "", "|"},
	{dataType, "number", configMap + "  mapAccounts: 111122223333\n", "7:16", "", ""},
	{notAList, "section", configMap + "  mapRoles: |\n    rolearn: a\n", "8:5", "", "dash"},
	{notAList, "text in a file", "mapUsers: []\nserver:\n  mapRoles: |\n    []\n", "3:13", "server:\n  mapRoles: []\n", "only in a ConfigMap"},
	{unknownKey, "misspelt", role + "  gruops: [a]\n", "3:3", role + "  groups: [a]\n", `"groups"`},
	{unknownKey, "restriction", role + "  requireTemporaryCredential: true\n", "3:3", role + "  requireTemporaryCredentials: true\n", `"requireTemporaryCredentials"`},
	{unknownKey, "of a permission set", "- sso: {permissionSet: V, accountID: '111122223333'}\n  username: a\n", "1:9", "", `"permissionSetName"`},
	{unknownKey, "of a configuration", "clusterID: a\nserver:\n  prot: 1\n", "3:3", "clusterID: a\nserver:\n  port: 1\n", `"port"`},
	{unknownKey, "section of a mapping file", "mapRols: []\n", "1:1", "mapRoles: []\n", `"mapRoles"`},
	{unknownKey, "of a ConfigMap", strings.Replace(configMap, "\ndata:", "\nData:", 1) + "  mapRoles: |\n    []\n", "6:1", "", `"data"`},
	{unknownKey, "of an access entry", entryHead + "  gruops: [a]\n", "7:3", "", ""},
	{unknownKey, "of the metadata's place", entryHead + "sepc: {}\n", "7:1", "", `"spec"`},
	{duplicateKey, "of an entry", role + "  Username: b\n", "3:3", "", ""},
	{duplicateKey, "of the data", configMap + "  mapRoles: |\n    []\n  mapRoles: |\n    []\n", "9:3", "", ""},
	{duplicateKey, "of a configuration", "clusterID: a\nclusterid: b\n", "2:1", "", ""},
	{duplicateKey, "of a mapping file", "mapRoles: []\nMAPROLES: []\n", "2:1", "", ""},
	{missingKey, "username", "- groups: [a]\n  rolearn: arn:aws:iam::111122223333:role/Admins\n", "1:3", "", ""},
	{missingKey, "username without a value", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username:\n", "2:12", "", ""},
	{missingKey, "principal", "- username: a\n", "1:3", "", ""},
	{notAString, "username", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: 123\n", "2:13", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: '123'\n", `"123"`},
	{notAString, "unquoted placeholder", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: {{SessionName}}\n", "2:13", "", "in quotes"},
	{notAString, "group", role + "  groups: [a, 1]\n", "3:15", "", `"1"`},
	{notAString, "ARN", "- rolearn: 1\n  username: a\n", "1:12", "", ""},
	{notAString, "group of an access entry, in YAML 1.1", entryHead + "  kubernetesGroups: [a, yes]\n", "7:25", "", `"yes"`},
	{groupsNotAList, "text", role + "  groups: dev\n", "3:11", role + "  groups: [dev]\n", "[dev]"},
	{groupsNotAList, "under a misspelt key", role + "  gruops: dev\n", "3:11", "", "[dev]"},
	{groupsNotAList, "of an access entry", entryHead + "  kubernetesGroups: dev\n", "7:21", "", ""},
	{misindentedGroup, "", role + "  groups:\n  - a\n    - b\n", "4:5", role + "  groups:\n  - a\n  - b\n", `"a", "b"`},
	{malformedARN, "instance profile", "- rolearn: arn:aws:iam::111122223333:instance-profile/a\n  username: a\n", "1:12", "", "role in the instance profile"},
	{malformedARN, "trailing space", "- rolearn: 'arn:aws:iam::111122223333:role/a '\n  username: a\n", "1:12", "", "without spaces"},
	{malformedARN, "Cyrillic letter", "- rolearn: arn:aws:iam::111122223333:role/аdmin\n  username: a\n", "1:12", "", "role/admin"},
	{malformedARN, "partition", "- rolearn: arn:awss:iam::111122223333:role/a\n  username: a\n", "1:12", "", `"aws"`},
	{sessionARN, "", "- rolearn: arn:aws:sts::111122223333:assumed-role/Admins/alice\n  username: a\n", "1:12", "", "arn:aws:iam::111122223333:role/Admins"},
	{sessionARN, "half", "- rolearn: arn:aws:sts::111122223333:assumed-role/Admins\n  username: a\n", "1:12", "", "arn:aws:iam::111122223333:role/Admins"},
	{sessionARN, "of an access entry", strings.Replace(entryHead, "iam::111122223333:role/team/Admins", "sts::111122223333:assumed-role/Admins/a", 1), "6:17", "", "role/Admins"},
	{wildcard, "", "- rolearn: arn:aws:iam::111122223333:role/*\n  username: a\n", "1:12", "", "sso"},
	{accountID, "lost zero", "- 11122223333\n", "1:3", "- '011122223333'\n", "011122223333"},
	{accountID, "in an ARN", "- rolearn: arn:aws:iam::11122223333:role/a\n  username: a\n", "1:12", "", "011122223333"},
	{accountID, "of a permission set", "- sso: {permissionSetName: V, accountID: 11122223333}\n  username: a\n", "1:42", "", "011122223333"},
	{permissionSet, "pattern", "- sso: {permissionSetName: V*, accountID: '111122223333'}\n  username: a\n", "1:28", "", ""},
	{placeholder, "", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: a:{{SesionName}}\n", "2:13", role, "SessionName"},
	{placeholder, "in a group", role + "  groups:\n  - a\n  - b{{\n", "5:5", "", ""},
	{systemSessionName, "", role + "  groups: [\"system:{{SessionName}}\"]\n", "3:12", "", ""},
	{invalidName, "invisible", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: \"a\\u200bb\"\n", "2:13", "", ""},
	{invalidName, "username of ours", "- rolearn: arn:aws:iam::111122223333:role/Admins\n  username: iam-authenticator.dev:a\n", "2:13", "", ""},
	{invalidName, "group of ours", role + "  groups: [a, 'IAM-authenticator.dev:{{SessionName}}']\n", "3:15", "", ""},
	{invalidName, "empty group", role + "  groups: ['']\n", "3:12", "", ""},
	{invalidEntry, "no mapping", "- {username: a, rolearn: 'arn:aws:iam::111122223333:role/a'}\n- hello\n", "2:3", "", ""},
	{invalidEntry, "pattern", role + "  sessionNamePattern: '('\n", "3:23", "", ""},
	{invalidEntry, "pattern for a user", "- userarn: arn:aws:iam::111122223333:user/a\n  username: a\n  sessionNamePattern: a\n", "3:23", "", ""},
	{invalidEntry, "two principals", role + "  sso: {permissionSetName: V, accountID: '111122223333'}\n", "1:3", "", ""},
	{neverMaps, "user with a session name", "- userarn: arn:aws:iam::111122223333:user/a\n  username: u:{{SessionName}}\n", "2:13", "- userarn: arn:aws:iam::111122223333:user/a\n  username: u\n", "no session"},
	{neverMaps, "pattern that matches no session", role + "  sessionNamePattern: a.b c\n", "3:23", role + "  sessionNamePattern: a.b-c\n", ""},
	{neverMaps, "user ID of a role", "- userarn: arn:aws:iam::111122223333:user/a\n  username: a\n  userid: AROAEXAMPLE\n", "3:11", "- userarn: arn:aws:iam::111122223333:user/a\n  username: a\n  userid: AIDAEXAMPLE\n", ""},
	{neverMaps, "pattern that no instance has", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: system:node:{{EC2PrivateDNSName}}\n  groups: [system:nodes]\n  sessionNamePattern: node-.*\n", "4:23", "", ""},
	{neverMaps, "reserved prefix", "server:\n  reservedPrefixConfig:\n  - {backendmode: MountedFile, usernamePrefixReserveList: ['admin:']}\n  mapRoles:\n  " + indent(role, 2), "6:15", "server:\n  mapRoles:\n  " + indent(role, 2), ""},
	{otherPartition, "", "server:\n  partition: aws-cn\n  mapRoles:\n  " + indent(role, 2), "4:14", "server:\n  mapRoles:\n  " + indent(role, 2), ""},
	{configValue, "out of range", "clusterID: a\nserver:\n  port: 70000\n", "3:9", "", ""},
	{configValue, "wrong kind", "server:\n  port: https\n", "2:3", "", ""},
	{configValue, "bootstrap session", "server:\n  bootstrapAdmin:\n  - arn:aws:sts::111122223333:assumed-role/a/b\n", "3:3", "", ""},
	{accessEntry, "system group", entryHead + "  kubernetesGroups: [a, 'system:masters']\n", "7:25", entryHead + "  kubernetesGroups: [a]\n", ""},
	{accessEntry, "forgeable", entryHead + "  username: '{{SessionName}}'\n", "7:13", entryHead + "  username: 't:{{SessionName}}'\n", ""},
	{accessEntry, "group of ours", entryHead + "  kubernetesGroups: [a, 'iam-authenticator.dev:access-entry:a:b']\n", "7:25", "", ""},
	{unknownPolicy, "of AWS", entryHead + "  accessPolicies:\n  - policyARN: arn:aws:eks::aws:cluster-access-policy/AmazonEKSHybridPolicy\n    accessScope: {type: cluster}\n", "8:16",
		entryHead + "  accessPolicies:\n  - policyARN: arn:aws:eks::aws:cluster-access-policy/our.own\n    accessScope: {type: cluster}\n", ""},
	{unknownPolicy, "no label", entryHead + "  accessPolicies:\n  - policyARN: arn:aws:eks::aws:cluster-access-policy/our@own\n    accessScope: {type: cluster}\n", "8:16",
		entryHead + "  accessPolicies:\n  - policyARN: arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy\n    accessScope: {type: cluster}\n", ""},
	{accessEntry, "scope", entryHead + "  accessPolicies:\n  - policyARN: arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy\n    accessScope: {type: namespace}\n", "9:18", "", ""},
	{accessEntry, "version", strings.Replace(entryHead, "v1alpha1", "v1", 1), "1:13", "", "v1alpha1"},
	{accessEntry, "no name", strings.Replace(entryHead, "  name: a", "  labels: {}", 1), "4:3", "", ""},

	{moreFindings, "", strings.Repeat("- 1\n", 1001), "1:1", "", "mend these first"},

	{configMapNamespace, "", strings.Replace(configMap, "  namespace: kube-system\n", "", 1), "4:3", "", "kube-system"},
	{unreadKey, "of the data", configMap + "  notes: |\n    []\n", "7:3", "", ""},
	{unreadKey, "of a mapping file", "mapRoles: []\ncomment: a\n", "2:1", "mapRoles: []\nVersion: '1'\n", ""},
	{empty, "file", "# nothing\n", "1:1", "", ""},
	{empty, "ConfigMap", configMap, "6:6", "", ""},
	{duplicate, "last one stands", role + role + strings.ToUpper("- rolearn: arn:aws:iam::111122223333:role/") + "x\n  username: a\n", "1:12", "", ""},
	{duplicate, "role and user section", configMap + "  mapUsers: |\n    - userarn: arn:aws:iam::111122223333:role/Admins\n      username: a\n  mapRoles: |\n    " + indent(role, 4), "8:16", "", "remove"},
	{duplicate, "account", "- '111122223333'\n- '111122223333'\n", "2:3", "", ""},
	{duplicate, "group", role + "  groups: [a, a]\n", "3:15", "", ""},
	{duplicate, "access entries", entryHead + "---\n" + strings.Replace(entryHead, "name: a", "name: b", 1), "13:17", "", ""},
	{wrongSection, "role under mapUsers", "- userarn: arn:aws:iam::111122223333:role/a\n  username: a\n", "1:12", "", ""},
	{wrongSection, "user under mapRoles", "- rolearn: arn:aws:iam::111122223333:user/a\n  username: a\n", "1:12", "", ""},
	{forgeableName, "username", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: '{{SessionName}}'\n", "2:13", "- rolearn: arn:aws:iam::111122223333:role/AWSReservedSSO_V_0123456789abcdef\n  username: '{{SessionName}}'\n", "team:{{SessionName}}"},
	{forgeableName, "group", role + "  groups: [a, '{{SessionNameRaw}}-b']\n", "3:15", role + "  sessionNamePattern: 'ann|bob'\n  groups: [a, '{{SessionNameRaw}}-b']\n", ""},
	{nodeIdentity, "people in a node's role", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: system:node:{{EC2PrivateDNSName}}\n  groups: [system:nodes, admins]\n", "3:26", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: system:node:{{EC2PrivateDNSName}}\n  groups: [system:nodes, system:bootstrappers]\n", ""},
	{nodeIdentity, "without the group", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: system:node:{{EC2PrivateDNSName}}\n", "2:13", "", "system:nodes"},
	{nodeIdentity, "without the name", role + "  groups: [system:nodes]\n", "2:13", "", ""},
	{nodeIdentity, "people named like instances", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: x:{{EC2PrivateDNSName}}\n", "2:13", "", "{{SessionName}}"},
	{rootPrincipal, "", "- userarn: arn:aws:iam::111122223333:root\n  username: a\n", "1:12", "", "mapAccounts"},
	{ssoRole, "", "- rolearn: arn:aws:iam::111122223333:role/AWSReservedSSO_View\n  username: a\n", "1:12", "", "permissionSetName"},
	{whitespace, "", "- rolearn: arn:aws:iam::111122223333:role/a\n  username: ' a'\n", "2:13", "", `"a"`},
	{lookAlike, "", role + "  groups: [dеvs]\n", "3:12", role + "  groups: [dévs]\n", `"devs"`},
	{systemGroup, "misspelt", role + "  groups: ['system:master']\n", "3:12", "", `"system:masters"`},
	{systemGroup, "letter case", role + "  groups: ['System:Masters']\n", "3:12", "", `"system:masters"`},
	{systemGroup, "none", role + "  groups: ['system:our-own']\n", "3:12", role + "  groups: ['system:serviceaccounts:default']\n", ""},
	{mixedPartitions, "", role + strings.ReplaceAll(role, "Admins", "B") + "- rolearn: arn:aws-cn:iam::111122223333:role/a\n  username: a\n", "5:12", "", ""},
	{shadowed, "", configMap + "  mapRoles: |\n    " + indent(role, 4) + "      groups: [a]\n---\n" + entryHead, "17:17", configMap + "  mapRoles: |\n    " + indent(role, 4) + "      groups: [a]\n---\n" + entryHead + "  kubernetesGroups: [a]\n", ""},

	{rolePath, "", "- rolearn: arn:aws:iam::111122223333:role/team/a\n  username: a\n", "1:12", "", "role/a "},
	{wholeAccount, "", "- '111122223333'\n", "1:3", "", ""},
	{unquotedAccount, "", "- 011122223333\n", "1:3", "- '011122223333'\n", `"011122223333"`},
	{systemMasters, "", role + "  groups: ['system:masters']\n", "3:12", "", "cluster-admin"},
	{configValue, "source ARN", "server:\n  sourceARN: a\n", "2:14", "", ""},
	{unusedKey, "mappings without their backend", "server:\n  backendMode: EKSConfigMap\n  mapRoles:\n  " + indent(role, 2), "4:3", "", ""},
	{notChecked, "kind", "apiVersion: v1\nkind: Secret\n", "1:1", "", ""},
	{notChecked, "ConfigMap", strings.Replace(configMap, "aws-auth", "other", 1), "1:1", "", ""},
	{notChecked, "AccessEntry of somebody else", strings.Replace(entryHead, "iam-authenticator.dev", "eks.services.k8s.aws", 1), "1:1", "", ""},
}

// indent indents all lines but the first.
func indent(s string, n int) string {
	return strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "\n", "\n"+strings.Repeat(" ", n)) + "\n"
}

func TestRules(t *testing.T) {
	for _, c := range ruleTests {
		t.Run(string(c.rule)+" "+c.name, func(t *testing.T) {
			var places []string
			for _, f := range Check("f.yaml", []byte(c.bad), Options{}) {
				if f.Rule != string(c.rule) {
					continue
				}
				place := fmt.Sprintf("%d:%d", f.Line, f.Column)
				places = append(places, place)
				if place == c.at && !strings.Contains(f.Suggestion, c.suggested) {
					t.Errorf("suggestion %q, want %q in it", f.Suggestion, c.suggested)
				}
				if f.Severity != c.rule.severity() || f.Message == "" || f.File != "f.yaml" {
					t.Errorf("finding %+v", f)
				}
			}
			if !slices.Contains(places, c.at) {
				t.Errorf("found at %v, want %s; all: %+v\n%s", places, c.at, Check("f.yaml", []byte(c.bad), Options{}), c.bad)
			}
			if c.good == "" {
				return
			}
			for _, f := range Check("f.yaml", []byte(c.good), Options{}) {
				if f.Rule == string(c.rule) || f.Severity == Error {
					t.Errorf("without the mistake: %+v", f)
				}
			}
		})
	}
}

func TestUnboundGroup(t *testing.T) {
	text := role + "  groups: [devs, admins, 'system:masters', 'a:{{AccountID}}']\n"
	var got []string
	for _, f := range Check("f", []byte(text), Options{BoundGroups: []string{"devs", "admin"}}) {
		if f.Rule == string(unboundGroup) {
			got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Suggestion))
		}
	}
	if want := []string{`3:18 did you mean "admin"?`}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, f := range Check("f", []byte(text), Options{}) {
		if f.Rule == string(unboundGroup) {
			t.Errorf("without a cluster: %+v", f)
		}
	}
}

func TestPartitionOfTheServerMakesAnError(t *testing.T) {
	if n := Count(Check("f", []byte(role), Options{Partition: "aws-us-gov"})); n.Errors != 1 {
		t.Errorf("%+v, want one error", n)
	}
}

func TestUserIDStrictWantsUserIDs(t *testing.T) {
	const text = `{"mapUsers": [{"userid": "AIDAEXAMPLE", "username": "a"}]}`
	if n := Count(Check("f", []byte(text), Options{UserIDStrict: true})); n.Errors != 0 {
		t.Errorf("%+v, want no error", n)
	}
	if n := Count(Check("f", []byte(text), Options{})); n.Errors == 0 {
		t.Error("no error, but there is no userarn")
	}
}

func TestShadowsReachAcrossFiles(t *testing.T) {
	inputs := []Input{
		{"z-entry.yaml", []byte(entryHead)},
		{"a-aws-auth.yaml", []byte(configMap + "  mapRoles: |\n    " + indent(role, 4) + "      groups: [a]\n")},
	}
	findings := CheckAll(inputs, Options{})
	if len(findings) != 1 || findings[0].File != "z-entry.yaml" || findings[0].Rule != string(shadowed) || !strings.Contains(findings[0].Message, "a-aws-auth.yaml, line 8") {
		t.Errorf("findings %+v", findings)
	}
}

func TestEverythingWrongWithAnEntryIsFound(t *testing.T) {
	const text = `- rolearn: arn:aws:iam::111122223333:role/*
  usrname: 5
  groups: [1, ok, "{{Nope}}"]
  sessionNamePattern: "("
`
	var got []string
	for _, f := range Check("f", []byte(text), Options{}) {
		got = append(got, fmt.Sprintf("%d:%d %s", f.Line, f.Column, f.Rule))
	}
	want := []string{"1:12 wildcard", "2:3 unknown-key", "2:12 not-a-string", "3:12 not-a-string", "3:19 placeholder", "4:23 invalid-entry"}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

func TestEveryRuleIsTestedAndDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/lint.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := map[ID]bool{unboundGroup: true} // by TestUnboundGroup
	for _, c := range ruleTests {
		seen[c.rule] = true
	}
	for _, r := range Rules() {
		if !seen[r.ID] {
			t.Errorf("rule %s has no test", r.ID)
		}
		if row := fmt.Sprintf("| `%s` | %s | %s |", r.ID, r.Severity, r.Summary); !strings.Contains(string(doc), row) {
			t.Errorf("docs/lint.md lacks the row\n%s", row)
		}
		delete(seen, r.ID)
	}
	for id := range seen {
		t.Errorf("rule %s is not in the list", id)
	}
	_, table, _ := strings.Cut(string(doc), "## Rules")
	if rows := strings.Count(table, "\n| `"); rows != len(Rules()) {
		t.Errorf("docs/lint.md has %d rows of rules, want %d", rows, len(Rules()))
	}
}

// TestPositionsInText checks that a mistake in a text in a manifest is found where it
// stands, however the text is written.
func TestPositionsInText(t *testing.T) {
	for name, c := range map[string]struct{ text, at string }{
		"block":                     {configMap + "  mapRoles: |\n    - username: 1\n", "8:17"},
		"block with a comment":      {configMap + "  mapRoles: |- # who\n\n\n       # c\n       - username: 1\n", "11:20"},
		"block with an indentation": {configMap + "  mapRoles: |2\n      - username: 1\n", "8:19"},
		"block with Windows breaks": {strings.ReplaceAll(configMap+"  mapRoles: |\n    - username: 1\n", "\n", "\r\n"), "8:17"},
		"block in a list":           {"kind: List\nitems:\n- kind: ConfigMap\n  metadata: {name: aws-auth, namespace: kube-system}\n  data:\n    mapRoles: |\n      - username: 1\n", "7:19"},
		"double quotes":             {configMap + `  mapRoles: "- username: 1"` + "\n", "7:26"},
		"double quotes, escaped":    {configMap + `  mapRoles: "# \u00e9\n- username: 1"` + "\n", "7:36"},
		"double quotes, folded":     {configMap + "  mapRoles: \"# a\\n\\\n    - username: 1\"\n", "8:17"},
		"single quotes":             {configMap + "  mapRoles: '- {a: ''x'', username: 1}'\n", "7:37"},
		"single quotes, folded":     {configMap + "  mapRoles: '# a\n\n    - username: 1'\n", "9:17"},
		"JSON":                      {`{"kind":"ConfigMap","metadata":{"name":"aws-auth","namespace":"kube-system"},"data":{"mapRoles":"- username: 1\n"}}`, "1:110"},
		"plain":                     {configMap + "  mapRoles: '[]'\n  mapUsers: \"[{username: 1}]\"\n", "8:26"},
		"folded block":              {configMap + "  mapRoles: >\n    - username: 1\n", "7:13"}, // the value: its lines are not those of the file
		"alias":                     {"kind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system, annotations: {a: &a \"- username: 1\"}}\ndata: {mapRoles: *a}\n", "2:85"},
	} {
		var places []string
		for _, f := range Check("f", []byte(c.text), Options{}) {
			if f.Rule == string(notAString) {
				places = append(places, fmt.Sprintf("%d:%d", f.Line, f.Column))
			}
		}
		if !slices.Equal(places, []string{c.at}) {
			t.Errorf("%s: at %q, want %s", name, places, c.at)
		}
	}
}

func TestEntriesBeyondTheBoundAreStillNamed(t *testing.T) {
	const many = maxAsked/10 + 10
	text := strings.Repeat("- username: 1\n", many)
	lines := map[int]bool{}
	for _, f := range Check("f", []byte(text), Options{MaxFindings: 2 * many}) {
		if f.Severity == Error {
			lines[f.Line] = true
		}
	}
	if len(lines) != many {
		t.Errorf("errors on %d lines, want %d", len(lines), many)
	}
}
