package file

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Kind is the kind of a file. Its text is the name of the backend.
type Kind string

const (
	// MountedFile is the configuration file of the server: the mappings stand under
	// its key "server", and everything else in it is left alone. It must be there
	// at the start; if it goes away later, its mappings stay.
	MountedFile Kind = "MountedFile"
	// DynamicFile holds the mappings at the top, in JSON or YAML. It may be
	// missing: a file that is not there, or empty, maps nothing.
	DynamicFile Kind = "DynamicFile"
)

const (
	// maxSize bounds the file, in bytes.
	maxSize = 16 << 20
	// pollInterval is how often the file is read without an event, as network
	// filesystems have none.
	pollInterval = 30 * time.Second
	// settle is how long a file is given to be written or replaced, after an event.
	settle = 100 * time.Millisecond
	// still is how long a file that was written a moment ago must stay the same before
	// it is believed. Whoever writes it may pause in the middle.
	still = time.Second
	// maxStill bounds the wait for a file that is written again and again.
	maxStill = 10 * time.Second
	// maxSettle bounds the wait where events don't end.
	maxSettle = time.Second
)

// Options are the options of a Mapper.
type Options struct {
	Kind Kind
	Path string
	// UserIDStrict finds entries of a DynamicFile by their userid, and wants their
	// ARN to match too if they have one: dynamicfileUserIDStrict of the original.
	UserIDStrict bool
	// Logger is told of every load. Nil: nobody is.
	Logger *zap.Logger
	// Poll tells when to read the file without an event. Nil: every 30 seconds.
	Poll <-chan time.Time
	// Now is the clock. Nil: time.Now.
	Now func() time.Time

	still time.Duration // instead of the constant, for tests
}

// Mapper is a mapper.Mapper of the mappings in a file.
type Mapper struct {
	options Options
	log     *zap.Logger
	state   atomic.Pointer[state] // never nil
	loading sync.Mutex            // held by the one that replaces state
	still   time.Duration         // for how long a file written just now must stay the same
}

var _ mapper.Mapper = (*Mapper)(nil)

// state is what was read last. It never changes.
type state struct {
	seen   string          // tells what was read, so that it is parsed and logged once
	doc    mapper.Document // in force
	index  *mapper.Index   // of doc
	status mapper.Status
}

// New reads the file for the first time. It is an error if a MountedFile can't be
// read whole; a DynamicFile that can't be makes a mapper that is not ready.
func New(o Options) (*Mapper, error) {
	if o.Kind != MountedFile && o.Kind != DynamicFile {
		return nil, fmt.Errorf("kind of mapping file %q, want %s or %s", o.Kind, MountedFile, DynamicFile)
	}
	if o.UserIDStrict && o.Kind != DynamicFile {
		return nil, fmt.Errorf("%s can't be strict about user IDs, only %s can", o.Kind, DynamicFile)
	}
	if o.Path == "" {
		return nil, fmt.Errorf("path of the %s is empty", o.Kind)
	}
	path, err := filepath.Abs(o.Path)
	if err != nil {
		return nil, fmt.Errorf("path of the %s: %w", o.Kind, err)
	}
	o.Path = path
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	m := &Mapper{
		options: o,
		still:   cmp.Or(o.still, still),
		log:     o.Logger.With(zap.String("mapper", string(o.Kind)), zap.String("path", o.Path)),
	}
	m.state.Store(&state{})
	if err := m.loadSettled(context.Background()); o.Kind == MountedFile && err != nil {
		return nil, fmt.Errorf("mappings in %s: %w", o.Path, err)
	}
	return m, nil
}

// Name returns the kind of the file.
func (m *Mapper) Name() string { return string(m.options.Kind) }

// Lookup returns the mapping for a principal.
func (m *Mapper) Lookup(id iam.Identity) (*mapper.Mapping, error) {
	s := m.state.Load()
	if err := s.status.Ready(); err != nil {
		return nil, err
	}
	return s.index.Lookup(id)
}

// MapsAccount tells whether the account is in mapAccounts.
func (m *Mapper) MapsAccount(account string) (bool, error) {
	s := m.state.Load()
	if err := s.status.Ready(); err != nil {
		return false, err
	}
	return s.index.MapsAccount(account), nil
}

// Status tells what is in force, and what is wrong with the file.
func (m *Mapper) Status() mapper.Status { return m.state.Load().status }

