package main

import (
	"encoding/json"
	"math"
	"testing"

	authenticationv1 "k8s.io/api/authentication/v1"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

func TestZipfUsesPlaceKOneKthAsOftenAsTheFirst(t *testing.T) {
	const n = 1000
	z := newZipf(n)
	counts := make([]int, n)
	const draws = 1_000_000
	for i := range draws {
		counts[z.pick((float64(i)+0.5)/draws)]++ // every part of the interval alike: no luck in it
	}
	for _, k := range []int{2, 3, 10, 100} {
		if got := float64(counts[k-1]) * float64(k) / float64(counts[0]); math.Abs(got-1) > 0.02 {
			t.Errorf("place %d is used %.3f/%d times as often as the first, want 1/%d", k, got, k, k)
		}
	}
	if counts[n-1] == 0 {
		t.Error("the last is never used")
	}
}

func TestPicksStayWithinTheTokensOfAMix(t *testing.T) {
	for _, m := range []mix{{"", 1, false}, {"", 100, false}, {"", 10_000, true}} {
		used := make(map[int32]bool)
		for _, i := range m.picks() {
			if i < 0 || int(i) >= m.tokens {
				t.Fatalf("token %d of %d", i, m.tokens)
			}
			used[i] = true
		}
		if !m.zipf && len(used) != m.tokens {
			t.Errorf("%d of %d tokens are used", len(used), m.tokens)
		}
	}
}

func TestNoTwoLoginsHaveTheSameToken(t *testing.T) {
	sessions := testSessions(t, 3)
	m := newMint(sessions)
	seen := make(map[string]bool)
	for range 3 { // overlapping people
		for _, make := range []func() ([]*request, error){
			func() ([]*request, error) { return m.logins(10, 0, 3, granted) },
			func() ([]*request, error) { return m.logins(5, 1, 2, granted) },
			func() ([]*request, error) { return m.badLogins(5, 0, 3) },
			func() ([]*request, error) { return m.strangerLogins(5) },
		} {
			requests, err := make()
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range requests {
				if seen[tokenOf(t, r)] {
					t.Fatal("a token came twice")
				}
				seen[tokenOf(t, r)] = true
			}
		}
	}
}

// What is called malformed must be refused without a call to STS, and nothing else may be.
func TestOnlyMalformedLoginsAreMalformed(t *testing.T) {
	m := newMint(testSessions(t, 3))
	malformed, err := m.malformedLogins(200)
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range malformed {
		if _, err := token.Parse(tokenOf(t, r)); err == nil {
			t.Errorf("malformed token %d is well-formed", i)
		}
	}
	strangers, err := m.strangerLogins(3)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range strangers {
		if _, err := token.Parse(tokenOf(t, r)); err != nil {
			t.Errorf("token of a made-up key: %v", err)
		}
	}
}

func testSessions(t *testing.T, n int) []awstest.Credentials {
	t.Helper()
	sts := awstest.New(awstest.Options{})
	if err := sts.AddRole(roleARN(0), awstest.Role{}); err != nil {
		t.Fatal(err)
	}
	sessions := make([]awstest.Credentials, n)
	for i := range sessions {
		var err error
		if sessions[i], err = sts.Session(roleARN(0), sessionName(i)); err != nil {
			t.Fatal(err)
		}
	}
	return sessions
}

func tokenOf(t *testing.T, r *request) string {
	t.Helper()
	var review authenticationv1.TokenReview
	if err := json.Unmarshal(r.body, &review); err != nil {
		t.Fatal(err)
	}
	return review.Spec.Token
}
