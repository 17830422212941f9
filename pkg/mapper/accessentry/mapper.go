package accessentry

import (
	"context"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
)

// Name is the name of the backend.
const Name = "AccessEntry"

const resource = "accessentries"

// Options are the options of a Mapper.
type Options struct {
	// Config leads to the API server. Its identity should be allowed to get, list
	// and watch accessentries and to patch accessentries/status; without the latter
	// only the status is missing.
	Config *rest.Config
	// Log is told of entries that are not in force, and of the state of the
	// connection. Nil: nobody is.
	Log *zap.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Mapper is a mapper.Mapper of AccessEntry objects. It is ready and empty if their
// kind is not installed.
type Mapper struct {
	*objects.Mapper
	reporter *reporter
}

var _ mapper.Mapper = (*Mapper)(nil)

// New returns a mapper that reads nothing until it runs.
func New(o Options) (*Mapper, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	log := o.Log.With(zap.String("mapper", Name))
	client, err := objects.NewClient(o.Config, v1alpha1.SchemeGroupVersion.WithKind(kind), resource)
	if err != nil {
		return nil, err
	}
	reporter := newReporter(client.ApplyStatus, log, o.Now)
	return &Mapper{
		Mapper: objects.NewMapper(objects.Options{
			Name:     Name,
			Resource: resource,
			Client:   client,
			Store:    reporter.store,
			Log:      log,
			Now:      o.Now,
		}),
		reporter: reporter,
	}, nil
}

// Run follows the entries and reports on them until the context ends, and returns
// nil then.
func (m *Mapper) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return m.Mapper.Run(ctx) })
	g.Go(func() error { return m.reporter.run(ctx) })
	return g.Wait()
}
