package migrate

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
)

// ReadIdentityMappings returns the IAMIdentityMapping objects of a cluster.
func ReadIdentityMappings(ctx context.Context, config *rest.Config) ([]json.RawMessage, error) {
	const path, pageSize = "/apis/iamauthenticator.k8s.aws/v1alpha1/iamidentitymappings", "500"
	scheme := runtime.NewScheme()
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"}) // the Status that tells of errors
	config = rest.CopyConfig(config)
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	config.Timeout = cmp.Or(config.Timeout, 30*time.Second)
	client, err := rest.UnversionedRESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("client of the API server: %w", err)
	}
	var objects []json.RawMessage
	for next := ""; ; {
		result := client.Get().AbsPath(path).Param("limit", pageSize).Param("continue", next).SetHeader("Accept", runtime.ContentTypeJSON).Do(ctx)
		if err := result.Error(); err != nil {
			if apierrors.IsNotFound(err) {
				return nil, fmt.Errorf("this cluster has no IAMIdentityMapping objects: %w; check --context", err)
			}
			return nil, fmt.Errorf("list IAMIdentityMapping objects: %w", err)
		}
		data, err := result.Raw()
		var page struct {
			Metadata metav1.ListMeta   `json:"metadata"`
			Items    []json.RawMessage `json:"items"`
		}
		if err == nil {
			err = json.Unmarshal(data, &page)
		}
		if err != nil {
			return nil, fmt.Errorf("list IAMIdentityMapping objects: %w", err)
		}
		objects = append(objects, page.Items...)
		if next = page.Metadata.Continue; next == "" {
			return objects, nil
		}
	}
}
