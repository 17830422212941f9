package main

import (
	"fmt"

	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// kubeFlags say which API server a command talks to, as kubectl's flags do.
type kubeFlags struct {
	kubeconfig string
	context    string
}

func (k *kubeFlags) bind(flags *pflag.FlagSet) {
	flags.StringVar(&k.kubeconfig, "kubeconfig", "", "kubeconfig `file` (default: $KUBECONFIG, else ~/.kube/config)")
	flags.StringVar(&k.context, "context", "", "`name` of the kubeconfig's context (default: its current one)")
}

// config returns how to reach the API server.
func (k *kubeFlags) config() (*rest.Config, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = k.kubeconfig
	c, err := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: k.context}).ClientConfig()
	if err != nil {
		return nil, usageError{fmt.Errorf("the way to the API server: %w (give --kubeconfig FILE and --context NAME)", err)}
	}
	c.UserAgent = userAgent()
	return c, nil
}

// noAnswerError is a server that could not be asked.
type noAnswerError struct{ error }

func (e noAnswerError) Unwrap() error { return e.error }
