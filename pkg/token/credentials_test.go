package token

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials/ssocreds"

	"github.com/iam-authenticator/authenticator/internal/awstest"
)

const (
	clientUserARN = "arn:aws:iam::111122223333:user/carol"
	clientRoleARN = "arn:aws:iam::111122223333:role/ops/deployers"
)

// setSTS is setAWS with calls to STS going to an emulator that knows a user,
// whose keys are in the environment unless the config file is to say so, and a
// role that the user may assume.
func setSTS(t testing.TB, role awstest.Role, configFile string) (*awstest.STS, awstest.Credentials) {
	t.Helper()
	emulator := awstest.New(awstest.Options{})
	server, err := awstest.NewServer(emulator, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	user, err := emulator.AddUser(clientUserARN)
	if err != nil {
		t.Fatal(err)
	}
	role.TrustedPrincipals = append(role.TrustedPrincipals, clientUserARN)
	if err := emulator.AddRole(clientRoleARN, role); err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, server.CAPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	configFile = strings.NewReplacer("$ID", user.AccessKeyID, "$SECRET", user.SecretAccessKey).Replace(configFile)
	setAWS(t, configFile, "AWS_REGION=us-west-2", "AWS_CA_BUNDLE="+authority, "AWS_ENDPOINT_URL_STS="+server.URL())
	if configFile == "" {
		setKey(t, user)
	}
	return emulator, user
}

func setKey(t testing.TB, creds awstest.Credentials) {
	t.Setenv("AWS_ACCESS_KEY_ID", creds.AccessKeyID)
	t.Setenv("AWS_SECRET_ACCESS_KEY", creds.SecretAccessKey)
	t.Setenv("AWS_SESSION_TOKEN", creds.SessionToken)
}

// whoSigned returns the ARN that the emulator gives for a token.
func whoSigned(t testing.TB, emulator *awstest.STS, token Token) string {
	t.Helper()
	server, err := awstest.NewServer(emulator, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	verifier, err := NewVerifier(VerifierOptions{
		ClusterIDs: []string{"prod"},
		Transport:  NewTransport(TransportOptions{EmulatorAddress: server.Addr(), EmulatorCA: server.CertPool(), Concurrency: 1}),
	})
	if err != nil {
		t.Fatal(err)
	}
	identity, err := verifier.Verify(t.Context(), token.Value)
	if err != nil {
		t.Fatal(err)
	}
	return identity.ARN
}

// sessionNameOf returns the last part of the ARN of a session of the role.
func sessionNameOf(t testing.TB, arn string) string {
	t.Helper()
	name, ok := strings.CutPrefix(arn, "arn:aws:sts::111122223333:assumed-role/deployers/")
	if !ok {
		t.Fatalf("%s is no session of the role", arn)
	}
	return name
}

func TestAssumeRole(t *testing.T) {
	now := time.Now()
	cases := []struct {
		name    string
		role    awstest.Role
		opts    GenerateOptions
		session string
	}{
		{"default session name", awstest.Role{}, GenerateOptions{}, "authenticator-"},
		{"external ID", awstest.Role{ExternalID: "s3cret"}, GenerateOptions{ExternalID: "s3cret"}, "authenticator-"},
		{"session name", awstest.Role{}, GenerateOptions{SessionName: "carol@example.com"}, "carol@example.com"},
		{"session duration", awstest.Role{MaxSession: 12 * time.Hour}, GenerateOptions{SessionDuration: 12 * time.Hour}, "authenticator-"},
		{"shortest session", awstest.Role{}, GenerateOptions{SessionDuration: 15 * time.Minute}, "authenticator-"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			emulator, _ := setSTS(t, c.role, "")
			c.opts.ClusterID, c.opts.RoleARN = "prod", clientRoleARN
			token, err := Generate(t.Context(), c.opts)
			if err != nil {
				t.Fatal(err)
			}
			if all, assume := emulator.Calls(""), emulator.Calls("AssumeRole"); all != 1 || assume != 1 {
				t.Errorf("%d calls, %d of them AssumeRole, want just that one", all, assume)
			}
			if name := sessionNameOf(t, whoSigned(t, emulator, token)); !strings.HasPrefix(name, c.session) {
				t.Errorf("session %q, want %q", name, c.session)
			}
			if life := token.Expiration.Sub(now); life < 13*time.Minute || life > 15*time.Minute {
				t.Errorf("expires in %v", life)
			}
		})
	}
}

func TestAssumeRoleIsRefused(t *testing.T) {
	cases := []struct {
		name string
		role awstest.Role
		opts GenerateOptions
		says string
	}{
		{"no external ID", awstest.Role{ExternalID: "s3cret"}, GenerateOptions{}, "trust policy must name you (and the external ID"},
		{"wrong external ID", awstest.Role{ExternalID: "s3cret"}, GenerateOptions{ExternalID: "other"}, "trust policy"},
		{"too long a session", awstest.Role{MaxSession: time.Hour}, GenerateOptions{SessionDuration: 2 * time.Hour}, "for which an hour is the most"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			emulator, _ := setSTS(t, c.role, "")
			c.opts.ClusterID, c.opts.RoleARN = "prod", clientRoleARN
			_, err := Generate(t.Context(), c.opts)
			wantError(t, err, "assume role "+clientRoleARN, c.says)
			if n := emulator.Calls("AssumeRole"); n != 1 {
				t.Errorf("%d calls for a refusal, want 1", n)
			}
		})
	}
}

