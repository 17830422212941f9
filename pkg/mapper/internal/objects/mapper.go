package objects

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/source"
)

// Options are the options of a Mapper.
type Options struct {
	Name     string // of the backend
	Resource string // the objects in logs and errors, such as "accessentries"
	// Client reads the objects.
	Client *Client
	Store  *Store
	Log    *zap.Logger
	Now    func() time.Time // nil: time.Now
}

// Mapper is a mapper.Mapper of objects on the API server. A kind that is not
// installed has no objects.
type Mapper struct {
	name   string
	store  *Store
	source *source.Source
}

var _ mapper.Mapper = (*Mapper)(nil)

// NewMapper returns a mapper that reads nothing until it runs.
func NewMapper(o Options) *Mapper {
	return &Mapper{name: o.Name, store: o.Store, source: source.New(source.Options{
		Name:      o.Resource,
		ListWatch: o.Client.ListWatch(),
		Type:      &Object{},
		Store:     o.Store,
		Absent:    o.Client.Absent,
		Log:       o.Log,
		Now:       o.Now,
	})}
}

// Run follows the objects until the context ends, and returns nil then.
func (m *Mapper) Run(ctx context.Context) error { return m.source.Run(ctx) }

// Name returns the name of the backend.
func (m *Mapper) Name() string { return m.name }

// Lookup returns the mapping for a principal.
func (m *Mapper) Lookup(id iam.Identity) (*mapper.Mapping, error) {
	if err := m.ready(); err != nil {
		return nil, err
	}
	return m.store.Lookup(id.MapKey)
}

// MapsAccount returns false: objects name principals.
func (m *Mapper) MapsAccount(string) (bool, error) { return false, m.ready() }

func (m *Mapper) ready() error {
	if m.store.Loaded() {
		return nil
	}
	// Not m.Status, which would wait for a list that is just being taken over.
	loaded, err := m.source.Status()
	return mapper.Status{Loaded: loaded, Err: err}.Ready()
}

// Status tells how many objects are in force, and what is wrong with the others.
func (m *Mapper) Status() mapper.Status {
	s := mapper.Status{}
	s.Loaded, s.Err = m.source.Status()
	s.Entries, s.Problems = m.store.Status()
	return s
}
