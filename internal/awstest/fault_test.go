package awstest

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// call presigns GetCallerIdentity by the real clock and sends it, asking for
// JSON.
func call(t *testing.T, srv *Server, c Credentials) (*http.Response, []byte, error) {
	t.Helper()
	signed, err := presignClient(t, srv, c)
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, signed, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", "application/json")
	resp, err := srv.Client().Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func TestFaults(t *testing.T) {
	s, srv := newServer(t)
	user := must(s.AddUser(testUser))
	trueAnswer := func(t *testing.T, body []byte) string {
		var got struct {
			GetCallerIdentityResponse struct {
				GetCallerIdentityResult struct{ Account, Arn string }
			}
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		r := got.GetCallerIdentityResponse.GetCallerIdentityResult
		return r.Account + " " + r.Arn
	}
	const truth = "123456789012 " + testUser

	for _, test := range []struct {
		name        string
		fault       Fault
		status      int // 0: the connection breaks
		contentType string
		check       func(t *testing.T, resp *http.Response, body []byte, err error)
	}{
		{"none", Fault{}, 200, "application/json", func(t *testing.T, _ *http.Response, body []byte, _ error) {
			if got := trueAnswer(t, body); got != truth {
				t.Error(got)
			}
		}},
		{"throttle", Fault{Kind: FaultThrottle}, 400, "application/json", contains(`"Code":"Throttling","Message":"Rate exceeded","Type":"Sender"`)},
		{"internal", Fault{Kind: FaultInternal}, 500, "application/json", contains(`"Code":"InternalFailure"`, `"Type":"Receiver"`)},
		{"unavailable", Fault{Kind: FaultUnavailable}, 503, "application/json", contains(`"Code":"ServiceUnavailable"`)},
		{"respond", Fault{Kind: FaultRespond, Status: 418, ContentType: "text/plain", Body: "teapot"}, 418, "text/plain", contains("teapot")},
		{"respond by default", Fault{Kind: FaultRespond, Body: "{}"}, 200, "application/json", contains("{}")},
		{"redirect", Fault{Kind: FaultRedirect, Location: "https://example.com/"}, 302, "text/html", func(t *testing.T, resp *http.Response, _ []byte, _ error) {
			if l := resp.Header.Get("Location"); l != "https://example.com/" {
				t.Error(l)
			}
		}},
		{"redirect, permanent", Fault{Kind: FaultRedirect, Location: "/x", Status: 308}, 308, "text/html", nil},
		{"HTML", Fault{Kind: FaultHTML}, 200, "text/html", contains("<html>")},
		{"oversized", Fault{Kind: FaultOversized, Bytes: 10 << 20}, 200, "application/json", func(t *testing.T, _ *http.Response, body []byte, _ error) {
			if len(body) != 10<<20 || !json.Valid(body) {
				t.Errorf("%d bytes", len(body))
			}
		}},
		{"reset", Fault{Kind: FaultReset}, 0, "", func(t *testing.T, _ *http.Response, _ []byte, err error) {
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
		}},
		{"XML", Fault{Kind: FaultXML}, 200, "text/xml", contains("<GetCallerIdentityResponse", testUser)},
		{"truncated", Fault{Kind: FaultTruncated}, 200, "application/json", func(t *testing.T, _ *http.Response, body []byte, err error) {
			if !errors.Is(err, io.ErrUnexpectedEOF) || len(body) == 0 || json.Valid(body) {
				t.Errorf("%s: %v", body, err)
			}
		}},
		{"trailing JSON", Fault{Kind: FaultTrailingJSON}, 200, "application/json", func(t *testing.T, _ *http.Response, body []byte, _ error) {
			d := json.NewDecoder(strings.NewReader(string(body)))
			var first, second, third any
			if err := errors.Join(d.Decode(&first), d.Decode(&second)); err != nil || d.Decode(&third) != io.EOF {
				t.Errorf("%s: %v", body, err)
			}
		}},
		{"duplicate keys", Fault{Kind: FaultDuplicateKeys}, 200, "application/json", func(t *testing.T, _ *http.Response, body []byte, _ error) {
			if got := trueAnswer(t, body); strings.Count(string(body), `"Arn"`) != 2 || !strings.Contains(string(body), testUser) || got != "999999999999 arn:aws:iam::999999999999:root" {
				t.Errorf("%s", body)
			}
		}},
		{"contradiction", Fault{Kind: FaultContradiction}, 200, "application/json", func(t *testing.T, _ *http.Response, body []byte, _ error) {
			if got := trueAnswer(t, body); got != "999999999999 "+testUser {
				t.Error(got)
			}
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s.SetFault(test.fault)
			defer s.ClearFaults()
			resp, body, err := call(t, srv, user)
			if test.status == 0 {
				if err == nil {
					t.Fatalf("%d %s", resp.StatusCode, body)
				}
			} else if resp == nil || resp.StatusCode != test.status || resp.Header.Get("Content-Type") != test.contentType {
				t.Fatalf("%v: %v", resp, err)
			}
			if test.check != nil {
				test.check(t, resp, body, err)
			}
		})
	}
}

func contains(parts ...string) func(*testing.T, *http.Response, []byte, error) {
	return func(t *testing.T, _ *http.Response, body []byte, err error) {
		t.Helper()
		for _, part := range parts {
			if err != nil || !strings.Contains(string(body), part) {
				t.Errorf("%s (%v), want %s", body, err, part)
			}
		}
	}
}

func TestDamageLeavesRefusalsAlone(t *testing.T) {
	for _, kind := range []FaultKind{FaultXML, FaultTruncated, FaultTrailingJSON, FaultDuplicateKeys, FaultContradiction} {
		s, _, _ := newSTS(t)
		s.SetFault(Fault{Kind: kind})
		stranger := Credentials{AccessKeyID: "AKIAUNKNOWN000000000", SecretAccessKey: "x"}
		if status, body := serve(s, presign(t, stranger, testHost, "eu-west-1", nil)); status != 403 || !strings.Contains(body, "InvalidClientTokenId") {
			t.Errorf("kind %d: %d %s", kind, status, body)
		}
	}
}

func TestFaultsStrikeTheRequestsTheyAreMeantFor(t *testing.T) {
	for _, test := range []struct {
		name   string
		faults []Fault
		want   string // . answered, T throttled, U unavailable; A another action
	}{
		{"until cleared", []Fault{{Kind: FaultThrottle}}, "TTTTTTTTT"},
		{"the next two", []Fault{{Kind: FaultThrottle, Times: 2}}, "TT......."},
		{"every third", []Fault{{Kind: FaultThrottle, Every: 3}}, "..T..T..T"},
		{"every third, twice", []Fault{{Kind: FaultThrottle, Every: 3, Times: 2}}, "..T..T..."},
		{"one after the other", []Fault{{Kind: FaultThrottle, Times: 2}, {Kind: FaultUnavailable, Times: 1}}, "TTU......"},
		{"both at once", []Fault{{Kind: FaultThrottle, Every: 2}, {Kind: FaultUnavailable}}, "UTUTUTUTU"},
		{"another action", []Fault{{Kind: FaultThrottle, Action: "AssumeRole"}}, "........."},
		{"this action", []Fault{{Kind: FaultThrottle, Action: "GetCallerIdentity", Times: 1}}, "T........"},
	} {
		s, user, _ := newSTS(t)
		for _, f := range test.faults {
			s.SetFault(f)
		}
		got := ""
		for range len(test.want) {
			status, _ := serve(s, presign(t, user, testHost, "eu-west-1", nil))
			got += map[int]string{200: ".", 400: "T", 503: "U"}[status]
		}
		if got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
		s.ClearFaults()
		if status, _ := serve(s, presign(t, user, testHost, "eu-west-1", nil)); status != 200 {
			t.Errorf("%s: %d after all faults were cleared", test.name, status)
		}
	}
}

// serveUntilDone answers in process and reports whether the handler broke the
// connection off.
func serveUntilDone(s *STS, r *http.Request) (status int, aborted bool) {
	defer func() {
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			aborted = true
		}
	}()
	status, _ = serve(s, r)
	return status, false
}

func TestLatencyAndHangEndWhenTheClientGoesAway(t *testing.T) {
	for _, test := range []struct {
		name    string
		fault   func() Fault // made in the bubble, as its channel must be
		patient bool         // the client does not go away
		want    time.Duration
		aborted bool
	}{
		{"latency", func() Fault { return Fault{Latency: time.Second} }, true, time.Second, false},
		{"latency too long", func() Fault { return Fault{Latency: time.Hour} }, false, time.Minute, true},
		{"hang", func() Fault { return Fault{Kind: FaultHang} }, false, time.Minute, true},
		{"never let go", func() Fault { return Fault{Until: make(chan struct{})} }, false, time.Minute, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, user, _ := newSTS(t)
				s.SetFault(test.fault())
				ctx := t.Context()
				if !test.patient {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Minute)
					defer cancel()
				}
				start := time.Now()
				status, aborted := serveUntilDone(s, presign(t, user, testHost, "eu-west-1", nil).WithContext(ctx))
				if took := time.Since(start); took != test.want || aborted != test.aborted || !aborted && status != 200 {
					t.Errorf("status %d, aborted %t after %s", status, aborted, took)
				}
			})
		})
	}
}

func TestUntilHoldsRequestsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, user, _ := newSTS(t)
		gate := make(chan struct{})
		s.SetFault(Fault{Until: gate})
		answered := make(chan int, 3)
		for range 3 {
			r := presign(t, user, testHost, "eu-west-1", nil)
			go func() {
				status, _ := serve(s, r)
				answered <- status
			}()
		}
		synctest.Wait()
		if n := s.Calls(""); n != 3 || len(answered) != 0 {
			t.Fatalf("%d calls, %d answered", n, len(answered))
		}
		close(gate)
		for range 3 {
			if status := <-answered; status != 200 {
				t.Error(status)
			}
		}
	})
}

func TestResetWithoutAConnectionBreaksOff(t *testing.T) {
	s, user, _ := newSTS(t)
	s.SetFault(Fault{Kind: FaultReset})
	if _, aborted := serveUntilDone(s, presign(t, user, testHost, "eu-west-1", nil)); !aborted {
		t.Error("answered")
	}
}
