package health

import (
	"fmt"
	"time"
)

// State is what is known of a host.
type State int

// The states of a host.
const (
	// Unproven: the host has not answered yet, and nothing says that it would not.
	Unproven State = iota
	// Up: the host has answered.
	Up
	// Down: the host does not answer probes, and should not be called.
	Down
)

// String returns "unproven", "up" or "down".
func (s State) String() string {
	switch s {
	case Unproven:
		return "unproven"
	case Up:
		return "up"
	case Down:
		return "down"
	default:
		return fmt.Sprintf("State(%d)", int(s))
	}
}

// Status is how a host does.
type Status struct {
	Host  string
	State State
	// Since is when State became what it is.
	Since time.Time
	// Err is the error of the last probe, if the host has not answered since.
	Err error
	// LastAnswer is when the host last answered, zero if it never did.
	LastAnswer time.Time
	// Latency is how long that answer took.
	Latency time.Duration
}

// DownError says that a host is down. It holds nothing secret.
type DownError struct {
	Host  string
	Since time.Time
	Err   error // of the last probe
}

func (e *DownError) Error() string {
	return fmt.Sprintf("%s is down since %s and is being probed, the last probe failed: %s", e.Host, e.Since.UTC().Format(time.RFC3339), e.Err)
}

// Unwrap returns the error of the last probe.
func (e *DownError) Unwrap() error { return e.Err }