func TestSessionNameIsForwarded(t *testing.T) {
	const callerRole = "arn:aws:iam::111122223333:role/people"
	emulator, _ := setSTS(t, awstest.Role{TrustedPrincipals: []string{callerRole}}, "")
	if err := emulator.AddRole(callerRole, awstest.Role{}); err != nil {
		t.Fatal(err)
	}
	caller, err := emulator.Session(callerRole, "dave@example.com")
	if err != nil {
		t.Fatal(err)
	}
	var warnings []string
	opts := GenerateOptions{
		ClusterID: "prod", RoleARN: clientRoleARN, ForwardSessionName: true,
		Warn: func(w string) { warnings = append(warnings, w) },
	}

	t.Run("of a user, who has none", func(t *testing.T) {
		token, err := Generate(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if name := sessionNameOf(t, whoSigned(t, emulator, token)); !strings.HasPrefix(name, "authenticator-") {
			t.Errorf("session %q", name)
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], "no session name to forward") {
			t.Errorf("warnings %q", warnings)
		}
	})
	t.Run("of a session", func(t *testing.T) {
		setKey(t, caller)
		emulator.Forget()
		warnings = nil
		token, err := Generate(t.Context(), opts)
		if err != nil {
			t.Fatal(err)
		}
		if ask, assume := emulator.Calls("GetCallerIdentity"), emulator.Calls("AssumeRole"); ask != 1 || assume != 1 {
			t.Errorf("%d GetCallerIdentity and %d AssumeRole, want one each", ask, assume)
		}
		if name := sessionNameOf(t, whoSigned(t, emulator, token)); name != "dave@example.com" {
			t.Errorf("session %q", name)
		}
		if len(warnings) != 0 {
			t.Errorf("warnings %q", warnings)
		}
	})
}

const mfaSerial = "arn:aws:iam::111122223333:mfa/carol"

const mfaConfig = `
[profile base]
aws_access_key_id = $ID
aws_secret_access_key = $SECRET
[profile mfa]
source_profile = base
role_arn = ` + clientRoleARN + `
mfa_serial = ` + mfaSerial + `
`

