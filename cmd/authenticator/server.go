package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"github.com/spf13/cobra"
	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/iam-authenticator/authenticator/internal/admission"
	"github.com/iam-authenticator/authenticator/internal/lint"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/node"
	"github.com/iam-authenticator/authenticator/pkg/server"
	"github.com/iam-authenticator/authenticator/pkg/server/audit"
	"github.com/iam-authenticator/authenticator/pkg/server/certs"
	"github.com/iam-authenticator/authenticator/pkg/token"
)

const serverHelp = `Run the authentication webhook.

The server creates its certificate and writes a kubeconfig, which kube-apiserver is
given as --authentication-token-webhook-config-file. Mappings from IAM principals to
Kubernetes users come from the configuration file, a dynamic file, or objects in the
cluster; changes are in force at once.

With --dev everything runs on loopback with an STS emulator and example identities,
without AWS. It is for trying things out, not for production.`

// serverFunc runs the server until the context ends. configFile is where the
// mappings of the backend MountedFile are.
type serverFunc func(ctx context.Context, c config.Config, configFile string, log *zap.Logger) error

func newServerCommand(g *globals, std streams, run serverFunc) *cobra.Command {
	defaults := config.Default().Server
	var dev devFlags
	cmd := &cobra.Command{
		Use:   "server",
		Short: "Run the authentication webhook",
		Long:  serverHelp,
		Example: `  authenticator server --config /etc/authenticator/config.yaml
  authenticator server --dev`,
	}
	flags := cmd.Flags()
	b := newBinding(flags, &defaults)
	b.verification()
	b.files()
	b.health()
	s := b.server
	flags.BoolVar(&s.SharePorts, "share-ports", s.SharePorts, "listen also while another server of this user, which shares its ports too, has them: for upgrades that lose no login; on Linux")
	flags.BoolVar(&s.KubeconfigPregenerated, "kubeconfig-pregenerated", s.KubeconfigPregenerated, "don't write the webhook kubeconfig")
	flags.StringVar(&s.CertFile, "cert-file", s.CertFile, "`file` with a certificate chain to serve instead of one of our own")
	flags.StringVar(&s.KeyFile, "key-file", s.KeyFile, "`file` with the key of --cert-file")
	flags.StringVar(&s.ClientCAFile, "client-ca-file", s.ClientCAFile, "`file` with the CA of the API server's client certificate; without such a certificate nobody gets an answer")
	flags.StringSliceVar(&s.BackendMode, "backend-mode", s.BackendMode, "`sources` of mappings, in order: MountedFile, DynamicFile, EKSConfigMap, AccessEntry, CRD (default: MountedFile)")
	flags.StringVar(&s.AuthenticationMode, "authentication-mode", s.AuthenticationMode, "the sources by EKS's `name`: CONFIG_MAP, API_AND_CONFIG_MAP or API; instead of --backend-mode")
	flags.StringSliceVar(&s.BootstrapAdmin, "bootstrap-admin", s.BootstrapAdmin, "`ARN` of a role or user that always gets in as a cluster administrator; may be given again")
	flags.StringVar(&s.DynamicFilePath, "dynamic-file", s.DynamicFilePath, "`file` of the backend DynamicFile")
	flags.IntVar(&s.STSConcurrency, "sts-concurrency", s.STSConcurrency, "calls to one STS endpoint in flight")
	flags.DurationVar(&s.STSTimeout, "sts-timeout", s.STSTimeout, "bound of the calls to STS for one token")
	flags.IntVar(&s.STSQPS, "sts-qps", s.STSQPS, "calls to STS per second; 0 for no bound")
	flags.IntVar(&s.STSBurst, "sts-burst", s.STSBurst, "calls to STS at once after a pause")
	flags.DurationVar(&s.TokenCache.TTL, "token-cache-ttl", s.TokenCache.TTL, "how long a token that STS vouched for is good for, and how long a disabled access key still works; 0 to ask each time")
	flags.BoolVar(&s.TokenCache.StaleOnError, "token-cache-stale-on-error", s.TokenCache.StaleOnError, "while STS can't be asked, let in who got in before, until the token ends")
	flags.StringVar(&s.Audit.Path, "audit-log-path", s.Audit.Path, "`file` to keep a record of every decision in, or - for standard output")
	flags.BoolVar(&s.Audit.Required, "audit-required", s.Audit.Required, "give no answer whose record can't be written")
	flags.BoolVar(&s.AdmissionWebhook, "admission-webhook", s.AdmissionWebhook, "serve checks of mappings, for a ValidatingWebhookConfiguration, on the webhook's port")
	flags.BoolVar(&s.Profiling, "profiling", s.Profiling, "serve /debug/pprof/ on the health address, which must be a loopback address")
	flags.StringVar(&s.Kubeconfig, "kubeconfig", s.Kubeconfig, "`file` that says how to reach the API server, for sources in the cluster (default: as a pod does)")
	flags.StringVar(&s.Master, "master", s.Master, "`URL` of the API server, for sources in the cluster")
	flags.IntVar(&s.EC2DescribeInstancesQPS, "ec2-describeInstances-qps", s.EC2DescribeInstancesQPS, "calls to EC2 and IAM per second, to look up nodes")
	flags.IntVar(&s.EC2DescribeInstancesBurst, "ec2-describeInstances-burst", s.EC2DescribeInstancesBurst, "calls to EC2 and IAM at once after a pause")
	flags.StringVar(&s.NodeProof, "node-proof", s.NodeProof, "which `nodes` must prove to be the EC2 instance that their session is named after: none, accessEntries or all")
	dev.bind(flags)
	completeWords(cmd, "backend-mode", config.BackendMountedFile, config.BackendDynamicFile, config.BackendEKSConfigMap, config.BackendAccessEntry, config.BackendCRD)
	completeWords(cmd, "authentication-mode", "CONFIG_MAP", "API_AND_CONFIG_MAP", "API")
	flags.BoolVar(&s.NodeRoleExclusive, "node-role-exclusive", s.NodeRoleExclusive, "refuse nodes whose role others than EC2 may assume, instead of warning")
	completeWords(cmd, "node-proof", config.NodeProofs()...)

	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		log, stop, err := g.logger(cmd)
		if err != nil {
			return err
		}
		defer stop()
		if dev.on {
			if err := dev.check(cmd); err != nil {
				return err
			}
			return runDev(cmd.Context(), std, dev, *s, log, run)
		}
		c, err := b.load(g)
		if err != nil {
			return err
		}
		if err := c.CompleteServer(); err != nil {
			return usageError{fmt.Errorf("the configuration is not valid:\n%w", err)}
		}
		return run(cmd.Context(), c, g.configFile, log)
	}
	return cmd
}

