package awsauth

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// Client reads and writes the ConfigMap. It needs the rights to get and patch it, and
// to create ConfigMaps in kube-system if it is not there.
type Client struct {
	core           rest.Interface
	authentication rest.Interface
}

// NewClient returns a client of the API server that the configuration names.
func NewClient(config *rest.Config) (*Client, error) {
	core, err := restClient(config, "/api", corev1.SchemeGroupVersion, &corev1.ConfigMap{})
	if err != nil {
		return nil, err
	}
	authentication, err := restClient(config, "/apis", authenticationv1.SchemeGroupVersion, &authenticationv1.SelfSubjectReview{})
	if err != nil {
		return nil, err
	}
	return &Client{core, authentication}, nil
}

// restClient returns a client for one kind. The typed clients of client-go would
// register every kind there is whenever the program starts.
func restClient(config *rest.Config, path string, version schema.GroupVersion, kind runtime.Object) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(version, kind)
	metav1.AddToGroupVersion(scheme, version)
	config = rest.CopyConfig(config)
	config.Timeout = cmp.Or(config.Timeout, 30*time.Second)
	config.QPS = -1 // a command asks a few times; client-go's limit is for controllers
	config.APIPath = path
	config.GroupVersion = &version
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.RESTClientFor(config)
}

// Get returns what the ConfigMap says. One that is not there says nothing.
func (c *Client) Get(ctx context.Context) (Document, error) {
	cm, err := c.get(ctx)
	if err != nil || cm == nil {
		return nil, err
	}
	return cm.Data, nil
}

// get returns nil for a ConfigMap that is not there.
func (c *Client) get(ctx context.Context) (*corev1.ConfigMap, error) {
	var cm corev1.ConfigMap
	err := c.core.Get().Namespace(configmap.Namespace).Resource("configmaps").Name(configmap.Name).Do(ctx).Into(&cm)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, explain("read", err)
	}
	return &cm, nil
}

// explain adds to an error of the API server what to do about it.
func explain(what string, err error) error {
	err = fmt.Errorf("%s %s/%s: %w", what, configmap.Namespace, configmap.Name, err)
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; to allow it, grant get and patch on this ConfigMap, and create on configmaps if it is not there", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w; check the user of the kubeconfig's context", err)
	}
	return err
}

// Caller asks the API server who is asking.
func (c *Client) Caller(ctx context.Context) (*Caller, error) {
	var review authenticationv1.SelfSubjectReview
	err := c.authentication.Post().Resource("selfsubjectreviews").Body(&authenticationv1.SelfSubjectReview{}).Do(ctx).Into(&review)
	if err != nil {
		return nil, fmt.Errorf("ask who you are (SelfSubjectReview): %w", err)
	}
	u := review.Status.UserInfo
	caller := &Caller{Username: u.Username, UID: u.UID, Groups: u.Groups, Extra: map[string][]string{}}
	for key, values := range u.Extra {
		caller.Extra[key] = values
	}
	return caller, nil
}

// attempts bounds how often Change starts over, and longestPause how long it waits
// before it does: at random, so that several don't meet again.
const (
	attempts     = 15
	longestPause = 100 * time.Millisecond
)

// Change reads the ConfigMap and writes what edit makes of it. If somebody else wrote
// in between it starts over with what they wrote, so that nobody's change is lost;
// edit may run several times. It writes only the keys that edit changed, and nothing
// if there are none.
func (c *Client) Change(ctx context.Context, edit func(Document) (Document, error)) error {
	for range attempts {
		cm, err := c.get(ctx)
		if err != nil {
			return err
		}
		var before Document
		if cm != nil {
			before = cm.Data
		}
		after, err := edit(maps.Clone(before))
		if err != nil {
			return err
		}
		changed := map[string]string{}
		for key, value := range after {
			if old, ok := before[key]; !ok || old != value {
				changed[key] = value
			}
		}
		if len(changed) == 0 {
			return nil
		}
		err = c.write(ctx, cm, changed)
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsAlreadyExists(err) && !apierrors.IsNotFound(err) {
			return explain("write", err)
		}
		select {
		case <-time.After(rand.N(longestPause)): //nolint:gosec // no secret
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return fmt.Errorf("write %s/%s: somebody else changed it %d times while we did; try again", configmap.Namespace, configmap.Name, attempts)
}

// write writes keys, if the ConfigMap is still the one that was read.
func (c *Client) write(ctx context.Context, read *corev1.ConfigMap, data map[string]string) error {
	if read == nil {
		created := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: configmap.Namespace, Name: configmap.Name}, Data: data}
		return c.core.Post().Namespace(configmap.Namespace).Resource("configmaps").Body(created).Do(ctx).Error()
	}
	patch, err := json.Marshal(map[string]any{
		// With it, the API server refuses the patch if somebody else was faster.
		"metadata": map[string]any{"resourceVersion": read.ResourceVersion},
		"data":     data,
	})
	if err != nil {
		return err
	}
	return c.core.Patch(types.MergePatchType).Namespace(configmap.Namespace).Resource("configmaps").Name(configmap.Name).Body(patch).Do(ctx).Error()
}
