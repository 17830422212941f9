package server

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"unicode/utf8"

	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	kjson "sigs.k8s.io/json"
)

const (
	// maxBody bounds the body of a TokenReview, in bytes. The API server bounds
	// what it takes from its own callers to the same order.
	maxBody = 256 << 10
	// usualBody is what is set aside for a body before any of it has arrived, in
	// bytes, whatever length its header announces: announcing costs a caller nothing.
	usualBody = 8 << 10

	kindTokenReview = "TokenReview"
	apiV1           = authenticationv1.GroupName + "/v1"
	apiV1beta1      = authenticationv1beta1.GroupName + "/v1beta1"

	jsonType = "application/json"
)

// badRequest is a request that isn't a TokenReview. It is answered in plain text.
type badRequest struct {
	status int
	text   string
}

func (e *badRequest) Error() string { return e.text }

// review is what counts of a TokenReview.
type review struct {
	apiVersion string // apiV1 or apiV1beta1, which have the same form
	token      string
}

// readReview reads the TokenReview that a request posts. Errors are *badRequest.
func readReview(w http.ResponseWriter, r *http.Request) (review, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return review{}, &badRequest{http.StatusMethodNotAllowed, "want a POST of a TokenReview"}
	}
	if !isJSON(r.Header.Get("Content-Type")) {
		return review{}, &badRequest{http.StatusUnsupportedMediaType, "want the content type " + jsonType}
	}
	// Not from a pool: a body holds a token, which nobody is to find there later.
	var body bytes.Buffer
	body.Grow(int(min(max(r.ContentLength, 0), usualBody)) + bytes.MinRead)
	if _, err := body.ReadFrom(http.MaxBytesReader(w, r.Body, maxBody)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return review{}, &badRequest{http.StatusRequestEntityTooLarge, fmt.Sprintf("body of more than %d bytes", maxBody)}
		}
		return review{}, &badRequest{http.StatusBadRequest, "body could not be read"}
	}
	if review, ok := scanReview(body.Bytes()); ok {
		return review, nil
	}
	return decodeReview(body.Bytes())
}

func isJSON(contentType string) bool {
	if contentType == jsonType {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == jsonType
}

// decodeReview reads a TokenReview in any form of JSON. It is as strict as the API
// server is with objects of its own: letter case counts, a field has its type. A
// repeated field, of which readers differ in the one they believe, is refused.
func decodeReview(body []byte) (review, error) {
	var object authenticationv1.TokenReview
	repeated, err := kjson.UnmarshalStrict(body, &object, kjson.DisallowDuplicateFields)
	switch {
	case err != nil || !utf8.Valid(body):
		return review{}, &badRequest{http.StatusBadRequest, "body is not a TokenReview in JSON"}
	case len(repeated) > 0:
		return review{}, &badRequest{http.StatusBadRequest, "body has a field twice"}
	case object.Kind != kindTokenReview:
		return review{}, &badRequest{http.StatusBadRequest, "want the kind " + kindTokenReview}
	case object.APIVersion != apiV1 && object.APIVersion != apiV1beta1:
		return review{}, &badRequest{http.StatusBadRequest, "want the apiVersion " + apiV1 + " or " + apiV1beta1}
	}
	return review{apiVersion: object.APIVersion, token: object.Spec.Token}, nil
}
