package access

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/backend"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Undecided is the code of what could not be found out. It is none of the server's
// codes, whose outcome for what they don't know is Unavailable.
const Undecided reason.Code = "Undecided"

// Options say what to read. Server and Make are required.
type Options struct {
	// Server is the completed configuration of the server.
	Server config.Server
	// ConfigFile is where the mappings of the backend MountedFile are.
	ConfigFile string
	// Cluster has the objects of the sources in the cluster.
	Cluster *Cluster
	// Make makes the server's mapper of a backend. The way to the API server, for
	// sources in the cluster, leads to what was read of it.
	Make func(backend string, cluster *rest.Config) (backend.Runner, error)
	// Chain are the options of the server's chain.
	Chain mapper.ChainOptions
	// Patience bounds the time until what was read is in force. Default 10 seconds.
	Patience time.Duration
}

// Sources are the sources of mappings, read once, in the order in which they decide.
type Sources struct {
	partition string
	list      []*source
	chain     mapper.ChainOptions
	admins    []string // groups that are bound to cluster-admin; nil: not known
	warnings  []string
}

// source is one source of mappings.
type source struct {
	mapper.Mapper
	origin   string // where it stands, for people
	byUserID bool   // whether it finds entries by unique ID alone
	entries  []*entry
	problems []mapper.Problem // of none of the entries
}

// Read reads the sources that the configuration names. A source in the cluster that
// can't be read is left as one that is not ready, as its login would be.
func Read(ctx context.Context, o Options) (*Sources, error) {
	r := reader{Options: o, ctx: ctx, objects: map[string]objects{}}
	var first []mapper.Mapper
	if len(o.Server.BootstrapAdmin) > 0 {
		admin, err := mapper.NewBootstrapAdmin(o.Server.BootstrapAdmin, time.Now())
		if err != nil {
			return nil, fmt.Errorf("server.bootstrapAdmin: %w", err)
		}
		first = append(first, admin)
	}
	set, err := backend.New(backend.Options{
		Modes: o.Server.BackendMode, First: first, Make: r.make, Chain: o.Chain,
		ModeFile: o.Server.DynamicBackendModePath, CheckModes: o.Server.CheckBackends, Log: zap.NewNop(),
	})
	if err != nil {
		return nil, err
	}
	r.settle()
	s := &Sources{partition: o.Server.Partition, chain: o.Chain}
	if err := set.ModeFileErr(); err != nil {
		s.warnings = append(s.warnings, err.Error())
	}
	for _, m := range set.Mappers() {
		s.list = append(s.list, r.source(m))
	}
	for _, given := range []struct {
		backend string
		files   bool
	}{{config.BackendEKSConfigMap, o.Cluster.AWSAuth != ""}, {config.BackendAccessEntry, len(o.Cluster.AccessEntries) > 0}} {
		if given.files && !slices.Contains(set.Modes(), given.backend) {
			return nil, fmt.Errorf("the configuration does not read %s, for which files are given: it reads %v", given.backend, set.Modes())
		}
	}
	if o.Cluster.live() && !r.unread { // else it would just fail once more
		admins, err := o.Cluster.adminGroups(ctx)
		if err != nil {
			s.warnings = append(s.warnings, fmt.Sprintf("groups bound to cluster-admin are not known: %v", err))
		}
		s.admins = admins
	}
	return s, ctx.Err()
}

// reader makes the mappers for Read.
type reader struct {
	Options
	ctx     context.Context
	objects map[string]objects // what was read of the cluster, by backend
	pending []backend.Runner   // those to which it has to be replayed
	unread  bool               // whether something could not be read
}

func (r *reader) make(name string) (backend.Runner, error) {
	if _, ok := kinds[name]; !ok {
		return r.Make(name, nil)
	}
	objects, unreadable := r.Cluster.read(r.ctx, name)
	if e, ok := errors.AsType[*connectError](unreadable); ok {
		return nil, e // which is a mistake of whoever asks
	}
	if unreadable != nil {
		r.unread = true
		return &unread{name, unreadable}, nil //nolint:nilerr // it says so whenever it is asked
	}
	r.objects[name] = objects
	cluster, err := objects.config()
	if err != nil {
		return nil, err
	}
	m, err := r.Make(name, cluster)
	if err == nil {
		r.pending = append(r.pending, m)
	}
	return m, err
}

// settle runs the mappers until what was read is in force.
func (r *reader) settle() {
	patience := r.Patience
	if patience <= 0 {
		patience = 10 * time.Second
	}
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	group, ctx := errgroup.WithContext(ctx)
	for _, m := range r.pending {
		group.Go(func() error { return m.Run(ctx) })
	}
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for slices.ContainsFunc(r.pending, func(m backend.Runner) bool { return m.Status().Ready() != nil }) {
		select {
		case <-ctx.Done():
			// What is not ready says so when it is asked.
			_ = group.Wait()
			return
		case <-ticker.C:
		}
	}
	cancel()
	_ = group.Wait() // mappers end without an error with their context
}

// unread is a source that could not be read.
type unread struct {
	name string
	err  error
}

func (u *unread) Name() string { return u.name }
func (u *unread) Lookup(iam.Identity) (*mapper.Mapping, error) {
	return nil, reason.New(Undecided, "it could not be read: %w", u.err)
}
func (u *unread) MapsAccount(string) (bool, error) {
	return false, reason.New(Undecided, "it could not be read: %w", u.err)
}
func (u *unread) Status() mapper.Status         { return mapper.Status{Err: u.err} }
func (u *unread) Run(ctx context.Context) error { <-ctx.Done(); return nil }

// Err returns why sources, or parts of them, could not be read, or nil if all could.
func (s *Sources) Err() error {
	var errs []error
	for _, source := range s.list {
		status := source.Status()
		if err := cmp.Or(status.Err, status.Ready()); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", source.Name(), err))
		}
	}
	if len(errs) == 0 {
		return nil
	}
	return reason.New(Undecided, "not every source could be read: %w", errors.Join(errs...))
}

// Warnings returns what could not be found out besides, for people.
func (s *Sources) Warnings() []string { return s.warnings }
