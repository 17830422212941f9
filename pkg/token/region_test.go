package token

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
)

// fakeIMDS is an instance metadata service, version 2 only, of an instance in
// eu-north-1 with a role.
func fakeIMDS(t testing.TB) (url string, requests *atomic.Int64) {
	requests = new(atomic.Int64)
	const sessionToken = "imds-session"
	answer := func(w http.ResponseWriter, value any) { json.NewEncoder(w).Encode(value) }
	mux := http.NewServeMux()
	mux.HandleFunc("PUT /latest/api/token", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		w.Write([]byte(sessionToken))
	})
	mux.HandleFunc("GET /latest/dynamic/instance-identity/document", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]string{"region": "eu-north-1"})
	})
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/{$}", func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte("node"))
	})
	mux.HandleFunc("GET /latest/meta-data/iam/security-credentials/node", func(w http.ResponseWriter, r *http.Request) {
		answer(w, map[string]any{
			"Code": "Success", "AccessKeyId": "ASIAIMDSEXAMPLE00000", "SecretAccessKey": "secret", "Token": "token",
			"Expiration": time.Now().Add(6 * time.Hour).UTC().Format(time.RFC3339),
		})
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		if r.Method != http.MethodPut && r.Header.Get("X-Aws-Ec2-Metadata-Token") != sessionToken {
			http.Error(w, "version 1 is off", http.StatusUnauthorized)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

// deadIMDS are services that never answer: one that says nothing at all, and one
// that begins an answer.
func deadIMDS(t testing.TB) map[string]string {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() }) // the backlog takes the connections
	stalling := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(stalling.Close)
	return map[string]string{"silent": "http://" + listener.Addr().String(), "stalling": stalling.URL}
}

// contextBeforeSDK ends before the SDK's own timeout for IMDS, 5 s, would help.
func contextBeforeSDK(t testing.TB) (context.Context, context.CancelFunc) {
	return context.WithTimeout(t.Context(), 4500*time.Millisecond)
}

func TestRegionOrder(t *testing.T) {
	const (
		server     = "https://ABCDEF.gr7.ap-south-1.eks.amazonaws.com"
		configFile = "[default]\nregion = ca-central-1\n[profile dev]\nregion = eu-west-1\n[profile bare]\n"
	)
	metadata, _ := fakeIMDS(t)
	cases := []struct {
		name string
		env  []string
		opts GenerateOptions
		want string
	}{
		{"the option is first", []string{"AWS_REGION=us-west-2"}, GenerateOptions{Region: "sa-east-1", Profile: "dev", Server: server}, "sa-east-1"},
		{"then AWS_REGION", []string{"AWS_REGION=us-west-2", "AWS_DEFAULT_REGION=us-west-1"}, GenerateOptions{Profile: "dev", Server: server}, "us-west-2"},
		{"then AWS_DEFAULT_REGION", []string{"AWS_DEFAULT_REGION=us-west-1"}, GenerateOptions{Profile: "dev", Server: server}, "us-west-1"},
		{"then the profile", nil, GenerateOptions{Profile: "dev", Server: server}, "eu-west-1"},
		{"which may be the default one", nil, GenerateOptions{Server: server}, "ca-central-1"},
		{"then the cluster's server", nil, GenerateOptions{Profile: "bare", Server: server}, "ap-south-1"},
		{"then the instance", nil, GenerateOptions{Profile: "bare"}, "eu-north-1"},
		{"also if the server names none", nil, GenerateOptions{Profile: "bare", Server: "https://us-west-2.example.com:6443"}, "eu-north-1"},
		{"also if the server is no URL", nil, GenerateOptions{Profile: "bare", Server: "%zz"}, "eu-north-1"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			setAWS(t, configFile, append(c.env, "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata, "AWS_EC2_METADATA_DISABLED=false")...)
			cfg, err := loadConfig(t.Context(), c.opts.withDefaults())
			if err != nil {
				t.Fatal(err)
			}
			if cfg.Region != c.want {
				t.Errorf("region %s, want %s", cfg.Region, c.want)
			}
		})
	}
}

func TestInstanceIsAskedOnlyAsALastResort(t *testing.T) {
	metadata, requests := fakeIMDS(t)
	setAWS(t, "[profile bare]\n", append(slices.Clone(aliceKey), "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata, "AWS_EC2_METADATA_DISABLED=")...)
	_, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Server: "https://ABC.gr7.us-west-2.eks.amazonaws.com"})
	if err != nil || requests.Load() != 0 {
		t.Errorf("%d requests though the server names the region, error %v", requests.Load(), err)
	}

	t.Setenv("AWS_EC2_METADATA_DISABLED", "TRUE")
	_, err = Generate(t.Context(), GenerateOptions{ClusterID: "prod"})
	wantError(t, err, "--region", "AWS_REGION", "aws configure")
	if requests.Load() != 0 {
		t.Errorf("%d requests though AWS_EC2_METADATA_DISABLED", requests.Load())
	}
}

func TestWaitForADeadInstanceIsBounded(t *testing.T) {
	for name, url := range deadIMDS(t) {
		imds := []string{"AWS_EC2_METADATA_SERVICE_ENDPOINT=" + url, "AWS_EC2_METADATA_DISABLED="}
		t.Run("region from a "+name+" one", func(t *testing.T) {
			setAWS(t, "", append(imds, aliceKey...)...)
			ctx, cancel := contextBeforeSDK(t)
			defer cancel()
			_, err := Generate(ctx, GenerateOptions{ClusterID: "prod"})
			wantError(t, err, "no AWS region", "--region", "AWS_REGION", "aws configure")
		})
		t.Run("credentials from a "+name+" one", func(t *testing.T) {
			setAWS(t, "", append(imds, "AWS_REGION=us-west-2")...)
			ctx, cancel := contextBeforeSDK(t)
			defer cancel()
			_, err := Generate(ctx, GenerateOptions{ClusterID: "prod"})
			wantError(t, err, "no AWS credentials found", "--profile", "aws configure")
		})
	}
}

func TestTokenOnAnInstance(t *testing.T) {
	metadata, _ := fakeIMDS(t)
	setAWS(t, "", "AWS_EC2_METADATA_SERVICE_ENDPOINT="+metadata, "AWS_EC2_METADATA_DISABLED=")
	token, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod"})
	if err != nil {
		t.Fatal(err)
	}
	u := tokenURL(t, token)
	if u.Host != "sts.eu-north-1.amazonaws.com" || !strings.HasPrefix(u.Query().Get("X-Amz-Credential"), "ASIAIMDSEXAMPLE00000/") {
		t.Errorf("URL %s", u)
	}
}

func TestInstanceMetadataEndpointOfTheProfile(t *testing.T) {
	metadata, requests := fakeIMDS(t)
	setAWS(t, "[default]\nregion = us-west-2\nec2_metadata_service_endpoint = "+metadata+"\n")
	os.Unsetenv("AWS_EC2_METADATA_DISABLED")
	if _, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod"}); err != nil {
		t.Fatal(err)
	}
	if requests.Load() == 0 {
		t.Error("the endpoint of the profile was not asked")
	}
}

func TestInstanceMetadataGoesThroughNoProxy(t *testing.T) {
	for name, client := range map[string]imds.HTTPClient{
		"default client": nil,
		"configured one": awshttp.NewBuildableClient(), // as with AWS_CA_BUNDLE
	} {
		if withoutProxy(client).(*awshttp.BuildableClient).GetTransport().Proxy != nil {
			t.Errorf("the %s goes through a proxy", name)
		}
	}
}

func TestUnknownRegion(t *testing.T) {
	cases := []struct{ region, says, not string }{
		{"us-esat-1", "did you mean \"us-east-1\"?", ""},
		{"us-west-22", "did you mean \"us-west-2\"?", ""},
		{"eu-centrl-1", "did you mean \"eu-central-1\"?", ""},
		{"eu-venus-central-7", "servers that know no more", "did you mean"},
		{"aws-global", "servers that know no more", "did you mean"},
	}
	for _, c := range cases {
		setAWS(t, "", aliceKey...)
		var warnings []string
		_, err := Generate(t.Context(), GenerateOptions{ClusterID: "prod", Region: c.region, httpClient: noNetwork{t},
			Warn: func(w string) { warnings = append(warnings, w) }})
		if err != nil {
			t.Errorf("%s: %v", c.region, err)
			continue
		}
		if len(warnings) != 1 || !strings.Contains(warnings[0], c.says) || c.not != "" && strings.Contains(warnings[0], c.not) {
			t.Errorf("%s: warnings %q, want one that says %q", c.region, warnings, c.says)
		}
	}
	if warning := unknownRegion("us-east-1"); warning != "" {
		t.Errorf("us-east-1: %s", warning)
	}
}
