package token

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

// setAWS gives the test an AWS configuration of its own: the given config file
// and environment ("NAME=value"), nothing else of the machine, and no IMDS.
func setAWS(t testing.TB, configFile string, env ...string) {
	t.Helper()
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "") // to have it restored
			os.Unsetenv(name)
		}
	}
	home := t.TempDir()
	path := filepath.Join(home, "config")
	if err := os.WriteFile(path, []byte(configFile), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	t.Setenv("USERPROFILE", home)
	t.Setenv("AWS_CONFIG_FILE", path)
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, "credentials"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		t.Setenv(name, value)
	}
}

var aliceKey = []string{"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"}

// noNetwork is an HTTP client that fails the test.
type noNetwork struct{ t testing.TB }

func (n noNetwork) Do(r *http.Request) (*http.Response, error) {
	n.t.Errorf("network call: %s %s", r.Method, r.URL)
	return nil, errors.New("no network in this test")
}

func tokenURL(t testing.TB, token Token) *url.URL {
	t.Helper()
	encoded, ok := strings.CutPrefix(token.Value, Prefix)
	if !ok {
		t.Fatalf("token %q has no prefix %s", token.Value, Prefix)
	}
	text, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return u
}

func wantError(t testing.TB, err error, says ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one that says %q", says)
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("error %q does not say %q", err, s)
		}
	}
}

func presignTestCredentials(sessionToken string) aws.Credentials {
	return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", SessionToken: sessionToken}
}

var presignTestTime = time.Date(2026, 3, 4, 5, 6, 7, 890, time.FixedZone("", 3600))

func TestPresignHasExactlyTheParametersOfAToken(t *testing.T) {
	want := map[string]string{
		"Action":              "GetCallerIdentity",
		"Version":             "2011-06-15",
		"X-Amz-Algorithm":     "AWS4-HMAC-SHA256",
		"X-Amz-Credential":    "AKIAIOSFODNN7EXAMPLE/20260304/us-west-2/sts/aws4_request",
		"X-Amz-Date":          "20260304T040607Z",
		"X-Amz-Expires":       "60",
		"X-Amz-SignedHeaders": "host;x-k8s-aws-id",
	}
	for name, sessionToken := range map[string]string{"long-term key": "", "session": "a/session+token=="} {
		t.Run(name, func(t *testing.T) {
			token, err := Presign(t.Context(), presignTestCredentials(sessionToken), PresignOptions{
				ClusterID: "prod", Region: "us-west-2", Now: func() time.Time { return presignTestTime },
			})
			if err != nil {
				t.Fatal(err)
			}
			u := tokenURL(t, token)
			if got := u.Scheme + "://" + u.Host + u.Path; got != "https://sts.us-west-2.amazonaws.com/" || u.User != nil || u.Fragment != "" {
				t.Errorf("URL %s", u)
			}
			want := maps.Clone(want)
			if sessionToken != "" {
				want["X-Amz-Security-Token"] = sessionToken
			}
			query := u.Query()
			if signature := query.Get("X-Amz-Signature"); !isSignature(signature) {
				t.Errorf("signature %q", signature)
			}
			query.Del("X-Amz-Signature")
			for name, values := range query {
				if len(values) != 1 || values[0] != want[name] {
					t.Errorf("%s = %q, want %q", name, values, want[name])
				}
			}
			if got, want := slices.Sorted(maps.Keys(query)), slices.Sorted(maps.Keys(want)); !slices.Equal(got, want) {
				t.Errorf("parameters %v, want %v", got, want)
			}
			if _, err := Parse(token.Value); err != nil {
				t.Errorf("the server refuses the token: %v", err)
			}
		})
	}
}

