package gate

import (
	"fmt"
	"slices"
	"time"
)

// Cause names the bound that a request has met. The set is fixed, so that it can
// label a metric.
type Cause string

// The causes.
const (
	CauseCalls     Cause = "calls"     // Calls, or the share of them that unknown keys get
	CauseRate      Cause = "rate"      // Rate, of which unknown keys leave half a burst to others
	CauseHost      Cause = "host"      // HostCalls, or the share of them that unknown keys get
	CauseHostRate  Cause = "host_rate" // what is left of Rate to a host that throttles
	CauseTrial     Cause = "trial"     // TrialCalls, or 4 to one host
	CauseKey       Cause = "key"       // KeyCalls
	CauseKeyRate   Cause = "key_rate"  // KeyRate
	CauseQueue     Cause = "queue"     // Queue, or the half of it that unknown keys get
	CauseKeyQueue  Cause = "key_queue" // KeyQueue
	CauseThrottled Cause = "throttled" // STS throttles the account of the key
)

var causes = [...]Cause{
	CauseCalls, CauseRate, CauseHost, CauseHostRate, CauseTrial,
	CauseKey, CauseKeyRate, CauseQueue, CauseKeyQueue, CauseThrottled,
}

// Causes returns every cause.
func Causes() []Cause {
	return slices.Clone(causes[:])
}

// Shed is the error of a request that was not let in.
type Shed struct {
	Cause Cause
	After time.Duration // when to try again; 0: soon

	limit float64 // of the bound
}

// Error says in words which bound was met. It does not name the key.
func (s *Shed) Error() string {
	text := s.text()
	if s.After > 0 {
		text += fmt.Sprintf("; try again in %v", s.After.Round(time.Millisecond))
	}
	return text
}

func (s *Shed) text() string {
	switch s.Cause {
	case CauseCalls:
		return fmt.Sprintf("all %.0f calls to STS that the request may use are in flight", s.limit)
	case CauseRate:
		return fmt.Sprintf("STS is asked %.4g times per second already, which is the most allowed", s.limit)
	case CauseHost:
		return fmt.Sprintf("all %.0f calls to this STS endpoint that the request may use are in flight", s.limit)
	case CauseHostRate:
		return fmt.Sprintf("this STS endpoint throttles and is asked no more than %.4g times per second", s.limit)
	case CauseTrial:
		return fmt.Sprintf("all %.0f calls to STS endpoints that have not answered so far are in flight", s.limit)
	case CauseKey:
		return fmt.Sprintf("all %.0f calls to STS with this access key are in flight", s.limit)
	case CauseKeyRate:
		return fmt.Sprintf("STS is asked %.4g times per second with this access key already, which is the most allowed", s.limit)
	case CauseQueue:
		return fmt.Sprintf("%.0f requests wait for STS already, which is the most allowed", s.limit)
	case CauseKeyQueue:
		return fmt.Sprintf("%.0f requests with this access key wait for STS already, which is the most allowed", s.limit)
	case CauseThrottled:
		return "STS throttles the account of this access key"
	default:
		return fmt.Sprintf("not let in: %s", string(s.Cause))
	}
}