func TestMFACodeIsAskedFor(t *testing.T) {
	emulator, _ := setSTS(t, awstest.Role{MFASerial: mfaSerial}, mfaConfig)
	questions := 0
	token, err := Generate(t.Context(), GenerateOptions{
		ClusterID: "prod", Profile: "mfa",
		Prompt: func(_ context.Context, question string) (string, error) {
			questions++
			if question != "Assume Role MFA token code: " {
				t.Errorf("question %q", question)
			}
			return " " + awstest.MFACode + "\r\n", nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	sessionNameOf(t, whoSigned(t, emulator, token))
	if questions != 1 {
		t.Errorf("asked %d times", questions)
	}
}

func TestWithoutAnMFACodeThereIsNoCall(t *testing.T) {
	prompt := func(answer string, err error) func(context.Context, string) (string, error) {
		return func(context.Context, string) (string, error) { return answer, err }
	}
	noTerminal := errors.New("there is no terminal to ask on")
	cases := []struct {
		name string
		opts GenerateOptions
		says string
		is   error
	}{
		{"nobody to ask", GenerateOptions{NonInteractive: true, Prompt: prompt(awstest.MFACode, nil)}, "there is nobody to ask", nil},
		{"no terminal", GenerateOptions{Prompt: prompt("", noTerminal)}, "no terminal", noTerminal},
		{"no answer", GenerateOptions{Prompt: prompt("\n", nil)}, "want 6 digits", nil},
		{"letters", GenerateOptions{Prompt: prompt("abcdef\n", nil)}, "want 6 digits", nil},
		{"seven digits", GenerateOptions{Prompt: prompt("1234567\n", nil)}, "want 6 digits", nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			emulator, _ := setSTS(t, awstest.Role{MFASerial: mfaSerial}, mfaConfig)
			c.opts.ClusterID, c.opts.Profile = "prod", "mfa"
			_, err := Generate(t.Context(), c.opts)
			wantError(t, err, `profile "mfa" needs an MFA code`, c.says)
			if c.is != nil && !errors.Is(err, c.is) {
				t.Errorf("%v is not wrapped", c.is)
			}
			if n := emulator.Calls(""); n != 0 {
				t.Errorf("%d calls", n)
			}
		})
	}
}

func TestCancellingEndsTheWaitForAnMFACode(t *testing.T) {
	setSTS(t, awstest.Role{MFASerial: mfaSerial}, mfaConfig)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Generate(ctx, GenerateOptions{
		ClusterID: "prod", Profile: "mfa",
		Prompt: func(ctx context.Context, _ string) (string, error) {
			cancel()
			<-ctx.Done()
			return "", ctx.Err()
		},
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	const configFile = `
[default]
[profile sso]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
[profile legacy-sso]
sso_start_url = https://old.awsapps.com/start
sso_region = us-east-1
sso_account_id = 111122223333
sso_role_name = Dev
[profile via-sso]
source_profile = sso
role_arn = ` + clientRoleARN + `
[profile login]
login_session = arn:aws:iam::111122223333:user/carol
[profile instance]
credential_source = Ec2InstanceMetadata
role_arn = ` + clientRoleARN + `
[profile process]
credential_process = false
`
	cases := []struct {
		profile string
		says    []string
	}{
		{"", []string{"no AWS credentials found", "--profile or AWS_PROFILE", "aws configure"}},
		{"missing", []string{`profile "missing" does not exist`, "aws configure list-profiles"}},
		{"sso", []string{"SSO session", `run "aws sso login --profile sso"`}},
		{"legacy-sso", []string{"SSO session", `run "aws sso login --profile legacy-sso"`}},
		{"via-sso", []string{"SSO session", `run "aws sso login --profile via-sso"`}},
		{"login", []string{"login session", `run "aws login --profile login"`}},
		{"instance", []string{"no AWS credentials found"}},
		{"process", []string{"get AWS credentials"}},
	}
	for _, c := range cases {
		t.Run(c.profile, func(t *testing.T) {
			setAWS(t, configFile, "AWS_REGION=us-west-2")
			_, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Profile: c.profile, httpClient: noNetwork{t}})
			wantError(t, err, c.says...)
			if line, _, _ := strings.Cut(err.Error(), "\n"); !strings.Contains(line, c.says[0]) {
				t.Errorf("first line %q does not say %q", line, c.says[0])
			}
			if errors.Unwrap(err) == nil {
				t.Error("the SDK's error is not wrapped")
			}
		})
	}
}

func TestProfilesRoleIsRefused(t *testing.T) {
	setSTS(t, awstest.Role{ExternalID: "s3cret"}, "[profile base]\naws_access_key_id = $ID\naws_secret_access_key = $SECRET\n"+
		"[profile ops]\nsource_profile = base\nrole_arn = "+clientRoleARN+"\n")
	_, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Profile: "ops"})
	wantError(t, err, `assume the role of the AWS profile "ops"`, "AccessDenied")
}

func TestUserAgentNamesTheProgram(t *testing.T) {
	emulator, _ := setSTS(t, awstest.Role{}, "")
	if _, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", RoleARN: clientRoleARN, UserAgent: "authenticator/1.2.3"}); err != nil {
		t.Fatal(err)
	}
	if agent := emulator.Requests()[0].Header.Get("User-Agent"); !strings.Contains(agent, "authenticator/1.2.3") {
		t.Errorf("User-Agent %q", agent)
	}
}

