package controller

import (
	"errors"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// failure is a binding that could not be made what it should be.
type failure struct {
	policy, namespace string
	reason            string
	err               error
}

func (f failure) Error() string { return f.err.Error() }

// failed returns why something could not be done to a binding, or nil if that is no
// failure: a binding that was seen has changed since, or the namespace is going, of
// both of which the cache will tell.
func failed(verb string, b *binding, err error) *failure {
	if err == nil || apierrors.IsConflict(err) && verb != ActionCreate || apierrors.IsNotFound(err) ||
		apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause) {
		return nil
	}
	f := &failure{policy: b.labels[policy.Label], namespace: b.namespace, reason: reasonFailed}
	what := b.kind() + " " + b.name
	if b.namespace != "" {
		what = b.kind() + " " + b.namespace + "/" + b.name
	}
	switch {
	case errors.Is(err, errNameTaken):
		f.reason = reasonNameTaken
	case apierrors.IsForbidden(err):
		f.reason = reasonMissingRight
		if strings.Contains(err.Error(), "attempting to grant RBAC permissions") {
			// The API server's own words are as long as the role.
			err = fmt.Errorf("the controller may not bind ClusterRole %s: allow it the verb bind on that ClusterRole (docs/access-policies.md)", b.role.Name)
		}
	}
	f.err = fmt.Errorf("%s %s: %w", verb, what, err)
	return f
}
