package cli

import (
	"fmt"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// ClusterConfig says how to reach the API server: at a URL, as a kubeconfig says, or,
// if both are empty, as a pod does.
func ClusterConfig(master, kubeconfig, userAgent string) (*rest.Config, error) {
	var c *rest.Config
	var err error
	if kubeconfig == "" && master == "" {
		c, err = rest.InClusterConfig()
	} else {
		c, err = clientcmd.BuildConfigFromFlags(master, kubeconfig)
	}
	if err != nil {
		return nil, fmt.Errorf("the way to the API server: %w (give --kubeconfig FILE outside of the cluster)", err)
	}
	c.UserAgent = userAgent
	return c, nil
}
