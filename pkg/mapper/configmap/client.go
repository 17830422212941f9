package configmap

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"

	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source"
)

// newClient returns a client for the two kinds of core/v1 that we use. The typed
// clients of client-go would register every kind there is whenever the program
// starts, also where it runs as a kubectl plugin.
func newClient(config *rest.Config) (rest.Interface, error) {
	scheme := runtime.NewScheme()
	scheme.AddKnownTypes(corev1.SchemeGroupVersion, &corev1.ConfigMap{}, &corev1.ConfigMapList{}, &corev1.Event{})
	metav1.AddToGroupVersion(scheme, corev1.SchemeGroupVersion)

	config = rest.CopyConfig(config)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	if config.UserAgent == "" {
		config.UserAgent = rest.DefaultKubernetesUserAgent()
	}
	return rest.RESTClientFor(config)
}

// listWatch reads the one ConfigMap. The selector by name is what makes rights by
// resourceNames suffice for a list and a watch.
func listWatch(client rest.Interface) *cache.ListWatch {
	return source.NewListWatch(client, "configmaps", Namespace, fields.OneTermEqualSelector(metav1.ObjectNameField, Name))
}
