package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/event"
)

func TestNamespacesThatComeOrGoAreLookedAt(t *testing.T) {
	namespace := func(uid types.UID, going bool) *corev1.Namespace {
		n := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "dev-7", UID: uid}}
		if going {
			n.DeletionTimestamp = new(metav1.Now())
		}
		return n
	}
	for name, c := range map[string]struct {
		before, after *corev1.Namespace
		want          bool
	}{
		"it has another label":                    {namespace("a", false), namespace("a", false), false},
		"it begins to go":                         {namespace("a", false), namespace("a", true), true},
		"it is going":                             {namespace("a", true), namespace("a", true), false},
		"nobody saw that it went, and came again": {namespace("a", false), namespace("b", false), true},
	} {
		if got := comesOrGoes().Update(event.UpdateEvent{ObjectOld: c.before, ObjectNew: c.after}); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
