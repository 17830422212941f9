package lint

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// Live is what a cluster says about who gets in.
type Live struct {
	// Inputs are aws-auth and the access entries, as "kubectl get -o yaml" shows them.
	Inputs []Input
	// BoundGroups are the groups that bindings name. Nil if they can't be read.
	BoundGroups []string
	// Missing says what the cluster doesn't have or doesn't show.
	Missing []string
}

// ReadLive reads a cluster. It writes nothing.
func ReadLive(ctx context.Context, config *rest.Config) (Live, error) {
	client, err := newClient(config)
	if err != nil {
		return Live{}, err
	}
	var l Live
	const object = configmap.Namespace + "/" + configmap.Name
	data, err := client.Get().AbsPath("api", "v1", "namespaces", configmap.Namespace, "configmaps", configmap.Name).Do(ctx).Raw()
	switch {
	case apierrors.IsNotFound(err):
		l.Missing = append(l.Missing, "there is no ConfigMap "+object)
	case err != nil:
		return Live{}, fmt.Errorf("ConfigMap %s: %w", object, err)
	default:
		if err := l.add(object, data); err != nil {
			return Live{}, err
		}
	}
	if err := l.readEntries(ctx, client); err != nil {
		return Live{}, err
	}
	return l, l.readBindings(ctx, client)
}

func newClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // for errors
	config = rest.CopyConfig(config)
	config.GroupVersion = &schema.GroupVersion{Version: "v1"}
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	return rest.UnversionedRESTClientFor(config)
}

// add adds an object without what nobody writes.
func (l *Live) add(name string, object []byte) error {
	var content map[string]any
	if err := json.Unmarshal(object, &content); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	items, _ := content["items"].([]any)
	for _, item := range append(items, content) {
		if item, ok := item.(map[string]any); ok {
			if meta, ok := item["metadata"].(map[string]any); ok {
				delete(meta, "managedFields")
			}
		}
	}
	data, err := yaml.Marshal(content)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	l.Inputs = append(l.Inputs, Input{Name: name, Data: data})
	return nil
}

func (l *Live) readEntries(ctx context.Context, client rest.Interface) error {
	items, err := list(ctx, client, "apis", v1alpha1.GroupName, v1alpha1.SchemeGroupVersion.Version, "accessentries")
	switch {
	case apierrors.IsNotFound(err):
		l.Missing = append(l.Missing, "the cluster has no kind AccessEntry")
		return nil
	case err != nil:
		return fmt.Errorf("access entries: %w", err)
	}
	for _, item := range items {
		var object struct {
			metav1.ObjectMeta `json:"metadata"`
			Spec              json.RawMessage `json:"spec"`
		}
		if err := json.Unmarshal(item, &object); err != nil {
			return fmt.Errorf("access entries: %w", err)
		}
		data, err := json.Marshal(map[string]any{
			"apiVersion": v1alpha1.SchemeGroupVersion.String(), "kind": "AccessEntry",
			"metadata": map[string]string{"name": object.Name}, "spec": object.Spec,
		})
		if err != nil {
			return fmt.Errorf("access entry %s: %w", object.Name, err)
		}
		if err := l.add("accessentries/"+object.Name, data); err != nil {
			return err
		}
	}
	return nil
}

// readBindings reads the groups of all bindings. Not to be allowed to is no error.
func (l *Live) readBindings(ctx context.Context, client rest.Interface) error {
	groups := []string{}
	for _, resource := range []string{"clusterrolebindings", "rolebindings"} {
		items, err := list(ctx, client, "apis", "rbac.authorization.k8s.io", "v1", resource)
		if apierrors.IsForbidden(err) {
			l.Missing = append(l.Missing, "you may not list "+resource+", so groups without a binding are not looked for")
			return nil
		}
		if err != nil {
			return fmt.Errorf("%s: %w", resource, err)
		}
		for _, item := range items {
			var binding struct {
				Subjects []struct{ Kind, Name string } `json:"subjects"`
			}
			if err := json.Unmarshal(item, &binding); err != nil {
				return fmt.Errorf("%s: %w", resource, err)
			}
			for _, s := range binding.Subjects {
				if s.Kind == "Group" {
					groups = append(groups, s.Name)
				}
			}
		}
	}
	slices.Sort(groups)
	l.BoundGroups = slices.Compact(groups)
	return nil
}

// list returns the objects of a kind, page by page.
func list(ctx context.Context, client rest.Interface, path ...string) (items []json.RawMessage, err error) {
	for next := ""; ; {
		data, err := client.Get().AbsPath(path...).Param("limit", "500").Param("continue", next).Do(ctx).Raw()
		if err != nil {
			return nil, err
		}
		var page struct {
			metav1.ListMeta `json:"metadata"`
			Items           []json.RawMessage `json:"items"`
		}
		if err := json.Unmarshal(data, &page); err != nil {
			return nil, err
		}
		items = append(items, page.Items...)
		if next = page.Continue; next == "" {
			return items, nil
		}
	}
}
