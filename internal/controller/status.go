package controller

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// The reasons of the condition PoliciesApplied. If policies of an entry have several,
// it is the one that is last here.
const (
	reasonApplied       = "Applied"
	reasonNotInstalled  = "PolicyNotInstalled"
	reasonInvalidPolicy = "InvalidPolicy"
	reasonAboveCeiling  = "AboveCeiling"
	reasonNameTaken     = "NameTaken"
	reasonMissingRight  = "MissingRight"
	reasonFailed        = "Failed"
)

// Reasons returns the reasons of the condition PoliciesApplied, the gravest last.
func Reasons() []string {
	return []string{reasonApplied, reasonNotInstalled, reasonInvalidPolicy, reasonAboveCeiling, reasonNameTaken, reasonMissingRight, reasonFailed}
}

// maxMessage bounds a message: events have no room for more.
const maxMessage = 1000

// condition returns what is to be said of the entry's policies, or nil if it has none.
func condition(e *v1alpha1.AccessEntry, results []result, failures []failure, now time.Time) *metav1.Condition {
	if len(results) == 0 && len(failures) == 0 {
		return nil
	}
	reason := reasonApplied
	worse := func(r string) {
		if slices.Index(Reasons(), r) > slices.Index(Reasons(), reason) {
			reason = r
		}
	}
	var said []string
	for _, f := range failures {
		worse(f.reason)
	}
	for _, r := range results {
		for _, f := range failures {
			if f.policy == r.policy && (f.namespace == "") == (r.scope == v1alpha1.ScopeCluster) {
				r.failed++
			}
		}
		worse(r.reason)
		said = append(said, r.String())
	}
	if len(failures) > 0 {
		// What did not work comes first, and once for all namespaces in which it didn't.
		said = append([]string{failures[0].Error()}, said...)
		if n := len(failures) - 1; n > 0 {
			said[0] += fmt.Sprintf(" (and %d more)", n)
		}
	}
	message := strings.Join(said, "; ")
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	c := &metav1.Condition{
		Type: v1alpha1.ConditionPoliciesApplied, Status: metav1.ConditionTrue, Reason: reason, Message: message,
		ObservedGeneration: e.Generation, LastTransitionTime: metav1.NewTime(now).Rfc3339Copy(),
	}
	if reason != reasonApplied {
		c.Status = metav1.ConditionFalse
	}
	if old := reported(e); old != nil && old.Status == c.Status {
		c.LastTransitionTime = old.LastTransitionTime
	}
	return c
}

// reported returns what the entry says of its policies now, or nil.
func reported(e *v1alpha1.AccessEntry) *metav1.Condition {
	return meta.FindStatusCondition(e.Status.Conditions, v1alpha1.ConditionPoliciesApplied)
}

// same tells whether two conditions say the same of the same generation.
func same(a, b *metav1.Condition) bool {
	if a == nil || b == nil {
		return a == b
	}
	return *a == *b
}

func (r result) String() string {
	switch {
	case r.problem != "":
		return r.problem
	case r.scope == v1alpha1.ScopeCluster && r.failed > 0:
		return r.policy + " is not bound in the cluster"
	case r.scope == v1alpha1.ScopeCluster:
		return r.policy + " is bound in the cluster"
	case r.namespaces == 0:
		return r.policy + " is bound in no namespace: none matches"
	case r.failed > 0:
		return fmt.Sprintf("%s is bound in %d of %d namespaces", r.policy, max(r.namespaces-r.failed, 0), r.namespaces)
	case r.namespaces == 1:
		return r.policy + " is bound in 1 namespace"
	default:
		return fmt.Sprintf("%s is bound in %d namespaces", r.policy, r.namespaces)
	}
}
