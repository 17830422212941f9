package config

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestLoadReadsTheOriginalsFile(t *testing.T) {
	c, err := Load(filepath.Join("testdata", "original.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	want := Default()
	want.ClusterID = "my-dev-cluster.example.com"
	want.DefaultRole = "arn:aws:iam::000000000000:role/KubernetesAdmin"
	s := &want.Server
	s.Port = 21400
	s.Hostname = "webhook.example.com"
	s.StateDir = "/state"
	s.GenerateKubeconfig = "/kubeconfig.yaml"
	s.BackendMode = []string{"MountedFile", "DynamicFile"}
	s.DynamicFilePath = "/dynamic.json"
	s.ScrubbedAccounts = []string{"111122223333", "000000000012"}
	s.EC2DescribeInstancesRoleARN = "arn:aws:iam::000000000000:role/DescribeInstancesRole"
	s.ReservedPrefixConfig = []ReservedPrefixes{{Backend: "DynamicFile", Prefixes: []string{"aws:", "eks:"}}}
	// The mappings are raw nodes, which pkg/mapper/file reads.
	for _, node := range []string{c.Server.MapRoles.Tag, c.Server.MapUsers.Tag, c.Server.MapAccounts.Tag} {
		if node != "!!seq" {
			t.Errorf("a section of mappings is a %s", node)
		}
	}
	s.MapRoles, s.MapUsers, s.MapAccounts = c.Server.MapRoles, c.Server.MapUsers, c.Server.MapAccounts
	if !reflect.DeepEqual(c, want) {
		t.Errorf("Load = %+v\nwant   %+v", c, want)
	}
	if err := c.CompleteServer(); err != nil {
		t.Error(err)
	}
}

func TestParseAcceptsKeysInAnyLetterCase(t *testing.T) {
	c := Default()
	err := Parse([]byte("CLUSTERID: x\nserver:\n  statedir: /s\n  STSTIMEOUT: 250ms\n  backendmode: dynamicfile, file\n"), &c)
	if err != nil {
		t.Fatal(err)
	}
	if c.ClusterID != "x" || c.Server.StateDir != "/s" || c.Server.STSTimeout != 250*time.Millisecond ||
		!slices.Equal(c.Server.BackendMode, []string{"dynamicfile", "file"}) {
		t.Errorf("Parse = %+v", c)
	}
}

func TestParseOfNothingKeepsTheDefaults(t *testing.T) {
	for _, document := range []string{"", "# nothing\n", "---\n", "null\n", "{}\n", "server:\n", "server: {}\n"} {
		c := Default()
		if err := Parse([]byte(document), &c); err != nil {
			t.Errorf("%q: %v", document, err)
		}
		if !reflect.DeepEqual(c, Default()) {
			t.Errorf("%q changed the defaults to %+v", document, c)
		}
	}
}

func TestParseRejects(t *testing.T) {
	for name, c := range map[string]struct{ document, says string }{
		"unknown key":           {"clusterId: x\nclusterNmae: y\n", `line 2: unknown key "clusterNmae"`},
		"misspelt key":          {"server:\n  stateDirr: /s\n", `line 2: unknown key "server.stateDirr", did you mean "stateDir"?`},
		"key one level too far": {"server:\n  clusterIDs: x\n", `unknown key "server.clusterIDs"`},
		"key in a list":         {"server:\n  reservedPrefixConfig:\n  - backend: x\n", `unknown key "server.reservedPrefixConfig.backend"`},
		"key twice":             {"server:\n  port: 1\n  Port: 2\n", `line 3: key "server.port" stands twice, first on line 2`},
		"text for a number":     {"server:\n  port: https\n", "line 2: cannot unmarshal"},
		"list for a mapping":    {"server:\n- port: 1\n", "line 2: cannot unmarshal"},
		"a bare duration":       {"server:\n  stsTimeout: soon\n", "line 2: cannot unmarshal"},
		"no YAML":               {"a: b\nb: c: d\n", "line 2: mapping values"},
		"a list":                {"- a\n", "line 1: cannot unmarshal"},
	} {
		t.Run(name, func(t *testing.T) {
			config := Default()
			err := Parse([]byte(c.document), &config)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v does not say %q", err, c.says)
			}
		})
	}
}

func TestLoadRejectsFiles(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for path, says := range map[string]string{filepath.Join(dir, "none"): "no such file", dir: "directory", big: "more than 16 MiB"} {
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("error %v does not say %q", err, says)
		}
	}
}

