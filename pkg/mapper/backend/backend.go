// Package backend runs the mappers that the backend modes name, and switches
// between them while the server runs.
package backend

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// Runner is a mapper that follows its source while it runs.
type Runner interface {
	mapper.Mapper
	// Run blocks until the context ends, and returns nil then.
	Run(ctx context.Context) error
}

// Options configures a Set. Modes, Make and Log are required.
type Options struct {
	// Modes are the names of the backends, in order.
	Modes []string
	// First are mappers that always come first and need no running.
	First []mapper.Mapper
	// Make makes the mapper of a backend. It is called once for each name.
	Make func(name string) (Runner, error)
	// Chain are the options of the chain.
	Chain mapper.ChainOptions
	// ModeFile, if set, is a file that names other modes while it is there: see
	// ParseModeFile.
	ModeFile string
	// CheckModes returns the modes that the file names in their proper spelling.
	CheckModes func(modes []string) ([]string, error)
	// Poll tells when to look at ModeFile. Default: every second.
	Poll <-chan time.Time
	Log  *zap.Logger
}

// Set is the mappers in use and the chain that asks them. It is safe for concurrent
// use.
type Set struct {
	options Options
	current atomic.Pointer[inUse] // never nil

	mu      sync.Mutex
	made    map[string]Runner // by name, also those that are not in use now
	pending []Runner          // made, but not running yet
	modeErr error             // why the mode file is not in force

	missed int // how often in a row the mode file was not there; for followOnce only
}

// inUse is what the modes of the moment name. It never changes.
type inUse struct {
	modes   []string
	mappers []mapper.Mapper
	chain   *mapper.Chain
}

// New makes the mappers of the configured modes.
func New(o Options) (*Set, error) {
	s := &Set{options: o, made: map[string]Runner{}}
	if err := s.use(o.Modes); err != nil {
		return nil, err
	}
	s.followOnce()
	return s, nil
}

// Map asks the chain of the moment: see mapper.Chain.
func (s *Set) Map(ctx context.Context, id iam.Identity) (mapper.User, error) {
	return s.current.Load().chain.Map(ctx, id)
}

// Knows tells whether the mappers in use have anything to say about an identity: see
// mapper.Chain.
func (s *Set) Knows(id iam.Identity) bool { return s.current.Load().chain.Knows(id) }

// Mappers returns the mappers in use, in order.
func (s *Set) Mappers() []mapper.Mapper { return s.current.Load().mappers }

// Modes returns the names of the backends in use, in order.
func (s *Set) Modes() []string { return slices.Clone(s.current.Load().modes) }

// ModeFileErr says why the mode file is not in force, if it is there and isn't.
func (s *Set) ModeFileErr() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.modeErr
}

// Run runs the mappers and follows the mode file until the context ends.
func (s *Set) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	start := func() {
		for _, m := range s.takePending() {
			group.Go(func() error { return m.Run(ctx) })
		}
	}
	start()
	if s.options.ModeFile == "" {
		return group.Wait()
	}
	poll := s.options.Poll
	if poll == nil {
		ticker := time.NewTicker(time.Second)
		defer ticker.Stop()
		poll = ticker.C
	}
	group.Go(func() error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-poll:
				s.followOnce()
				start()
			}
		}
	})
	return group.Wait()
}

func (s *Set) takePending() []Runner {
	s.mu.Lock()
	defer s.mu.Unlock()
	pending := s.pending
	s.pending = nil
	return pending
}

// use puts the named backends in use. If one can't be made nothing changes. Those
// that are no longer named run on, to be at hand when they are named again.
func (s *Set) use(modes []string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	made := map[string]Runner{}
	mappers := slices.Clone(s.options.First)
	for _, name := range modes {
		m, ok := s.made[name]
		if !ok {
			var err error
			if m, err = s.options.Make(name); err != nil {
				return fmt.Errorf("backend %s: %w", name, err)
			}
			made[name] = m
		}
		mappers = append(mappers, m)
	}
	for name, m := range made {
		s.made[name] = m
		s.pending = append(s.pending, m)
	}
	s.current.Store(&inUse{modes: slices.Clone(modes), mappers: mappers, chain: mapper.NewChain(mappers, s.options.Chain)})
	return nil
}

// followOnce reads the mode file and does as it says. What can't be understood
// leaves the modes as they are.
func (s *Set) followOnce() {
	if s.options.ModeFile == "" {
		return
	}
	modes, err := readModeFile(s.options.ModeFile)
	switch {
	case err != nil:
		s.missed = 0
	case modes == nil:
		// Being replaced, it may be gone for a moment: that counts when it is seen twice.
		if s.missed++; s.missed == 1 {
			return
		}
		modes = s.options.Modes
	default:
		s.missed = 0
		modes, err = s.options.CheckModes(modes)
	}
	if before := s.current.Load().modes; err == nil && !slices.Equal(modes, before) {
		if err = s.use(modes); err == nil {
			s.options.Log.Warn("backend modes switched", zap.Strings("from", before), zap.Strings("to", modes), zap.String("path", s.options.ModeFile))
		}
	}
	if err != nil {
		err = fmt.Errorf("backend mode file %s: %w", s.options.ModeFile, err)
	}
	if last := s.ModeFileErr(); err != nil && (last == nil || last.Error() != err.Error()) {
		s.options.Log.Error("backend modes not switched, those before stay", zap.Error(err), zap.Strings("modes", s.Modes()))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.modeErr = err
}
