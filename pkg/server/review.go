package server

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"

	authenticationv1 "k8s.io/api/authentication/v1"
	authenticationv1beta1 "k8s.io/api/authentication/v1beta1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

const (
	// maxBody bounds the body of a TokenReview, in bytes. The API server bounds
	// what it takes from its own callers to the same order.
	maxBody = 1 << 20

	kindTokenReview = "TokenReview"
)

// badRequest is a request that isn't a TokenReview. It is answered in plain text.
type badRequest struct {
	status int
	text   string
}

func (e *badRequest) Error() string { return e.text }

// decodeReview reads a TokenReview of authentication.k8s.io/v1 or v1beta1, which
// have the same form. Errors are *badRequest.
func decodeReview(w http.ResponseWriter, r *http.Request) (*authenticationv1.TokenReview, error) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost)
		return nil, &badRequest{http.StatusMethodNotAllowed, "want a POST of a TokenReview"}
	}
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return nil, &badRequest{http.StatusUnsupportedMediaType, "want the content type application/json"}
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, &badRequest{http.StatusRequestEntityTooLarge, fmt.Sprintf("body of more than %d bytes", maxBody)}
		}
		return nil, &badRequest{http.StatusBadRequest, "body could not be read"}
	}
	review := new(authenticationv1.TokenReview)
	if err := kjson.UnmarshalCaseSensitivePreserveInts(body, review); err != nil {
		return nil, &badRequest{http.StatusBadRequest, "body is not a TokenReview in JSON"}
	}
	switch v1, v1beta1 := authenticationv1.SchemeGroupVersion.String(), authenticationv1beta1.SchemeGroupVersion.String(); {
	case review.Kind != kindTokenReview:
		return nil, &badRequest{http.StatusBadRequest, "want the kind " + kindTokenReview}
	case review.APIVersion != v1 && review.APIVersion != v1beta1:
		return nil, &badRequest{http.StatusBadRequest, "want the apiVersion " + v1 + " or " + v1beta1}
	}
	return review, nil
}

// encodeReview returns the answer to a review. It has the request's apiVersion, as
// the API server accepts no other, and no audiences: tokens know none, and to echo
// the ones asked for would vouch for them.
func encodeReview(apiVersion string, status authenticationv1.TokenReviewStatus) ([]byte, error) {
	status.Audiences = nil
	return json.Marshal(authenticationv1.TokenReview{
		TypeMeta: metav1.TypeMeta{APIVersion: apiVersion, Kind: kindTokenReview},
		Status:   status,
	})
}
