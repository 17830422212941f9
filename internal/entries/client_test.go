package entries

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

const (
	adminsARN  = "arn:aws:iam::111122223333:role/team/Admins"
	adminsName = "role.111122223333.admins"
	devsARN    = "arn:aws:iam::111122223333:role/devs"
	aliceARN   = "arn:aws:iam::111122223333:user/alice"
)

func newEntry(t *testing.T, spec v1alpha1.AccessEntrySpec) *v1alpha1.AccessEntry {
	t.Helper()
	e, err := NewEntry(spec)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func setGroups(groups ...string) func(*v1alpha1.AccessEntry) error {
	return func(e *v1alpha1.AccessEntry) error {
		e.Spec.KubernetesGroups = groups
		return nil
	}
}

func wantError(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", words)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q, want %q in it", err, w)
		}
	}
}

func TestNewEntryNamesTheFieldsThatAreWrong(t *testing.T) {
	for want, spec := range map[string]v1alpha1.AccessEntrySpec{
		"spec.principalARN: Required value":                       {},
		"spec.principalARN: Invalid value":                        {PrincipalARN: "arn:aws:sts::111122223333:assumed-role/admins/me"},
		"spec.username: Invalid value":                            {PrincipalARN: adminsARN, Username: "system:me"},
		"spec.username: Forbidden: This operation can only be":    {PrincipalARN: adminsARN, Type: v1alpha1.EC2Linux, Username: "me"},
		"it cannot start with system:":                            {PrincipalARN: adminsARN, KubernetesGroups: []string{"a", "system:masters"}},
		"spec.kubernetesGroups: Forbidden: This operation can on": {PrincipalARN: adminsARN, Type: v1alpha1.EC2Linux, KubernetesGroups: []string{"a"}},
		`supported values: "STANDARD"`:                            {PrincipalARN: adminsARN, Type: "standard"},
	} {
		_, err := NewEntry(spec)
		wantError(t, err, want)
		if _, ok := errors.AsType[InvalidError](err); !ok {
			t.Errorf("%v is no InvalidError", err)
		}
	}
	e := newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: adminsARN})
	if e.Name != adminsName || e.Spec.Type != v1alpha1.Standard || e.Kind != "AccessEntry" || e.APIVersion != "iam-authenticator.dev/v1alpha1" {
		t.Errorf("%+v", e)
	}
}

func TestCreateIsOncePerPrincipal(t *testing.T) {
	s := newAPIServer()
	c, _ := s.client(t, DryRunNone)
	created, err := c.Create(t.Context(), newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: adminsARN, KubernetesGroups: []string{"g"}}))
	if err != nil || created.Name != adminsName || created.UID == "" || created.ManagedFields != nil {
		t.Fatalf("%+v, %v", created, err)
	}
	if writes := s.writes(); len(writes) != 1 || !strings.Contains(writes[0], "fieldValidation=Strict") || !strings.Contains(writes[0], "fieldManager=") {
		t.Errorf("writes %q", writes)
	}

	// The same role without its path, and in capitals.
	_, err = c.Create(t.Context(), newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: "arn:aws:iam::111122223333:role/ADMINS"}))
	wantError(t, err, "The specified access entry resource is already in use on this cluster.", "accessentry.iam-authenticator.dev/"+adminsName, adminsARN, "update")

	// An entry under a name that somebody chose.
	s.putEntry("developers", devsARN)
	_, err = c.Create(t.Context(), newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: devsARN}))
	wantError(t, err, "already in use", "accessentry.iam-authenticator.dev/developers")
	if len(s.writes()) != 1 {
		t.Errorf("writes %q, want the first alone", s.writes())
	}
}

func TestCreateTellsWhyTheNameIsTaken(t *testing.T) {
	// For another principal.
	s := newAPIServer()
	s.putEntry(adminsName, devsARN)
	c, _ := s.client(t, DryRunNone)
	e := newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: adminsARN})
	_, err := c.Create(t.Context(), e)
	wantError(t, err, "another principal, "+devsARN, adminsName)

	// For the same, as somebody else was faster.
	s = newAPIServer()
	c, _ = s.client(t, DryRunNone)
	s.before = func(r *http.Request) {
		if r.Method == http.MethodPost {
			s.putEntry(adminsName, adminsARN)
		}
	}
	_, err = c.Create(t.Context(), e)
	wantError(t, err, "already in use")
}

