package main

import (
	"github.com/spf13/pflag"

	"github.com/iam-authenticator/authenticator/pkg/config"
)

// binding ties flags to fields of the server's configuration, so that a flag, if
// given, overrides the file, and its default shows in the help.
type binding struct {
	flags  *pflag.FlagSet
	server *config.Server
}

// newBinding returns a binding to server, which holds the defaults.
func newBinding(flags *pflag.FlagSet, server *config.Server) *binding {
	return &binding{flags, server}
}

// load reads the configuration and lays the given flags over it.
func (b *binding) load(g *globals) (config.Config, error) {
	c, err := g.load()
	if err != nil {
		return c, err
	}
	type given struct {
		value pflag.Value
		text  string
		list  []string
	}
	var all []given
	b.flags.Visit(func(f *pflag.Flag) {
		one := given{value: f.Value, text: f.Value.String()}
		if list, ok := f.Value.(pflag.SliceValue); ok {
			one.list = list.GetSlice()
		}
		all = append(all, one)
	})
	*b.server = c.Server
	for _, one := range all {
		if list, ok := one.value.(pflag.SliceValue); ok {
			err = list.Replace(one.list)
		} else {
			err = one.value.Set(one.text)
		}
		if err != nil {
			return c, usageError{err}
		}
	}
	c.Server = *b.server
	return c, nil
}

// verification binds what verifying a token needs.
func (b *binding) verification() {
	s := b.server
	b.flags.StringVar(&s.Partition, "partition", s.Partition, "AWS `partition` of the principals, such as aws, aws-cn or aws-us-gov")
	b.flags.StringSliceVar(&s.STSRegions, "sts-region", s.STSRegions, "further `region` of the partition that this version doesn't know; may be given again")
	b.flags.StringVar(&s.STSEmulator.Address, "sts-emulator-address", s.STSEmulator.Address, "`host:port` of an STS emulator to ask instead of AWS; for tests")
	b.flags.StringVar(&s.STSEmulator.CAFile, "sts-emulator-ca", s.STSEmulator.CAFile, "`file` with the CA certificate of the STS emulator")
}

// files binds what "init" and "server" write.
func (b *binding) files() {
	s := b.server
	b.flags.StringVar(&s.Hostname, "hostname", s.Hostname, "`name` by which the API server reaches the webhook")
	b.flags.StringVar(&s.Address, "address", s.Address, "IP `address` to listen on")
	b.flags.IntVar(&s.Port, "port", s.Port, "`port` to listen on")
	b.flags.StringVar(&s.StateDir, "state-dir", s.StateDir, "`directory` of the certificates and keys that the server makes")
	b.flags.StringVar(&s.GenerateKubeconfig, "generate-kubeconfig", s.GenerateKubeconfig, "`file` to write for the API server's --authentication-token-webhook-config-file")
}

// health binds where health checks are.
func (b *binding) health() {
	s := b.server
	b.flags.StringVar(&s.HealthAddress, "health-address", s.HealthAddress, "IP `address` of health checks and metrics over plain HTTP")
	b.flags.IntVar(&s.HealthPort, "health-port", s.HealthPort, "`port` of health checks and metrics over plain HTTP; 0 for none")
}
