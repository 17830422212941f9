package main

import (
	"crypto/tls"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestMain lets the tests have children like the program's own.
func TestMain(m *testing.M) {
	if kind, ok := isChild(os.Args); ok {
		if err := runChild(kind); err != nil {
			fmt.Fprintln(os.Stderr, "error:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

func TestTheFloorAnswersBothProtocols(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("what a process uses is read from Linux's /proc")
	}
	floor, err := startFloor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer floor.process.stop()
	requests, err := newMint(testSessions(t, 10)).logins(10, 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	requests = forFloor(requests)
	for _, p := range []protocol{overHTTP2, overHTTP1} {
		var closed, open stats
		from := func(s *stats) source {
			return func(i int) (*request, *stats) { return requests[i%len(requests)], s }
		}
		if _, err := floor.saturate(t.Context(), p, 50*time.Millisecond, from(&closed)); err != nil {
			t.Fatal(err)
		}
		if _, err := floor.atRate(t.Context(), p, 500, 100*time.Millisecond, from(&open)); err != nil {
			t.Fatal(err)
		}
		if closed.count(granted) == 0 || open.count(granted) != 50 {
			t.Errorf("%s: %d logins at saturation, %d at 500/s in 100ms, want some and 50", p.name, closed.count(granted), open.count(granted))
		}
	}
	if cpu, err := floor.process.cpu(); err != nil || cpu < 0 || cpu > time.Minute {
		t.Errorf("the floor used %v of CPU, error %v", cpu, err)
	}
	if rss, err := floor.process.rss(); err != nil || rss < 1<<20 || rss > 1<<30 {
		t.Errorf("the floor occupies %d bytes, error %v", rss, err)
	}
	// It takes everybody for the same person, so that a check of who it is must fail.
	requests[3].username = usernameMember("somebody else")
	if _, err := floor.once(t.Context(), overHTTP2, requests); err == nil || !strings.Contains(err.Error(), "wrong user") {
		t.Errorf("a wrong answer gave the error %v", err)
	}
}

func TestTheEmulatorTakesOrdersAndCounts(t *testing.T) {
	sts, err := startSTS(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer sts.process.stop()
	if len(sts.Sessions) != people || sts.Sessions[people-1].SecretAccessKey == "" {
		t.Fatalf("%d sessions, want %d", len(sts.Sessions), people)
	}
	if err := sts.take(time.Millisecond); err != nil {
		t.Fatal(err)
	}
	target, err := newTarget("STS", sts.process, sts.greeting)
	if err != nil {
		t.Fatal(err)
	}
	clients, err := target.connect(t.Context(), overHTTP1, time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(clients)
	c := &call{}
	clients[0].do(c, &request{})
	if calls, err := sts.calls(); c.err != nil || c.status == 0 || err != nil || calls != 1 {
		t.Errorf("a call was answered %d, error %v; %d calls counted, error %v; want 1", c.status, c.err, calls, err)
	}
}

func TestAChildEndsWithItsContext(t *testing.T) {
	floor, err := startFloor(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	floor.process.stop()
	if floor.process.err == nil {
		t.Error("the floor ended by itself, want it to be killed")
	}
	if _, err := floor.connect(t.Context(), overHTTP2, time.Now().Add(time.Second)); err == nil {
		t.Error("something still listens")
	}
}

// startReal starts Go's own server, which is what the clients are for.
func startReal(t *testing.T, config *http.HTTP2Config, handler http.HandlerFunc) *target {
	t.Helper()
	certificate, ca, err := selfSigned()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{"h2", "http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: handler, HTTP2: config, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listener)
	t.Cleanup(func() { server.Close() })
	target, err := newTarget("real", &process{ended: make(chan struct{})}, greeting{listener.Addr().String(), ca})
	if err != nil {
		t.Fatal(err)
	}
	return target
}

func TestClientsSendWhatTheAPIServerSends(t *testing.T) {
	for _, p := range []protocol{overHTTP2, overHTTP1} {
		t.Run(p.alpn, func(t *testing.T) {
			target := startReal(t, nil, func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				got := fmt.Sprint(r.ProtoMajor, r.Method, r.Host, r.URL.String(), r.ContentLength, r.Header.Get("Content-Type"), r.Header.Get("User-Agent"), len(body))
				want := fmt.Sprint(map[string]int{"h2": 2, "http/1.1": 1}[p.alpn], "POST", "localhost", "/authenticate", len(body), "application/json", userAgent, len(body))
				if got != want {
					http.Error(w, got, http.StatusBadRequest)
					return
				}
				switch string(body) {
				case "later":
					w.WriteHeader(http.StatusServiceUnavailable)
				case "teapot":
					w.WriteHeader(http.StatusTeapot)
				}
				fmt.Fprintf(w, "%s has %d bytes", body, len(body))
			})
			clients, err := target.connect(t.Context(), p, time.Now().Add(10*time.Second))
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll(clients)
			c := &call{done: make(chan struct{}, 1)}
			for i, test := range []struct {
				body   string
				status int
			}{{"first", 200}, {"second", 200}, {"later", 503}, {"teapot", 418}, {strings.Repeat("x", 1500), 200}} {
				c.body, c.err = c.body[:0], nil
				clients[0].do(c, &request{body: []byte(test.body)})
				if want := fmt.Sprintf("%s has %d bytes", test.body, len(test.body)); c.err != nil || c.status != test.status || string(c.body) != want {
					t.Errorf("request %d: status %d, body %.50q, error %v, want %d and %.50q", i, c.status, c.body, c.err, test.status, want)
				}
			}
		})
	}
}

// Beyond the number of streams that the server allows, logins wait; none is lost.
func TestHTTP2KeepsToTheStreamsAndTheWindowOfTheServer(t *testing.T) {
	const streams = 5
	var running, tooMany atomic.Int64
	full := make(chan struct{}) // closed once so many run as may
	fill := sync.OnceFunc(func() { close(full) })
	config := &http.HTTP2Config{MaxConcurrentStreams: streams, MaxReceiveBufferPerConnection: 1 << 16, MaxReceiveBufferPerStream: 1 << 16}
	target := startReal(t, config, func(w http.ResponseWriter, r *http.Request) {
		switch n := running.Add(1); {
		case n == streams:
			fill()
		case n > streams:
			tooMany.Add(1)
		}
		<-full
		io.Copy(io.Discard, r.Body)
		running.Add(-1)
		io.WriteString(w, alice)
	})
	requests := make([]*request, 200)
	for i := range requests {
		requests[i] = wantAlice()
		requests[i].body = make([]byte, 10_000)
	}
	var s stats
	clients, err := target.connect(t.Context(), atOnce(50), time.Now().Add(10*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll(clients)
	if err := each(t.Context(), clients, 50, len(requests), func(i int) (*request, *stats) { return requests[i], &s }); err != nil {
		t.Fatal(err)
	}
	if s.count(granted) != len(requests) || tooMany.Load() > 0 {
		t.Errorf("%d of %d answered, %d beyond the %d streams, want all and none", s.count(granted), len(requests), tooMany.Load(), streams)
	}
}

func TestCallsOfAConnectionThatBreaksEnd(t *testing.T) {
	for _, p := range []protocol{overHTTP2, overHTTP1} {
		target := startReal(t, nil, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
		clients, err := target.connect(t.Context(), p, time.Now().Add(10*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		if err := each(t.Context(), clients, 3, 10, counting(new(stats))); err == nil {
			t.Errorf("%s: no error from a server that breaks off", p.alpn)
		}
		closeAll(clients)
	}
}

func TestStatusesOfHPACK(t *testing.T) {
	for _, test := range []struct {
		block string
		want  int // 0: an error
	}{
		{"\x88", 200}, {"\x20\x88", 200}, {"\x3f\xe1\x1f\x88", 0}, {"\x8e", 500}, {"\x48\x03503", 503}, {"\x0e\x03503", 503}, {"\x08\x03418", 418}, {"\x8d\x88", 404},
		{"", 0}, {"\x48\x82\x10", 0}, {"\x8f", 0}, {"\x87", 0}, {"\x28\x03503", 0},
	} {
		got, err := parseStatus([]byte(test.block))
		if got != test.want || (err == nil) != (test.want != 0) {
			t.Errorf("%x: %d, error %v, want %d", test.block, got, err, test.want)
		}
	}
}

func TestRatiosAreThoseOfRoundsThatWereTogether(t *testing.T) {
	c := compared{
		base:  []measured{{perSecond: 100}, {perSecond: 50}, {perSecond: 100}, {perSecond: 100}, {perSecond: 50}}, // the machine was busy twice
		other: []measured{{perSecond: 90}, {perSecond: 45}, {perSecond: 80}, {perSecond: 95}, {perSecond: 100}},
	}
	if got, want := c.ratio(perSecond), "0.90 (0.90–0.95)"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestThePlotIsXMLWithACurveForEach(t *testing.T) {
	var h histogram
	for i := range 10_000 {
		h.record(time.Duration(i) * time.Microsecond)
	}
	text := plot("Logins", []curve{{"a", false, false, &h}, {"b", true, true, &h}})
	decoder, lines := xml.NewDecoder(strings.NewReader(text)), 0
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if element, ok := token.(xml.StartElement); ok && element.Name.Local == "path" {
			for _, a := range element.Attr {
				if a.Name.Local == "d" && strings.Count(a.Value, "L") > 100 {
					lines++
				}
			}
		}
	}
	if lines != 2 || strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
		t.Errorf("%d curves, want 2, all of numbers:\n%s", lines, text)
	}
}
