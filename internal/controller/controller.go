package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
	"sigs.k8s.io/controller-runtime/pkg/predicate"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// Name is what the controller is called in leases, events and metrics.
const Name = "iam-authenticator-controller"

// Options are the options of a controller.
type Options struct {
	// Config leads to the API server, with the rights of deploy/controller/rbac.yaml.
	// Its limit of requests per second is taken off: there are never more than
	// Concurrency under way, and the API server's own priority and fairness decides
	// who waits.
	Config *rest.Config
	// Ceiling bounds what entries may give. What is above it is not bound.
	Ceiling policy.Ceiling
	// Concurrency is how many entries are worked on at the same time. 0: 8.
	Concurrency int

	// LeaderElection is whether to wait for a lease, so that of several controllers
	// one writes. LeaderNamespace is where the lease is. Empty: the pod's.
	LeaderElection  bool
	LeaderNamespace string

	// MetricsAddress and HealthAddress are where to serve metrics, and /healthz and
	// /readyz, over plain HTTP. Empty: nowhere.
	MetricsAddress, HealthAddress string

	// Log is told of what is changed, and of what can't be. Nil: nobody is.
	Log *zap.Logger
	// ClientLog is told what the libraries say.
	ClientLog logr.Logger
}

// Controller keeps the bindings of access entries.
type Controller struct {
	manager manager.Manager
}

// New returns a controller that does nothing until it runs. It asks the API server
// which kinds it has.
func New(o Options) (*Controller, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	metrics := newMetrics()
	config := rest.CopyConfig(o.Config)
	config.QPS = -1
	m, err := manager.New(config, manager.Options{
		Scheme: Scheme(),
		Cache:  cacheOptions(),
		Logger: o.ClientLog,

		LeaderElection:          o.LeaderElection,
		LeaderElectionID:        Name,
		LeaderElectionNamespace: o.LeaderNamespace,
		// The program ends when Run does, so that nothing is written after the release.
		LeaderElectionReleaseOnCancel: true,

		Metrics:                metricsserver.Options{BindAddress: "0"}, // see serveMetrics
		HealthProbeBindAddress: cmp.Or(o.HealthAddress, "0"),
	})
	if err != nil {
		return nil, err
	}
	r := &reconciler{
		cache:    m.GetClient(),
		writer:   &writer{client: m.GetClient(), live: m.GetAPIReader(), wrote: metrics.wrote},
		ceiling:  o.Ceiling,
		pending:  newPending(time.Now),
		metrics:  metrics,
		recorder: m.GetEventRecorder(Name),
		log:      o.Log,
		now:      time.Now,
	}
	if err := errors.Join(addIndexes(m), watch(m, r, o), addHealth(m), serveMetrics(m, o.MetricsAddress, metrics)); err != nil {
		if meta.IsNoMatchError(err) {
			err = fmt.Errorf("%w (apply deploy/crd first)", err)
		}
		return nil, err
	}
	return &Controller{m}, nil
}

// Run keeps the bindings until the context ends, and returns nil then. It is an error
// if the lease is lost: another controller may write by then.
func (c *Controller) Run(ctx context.Context) error { return c.manager.Start(ctx) }

// Scheme returns the kinds that the controller has to do with.
func Scheme() *runtime.Scheme {
	s := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, coordinationv1.AddToScheme, rbacv1.AddToScheme, metav1.AddMetaToScheme, v1alpha1.AddToScheme} {
		if err := add(s); err != nil {
			panic(err) // two of them would have to claim the same kind
		}
	}
	return s
}

// cacheOptions keep in memory only what is needed: our bindings, and of namespaces and
// labelled ClusterRoles the name.
func cacheOptions() cache.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{managedByLabel: managedBy})}
	labelled, err := labels.NewRequirement(policy.Label, selection.Exists, nil)
	if err != nil {
		panic(err) // of a constant
	}
	return cache.Options{
		DefaultTransform:            cache.TransformStripManagedFields(),
		ReaderFailOnMissingInformer: true, // that none be made by a mistake
		ByObject: map[client.Object]cache.ByObject{
			&rbacv1.ClusterRoleBinding{}: ours,
			&rbacv1.RoleBinding{}:        ours,
			metadata(roleList()):         {Label: labels.NewSelector().Add(*labelled), Transform: strip},
			metadata(namespaceList()):    {Transform: strip},
		},
	}
}

// strip takes from metadata what nobody asks for, which may be most of it.
func strip(o any) (any, error) {
	if m, ok := o.(*metav1.PartialObjectMetadata); ok {
		m.ManagedFields, m.Annotations = nil, nil
	}
	return o, nil
}

