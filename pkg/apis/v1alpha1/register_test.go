package v1alpha1

import (
	"testing"

	"k8s.io/apimachinery/pkg/runtime"
)

func TestAddToSchemeRegistersKinds(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	for object, want := range map[runtime.Object]string{
		&AccessEntry{}:     "iam-authenticator.dev/v1alpha1, Kind=AccessEntry",
		&AccessEntryList{}: "iam-authenticator.dev/v1alpha1, Kind=AccessEntryList",
	} {
		kinds, _, err := scheme.ObjectKinds(object)
		if err != nil || len(kinds) != 1 || kinds[0].String() != want {
			t.Errorf("%T: kinds %v, %v, want %s", object, kinds, err, want)
		}
	}
	if got := Resource("accessentries").String(); got != "accessentries.iam-authenticator.dev" {
		t.Errorf("resource %s", got)
	}
}
