package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

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

	s := c.Server
	if s.STSConcurrency < 1 {
		errs = append(errs, fmt.Errorf("server.stsConcurrency %d, want at least 1", s.STSConcurrency))
	}
	if s.STSTimeout <= 0 {
		errs = append(errs, fmt.Errorf("server.stsTimeout %s, want more than 0s", s.STSTimeout))
	}
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
	modes := slices.Clone(s.BackendMode)
	for i, mode := range modes {
		name, err := backendName(mode)
		if err != nil {
			errs = append(errs, fmt.Errorf("server.backendMode: %w", err))
			continue
		}
		if slices.Contains(modes[:i], name) {
			errs = append(errs, fmt.Errorf("server.backendMode: %s stands twice", name))
		}
		if name == BackendEKSConfigMap || name == BackendCRD {
			errs = append(errs, fmt.Errorf("server.backendMode: %s is not available in this version, use %s or %s", name, BackendMountedFile, BackendDynamicFile))
		}
		modes[i] = name
	}
	s.BackendMode = modes
	switch {
	case len(s.BackendMode) == 0:
		errs = append(errs, fmt.Errorf("server.backendMode is empty, want for example %s", BackendMountedFile))
	case s.HasBackend(BackendDynamicFile) && s.DynamicFilePath == "":
		errs = append(errs, fmt.Errorf("server.backendMode %s needs server.dynamicfilepath", BackendDynamicFile))
	case !s.HasBackend(BackendDynamicFile) && s.DynamicFilePath != "":
		errs = append(errs, fmt.Errorf("server.dynamicfilepath is set, but server.backendMode doesn't name %s", BackendDynamicFile))
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
		names := []string{BackendMountedFile, BackendDynamicFile, BackendEKSConfigMap, BackendCRD}
		return "", fmt.Errorf("unknown backend %q, want %s%s", mode, strings.Join(names, ", "), suggest.DidYouMean(mode, names))
	}
	return name, nil
}

// Unused returns the keys that are set but have no effect in this version.
func (c Config) Unused() []string {
	s, d := c.Server, Default().Server
	var keys []string
	for key, set := range map[string]bool{
		"server.kubeconfig":                  s.Kubeconfig != "",
		"server.master":                      s.Master != "",
		"server.dynamicBackendModePath":      s.DynamicBackendModePath != "",
		"server.ec2DescribeInstancesRoleARN": s.EC2DescribeInstancesRoleARN != "",
		"server.sourceARN":                   s.SourceARN != "",
		"server.ec2DescribeInstancesQps":     s.EC2DescribeInstancesQPS != d.EC2DescribeInstancesQPS,
		"server.ec2DescribeInstancesBurst":   s.EC2DescribeInstancesBurst != d.EC2DescribeInstancesBurst,
	} {
		if set {
			keys = append(keys, key)
		}
	}
	slices.Sort(keys)
	return keys
}
