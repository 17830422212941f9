package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// blockedRetry is when what failed for a reason that the caches don't show going, such
// as a name that is taken, is tried again.
const blockedRetry = time.Minute

// reconciler makes the bindings of one entry at a time what they should be. Entries are
// known by their UID: one that is created again is another entry.
type reconciler struct {
	cache    client.Reader // has the indexes
	writer   *writer
	ceiling  policy.Ceiling
	pending  *pending
	metrics  *metrics
	recorder events.EventRecorder
	log      *zap.Logger
	now      func() time.Time
}

// Reconcile is called for an entry when it, a binding of it, or something that they
// depend on has changed.
func (r *reconciler) Reconcile(ctx context.Context, uid types.UID) (reconcile.Result, error) {
	entry, err := entryByUID(ctx, r.cache, uid)
	if err != nil {
		return reconcile.Result{}, err
	}
	have, err := bindingsOf(ctx, r.cache, uid)
	if err != nil {
		return reconcile.Result{}, err
	}
	if !r.pending.seen(uid, cached(entry, have)) {
		return reconcile.Result{RequeueAfter: time.Second}, nil // or when it has come
	}
	if entry == nil {
		r.metrics.set(uid, tally{})
		return reconcile.Result{}, r.removeOrphans(ctx, uid, have)
	}
	c, err := readCluster(ctx, r.cache, r.ceiling)
	if err != nil {
		return reconcile.Result{}, err
	}
	return r.carryOut(ctx, newPlan(entry, have, c), len(have))
}

// cached returns what the cache has of the objects that are written for an entry.
func cached(entry *v1alpha1.AccessEntry, have []*binding) func(types.NamespacedName) (types.UID, string) {
	return func(key types.NamespacedName) (types.UID, string) {
		if key == (types.NamespacedName{}) {
			if entry == nil {
				return "gone", ""
			}
			return entry.UID, entry.ResourceVersion
		}
		for _, b := range have {
			if b.key() == key {
				return b.uid, b.version
			}
		}
		return "", ""
	}
}

// carryOut does what a plan says. What fails for one binding keeps no other from being
// made. What is too much goes first.
func (r *reconciler) carryOut(ctx context.Context, p *plan, had int) (reconcile.Result, error) {
	e := p.entry
	log := r.log.With(zap.String("entry", e.Name))
	if p.hold {
		if err := r.setFinalizer(ctx, e, true); err != nil {
			return reconcile.Result{}, ignoreChanged(err)
		}
	}

	var failures []failure
	fail := func(verb string, b *binding, err error) {
		if f := failed(verb, b, err); f != nil {
			failures = append(failures, *f)
		}
	}
	for _, b := range p.remove {
		if err := r.writer.remove(ctx, b); err != nil {
			fail(ActionDelete, b, err)
			continue
		}
		r.pending.add(e.UID, b.key(), written{uid: b.uid, deleted: true})
	}
	made := func(verb string, b, is *binding, err error) {
		if err != nil {
			fail(verb, b, err)
			return
		}
		r.pending.add(e.UID, b.key(), written{uid: is.uid, version: is.version})
	}
	for _, c := range p.repair {
		is, err := r.writer.repair(ctx, c, e.UID)
		made(ActionRepair, c.want, is, err)
	}
	for _, b := range p.create {
		is, err := r.writer.create(ctx, b, e.UID)
		made(ActionCreate, b, is, err)
	}
	if n := len(p.remove) + len(p.repair) + len(p.create); n > 0 {
		log.Info("bindings of an access entry changed", zap.Int("created", len(p.create)), zap.Int("repaired", len(p.repair)),
			zap.Int("deleted", len(p.remove)), zap.Int("failed", len(failures)))
	}

	c := condition(e, p.results, failures, r.now())
	if c != nil && c.Status == metav1.ConditionFalse && (len(failures) > 0 || !same(reported(e), c)) {
		log.Warn("policies of an access entry are not all in force", zap.String("reason", c.Reason), zap.String("problem", c.Message))
	}
	if c == nil {
		r.metrics.set(e.UID, tally{})
	} else {
		r.metrics.set(e.UID, tally{c.Reason, had + len(p.create) - len(p.remove) - len(failures)})
	}
	result, err := again(failures)
	if p.release && len(failures) == 0 {
		err = r.setFinalizer(ctx, e, false)
	}
	return result, errors.Join(ignoreChanged(err), r.report(ctx, e, c))
}

func (r *reconciler) setFinalizer(ctx context.Context, e *v1alpha1.AccessEntry, on bool) error {
	version, err := r.writer.setFinalizer(ctx, e, on)
	if err != nil {
		return fmt.Errorf("finalizer of access entry %s: %w", e.Name, err)
	}
	r.pending.add(e.UID, types.NamespacedName{}, written{uid: e.UID, version: version})
	return nil
}

// again tells when to try once more: soon if it is the API server that failed.
func again(failures []failure) (reconcile.Result, error) {
	var errs []error
	for _, f := range failures {
		if f.reason == reasonFailed {
			errs = append(errs, f.err)
		}
	}
	if len(errs) > 0 {
		return reconcile.Result{}, errors.Join(errs...)
	}
	if len(failures) > 0 {
		return reconcile.Result{RequeueAfter: blockedRetry}, nil
	}
	return reconcile.Result{}, nil
}