func TestUpdateChangesTheEntryOfThePrincipalWhateverItsName(t *testing.T) {
	s := newAPIServer()
	s.putEntry("chosen", adminsARN, "old", "older")
	s.putEntry("other", devsARN, "untouched")
	c, warnings := s.client(t, DryRunNone)
	e, changed, err := c.Update(t.Context(), "arn:aws:iam::111122223333:role/admins", setGroups("new"))
	if err != nil || !changed || e.Name != "chosen" {
		t.Fatalf("%+v, %v, %v", e, changed, err)
	}
	stored := s.entry(t, "chosen")
	if !slices.Equal(stored.Spec.KubernetesGroups, []string{"new"}) || stored.Spec.PrincipalARN != adminsARN || stored.Annotations["kept"] != "yes" {
		t.Errorf("stored %+v", stored)
	}
	if !slices.Equal(s.entry(t, "other").Spec.KubernetesGroups, []string{"untouched"}) || len(*warnings) > 0 {
		t.Errorf("the other entry: %+v, warnings %q", s.entry(t, "other"), *warnings)
	}

	before := len(s.writes())
	if _, changed, err := c.Update(t.Context(), adminsARN, setGroups("new")); err != nil || changed || len(s.writes()) != before {
		t.Errorf("the same again: changed %v, %v, %d writes", changed, err, len(s.writes())-before)
	}
	_, _, err = c.Update(t.Context(), aliceARN, setGroups("new"))
	wantError(t, err, "The specified principalArn could not be found.", "access-entry list", aliceARN)
}

func TestUpdateRefusesWhatBreaksARule(t *testing.T) {
	s := newAPIServer()
	s.putEntry("admins", adminsARN)
	s.put("nodes", map[string]any{"principalARN": devsARN, "type": "EC2_LINUX"})
	c, _ := s.client(t, DryRunNone)
	for arn, want := range map[string]string{
		adminsARN: "it cannot start with system:",
		devsARN:   `This operation can only be performed on Access Entries with a type of "STANDARD".`,
	} {
		_, _, err := c.Update(t.Context(), arn, setGroups("system:masters"))
		wantError(t, err, want)
		if _, ok := errors.AsType[InvalidError](err); !ok {
			t.Errorf("%v is no InvalidError", err)
		}
	}
	if len(s.writes()) > 0 {
		t.Errorf("writes %q", s.writes())
	}
}

// A field that a newer version knows may restrict who gets in. It must not get lost.
func TestUpdateRefusesEntriesWithUnknownFields(t *testing.T) {
	s := newAPIServer()
	s.put("admins", map[string]any{"principalARN": adminsARN, "type": "STANDARD", "onlyOnMondays": true})
	c, _ := s.client(t, DryRunNone)
	_, _, err := c.Update(t.Context(), adminsARN, setGroups("g"))
	wantError(t, err, "onlyOnMondays", "newer")
	if len(s.writes()) > 0 {
		t.Errorf("writes %q", s.writes())
	}
}

func TestUpdatesAtTheSameTimeLoseNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer()
		s.putEntry("admins", adminsARN)
		s.before = func(*http.Request) { time.Sleep(time.Millisecond) } // lets the others in
		var all sync.WaitGroup
		var want []string
		for i := range 5 {
			group := fmt.Sprintf("group-%d", i)
			want = append(want, group)
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Microsecond)
				c, _ := s.client(t, DryRunNone)
				if _, _, err := c.Update(t.Context(), adminsARN, func(e *v1alpha1.AccessEntry) error {
					e.Spec.KubernetesGroups = append(e.Spec.KubernetesGroups, group)
					return nil
				}); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if got := slices.Sorted(slices.Values(s.entry(t, "admins").Spec.KubernetesGroups)); !slices.Equal(got, want) {
			t.Errorf("groups %q, want all of %q", got, want)
		}
		if len(s.writes()) <= len(want) {
			t.Errorf("%d writes for %d changes: there was no conflict to test", len(s.writes()), len(want))
		}
	})
}

