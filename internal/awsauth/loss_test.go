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
	scrubbed := &Caller{Username: "boss", UID: "aws-iam-authenticator:administrative:boss"}
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
		"both":                      {Document{roles: nodeRole + adminRole}, nil, nil, "the last administrators"},

		"own mapping":             {Document{roles: devRole}, nil, dev, "your own access (arn:aws:sts::111122223333:assumed-role/dev/sam, logged in as dev:sam)"},
		"own username":            {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "dev:{{", "d:{{", 1)}, dev, "you would be d:sam"},
		"own group":               {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "dev, ", "", 1)}, dev, "you would no longer be in the group dev"},
		"one more group":          {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "dev, ", "dev, x, ", 1)}, dev, ""},
		"own mapping, wrong now":  {Document{roles: devRole}, Document{roles: strings.Replace(devRole, "groups", "gruops", 1)}, dev, "your own access"},
		"own, hidden by another":  {Document{roles: devRole}, Document{roles: devRole + strings.Replace(devRole, "dev, ", "", 1)}, dev, "no longer be in the group dev"},
		"somebody else's":         {Document{roles: devRole}, nil, session("other", "dev:sam"), ""},
		"in by another source":    {Document{roles: devRole}, nil, session("dev", "access-entry:sam"), ""},
		"in by a certificate":     {Document{roles: devRole}, nil, &Caller{Username: "dev:sam"}, ""},
		"own account":             {Document{mapper.MapAccounts: "['111122223333']"}, Document{}, session("dev", arn+"role/dev"), "your own access"},
		"own account, mapped now": {Document{mapper.MapAccounts: "['111122223333']"}, Document{roles: devRole}, session("dev", arn+"role/dev"), "you would be dev:sam"},
		"scrubbed":                {Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/b', username: boss, groups: [x]}]"}, nil, scrubbed, "your own access (logged in as boss)"},
		"scrubbed, stays":         {Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/b', username: boss, groups: [x]}]", roles: devRole}, Document{mapper.MapUsers: "[{userarn: 'arn:aws:iam::111122223333:user/b', username: boss, groups: [x]}]"}, scrubbed, ""},
	} {
		t.Run(name, func(t *testing.T) {
			losses, err := Losses(c.before, c.after, c.caller)
			if err != nil {
				t.Fatal(err)
			}
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