// Reload reads the file now. It returns nil if what the file says is in force, and
// else Status.Err. A DynamicFile that seems to be gone or empty is given a moment,
// as it may just be being replaced, and a file that was written a moment ago is read
// until it stays the same: half an entry can mean more than the whole of it.
func (m *Mapper) Reload(ctx context.Context) error {
	m.loading.Lock()
	defer m.loading.Unlock()
	return m.loadSettled(ctx)
}

// loadSettled loads the file once it doesn't change any more.
func (m *Mapper) loadSettled(ctx context.Context) error {
	start := time.Now()
	c := read(m.options.Path)
	for {
		pause := m.pause(c)
		if pause == 0 {
			return m.load(c)
		}
		if time.Since(start) > maxStill {
			pause = min(pause, settle) // it never stays the same for longer
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
		last := c
		if c = read(m.options.Path); c.seen == last.seen {
			return m.load(c)
		}
	}
}

// pause returns for how long the file must stay as it was read to be believed.
func (m *Mapper) pause(c content) time.Duration {
	last := m.state.Load()
	switch {
	case c.seen == last.seen:
		return 0
	case c.gone() && last.status.Entries > 0:
		return settle
	case c.info != nil && time.Since(c.info.ModTime()) < m.still: // or in the future
		return m.still
	default:
		return 0
	}
}

// load puts the content in force, as far as it can be, and returns Status.Err.
func (m *Mapper) load(c content) error {
	last := m.state.Load()
	if c.seen == last.seen {
		return last.status.Err
	}
	doc, err := m.parse(c)
	if err == nil && last.status.Loaded.IsZero() {
		// There is no last good state that a broken section could keep.
		err = doc.Err()
	}
	if err != nil {
		next := *last
		next.seen = c.seen
		next.status.Err = err
		m.state.Store(&next)
		m.log.Error("mapping file not loaded, what was loaded before stays in force",
			zap.Int("entries", next.status.Entries), zap.Error(err))
		return err
	}

	doc = doc.OrLast(last.doc)
	newIndex := mapper.NewIndex
	if m.options.UserIDStrict {
		newIndex = mapper.NewIndexByUserID
	}
	index, duplicates := newIndex(doc.Mappings(), doc.Accounts.Accounts)
	status := mapper.Status{
		Entries:  index.Len(),
		Problems: append(doc.Problems(), duplicates...),
		Loaded:   m.options.Now(),
		Err:      doc.Err(),
	}
	m.state.Store(&state{seen: c.seen, doc: doc, index: index, status: status})
	if c.info != nil && c.info.Mode().Perm()&0o002 != 0 {
		m.log.Warn("mapping file is writable by everybody on this machine, who so decide who gets in", zap.Stringer("mode", c.info.Mode()))
	}
	absent := ""
	if c.gone() {
		absent = "mapping file is missing or empty and maps nothing"
	}
	mapper.LogLoad(m.log, status, status.Problems, absent)
	return status.Err
}

// parse parses what was read. An error means that the document as a whole says
// nothing.
func (m *Mapper) parse(c content) (mapper.Document, error) {
	if m.options.Kind == DynamicFile && c.gone() {
		return mapper.Document{}, nil
	}
	if c.err != nil {
		return mapper.Document{}, c.err
	}
	return Parse(m.options.Kind, c.data, mapper.ParseOptions{UserIDStrict: m.options.UserIDStrict})
}

// Parse parses the content of a file. An error means that the document as a whole
// says nothing; those of single sections are in the document.
func Parse(kind Kind, data []byte, o mapper.ParseOptions) (mapper.Document, error) {
	root, err := mapper.ParseYAML(data)
	if err != nil {
		return mapper.Document{}, err
	}
	if kind == MountedFile {
		if root == nil {
			// The whole configuration is gone, which says nothing about mappings.
			return mapper.Document{}, errors.New("the file is empty")
		}
		if root, err = child(root, "server"); err != nil {
			return mapper.Document{}, err
		}
	}
	return parseSections(root, o)
}

// content is what was read of the file.
type content struct {
	data []byte
	info os.FileInfo // nil if there is no such file
	err  error
	seen string // equal if and only if the content is
}

func newContent(info os.FileInfo, data []byte, err error) content {
	if err != nil {
		return content{err: err, seen: "error: " + err.Error()}
	}
	return content{data: data, info: info, seen: fmt.Sprintf("%x", sha256.Sum256(data))}
}
