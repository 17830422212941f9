package objects

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// Client reads one kind of objects, and writes their status.
type Client struct {
	rest     rest.Interface
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
	return &Client{rest: c, resource: resource}, nil
}

// ListWatch lists and watches all objects.
func (c *Client) ListWatch() cache.ListerWatcher {
	return cache.NewListWatchFromClient(c.rest, c.resource, metav1.NamespaceAll, fields.Everything())
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
