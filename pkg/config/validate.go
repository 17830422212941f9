package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// Names of backends, old and new.
var backends = map[string]string{
	"mountedfile":  BackendMountedFile,
	"file":         BackendMountedFile,
	"dynamicfile":  BackendDynamicFile,
	"eksconfigmap": BackendEKSConfigMap,
	"configmap":    BackendEKSConfigMap,
	"crd":          BackendCRD,
	"accessentry":  BackendAccessEntry,
}

// backendNames are the names of backends in the order in which messages give them.
var backendNames = []string{BackendMountedFile, BackendDynamicFile, BackendEKSConfigMap, BackendCRD, BackendAccessEntry}

// The authentication modes of EKS:
// https://docs.aws.amazon.com/eks/latest/userguide/grant-k8s-access.html
var authenticationModes = map[string][]string{
	"CONFIG_MAP":         {BackendEKSConfigMap},
	"API_AND_CONFIG_MAP": {BackendAccessEntry, BackendEKSConfigMap},
	"API":                {BackendAccessEntry},
}

// CompleteServer fills in what follows from other settings and checks what "server"
// needs. The error lists everything that is wrong, a line each.
func (c *Config) CompleteServer() error {
	var errs []error
	if c.ClusterID == "" {
		errs = append(errs, errors.New("no cluster ID: set clusterID in the configuration file, --cluster-id, or KUBERNETES_AWS_AUTHENTICATOR_CLUSTER_ID"))
	}
	errs = append(errs, c.completeBackends()...)
	errs = append(errs, c.Server.checkListen()...)
	errs = append(errs, c.Server.checkVerification()...)
	errs = append(errs, c.Server.checkNodes()...)
	errs = append(errs, c.Server.Audit.check()...)

	s := c.Server
	for _, account := range s.ScrubbedAccounts {
		if err := iam.CheckAccount(account); err != nil {
			errs = append(errs, fmt.Errorf("server.scrubbedAccounts: %w", err))
		}
	}
	switch e := s.STSEmulator; {
	case e.Address == "" && e.CAFile != "":
		errs = append(errs, errors.New("server.stsEmulator.caFile is set, but no address"))
	case e.Address != "" && e.CAFile == "":
		errs = append(errs, errors.New("server.stsEmulator.address needs a caFile of its own: an emulator decides who gets in, so it must prove that it is the one meant"))
	case e.Address != "":
		if _, _, err := net.SplitHostPort(e.Address); err != nil {
			errs = append(errs, fmt.Errorf("server.stsEmulator.address %q, want host:port", e.Address))
		}
	}
	return errors.Join(errs...)
}

func (c *Config) completeBackends() (errs []error) {
	s := &c.Server
	switch mode := s.AuthenticationMode; {
	case mode != "" && len(s.BackendMode) > 0:
		errs = append(errs, fmt.Errorf("server.authenticationMode %s and server.backendMode %s both name the sources of mappings, want one of the two", mode, strings.Join(s.BackendMode, ",")))
	case mode != "" && authenticationModes[mode] == nil:
		modes := []string{"CONFIG_MAP", "API_AND_CONFIG_MAP", "API"}
		errs = append(errs, fmt.Errorf("server.authenticationMode %q, want %s%s", mode, strings.Join(modes, ", "), suggest.DidYouMean(mode, modes)))
	case mode != "":
		s.BackendMode = slices.Clone(authenticationModes[mode])
	case len(s.BackendMode) == 0:
		s.BackendMode = []string{BackendMountedFile}
	}
	if modes, err := s.CheckBackends(s.BackendMode); err != nil {
		errs = append(errs, fmt.Errorf("server.backendMode: %w", err))
	} else {
		s.BackendMode = modes
	}
	if !s.HasBackend(BackendDynamicFile) && s.DynamicFilePath != "" && s.DynamicBackendModePath == "" {
		errs = append(errs, fmt.Errorf("server.dynamicfilepath is set, but server.backendMode doesn't name %s", BackendDynamicFile))
	}
	for _, arn := range s.BootstrapAdmin {
		p, err := iam.ParsePrincipal(arn)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("server.bootstrapAdmin: %w", err))
		case p.Partition != s.Partition:
			errs = append(errs, fmt.Errorf("server.bootstrapAdmin: %s is not in server.partition %s and would never get in", arn, s.Partition))
		}
	}
	for i, r := range s.ReservedPrefixConfig {
		name, err := backendName(r.Backend)
		if err != nil {
			errs = append(errs, fmt.Errorf("server.reservedPrefixConfig: %w", err))
			continue
		}
		s.ReservedPrefixConfig[i].Backend = name
		if slices.Contains(r.Prefixes, "") {
			errs = append(errs, fmt.Errorf("server.reservedPrefixConfig: an empty prefix for %s would refuse every name", name))
		}
	}
	return errs
}