// runServer wires the server and runs it until ctx ends.
func runServer(ctx context.Context, c config.Config, configFile string, log *zap.Logger) error {
	defer runtime.KeepAlive(calmGC())
	s := c.Server
	b := buildInfo()
	log.Info("authenticator starts", zap.String("version", b.Version), zap.String("commit", b.Commit),
		zap.String("clusterID", c.ClusterID), zap.String("partition", s.Partition), zap.Strings("backends", s.BackendMode))
	if s.STSEmulator.Address != "" {
		log.Warn("STS IS AN EMULATOR: whoever controls it decides who gets in; not for production", zap.String("address", s.STSEmulator.Address))
	}

	var metrics *server.Metrics // which need the backends
	nodes := newNodes(s, node.Options{
		Observe: func(c node.Call) { metrics.EC2Call(c) },
		Trusts: func(profile string, others []string) {
			log.Warn("others than EC2 may assume the role of nodes, and so pass for each node that has it; see docs/nodes.md",
				zap.String("instanceProfile", profile), zap.Strings("others", others))
		},
		Panicked: logPanic(log, "the lookup of a node panicked; please report this"),
	})
	backends, err := newBackends(s, configFile, nodes, log)
	if err != nil {
		return err
	}
	certificate, err := certs.New(certificateOptions(s, log))
	if err != nil {
		return err
	}
	metrics = server.NewMetrics(server.MetricsOptions{
		Version: b.Version, Revision: b.Commit, Mappers: backends.Mappers, CertificateExpiry: certificate.NotAfter,
	})
	verifier, err := newVerifier(c, token.VerifierOptions{
		WarmRegions:     warmRegions(),
		Observe:         metrics.STSCall,
		Mapped:          backends.Knows,
		EndpointChanged: func(e token.EndpointStatus) { logEndpoint(log, e) },
		Panicked:        logPanic(log, "the verification of a token panicked; please report this"),
	})
	if err != nil {
		return usageError{err}
	}
	metrics.ShowVerifier(verifier.Stats)
	metrics.ShowNodes(nodes.Stats)
	advice := []server.Check{
		{Name: "certificate", Err: certificate.Healthy, Advisory: true},
		{Name: "backend mode file", Err: backends.ModeFileErr, Advisory: true},
		{Name: "EC2", Err: nodes.Healthy, Advisory: true},
	}
	tlsConfig := server.TLSConfig(certificate.GetCertificate)
	if s.ClientCAFile != "" {
		clientCAs, err := certs.NewClientCAs(s.ClientCAFile, tlsConfig, log)
		if err != nil {
			return err
		}
		tlsConfig = tlsConfig.Clone()
		tlsConfig.GetConfigForClient = clientCAs.GetConfigForClient
		advice = append(advice, server.Check{Name: "client CA", Err: clientCAs.Healthy, Advisory: true})
	}

	records, err := newAuditLog(s.Audit, log)
	if err != nil {
		return err
	}
	var auditor server.Auditor // stays nil without a log
	if records != nil {
		auditor = records
		metrics.ShowAudit(records.Stats)
		advice = append(advice, server.Check{Name: "audit", Err: records.Healthy, Advisory: true})
	}

	webhook, health, err := listen(ctx, s)
	if err != nil {
		return err
	}
	if !s.KubeconfigPregenerated {
		if err := writeKubeconfig(s, certificate, log); err != nil {
			return errors.Join(err, webhook.Close())
		}
	}
	var others map[string]http.Handler
	if s.AdmissionWebhook {
		others = admission.Handlers(lint.Options{Partition: s.Partition, ReservedPrefixes: reservedPrefixes(s)}, log)
	}
	srv := server.New(server.Options{
		Listener: webhook,
		TLS:      tlsConfig,
		Webhook: server.NewWebhook(server.WebhookOptions{
			Verifier:         verifier,
			Mapper:           backends,
			Metrics:          metrics,
			Log:              log,
			ScrubbedAccounts: s.ScrubbedAccounts,

			Audit:              auditor,
			AuditForeignTokens: s.Audit.ForeignTokens,
		}),
		Others:         others,
		Metrics:        metrics,
		HealthListener: health,
		Checks: func() []server.Check {
			return slices.Concat(server.MapperChecks(backends.Mappers()), server.STSChecks(verifier.Stats()), advice)
		},
		Profiling: s.Profiling,
		Log:       log,
	})

	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return certificate.Run(ctx) })
	group.Go(func() error { return backends.Run(ctx) })
	group.Go(func() error { return verifier.Run(ctx) })
	group.Go(func() error { return srv.Run(ctx) })
	if records != nil {
		group.Go(func() error { return records.Run(ctx) })
	}
	log.Info("webhook serves", zap.Stringer("address", webhook.Addr()), zap.String("kubeconfig", s.GenerateKubeconfig),
		zap.String("next", "start kube-apiserver with --authentication-token-webhook-config-file and --authentication-token-webhook-version=v1"))
	err = group.Wait()
	if records != nil {
		err = errors.Join(err, records.Close()) // after the last login
	}
	log.Info("authenticator ends")
	return err
}

