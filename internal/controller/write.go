package controller

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// fieldManager is the field manager of what is written. It is not the server's, which
// writes another condition of the same entries.
const fieldManager = "iam-authenticator-controller"

// writer writes to the API server. What it reads is what the API server has now, not
// what the cache has.
type writer struct {
	client client.Client
	live   client.Reader
	wrote  func(verb, kind string) // is told of every request that writes
}

// errNameTaken is what stands in the way of a binding and is not the controller's.
var errNameTaken = errors.New("an object of that name is there, and not the controller's: it is left alone; delete it or rename it")

// create creates a binding, and returns it as it is there. A binding of the same name
// that belongs to the entry, and is not in the cache since somebody took its labels or
// since the cache is behind, is made what it should be.
//
// It is no apply, which would take over whatever has the name.
func (w *writer) create(ctx context.Context, b *binding, entry types.UID) (*binding, error) {
	object := b.object()
	w.wrote("create", b.kind())
	err := w.client.Create(ctx, object, client.FieldOwner(fieldManager))
	if err == nil {
		return bindingOf(object), nil
	}
	if !apierrors.IsAlreadyExists(err) {
		return nil, err
	}
	there := (&binding{namespace: b.namespace}).object()
	if err := w.live.Get(ctx, b.key(), there); err != nil {
		return nil, fmt.Errorf("it was there, and now: %v", err) //nolint:errorlint // not found is not what it means here
	}
	have := bindingOf(there)
	switch {
	case !have.belongsTo(entry):
		return nil, errNameTaken
	case have.is(b):
		return have, nil
	}
	return w.repair(ctx, change{have: have, want: b, anew: have.role != b.role}, entry)
}

// repair makes a binding what it should be, unless it has changed since it was seen.
func (w *writer) repair(ctx context.Context, c change, entry types.UID) (*binding, error) {
	if c.anew {
		if err := w.remove(ctx, c.have); err != nil {
			return nil, err
		}
		return w.create(ctx, c.want, entry)
	}
	b := *c.want
	b.uid, b.version = c.have.uid, c.have.version
	object := b.object()
	apply, err := applyOf(object)
	if err != nil {
		return nil, err
	}
	w.wrote("apply", b.kind())
	if err := w.client.Patch(ctx, object, apply, client.FieldOwner(fieldManager), client.ForceOwnership); err != nil {
		return nil, err
	}
	return bindingOf(object), nil
}

// remove deletes a binding, unless another has its name by now.
func (w *writer) remove(ctx context.Context, b *binding) error {
	w.wrote("delete", b.kind())
	return client.IgnoreNotFound(w.client.Delete(ctx, b.object(), client.Preconditions{UID: &b.uid}))
}

// setFinalizer puts the finalizer on an entry or takes it off, unless the entry has
// changed since it was seen, and returns its version then.
//
// It is no apply: that takes off only what the same manager put on, and an entry may be
// restored with its finalizers from a backup.
func (w *writer) setFinalizer(ctx context.Context, e *v1alpha1.AccessEntry, on bool) (version string, err error) {
	finalizers := slices.DeleteFunc(slices.Clone(e.Finalizers), func(f string) bool { return f == finalizer })
	if on {
		finalizers = append(finalizers, finalizer)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": e.UID, "resourceVersion": e.ResourceVersion, "finalizers": finalizers,
	}})
	if err != nil {
		return "", err
	}
	object := partial(e)
	w.wrote("patch", entryKind)
	err = w.client.Patch(ctx, object, client.RawPatch(types.MergePatchType, patch), client.FieldOwner(fieldManager))
	return object.ResourceVersion, err
}

// setCondition writes the condition of the entry's policies, or removes it if it is
// nil, and returns the version of the entry then.
func (w *writer) setCondition(ctx context.Context, e *v1alpha1.AccessEntry, c *metav1.Condition) (version string, err error) {
	object := partial(e)
	conditions := []metav1.Condition{} // and not none: an entry with no other would be left with a status of null
	if c != nil {
		conditions = append(conditions, *c)
	}
	apply, err := applyOf(struct {
		*metav1.PartialObjectMetadata
		Status any `json:"status"`
	}{object, map[string]any{"conditions": conditions}})
	if err != nil {
		return "", err
	}
	w.wrote("apply", entryKind+"/status")
	err = w.client.Status().Patch(ctx, object, apply, client.FieldOwner(fieldManager), client.ForceOwnership)
	return object.ResourceVersion, err
}

// partial names an entry, and no other that may have its name by now.
func partial(e *v1alpha1.AccessEntry) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: entryKind},
		ObjectMeta: metav1.ObjectMeta{Name: e.Name, UID: e.UID},
	}
}

// applyOf returns the server-side apply of a configuration.
func applyOf(configuration any) (client.Patch, error) {
	data, err := json.Marshal(configuration)
	return client.RawPatch(types.ApplyPatchType, data), err
}
