package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/config"
)

// parseServer runs the command "server" with a function in place of the server, and
// returns the configuration that it was given.
func parseServer(t *testing.T, args ...string) (c config.Config, err error) {
	t.Helper()
	called := false
	root := newRootCommand(streams{strings.NewReader(""), io.Discard, io.Discard}, func(_ context.Context, given config.Config, _ string, _ *zap.Logger) error {
		c, called = given, true
		return nil
	})
	root.SetArgs(append([]string{"server"}, args...))
	err = root.ExecuteContext(t.Context())
	if called != (err == nil) {
		t.Errorf("server %q: the server was started: %t, with the error %v", args, called, err)
	}
	return c, err
}

func writeConfig(t *testing.T, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestFlagComesBeforeFileBeforeDefault(t *testing.T) {
	t.Setenv(envClusterID, "")
	type list = []string
	for kind, c := range map[string]struct {
		get                           func(config.Server) any
		file, flag                    string
		byDefault, fromFile, fromFlag any
	}{
		"text": {
			func(s config.Server) any { return s.StateDir }, "stateDir: /file", "--state-dir=/flag",
			"/var/aws-iam-authenticator", "/file", "/flag",
		},
		"number": {
			func(s config.Server) any { return s.Port }, "port: 1001", "--port=1002",
			21362, 1001, 1002,
		},
		"number that is the default": {
			func(s config.Server) any { return s.Port }, "port: 1001", "--port=21362",
			21362, 1001, 21362,
		},
		"number that is zero": {
			func(s config.Server) any { return s.HealthPort }, "healthPort: 1001", "--health-port=0",
			21363, 1001, 0,
		},
		"switch": {
			func(s config.Server) any { return s.KubeconfigPregenerated }, "kubeconfigPregenerated: false", "--kubeconfig-pregenerated",
			false, false, true,
		},
		"switch that is off": {
			func(s config.Server) any { return s.Profiling }, "profiling: true", "--profiling=false",
			false, true, false,
		},
		"duration": {
			func(s config.Server) any { return s.STSTimeout }, "stsTimeout: 7s", "--sts-timeout=800ms",
			5 * time.Second, 7 * time.Second, 800 * time.Millisecond,
		},
		"list": {
			func(s config.Server) any { return s.BackendMode }, "backendMode: [MountedFile, DynamicFile]\n  dynamicfilepath: /d", "--backend-mode=DynamicFile --dynamic-file=/d",
			list{"MountedFile"}, list{"MountedFile", "DynamicFile"}, list{"DynamicFile"},
		},
		"list with commas": {
			func(s config.Server) any { return s.STSRegions }, "stsRegions: [a-file-1]", "--sts-region=a-flag-1,a-flag-2",
			list(nil), list{"a-file-1"}, list{"a-flag-1", "a-flag-2"},
		},
		"list of flags": {
			func(s config.Server) any { return s.STSRegions }, "stsRegions: [a-file-1]", "--sts-region=a-flag-1 --sts-region=a-flag-2",
			list(nil), list{"a-file-1"}, list{"a-flag-1", "a-flag-2"},
		},
	} {
		t.Run(kind, func(t *testing.T) {
			file := "--config=" + writeConfig(t, "clusterID: demo\nserver:\n  "+c.file+"\n")
			flags := strings.Fields(c.flag)
			for _, source := range []struct {
				name string
				args []string
				want any
			}{
				{"nothing", []string{"-i=demo"}, c.byDefault},
				{"the file", []string{file}, c.fromFile},
				{"the flag", append([]string{"-i=demo"}, flags...), c.fromFlag},
				{"both", append([]string{file}, flags...), c.fromFlag},
			} {
				got, err := parseServer(t, source.args...)
				if err != nil {
					t.Errorf("%s: %v", source.name, err)
				} else if !reflect.DeepEqual(c.get(got.Server), source.want) {
					t.Errorf("%s: got %#v, want %#v", source.name, c.get(got.Server), source.want)
				}
			}
		})
	}
}

func TestFlagLeavesTheRestOfTheFileAlone(t *testing.T) {
	t.Setenv(envClusterID, "")
	got, err := parseServer(t, "--config", writeConfig(t, `clusterID: demo
server:
  port: 1001
  hostname: file.example.com
  scrubbedAccounts: ["111122223333"]
  mapAccounts: ["444455556666"]
`), "--port=1002")
	if err != nil {
		t.Fatal(err)
	}
	s := got.Server
	if s.Port != 1002 || s.Hostname != "file.example.com" || !reflect.DeepEqual(s.ScrubbedAccounts, []string{"111122223333"}) || len(s.MapAccounts.Content) != 1 {
		t.Errorf("got %+v", s)
	}
}

func TestClusterIDOfFlagComesBeforeEnvironmentBeforeFile(t *testing.T) {
	file := "--config=" + writeConfig(t, "clusterID: file\n")
	for _, c := range []struct {
		env  string
		args []string
		want string
	}{
		{"", []string{file}, "file"},
		{"environment", nil, "environment"},
		{"environment", []string{file}, "environment"},
		{"environment", []string{"-i", "flag"}, "flag"},
		{"", []string{file, "-i", "flag"}, "flag"},
		{"environment", []string{file, "--cluster-id=flag"}, "flag"},
	} {
		t.Setenv(envClusterID, c.env)
		got, err := parseServer(t, c.args...)
		if err != nil || got.ClusterID != c.want {
			t.Errorf("environment %q, flags %q: got %q, %v; want %q", c.env, c.args, got.ClusterID, err, c.want)
		}
	}
}

// TestEveryFlagOfServerReachesItsField also makes sure that a flag that is added is tested.
func TestEveryFlagOfServerReachesItsField(t *testing.T) {
	t.Setenv(envClusterID, "")
	// Some flags are valid in company only, which is given after a space.
	flags := map[string]func(*config.Server){
		"partition=aws-cn":                               func(s *config.Server) { s.Partition = "aws-cn" },
		"sts-region=xx-new-1":                            func(s *config.Server) { s.STSRegions = []string{"xx-new-1"} },
		"sts-emulator-address=h:1 --sts-emulator-ca=/ca": func(s *config.Server) { s.STSEmulator = config.STSEmulator{Address: "h:1", CAFile: "/ca"} },
		"sts-emulator-ca=/ca --sts-emulator-address=h:1": func(s *config.Server) { s.STSEmulator = config.STSEmulator{Address: "h:1", CAFile: "/ca"} },
		"hostname=name":                                  func(s *config.Server) { s.Hostname = "name" },
		"address=::1":                                    func(s *config.Server) { s.Address = "::1" },
		"port=1":                                         func(s *config.Server) { s.Port = 1 },
		"state-dir=/s":                                   func(s *config.Server) { s.StateDir = "/s" },
		"generate-kubeconfig=/k":                         func(s *config.Server) { s.GenerateKubeconfig = "/k" },
		"health-address=::1":                             func(s *config.Server) { s.HealthAddress = "::1" },
		"health-port=2":                                  func(s *config.Server) { s.HealthPort = 2 },
		"kubeconfig-pregenerated":                        func(s *config.Server) { s.KubeconfigPregenerated = true },
		"cert-file=/c --key-file=/k":                     func(s *config.Server) { s.CertFile, s.KeyFile = "/c", "/k" },
		"key-file=/k --cert-file=/c":                     func(s *config.Server) { s.CertFile, s.KeyFile = "/c", "/k" },
		"client-ca-file=/a":                              func(s *config.Server) { s.ClientCAFile = "/a" },
		"backend-mode=File":                              func(s *config.Server) { s.BackendMode = []string{"MountedFile"} },
		"dynamic-file=/d --backend-mode=DynamicFile":     func(s *config.Server) { s.DynamicFilePath, s.BackendMode = "/d", []string{"DynamicFile"} },
		"authentication-mode=API": func(s *config.Server) {
			s.AuthenticationMode, s.BackendMode = "API", []string{"AccessEntry"}
		},
		"bootstrap-admin=arn:aws:iam::111122223333:user/a": func(s *config.Server) {
			s.BootstrapAdmin = []string{"arn:aws:iam::111122223333:user/a"}
		},
		"sts-concurrency=3":                func(s *config.Server) { s.STSConcurrency = 3 },
		"sts-timeout=4s":                   func(s *config.Server) { s.STSTimeout = 4 * time.Second },
		"sts-qps=7":                        func(s *config.Server) { s.STSQPS = 7 },
		"sts-burst=8":                      func(s *config.Server) { s.STSBurst = 8 },
		"token-cache-ttl=30s":              func(s *config.Server) { s.TokenCache.TTL = 30 * time.Second },
		"token-cache-stale-on-error=false": func(s *config.Server) { s.TokenCache.StaleOnError = false },
		"audit-log-path=/a":                func(s *config.Server) { s.Audit.Path = "/a" },
		"audit-required --audit-log-path=/a": func(s *config.Server) {
			s.Audit.Path, s.Audit.Required = "/a", true
		},
		"admission-webhook":             func(s *config.Server) { s.AdmissionWebhook = true },
		"profiling":                     func(s *config.Server) { s.Profiling = true },
		"kubeconfig=/k":                 func(s *config.Server) { s.Kubeconfig = "/k" },
		"master=https://m":              func(s *config.Server) { s.Master = "https://m" },
		"ec2-describeInstances-qps=5":   func(s *config.Server) { s.EC2DescribeInstancesQPS = 5 },
		"node-role-exclusive":           func(s *config.Server) { s.NodeRoleExclusive = true },
		"node-proof=all":                func(s *config.Server) { s.NodeProof = "all" },
		"ec2-describeInstances-burst=6": func(s *config.Server) { s.EC2DescribeInstancesBurst = 6 },
	}
	tested := map[string]bool{"dev": true, "dev-dir": true, "help": true} // not part of the configuration
	for flag, change := range flags {
		want := config.Default()
		want.ClusterID, want.Server.BackendMode = "demo", []string{"MountedFile"}
		change(&want.Server)
		got, err := parseServer(t, append([]string{"-i", "demo"}, strings.Fields("--"+flag)...)...)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("--%s: got %+v, %v; want %+v", flag, got, err, want)
		}
		name, _, _ := strings.Cut(strings.Fields(flag)[0], "=")
		tested[name] = true
	}
	server, _, err := newRootCommand(streams{}, nil).Find([]string{"server"})
	if err != nil {
		t.Fatal(err)
	}
	server.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if !tested[f.Name] {
			t.Errorf("--%s is not tested", f.Name)
		}
	})
}