// newAuditLog returns the log of decisions, or nil if there is to be none.
func newAuditLog(a config.Audit, log *zap.Logger) (*audit.Log, error) {
	if a.Path == "" {
		return nil, nil
	}
	pseudonyms, err := newPseudonyms(a)
	if err != nil {
		return nil, err
	}
	hangup := make(chan os.Signal, 1)
	if a.Path != audit.Stdout {
		signal.Notify(hangup, syscall.SIGHUP) // logrotate's
	}
	return audit.New(audit.Options{
		Path: a.Path, MaxSize: int64(a.MaxSize) << 20, MaxAge: a.MaxAge, MaxBackups: a.MaxBackups, Compress: a.Compress,
		Fsync: a.Fsync, Interval: a.FsyncInterval, Required: a.Required, Pseudonyms: pseudonyms, Reopen: hangup, Log: log,
	})
}

// newPseudonyms returns the pseudonyms of records, or nil if they have none.
func newPseudonyms(a config.Audit) (*audit.Pseudonyms, error) {
	if !a.Pseudonymize {
		return nil, nil
	}
	pseudonyms, err := audit.NewPseudonyms(a.PseudonymKeyFile)
	if err != nil {
		return nil, usageError{err}
	}
	return pseudonyms, nil
}

// warmRegions is the region that the server runs in, if the environment says so.
func warmRegions() []string {
	region := cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	if region == "" {
		return nil
	}
	return []string{region}
}

