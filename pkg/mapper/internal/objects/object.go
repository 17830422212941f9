package objects

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Object is a custom resource as the API server sends it. Spec and status are
// decoded later and one by one: the API server doesn't check what it stored under
// an earlier schema, and one object that doesn't fit would fail the whole list.
type Object struct {
	metav1.TypeMeta `json:",inline"`
	Metadata        `json:"metadata"`

	Spec   json.RawMessage `json:"spec,omitempty"`
	Status json.RawMessage `json:"status,omitempty"`
}

// Metadata is the metadata of an object without what nobody here reads, which is
// most of it. It is passed over while decoding, and takes no memory even while a
// list is being read.
type Metadata struct {
	metav1.ObjectMeta `json:",inline"`

	ManagedFields   ignored     `json:"managedFields,omitzero"`
	OwnerReferences ignored     `json:"ownerReferences,omitzero"`
	Labels          ignored     `json:"labels,omitzero"`
	Annotations     annotations `json:"annotations,omitempty"`
}

// GetAnnotations returns the annotations that were not passed over.
func (m *Metadata) GetAnnotations() map[string]string { return m.Annotations }

// ignored is a value that is passed over.
type ignored struct{}

// UnmarshalJSON does nothing.
func (*ignored) UnmarshalJSON([]byte) error { return nil }

// annotations are those that the reflector reads: one that ends a list.
type annotations map[string]string

// UnmarshalJSON takes that one annotation over.
func (a *annotations) UnmarshalJSON(data []byte) error {
	if !bytes.Contains(data, []byte(metav1.InitialEventsAnnotationKey)) {
		return nil
	}
	var all map[string]string
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	if v, ok := all[metav1.InitialEventsAnnotationKey]; ok {
		*a = annotations{metav1.InitialEventsAnnotationKey: v}
	}
	return nil
}

// DeepCopyObject copies the object.
func (o *Object) DeepCopyObject() runtime.Object {
	c := *o
	o.DeepCopyInto(&c.ObjectMeta)
	c.Annotations = maps.Clone(o.Annotations)
	c.Spec = slices.Clone(o.Spec)
	c.Status = slices.Clone(o.Status)
	return &c
}

// List is a list of objects.
type List struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata"`

	Items []Object `json:"items"`
}

// DeepCopyObject copies the list.
func (l *List) DeepCopyObject() runtime.Object {
	c := &List{TypeMeta: l.TypeMeta, Items: make([]Object, len(l.Items))}
	l.DeepCopyInto(&c.ListMeta)
	for i := range l.Items {
		c.Items[i] = *l.Items[i].DeepCopyObject().(*Object)
	}
	return c
}
