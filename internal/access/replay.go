package access

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
)

// replay is an API server that has the objects and nothing else, for a mapper of the
// server. What the mapper would write, events and statuses, is refused.
type replay struct{ list []byte }

// config returns how to reach an API server with the objects.
func (o objects) config() (*rest.Config, error) {
	list, err := json.Marshal(map[string]any{
		"apiVersion": o.kind.apiVersion,
		"kind":       o.kind.name + "List",
		"metadata":   metav1.ListMeta{ResourceVersion: "1"},
		"items":      append([]json.RawMessage{}, o.items...), // [], not null
	})
	return &rest.Config{Host: "http://replay.invalid", Transport: replay{list}}, err
}

// RoundTrip answers a list, and leaves a watch open without events until whoever
// watches has enough.
func (r replay) RoundTrip(request *http.Request) (*http.Response, error) {
	query := request.URL.Query()
	switch {
	case request.Method != http.MethodGet:
		return refusal(request, metav1.Status{Code: http.StatusForbidden, Reason: metav1.StatusReasonForbidden}), nil
	case query.Get("sendInitialEvents") == "true": // the mapper lists instead
		return refusal(request, metav1.Status{Code: http.StatusUnprocessableEntity, Reason: metav1.StatusReasonInvalid}), nil
	case query.Get("watch") != "":
		return response(request, http.StatusOK, silence{request}), nil
	default:
		return response(request, http.StatusOK, io.NopCloser(bytes.NewReader(r.list))), nil
	}
}

func refusal(request *http.Request, s metav1.Status) *http.Response {
	s.Kind, s.APIVersion, s.Status = "Status", "v1", metav1.StatusFailure
	body, _ := json.Marshal(s) // plain fields
	return response(request, int(s.Code), io.NopCloser(bytes.NewReader(body)))
}

func response(request *http.Request, code int, body io.ReadCloser) *http.Response {
	return &http.Response{
		StatusCode: code, Status: http.StatusText(code), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/json"}}, Body: body, ContentLength: -1, Request: request,
	}
}

// silence is a body that ends with its request.
type silence struct{ request *http.Request }

func (s silence) Read([]byte) (int, error) {
	<-s.request.Context().Done()
	return 0, io.EOF
}

func (silence) Close() error { return nil }
