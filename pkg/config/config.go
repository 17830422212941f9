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
	// ClusterID is what tokens are signed for: any string that no other cluster has.
	// Required.
	ClusterID string `yaml:"clusterID"`
	// DefaultRole is the ARN of the role that "token" assumes if no other is asked for.
	DefaultRole string `yaml:"defaultRole"`
	// Server configures "server" and "init".
	Server Server `yaml:"server"`
}

// Server is the part of the configuration that the webhook server reads.
type Server struct {
	// AdditionalClusterIDs are up to three more cluster IDs to accept, while the ID is
	// being replaced.
	AdditionalClusterIDs []string `yaml:"additionalClusterIDs"`
	// Partition is the AWS partition of the principals and of STS. Default "aws".
	Partition string `yaml:"partition"`
	// STSRegions are regions of the partition that this version doesn't know yet.
	STSRegions []string `yaml:"stsRegions"`
	// STSConcurrency is the number of calls to one STS endpoint in flight. Default 100.
	STSConcurrency int `yaml:"stsConcurrency"`
	// STSTimeout bounds the calls to STS for one token. Default 5s.
	STSTimeout time.Duration `yaml:"stsTimeout"`
	// STSQPS is the number of calls to STS per second, to all endpoints; 0 is no bound.
	// Default 500.
	STSQPS int `yaml:"stsQps"`
	// STSBurst is the number of calls at once after a pause. Default 500.
	STSBurst int `yaml:"stsBurst"`
	// STSAccessKeyQPS is the number of calls per second with one access key; 0 is no
	// bound. Default 50.
	STSAccessKeyQPS int `yaml:"stsAccessKeyQps"`
	// STSAccessKeyBurst is the number of calls at once with it after a pause. Default 200.
	STSAccessKeyBurst int `yaml:"stsAccessKeyBurst"`
	// TokenCache remembers what STS said about tokens.
	TokenCache TokenCache `yaml:"tokenCache"`
	// Audit keeps a record of every decision.
	Audit Audit `yaml:"audit"`
	// STSEmulator sends every call to an STS emulator. For tests and demonstrations.
	STSEmulator STSEmulator `yaml:"stsEmulator"`

	// Address is the IP address of the webhook. Default 127.0.0.1.
	Address string `yaml:"address"`
	// Port is the port of the webhook. Default 21362.
	Port int `yaml:"port"`
	// Hostname is the name in the certificate and in the webhook kubeconfig.
	// Default "localhost".
	Hostname string `yaml:"hostname"`
	// HealthAddress is the IP address of health checks and metrics over plain HTTP.
	// Default 127.0.0.1.
	HealthAddress string `yaml:"healthAddress"`
	// HealthPort is their port; 0 is none. Default 21363.
	HealthPort int `yaml:"healthPort"`

	// StateDir is the directory of the certificates and keys that the server makes.
	StateDir string `yaml:"stateDir"`
	// CertFile is a file with a certificate chain to serve instead; it is read again when
	// it changes.
	CertFile string `yaml:"certFile"`
	// KeyFile is the key of CertFile.
	KeyFile string `yaml:"keyFile"`
	// CAFile is what the API server trusts, if not the top of the chain in CertFile.
	CAFile string `yaml:"caFile"`
	// ClientCAFile is the CA of the API server's client certificate. If it is set, nobody
	// gets an answer without one, on the whole port.
	ClientCAFile string `yaml:"clientCAFile"`
	// APIServerCertFile is where the API server finds that certificate. It goes into the
	// webhook kubeconfig.
	APIServerCertFile string `yaml:"apiServerCertFile"`
	// APIServerKeyFile is the key of APIServerCertFile.
	APIServerKeyFile string `yaml:"apiServerKeyFile"`
	// GenerateKubeconfig is where to write the webhook kubeconfig, for the API server's
	// --authentication-token-webhook-config-file.
	GenerateKubeconfig string `yaml:"generateKubeconfig"`
	// KubeconfigPregenerated says that it is there already, and is not to be written.
	KubeconfigPregenerated bool `yaml:"kubeconfigPregenerated"`

	// BackendMode is the sources of mappings, in order. MountedFile, unless
	// AuthenticationMode is set.
	BackendMode []string `yaml:"backendMode"`
	// AuthenticationMode is the sources by EKS's names: CONFIG_MAP, API_AND_CONFIG_MAP or
	// API. It excludes BackendMode.
	AuthenticationMode string `yaml:"authenticationMode"`
	// DynamicBackendModePath is a file that names other backend modes while it is there.
	DynamicBackendModePath string `yaml:"dynamicBackendModePath"`
	// BootstrapAdmin are ARNs of roles and users that always get in as cluster
	// administrators, whatever the sources say.
	BootstrapAdmin []string `yaml:"bootstrapAdmin"`
	// Kubeconfig says how to reach the API server, for sources in the cluster. As a pod of
	// the cluster does, if it is empty.
	Kubeconfig string `yaml:"kubeconfig"`
	// Master is the URL of the API server, if not that of the kubeconfig.
	Master string `yaml:"master"`
	// DynamicFilePath is the file of the backend DynamicFile.
	DynamicFilePath string `yaml:"dynamicfilepath"`
	// DynamicFileUserIDStrict looks principals up by their unique ID there; an ARN, if
	// given, must match too.
	DynamicFileUserIDStrict bool `yaml:"dynamicfileUserIDStrict"`
	// ReservedPrefixConfig lists prefixes of usernames that a backend must not give.
	ReservedPrefixConfig []ReservedPrefixes `yaml:"reservedPrefixConfig"`
	// ScrubbedAccounts are accounts whose principals don't show in the UID and the extra
	// fields of users.
	ScrubbedAccounts []string `yaml:"scrubbedAccounts"`

	// The mappings of the backend MountedFile are nodes, as the file's own watch reads
	// them, entry by entry: see pkg/mapper/file.

	// MapRoles is the mappings of roles.
	MapRoles yaml.Node `yaml:"mapRoles"`
	// MapUsers is the mappings of users.
	MapUsers yaml.Node `yaml:"mapUsers"`
	// MapAccounts is account IDs, each of whose principals gets in under its ARN, without
	// groups.
	MapAccounts yaml.Node `yaml:"mapAccounts"`

	// AdmissionWebhook serves the checks of mappings for a ValidatingWebhookConfiguration
	// on the webhook's port.
	AdmissionWebhook bool `yaml:"admissionWebhook"`

	// Profiling serves net/http/pprof on the health address, which must then be a
	// loopback address.
	Profiling bool `yaml:"profiling"`

	// NodeRoleExclusive refuses a proof by a role that others than EC2 may assume; else the
	// log warns of them. Default false.
	NodeRoleExclusive bool `yaml:"nodeRoleExclusive"`
	// NodeProof is which nodes must prove to be the EC2 instance that their session is
	// named after: none, accessEntries or all. Default accessEntries.
	NodeProof string `yaml:"nodeProof"`
	// EC2DescribeInstancesRoleARN is the role to assume to ask EC2 and IAM about nodes. If it
	// is empty, none is.
	EC2DescribeInstancesRoleARN string `yaml:"ec2DescribeInstancesRoleARN"`
	// SourceARN is the ARN of the cluster, sent with its account when that role is assumed
	// (x-amz-source-arn, x-amz-source-account), for conditions in its trust policy.
	SourceARN string `yaml:"sourceARN"`
	// EC2DescribeInstancesQPS is the number of calls to EC2 and IAM per second, of 100
	// instances each at most. Default 15.
	EC2DescribeInstancesQPS int `yaml:"ec2DescribeInstancesQps"`
	// EC2DescribeInstancesBurst is the number of calls at once after a pause. Default 5.
	EC2DescribeInstancesBurst int `yaml:"ec2DescribeInstancesBurst"`
}

