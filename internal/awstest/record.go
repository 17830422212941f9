package awstest

import (
	"maps"
	"net/http"
	"slices"
	"sync"
)

// maxRequests is how many of the last requests are remembered, and maxActions
// of how many different actions the calls are counted.
const (
	maxRequests = 64
	maxActions  = 64
)

// Request is what arrived of one request.
type Request struct {
	Action   string // as claimed
	Method   string
	Host     string // the Host header
	Path     string // escaped, as sent
	RawQuery string
	Header   http.Header // without Host
}

// HeaderNames returns the names of the headers sent, sorted.
func (r Request) HeaderNames() []string { return slices.Sorted(maps.Keys(r.Header)) }

// Calls returns how many requests arrived for an action, or in all if it is
// empty. Refused requests and those that suffered a fault count too.
func (s *STS) Calls(action string) int {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	if action == "" {
		return s.record.total
	}
	return s.record.byAction[action]
}

// Requests returns the last requests that arrived, at most 64, oldest first.
func (s *STS) Requests() []Request {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	n := s.record.next
	if len(s.record.last) < maxRequests {
		n = 0
	}
	return slices.Concat(s.record.last[n:], s.record.last[:n])
}

// Forget sets the counters to zero and forgets the last requests.
func (s *STS) Forget() {
	s.record.mu.Lock()
	defer s.record.mu.Unlock()
	s.record.total, s.record.byAction, s.record.last, s.record.next = 0, nil, nil, 0
}

// recorder counts requests and keeps the last of them in a ring.
type recorder struct {
	mu       sync.Mutex
	total    int
	byAction map[string]int
	last     []Request
	next     int // where the ring is written next
}

func (c *recorder) add(r *http.Request, action string) {
	req := Request{
		Action: action, Method: r.Method, Host: r.Host,
		Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header.Clone(),
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total++
	if c.byAction == nil {
		c.byAction = make(map[string]int)
	}
	if _, known := c.byAction[action]; known || len(c.byAction) < maxActions {
		c.byAction[action]++
	}
	if len(c.last) < maxRequests {
		c.last = append(c.last, req)
	} else {
		c.last[c.next] = req
	}
	c.next = (c.next + 1) % maxRequests
}
