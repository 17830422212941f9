// Package health follows how the endpoints of STS do, and says when not to ask one.
//
// What is sent to STS is the callers' choice, so a call that fails proves nothing:
// a poisonous request must not close an endpoint for everybody. Calls in trouble
// only raise a suspicion, and a probe, which is a request of our own, decides:
//
//	Unproven ──answer──▶ Up
//	Unproven, Up ──suspicion, then no answer to probes──▶ Down ──answer──▶ Up
//	any ──no call for ten minutes──▶ Unproven
//
// An answer is an answer, whoever asked: one to a call clears a suspicion, or brings
// a host up, as one to a probe does.
package health

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Options are the options of a Monitor.
type Options struct {
	// Hosts are all hosts there are. To name any other is a programming error, on
	// which the methods of Monitor panic.
	Hosts []string
	// Warm are hosts that count as used from the start, and for good.
	Warm []string
	// Probe sends a host a request that depends on no caller, and returns nil if the
	// host answered as STS does, whether or not it liked the request. It must end soon
	// after its context. Its errors are shown to operators as they are.
	Probe func(ctx context.Context, host string) error
	// Timeout bounds a probe, and is what the bound of a call to STS is: above zero.
	Timeout time.Duration
	// Changed, if set, is told of every change of a State, in order, one at a time, by
	// Run. A slow one holds up nothing but the next.
	Changed func(Status)
}

// Monitor knows how hosts do. It is safe for concurrent use. Check, Down, Proven and
// Begin cost a lock of the host and no more, whatever the number of hosts and calls.
type Monitor struct {
	hosts   map[string]*host // never changes
	changes *changes
}

// New returns a Monitor of hosts that are all Unproven. Nothing is probed before Run.
func New(o Options) *Monitor {
	if o.Probe == nil || o.Timeout <= 0 {
		panic(fmt.Sprintf("health: no probe, or a timeout of %s, want one above zero", o.Timeout))
	}
	m := &Monitor{hosts: make(map[string]*host, len(o.Hosts)), changes: newChanges(o.Changed)}
	for _, name := range o.Hosts {
		m.hosts[name] = newHost(name, o.Probe, o.Timeout, m.changes)
	}
	for _, name := range o.Warm {
		m.host(name).warm = true
	}
	return m
}

// Run probes until the context ends, and returns nil once all it started has ended.
// Without Run no host ever goes down; after it, none changes but by answers to calls.
// It may be called once.
func (m *Monitor) Run(ctx context.Context) error {
	var group sync.WaitGroup
	for _, h := range m.hosts {
		group.Go(func() { h.follow(ctx) })
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-m.changes.came:
			m.changes.deliver()
		}
	}
	group.Wait()
	m.changes.deliver()
	return nil
}

// Check returns nil, or a *DownError if the host is down. To ask for a host that is
// down counts as use, as Begin does: a host must not be forgotten in an outage because
// nobody gets as far as to call it.
func (m *Monitor) Check(host string) error { return m.host(host).check() }

// Down returns a channel that is closed if the host is down, or as soon as it goes
// down. It stays closed when the host comes up: ask again for each call.
func (m *Monitor) Down(host string) <-chan struct{} { return m.host(host).downChannel() }

// Proven tells whether the host has answered since it was first used, or used again
// after it was forgotten, and is not down.
func (m *Monitor) Proven(host string) bool { return m.host(host).proven() }

// Begin notes that a call to the host starts. The caller calls end exactly once: with
// nil if the host answered as STS does, refusals and throttling included, or with
// what went wrong.
func (m *Monitor) Begin(host string) (end func(err error)) {
	h := m.host(host)
	start := h.call()
	return func(err error) { h.end(start, err) }
}

// Statuses returns how the hosts in use do, sorted by name: those called in the last
// ten minutes and those of Options.Warm.
func (m *Monitor) Statuses() []Status {
	var list []Status
	for _, h := range m.hosts {
		if s, ok := h.inUse(); ok {
			list = append(list, s)
		}
	}
	slices.SortFunc(list, func(a, b Status) int { return strings.Compare(a.Host, b.Host) })
	return list
}

func (m *Monitor) host(name string) *host {
	h, ok := m.hosts[name]
	if !ok {
		panic(fmt.Sprintf("health: %q is not one of the %d hosts of the monitor", name, len(m.hosts)))
	}
	return h
}
