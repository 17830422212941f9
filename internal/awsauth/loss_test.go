package awsauth

import (
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

const (
	adminRole = "- rolearn: arn:aws:iam::111122223333:role/admins\n  username: admin:{{SessionName}}\n  groups: [system:masters, ops]\n"
	nodeRole  = "- rolearn: arn:aws:iam::111122223333:role/nodes\n  username: system:node:{{EC2PrivateDNSName}}\n  groups: [system:bootstrappers, system:nodes]\n"
	devRole   = "- rolearn: arn:aws:iam::111122223333:role/team/dev\n  username: dev:{{SessionName}}\n  groups: [dev, readers]\n"
)

// session is the caller of a session, as the authenticator describes it.
func session(role, username string, groups ...string) *Caller {
	return &Caller{
		Username: username, Groups: append(groups, "system:authenticated"), UID: "aws-iam-authenticator:111122223333:AROAEXAMPLE",
		Extra: map[string][]string{
			"arn":          {"arn:aws:sts::111122223333:assumed-role/" + role + "/sam"},
			"canonicalArn": {arn + "role/" + role}, "sessionName": {"sam"}, "principalId": {"AROAEXAMPLE"}, "accessKeyId": {"ASIAEXAMPLE"},
		},
	}
}

func TestLosses(t *testing.T) {
	dev := session("dev", "dev:sam", "dev", "readers")
	hidden := func(username string) *Caller {
		return &Caller{Username: username, UID: "aws-iam-authenticator:administrative:" + username, Groups: []string{"dev", "readers"}}
	}
	scrubbed := hidden("boss")
	with := func(entry, more string) Document { return Document{roles: entry + "  " + more + "\n"} }
	replaced := func(entry, old, with string) Document { return Document{roles: strings.Replace(entry, old, with, 1)} }
	for name, c := range map[string]struct {
		before, after Document
		caller        *Caller
		want          string // "" for no loss
	}{
		"nothing":                   {Document{roles: adminRole + nodeRole + devRole}, Document{roles: adminRole + nodeRole + devRole}, dev, ""},
		"last admin":                {Document{roles: adminRole + devRole}, Document{roles: devRole}, nil, "the last administrators: nobody in aws-auth would be in the group system:masters (arn:aws:iam::111122223333:role/admins)"},
		"last admin's group":        {Document{roles: adminRole}, Document{roles: strings.Replace(adminRole, "system:masters, ", "", 1)}, nil, "the last administrators"},
		"one of two admins":         {Document{roles: adminRole, mapper.MapUsers: "- {userarn: 'arn:aws:iam::111122223333:user/a', username: a, groups: ['system:masters']}"}, Document{roles: adminRole}, nil, ""},
		"no admin before":           {Document{roles: devRole + nodeRole}, Document{roles: nodeRole}, nil, ""},
		"an admin behind another":   {Document{roles: adminRole}, Document{roles: adminRole + strings.Replace(adminRole, "system:masters, ", "", 1)}, nil, "the last administrators"},
		"last nodes":                {Document{roles: nodeRole + devRole}, Document{roles: devRole}, nil, "every mapping of nodes"},
		"nodes without their group": {Document{roles: nodeRole}, Document{roles: strings.Replace(nodeRole, "system:nodes", "x", 1)}, nil, "every mapping of nodes"},
		"admin by no session":       {Document{roles: adminRole}, with(adminRole, "sessionNamePattern: 'no one'"), nil, "the last administrators"},
		"admin by some sessions":    {Document{roles: adminRole}, with(adminRole, `sessionNamePattern: '[a-z]+@example\.com'`), nil, ""},
		"admin elsewhere":           {Document{roles: adminRole + devRole}, Document{roles: strings.Replace(adminRole, "arn:aws:", "arn:aws-cn:", 1) + devRole}, nil, "the last administrators"},
		"admin without a name":      {Document{roles: adminRole}, Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/a', username: 'a:{{SessionName}}', groups: ['system:masters']}]"}, nil, "the last administrators"},
		"admin with another's ID":   {Document{roles: adminRole}, with(adminRole, "userid: AIDAEXAMPLE"), nil, "the last administrators"},
		"admin who was dead":        {with(adminRole, "sessionNamePattern: 'no one'"), nil, nil, ""},
		"admin in a group too many": {Document{roles: adminRole}, replaced(adminRole, "ops]", "'ops:{{SessionNameRaw}}']"), nil, ""},
		"admin of a set":            {Document{roles: adminRole}, Document{roles: "[{sso: {permissionSetName: A, accountID: '111122223333'}, username: a, groups: ['system:masters']}]"}, nil, ""},
		"nodes of one name":         {Document{roles: nodeRole}, replaced(nodeRole, "{{EC2PrivateDNSName}}", "foo"), nil, "every mapping of nodes"},
		"nodes of one account":      {Document{roles: nodeRole}, replaced(nodeRole, "{{EC2PrivateDNSName}}", "{{AccountID}}"), nil, "every mapping of nodes"},
		"nodes by session":          {Document{roles: nodeRole}, replaced(nodeRole, "{{EC2PrivateDNSName}}", "{{SessionName}}"), nil, ""},
		"nodes by no instance":      {Document{roles: nodeRole}, with(nodeRole, "sessionNamePattern: 'node-.*'"), nil, "every mapping of nodes"},
		"nodes elsewhere":           {Document{roles: nodeRole + devRole}, Document{roles: strings.Replace(nodeRole, "arn:aws:", "arn:aws-cn:", 1) + devRole}, nil, "every mapping of nodes"},
		"both":                      {Document{roles: nodeRole + adminRole}, nil, nil, "the last administrators"},

		"own mapping":                    {Document{roles: devRole}, nil, dev, "your own access (arn:aws:sts::111122223333:assumed-role/dev/sam, logged in as dev:sam)"},
		"own username":                   {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "dev:{{", "d:{{", 1)}, dev, "you would be d:sam"},
		"own group":                      {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "dev, ", "", 1)}, dev, "you would no longer be in the group dev"},
		"one more group":                 {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "dev, ", "dev, x, ", 1)}, dev, ""},
		"own mapping, wrong now":         {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "groups", "gruops", 1)}, dev, "your own access"},
		"own, hidden by another":         {Document{roles: devRole}, Document{roles: devRole + strings.Replace(devRole, "dev, ", "", 1)}, dev, "no longer be in the group dev"},
		"somebody else's":                {Document{roles: devRole}, nil, session("other", "dev:sam"), ""},
		"in by another source":           {Document{roles: devRole}, nil, session("dev", "access-entry:sam"), ""},
		"in by a certificate":            {Document{roles: devRole}, nil, &Caller{Username: "dev:sam"}, ""},
		"own account":                    {Document{mapper.MapAccounts: "['111122223333']"}, Document{}, session("dev", arn+"role/dev"), "your own access"},
		"own account, mapped now":        {Document{mapper.MapAccounts: "['111122223333']"}, Document{roles: devRole}, session("dev", arn+"role/dev"), "you would be dev:sam"},
		"scrubbed":                       {Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/b', username: boss, groups: [x]}]"}, nil, scrubbed, "your own access (logged in as boss)"},
		"scrubbed, by a template":        {Document{roles: devRole}, nil, hidden("dev:sam"), "your own access (logged in as dev:sam), if you are arn:aws:iam::111122223333:role/dev"},
		"scrubbed, by an address":        {with(devRole, `sessionNamePattern: '.*@example\.com'`), with(devRole, `sessionNamePattern: 'eve@example\.com'`), hidden("dev:sam-example.com"), "your own access"},
		"scrubbed, in a group less":      {Document{roles: devRole}, replaced(devRole, "dev, ", ""), hidden("dev:sam"), "no longer be in the group dev"},
		"scrubbed, twice in a template":  {replaced(devRole, "dev:{{SessionName}}", "dev:{{SessionName}}:{{SessionName}}"), nil, hidden("dev:sam:sam"), "your own access"},
		"scrubbed, by a key":             {replaced(devRole, "dev:{{SessionName}}", "'{{AccountID}}:{{AccessKeyID}}'"), nil, hidden("111122223333:ASIAEXAMPLE"), "your own access"},
		"scrubbed, by an account":        {Document{mapper.MapAccounts: "['111122223333']"}, nil, hidden("arn:aws:iam::111122223333:role/dev"), "your own access"},
		"scrubbed, another's template":   {Document{roles: devRole}, nil, hidden("ops:sam"), ""},
		"scrubbed, another's by pattern": {with(devRole, "sessionNamePattern: eve"), nil, hidden("dev:sam"), ""},
		"scrubbed, stays":                {Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/b', username: boss, groups: [x]}]", roles: devRole}, Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/b', username: boss, groups: [x]}]"}, scrubbed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			losses := Losses(c.before, c.after, LossOptions{Caller: c.caller})
			got := strings.Join(losses, "\n")
			if c.want == "" && got != "" || !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if name == "both" && len(losses) != 2 {
				t.Errorf("got %q, want two losses", losses)
			}
		})
	}
}

func TestLossesAreThoseOfTheServersPartition(t *testing.T) {
	before := Document{roles: adminRole + strings.ReplaceAll(adminRole, "arn:aws:", "arn:aws-cn:")}
	after := Document{roles: strings.ReplaceAll(adminRole, "arn:aws:", "arn:aws-cn:")}
	if losses := Losses(before, after, LossOptions{Partition: "aws-cn"}); losses != nil {
		t.Errorf("a server in aws-cn loses %q", losses)
	}
	for _, o := range []LossOptions{{Partition: "aws"}, {Caller: session("other", "x")}, {}} {
		if losses := Losses(before, after, o); len(losses) != 1 {
			t.Errorf("%+v: %q, want the last administrator", o, losses)
		}
	}
	reserved := LossOptions{ReservedPrefixes: map[string][]string{"EKSConfigMap": {"admin:"}}}
	if losses := Losses(Document{roles: adminRole}, nil, reserved); losses != nil {
		t.Errorf("nobody got in, so nobody loses: %q", losses)
	}
}