// STSEmulator is where an STS emulator is and what its certificate is checked
// against. Both or neither are set.
type STSEmulator struct {
	// Address is the host:port of an STS emulator to ask instead of AWS. For tests.
	Address string `yaml:"address"`
	// CAFile is its CA, in PEM. Nothing else is trusted then.
	CAFile string `yaml:"caFile"`
}

// TokenCache says how long what STS said about a token is good for.
type TokenCache struct {
	// TTL is how long a token that STS vouched for is good for before STS is asked again,
	// and so how long a disabled access key still works; 0 asks each time. Default 1m.
	TTL time.Duration `yaml:"ttl"`
	// StaleOnError lets in who got in before, until the token's end, while STS can't be
	// asked. Default true.
	StaleOnError bool `yaml:"staleOnError"`
	// NegativeTTL is how long a refusal of STS is good for; 0 asks each time. Default 10s.
	NegativeTTL time.Duration `yaml:"negativeTTL"`
	// MaxEntries is the number of tokens that are remembered. Default 50000.
	MaxEntries int `yaml:"maxEntries"`
	// MaxBytes is the memory that they take, about. Default 67108864.
	MaxBytes int `yaml:"maxBytes"`
}

// Audit says where the records of decisions go.
type Audit struct {
	// Path is the file of the records, "-" for standard output, or empty for none.
	Path string `yaml:"path"`
	// Required gives no login an answer whose record can't be written.
	Required bool `yaml:"required"`
	// MaxSize is the size in MiB at which the file is put aside. Default 100.
	MaxSize int `yaml:"maxSize"`
	// MaxAge is the age at which it is put aside; 0 is no bound. Default 24h.
	MaxAge time.Duration `yaml:"maxAge"`
	// MaxBackups is how many files that were put aside are kept; 0 is all. Default 30.
	MaxBackups int `yaml:"maxBackups"`
	// Compress compresses files that were put aside, with gzip.
	Compress bool `yaml:"compress"`
	// Fsync is when records are forced to the disk: none, interval or always. Default
	// interval.
	Fsync string `yaml:"fsync"`
	// FsyncInterval is the interval. Default 1s.
	FsyncInterval time.Duration `yaml:"fsyncInterval"`
	// ForeignTokens records decisions about tokens that aren't ours too.
	ForeignTokens bool `yaml:"foreignTokens"`
	// Pseudonymize puts hashes in the place of session names, usernames and the names of
	// users.
	Pseudonymize bool `yaml:"pseudonymize"`
	// PseudonymKeyFile is a file with the key of the hashes, 32 bytes or more, that others
	// can't read.
	PseudonymKeyFile string `yaml:"pseudonymKeyFile"`
}

// ReservedPrefixes are username prefixes that no mapping of a backend may give.
type ReservedPrefixes struct {
	// Backend is the name of the backend.
	Backend string `yaml:"backendmode"`
	// Prefixes are the prefixes.
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
