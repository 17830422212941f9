package access

import (
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// What explain and lint call refused is not in force.
func TestEntriesByWhichEveryLoginFailsAreNotInForce(t *testing.T) {
	for entry, want := range map[string]string{
		`rolearn: ARN:role/a, username: "a:{{SessionName}}"`:                                                                              "",
		`rolearn: ARN:role/a, username: "system:node:{{EC2PrivateDNSName}}", groups: ["system:nodes"]`:                                    "",
		`rolearn: ARN:role/a, username: a, sessionNamePattern: '[a-z.]+@example\.com'`:                                                    "",
		`rolearn: ARN:user/a, username: a, requireTemporaryCredentials: true`:                                                             "",
		`sso: {permissionSetName: Ops, accountID: "111122223333"}, username: a`:                                                           "",
		`rolearn: ARN:user/a, username: "a:{{SessionName}}"`:                                                                              "has no {{SessionName}}",
		`rolearn: ARN:role/a, username: a, sessionNamePattern: "no one"`:                                                                  "no session name",
		`rolearn: ARN:role/a, username: "system:node:{{EC2PrivateDNSName}}", groups: ["system:nodes"], sessionNamePattern: "node-[0-9]+"`: "no session name",
		`rolearn: ARN:root, username: a, userid: AROAEXAMPLE`:                                                                             "wants user ID AROAEXAMPLE",
	} {
		path := write(t, "aws-auth.yaml", awsAuth(map[string]string{mapper.MapRoles: "- {" + strings.Replace(entry, "ARN:", arns, 1) + "}\n"}))
		o := options(t, &Cluster{AWSAuth: path}, config.BackendEKSConfigMap)
		o.Chain.Nodes = nodeNames{}
		e := read(t, o).List(nil).Entries[0]
		status := InForce
		if want != "" {
			status = NeverMaps
		}
		if e.Status != status || !strings.Contains(e.Why, want) {
			t.Errorf("%s: %s, %q, want %s, %q", entry, e.Status, e.Why, status, want)
		}
	}
}

func TestNodesAreNotInForceWhereTheServerCannotNameThem(t *testing.T) {
	s := roles(t, `- {rolearn: "`+arns+`role/nodes", username: "system:node:{{EC2PrivateDNSName}}", groups: ["system:nodes"]}`)
	if e := s.List(nil).Entries[0]; e.Status != NeverMaps || !strings.Contains(e.Why, "not looked up here") {
		t.Errorf("%+v", e)
	}
}

func TestAccountWhoseNamesAreReservedIsNotInForce(t *testing.T) {
	path := write(t, "aws-auth.yaml", awsAuth(map[string]string{
		mapper.MapAccounts: "- \"111122223333\"\n",
		mapper.MapRoles:    "- {rolearn: " + arns + "role/session, username: \"{{SessionName}}\", sessionNamePattern: never}\n",
	}))
	o := options(t, &Cluster{AWSAuth: path}, config.BackendEKSConfigMap)
	if e := read(t, o).List(nil).Entries[0]; e.Status != InForce {
		t.Errorf("%+v", e)
	}
	o.Chain.ReservedPrefixes = map[string][]string{config.BackendEKSConfigMap: {"arn:"}}
	if e := read(t, o).List(nil).Entries[0]; e.Status != NeverMaps || !strings.Contains(e.Why, "reserved") {
		t.Errorf("%+v", e)
	}
}

// Who knows which caller is made up for an entry could map it, and so have the entry
// listed as one of no concern.
func TestNobodyCanHideAnEntryBehindTheCallerMadeUpForIt(t *testing.T) {
	s := roles(t, `
- {sso: {permissionSetName: Ops, accountID: "111122223333"}, username: ops, groups: ["system:masters"]}
- {rolearn: `+arns+`role/AWSReservedSSO_Ops_0000000000000000, username: x}
`)
	for _, e := range s.List(nil).Entries {
		if e.Username == "ops" && e.Status != InForce {
			t.Errorf("%+v", e)
		}
	}

	file := write(t, "mappings.json", `{"mapRoles": [{"userid": "AROAHIDDEN", "username": "ops", "groups": ["system:masters"]}, {"userid": "UNKNOWN", "username": "x"}]}`)
	aws := write(t, "aws-auth.yaml", awsAuth(map[string]string{mapper.MapRoles: `
- {rolearn: "arn:aws:iam::000000000000:role/unknown-0", username: x}
- {rolearn: "arn:aws:iam::000000000000:role/session", username: x}
- {rolearn: "` + arns + `role/admins", username: admin, groups: ["system:masters"]}
`}))
	o := options(t, &Cluster{AWSAuth: aws}, config.BackendEKSConfigMap, config.BackendDynamicFile)
	o.Server.DynamicFilePath, o.Server.DynamicFileUserIDStrict = file, true
	addFiles(&o)
	for range 2 { // in either order
		for _, e := range read(t, o).List(nil).Entries {
			if e.Admin && e.Status != InForce {
				t.Errorf("%v: %+v", o.Server.BackendMode, e)
			}
		}
		o.Server.BackendMode = []string{config.BackendDynamicFile, config.BackendEKSConfigMap}
	}
}

// A server keeps what it read last of a section that it can't read now, so breaking a
// section would hide who is in it.
func TestABrokenSectionIsSaidToHideWhoGotInBefore(t *testing.T) {
	if got := roles(t, "- rolearn: x\n username: y\n").List(nil).Sources[0].Error; !strings.Contains(got, "still lets in whom it mapped before") {
		t.Errorf("%q", got)
	}
}