func TestUpdateGivesUpWhenSomebodyElseIsAlwaysFaster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer()
		s.putEntry("admins", adminsARN)
		i := 0
		s.before = func(r *http.Request) {
			if r.Method == http.MethodPut {
				i++
				s.putEntry("admins", adminsARN, fmt.Sprint(i))
			}
		}
		c, _ := s.client(t, DryRunNone)
		_, _, err := c.Update(t.Context(), adminsARN, setGroups("mine"))
		wantError(t, err, fmt.Sprintf("somebody else changed it each time, %d times", maxAttempts))
		if len(s.writes()) != maxAttempts {
			t.Errorf("%d writes, want %d", len(s.writes()), maxAttempts)
		}
	})
}

// Between a conflict and the next attempt the object may have become another's.
func TestUpdateTouchesNoOtherPrincipal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newAPIServer()
		s.putEntry("e", adminsARN)
		s.before = func(r *http.Request) {
			if r.Method == http.MethodPut {
				s.putEntry("e", devsARN, "theirs")
			}
		}
		c, _ := s.client(t, DryRunNone)
		_, _, err := c.Update(t.Context(), adminsARN, setGroups("mine"))
		wantError(t, err, "could not be found")
		if got := s.entry(t, "e").Spec.KubernetesGroups; !slices.Equal(got, []string{"theirs"}) {
			t.Errorf("groups %q", got)
		}
	})
}

func TestTheEntryThatStandsIsMeant(t *testing.T) {
	s := newAPIServer()
	s.put("a-bad", map[string]any{"principalARN": adminsARN, "kubernetesGroups": []string{"system:masters"}}) // the oldest
	s.putEntry("z-older", adminsARN)
	s.putEntry("b-younger", adminsARN)
	c, warnings := s.client(t, DryRunNone)
	e, err := c.Get(t.Context(), adminsARN)
	if err != nil || e.Name != "z-older" {
		t.Fatalf("%+v, %v", e, err)
	}
	if len(*warnings) != 2 || !strings.Contains((*warnings)[0], "b-younger is for the same principal as accessentry.iam-authenticator.dev/z-older, which stands instead") {
		t.Errorf("warnings %q", *warnings)
	}
	if e, _, err := c.Update(t.Context(), adminsARN, setGroups("g")); err != nil || e.Name != "z-older" {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestDeleteLeavesNoEntryForThePrincipal(t *testing.T) {
	s := newAPIServer()
	s.putEntry("first", adminsARN)
	s.putEntry("second", "arn:aws:iam::111122223333:role/admins")
	s.putEntry("other", devsARN)
	c, _ := s.client(t, DryRunNone)
	gone, err := c.Delete(t.Context(), adminsARN)
	if err != nil || len(gone) != 2 || gone[1].Name != "first" {
		t.Errorf("%+v, %v, want both, and last the one that stood", gone, err)
	}
	if !slices.Equal(s.names(), []string{"other"}) {
		t.Errorf("left are %q", s.names())
	}
	_, err = c.Delete(t.Context(), adminsARN)
	wantError(t, err, "could not be found")
}

func TestDeleteDoesNotMindWhoWasFaster(t *testing.T) {
	s := newAPIServer()
	s.putEntry("e", adminsARN)
	s.before = func(r *http.Request) {
		if r.Method == http.MethodDelete {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.objects, "e")
		}
	}
	c, _ := s.client(t, DryRunNone)
	if gone, err := c.Delete(t.Context(), adminsARN); err != nil || len(gone) != 1 {
		t.Errorf("%v, %v: the entry is gone, which was wanted", gone, err)
	}
}

func TestDeleteSparesAnEntryThatIsNotTheOneFound(t *testing.T) {
	s := newAPIServer()
	s.putEntry("e", adminsARN)
	s.before = func(r *http.Request) {
		if r.Method == http.MethodDelete {
			s.mu.Lock()
			delete(s.objects, "e")
			s.mu.Unlock()
			s.putEntry("e", devsARN)
		}
	}
	c, _ := s.client(t, DryRunNone)
	gone, err := c.Delete(t.Context(), adminsARN)
	wantError(t, err, "delete accessentry.iam-authenticator.dev/e")
	if len(gone) > 0 || s.entry(t, "e") == nil {
		t.Errorf("gone %v, left %q", gone, s.names())
	}
}

func TestDeleteUnchangedSparesWhatSomebodyChanged(t *testing.T) {
	for rule, c := range map[string]struct {
		meanwhile func(s *apiServer) // once, right before the entry would be deleted
		want      string             // what the error says
		left      bool
	}{
		"nobody does anything": {func(*apiServer) {}, "", false},
		"the spec changes":     {func(s *apiServer) { s.putEntry("e", adminsARN, "more") }, "was changed meanwhile", true},
		"made anew": {func(s *apiServer) {
			s.mu.Lock()
			delete(s.objects, "e")
			s.mu.Unlock()
			s.putEntry("e", adminsARN)
		}, "was changed meanwhile", true},
		"a label is taken": {func(s *apiServer) {
			s.mu.Lock()
			defer s.mu.Unlock()
			meta := s.objects["e"]["metadata"].(map[string]any)
			meta["labels"], meta["resourceVersion"] = map[string]any{"mine": "yes"}, "x"
		}, "was changed meanwhile", true},
		"the status changes": {func(s *apiServer) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.objects["e"]["metadata"].(map[string]any)["resourceVersion"] = "x"
		}, "", false},
		"it goes": {func(s *apiServer) {
			s.mu.Lock()
			defer s.mu.Unlock()
			delete(s.objects, "e")
		}, "", false},
	} {
		t.Run(rule, func(t *testing.T) {
			s := newAPIServer()
			s.putEntry("e", adminsARN)
			client, _ := s.client(t, DryRunNone)
			seen, err := client.Get(t.Context(), adminsARN)
			if err != nil {
				t.Fatal(err)
			}
			var once sync.Once
			s.before = func(r *http.Request) {
				if r.Method == http.MethodDelete {
					once.Do(func() { c.meanwhile(s) })
				}
			}
			err = client.DeleteUnchanged(t.Context(), seen)
			if c.want == "" && err != nil {
				t.Error(err)
			} else if c.want != "" {
				wantError(t, err, c.want)
			}
			if left := len(s.names()) > 0; left != c.left {
				t.Errorf("left: %t", left)
			}
		})
	}
}

