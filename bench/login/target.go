package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"time"
)

// target is a server to measure, in a process of its own.
type target struct {
	name    string
	process *process
	address string
	tls     *tls.Config
}

func newTarget(name string, p *process, hello greeting) (*target, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(hello.CA) {
		p.stop()
		return nil, fmt.Errorf("%s: no certificate in its PEM", name)
	}
	return &target{name, p, hello.Address, &tls.Config{RootCAs: roots, ServerName: "localhost"}}, nil
}

// protocol is how logins are sent, and over how many connections.
type protocol struct {
	name        string
	alpn        string
	connections int
	workers     int // logins at once; each connection of HTTP/1.1 takes one
}

// inFlight is how many logins are on their way when a server is to show all that it can do: enough that it never
// waits, and no more.
const inFlight = 32

var (
	overHTTP2 = protocol{"HTTP/2, one connection", "h2", 1, inFlight}
	overHTTP1 = protocol{fmt.Sprintf("HTTP/1.1, %d connections", inFlight), "http/1.1", inFlight, inFlight}
)

// atOnce is HTTP/2 for more logins at once.
func atOnce(workers int) protocol {
	p := overHTTP2
	p.workers = workers
	return p
}

// connect opens the connections. Whatever is called over them must end until the deadline.
func (t *target) connect(ctx context.Context, p protocol, deadline time.Time) ([]client, error) {
	config := t.tls.Clone()
	config.NextProtos = []string{p.alpn}
	dialer := tls.Dialer{Config: config, NetDialer: &net.Dialer{Timeout: 5 * time.Second}}
	var clients []client
	for range p.connections {
		conn, err := dialer.DialContext(ctx, "tcp", t.address)
		if err == nil {
			err = conn.SetDeadline(deadline)
		}
		var cl client
		if err == nil && p.alpn == "h2" {
			cl, err = newHTTP2(conn.(*tls.Conn))
		} else if err == nil {
			cl = newHTTP1(conn.(*tls.Conn))
		}
		if err != nil {
			closeAll(clients)
			return nil, fmt.Errorf("%s, %s: %w", t.name, p.name, err)
		}
		clients = append(clients, cl)
	}
	return clients, nil
}

func closeAll(clients []client) {
	for _, cl := range clients {
		cl.close()
	}
}

// patience is how much longer than planned a load may take. A server decides every login within 9 seconds.
const patience = 20 * time.Second

// load opens connections, has logins made, and returns how long the server has used the processor meanwhile.
func (t *target) load(ctx context.Context, p protocol, planned time.Duration, loop func([]client) error) (time.Duration, error) {
	clients, err := t.connect(ctx, p, time.Now().Add(planned+patience))
	if err != nil {
		return 0, err
	}
	defer closeAll(clients)
	before, err := t.process.cpu()
	if err != nil {
		return 0, err
	}
	if err := loop(clients); err != nil {
		select {
		case <-t.process.ended:
			err = errors.Join(err, fmt.Errorf("%s ended: %v", t.name, t.process.err))
		default:
		}
		return 0, fmt.Errorf("%s, %s: %w", t.name, p.name, err)
	}
	after, err := t.process.cpu()
	return after - before, err
}

// saturate measures how many logins the server can take.
func (t *target) saturate(ctx context.Context, p protocol, duration time.Duration, from source) (cpu time.Duration, err error) {
	return t.load(ctx, p, duration, func(clients []client) error {
		return closedLoop(ctx, clients, p.workers, duration, from)
	})
}

// atRate measures how long logins take at a rate per second.
func (t *target) atRate(ctx context.Context, p protocol, rate float64, duration time.Duration, from source) (cpu time.Duration, err error) {
	return t.load(ctx, p, duration, func(clients []client) error {
		return openLoop(ctx, clients, p.workers, pace{rate, exactSleep}, duration, from)
	})
}

// once makes each of some logins once.
func (t *target) once(ctx context.Context, p protocol, requests []*request) (*stats, error) {
	s := new(stats)
	_, err := t.load(ctx, p, time.Minute, func(clients []client) error {
		return each(ctx, clients, p.workers, len(requests), func(i int) (*request, *stats) { return requests[i], s })
	})
	return s, err
}
