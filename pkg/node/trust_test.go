package node

import (
	"context"
	"net/url"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestTrusted(t *testing.T) {
	const bob = "arn:aws:iam::111122223333:user/bob"
	for name, c := range map[string]struct {
		policy string
		want   []string
	}{
		"EC2":                  {`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, nil},
		"EC2 in China":         {`{"Statement":{"Effect":"Allow","Principal":{"Service":["ec2.amazonaws.com.cn","ec2.amazonaws.com"]},"Action":["sts:AssumeRole"]}}`, nil},
		"a person":             {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"` + bob + `","Service":"ec2.amazonaws.com"},"Action":"sts:AssumeRole"}]}`, []string{bob}},
		"in two statements":    {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":["` + bob + `"]},"Action":"sts:*"},{"Effect":"Allow","Principal":{"AWS":["` + bob + `"]},"Action":"*"}]}`, []string{bob}},
		"another service":      {`{"Statement":[{"Effect":"Allow","Principal":{"Service":["lambda.amazonaws.com","ec2.amazonaws.com"]},"Action":"sts:AssumeRole"}]}`, []string{"lambda.amazonaws.com"}},
		"everybody":            {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"sts:AssumeRole"}]}`, []string{"*"}},
		"everybody else":       {`{"Statement":[{"Effect":"Allow","NotPrincipal":{"AWS":"` + bob + `"},"Action":"sts:AssumeRole"}]}`, []string{"*"}},
		"an identity provider": {`{"Statement":[{"Effect":"Allow","Principal":{"Federated":"cognito-identity.amazonaws.com"},"Action":"sts:AssumeRoleWithWebIdentity"}]}`, []string{"cognito-identity.amazonaws.com"}},
		"with a condition":     {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"aws:PrincipalOrgID":"o-1"}}}]}`, []string{"*"}},
		"all actions but one":  {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"NotAction":"sts:TagSession"}]}`, []string{"*"}},
		"not to assume it":     {`{"Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":["sts:TagSession","sts:setsourceidentity"]}]}`, nil},
		"who is denied":        {`{"Statement":[{"Effect":"Deny","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`, nil},
		"nobody":               {`{}`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, policy := range []string{url.PathEscape(c.policy), c.policy} {
				if got, err := trusted(policy); err != nil || !slices.Equal(got, c.want) {
					t.Errorf("%s: %q, %v, want %q", policy, got, err, c.want)
				}
			}
		})
	}
}

func FuzzTrusted(f *testing.F) {
	for _, s := range []string{"", "%", "{}", `{"Statement":[{"Effect":"Allow","Principal":"*"}]}`, `{"Statement":{"Principal":{"AWS":[]}}}`, `{"Statement":[null]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, policy string) {
		if others, err := trusted(policy); err != nil && others != nil {
			t.Errorf("%q: %q and %v", policy, others, err)
		}
	})
}

// Nodes of the role get in all the same.
func TestWhoElseMayAssumeTheRoleIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBed(t)
		const bob, role = arns + "user/bob", arns + "role/shared"
		check(t, b.sts.AddRole(role, awstest.Role{TrustedPrincipals: []string{bob}}))
		check(t, b.iam.SetInstanceProfile(arns+"instance-profile/shared", role))
		b.launch(0, 1)
		i := node(1)
		i.ProfileARN = arns + "instance-profile/shared"
		b.ec2.SetInstance(i)

		var mu sync.Mutex
		told := map[string][]string{}
		r := New(Options{
			Load: func(context.Context) (aws.Config, error) { return b.config, nil },
			Trusts: func(profile string, others []string) {
				mu.Lock()
				defer mu.Unlock()
				told[profile] = append(told[profile], others...)
			},
		})
		strict := New(Options{Load: func(context.Context) (aws.Config, error) { return b.config, nil }, Exclusive: true})
		if ends := lookUp(t, strict, nodeSession(t, 0), session(t, account, "shared", instanceID(1))); ends[reason.Granted] != 1 || ends[reason.NodeRoleShared] != 1 {
			t.Errorf("exclusive: %v", ends)
		}
		if _, err := strict.PrivateDNSName(t.Context(), session(t, account, "shared", instanceID(1)), false); err != nil {
			t.Errorf("exclusive, without a proof: %v", err)
		}
		for range 3 {
			if ends := lookUp(t, r, nodeSession(t, 0), session(t, account, "shared", instanceID(1))); ends[reason.Granted] != 2 {
				t.Fatalf("%v", ends)
			}
			time.Sleep(TTL)
		}
		mu.Lock()
		defer mu.Unlock()
		if len(told) != 1 || !slices.Equal(told[i.ProfileARN], []string{bob}) {
			t.Errorf("told %q", told)
		}
	})
}