// fakeSSO is the portal of IAM Identity Center, whose only session has the access
// token "carols". It answers refusal, if it is one, whoever asks.
func fakeSSO(t testing.TB, refusal string) (url string) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case refusal != "":
			w.Header().Set("X-Amzn-Errortype", refusal)
			w.WriteHeader(http.StatusForbidden)
			io.WriteString(w, `{"message": "no"}`)
		case r.Header.Get("X-Amz-Sso_bearer_token") != "carols":
			w.Header().Set("X-Amzn-Errortype", "UnauthorizedException")
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"message": "Session token not found or invalid"}`)
		default:
			fmt.Fprintf(w, `{"roleCredentials": {"accessKeyId": "ASIASSOEXAMPLE000000", "secretAccessKey": "s", "sessionToken": "t", "expiration": %d}}`,
				time.Now().Add(time.Hour).UnixMilli())
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestSSOProfile(t *testing.T) {
	const configFile = `
[profile dev]
region = eu-west-1
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
[sso-session corp]
sso_start_url = https://corp.awsapps.com/start
sso_region = us-east-1
`
	const login = `run "aws sso login --profile dev"`
	cases := []struct {
		name, accessToken, refusal string
		lives                      time.Duration
		says, not                  string
	}{
		{"logged in", "carols", "", time.Hour, "", ""},
		{"login expired", "carols", "", -time.Hour, login, ""},
		{"login revoked", "daves", "", time.Hour, login, ""},
		{"role not assigned", "carols", "ForbiddenException", time.Hour, "get AWS credentials", login},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			setAWS(t, configFile, "AWS_ENDPOINT_URL_SSO="+fakeSSO(t, c.refusal))
			writeLogin(t, "corp", c.accessToken, c.lives)
			token, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Profile: "dev"})
			if c.says != "" {
				wantError(t, err, c.says)
				if c.not != "" && strings.Contains(err.Error(), c.not) {
					t.Errorf("error %q says %q", err, c.not)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if credential := tokenURL(t, token).Query().Get("X-Amz-Credential"); !strings.HasPrefix(credential, "ASIASSOEXAMPLE000000/") {
				t.Errorf("credential %s", credential)
			}
		})
	}

	t.Run("portal unreachable", func(t *testing.T) {
		setAWS(t, configFile, "AWS_ENDPOINT_URL_SSO=http://127.0.0.1:1", "AWS_MAX_ATTEMPTS=1")
		writeLogin(t, "corp", "carols", time.Hour)
		_, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Profile: "dev"})
		wantError(t, err, "get AWS credentials")
		if strings.Contains(err.Error(), login) {
			t.Errorf("error %q blames the login", err)
		}
	})

	t.Run("cached until the next login", func(t *testing.T) {
		setAWS(t, configFile, "AWS_ENDPOINT_URL_SSO="+fakeSSO(t, ""))
		opts := GenerateOptions{ClusterID: "prod", Profile: "dev", Cache: true}
		writeLogin(t, "corp", "carols", time.Hour)
		if _, err := Generate(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		opts.httpClient = noNetwork{t}
		if _, err := Generate(t.Context(), opts); err != nil {
			t.Fatal(err)
		}
		opts.httpClient = nil
		writeLogin(t, "corp", "daves", time.Hour)
		_, err := Generate(t.Context(), opts)
		wantError(t, err, login)
	})
}

func TestCredentialsAreNotCachedIfTheLoginChangesMeanwhile(t *testing.T) {
	portal := fakeSSO(t, "")
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeLogin(t, "corp", "daves", time.Hour) // while carol's request is under way
		http.Redirect(w, r, portal+r.URL.String(), http.StatusTemporaryRedirect)
	}))
	defer proxy.Close()
	setAWS(t, "[default]\nregion = eu-west-1\nsso_session = corp\nsso_account_id = 111122223333\nsso_role_name = Dev\n"+
		"[sso-session corp]\nsso_start_url = https://corp.awsapps.com/start\nsso_region = us-east-1\n", "AWS_ENDPOINT_URL_SSO="+proxy.URL)
	writeLogin(t, "corp", "carols", time.Hour)
	if _, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Cache: true}); err != nil {
		t.Fatal(err)
	}
	path, err := DefaultCacheFile()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("there is a cache, or %v", err)
	}
}

// writeLogin writes what "aws sso login" leaves behind.
func writeLogin(t testing.TB, session, accessToken string, lives time.Duration) {
	t.Helper()
	path, err := ssocreds.StandardCachedTokenFilepath(session)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	login := fmt.Sprintf(`{"accessToken": %q, "expiresAt": %q}`, accessToken, time.Now().Add(lives).UTC().Format(time.RFC3339))
	if err := os.WriteFile(path, []byte(login), 0o600); err != nil {
		t.Fatal(err)
	}
}
