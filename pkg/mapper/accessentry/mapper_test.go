package accessentry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects/objectstest"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

const path = "/apis/iam-authenticator.dev/v1alpha1/accessentries"

// run runs a mapper of the server's entries until the end of the test.
func run(t *testing.T, s *objectstest.Server) (*Mapper, *observer.ObservedLogs) {
	t.Helper()
	core, logs := observer.New(zapcore.InfoLevel)
	m, err := New(Options{Config: s.Config(), Log: zap.New(core)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- m.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return m, logs
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for !holds() {
		select {
		case <-time.After(2 * time.Millisecond):
		case <-deadline:
			t.Fatalf("never: %s", what)
		}
	}
}

// usernameOf returns as whom a session of a role gets in, or why it doesn't.
func usernameOf(t *testing.T, m mapper.Mapper, role string) string {
	user, err := mapper.NewChain([]mapper.Mapper{m}, mapper.ChainOptions{}).Map(t.Context(), session(t, role, "s"))
	if err != nil {
		return string(reason.Of(err))
	}
	return user.Username
}

func spec(role, username string) map[string]any {
	return map[string]any{"principalARN": prefix + role, "username": username}
}

// accepted returns the reason of the condition that the server has.
func accepted(t *testing.T, s *objectstest.Server, name string) string {
	status := objectstest.Status[v1alpha1.AccessEntryStatus](t, s, name)
	for _, c := range status.Conditions {
		if c.Type == v1alpha1.ConditionAccepted {
			return c.Reason
		}
	}
	return ""
}

func TestMapperFollowsEntries(t *testing.T) {
	s := objectstest.New(t, path, "AccessEntry")
	s.Put("a", 2, spec("team/one", "first"))
	s.Put("bad", 2, spec("two", "system:admin"))
	m, _ := run(t, s)
	is := func(role, want string) {
		t.Helper()
		eventually(t, role+" is "+want, func() bool { return usernameOf(t, m, role) == want })
	}
	reported := func(name, want string) {
		t.Helper()
		eventually(t, name+" is reported as "+want, func() bool { return accepted(t, s, name) == want })
	}
	is("one", "first")
	is("two", "EntryInvalid")
	reported("a", "InForce")
	reported("bad", "InvalidSpec")

	s.Put("a", 2, spec("team/one", "second"))
	is("one", "second")

	s.Put("older", 1, spec("one", "other"))
	is("one", "other")
	reported("a", "DuplicatePrincipal")
	if st := m.Status(); st.Entries != 1 || len(st.Problems) != 2 || st.Err != nil || st.Ready() != nil {
		t.Errorf("status %+v", st)
	}

	s.Delete("older")
	is("one", "second")
	reported("a", "InForce")

	s.Delete("a")
	is("one", "NotMapped")
	s.Put("bad", 2, spec("two", "good"))
	is("two", "good")
	reported("bad", "InForce")
}

func TestMapperIsNotReadyBeforeFirstList(t *testing.T) {
	m, err := New(Options{Config: &rest.Config{Host: "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Lookup(session(t, "one", "s")); reason.Of(err) != reason.MapperNotReady || errors.Is(err, mapper.ErrNotMapped) {
		t.Errorf("lookup: %v", err)
	}
	if _, err := m.MapsAccount("111122223333"); reason.Of(err) != reason.MapperNotReady {
		t.Errorf("account: %v", err)
	}
	if err := m.Status().Ready(); reason.Of(err) != reason.MapperNotReady {
		t.Errorf("status: %v", err)
	}
}

func TestMapperPicksUpKindThatIsInstalledLate(t *testing.T) {
	s := objectstest.New(t, path, "AccessEntry")
	s.Install(false)
	m, _ := run(t, s)
	eventually(t, "ready and empty", func() bool { return usernameOf(t, m, "one") == "NotMapped" })
	s.Put("a", 1, spec("one", "first"))
	s.Install(true)
	eventually(t, "mapped", func() bool { return usernameOf(t, m, "one") == "first" })
}

func TestMapperDoesNotNeedToWriteStatus(t *testing.T) {
	s := objectstest.New(t, path, "AccessEntry")
	s.RefusePatches(http.StatusForbidden)
	s.Put("a", 1, spec("one", "first"))
	s.Put("b", 1, spec("two", "first"))
	m, logs := run(t, s)
	denied := func() int { return logs.FilterMessageSnippet("can't be written").Len() }
	eventually(t, "logged", func() bool { return denied() > 0 })
	for i := range 20 {
		name := fmt.Sprintf("u%d", i)
		s.Put("a", 1, spec("one", name))
		eventually(t, name, func() bool { return usernameOf(t, m, "one") == name })
	}
	if n := denied(); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
	s.RefusePatches(0)
	eventually(t, "reported", func() bool { return accepted(t, s, "a") == "InForce" && accepted(t, s, "b") == "InForce" })
}

// TestStatusDecidesNothing is for somebody who may write the status of entries but
// not the entries.
func TestStatusDecidesNothing(t *testing.T) {
	s := objectstest.New(t, path, "AccessEntry")
	s.RefusePatches(http.StatusForbidden) // so that what is forged stays
	s.Put("bad", 1, spec("one", "system:admin"))
	s.Put("good", 1, spec("two", "good"))
	m, _ := run(t, s)
	eventually(t, "synced", func() bool { return usernameOf(t, m, "two") == "good" })
	forge := func(name, role, status string) {
		s.PutStatus(name, map[string]any{
			"canonicalARN": prefix + role,
			"conditions":   []any{map[string]any{"type": "Accepted", "status": status, "reason": "InForce", "observedGeneration": 1}},
			"username":     "admin", "userID": "AROAEXAMPLE",
		})
	}
	forge("bad", "three", "True")
	forge("good", "three", "False")
	s.Put("last", 1, spec("four", "last")) // comes after what was forged
	eventually(t, "seen", func() bool { return usernameOf(t, m, "four") == "last" })
	for role, want := range map[string]string{"one": "EntryInvalid", "two": "good", "three": "NotMapped"} {
		if got := usernameOf(t, m, role); got != want {
			t.Errorf("%s is %s, want %s", role, got, want)
		}
	}
}

func TestReplicasConverge(t *testing.T) {
	s := objectstest.New(t, path, "AccessEntry")
	const n = 20
	for i := range n {
		s.Put(fmt.Sprint(i), 1, spec(fmt.Sprintf("r%d", i), "u"))
	}
	first, _ := run(t, s)
	second, _ := run(t, s)
	eventually(t, "all reported", func() bool {
		for i := range n {
			if accepted(t, s, fmt.Sprint(i)) != "InForce" {
				return false
			}
		}
		return true
	})
	// An entry that both see after all of the above.
	s.Put("last", 1, spec("last", "u"))
	eventually(t, "reported", func() bool { return accepted(t, s, "last") == "InForce" })
	for _, m := range []*Mapper{first, second} {
		eventually(t, "nothing is left to report", func() bool {
			m.reporter.queue.mu.Lock()
			defer m.reporter.queue.mu.Unlock()
			v, ok := m.reporter.store.Verdict("last")
			return ok && v.Reported.OK && len(m.reporter.queue.waiting) == 0
		})
	}
	if got := s.Patches(); got != n+1 {
		t.Errorf("%d statuses written, want each of %d once", got, n+1)
	}
}

// A proxy that lost its way says "not found" as an API server without the kind does.
// Taken for that, every no of an access entry would become the yes of a later source.
func TestNotFoundOfSomethingElseEmptiesNothing(t *testing.T) {
	s := objectstest.New(t, path, "AccessEntry")
	s.Put("a", 2, spec("team/one", "first"))
	m, _ := run(t, s)
	eventually(t, "in force", func() bool { return usernameOf(t, m, "one") == "first" })
	s.Misroute(true)
	eventually(t, "trouble", func() bool { return m.Status().Err != nil })
	if got := usernameOf(t, m, "one"); got != "first" {
		t.Errorf("one is %s, want the last state", got)
	}
	s.Misroute(false)
	s.Put("b", 3, spec("two", "second"))
	eventually(t, "back", func() bool { return usernameOf(t, m, "two") == "second" && m.Status().Err == nil })

	lost := objectstest.New(t, path, "AccessEntry")
	lost.Misroute(true)
	n, _ := run(t, lost)
	eventually(t, "trouble at the start", func() bool { return n.Status().Err != nil })
	if err := n.Status().Ready(); err == nil {
		t.Error("what was never read is ready")
	}
}