func TestCompleteServer(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		says   string // "" for valid
	}{
		"defaults":            {func(*Config) {}, ""},
		"old backend names":   {func(c *Config) { c.Server.BackendMode = []string{"File"} }, ""},
		"no cluster ID":       {func(c *Config) { c.ClusterID = "" }, "no cluster ID: set clusterID"},
		"EKS's names":         {func(c *Config) { c.Server.AuthenticationMode = "API_AND_CONFIG_MAP" }, ""},
		"EKS's names, wrong":  {func(c *Config) { c.Server.AuthenticationMode = "API_AND_CONFIGMAP" }, `did you mean "API_AND_CONFIG_MAP"?`},
		"both names":          {func(c *Config) { c.Server.AuthenticationMode, c.Server.BackendMode = "API", []string{"CRD"} }, "want one of the two"},
		"bootstrap partition": {func(c *Config) { c.Server.BootstrapAdmin = []string{"arn:aws-cn:iam::111122223333:user/a"} }, "would never get in"},
		"bootstrap admin":     {func(c *Config) { c.Server.BootstrapAdmin = []string{"alice"} }, "server.bootstrapAdmin: principal ARN"},
		"unknown backend":     {func(c *Config) { c.Server.BackendMode = []string{"MontedFile"} }, `did you mean "MountedFile"?`},
		"backend twice":       {func(c *Config) { c.Server.BackendMode = []string{"MountedFile", "File"} }, "MountedFile stands twice"},
		"every backend":       {func(c *Config) { c.Server.BackendMode = []string{"accessentry", "crd", "ConfigMap", "File"} }, ""},
		"dynamic, no path":    {func(c *Config) { c.Server.BackendMode = []string{"DynamicFile"} }, "needs server.dynamicfilepath"},
		"path, not dynamic":   {func(c *Config) { c.Server.DynamicFilePath = "/d" }, "doesn't name DynamicFile"},
		"empty prefix":        {func(c *Config) { c.Server.ReservedPrefixConfig = []ReservedPrefixes{{"MountedFile", []string{""}}} }, "every name"},
		"prefix of no one":    {func(c *Config) { c.Server.ReservedPrefixConfig = []ReservedPrefixes{{"x", nil}} }, `unknown backend "x"`},
		"address a name":      {func(c *Config) { c.Server.Address = "localhost" }, "want an IP address"},
		"address IPv6":        {func(c *Config) { c.Server.Address = "::1" }, ""},
		"port 0":              {func(c *Config) { c.Server.Port = 0 }, "server.port 0"},
		"port 65536":          {func(c *Config) { c.Server.Port = 65536 }, "server.port 65536"},
		"health off":          {func(c *Config) { c.Server.HealthPort = 0 }, ""},
		"one port for both":   {func(c *Config) { c.Server.HealthPort = c.Server.Port }, "are both 21362"},
		"profiling":           {func(c *Config) { c.Server.Profiling = true }, ""},
		"profiling for all":   {func(c *Config) { c.Server.Profiling, c.Server.HealthAddress = true, "0.0.0.0" }, "loopback"},
		"certificate alone":   {func(c *Config) { c.Server.CertFile = "/c" }, "go together"},
		"API server alone":    {func(c *Config) { c.Server.APIServerKeyFile = "/k" }, "go together"},
		"CA alone":            {func(c *Config) { c.Server.CAFile = "/c" }, "goes with server.certFile"},
		"no state":            {func(c *Config) { c.Server.StateDir = "" }, "stateDir is empty"},
		"no kubeconfig":       {func(c *Config) { c.Server.GenerateKubeconfig = "" }, "generateKubeconfig is empty"},
		"partition":           {func(c *Config) { c.Server.Partition = "mars" }, "want one of aws"},
		"concurrency":         {func(c *Config) { c.Server.STSConcurrency = 0 }, "stsConcurrency 0"},
		"timeout":             {func(c *Config) { c.Server.STSTimeout = 0 }, "stsTimeout 0s"},
		"scrubbed account":    {func(c *Config) { c.Server.ScrubbedAccounts = []string{"12"} }, "12 digits"},
		"emulator":            {func(c *Config) { c.Server.STSEmulator = STSEmulator{"127.0.0.1:1", "/ca"} }, ""},
		"emulator, no CA":     {func(c *Config) { c.Server.STSEmulator.Address = "127.0.0.1:1" }, "needs a caFile of its own"},
		"emulator, no port":   {func(c *Config) { c.Server.STSEmulator = STSEmulator{"127.0.0.1", "/ca"} }, "want host:port"},
		"proof of all":        {func(c *Config) { c.Server.NodeProof = "all" }, ""},
		"proof of some":       {func(c *Config) { c.Server.NodeProof = "accessentries" }, `did you mean "accessEntries"?`},
		"EC2 never":           {func(c *Config) { c.Server.EC2DescribeInstancesQPS = 0 }, "ec2DescribeInstancesQps 0"},
		"EC2 never at once":   {func(c *Config) { c.Server.EC2DescribeInstancesBurst = 0 }, "ec2DescribeInstancesBurst 0"},
		"EC2 by a role": {func(c *Config) {
			c.Server.EC2DescribeInstancesRoleARN, c.Server.SourceARN = "arn:aws:iam::111122223333:role/a", "arn:aws:eks:eu-west-1:111122223333:cluster/demo"
		}, ""},
		"EC2 by a user":      {func(c *Config) { c.Server.EC2DescribeInstancesRoleARN = "arn:aws:iam::111122223333:user/a" }, "want a role"},
		"EC2 by a session":   {func(c *Config) { c.Server.EC2DescribeInstancesRoleARN = "arn:aws:sts::111122223333:assumed-role/a/b" }, "want a role"},
		"EC2 by nobody":      {func(c *Config) { c.Server.EC2DescribeInstancesRoleARN = "a" }, "ec2DescribeInstancesRoleARN: principal ARN"},
		"EC2 for nobody":     {func(c *Config) { c.Server.SourceARN = "a" }, "server.sourceARN"},
		"CA for no emulator": {func(c *Config) { c.Server.STSEmulator.CAFile = "/ca" }, "but no address"},
	} {
		t.Run(name, func(t *testing.T) {
			config := Default()
			config.ClusterID = "x"
			c.change(&config)
			err := config.CompleteServer()
			if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("error %v, want one that says %q", err, c.says)
			}
		})
	}
}

