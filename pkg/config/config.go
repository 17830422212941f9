// Package config is the one configuration of the program: its keys, their
// defaults, how they are read and what makes them valid.
package config

import (
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Config is the configuration file. Keys are those of aws-iam-authenticator, in
// any letter case, and a few more.
type Config struct {
	// ClusterID is the cluster's ID that tokens are signed for. Any string that is
	// unique among clusters.
	ClusterID string `yaml:"clusterID"`
	// DefaultRole is the role that "token" assumes if no other is asked for.
	DefaultRole string `yaml:"defaultRole"`
	// Server configures "server" and "init".
	Server Server `yaml:"server"`
}

// Server is the part of the configuration that the webhook server reads.
type Server struct {
	// AdditionalClusterIDs are further cluster IDs to accept, at most three, while
	// the ID is being replaced.
	AdditionalClusterIDs []string `yaml:"additionalClusterIDs"`
	// Partition is the AWS partition of the principals. Default "aws".
	Partition string `yaml:"partition"`
	// STSRegions are regions of the partition that this version doesn't know yet.
	STSRegions []string `yaml:"stsRegions"`
	// STSConcurrency is the number of calls to one STS endpoint in flight. Default 100.
	STSConcurrency int `yaml:"stsConcurrency"`
	// STSTimeout bounds the calls to STS for one token. Default 5s.
	STSTimeout time.Duration `yaml:"stsTimeout"`
	// STSQPS and STSBurst bound the calls to STS per second, and how many may be made
	// at once after a pause. Default 500 each. 0 QPS is no bound.
	STSQPS   int `yaml:"stsQps"`
	STSBurst int `yaml:"stsBurst"`
	// STSAccessKeyQPS and STSAccessKeyBurst are the same for one access key. Default 50
	// and 200.
	STSAccessKeyQPS   int `yaml:"stsAccessKeyQps"`
	STSAccessKeyBurst int `yaml:"stsAccessKeyBurst"`
	// TokenCache remembers what STS said about tokens.
	TokenCache TokenCache `yaml:"tokenCache"`
	// Audit keeps a record of every decision.
	Audit Audit `yaml:"audit"`
	// STSEmulator sends every call to an STS emulator. For tests and demonstrations.
	STSEmulator STSEmulator `yaml:"stsEmulator"`

	// Address and Port are where the webhook listens. Default 127.0.0.1 and 21362.
	Address string `yaml:"address"`
	Port    int    `yaml:"port"`
	// Hostname is the name in the certificate and in the webhook kubeconfig.
	// Default "localhost".
	Hostname string `yaml:"hostname"`
	// HealthAddress and HealthPort are where health checks and metrics are served
	// over plain HTTP. Default 127.0.0.1 and 21363. Port 0 switches it off.
	HealthAddress string `yaml:"healthAddress"`
	HealthPort    int    `yaml:"healthPort"`

	// StateDir is where the certificates and keys that the server makes are kept.
	StateDir string `yaml:"stateDir"`
	// CertFile and KeyFile are a certificate chain and key to use instead.
	CertFile string `yaml:"certFile"`
	KeyFile  string `yaml:"keyFile"`
	// CAFile is what the API server trusts in place of the top of CertFile's chain.
	CAFile string `yaml:"caFile"`
	// ClientCAFile, if set, is what client certificates are checked against;
	// clients of the webhook without one are refused.
	ClientCAFile string `yaml:"clientCAFile"`
	// APIServerCertFile and APIServerKeyFile are where the API server finds its client
	// certificate; they go into the webhook kubeconfig.
	APIServerCertFile string `yaml:"apiServerCertFile"`
	APIServerKeyFile  string `yaml:"apiServerKeyFile"`
	// GenerateKubeconfig is where the kubeconfig for the API server's
	// --authentication-token-webhook-config-file is written.
	GenerateKubeconfig string `yaml:"generateKubeconfig"`
	// KubeconfigPregenerated says that the file is there already: it is not written.
	KubeconfigPregenerated bool `yaml:"kubeconfigPregenerated"`

	// BackendMode lists the sources of mappings, in order. Default MountedFile, unless
	// AuthenticationMode is set.
	BackendMode []string `yaml:"backendMode"`
	// AuthenticationMode names the sources as EKS does: CONFIG_MAP, API_AND_CONFIG_MAP
	// or API. It excludes BackendMode.
	AuthenticationMode string `yaml:"authenticationMode"`
	// DynamicBackendModePath is a file that names other backend modes while it is there.
	DynamicBackendModePath string `yaml:"dynamicBackendModePath"`
	// BootstrapAdmin are the ARNs of roles and users that are always mapped to a
	// cluster administrator, whatever the sources say.
	BootstrapAdmin []string `yaml:"bootstrapAdmin"`
	// Kubeconfig and Master say how to reach the API server, for the sources in the
	// cluster. Default: as a pod of the cluster does.
	Kubeconfig string `yaml:"kubeconfig"`
	Master     string `yaml:"master"`
	// DynamicFilePath is the file of the backend DynamicFile.
	DynamicFilePath string `yaml:"dynamicfilepath"`
	// DynamicFileUserIDStrict looks principals up by their unique ID there.
	DynamicFileUserIDStrict bool `yaml:"dynamicfileUserIDStrict"`
	// ReservedPrefixConfig forbids prefixes of usernames, by backend.
	ReservedPrefixConfig []ReservedPrefixes `yaml:"reservedPrefixConfig"`
	// ScrubbedAccounts are accounts whose principals are not shown in the UID and
	// the extra fields of users.
	ScrubbedAccounts []string `yaml:"scrubbedAccounts"`
	// The mappings of the backend MountedFile. They are read, entry by entry, by
	// the file's own watch: see pkg/mapper/file.
	MapRoles    yaml.Node `yaml:"mapRoles"`
	MapUsers    yaml.Node `yaml:"mapUsers"`
	MapAccounts yaml.Node `yaml:"mapAccounts"`

	// AdmissionWebhook serves the checks of mappings for a ValidatingWebhookConfiguration
	// on the webhook's port.
	AdmissionWebhook bool `yaml:"admissionWebhook"`

	// Profiling serves net/http/pprof on the health address, which must then be a
	// loopback address.
	Profiling bool `yaml:"profiling"`

	// NodeRoleExclusive refuses a proof by a role that others than EC2 may assume. Default
	// false: the log warns of them.
	NodeRoleExclusive bool `yaml:"nodeRoleExclusive"`
	// NodeProof says which nodes must prove to be the EC2 instance that their session is
	// named after: none, accessEntries or all. Default accessEntries.
	NodeProof string `yaml:"nodeProof"`
	// EC2DescribeInstancesRoleARN is the role with which EC2 and IAM are asked about nodes.
	// Default: that of the AWS configuration.
	EC2DescribeInstancesRoleARN string `yaml:"ec2DescribeInstancesRoleARN"`
	// SourceARN is the cluster on whose behalf the role is assumed.
	SourceARN string `yaml:"sourceARN"`
	// EC2DescribeInstancesQPS and EC2DescribeInstancesBurst bound the calls to EC2 and IAM
	// per second, and how many may be made at once after a pause. Default 15 and 5.
	EC2DescribeInstancesQPS   int `yaml:"ec2DescribeInstancesQps"`
	EC2DescribeInstancesBurst int `yaml:"ec2DescribeInstancesBurst"`
}

// STSEmulator is where an STS emulator is and what its certificate is checked
// against. Both or neither are set.
type STSEmulator struct {
	Address string `yaml:"address"` // host:port
	CAFile  string `yaml:"caFile"`  // PEM
}

// TokenCache says how long what STS said about a token is good for.
type TokenCache struct {
	// TTL is how long an identity is good for before STS is asked again. Default 1m; 0
	// asks each time.
	TTL time.Duration `yaml:"ttl"`
	// StaleOnError lets an identity stand until the token's end while STS can't be
	// asked. Default true.
	StaleOnError bool `yaml:"staleOnError"`
	// NegativeTTL is how long a refusal of STS is good for. Default 10s.
	NegativeTTL time.Duration `yaml:"negativeTTL"`
	// MaxEntries and MaxBytes bound the cache. Default 50000 and 67108864.
	MaxEntries int `yaml:"maxEntries"`
	MaxBytes   int `yaml:"maxBytes"`
}

// Audit says where the records of decisions go.
type Audit struct {
	// Path is the file, "-" for standard output, or empty for no records.
	Path string `yaml:"path"`
	// Required refuses to answer a decision whose record can't be written.
	Required bool `yaml:"required"`
	// MaxSize, in MiB, and MaxAge are when a file is put aside, and MaxBackups is how
	// many of those are kept. Default 100, 24h and 30. 0 is no bound of age or number.
	MaxSize    int           `yaml:"maxSize"`
	MaxAge     time.Duration `yaml:"maxAge"`
	MaxBackups int           `yaml:"maxBackups"`
	// Compress compresses files that were put aside, with gzip.
	Compress bool `yaml:"compress"`
	// Fsync is when records are forced to the disk: none, interval or always. Default
	// interval, with a FsyncInterval of 1s.
	Fsync         string        `yaml:"fsync"`
	FsyncInterval time.Duration `yaml:"fsyncInterval"`
	// ForeignTokens records decisions about tokens that are not ours too.
	ForeignTokens bool `yaml:"foreignTokens"`
	// Pseudonymize puts hashes in the place of session names, usernames and the names of
	// users, under the key in PseudonymKeyFile.
	Pseudonymize     bool   `yaml:"pseudonymize"`
	PseudonymKeyFile string `yaml:"pseudonymKeyFile"`
}

// ReservedPrefixes are username prefixes that no mapping of a backend may give.
type ReservedPrefixes struct {
	Backend  string   `yaml:"backendmode"`
	Prefixes []string `yaml:"usernamePrefixReserveList"`
}

// The sources of mappings, by the names of aws-iam-authenticator.
const (
	BackendMountedFile  = "MountedFile"
	BackendDynamicFile  = "DynamicFile"
	BackendEKSConfigMap = "EKSConfigMap"
	BackendCRD          = "CRD"
	// BackendAccessEntry is AccessEntry objects, which aws-iam-authenticator doesn't have.
	BackendAccessEntry = "AccessEntry"
)

// Default returns the configuration that holds where nothing else is said.
func Default() Config {
	return Config{Server: Server{
		Partition:         "aws",
		STSConcurrency:    100,
		STSTimeout:        5 * time.Second,
		STSQPS:            500, // below the 600 that STS serves an account
		STSBurst:          500,
		STSAccessKeyQPS:   50,
		STSAccessKeyBurst: 200,
		TokenCache: TokenCache{
			TTL: time.Minute, StaleOnError: true, NegativeTTL: 10 * time.Second,
			MaxEntries: 50_000, MaxBytes: 64 << 20,
		},
		Audit:                     Audit{MaxSize: 100, MaxAge: 24 * time.Hour, MaxBackups: 30, Fsync: "interval", FsyncInterval: time.Second},
		Address:                   "127.0.0.1",
		Port:                      21362,
		Hostname:                  "localhost",
		HealthAddress:             "127.0.0.1",
		HealthPort:                21363,
		StateDir:                  "/var/aws-iam-authenticator",
		GenerateKubeconfig:        "/etc/kubernetes/aws-iam-authenticator/kubeconfig.yaml",
		NodeProof:                 "accessEntries",
		EC2DescribeInstancesQPS:   15,
		EC2DescribeInstancesBurst: 5,
	}}
}

// ClusterIDs returns every accepted cluster ID, the current one first.
func (c Config) ClusterIDs() []string {
	return append([]string{c.ClusterID}, c.Server.AdditionalClusterIDs...)
}

// HasBackend tells whether a source of mappings is in use.
func (s Server) HasBackend(name string) bool {
	return slices.Contains(s.BackendMode, name)
}
