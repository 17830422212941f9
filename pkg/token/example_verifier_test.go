package token_test

import (
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/internal/awstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

// requireIAM lets requests pass whose bearer token a principal of the account made.
func requireIAM(verifier *token.Verifier, account string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		bearer := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		caller, err := verifier.Verify(r.Context(), bearer)
		switch reason.Of(err).Outcome() {
		case reason.Accepted:
		case reason.Unavailable: // says nothing about the caller
			http.Error(w, "try again", http.StatusServiceUnavailable)
			return
		default:
			http.Error(w, "not one of us", http.StatusUnauthorized)
			return
		}
		if caller.Account != account { // everybody with an AWS account can make a token
			http.Error(w, "not one of us", http.StatusForbidden)
			return
		}
		log.Print(caller.CanonicalARN, " as ", caller.SessionName)
		next.ServeHTTP(w, r)
	})
}

// A service of your own accepts the tokens that it is the audience of.
func ExampleNewVerifier() {
	options := token.VerifierOptions{
		ClusterIDs: []string{"shop.example.com"}, // what clients sign for
		Cache:      token.CacheOptions{TTL: time.Minute, StaleOnError: true, NegativeTTL: 10 * time.Second},
		Calls:      token.CallOptions{Rate: 100, Burst: 100, KeyRate: 20, KeyBurst: 50},
	}
	sts, closeSTS := emulator(&options) // not in production
	defer closeSTS()

	verifier, err := token.NewVerifier(options)
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() { _ = verifier.Run(ctx) }() // notices when STS is down

	shop := httptest.NewServer(requireIAM(verifier, "111122223333", http.NotFoundHandler()))
	defer shop.Close()
	for _, user := range []string{"arn:aws:iam::111122223333:user/alice", "arn:aws:iam::444455556666:user/eve"} {
		fmt.Println(user, get(shop.URL, sts, user))
	}
	// Output:
	// arn:aws:iam::111122223333:user/alice 404 Not Found
	// arn:aws:iam::444455556666:user/eve 403 Forbidden
}

// emulator has a verifier ask an emulator of STS.
func emulator(options *token.VerifierOptions) (sts *awstest.STS, stop func() error) {
	sts = awstest.New(awstest.Options{})
	server, err := awstest.NewServer(sts, "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(server.CAPEM())
	options.Transport = token.NewTransport(token.TransportOptions{EmulatorAddress: server.Addr(), EmulatorCA: roots})
	return sts, server.Close
}

// get asks for a page with a token of a new user.
func get(url string, sts *awstest.STS, user string) string {
	creds, err := sts.AddUser(user)
	if err != nil {
		log.Fatal(err)
	}
	tok, err := token.Presign(context.Background(), creds.AWS(), token.PresignOptions{ClusterID: "shop.example.com", Region: "eu-central-1"})
	if err != nil {
		log.Fatal(err)
	}
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+tok.Value)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Status
}