func TestDryRunsStoreNothing(t *testing.T) {
	for dryRun, wantWrites := range map[DryRun]int{DryRunClient: 0, DryRunServer: 3} {
		s := newAPIServer()
		s.putEntry("e", adminsARN, "old")
		c, _ := s.client(t, dryRun)
		if e, changed, err := c.Update(t.Context(), adminsARN, setGroups("new")); err != nil || !changed || !slices.Equal(e.Spec.KubernetesGroups, []string{"new"}) {
			t.Errorf("%s: %+v, %v, %v", dryRun, e, changed, err)
		}
		if gone, err := c.Delete(t.Context(), adminsARN); err != nil || len(gone) != 1 {
			t.Errorf("%s: %v, %v", dryRun, gone, err)
		}
		if dryRun == DryRunServer {
			if _, err := c.Create(t.Context(), newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: devsARN})); err != nil {
				t.Error(err)
			}
		}
		if writes := s.writes(); len(writes) != wantWrites {
			t.Errorf("%s: writes %q, want %d", dryRun, writes, wantWrites)
		}
		if !slices.Equal(s.names(), []string{"e"}) || !slices.Equal(s.entry(t, "e").Spec.KubernetesGroups, []string{"old"}) {
			t.Errorf("%s: stored %q", dryRun, s.names())
		}
	}
}

