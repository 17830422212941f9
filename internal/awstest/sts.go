// Package awstest is an emulator of the AWS Security Token Service that
// verifies AWS Signature Version 4 for real.
//
// It exists for tests, benchmarks and development servers, so that they need
// neither an AWS account nor a mock that says yes to everything. An [STS] is an
// [http.Handler] that knows the users, roles and sessions it was told about; a
// [Server] serves it over TLS on loopback under the names of AWS's own
// endpoints. [EC2], [IAM] and [EKS] emulate the few actions that are needed of
// theirs, for the same identities. Trouble is ordered with SetFault, and what
// arrived is seen with Calls and Requests, of each service.
//
// The signature check is written from AWS's documentation and shares no code
// with the SDK, so that the SDK's signer is an independent peer in tests:
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
//
// Where AWS documents an error's code and status
// (https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html), they
// are followed. The wording of messages is not documented; it follows what
// callers have reported of the real service.
package awstest

import (
	"cmp"
	"crypto/rand"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// apiVersion is the only version STS has ever had.
const apiVersion = "2011-06-15"

// maxBody is the largest request body read, in bytes. No STS request the
// emulator understands comes near it.
const maxBody = 64 << 10

// Options are the settings of an [STS]. The zero value is ready for use.
type Options struct {
	// Now is the service's clock; time.Now if nil.
	Now func() time.Time
	// Partition is where AddRoot places its accounts; "aws" if empty. Every
	// other identity says its partition in its ARN.
	Partition string
}

// STS emulates the Security Token Service of all partitions at once. It is safe
// for concurrent use.
type STS struct {
	now       func() time.Time
	partition string
	sealer    *sealer
	hosts     hostTable
	faults
	record

	mu         sync.RWMutex
	principals map[principalKey]*principal
	keys       map[string]*accessKey
}

// New returns an STS emulator that knows nobody.
func New(o Options) *STS {
	s := &STS{
		now:        o.Now,
		partition:  cmp.Or(o.Partition, "aws"),
		sealer:     newSealer(),
		principals: make(map[principalKey]*principal),
		keys:       make(map[string]*accessKey),
	}
	if s.now == nil {
		s.now = time.Now
	}
	return s
}

// ServeHTTP answers one STS request, GET or POST, signed in the query or in the
// Authorization header.
func (s *STS) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	requestID := newRequestID()
	asJSON := wantsJSON(r)
	w.Header().Set("Date", s.now().UTC().Format(http.TimeFormat)) // by its own clock, which callers compare with theirs

	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			renderError(&apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
				"The request body is larger than this service reads."}, asJSON, requestID).write(w)
			return
		}
		panic(http.ErrAbortHandler) // the client broke off; nobody is left to answer
	}

	query, params, aerr := parseParameters(r, body)
	action := params.Get("Action")
	s.record.add(r, action, params)

	fault, faulty := s.take(action)
	if faulty && !fault.wait(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	if faulty && fault.replace(w, r, asJSON, requestID) {
		return
	}

	if fault.Kind == FaultXML {
		asJSON = false
	}
	var res result
	if aerr == nil {
		res, aerr = s.handle(r, query, params, body)
	}
	if aerr != nil {
		renderError(aerr, asJSON, requestID).write(w)
		return
	}
	if fault.Kind == FaultContradiction {
		res = contradict(res)
	}
	fault.deliver(w, render(res, action, asJSON, requestID))
}

// handle routes before it authenticates: an unknown action is InvalidAction,
// signed or not. All of STS is at "/".
func (s *STS) handle(r *http.Request, query []pair, params url.Values, body []byte) (result, *apiError) {
	if path := r.URL.EscapedPath(); r.Method != http.MethodGet && r.Method != http.MethodPost || path != "/" && path != "" {
		return nil, &apiError{http.StatusNotFound, "UnknownOperationException", "Unknown operation."}
	}
	action, version := params.Get("Action"), params.Get("Version")
	if action == "" {
		return nil, &apiError{http.StatusBadRequest, "MissingAction",
			"The request is missing an action or a required parameter."}
	}
	var act func(caller, url.Values) (result, *apiError)
	switch action {
	case "GetCallerIdentity":
		act = s.getCallerIdentity
	case "AssumeRole":
		act = s.assumeRole
	}
	if act == nil || version != apiVersion {
		return nil, &apiError{http.StatusBadRequest, "InvalidAction",
			"Could not find operation " + action + " for version " + cmp.Or(version, "NO_VERSION_SPECIFIED")}
	}

	c, err := s.authenticate(r, query, body)
	if err != nil {
		return nil, err
	}
	return act(c, params)
}

// parseParameters returns the query and the action's parameters, which are in
// the query or in the form that was posted, never in both.
func parseParameters(r *http.Request, body []byte) (query []pair, params url.Values, _ *apiError) {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, nil, malformedQuery(err.Error())
	}
	pairs := query
	if len(body) > 0 {
		mediaType, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
		if r.Method != http.MethodPost || strings.TrimSpace(mediaType) != "application/x-www-form-urlencoded" {
			return nil, nil, malformedQuery("A body must be a form (application/x-www-form-urlencoded) sent by POST.")
		}
		for _, p := range query {
			if !strings.HasPrefix(p.name, "X-Amz-") {
				return nil, nil, malformedQuery("When Content-Type:application/x-www-form-urlencoded, " +
					"URL cannot include query-string parameters (after '?'): '" + r.URL.RawQuery + "'")
			}
		}
		form, err := parseQuery(string(body))
		if err != nil {
			return nil, nil, malformedQuery(err.Error())
		}
		pairs = form
	}
	params = make(url.Values, len(pairs))
	for _, p := range pairs {
		params.Set(p.name, p.value)
	}
	return query, params, nil
}

func malformedQuery(message string) *apiError {
	return &apiError{http.StatusNotFound, "MalformedQueryString", message}
}

// newRequestID returns a random UUID, the form STS's request IDs have.
func newRequestID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return formatUUID(b)
}