func TestPresignedTokenIsVouchedForBySTS(t *testing.T) {
	emulator := awstest.New(awstest.Options{})
	server, err := awstest.NewServer(emulator, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	user, err := emulator.AddUser("arn:aws:iam::111122223333:user/alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := emulator.AddRole("arn:aws:iam::111122223333:role/admins", awstest.Role{}); err != nil {
		t.Fatal(err)
	}
	session, err := emulator.Session("arn:aws:iam::111122223333:role/admins", "bob@example.com")
	if err != nil {
		t.Fatal(err)
	}
	for _, clusterID := range []string{"prod", "one space", "a:b/c~!\"%20;&="} {
		verifier, err := NewVerifier(VerifierOptions{
			ClusterIDs: []string{clusterID},
			Transport:  NewTransport(TransportOptions{EmulatorAddress: server.Addr(), EmulatorCA: server.CertPool(), Concurrency: 1}),
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, creds := range []awstest.Credentials{user, session} {
			for _, variant := range []PresignOptions{{}, {FIPS: true}, {DualStack: true}, {FIPS: true, DualStack: true}} {
				variant.ClusterID, variant.Region = clusterID, "eu-central-1"
				token, err := Presign(t.Context(), creds.AWS(), variant)
				if err != nil {
					t.Fatal(err)
				}
				identity, err := verifier.Verify(t.Context(), token.Value)
				if err != nil {
					t.Errorf("%+v: %v", variant, err)
				} else if identity.ARN != creds.ARN {
					t.Errorf("%+v: identity %s, want %s", variant, identity.ARN, creds.ARN)
				}
			}
		}
	}
}

func TestPresignHosts(t *testing.T) {
	cases := []struct {
		options PresignOptions
		host    string
	}{
		{PresignOptions{Region: "us-east-1"}, "sts.us-east-1.amazonaws.com"},
		{PresignOptions{Region: "us-east-1", FIPS: true}, "sts-fips.us-east-1.amazonaws.com"},
		{PresignOptions{Region: "us-east-1", DualStack: true}, "sts.us-east-1.api.aws"},
		{PresignOptions{Region: "us-east-1", FIPS: true, DualStack: true}, "sts-fips.us-east-1.api.aws"},
		{PresignOptions{Region: "cn-north-1"}, "sts.cn-north-1.amazonaws.com.cn"},
		{PresignOptions{Region: "us-gov-west-1"}, "sts.us-gov-west-1.amazonaws.com"},
		{PresignOptions{Region: "eusc-de-east-1"}, "sts.eusc-de-east-1.amazonaws.eu"},
	}
	for _, c := range cases {
		c.options.ClusterID = "prod"
		token, err := Presign(t.Context(), presignTestCredentials(""), c.options)
		if err != nil {
			t.Fatal(err)
		}
		if host := tokenURL(t, token).Host; host != c.host {
			t.Errorf("%+v: host %s, want %s", c.options, host, c.host)
		}
	}
}

func TestPresignExpiresBeforeSTSAndBeforeTheCredentials(t *testing.T) {
	signed := presignTestTime.Truncate(time.Second)
	cases := []struct {
		name    string
		expires time.Time
		want    time.Time
	}{
		{"credentials that don't expire", time.Time{}, signed.Add(14 * time.Minute)},
		{"credentials that live longer", signed.Add(time.Hour), signed.Add(14 * time.Minute)},
		{"credentials that die sooner", signed.Add(5 * time.Minute), signed.Add(5 * time.Minute)},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			creds := presignTestCredentials("t")
			creds.CanExpire, creds.Expires = !c.expires.IsZero(), c.expires
			token, err := Presign(t.Context(), creds, PresignOptions{ClusterID: "prod", Region: "us-west-2", Now: func() time.Time { return presignTestTime }})
			if err != nil {
				t.Fatal(err)
			}
			if !token.Expiration.Equal(c.want) || token.Expiration.Location() != time.UTC {
				t.Errorf("expiration %v, want %v", token.Expiration, c.want.UTC())
			}
		})
	}
}

func TestPresignRejects(t *testing.T) {
	expired := presignTestCredentials("t")
	expired.CanExpire, expired.Expires = true, presignTestTime.Truncate(time.Second)
	good := presignTestCredentials("")
	cases := []struct {
		name      string
		creds     aws.Credentials
		clusterID string
		region    string
		says      string
	}{
		{"no cluster", good, "", "us-west-2", "cluster ID"},
		{"newline in the cluster ID", good, "a\nb", "us-west-2", "cluster ID"},
		{"cluster ID that isn't ASCII", good, "café", "us-west-2", "cluster ID"},
		{"space at the end", good, "prod ", "us-west-2", "cluster ID"},
		{"no region", good, "prod", "", "AWS region"},
		{"host in the region", good, "prod", "example.com/", "AWS region"},
		{"region in capitals", good, "prod", "US-WEST-2", "did you mean \"us-west-2\"?"},
		{"no credentials", aws.Credentials{}, "prod", "us-west-2", "without an access key"},
		{"expired credentials", expired, "prod", "us-west-2", "expired at 2026-03-04T04:06:07Z"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			token, err := Presign(t.Context(), c.creds, PresignOptions{ClusterID: c.clusterID, Region: c.region, Now: func() time.Time { return presignTestTime }})
			wantError(t, err, c.says)
			if token != (Token{}) {
				t.Errorf("an error and a token %+v", token)
			}
		})
	}
}

