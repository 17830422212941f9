package source

import (
	"context"
	"errors"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
)

// NewListWatch returns what lists and watches a resource, in a namespace if it is
// not empty. It is cache.NewListWatchFromClient without the retries of the client:
// where a proxy takes connections for an API server that is gone, these hide it for
// ten seconds.
func NewListWatch(client rest.Interface, resource, namespace string, selector fields.Selector) *cache.ListWatch {
	request := func(o metav1.ListOptions) *rest.Request {
		o.FieldSelector = selector.String()
		return client.Get().NamespaceIfScoped(namespace, namespace != "").Resource(resource).
			VersionedParams(&o, metav1.ParameterCodec).MaxRetries(0)
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return request(o).Do(ctx).Get()
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.Watch = true
			return request(o).Watch(ctx)
		},
	}
}

// listWatch returns the ListWatch of the options, bounded in time and observed: the
// reflector tries again by itself where a connection is refused, and tells nobody.
func (s *Source) listWatch() cache.ListerWatcher {
	inner := cache.ToListerWatcherWithContext(s.options.ListWatch)
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return s.list(ctx, inner, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			return s.watch(ctx, inner, o)
		},
	}, s.options.ListWatch)
}

func (s *Source) list(ctx context.Context, inner cache.ListerWithContext, o metav1.ListOptions) (runtime.Object, error) {
	s.setStreaming(false)
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list, err := inner.ListWithContext(ctx, o)
	// Other errors end ListAndWatch, and are noted then.
	if o.ResourceVersion == "" && isExpired(err) {
		s.fail(err)
	}
	return list, err
}

func (s *Source) watch(ctx context.Context, inner cache.WatcherWithContext, o metav1.ListOptions) (watch.Interface, error) {
	streaming := o.SendInitialEvents != nil && *o.SendInitialEvents
	s.setStreaming(streaming)
	// Where the server says that any version is too old, the reflector would ask
	// again without a pause, and the limits of REST clients don't hold for watches.
	if err := s.watches.Wait(ctx); err != nil {
		return nil, err
	}
	parent := ctx
	ctx, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(requestTimeout, func() {
		cancel(fmt.Errorf("no answer to a watch request within %s", requestTimeout))
	})
	w, err := inner.WatchWithContext(ctx, o)
	timer.Stop()
	if err == nil && ctx.Err() == nil {
		if o.TimeoutSeconds != nil {
			timer.Reset(time.Duration(*o.TimeoutSeconds)*time.Second + grace)
		}
		if !streaming {
			s.healthy()
		}
		return bounded{w, timer, cancel}, nil
	}
	if err == nil {
		w.Stop()
	}
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	cancel(nil)
	// What does not matter: the reflector goes on with a list when a resource version
	// is too old, when the server can't list through a watch, and when the kind is
	// not there, or so it seems: Run finds out.
	harmless := isExpired(err) && o.ResourceVersion != "" || streaming && apierrors.IsInvalid(err) || s.options.Absent != nil && apierrors.IsNotFound(err)
	if parent.Err() == nil && !harmless {
		s.fail(err)
	}
	return nil, err
}

func (s *Source) setStreaming(streaming bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streaming = streaming
}

// bounded is a watch that ends when its timer cancels its context.
type bounded struct {
	watch.Interface
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func (b bounded) Stop() {
	b.timer.Stop()
	b.cancel(nil)
	b.Interface.Stop()
}

// isExpired tells whether the resource version was too old, which happens to every
// watch that was cut off for long.
func isExpired(err error) bool { return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) }

// explain adds what to do about an error.
func explain(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; grant the verbs list and watch", err)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w; check the credentials in the kubeconfig", err)
	}
	return err
}

// classOf tells apart failures that have different causes. Those without an answer
// of the server are one class: their texts differ from attempt to attempt.
func classOf(err error) string {
	if status, ok := errors.AsType[*apierrors.StatusError](err); ok {
		return fmt.Sprintf("%d %s", status.Status().Code, status.Status().Reason)
	}
	return "unreachable"
}
