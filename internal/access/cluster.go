package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// Cluster is where the objects of the sources in the cluster come from: files, and
// the API server for those without a file.
type Cluster struct {
	// AWSAuth is a file with the manifest of the ConfigMap kube-system/aws-auth.
	AWSAuth string
	// AccessEntries are files with manifests of AccessEntry objects.
	AccessEntries []string
	// Connect says how to reach the API server. It is called if that is needed.
	Connect func() (*rest.Config, error)
	// Timeout bounds each request. Default 10 seconds.
	Timeout time.Duration
	// Progress, if set, is told what takes longer than a second, from another goroutine.
	Progress func(text string)

	client *rest.RESTClient
	host   string
}

// kind is one kind of objects that a source in the cluster reads.
type kind struct {
	name       string // such as "AccessEntry"
	apiVersion string
	path       string // of the list on the API server
	single     string // the name of the only object that counts, or ""
}

// kinds are the kinds of objects by backend.
var kinds = map[string]kind{
	config.BackendEKSConfigMap: {"ConfigMap", "v1", "/api/v1/namespaces/" + configmap.Namespace + "/configmaps", configmap.Name},
	config.BackendAccessEntry: {"AccessEntry", v1alpha1.SchemeGroupVersion.String(),
		"/apis/" + v1alpha1.SchemeGroupVersion.String() + "/accessentries", ""},
	config.BackendCRD: {"IAMIdentityMapping", "iamauthenticator.k8s.aws/v1alpha1",
		"/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings", ""},
}

// objects are the objects of one kind, as JSON.
type objects struct {
	kind   kind
	origin string // where they come from, for people
	items  []json.RawMessage
}

// read reads the objects of a backend.
func (c *Cluster) read(ctx context.Context, backend string) (objects, error) {
	k := kinds[backend]
	o := objects{kind: k}
	var err error
	switch {
	case backend == config.BackendEKSConfigMap && c.AWSAuth != "":
		o.origin = c.AWSAuth
		o.items, err = readAWSAuth(c.AWSAuth)
		return o, err
	case backend == config.BackendAccessEntry && len(c.AccessEntries) > 0:
		o.origin = "files"
		o.items, err = readAccessEntries(c.AccessEntries)
		return o, err
	}
	if err := c.connect(); err != nil {
		return o, err
	}
	if k.single != "" {
		o.origin = configmap.Namespace + "/" + k.single
		o.items, err = c.get(ctx, k)
	} else {
		o.origin = c.host
		o.items, err = c.list(ctx, k)
	}
	return o, err
}

// live tells whether the API server was asked.
func (c *Cluster) live() bool { return c.client != nil }

// connectError says that it is not known how to reach the API server.
type connectError struct{ error }

func (e *connectError) Unwrap() error { return e.error }

func (c *Cluster) connect() error {
	if c.client != nil {
		return nil
	}
	if c.Connect == nil {
		return &connectError{errors.New("no way to the API server is configured: give --kubeconfig FILE")}
	}
	cfg, err := c.Connect()
	if err != nil {
		return &connectError{err}
	}
	cfg = rest.CopyConfig(cfg)
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // the Status that tells of errors
	cfg.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	client, err := rest.UnversionedRESTClientFor(cfg)
	if err != nil {
		return &connectError{fmt.Errorf("client for the API server: %w", err)}
	}
	c.client, c.host = client, cfg.Host
	return nil
}

// get returns the one object that counts of a kind, or nothing if it isn't there.
func (c *Cluster) get(ctx context.Context, k kind) ([]json.RawMessage, error) {
	data, err := c.raw(ctx, k.path+"/"+k.single, nil)
	status, isStatus := errors.AsType[*apierrors.StatusError](err)
	// "not found" alone is what any wrong address says too.
	if isStatus && apierrors.IsNotFound(err) && status.ErrStatus.Details != nil && status.ErrStatus.Details.Name == k.single {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return []json.RawMessage{data}, nil
}

// list returns all objects of a kind, or nothing if the kind isn't installed.
func (c *Cluster) list(ctx context.Context, k kind) (items []json.RawMessage, err error) {
	query := url.Values{"limit": {"500"}}
	for {
		data, err := c.raw(ctx, k.path, query)
		if apierrors.IsNotFound(err) {
			return nil, c.confirmAPIServer(ctx)
		}
		if err != nil {
			return nil, err
		}
		var page struct {
			Metadata metav1.ListMeta   `json:"metadata"`
			Items    []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, fmt.Errorf("%s: %w", k.path, err)
		}
		items = append(items, page.Items...)
		if page.Metadata.Continue == "" {
			return items, nil
		}
		query.Set("continue", page.Metadata.Continue)
	}
}

// confirmAPIServer makes sure that it is an API server that doesn't know a kind.
func (c *Cluster) confirmAPIServer(ctx context.Context) error {
	data, err := c.raw(ctx, "/apis", nil)
	var groups metav1.APIGroupList
	if err == nil {
		err = json.Unmarshal(data, &groups)
	}
	if err != nil || groups.Kind != "APIGroupList" {
		return fmt.Errorf("what answers at %s is no API server", c.host)
	}
	return nil
}

func (c *Cluster) raw(ctx context.Context, path string, query url.Values) ([]byte, error) {
	if c.Progress != nil {
		waiting := time.AfterFunc(time.Second, func() { c.Progress("waiting for " + path + " from " + c.host) })
		defer waiting.Stop()
	}
	timeout := c.Timeout
	if timeout <= 0 {
		timeout = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	request := c.client.Get().AbsPath(path).MaxRetries(0).SetHeader("Accept", runtime.ContentTypeJSON)
	for key, values := range query {
		request = request.Param(key, values[0])
	}
	result := request.Do(ctx)
	data, err := result.Raw()
	if err != nil {
		err = result.Error() // which reads the Status
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("no answer within %s: %w", timeout, err)
	}
	return data, err
}

// adminGroups returns the groups that are bound to the ClusterRole cluster-admin,
// sorted. system:masters needs no binding.
func (c *Cluster) adminGroups(ctx context.Context) ([]string, error) {
	const bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings"
	groups := []string{"system:masters"}
	items, err := c.list(ctx, kind{name: "ClusterRoleBinding", path: bindings})
	for _, item := range items {
		var binding struct {
			RoleRef  struct{ Kind, Name string } `json:"roleRef"`
			Subjects []struct{ Kind, Name string }
		}
		if err := json.Unmarshal(item, &binding); err != nil {
			return groups, fmt.Errorf("%s: %w", bindings, err)
		}
		if binding.RoleRef.Kind != "ClusterRole" || binding.RoleRef.Name != "cluster-admin" {
			continue
		}
		for _, subject := range binding.Subjects {
			if subject.Kind == "Group" {
				groups = append(groups, subject.Name)
			}
		}
	}
	slices.Sort(groups)
	return slices.Compact(groups), err
}
