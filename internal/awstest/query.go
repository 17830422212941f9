package awstest

import (
	"cmp"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
)

// query is what the services of AWS's Query protocol other than STS have in common:
// parameters come in a form, answers are XML, and all is at "/".
type query struct {
	identities *STS
	faults
	record
}

// dialect is how a service of the Query protocol differs from the others.
type dialect struct {
	service string // in credential scopes
	version string // of the API
	serves  func(host, region string) bool
	actions map[string]func(caller, string, url.Values) (any, *apiError) // of a caller, for a region
	fault   func(FaultKind) *apiError                                    // nil for those that aren't errors of the service
	denied  func(c caller, action string, params url.Values) *apiError
	refused func(*apiError) *apiError // what STS would refuse a signature with, in the service's words

	answer func(result any, action, requestID string) any // the document
	failed func(e *apiError, requestID string) answer
}

func (q *query) serve(w http.ResponseWriter, r *http.Request, d *dialect) {
	requestID := newRequestID()
	w.Header().Set("Date", q.identities.now().UTC().Format(http.TimeFormat))
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, tooLarge := errors.AsType[*http.MaxBytesError](err); tooLarge {
			d.failed(&apiError{http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", "Request body is too large."}, requestID).write(w)
			return
		}
		panic(http.ErrAbortHandler)
	}
	pairs, params, aerr := parseParameters(r, body)
	action := params.Get("Action")
	q.add(r, action, params)

	fault, faulty := q.take(action)
	if faulty && !fault.wait(r.Context()) {
		panic(http.ErrAbortHandler)
	}
	if e := d.fault(fault.Kind); e != nil {
		aerr = e
	} else if faulty && fault.replace(w, r, false, requestID) {
		return
	}

	var result any
	if aerr == nil {
		result, aerr = q.handle(r, pairs, params, body, fault.Kind == FaultDenied, d)
	}
	if aerr != nil {
		d.failed(aerr, requestID).write(w)
		return
	}
	text := mustMarshal(xml.Marshal(d.answer(result, action, requestID)))
	fault.deliver(w, answer{http.StatusOK, "text/xml;charset=UTF-8", requestID, append([]byte(xml.Header), text...)})
}

func (q *query) handle(r *http.Request, pairs []pair, params url.Values, body []byte, denied bool, d *dialect) (any, *apiError) {
	if path := r.URL.EscapedPath(); r.Method != http.MethodGet && r.Method != http.MethodPost || path != "/" && path != "" {
		return nil, &apiError{http.StatusNotFound, "UnknownOperationException", "Unknown operation."}
	}
	action, version := params.Get("Action"), params.Get("Version")
	act, ok := d.actions[action]
	if !ok || version != d.version {
		return nil, &apiError{http.StatusBadRequest, "InvalidAction",
			"Could not find operation " + action + " for version " + cmp.Or(version, "NO_VERSION_SPECIFIED")}
	}
	c, region, err := q.identities.verify(r, pairs, body, d.service, d.serves)
	if err != nil {
		return nil, d.refused(err)
	}
	if denied {
		return nil, d.denied(c, action, params)
	}
	return act(c, region, params)
}
