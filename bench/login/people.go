package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"
	mathrand "math/rand/v2"
	"sort"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const (
	clusterID = "bench"
	account   = "111122223333"
	region    = "us-east-1"
	userAgent = "kube-apiserver/v1.36.3 (linux/amd64) kubernetes/bench"

	// people have a session each of one of the roles.
	people = 2000
	roles  = 20
)

func roleARN(role int) string {
	return fmt.Sprintf("arn:aws:iam::%s:role/team/team-%02d", account, role)
}

func roleOf(person int) int { return person % roles }

func sessionName(person int) string { return fmt.Sprintf("person-%04d", person) }

func username(person int) string {
	return fmt.Sprintf("team-%02d:%s", roleOf(person), sessionName(person))
}

// usernameMember is where an answer names a user.
func usernameMember(name string) []byte { return fmt.Appendf(nil, `"username":%q`, name) }

// mint signs tokens, no two the same: those of one access key have different dates.
type mint struct {
	sessions []awstest.Credentials // by person
	base     time.Time
	ages     map[string]time.Duration // of the next token, by access key
}

func newMint(sessions []awstest.Credentials) *mint {
	return &mint{sessions: sessions, base: time.Now(), ages: make(map[string]time.Duration)}
}

// maxAge leaves a token some minutes of its 15.
const maxAge = 10 * time.Minute

// logins returns n logins of some people, each with a token of its own, and what may become of them.
func (m *mint) logins(n int, from, to int, may ...outcome) ([]*request, error) {
	return m.sign(n, func(i int) (int, awstest.Credentials) {
		person := from + i%(to-from)
		return person, m.sessions[person]
	}, may...)
}

// badLogins are logins with a wrong secret key, which STS must be asked to know.
func (m *mint) badLogins(n int, from, to int) ([]*request, error) {
	return m.sign(n, func(i int) (int, awstest.Credentials) {
		person := from + i%(to-from)
		c := m.sessions[person]
		c.SecretAccessKey = rand.Text()
		return person, c
	}, denied, unavailable)
}

// strangerLogins are logins with access keys that nobody has.
func (m *mint) strangerLogins(n int) ([]*request, error) {
	return m.sign(n, func(i int) (int, awstest.Credentials) {
		c := m.sessions[i%len(m.sessions)]
		c.AccessKeyID, c.SecretAccessKey = "ASIA"+rand.Text()[:16], rand.Text()
		return 0, c
	}, denied, unavailable)
}

// malformedLogins are logins whose tokens are cut off, which can be told without STS.
func (m *mint) malformedLogins(n int) ([]*request, error) {
	whole, err := m.token(m.sessions[0], m.base)
	if err != nil {
		return nil, err
	}
	requests := make([]*request, n)
	for i := range requests {
		if requests[i], err = newRequest(whole[:len(whole)-100+i%90]+"AAAA", 0, denied); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

// sign returns logins of whoever is named for each.
func (m *mint) sign(n int, who func(i int) (person int, c awstest.Credentials), may ...outcome) ([]*request, error) {
	requests := make([]*request, n)
	for i := range requests {
		person, c := who(i)
		age := m.ages[c.AccessKeyID]
		m.ages[c.AccessKeyID] = age + time.Second
		if age > maxAge {
			return nil, fmt.Errorf("%s has no second left for another token: have more people use them", sessionName(person))
		}
		text, err := m.token(c, m.base.Add(-age))
		if err != nil {
			return nil, err
		}
		if requests[i], err = newRequest(text, person, may...); err != nil {
			return nil, err
		}
	}
	return requests, nil
}

func (m *mint) token(c awstest.Credentials, date time.Time) (string, error) {
	t, err := token.Presign(context.Background(), c.AWS(), token.PresignOptions{
		ClusterID: clusterID, Region: region, Now: func() time.Time { return date },
	})
	return t.Value, err
}

// newRequest returns the TokenReview that the API server posts for a token.
func newRequest(text string, person int, may ...outcome) (*request, error) {
	body, err := json.Marshal(authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authenticationv1.SchemeGroupVersion.String(), Kind: "TokenReview"},
		Spec: authenticationv1.TokenReviewSpec{
			Token:     text,
			Audiences: []string{"https://kubernetes.default.svc.cluster.local"},
		},
	})
	r := &request{body: append(body, '\n'), username: usernameMember(username(person))}
	for _, o := range may {
		r.may[o] = true
	}
	return r, err
}

// A mix says how often which of some tokens is used: it returns a long series of their numbers, the same for
// everybody who asks.
type mix struct {
	name   string
	tokens int
	zipf   bool // else all the same
}

const picks = 1 << 16 // of a mix, then they begin anew

func (m mix) picks() []int32 {
	random := mathrand.New(mathrand.NewPCG(1, 2))
	pick := func() int { return random.IntN(m.tokens) }
	if m.zipf {
		ranks := newZipf(m.tokens)
		pick = func() int { return ranks.pick(random.Float64()) }
	}
	series := make([]int32, picks)
	for i := range series {
		series[i] = int32(pick())
	}
	return series
}

// zipf is Zipf's law: the one in place k is used 1/k times as often as the first.
type zipf []float64 // the share of all uses that falls on the first k+1

func newZipf(n int) zipf {
	z := make(zipf, n)
	sum := 0.0
	for k := range z {
		sum += 1 / float64(k+1)
		z[k] = sum
	}
	for k := range z {
		z[k] /= sum
	}
	return z
}

// pick turns a uniform number from 0 to 1 into a place, from 0.
func (z zipf) pick(u float64) int {
	return min(sort.SearchFloat64s(z, math.Nextafter(u, 1)), len(z)-1)
}
