package awstest

import (
	"context"
	"net"
	"sync"
)

// memory is a listener of connections within the process.
type memory struct {
	pending chan net.Conn
	closed  chan struct{}
	close   sync.Once
}

func newMemory() *memory {
	return &memory{pending: make(chan net.Conn), closed: make(chan struct{})}
}

func (m *memory) dial(ctx context.Context) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case m.pending <- server:
		return client, nil
	case <-m.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept is that of net.Listener.
func (m *memory) Accept() (net.Conn, error) {
	select {
	case conn := <-m.pending:
		return conn, nil
	case <-m.closed:
		return nil, net.ErrClosed
	}
}

// Close is that of net.Listener.
func (m *memory) Close() error {
	m.close.Do(func() { close(m.closed) })
	return nil
}

// Addr is that of net.Listener.
func (m *memory) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }
