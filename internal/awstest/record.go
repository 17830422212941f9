package awstest

import (
	"maps"
	"net/http"
	"net/url"
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
	Params   url.Values  // of the action, from the query or the form; none of EKS
}

// HeaderNames returns the names of the headers sent, sorted.
func (r Request) HeaderNames() []string { return slices.Sorted(maps.Keys(r.Header)) }

// record is the part of a service that counts requests and keeps the last of them in a ring.
type record struct {
	mu       sync.Mutex
	total    int
	byAction map[string]int
	last     []Request
	next     int // where the ring is written next
}

// Calls returns how many requests arrived for an action, or in all if it is
// empty. Refused requests and those that suffered a fault count too.
func (c *record) Calls(action string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if action == "" {
		return c.total
	}
	return c.byAction[action]
}

// Requests returns the last requests that arrived, at most 64, oldest first.
func (c *record) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.next
	if len(c.last) < maxRequests {
		n = 0
	}
	return slices.Concat(c.last[n:], c.last[:n])
}

// Forget sets the counters to zero and forgets the last requests.
func (c *record) Forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.total, c.byAction, c.last, c.next = 0, nil, nil, 0
}

func (c *record) add(r *http.Request, action string, params url.Values) {
	req := Request{
		Action: action, Method: r.Method, Host: r.Host,
		Path: r.URL.EscapedPath(), RawQuery: r.URL.RawQuery, Header: r.Header.Clone(), Params: params,
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