func addIndexes(m manager.Manager) error {
	index := m.GetFieldIndexer()
	entryOf := func(o client.Object) []string { return []string{string(entryUID(o))} }
	return errors.Join(
		index.IndexField(context.Background(), &v1alpha1.AccessEntry{}, byUID, func(o client.Object) []string { return []string{string(o.GetUID())} }),
		index.IndexField(context.Background(), &rbacv1.ClusterRoleBinding{}, byEntry, entryOf),
		index.IndexField(context.Background(), &rbacv1.RoleBinding{}, byEntry, entryOf),
	)
}

// watch has entries looked at when they, their bindings, a namespace or a role of
// policies change.
func watch(m manager.Manager, r *reconciler, o Options) error {
	type mapFunc = handler.TypedMapFunc[client.Object, types.UID]
	to := handler.TypedEnqueueRequestsFromMapFunc[client.Object, types.UID]
	entry := mapFunc(func(_ context.Context, o client.Object) []types.UID { return []types.UID{o.GetUID()} })
	binding := mapFunc(func(_ context.Context, o client.Object) []types.UID { return []types.UID{entryUID(o)} })
	// entries returns those with a policy of some kind.
	entries := func(ctx context.Context, of func(v1alpha1.AccessPolicy) bool) (uids []types.UID) {
		var list v1alpha1.AccessEntryList
		if err := r.cache.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
			r.log.Error("access entries can't be listed from the cache", zap.Error(err))
		}
		for i := range list.Items {
			if slices.ContainsFunc(policiesOf(&list.Items[i]), of) {
				uids = append(uids, list.Items[i].UID)
			}
		}
		return uids
	}
	namespace := mapFunc(func(ctx context.Context, o client.Object) []types.UID {
		return entries(ctx, func(ap v1alpha1.AccessPolicy) bool { return reaches(ap, o.GetName()) })
	})
	role := mapFunc(func(ctx context.Context, o client.Object) []types.UID {
		return entries(ctx, func(ap v1alpha1.AccessPolicy) bool {
			name, err := policy.ParseARN(ap.PolicyARN)
			return err == nil && name == o.GetLabels()[policy.Label]
		})
	})
	return builder.TypedControllerManagedBy[types.UID](m).
		Named(Name).
		Watches(&v1alpha1.AccessEntry{}, to(entry)).
		Watches(&rbacv1.ClusterRoleBinding{}, to(binding)).
		Watches(&rbacv1.RoleBinding{}, to(binding)).
		Watches(metadata(namespaceList()), to(namespace), builder.WithPredicates(comesOrGoes())).
		Watches(metadata(roleList()), to(role), builder.WithPredicates(predicate.LabelChangedPredicate{})).
		WithOptions(controller.TypedOptions[types.UID]{
			MaxConcurrentReconciles: cmp.Or(o.Concurrency, 8),
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](100*time.Millisecond, time.Minute),
		}).
		WithLogConstructor(func(uid *types.UID) logr.Logger {
			if uid == nil {
				return o.ClientLog
			}
			return o.ClientLog.WithValues("entryUID", string(*uid))
		}).
		Complete(r)
}

// comesOrGoes passes over what else changes of a namespace, and over the list at the
// start: every entry is looked at then.
func comesOrGoes() predicate.Predicate {
	return predicate.Funcs{
		CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList },
		UpdateFunc: func(e event.UpdateEvent) bool {
			// While the watch was broken it may have gone, with its bindings, and come again.
			return e.ObjectOld.GetUID() != e.ObjectNew.GetUID() ||
				e.ObjectOld.GetDeletionTimestamp().IsZero() != e.ObjectNew.GetDeletionTimestamp().IsZero()
		},
	}
}

// addHealth serves /healthz, which is well as long as the process serves, and /readyz,
// which is once everything was read. A controller that waits for the lease is ready:
// it can take over.
func addHealth(m manager.Manager) error {
	return errors.Join(
		m.AddHealthzCheck("ping", healthz.Ping),
		m.AddReadyzCheck("caches", func(req *http.Request) error {
			ctx, cancel := context.WithTimeout(req.Context(), 100*time.Millisecond)
			defer cancel()
			if !m.GetCache().WaitForCacheSync(ctx) {
				return errors.New("not everything was read yet: if that lasts, the log says what can't be listed")
			}
			return nil
		}),
	)
}

// serveMetrics serves the controller's metrics and those of controller-runtime.
func serveMetrics(m manager.Manager, address string, metrics *metrics) error {
	if address == "" {
		return nil
	}
	listener, err := net.Listen("tcp", address) //nolint:noctx // it only opens a port
	if err != nil {
		return fmt.Errorf("metrics: %w (choose another with --metrics-address)", err)
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(prometheus.Gatherers{metrics.registry, crmetrics.Registry}, promhttp.HandlerOpts{}))
	return m.Add(&manager.Server{
		Name:     "metrics",
		Listener: listener,
		Server:   &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second},
	})
}