func TestAuthenticationModes(t *testing.T) {
	for mode, want := range map[string][]string{
		"":                   {BackendMountedFile},
		"CONFIG_MAP":         {BackendEKSConfigMap},
		"API_AND_CONFIG_MAP": {BackendAccessEntry, BackendEKSConfigMap},
		"API":                {BackendAccessEntry},
	} {
		c := Default()
		c.ClusterID, c.Server.AuthenticationMode = "x", mode
		if err := c.CompleteServer(); err != nil || !slices.Equal(c.Server.BackendMode, want) {
			t.Errorf("%s: %v, %v, want %v", mode, c.Server.BackendMode, err, want)
		}
	}
}

func TestCompleteServerNamesEverythingThatIsWrong(t *testing.T) {
	c := Default()
	c.Server.Port, c.Server.Partition = 0, "mars"
	err := c.CompleteServer()
	if err == nil || strings.Count(err.Error(), "\n") != 2 {
		t.Errorf("error %v, want three lines", err)
	}
}

func TestEveryKeyIsDocumented(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join("..", "..", "docs", "configuration.md"))
	if err != nil {
		t.Fatal(err)
	}
	var walk func(reflect.Type, string)
	walk = func(typ reflect.Type, path string) {
		for field := range typ.Fields() {
			key := path + field.Tag.Get("yaml")
			if field.Type.Kind() == reflect.Struct && field.Type.PkgPath() == typ.PkgPath() {
				walk(field.Type, key+".")
			} else if !strings.Contains(string(doc), "`"+key+"`") {
				t.Errorf("docs/configuration.md doesn't name %s", key)
			}
		}
	}
	walk(reflect.TypeFor[Config](), "")
}

func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(filepath.Join("testdata", "original.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte("server: &a\n  reservedPrefixConfig: *a\n"))
	f.Add([]byte("server: {backendMode: [*x]}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := Default()
		if err := Parse(data, &c); err == nil {
			_ = c.CompleteServer()
		}
	})
}