func TestServerIsNotStartedWithAnInvalidConfiguration(t *testing.T) {
	t.Setenv(envClusterID, "")
	for name, args := range map[string][]string{
		"no cluster ID":      nil,
		"invalid flag":       {"-i=demo", "--port=0"},
		"unknown gate":       {"-i=demo", "--feature-gates=SSORoleMatch=true,Nothing=true"},
		"emulator, no CA":    {"-i=demo", "--sts-emulator-address=127.0.0.1:1"},
		"no such file":       {"--config=/nonexistent/config.yaml"},
		"dev and production": {"--dev", "--hostname=example.com"},
	} {
		if _, err := parseServer(t, args...); exitCode(err) != exitUsage {
			t.Errorf("%s: exit code %d (%v), want %d", name, exitCode(err), err, exitUsage)
		}
	}
}

func TestFeatureGatesOfTheOriginalAreAccepted(t *testing.T) {
	gates := "ConfiguredInitDirectories=true, IAMIdentityMappingCRD=false,SSORoleMatch=true,AllAlpha=true"
	if _, err := parseServer(t, "-i=demo", "--feature-gates", gates); err != nil {
		t.Error(err)
	}
}

// TestDevRunsOnLoopbackWithItsOwnFiles runs --dev with a function in place of the server.
func TestDevRunsOnLoopbackWithItsOwnFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	t.Setenv(envClusterID, "production")
	failure := errors.New("failure")
	var out bytes.Buffer
	var dir string
	root := newRootCommand(streams{strings.NewReader(""), &out, io.Discard}, func(_ context.Context, c config.Config, configFile string, _ *zap.Logger) error {
		dir = filepath.Dir(configFile)
		s := c.Server
		if c.ClusterID != "dev" || s.Address != "127.0.0.1" || s.Port != 1001 || s.HealthAddress != "127.0.0.1" || s.HealthPort != 1002 ||
			!strings.HasPrefix(s.STSEmulator.Address, "127.0.0.1:") || s.STSEmulator.CAFile == "" {
			t.Errorf("got %+v", c)
		}
		for _, path := range []string{s.StateDir, s.GenerateKubeconfig, s.STSEmulator.CAFile} {
			if filepath.Dir(path) != dir {
				t.Errorf("%s is not in %s", path, dir)
			}
		}
		if !strings.Contains(out.String(), "Never use this in production") {
			t.Errorf("no warning before the start: %q", &out)
		}
		return failure
	})
	root.SetArgs([]string{"server", "--dev", "--port=1001", "--health-port=1002"})
	if err := root.ExecuteContext(t.Context()); !errors.Is(err, failure) {
		t.Errorf("error %v, want that of the server", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the temporary directory %q is still there: %v", dir, err)
	}
}
