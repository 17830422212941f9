package objects

import (
	"encoding/json"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"
)

func TestObjectPassesOverWhatNobodyReads(t *testing.T) {
	var o Object
	err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(`{"metadata": {"name": "a", "uid": "u", "generation": 2,
		"labels": {"l": "1"}, "annotations": {"a": "1"}, "ownerReferences": [{"name": "o"}],
		"managedFields": [{"manager": "m", "fieldsV1": {"f:spec": {}}}]}, "spec": {"x": [1]}, "status": 7}`), &o)
	if err != nil {
		t.Fatal(err)
	}
	if o.Name != "a" || o.UID != "u" || o.Generation != 2 || string(o.Spec) != `{"x": [1]}` || string(o.Status) != "7" {
		t.Errorf("got %+v", o)
	}
	if o.GetManagedFields() != nil || o.GetLabels() != nil || o.GetAnnotations() != nil || o.GetOwnerReferences() != nil {
		t.Errorf("kept %+v", o.ObjectMeta)
	}
}

func TestObjectKeepsAnnotationThatEndsList(t *testing.T) {
	var o Object
	if err := json.Unmarshal([]byte(`{"metadata": {"annotations": {"a": "b", "k8s.io/initial-events-end": "true"}}}`), &o); err != nil {
		t.Fatal(err)
	}
	var m metav1.Object = &o // as the reflector sees it
	if a := m.GetAnnotations(); len(a) != 1 || a[metav1.InitialEventsAnnotationKey] != "true" {
		t.Errorf("annotations %v", a)
	}
}

func TestListIsReadWithOddObject(t *testing.T) {
	var l List
	if err := kjson.UnmarshalCaseSensitivePreserveInts([]byte(`{"items": [{"metadata": {"name": "odd"}, "spec": 1, "status": []}, {"metadata": {"name": "good"}, "spec": {}}]}`), &l); err != nil {
		t.Fatal(err)
	}
	if len(l.Items) != 2 || l.Items[1].Name != "good" {
		t.Errorf("items %+v", l.Items)
	}
}

func TestDeepCopySharesNothing(t *testing.T) {
	o := testObject("a", 1, "r")
	o.DeletionTimestamp = new(metav1.Now())
	o.Status = []byte("{}")
	l := &List{Items: []Object{*o}}
	c := l.DeepCopyObject().(*List)
	c.Items[0].Spec[0], c.Items[0].Status[0] = 'x', 'x'
	c.Items[0].DeletionTimestamp.Time = c.Items[0].DeletionTimestamp.AddDate(1, 0, 0)
	if o.Spec[0] == 'x' || o.Status[0] == 'x' || o.DeletionTimestamp.Equal(c.Items[0].DeletionTimestamp) {
		t.Error("the copy shares memory with the original")
	}
}

func TestDecode(t *testing.T) {
	for text, want := range map[string]string{
		`{"arn": "a", "username": "u"}`: "",
		``:                              "spec is missing",
		`{"arn": "a", "usernam": "u"}`:  `unknown field "usernam"`,
		`{"arn": "a", "arn": "b"}`:      `duplicate field "arn"`,
		`{"arn": ["a"]}`:                "cannot unmarshal array",
		`{"arn": "a"`:                   "unexpected end",
		`{"Arn": "a"}`:                  `unknown field "Arn"`,
	} {
		var s testSpec
		err := Decode([]byte(text), &s)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
}