func TestListGoesThroughAllPages(t *testing.T) {
	s := newAPIServer()
	for i := range 1234 {
		s.putEntry(fmt.Sprintf("e%04d", i), fmt.Sprintf("arn:aws:iam::111122223333:role/r%d", i))
	}
	s.objects["e0700"]["spec"] = map[string]any{"principalARN": 7} // as no schema lets in
	s.expired = 1
	c, warnings := s.client(t, DryRunNone)
	var names []string
	if err := c.List(t.Context(), func(page []v1alpha1.AccessEntry) error {
		if len(page) > pageSize {
			t.Errorf("a page of %d", len(page))
		}
		for _, e := range page {
			names = append(names, e.Name)
			if e.Kind != "AccessEntry" || e.ManagedFields != nil {
				t.Fatalf("%+v", e)
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if len(names) != 1233 || !slices.IsSorted(names) || slices.Contains(names, "e0700") {
		t.Errorf("%d entries", len(names))
	}
	if len(*warnings) != 1 || !strings.Contains((*warnings)[0], "e0700") {
		t.Errorf("warnings %q, want one about e0700", *warnings)
	}

	s.refuse = func(*http.Request) *metav1.Status { // each time: that is no going on
		expired := status(http.StatusGone, metav1.StatusReasonExpired, "too old")
		expired.Continue = "v1:e0000"
		return expired
	}
	wantError(t, c.List(t.Context(), func([]v1alpha1.AccessEntry) error { return nil }), "list access entries", "too old")
	s.refuse = nil

	enough := errors.New("enough")
	if err := c.List(t.Context(), func([]v1alpha1.AccessEntry) error { return enough }); !errors.Is(err, enough) {
		t.Errorf("%v, want the error of the callback", err)
	}
}

func TestErrorsSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		status   *metav1.Status
		want     []string
		noAnswer bool
	}{
		"not installed": {status(http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource"), []string{"this cluster has no access entries", "kubectl apply -f deploy/crd"}, false},
		"forbidden":     {status(http.StatusForbidden, metav1.StatusReasonForbidden, "accessentries is forbidden"), []string{"is forbidden", "grant the verbs get and list on accessentries.iam-authenticator.dev"}, false},
		"unauthorized":  {status(http.StatusUnauthorized, metav1.StatusReasonUnauthorized, "Unauthorized"), []string{"does not know you"}, false},
		"unavailable":   {status(http.StatusServiceUnavailable, metav1.StatusReasonServiceUnavailable, "apiserver is shutting down"), []string{"no answer of the API server", "shutting down"}, true},
		"broken":        {status(http.StatusInternalServerError, metav1.StatusReasonInternalError, "etcd is gone"), []string{"no answer of the API server", "etcd is gone"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newAPIServer()
			s.refuse = func(*http.Request) *metav1.Status { return c.status }
			client, _ := s.client(t, DryRunNone)
			_, err := client.Get(t.Context(), adminsARN)
			wantError(t, err, c.want...)
			if NoAnswer(err) != c.noAnswer {
				t.Errorf("no answer: %v, want %v", !c.noAnswer, c.noAnswer)
			}
		})
	}
	s := newAPIServer()
	s.down = true
	client, _ := s.client(t, DryRunNone)
	_, err := client.Get(t.Context(), adminsARN)
	wantError(t, err, "connection refused", "check --kubeconfig and --context")
	if !NoAnswer(err) {
		t.Error("an API server that is down has answered")
	}
	ctx, cancel := context.WithCancel(t.Context())
	s.before = func(*http.Request) { cancel() }
	if _, err := client.Get(ctx, adminsARN); err == nil || NoAnswer(err) {
		t.Errorf("interrupted: %v, which must not look like an API server that is down", err)
	}
	_, err = client.Get(t.Context(), "arn:aws:iam::111122223333:role/aws-service-role/x.amazonaws.com/R")
	wantError(t, err, "spec.principalARN", "service-linked")
}

func TestWaitEndsWhenTheServerHasDecided(t *testing.T) {
	type test struct {
		s        *apiServer
		c        *Client
		e        *v1alpha1.AccessEntry
		progress []string
	}
	setup := func(t *testing.T) *test {
		s := newAPIServer()
		s.putEntry("e", adminsARN)
		c, _ := s.client(t, DryRunNone)
		return &test{s: s, c: c, e: s.entry(t, "e")}
	}
	wait := func(t *testing.T, x *test) (*v1alpha1.AccessEntry, error) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		return x.c.Wait(ctx, x.e, func(p string) { x.progress = append(x.progress, p) })
	}
	run := func(name string, f func(t *testing.T, x *test)) {
		t.Run(name, func(t *testing.T) { synctest.Test(t, func(t *testing.T) { f(t, setup(t)) }) })
	}
	run("in force after a while", func(t *testing.T, x *test) {
		x.s.accept("e", metav1.ConditionTrue, "Old", 7) // says nothing about this generation
		time.AfterFunc(12*time.Second, func() { x.s.accept("e", metav1.ConditionTrue, "InForce", 1) })
		start := time.Now()
		e, err := wait(t, x)
		if took := time.Since(start); err != nil || took < 12*time.Second || took > 13*time.Second {
			t.Errorf("%v after %v", err, took)
		}
		if c, known := Accepted(e); !known || c.Reason != "InForce" {
			t.Errorf("%+v", e.Status)
		}
		if len(x.progress) != 3 {
			t.Errorf("progress %q, want it at 0, 5 and 10 s", x.progress)
		}
	})
	run("not in force", func(t *testing.T, x *test) {
		x.s.accept("e", metav1.ConditionFalse, "DuplicatePrincipal", 1)
		_, err := wait(t, x)
		wantError(t, err, "was created, and is not in force (DuplicatePrincipal): as DuplicatePrincipal says")
		if NoAnswer(err) {
			t.Error("the server has answered")
		}
	})
	run("no server", func(t *testing.T, x *test) {
		start := time.Now()
		e, err := wait(t, x)
		wantError(t, err, "was created, and no server said within 30s", "accessentries/status")
		if took := time.Since(start); took != 30*time.Second || !NoAnswer(err) || e == nil {
			t.Errorf("after %v, no answer %v", took, NoAnswer(err))
		}
	})
	run("API server away meanwhile", func(t *testing.T, x *test) {
		x.s.accept("e", metav1.ConditionTrue, "InForce", 1)
		x.s.down = true
		time.AfterFunc(3*time.Second, func() {
			x.s.mu.Lock()
			defer x.s.mu.Unlock()
			x.s.down = false
		})
		if _, err := wait(t, x); err != nil {
			t.Error(err)
		}
	})
	run("deleted", func(t *testing.T, x *test) {
		delete(x.s.objects, "e")
		_, err := wait(t, x)
		wantError(t, err, "was deleted before it was accepted")
		x.s.putEntry("e", adminsARN) // another of that name
		_, err = wait(t, x)
		wantError(t, err, "was deleted before it was accepted")
	})
}

func TestAcceptedIsOfThisGeneration(t *testing.T) {
	e := &v1alpha1.AccessEntry{ObjectMeta: metav1.ObjectMeta{Generation: 2}}
	e.Status.Conditions = []metav1.Condition{{Type: "Other", Status: "True", ObservedGeneration: 2}, {Type: "Accepted", Status: "True", ObservedGeneration: 1}}
	if c, known := Accepted(e); known {
		t.Errorf("%+v", c)
	}
	e.Status.Conditions[1].ObservedGeneration = 2
	if c, known := Accepted(e); !known || !reflect.DeepEqual(c, e.Status.Conditions[1]) {
		t.Errorf("%+v, %v", c, known)
	}
}

// A hundred thousand entries must fit through without being kept.
func TestListKeepsNothing(t *testing.T) {
	s := newAPIServer()
	const n = 5_000
	for i := range n {
		s.objects[fmt.Sprintf("e%06d", i)] = map[string]any{"metadata": map[string]any{"name": fmt.Sprintf("e%06d", i)},
			"spec": map[string]any{"principalARN": adminsARN, "username": strings.Repeat("u", 1000)}}
	}
	c, _ := s.client(t, DryRunNone)
	for _, format := range []Format{FormatTable, FormatName, FormatJSON, FormatYAML} {
		var w countingWriter
		printer := NewListPrinter(&w, format)
		var most uint64
		before := heap()
		if err := c.List(t.Context(), func(page []v1alpha1.AccessEntry) error {
			if w.writes%5 == 0 {
				most = max(most, heap())
			}
			return printer.Print(page)
		}); err != nil {
			t.Fatal(err)
		}
		if printed, err := printer.Close(); err != nil || printed != n {
			t.Errorf("%s: %d printed, %v", format, printed, err)
		}
		if grown := int64(most) - int64(before); grown > 4<<20 {
			t.Errorf("%s: %d MiB kept while %d MiB are printed", format, grown>>20, w.bytes>>20)
		}
	}
}

type countingWriter struct{ bytes, writes int }

func (w *countingWriter) Write(p []byte) (int, error) {
	w.bytes += len(p)
	w.writes++
	return len(p), nil
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
