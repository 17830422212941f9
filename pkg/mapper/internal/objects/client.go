package objects

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source"
)

// Client reads one kind of objects, and writes their status.
type Client struct {
	rest     rest.Interface
	kind     schema.GroupVersionKind
	resource string
}

// NewClient returns a client for the objects of a kind. The resource is the kind's
// name in URLs, such as "accessentries".
func NewClient(config *rest.Config, kind schema.GroupVersionKind, resource string) (*Client, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypeWithName(kind, &Object{})
	scheme.AddKnownTypeWithName(kind.GroupVersion().WithKind(kind.Kind+"List"), &List{})
	metav1.AddToGroupVersion(scheme, kind.GroupVersion())

	config = rest.CopyConfig(config)
	config.APIPath = "/apis"
	config.GroupVersion = new(kind.GroupVersion())
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	// Custom resources have no other form that keeps a spec as it came.
	config.ContentType, config.AcceptContentTypes = runtime.ContentTypeJSON, runtime.ContentTypeJSON
	config.QPS = -1 // whoever writes keeps to a rate
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client for %s: %w", resource, err)
	}
	return &Client{rest: c, kind: kind, resource: resource}, nil
}

// ListWatch lists and watches all objects.
func (c *Client) ListWatch() cache.ListerWatcher {
	return source.NewListWatch(c.rest, c.resource, metav1.NamespaceAll, fields.Everything())
}

// Absent tells whether the API server doesn't know the kind. It is an error if that
// can't be told: "not found" alone is what any proxy and any wrong address says too.
// Whoever is authenticated may ask this (ClusterRole system:discovery).
func (c *Client) Absent(ctx context.Context) (bool, error) {
	var groups metav1.APIGroupList
	if err := c.discover(ctx, "/apis", &groups); err != nil {
		return false, err
	}
	served := map[string][]metav1.GroupVersionForDiscovery{}
	for _, g := range groups.Groups {
		served[g.Name] = g.Versions
	}
	// Every API server that can have custom resources has this group.
	if groups.Kind != "APIGroupList" || served["apiextensions.k8s.io"] == nil {
		return false, errors.New("what answers is no API server with custom resources")
	}
	if !slices.ContainsFunc(served[c.kind.Group], func(v metav1.GroupVersionForDiscovery) bool { return v.Version == c.kind.Version }) {
		return true, nil
	}
	var resources metav1.APIResourceList
	if err := c.discover(ctx, "/apis/"+c.kind.GroupVersion().String(), &resources); err != nil {
		return false, err
	}
	if resources.Kind != "APIResourceList" {
		return false, fmt.Errorf("discovery of %s answered with the kind %q", c.kind.GroupVersion(), resources.Kind)
	}
	return !slices.ContainsFunc(resources.APIResources, func(r metav1.APIResource) bool { return r.Name == c.resource }), nil
}

func (c *Client) discover(ctx context.Context, path string, into any) error {
	data, err := c.rest.Get().AbsPath(path).MaxRetries(0).Do(ctx).Raw()
	if err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("discovery: %w", err)
	}
	return nil
}

// ApplyStatus makes the status of an object what an apply configuration says, in
// JSON, whoever else wrote the same fields.
func (c *Client) ApplyStatus(ctx context.Context, name string, configuration []byte, manager string) error {
	return c.rest.Patch(types.ApplyPatchType).
		Resource(c.resource).
		Name(name).
		SubResource("status").
		VersionedParams(&metav1.PatchOptions{FieldManager: manager, Force: new(true)}, metav1.ParameterCodec).
		Body(configuration).
		Do(ctx).
		Error()
}
