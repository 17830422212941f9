package token

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// nameServer answers every question for an IPv4 address with 127.0.0.1 while it is up.
type nameServer struct {
	up    atomic.Bool
	hangs atomic.Bool // when it isn't up: no answer, instead of an error
}

// dial is that of a net.Resolver.
func (s *nameServer) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if !s.up.Load() && !s.hangs.Load() {
		return nil, errors.New("no route to the name server")
	}
	client, server := net.Pipe() // not a packet connection: messages have a length in front
	go func() {
		defer server.Close()
		head := make([]byte, 2)
		if _, err := server.Read(head); err != nil {
			return
		}
		question := make([]byte, int(head[0])<<8|int(head[1]))
		if _, err := server.Read(question); err != nil {
			return
		}
		if !s.up.Load() {
			<-ctx.Done()
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(question); err != nil {
			return
		}
		m.Response = true
		if q := m.Questions[0]; q.Type == dnsmessage.TypeA {
			m.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		m.Additionals = nil
		answer, err := m.Pack()
		if err != nil {
			return
		}
		_, _ = server.Write(append([]byte{byte(len(answer) >> 8), byte(len(answer))}, answer...))
	}()
	return client, nil
}

func TestAnEndpointIsReachedWhileTheDNSIsDown(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for name, hangs := range map[string]bool{"refuses": false, "hangs": true} {
		t.Run(name, func(t *testing.T) {
			names := new(nameServer)
			d := &dialer{
				Dialer:         net.Dialer{Timeout: 5 * time.Second, Resolver: &net.Resolver{PreferGo: true, Dial: names.dial}},
				resolveTimeout: 50 * time.Millisecond,
				last:           make(map[string]string),
			}
			connect := func(host string) error {
				conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
				if err == nil {
					conn.Close()
				}
				return err
			}
			if err := connect("sts.example.test"); err == nil {
				t.Error("a name that never led anywhere was reached")
			}
			names.up.Store(true)
			if err := connect("sts.example.test"); err != nil {
				t.Fatal(err)
			}
			names.up.Store(false)
			names.hangs.Store(hangs)
			if err := connect("sts.example.test"); err != nil {
				t.Errorf("where it led before: %v", err)
			}
			names.hangs.Store(false)
			if err := connect("other.example.test"); err == nil {
				t.Error("another name was reached")
			}
		})
	}
}
