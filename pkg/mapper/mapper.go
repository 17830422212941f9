package mapper

import (
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// Mapper is one source of mappings. All methods answer from memory, do no I/O and
// may be called from any goroutine.
type Mapper interface {
	// Name is the name of the backend in configuration, logs and metrics:
	// MountedFile, DynamicFile, EKSConfigMap, AccessEntry, CRD.
	Name() string
	// Lookup returns the mapping for a principal. It must return an error wrapping
	// ErrNotMapped if it has none; any other error is final: no later mapper is
	// asked. A mapper that has not read its source yet returns Status.Ready.
	Lookup(id iam.Identity) (*Mapping, error)
	// MapsAccount tells whether every principal of the account gets in under its
	// canonical ARN. An error is final, as for Lookup.
	MapsAccount(account string) (bool, error)
	// Status tells how the mapper is doing.
	Status() Status
}

// ErrNotMapped is returned if there is no mapping for a principal. Its reason code
// is NotMapped.
var ErrNotMapped error = &reason.Error{Code: reason.NotMapped, Detail: "no mapping for the principal"}

// Status is the state of a mapper at one time. It shares its slice with other
// copies: don't write to it.
type Status struct {
	// Entries is the number of mappings and accounts in force.
	Entries int
	// Problems are the entries that were skipped or are doubtful.
	Problems []Problem
	// Loaded is when the mappings in force were read. It is zero as long as the
	// source has not been read once.
	Loaded time.Time
	// Err says why what the source says now is not, or not all, in force. It is
	// nil if the mapper is up to date.
	Err error
}

// Ready returns nil once the source has been read, and else an error with the code
// MapperNotReady. A mapper that holds on to its last good state is ready: see Err.
func (s Status) Ready() error {
	switch {
	case !s.Loaded.IsZero():
		return nil
	case s.Err != nil:
		return reason.New(reason.MapperNotReady, "mappings not read yet: %w", s.Err)
	default:
		return reason.New(reason.MapperNotReady, "mappings not read yet")
	}
}