// report says on the entry what became of its policies, if it doesn't say so already.
func (r *reconciler) report(ctx context.Context, e *v1alpha1.AccessEntry, c *metav1.Condition) error {
	if same(reported(e), c) || c == nil && !e.DeletionTimestamp.IsZero() { // it is as good as gone
		return nil
	}
	version, err := r.writer.setCondition(ctx, e, c)
	if err != nil {
		// Nobody's rights depend on it.
		return ignoreChanged(fmt.Errorf("status of access entry %s: %w", e.Name, err))
	}
	r.pending.add(e.UID, types.NamespacedName{}, written{uid: e.UID, version: version})
	switch {
	case c == nil:
		r.event(e, corev1.EventTypeNormal, "PoliciesRemoved", "The access entry has no policies any more, and no bindings.")
	case c.Status == metav1.ConditionTrue:
		r.event(e, corev1.EventTypeNormal, "PoliciesApplied", c.Message)
	default:
		r.event(e, corev1.EventTypeWarning, c.Reason, c.Message)
	}
	return nil
}

func (r *reconciler) event(e *v1alpha1.AccessEntry, kind, reason, note string) {
	r.recorder.Eventf(e, nil, kind, reason, "ApplyPolicies", "%s", note)
}

// removeOrphans removes bindings whose entry is gone. That a cache doesn't have it is
// not enough: the bindings' may be ahead of it.
func (r *reconciler) removeOrphans(ctx context.Context, uid types.UID, have []*binding) error {
	var errs []error
	for _, b := range have {
		alive, err := r.alive(ctx, uid, b)
		if err != nil || alive {
			errs = append(errs, err)
			continue
		}
		if err := r.writer.remove(ctx, b); err != nil {
			errs = append(errs, fmt.Errorf("delete %s of no access entry: %w", b.name, err))
			continue
		}
		r.pending.add(uid, b.key(), written{uid: b.uid, deleted: true})
		r.log.Info("binding removed whose access entry is gone", zap.String("kind", b.kind()), zap.String("namespace", b.namespace), zap.String("name", b.name))
	}
	return errors.Join(errs...)
}

// alive asks the API server whether the entry of a binding is there.
func (r *reconciler) alive(ctx context.Context, uid types.UID, b *binding) (bool, error) {
	name := b.labels[entryNameLabel]
	for _, o := range b.owners {
		if o.UID == uid {
			name = o.Name
		}
	}
	if name == "" {
		return false, nil
	}
	var e v1alpha1.AccessEntry
	if err := r.writer.live.Get(ctx, types.NamespacedName{Name: name}, &e); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return e.UID == uid, nil
}

// ignoreChanged drops the error of a write for an entry that has changed or gone since
// it was seen, of which the cache will tell.
func ignoreChanged(err error) error {
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// The indexes of the cache.
const (
	byUID   = "uid"   // of entries
	byEntry = "entry" // of bindings: the UID of the entry that they say they are of
)

// entryByUID returns an entry, or nil if there is none.
func entryByUID(ctx context.Context, reader client.Reader, uid types.UID) (*v1alpha1.AccessEntry, error) {
	var list v1alpha1.AccessEntryList
	if err := reader.List(ctx, &list, client.MatchingFields{byUID: string(uid)}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	if len(list.Items) == 0 {
		return nil, nil
	}
	return &list.Items[0], nil
}

// bindingsOf returns what the controller made for an entry.
func bindingsOf(ctx context.Context, reader client.Reader, uid types.UID) ([]*binding, error) {
	return listBindings(ctx, reader, client.MatchingFields{byEntry: string(uid)}, client.UnsafeDisableDeepCopy)
}

// listBindings returns those bindings that the controller made.
func listBindings(ctx context.Context, reader client.Reader, options ...client.ListOption) ([]*binding, error) {
	var inCluster rbacv1.ClusterRoleBindingList
	var inNamespaces rbacv1.RoleBindingList
	if err := errors.Join(reader.List(ctx, &inCluster, options...), reader.List(ctx, &inNamespaces, options...)); err != nil {
		return nil, err
	}
	var all []*binding
	add := func(o client.Object) {
		if b := bindingOf(o); b.made() {
			all = append(all, b)
		}
	}
	for i := range inCluster.Items {
		add(&inCluster.Items[i])
	}
	for i := range inNamespaces.Items {
		add(&inNamespaces.Items[i])
	}
	return all, nil
}

// readCluster reads what bindings depend on.
func readCluster(ctx context.Context, reader client.Reader, ceiling policy.Ceiling) (cluster, error) {
	c := cluster{roles: map[string][]string{}, ceiling: ceiling}
	namespaces, roles := namespaceList(), roleList()
	if err := errors.Join(
		reader.List(ctx, namespaces, client.UnsafeDisableDeepCopy),
		reader.List(ctx, roles, client.HasLabels{policy.Label}, client.UnsafeDisableDeepCopy),
	); err != nil {
		return c, err
	}
	for _, n := range namespaces.Items {
		c.namespaces = append(c.namespaces, namespace{name: n.Name, terminating: !n.DeletionTimestamp.IsZero()})
	}
	for _, role := range roles.Items {
		name := role.Labels[policy.Label]
		c.roles[name] = append(c.roles[name], role.Name)
	}
	c.sort()
	return c, nil
}

// namespaceList and roleList are lists of metadata: the rest is not needed.
func namespaceList() *metav1.PartialObjectMetadataList { return metadataList("v1", "NamespaceList") }

func roleList() *metav1.PartialObjectMetadataList {
	return metadataList(rbacv1.SchemeGroupVersion.String(), "ClusterRoleList")
}

func metadataList(apiVersion, kind string) *metav1.PartialObjectMetadataList {
	return &metav1.PartialObjectMetadataList{TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kind}}
}

// metadata is the metadata of an object whose list one of the above is.
func metadata(list *metav1.PartialObjectMetadataList) *metav1.PartialObjectMetadata {
	m := &metav1.PartialObjectMetadata{TypeMeta: list.TypeMeta}
	m.Kind = strings.TrimSuffix(m.Kind, "List")
	return m
}