// CheckBackends returns backend modes in their proper spelling, or an error that says
// which is unknown, stands twice or lacks what it needs.
func (s Server) CheckBackends(modes []string) ([]string, error) {
	names := make([]string, 0, len(modes))
	for _, mode := range modes {
		name, err := backendName(mode)
		switch {
		case err != nil:
			return nil, err
		case slices.Contains(names, name):
			return nil, fmt.Errorf("%s stands twice", name)
		case name == BackendDynamicFile && s.DynamicFilePath == "":
			return nil, fmt.Errorf("%s needs server.dynamicfilepath", name)
		}
		names = append(names, name)
	}
	return names, nil
}

// tokenLifetime is the longest that a time to live can matter.
const tokenLifetime = 15 * time.Minute

func (s Server) checkVerification() (errs []error) {
	if s.STSTimeout <= 0 {
		errs = append(errs, fmt.Errorf("server.stsTimeout %s, want more than 0s", s.STSTimeout))
	}
	for _, n := range []struct {
		key          string
		value, least int
		bound        bool // 0 is no bound, and a burst of 0 doesn't matter then
	}{
		{"stsConcurrency", s.STSConcurrency, 1, true},
		{"stsQps", s.STSQPS, 0, true},
		{"stsBurst", s.STSBurst, 1, s.STSQPS > 0},
		{"stsAccessKeyQps", s.STSAccessKeyQPS, 0, true},
		{"stsAccessKeyBurst", s.STSAccessKeyBurst, 1, s.STSAccessKeyQPS > 0},
		{"tokenCache.maxEntries", s.TokenCache.MaxEntries, 1, s.TokenCache.TTL > 0},
		{"tokenCache.maxBytes", s.TokenCache.MaxBytes, 1, s.TokenCache.TTL > 0},
	} {
		if n.bound && n.value < n.least {
			errs = append(errs, fmt.Errorf("server.%s %d, want at least %d", n.key, n.value, n.least))
		}
	}
	for key, ttl := range map[string]time.Duration{"ttl": s.TokenCache.TTL, "negativeTTL": s.TokenCache.NegativeTTL} {
		if ttl < 0 || ttl > tokenLifetime {
			errs = append(errs, fmt.Errorf("server.tokenCache.%s %s, want 0s (off) to %s, which is how long a token lives", key, ttl, tokenLifetime))
		}
	}
	return errs
}

// NodeProofs are the values of server.nodeProof.
func NodeProofs() []string { return []string{"none", "accessEntries", "all"} }

func (s Server) checkNodes() (errs []error) {
	if !slices.Contains(NodeProofs(), s.NodeProof) {
		errs = append(errs, fmt.Errorf("server.nodeProof %q, want %s%s", s.NodeProof, strings.Join(NodeProofs(), ", "), suggest.DidYouMean(s.NodeProof, NodeProofs())))
	}
	if s.EC2DescribeInstancesQPS < 1 {
		errs = append(errs, fmt.Errorf("server.ec2DescribeInstancesQps %d, want at least 1", s.EC2DescribeInstancesQPS))
	}
	if s.EC2DescribeInstancesBurst < 1 {
		errs = append(errs, fmt.Errorf("server.ec2DescribeInstancesBurst %d, want at least 1", s.EC2DescribeInstancesBurst))
	}
	if arn := s.EC2DescribeInstancesRoleARN; arn != "" {
		if p, err := iam.ParsePrincipal(arn); err != nil {
			errs = append(errs, fmt.Errorf("server.ec2DescribeInstancesRoleARN: %w", err))
		} else if p.Kind != iam.Role || p.SessionName != "" {
			errs = append(errs, fmt.Errorf("server.ec2DescribeInstancesRoleARN %s, want a role: arn:aws:iam::111122223333:role/NAME", arn))
		}
	}
	if s.SourceARN != "" {
		if _, err := iam.AccountOf(s.SourceARN); err != nil {
			errs = append(errs, fmt.Errorf("server.sourceARN: %w", err))
		}
	}
	return errs
}

