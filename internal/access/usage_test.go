package access

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
)

const usedAWSAuth = `
- {rolearn: "arn:aws:iam::111122223333:role/team/Admins", username: "admin:{{SessionName}}"}
- {rolearn: "arn:aws:iam::111122223333:role/idle", username: idle}
- {rolearn: "arn:aws:iam::111122223333:role/twice", username: first}
- {rolearn: "arn:aws:iam::111122223333:role/twice", username: second}
- {sso: {permissionSetName: Dev, accountID: "111122223333"}, username: dev}
- {sso: {permissionSetName: Idle, accountID: "111122223333"}, username: dev}
- {rolearn: "arn:aws:iam::111122223333:role/both", username: "both"}
- {rolearn: "arn:aws:iam::111122223333:role/bad", username: "bad", gruops: []}
`

const usedEntries = `apiVersion: iam-authenticator.dev/v1alpha1
kind: AccessEntry
metadata: {name: both}
spec: {principalARN: "arn:aws:iam::111122223333:role/both"}
---
apiVersion: iam-authenticator.dev/v1alpha1
kind: AccessEntry
metadata: {name: alice}
spec: {principalARN: "arn:aws:iam::111122223333:user/eng/alice", username: alice}
`

func TestUsage(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(strings.Repeat("k", 32)), 0o600); err != nil {
		t.Fatal(err)
	}
	pseudonyms, err := audit.NewPseudonyms(key)
	if err != nil {
		t.Fatal(err)
	}
	cluster := &Cluster{
		AWSAuth: write(t, "aws-auth.yaml", awsAuth(map[string]string{
			mapper.MapRoles: usedAWSAuth,
			mapper.MapUsers: `- {userarn: "arn:aws:iam::111122223333:user/eng/alice", username: alice}
- {userarn: "arn:aws:iam::111122223333:user/bob", username: bob}`,
			mapper.MapAccounts: `["444455556666", "777788889999"]`,
		})),
		AccessEntries: []string{write(t, "entries.yaml", usedEntries)},
	}
	sources := read(t, options(t, cluster, config.BackendAccessEntry, config.BackendEKSConfigMap))
	const aws = "EKSConfigMap"
	for name, p := range map[string]*audit.Pseudonyms{"names": nil, "pseudonyms": pseudonyms} {
		t.Run(name, func(t *testing.T) {
			u := sources.Usage(p)
			for i, c := range []struct{ principal, outcome, mapper, entry string }{
				{"arn:aws:iam::111122223333:role/admins", "granted", aws, "mapRoles[7]"}, // it stood elsewhere then
				{"arn:aws:iam::111122223333:role/twice", "granted", aws, "mapRoles[3]"},
				{"arn:aws:iam::111122223333:role/AWSReservedSSO_Dev_0123456789abcdef", "granted", aws, "mapRoles[4]"},
				{"arn:aws:iam::111122223333:user/eng/Alice", "granted", "AccessEntry", "AccessEntry/alice"},
				{"arn:aws:iam::444455556666:role/any", "granted", aws, "mapAccounts"},
				{"arn:aws:iam::111122223333:role/both", "granted", aws, "mapRoles[6]"}, // before there was the other
				{"arn:aws:iam::111122223333:role/idle", "denied", aws, "mapRoles[1]"},
				{"arn:aws:iam::111122223333:role/idle", "granted", "MountedFile", "mapRoles[0]"},
				{"", "rejected", "", ""},
			} {
				u.Add(&audit.Record{
					Time: time.Unix(int64(i), 0), Principal: p.ARN(c.principal), Outcome: c.outcome, Mapper: c.mapper, Entry: c.entry,
					Account: strings.Split(c.principal+":::::", ":")[4],
				})
			}
			if u.Hidden != 0 {
				t.Errorf("%d logins hidden", u.Hidden)
			}
			got := []string{}
			for _, e := range u.Unused() {
				got = append(got, strings.TrimPrefix(e.Entry, "kube-system/aws-auth ")+" "+string(e.Status))
			}
			slices.Sort(got)
			origin := cluster.AWSAuth + " "
			want := []string{
				"AccessEntry/both InForce", origin + "mapAccounts InForce",
				origin + "mapRoles[1] (line 3) InForce", origin + "mapRoles[2] (line 4) Replaced", origin + "mapRoles[5] (line 7) InForce", origin + "mapRoles[7] (line 9) Skipped",
				origin + "mapUsers[0] (line 1) Shadowed", origin + "mapUsers[1] (line 2) InForce",
			}
			slices.Sort(want)
			if !slices.Equal(got, want) || u.Len() != len(got)+6 {
				t.Errorf("unused of %d\n%s\nwant\n%s", u.Len(), strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if !u.First.Equal(time.Unix(0, 0)) || !u.Last.Equal(time.Unix(8, 0)) {
				t.Errorf("records from %s to %s", u.First, u.Last)
			}
		})
	}
}

// Without the key of the pseudonyms every IAM user would seem to be idle.
func TestUsageSaysIfTheKeyOfPseudonymsIsMissing(t *testing.T) {
	path := write(t, "aws-auth.yaml", awsAuth(map[string]string{mapper.MapUsers: `- {userarn: "arn:aws:iam::111122223333:user/alice", username: alice}`}))
	u := read(t, options(t, &Cluster{AWSAuth: path}, config.BackendEKSConfigMap)).Usage(nil)
	for _, principal := range []string{"user/p-0123456789abcdef0123456789abcdef", "user/p-bob", "role/admins"} {
		u.Add(&audit.Record{Outcome: "granted", Mapper: "EKSConfigMap", Principal: "arn:aws:iam::111122223333:" + principal})
	}
	if u.Hidden != 1 || len(u.Unused()) != 1 {
		t.Errorf("%d logins hidden, unused %+v", u.Hidden, u.Unused())
	}
}

func TestUsageByUniqueID(t *testing.T) {
	o := options(t, &Cluster{}, config.BackendDynamicFile)
	addFiles(&o)
	o.Server.DynamicFileUserIDStrict = true
	o.Server.DynamicFilePath = write(t, "dynamic.json", `{"mapUsers":[{"userid":"AIDAUSED","username":"a"},{"userid":"AIDAIDLE","userarn":"arn:aws:iam::111122223333:user/b","username":"b"}]}`)
	u := read(t, o).Usage(nil)
	u.Add(&audit.Record{Outcome: "granted", Mapper: "DynamicFile", PrincipalID: "AIDAUSED"})
	u.Add(&audit.Record{Outcome: "granted", Mapper: "DynamicFile", PrincipalID: "AIDAOTHER", Principal: "arn:aws:iam::111122223333:user/b"})
	if unused := u.Unused(); len(unused) != 1 || unused[0].Username != "b" {
		t.Errorf("unused %+v", unused)
	}
}
