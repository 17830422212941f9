package source

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/klog/v2"
	"k8s.io/utils/clock"
)

const (
	// requestTimeout bounds a list, and the opening of a watch. The API server gives
	// up on a request after a minute, and sends a bookmark in a watch each minute,
	// before which some proxies don't pass on that the watch is open.
	requestTimeout = 90 * time.Second
	// grace is how long a watch may go on after the time for which it was asked.
	grace = 30 * time.Second
	// absentInterval is how often to look for a kind that is not installed, and up
	// to a third of it more.
	absentInterval = 3 * time.Second
)

// backoff is the time between attempts: 0.1 s at first, and never more than 2 s, so
// that an API server that comes back has its users again at once. It starts over
// every backoffReset.
func backoff() wait.Backoff {
	return wait.Backoff{Duration: 100 * time.Millisecond, Factor: 2, Jitter: 1. / 3, Cap: 1500 * time.Millisecond, Steps: 10}
}

const (
	backoffReset = 2 * time.Minute
	// watchRate, per second, bounds how often a watch is opened where there is no
	// backoff between.
	watchRate, watchBurst = 2, 10
)

// Store takes what a Source reads. The calls come one at a time; what they get is
// the store's to keep.
type Store interface {
	// Replace puts these objects in the place of all. What is not among them is gone.
	Replace(objects []any)
	// Upsert puts an object in the place of the one with its name, if there is one.
	Upsert(object any)
	// Delete takes the object with that name out.
	Delete(object any)
}

// Options are the options of a Source.
type Options struct {
	// Name says in logs and errors what is read, such as "accessentries".
	Name string
	// ListWatch reads the objects: see NewListWatch.
	ListWatch cache.ListerWatcher
	// Type is an object of the type that ListWatch gives.
	Type runtime.Object
	// Store gets the objects.
	Store Store
	// Absent is for a kind that may not be installed. It is asked after a "not found",
	// which may as well come from a proxy or a wrong address, and tells whether the API
	// server really doesn't know the kind: then the store is emptied, the source counts
	// as synced, and the kind is looked for every few seconds. Nil for kinds that are
	// built in.
	Absent func(ctx context.Context) (bool, error)
	// Log is told when the source fails, recovers and finds the kind absent or there;
	// at the debug level, what client-go says. Nil: nobody is.
	Log *zap.Logger
	// Now is the clock of Status. Nil: time.Now.
	Now func() time.Time
}

// Source keeps a store in step with the API server.
type Source struct {
	options Options
	log     *zap.Logger
	watches flowcontrol.RateLimiter // bounds how often a watch is opened

	mu        sync.Mutex // guards what follows
	loaded    time.Time
	err       error
	class     string    // of err: failures of one class are logged once
	since     time.Time // of the first failure since all was well
	absent    bool      // whether the kind was not installed, when last looked for
	streaming bool      // whether the list comes through the watch that then goes on
}

// New returns a source that reads nothing until it runs.
func New(o Options) *Source {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return &Source{
		options: o,
		log:     o.Log.With(zap.String("source", o.Name)),
		watches: flowcontrol.NewTokenBucketRateLimiter(watchRate, watchBurst),
	}
}

// Run keeps the store in step until the context ends, and returns nil then. It may
// be called once.
func (s *Source) Run(ctx context.Context) error {
	logger := clientLog(s.log)
	ctx = klog.NewContext(ctx, logger)
	pause := backoff()
	reflector := cache.NewReflectorWithOptions(s.listWatch(), s.options.Type, store{s}, cache.ReflectorOptions{
		Name:    s.options.Name,
		Logger:  &logger,
		Backoff: &pause,
	})
	// Not the reflector's own loop: it keeps to itself what fails, and logs all of it.
	delay := pause.DelayWithReset(clock.RealClock{}, backoffReset)
	for {
		err := reflector.ListAndWatchWithContext(ctx)
		if ctx.Err() != nil {
			return nil //nolint:nilerr // what fails at the end is no failure
		}
		next := delay()
		switch {
		case s.options.Absent != nil && apierrors.IsNotFound(err):
			if s.confirmAbsent(ctx, err) {
				next = absentInterval + rand.N(absentInterval/3) //nolint:gosec // spreads load, hides nothing
			}
		case err != nil && !isExpired(err):
			s.fail(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(next):
		}
	}
}

// Status tells when the store was last known to be what the API server has, from a
// list or a change, zero as long as it never was; and what is wrong now: nil if the
// store is listed and watched, or the kind is known not to be installed. A store
// with an error keeps its last state.
func (s *Source) Status() (loaded time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loaded, s.err
}

// fail notes what is wrong.
func (s *Source) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.since = s.options.Now()
	}
	failure := explain(err)
	s.err = fmt.Errorf("%s not in step with the API server since %s: %w", s.options.Name, s.since.UTC().Format(time.RFC3339), failure)
	if class := classOf(err); class != s.class {
		s.class = class
		s.log.Warn("not in step with the API server, the last state stays in force", zap.Bool("synced", !s.loaded.IsZero()), zap.Error(failure))
	}
}

// healthy notes that nothing is wrong.
func (s *Source) healthy() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.recover()
}

// recover is healthy for those who hold the lock.
func (s *Source) recover() {
	if s.err != nil {
		s.log.Info("in step with the API server again", zap.Duration("after", s.options.Now().Sub(s.since)))
	}
	s.err, s.class = nil, ""
}

// confirmAbsent empties the store if the kind of its objects is not installed. If
// that can't be said for sure, the last state stays.
func (s *Source) confirmAbsent(ctx context.Context, notFound error) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	absent, err := s.options.Absent(ctx)
	if absent && err == nil {
		s.empty()
		return true
	}
	s.fail(errors.Join(notFound, err))
	return false
}

// empty empties the store, as the kind of its objects is not installed.
func (s *Source) empty() {
	s.mu.Lock()
	known := s.absent && !s.loaded.IsZero()
	s.mu.Unlock()
	if !known {
		s.options.Store.Replace(nil)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = s.options.Now()
	s.recover()
	if !s.absent {
		s.absent = true
		s.log.Info("kind is not installed on the API server, looking for it from time to time")
	}
}

// store is the Store for the reflector.
type store struct{ *Source }

func (s store) Replace(objects []any, _ string) error {
	s.options.Store.Replace(objects)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = s.options.Now()
	if s.absent {
		s.absent = false
		s.log.Info("kind is installed on the API server now")
	}
	if s.streaming {
		s.recover()
	}
	return nil
}

func (s store) Add(object any) error    { return s.Update(object) }
func (s store) Update(object any) error { s.options.Store.Upsert(object); return s.touch() }
func (s store) Delete(object any) error { s.options.Store.Delete(object); return s.touch() }
func (s store) Resync() error           { return nil }

func (s store) touch() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded = s.options.Now()
	return nil
}