// FsyncPolicies are the values of server.audit.fsync.
func FsyncPolicies() []string { return []string{"none", "interval", "always"} }

func (a Audit) check() (errs []error) {
	if a.Path == "" && a.Required {
		errs = append(errs, errors.New("server.audit.required is set, but no server.audit.path"))
	}
	if a.MaxSize < 1 {
		errs = append(errs, fmt.Errorf("server.audit.maxSize %d, want at least 1 (MiB)", a.MaxSize))
	}
	if a.MaxAge != 0 && a.MaxAge < time.Minute {
		errs = append(errs, fmt.Errorf("server.audit.maxAge %s, want at least 1m, or 0s for no bound", a.MaxAge))
	}
	if a.MaxBackups < 0 {
		errs = append(errs, fmt.Errorf("server.audit.maxBackups %d, want 1 or more, or 0 to keep all", a.MaxBackups))
	}
	if !slices.Contains(FsyncPolicies(), a.Fsync) {
		errs = append(errs, fmt.Errorf("server.audit.fsync %q, want %s%s", a.Fsync, strings.Join(FsyncPolicies(), ", "), suggest.DidYouMean(a.Fsync, FsyncPolicies())))
	}
	if a.FsyncInterval <= 0 {
		errs = append(errs, fmt.Errorf("server.audit.fsyncInterval %s, want more than 0s", a.FsyncInterval))
	}
	if a.Pseudonymize != (a.PseudonymKeyFile != "") {
		errs = append(errs, errors.New("server.audit.pseudonymize and server.audit.pseudonymKeyFile go together"))
	}
	return errs
}

func (s Server) checkListen() (errs []error) {
	if _, err := netip.ParseAddr(s.Address); err != nil {
		errs = append(errs, fmt.Errorf("server.address %q, want an IP address such as 127.0.0.1", s.Address))
	}
	if s.Port < 1 || s.Port > 65535 {
		errs = append(errs, fmt.Errorf("server.port %d, want 1 to 65535", s.Port))
	}
	if s.Hostname == "" {
		errs = append(errs, errors.New("server.hostname is empty, want the name by which the API server reaches the webhook"))
	}
	health, err := netip.ParseAddr(s.HealthAddress)
	if err != nil {
		errs = append(errs, fmt.Errorf("server.healthAddress %q, want an IP address such as 127.0.0.1", s.HealthAddress))
	}
	if s.HealthPort < 0 || s.HealthPort > 65535 {
		errs = append(errs, fmt.Errorf("server.healthPort %d, want 1 to 65535, or 0 for none", s.HealthPort))
	}
	if s.HealthPort != 0 && s.HealthPort == s.Port && s.HealthAddress == s.Address {
		errs = append(errs, fmt.Errorf("server.healthPort and server.port are both %d", s.Port))
	}
	if s.Profiling && (s.HealthPort == 0 || !health.IsLoopback()) {
		errs = append(errs, errors.New("server.profiling shows memory to whoever asks: it needs server.healthPort, and a loopback address as server.healthAddress"))
	}
	if (s.CertFile == "") != (s.KeyFile == "") {
		errs = append(errs, errors.New("server.certFile and server.keyFile go together"))
	}
	if (s.APIServerCertFile == "") != (s.APIServerKeyFile == "") {
		errs = append(errs, errors.New("server.apiServerCertFile and server.apiServerKeyFile go together"))
	}
	if s.CAFile != "" && s.CertFile == "" {
		errs = append(errs, errors.New("server.caFile goes with server.certFile"))
	}
	if s.CertFile == "" && s.StateDir == "" {
		errs = append(errs, errors.New("server.stateDir is empty, want a directory for certificates, or server.certFile and server.keyFile"))
	}
	if !s.KubeconfigPregenerated && s.GenerateKubeconfig == "" {
		errs = append(errs, errors.New("server.generateKubeconfig is empty, want a path, or server.kubeconfigPregenerated: true"))
	}
	if _, ok := iam.LookupPartition(s.Partition); !ok {
		errs = append(errs, fmt.Errorf("server.partition %q, want one of %s", s.Partition, strings.Join(iam.PartitionIDs(), ", ")))
	}
	return errs
}

func backendName(mode string) (string, error) {
	name, ok := backends[strings.ToLower(strings.TrimSpace(mode))]
	if !ok {
		return "", fmt.Errorf("unknown backend %q%s", mode, suggest.Known(mode, backendNames))
	}
	return name, nil
}
