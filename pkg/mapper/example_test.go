package mapper_test

import (
	"context"
	"fmt"
	"log"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// fixed is the smallest Mapper: mappings that never change.
type fixed struct{ index *mapper.Index }

func (fixed) Name() string          { return "Fixed" }
func (fixed) Status() mapper.Status { return mapper.Status{} }

func (f fixed) Lookup(id iam.Identity) (*mapper.Mapping, error) { return f.index.Lookup(id) }
func (f fixed) MapsAccount(account string) (bool, error)        { return f.index.MapsAccount(account), nil }

// A list of mappings, one of them bad, answers who a caller is.
func Example() {
	node, err := mapper.ParseYAML([]byte(`
- rolearn: arn:aws:iam::111122223333:role/developers
  username: dev:{{SessionName}}
  groups: [developers]
- rolearn: arn:aws:iam::111122223333:role/admins
  username: admin
  gruops: [system:masters]
`))
	if err != nil {
		log.Fatal(err)
	}
	roles := mapper.ParseSection(mapper.MapRoles, node, mapper.ParseOptions{})
	for _, problem := range roles.Problems {
		fmt.Println(problem)
	}
	index, _ := mapper.NewIndex(roles.Mappings, nil)
	chain := mapper.NewChain([]mapper.Mapper{fixed{index}}, mapper.ChainOptions{})

	for _, role := range []string{"developers", "admins"} {
		id, err := iam.NewIdentity("arn:aws:sts::111122223333:assumed-role/"+role+"/alice@example.com",
			"111122223333", "AROAEXAMPLE:alice@example.com", "ASIAEXAMPLE")
		if err != nil {
			log.Fatal(err)
		}
		user, err := chain.Map(context.Background(), id)
		fmt.Println(user.Username, user.Groups, err)
	}
	// Output:
	// mapRoles[1] (line 5): unknown key "gruops", did you mean "groups"? Known are rolearn, sso, username, groups, userid, sessionNamePattern, requireTemporaryCredentials
	// dev:alice-example.com [developers] <nil>
	//  [] EntryInvalid: mapper Fixed, mapRoles[1] (line 5): unknown key "gruops", did you mean "groups"? Known are rolearn, sso, username, groups, userid, sessionNamePattern, requireTemporaryCredentials
}