func TestGenerateMakesNoNetworkCallWhenAllIsKnown(t *testing.T) {
	const configFile = `
[profile dev]
region = eu-west-1
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
[profile fips]
region = us-east-2
use_fips_endpoint = true
use_dualstack_endpoint = true
aws_access_key_id = AKIAIOSFODNN7EXAMPLE
aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY
`
	cases := []struct {
		name string
		env  []string
		opts GenerateOptions
		host string
	}{
		{"environment", append(slices.Clone(aliceKey), "AWS_REGION=us-west-2"), GenerateOptions{}, "sts.us-west-2.amazonaws.com"},
		{"named profile", nil, GenerateOptions{Profile: "dev"}, "sts.eu-west-1.amazonaws.com"},
		{"profile of the environment", []string{"AWS_PROFILE=dev"}, GenerateOptions{}, "sts.eu-west-1.amazonaws.com"},
		{"region given", []string{"AWS_REGION=us-west-2"}, GenerateOptions{Profile: "dev", Region: "sa-east-1"}, "sts.sa-east-1.amazonaws.com"},
		{"variants of the profile", nil, GenerateOptions{Profile: "fips"}, "sts-fips.us-east-2.api.aws"},
		{"FIPS", []string{"AWS_USE_FIPS_ENDPOINT=true"}, GenerateOptions{Profile: "dev"}, "sts-fips.eu-west-1.amazonaws.com"},
		{"dual stack", []string{"AWS_USE_DUALSTACK_ENDPOINT=true"}, GenerateOptions{Profile: "dev"}, "sts.eu-west-1.api.aws"},
		{"endpoint for calls", []string{"AWS_ENDPOINT_URL_STS=https://vpce.example.com", "AWS_ENDPOINT_URL=https://all.example.com"},
			GenerateOptions{Profile: "dev"}, "sts.eu-west-1.amazonaws.com"},
		{"automatic defaults mode", []string{"AWS_DEFAULTS_MODE=auto"}, GenerateOptions{Profile: "dev"}, "sts.eu-west-1.amazonaws.com"},
		{"static keys with the cache", nil, GenerateOptions{Profile: "dev", Cache: true}, "sts.eu-west-1.amazonaws.com"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			setAWS(t, configFile, c.env...)
			os.Unsetenv("AWS_EC2_METADATA_DISABLED") // it must not be what prevents a call
			c.opts.ClusterID = "prod"
			c.opts.httpClient = noNetwork{t}
			c.opts.Warn = func(w string) { t.Errorf("warning: %s", w) }
			token, err := Generate(t.Context(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if host := tokenURL(t, token).Host; host != c.host {
				t.Errorf("host %s, want %s", host, c.host)
			}
		})
	}
}

func TestGenerateRejectsBeforeAnyCall(t *testing.T) {
	cases := []struct {
		name string
		opts GenerateOptions
		says string
	}{
		{"no cluster", GenerateOptions{}, "cluster ID"},
		{"user as role", GenerateOptions{ClusterID: "prod", RoleARN: "arn:aws:iam::111122223333:user/bob"}, "not the ARN of a role"},
		{"session as role", GenerateOptions{ClusterID: "prod", RoleARN: "arn:aws:sts::111122223333:assumed-role/admins/bob"}, "not the ARN of a role"},
		{"name as role", GenerateOptions{ClusterID: "prod", RoleARN: "admins"}, "want arn:"},
		{"both session names", GenerateOptions{ClusterID: "prod", SessionName: "bob", ForwardSessionName: true}, "exclude each other"},
		{"short session name", GenerateOptions{ClusterID: "prod", SessionName: "b"}, "2 to 64"},
		{"long session name", GenerateOptions{ClusterID: "prod", SessionName: strings.Repeat("b", 65)}, "2 to 64"},
		{"space in the session name", GenerateOptions{ClusterID: "prod", SessionName: "bob smith"}, "2 to 64"},
		{"short duration", GenerateOptions{ClusterID: "prod", SessionDuration: 899 * time.Second}, "15m to 12h"},
		{"long duration", GenerateOptions{ClusterID: "prod", SessionDuration: 12*time.Hour + time.Second}, "15m to 12h"},
		{"negative duration", GenerateOptions{ClusterID: "prod", SessionDuration: -time.Hour}, "15m to 12h"},
		{"fraction of a second", GenerateOptions{ClusterID: "prod", SessionDuration: time.Hour + time.Millisecond}, "whole seconds"},
		{"role of another partition", GenerateOptions{ClusterID: "prod", Region: "us-west-2", RoleARN: "arn:aws-cn:iam::111122223333:role/admins"},
			"such as cn-northwest-1"},
	}
	setAWS(t, "", aliceKey...)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			c.opts.httpClient = noNetwork{t}
			_, err := Generate(t.Context(), c.opts)
			wantError(t, err, c.says)
		})
	}
}

func TestGenerateWarnsOfATokenTooLongForServers(t *testing.T) {
	setAWS(t, "", append(slices.Clone(aliceKey), "AWS_REGION=us-west-2", "AWS_SESSION_TOKEN="+strings.Repeat("x", MaxLength))...)
	var warnings []string
	token, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Warn: func(w string) { warnings = append(warnings, w) }})
	if err != nil || token.Value == "" {
		t.Fatalf("token %+v, error %v", token, err)
	}
	if len(warnings) != 1 || !strings.Contains(warnings[0], "no more than 4096") {
		t.Errorf("warnings %q", warnings)
	}
}

func BenchmarkPresign(b *testing.B) {
	creds := presignTestCredentials(strings.Repeat("s", 800))
	for b.Loop() {
		if _, err := Presign(context.Background(), creds, PresignOptions{ClusterID: "prod", Region: "us-west-2"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkGenerate is what a token costs a fresh process beyond its start.
func BenchmarkGenerate(b *testing.B) {
	setAWS(b, "[default]\nregion = us-west-2\n", aliceKey...)
	for b.Loop() {
		if _, err := Generate(context.Background(), GenerateOptions{ClusterID: "prod"}); err != nil {
			b.Fatal(err)
		}
	}
}