func logPanic(log *zap.Logger, message string) func(value any, stack []byte) {
	return func(value any, stack []byte) {
		log.Error(message, zap.Any("panic", value), zap.ByteString("stack", stack))
	}
}

func logEndpoint(log *zap.Logger, e token.EndpointStatus) {
	fields := []zap.Field{zap.String("endpoint", e.Host), zap.String("state", e.State)}
	if e.Err != nil {
		log.Warn("STS endpoint is down: new logins by it get a 503, and those remembered stand", append(fields, zap.Error(e.Err))...)
		return
	}
	log.Info("STS endpoint answers", append(fields, zap.Duration("latency", e.Latency))...)
}

func certificateOptions(s config.Server, log *zap.Logger) certs.Options {
	return certs.Options{
		Dir: s.StateDir, CertFile: s.CertFile, KeyFile: s.KeyFile, CAFile: s.CAFile,
		Hostname: s.Hostname, Address: s.Address, Log: log,
	}
}

func writeKubeconfig(s config.Server, certificate *certs.Source, log *zap.Logger) error {
	changed, err := certs.WriteKubeconfig(s.GenerateKubeconfig, certs.Kubeconfig{
		Hostname: s.Hostname, Port: s.Port, CABundle: certificate.CABundle(),
		ClientCertificate: s.APIServerCertFile, ClientKey: s.APIServerKeyFile,
	})
	if err == nil && changed {
		log.Info("webhook kubeconfig written", zap.String("path", s.GenerateKubeconfig))
	}
	return err
}

// listen opens the listeners first, so that a port in use is an error at the start.
func listen(ctx context.Context, s config.Server) (webhook, health net.Listener, err error) {
	var lc net.ListenConfig
	if s.SharePorts {
		lc.Control = sharePort
	}
	webhook, err = lc.Listen(ctx, "tcp", net.JoinHostPort(s.Address, strconv.Itoa(s.Port)))
	if err != nil {
		return nil, nil, fmt.Errorf("webhook: %w (choose another with --address and --port)", err)
	}
	if s.HealthPort == 0 {
		return webhook, nil, nil
	}
	health, err = lc.Listen(ctx, "tcp", net.JoinHostPort(s.HealthAddress, strconv.Itoa(s.HealthPort)))
	if err != nil {
		err = fmt.Errorf("health checks: %w (choose another with --health-address and --health-port)", err)
		return nil, nil, errors.Join(err, webhook.Close())
	}
	return webhook, health, nil
}
