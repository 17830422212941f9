package main

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/internal/cli"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
	"github.com/iam-authenticator/authenticator/pkg/mapper/backend"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
	"github.com/iam-authenticator/authenticator/pkg/mapper/file"
	"github.com/iam-authenticator/authenticator/pkg/mapper/identitymapping"
	"github.com/iam-authenticator/authenticator/pkg/node"
)

// newBackends returns the sources of mappings that the configuration names.
func newBackends(s config.Server, configFile string, nodes mapper.Nodes, log *zap.Logger) (*backend.Set, error) {
	var first []mapper.Mapper
	if len(s.BootstrapAdmin) > 0 {
		admin, err := mapper.NewBootstrapAdmin(s.BootstrapAdmin, time.Now())
		if err != nil {
			return nil, usageError{fmt.Errorf("server.bootstrapAdmin: %w", err)}
		}
		first = append(first, admin)
	}
	cluster := func() (*rest.Config, error) { return clusterConfig(s) }
	return backend.New(backend.Options{
		Modes:      s.BackendMode,
		First:      first,
		Make:       func(name string) (backend.Runner, error) { return newBackend(name, s, configFile, cluster, log) },
		Chain:      chainOptions(s, nodes),
		ModeFile:   s.DynamicBackendModePath,
		CheckModes: s.CheckBackends,
		Log:        log,
	})
}

func newBackend(name string, s config.Server, configFile string, cluster func() (*rest.Config, error), log *zap.Logger) (backend.Runner, error) {
	switch name {
	case config.BackendMountedFile:
		if configFile == "" {
			return nil, usageError{errors.New("it takes its mappings from the configuration file: give --config FILE")}
		}
		return file.New(file.Options{Kind: file.MountedFile, Path: configFile, Logger: log})
	case config.BackendDynamicFile:
		return file.New(file.Options{Kind: file.DynamicFile, Path: s.DynamicFilePath, UserIDStrict: s.DynamicFileUserIDStrict, Logger: log})
	}
	client, err := cluster()
	if err != nil {
		return nil, usageError{err}
	}
	switch name {
	case config.BackendEKSConfigMap:
		return configmap.New(configmap.Options{Config: client, Log: log})
	case config.BackendAccessEntry:
		return accessentry.New(accessentry.Options{Config: client, Log: log})
	case config.BackendCRD:
		return identitymapping.New(identitymapping.Options{Config: client, Log: log})
	default:
		return nil, errors.New("no such backend")
	}
}

// clusterConfig says how to reach the API server.
func clusterConfig(s config.Server) (*rest.Config, error) {
	return cli.ClusterConfig(s.Master, s.Kubeconfig, userAgent())
}

// newNodes returns what asks EC2 and IAM about nodes as the configuration says.
func newNodes(s config.Server, o node.Options) *node.Resolver {
	o.Load = node.Loader(node.LoadOptions{RoleARN: s.EC2DescribeInstancesRoleARN, SourceARN: s.SourceARN})
	o.UserAgent = userAgent()
	o.Exclusive = s.NodeRoleExclusive
	o.Rate, o.Burst = float64(s.EC2DescribeInstancesQPS), s.EC2DescribeInstancesBurst
	return node.New(o)
}

// chainOptions are those of the server's chain.
func chainOptions(s config.Server, nodes mapper.Nodes) mapper.ChainOptions {
	o := mapper.ChainOptions{Nodes: nodes, ReservedPrefixes: reservedPrefixes(s)}
	switch s.NodeProof {
	case "all":
		o.NodeProof = mapper.ProveAllInstances
	case "none":
		o.NodeProof = mapper.ProveNothing
	default:
		o.NodeProof = mapper.ProveEC2Nodes
	}
	return o
}

func reservedPrefixes(s config.Server) map[string][]string {
	prefixes := map[string][]string{}
	for _, r := range s.ReservedPrefixConfig {
		prefixes[r.Backend] = append(prefixes[r.Backend], r.Prefixes...)
	}
	return prefixes
}
