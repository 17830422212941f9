package token

import (
	"encoding/json"
	"fmt"
	"time"
)

// The versions of the exec plugin API of kubectl and client-go. Their types are
// written out here: those of k8s.io/client-go would make every start of the
// program pay for half of apimachinery.
// https://kubernetes.io/docs/reference/config-api/client-authentication.v1/
const (
	ExecV1      = "client.authentication.k8s.io/v1"
	ExecV1Beta1 = "client.authentication.k8s.io/v1beta1"
)

const execKind = "ExecCredential"

// ExecInfo is what kubectl tells an exec plugin.
type ExecInfo struct {
	// APIVersion is the version to answer in, ExecV1 or ExecV1Beta1.
	APIVersion string
	// Server is the URL of the cluster's API server. It is empty unless the
	// kubeconfig has provideClusterInfo.
	Server string
	// Interactive tells whether the plugin may ask the user.
	Interactive bool
}

// ParseExecInfo parses the value of the environment variable KUBERNETES_EXEC_INFO.
// An empty value, as outside of kubectl, stands for v1beta1 and an interactive
// user.
func ParseExecInfo(env string) (ExecInfo, error) {
	info := ExecInfo{APIVersion: ExecV1Beta1, Interactive: true}
	if env == "" {
		return info, nil
	}
	var doc struct {
		APIVersion string `json:"apiVersion"`
		Kind       string `json:"kind"`
		Spec       struct {
			Interactive *bool `json:"interactive"` // not sent by kubectl before v1.22
			Cluster     struct {
				Server string `json:"server"`
			} `json:"cluster"`
		} `json:"spec"`
	}
	if err := json.Unmarshal([]byte(env), &doc); err != nil {
		return ExecInfo{}, fmt.Errorf("KUBERNETES_EXEC_INFO is not the JSON of an %s: %w", execKind, err)
	}
	if doc.Kind != execKind {
		return ExecInfo{}, fmt.Errorf("KUBERNETES_EXEC_INFO has the kind %s, want %s", quote(doc.Kind), execKind)
	}
	if err := checkExecVersion(doc.APIVersion); err != nil {
		return ExecInfo{}, fmt.Errorf("KUBERNETES_EXEC_INFO: %w; set it in users[].user.exec of the kubeconfig", err)
	}
	info.APIVersion = doc.APIVersion
	info.Server = doc.Spec.Cluster.Server
	if doc.Spec.Interactive != nil {
		info.Interactive = *doc.Spec.Interactive
	}
	return info, nil
}

// EncodeExecCredential returns the JSON object, without a newline, that hands
// the token to kubectl, in the given version (ExecV1 or ExecV1Beta1). The
// expiration is in whole seconds, in UTC.
func EncodeExecCredential(token Token, apiVersion string) ([]byte, error) {
	if err := checkExecVersion(apiVersion); err != nil {
		return nil, err
	}
	type status struct {
		ExpirationTimestamp string `json:"expirationTimestamp"`
		Token               string `json:"token"`
	}
	return json.Marshal(struct {
		Kind       string   `json:"kind"`
		APIVersion string   `json:"apiVersion"`
		Spec       struct{} `json:"spec"`
		Status     status   `json:"status"`
	}{
		Kind:       execKind,
		APIVersion: apiVersion,
		Status: status{
			ExpirationTimestamp: token.Expiration.UTC().Format(time.RFC3339),
			Token:               token.Value,
		},
	})
}

func checkExecVersion(apiVersion string) error {
	if apiVersion != ExecV1 && apiVersion != ExecV1Beta1 {
		return fmt.Errorf("apiVersion %s is not supported, want %s or %s", quote(apiVersion), ExecV1, ExecV1Beta1)
	}
	return nil
}
