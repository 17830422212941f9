package awstest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

// FaultKind is a way in which a service can misbehave.
type FaultKind int

// The kinds of faults. Those that damage an answer leave error answers alone:
// the request must be one that is accepted. Errors are named here as STS answers
// them; other services do so in their own words.
const (
	// FaultNone changes nothing; use it with Latency or Until.
	FaultNone FaultKind = iota
	// FaultThrottle answers 400 Throttling "Rate exceeded".
	FaultThrottle
	// FaultInternal answers 500 InternalFailure.
	FaultInternal
	// FaultUnavailable answers 503 ServiceUnavailable.
	FaultUnavailable
	// FaultDenied answers that the caller may not do that. EC2 and IAM only.
	FaultDenied
	// FaultRespond answers with the fault's Status, ContentType and Body.
	FaultRespond
	// FaultRedirect answers with the fault's Location and Status.
	FaultRedirect
	// FaultHTML answers 200 with an HTML page, as a captive portal would.
	FaultHTML
	// FaultOversized answers 200 with a JSON string of the fault's Bytes,
	// streamed.
	FaultOversized
	// FaultHang never answers; it ends when the client goes away.
	FaultHang
	// FaultReset resets the TCP connection.
	FaultReset
	// FaultXML answers truly, but in XML though JSON was asked for.
	FaultXML
	// FaultTruncated sends the first half of the true answer and closes the
	// connection.
	FaultTruncated
	// FaultTrailingJSON sends a second JSON document after the true answer.
	FaultTrailingJSON
	// FaultDuplicateKeys gives Arn, Account and UserId twice, the second time
	// those of somebody else. It needs GetCallerIdentity in JSON.
	FaultDuplicateKeys
	// FaultContradiction gives an account that is not the one in the ARN. It
	// needs GetCallerIdentity.
	FaultContradiction
)

// Fault is trouble on command. Its first fields say which requests it befalls.
type Fault struct {
	Action string // only this action, or operation of EKS; all if empty
	Times  int    // only the next so many; until ClearFaults if 0
	Every  int    // only every so many-th matching request; each if 0 or 1

	Latency time.Duration   // to wait first
	Until   <-chan struct{} // to wait for first, if not nil: close it to let requests go on

	Kind        FaultKind
	Status      int    // FaultRespond, 200 if 0; FaultRedirect, 302 if 0
	ContentType string // FaultRespond; "application/json" if empty
	Body        string // FaultRespond
	Location    string // FaultRedirect
	Bytes       int64  // FaultOversized
}

// faults is the part of a service that makes trouble on command.
type faults struct {
	mu   sync.Mutex
	list []*activeFault
}

type activeFault struct {
	Fault
	seen   int // matching requests
	struck int
}

// SetFault adds a fault. A request suffers the first fault, in the order they
// were set, that is meant for it and not used up.
func (l *faults) SetFault(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = append(l.list, &activeFault{Fault: f})
}

// ClearFaults removes all faults. Requests that suffer one already go on with
// it.
func (l *faults) ClearFaults() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.list = nil
}

// take returns the fault the next request is to suffer, if any.
func (l *faults) take(action string) (Fault, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, f := range l.list {
		if f.Action != "" && f.Action != action || f.Times > 0 && f.struck == f.Times {
			continue
		}
		f.seen++
		if f.seen%max(f.Every, 1) == 0 {
			f.struck++
			return f.Fault, true
		}
	}
	return Fault{}, false
}

// wait returns false if the client went away meanwhile.
func (f Fault) wait(ctx context.Context) bool {
	if f.Latency > 0 {
		t := time.NewTimer(f.Latency)
		defer t.Stop()
		select {
		case <-t.C:
		case <-ctx.Done():
			return false
		}
	}
	if f.Until != nil {
		select {
		case <-f.Until:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// replace answers in STS's place, for the faults that never look at the
// request, and reports whether it did.
func (f Fault) replace(w http.ResponseWriter, r *http.Request, asJSON bool, requestID string) bool {
	switch f.Kind {
	case FaultThrottle:
		renderError(throttling(), asJSON, requestID).write(w)
	case FaultInternal:
		renderError(&apiError{http.StatusInternalServerError, "InternalFailure",
			"The request processing has failed because of an unknown error, exception or failure."}, asJSON, requestID).write(w)
	case FaultUnavailable:
		renderError(&apiError{http.StatusServiceUnavailable, "ServiceUnavailable",
			"The request has failed due to a temporary failure of the server."}, asJSON, requestID).write(w)
	case FaultRespond:
		answer{cmp.Or(f.Status, http.StatusOK), cmp.Or(f.ContentType, jsonType), requestID, []byte(f.Body)}.write(w)
	case FaultRedirect:
		w.Header().Set("Location", f.Location)
		answer{cmp.Or(f.Status, http.StatusFound), "text/html", requestID, nil}.write(w)
	case FaultHTML:
		answer{http.StatusOK, "text/html", requestID, []byte("<!DOCTYPE html><html><body>Welcome</body></html>")}.write(w)
	case FaultOversized:
		w.Header().Set("Content-Type", jsonType)
		io.WriteString(w, `"`)
		io.CopyN(w, endless{}, f.Bytes-2)
		io.WriteString(w, `"`)
	case FaultHang:
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	case FaultReset:
		reset(w)
	default:
		return false
	}
	return true
}

// deliver sends the true answer, spoiled if that is the fault's kind.
func (f Fault) deliver(w http.ResponseWriter, a answer) {
	switch f.Kind {
	case FaultTruncated:
		a.writeHeader(w)
		w.Write(a.body[:len(a.body)/2])
		http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler) // closes the connection
	case FaultTrailingJSON:
		a.body = append(a.body, `{"GetCallerIdentityResponse":{}}`...)
	case FaultDuplicateKeys:
		a.body = bytes.Replace(a.body, []byte(`},"ResponseMetadata"`), fmt.Appendf(nil,
			`,"Account":%[1]q,"Arn":"arn:aws:iam::%[1]s:root","UserId":%[1]q},"ResponseMetadata"`, otherAccount), 1)
	}
	a.write(w)
}

// otherAccount is whom the faults that lie speak of.
const otherAccount = "999999999999"

func contradict(r result) result {
	c, ok := r.(*callerIdentity)
	if !ok {
		return r
	}
	return &callerIdentity{Account: otherAccount, Arn: c.Arn, UserID: c.UserID}
}

// reset closes the connection so that the peer gets an RST, not a FIN.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler) // not a connection of ours; breaking off is the nearest
	}
	if t, ok := conn.(*tls.Conn); ok {
		conn = t.NetConn()
	}
	if t, ok := conn.(*net.TCPConn); ok {
		t.SetLinger(0)
	}
	conn.Close()
}

// endless is a reader of spaces.
type endless struct{}

var spaces = strings.Repeat(" ", 32<<10)

func (endless) Read(p []byte) (int, error) { return copy(p, spaces), nil }
