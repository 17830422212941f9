package configmap

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Where the mappings are, as on EKS.
const (
	Namespace = "kube-system"
	Name      = "aws-auth"
)

// Backend is the name of the mapper.
const Backend = "EKSConfigMap"

// Options are the options of a Mapper.
type Options struct {
	// Config says how to reach the API server. Required.
	Config *rest.Config
	// Log is told of every change. Nil: nobody is.
	Log *zap.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Mapper is a mapper.Mapper of the mappings in kube-system/aws-auth.
type Mapper struct {
	log    *zap.Logger
	now    func() time.Time
	source *source.Source
	events *recorder
	state  atomic.Pointer[state] // never nil; replaced by the source only
}

var _ mapper.Mapper = (*Mapper)(nil)

// state is what was read last. It never changes.
type state struct {
	seen   digest          // of the data
	doc    mapper.Document // in force
	index  *mapper.Index   // of doc
	status mapper.Status   // as far as it depends on what was read

	// Sections that could be read once. Whom the others map is not known: these
	// errors take the place of a no that they would have to confirm.
	read                             sections
	unknownMappings, unknownAccounts error
}

// sections tells something of each section.
type sections struct{ roles, users, accounts bool }

// New returns a mapper that is not ready before it runs.
func New(o Options) (*Mapper, error) {
	if o.Config == nil {
		return nil, fmt.Errorf("no way to reach the API server is configured, the mapper %s needs one", Backend)
	}
	client, err := newClient(o.Config)
	if err != nil {
		return nil, fmt.Errorf("client for %s/%s: %w", Namespace, Name, err)
	}
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	log := o.Log.With(zap.String("mapper", Backend))
	m := &Mapper{log: log, now: o.Now, events: newRecorder(client, log, o.Now)}
	m.state.Store(&state{})
	m.source = source.New(source.Options{
		Name:      Namespace + "/" + Name,
		ListWatch: listWatch(client),
		Type:      &corev1.ConfigMap{},
		Store:     store{m},
		Log:       log,
		Now:       o.Now,
	})
	return m, nil
}

// Run follows the ConfigMap until the context ends, and returns nil then. It may be
// called once.
func (m *Mapper) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.source.Run(ctx) })
	group.Go(func() error { m.events.run(ctx); return nil })
	return group.Wait()
}

// Name returns Backend.
func (m *Mapper) Name() string { return Backend }

// Lookup returns the mapping for a principal. While mapRoles or mapUsers could never
// be read, who is not in the other one may be in it, and the answer is that the
// mapper is not ready.
func (m *Mapper) Lookup(id iam.Identity) (*mapper.Mapping, error) {
	s := m.state.Load()
	if s.status.Loaded.IsZero() {
		return nil, m.status(s).Ready()
	}
	mapping, err := s.index.Lookup(id)
	if s.unknownMappings == nil {
		return mapping, err
	}
	// As long as a section was never read, nobody knows what it says of a principal
	// that the other one maps, and it may go before that. Sure are roles that mapRoles
	// names by ARN, which goes before everything, and users that mapUsers names, who
	// belong there.
	if kind := mapping.PrincipalKind(); err == nil && (s.read.roles && kind != 0 || s.read.users && kind != 0 && kind != iam.Role) {
		return mapping, nil
	}
	return nil, s.unknownMappings
}

// MapsAccount tells whether the account is in mapAccounts.
func (m *Mapper) MapsAccount(account string) (bool, error) {
	s := m.state.Load()
	if s.status.Loaded.IsZero() {
		return false, m.status(s).Ready()
	}
	return s.index.MapsAccount(account), s.unknownAccounts
}

// Status tells what is in force, and what is wrong with the ConfigMap or with the
// connection to it. Loaded is when the data last changed.
func (m *Mapper) Status() mapper.Status { return m.status(m.state.Load()) }

func (m *Mapper) status(s *state) mapper.Status {
	status := s.status
	_, err := m.source.Status()
	status.Err = errors.Join(err, status.Err)
	return status
}

// store takes the ConfigMap from the source.
type store struct{ *Mapper }

func (s store) Replace(objects []any) {
	for _, o := range objects {
		if isOurs(o) {
			s.Upsert(o)
			return
		}
	}
	s.load(nil)
}

func (s store) Upsert(object any) {
	if isOurs(object) {
		s.load(object.(*corev1.ConfigMap))
	}
}

func (s store) Delete(object any) {
	if isOurs(object) {
		s.load(nil)
	}
}

// isOurs makes sure that only one ConfigMap ever maps anybody, whatever becomes of
// the field selector on its way.
func isOurs(object any) bool {
	cm, ok := object.(*corev1.ConfigMap)
	return ok && cm.Namespace == Namespace && cm.Name == Name
}

// load puts what the ConfigMap says in force, as far as it can be read. Nil: there
// is none, and it maps nobody. Nothing of the object is kept.
func (m *Mapper) load(cm *corev1.ConfigMap) {
	last := m.state.Load()
	seen := digestOf(cm)
	if seen == last.seen {
		return
	}
	said, unknownKeys := parse(cm)
	doc := said.OrLast(last.doc)
	index, duplicates := mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
	next := &state{
		seen:  seen,
		doc:   doc,
		index: index,
		status: mapper.Status{
			Entries:  index.Len(),
			Problems: worstFirst(unknownKeys, doc.Problems(), duplicates),
			Loaded:   m.now(),
			Err:      doc.Err(),
		},
		read: sections{
			roles:    last.read.roles || said.Roles.Err == nil,
			users:    last.read.users || said.Users.Err == nil,
			accounts: last.read.accounts || said.Accounts.Err == nil,
		},
	}
	next.findUnknown()
	m.state.Store(next)

	// The problems of a section that stays as it was have been told.
	problems := worstFirst(unknownKeys, said.Problems(), duplicates)
	absent := ""
	if cm == nil {
		absent = "there is no ConfigMap " + Namespace + "/" + Name + ", it maps nobody"
	}
	mapper.LogLoad(m.log, next.status, problems, absent)
	m.events.record(cm, said, problems)
}

// findUnknown sets the errors for sections that could never be read.
func (s *state) findUnknown() {
	var mappings, accounts error
	if !s.read.roles {
		mappings = s.doc.Roles.Err
	}
	if !s.read.users {
		mappings = errors.Join(mappings, s.doc.Users.Err)
	}
	if !s.read.accounts {
		accounts = s.doc.Accounts.Err
	}
	notRead := func(err error) error {
		if err == nil {
			return nil
		}
		return reason.New(reason.MapperNotReady, "mappings never read: %w", err)
	}
	s.unknownMappings, s.unknownAccounts = notRead(mappings), notRead(accounts)
}
