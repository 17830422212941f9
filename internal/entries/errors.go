package entries

import (
	"context"
	"errors"
	"fmt"
	"net/url"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// InvalidError is an entry that breaks a rule. Its text names the field.
type InvalidError struct{ error }

// Unwrap returns the field errors.
func (e InvalidError) Unwrap() error { return e.error }

// Validate returns an InvalidError if the entry breaks a rule.
func Validate(e *v1alpha1.AccessEntry) error {
	if err := e.Validate().ToAggregate(); err != nil {
		return InvalidError{err}
	}
	return nil
}

// EKS's words, for which people search.
const (
	wordsInUse    = "The specified access entry resource is already in use on this cluster."
	wordsNotFound = "The specified principalArn could not be found."
)

func inUse(e *v1alpha1.AccessEntry) error {
	return fmt.Errorf("%s %s is for %s: change it with 'access-entry update', or delete it first", wordsInUse, qualified(e.Name), e.Spec.PrincipalARN)
}

// notFoundError is an ARN for which there is no entry.
type notFoundError struct{ arn string }

func (e notFoundError) Error() string {
	return wordsNotFound + " You can view your available access entries with 'access-entry list': " + e.arn
}

// NoAnswer tells whether err means that the API server could not be asked, or could
// not answer: the same may succeed later.
func NoAnswer(err error) bool {
	if errors.Is(err, context.Canceled) { // nobody waited for it
		return false
	}
	if _, ok := errors.AsType[*url.Error](err); ok {
		return true
	}
	return errors.Is(err, context.DeadlineExceeded) || apierrors.IsServiceUnavailable(err) || apierrors.IsTooManyRequests(err) ||
		apierrors.IsServerTimeout(err) || apierrors.IsTimeout(err) || apierrors.IsInternalError(err)
}

// explain adds to an error of the API server what to do about it. The verbs are those
// that the operation needs.
func explain(err error, verbs string) error {
	switch {
	case err == nil:
		return nil
	case apierrors.IsForbidden(err):
		return fmt.Errorf("%w; to allow it, grant the verbs %s on accessentries.%s", err, verbs, v1alpha1.GroupName)
	case apierrors.IsUnauthorized(err):
		return fmt.Errorf("%w: the API server does not know you; check the user of the kubeconfig's context", err)
	case NoAnswer(err):
		return fmt.Errorf("no answer of the API server: %w; check --kubeconfig and --context", err)
	}
	return err
}

// explainList is explain for a request to the collection, which is there if the kind
// is.
func explainList(err error) error {
	if apierrors.IsNotFound(err) {
		return fmt.Errorf("this cluster has no access entries (%w): install them with 'kubectl apply -f deploy/crd', or check --context", err)
	}
	return explain(err, "get and list")
}
