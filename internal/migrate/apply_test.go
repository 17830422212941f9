package migrate

import (
	"errors"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// careful is an aws-auth of which two roles and a user are carried.
func careful() awsauth.Document {
	return awsauth.Document{
		"mapRoles": `# Nodes first.
- rolearn: arn:aws:iam::111122223333:role/nodes
  username: system:node:{{EC2PrivateDNSName}}
  groups: [system:bootstrappers, system:nodes]
# Those who build.
- {rolearn: arn:aws:iam::111122223333:role/devs, username: 'first:{{SessionName}}'}
- {rolearn: arn:aws:iam::111122223333:role/team/devs, username: 'dev:{{SessionName}}', groups: [developers]}
- rolearn: arn:aws:iam::111122223333:role/auditors # they read
  username: audit:{{SessionName}}
`,
		"mapUsers": "- {userarn: arn:aws:iam::111122223333:user/bob, username: bob}\n",
		"mine":     "kept",
	}
}

const carefulLeft = `# Nodes first.
- rolearn: arn:aws:iam::111122223333:role/nodes
  username: system:node:{{EC2PrivateDNSName}}
  groups: [system:bootstrappers, system:nodes]
# Those who build.
`

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

func apply(t *testing.T, tool *Tool) error {
	t.Helper()
	d, err := tool.AWSAuth.Get(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p, proof := plan(t, d, Options{})
	if err := proof.Err(); err != nil {
		t.Fatal(err)
	}
	return tool.Apply(t.Context(), p)
}

func TestApplyIsIdempotentAndLeavesAWSAuthAsItIs(t *testing.T) {
	s, tool, lines := newTool(t, careful())
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	if len(s.entries) != 3 || s.entries["role.111122223333.devs"].Spec.Username != "dev:{{SessionName}}" || !maps.Equal(s.document, careful()) {
		t.Errorf("%+v, %q", s.entries, s.document)
	}
	b, err := ParseBackup([]byte((*lines)[0]))
	if err != nil || !maps.Equal(b.AWSAuth, careful()) || len(b.Overwritten) != 0 || (*lines)[1] != "Backed up to backup" || (*lines)[2] != "1/3 accessentry role.111122223333.devs created" {
		t.Errorf("%v, said %q", err, *lines)
	}
	writes := len(s.writes)
	if err := apply(t, tool); !errors.Is(err, ErrNothingToDo) || len(s.writes) != writes {
		t.Errorf("%v, writes %q", err, s.writes[writes:])
	}

	// One of them is gone: only that one is made again.
	delete(s.entries, "user.111122223333.bob")
	if err := apply(t, tool); err != nil || len(s.writes) != writes+1 || len(s.entries) != 3 {
		t.Errorf("%v, writes %q", err, s.writes[writes:])
	}
}

func TestNothingIsWrittenWithoutABackup(t *testing.T) {
	s, tool, _ := newTool(t, careful())
	tool.Backup = func([]byte) (string, error) { return "", errors.New("file exists") }
	wantError(t, apply(t, tool), "before anything is written: file exists")
	if len(s.writes) != 0 {
		t.Errorf("writes %q", s.writes)
	}
}

func TestRemoveTakesWhatWasCarried(t *testing.T) {
	s, tool, _ := newTool(t, careful())
	tool.Remove = true
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	if s.document["mapRoles"] != carefulLeft || strings.Contains(s.document["mapUsers"], "bob") || s.document["mine"] != "kept" {
		t.Errorf("%q", s.document)
	}
	if err := apply(t, tool); !errors.Is(err, ErrNothingToDo) {
		t.Error(err)
	}
}

func TestNothingIsRemovedBeforeEntriesAreInForce(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*apiServer, *Tool)
		words  []string // nil: it is removed
	}{
		"no server says so":  {func(s *apiServer, _ *Tool) { s.silent = true }, []string{"no server said within 0s that 3 access entries are in force", "--force"}},
		"a server says no":   {func(s *apiServer, _ *Tool) { s.refuse = "user.111122223333.bob" }, []string{"accessentry user.111122223333.bob is not in force (Duplicate"}},
		"forced":             {func(s *apiServer, tool *Tool) { s.silent, tool.Force = true, true }, nil},
		"forced, against no": {func(s *apiServer, tool *Tool) { s.refuse, tool.Force = "user.111122223333.bob", true }, []string{"is not in force"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, tool, _ := newTool(t, careful())
			tool.Remove = true
			c.change(s, tool)
			err := apply(t, tool)
			if c.words != nil {
				wantError(t, err, c.words...)
			} else if err != nil {
				t.Error(err)
			}
			if removed := !maps.Equal(s.document, careful()); removed != (c.words == nil) {
				t.Errorf("removed: %v", removed)
			}
		})
	}
}

// Who has many entries waits as long as a server goes on to accept them.
func TestPatienceIsForTheNextEntry(t *testing.T) {
	for name, c := range map[string]struct {
		patience time.Duration
		left     []int // by the second
		want     error
		after    time.Duration
	}{
		"at once":           {0, []int{0}, nil, 0},
		"no patience":       {0, []int{1}, errNoProgress, 0},
		"one by one":        {6 * time.Second, []int{3, 3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0}, nil, 16 * time.Second},
		"it stops":          {5 * time.Second, []int{3, 3, 2}, errNoProgress, 8500 * time.Millisecond},
		"there is one more": {5 * time.Second, []int{3, 4, 5, 4, 3}, errNoProgress, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				err := await(t.Context(), c.patience, func() (int, error) {
					return c.left[min(int(time.Since(start).Seconds()), len(c.left)-1)], nil
				})
				if took := time.Since(start); !errors.Is(err, c.want) || took != c.after {
					t.Errorf("%v after %s, want %v after %s", err, took, c.want, c.after)
				}
			})
		})
	}
}

func TestEntriesThatSayElseAreOverwrittenOnlyIfAsked(t *testing.T) {
	s, tool, lines := newTool(t, careful())
	devs := v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: account + "role/x/devs", Type: v1alpha1.Standard, Username: "other"}}
	devs.Name = "mine"
	s.store(devs, 4, "uid-mine")
	wantError(t, apply(t, tool), "1 principals have access entries that say something else", account+`role/x/devs (accessentry mine): STANDARD "other" in []`, "--overwrite")
	if len(s.writes) != 0 {
		t.Errorf("writes %q", s.writes)
	}
	tool.Overwrite = true
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	if e := s.entries["mine"]; e.Spec.Username != "dev:{{SessionName}}" || e.Spec.PrincipalARN != account+"role/x/devs" || len(s.entries) != 3 {
		t.Errorf("%+v", s.entries)
	}
	b, err := ParseBackup([]byte((*lines)[0]))
	if err != nil || len(b.Overwritten) != 1 || b.Overwritten[0].Spec.Username != "other" {
		t.Fatalf("%v, %+v", err, b)
	}

	// Undo gives it back what it said.
	if err := tool.Undo(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if e := s.entries["mine"]; e.Spec.Username != "other" || e.Labels[Label] != "" || len(s.entries) != 1 {
		t.Errorf("%+v", s.entries)
	}
	if err := tool.Undo(t.Context(), b); !errors.Is(err, ErrNothingToDo) {
		t.Error(err)
	}
}

func TestOnlyTheEntryThatStandsIsInTheWay(t *testing.T) {
	s, tool, _ := newTool(t, careful())
	day := func(n int) metav1.Time { return metav1.NewTime(time.Date(2026, 1, n, 0, 0, 0, 0, time.UTC)) }
	bob := v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: account + "user/bob", Username: "bob"}}
	bob.Name, bob.CreationTimestamp = "stands", day(2)
	s.store(bob, 1, "uid-stands")
	bob.Name, bob.CreationTimestamp, bob.Spec.Username = "a-younger", day(3), "other"
	s.store(bob, 1, "uid-younger")
	bob.Name, bob.CreationTimestamp, bob.Spec.Username = "older-and-bad", day(1), "system:bob"
	s.store(bob, 1, "uid-bad")
	if err := apply(t, tool); err != nil || len(s.entries) != 5 {
		t.Errorf("%v, %d entries", err, len(s.entries))
	}
}

func TestTwoAdministratorsLoseNothing(t *testing.T) {
	const eve = "- {userarn: arn:aws:iam::111122223333:user/eve, username: eve}\n"
	for name, c := range map[string]struct {
		at    string // the write before which the other one writes
		other func(*apiServer)
		words []string
	}{
		"adds one while entries are made": {"POST accessentries", func(s *apiServer) { s.edit("mapUsers", "- {", eve+"- {") }, nil},
		"adds one while they are removed": {"PATCH aws-auth", func(s *apiServer) { s.edit("mapUsers", "- {", eve+"- {") }, nil},
		"revokes one while entries are made": {"POST accessentries", func(s *apiServer) {
			s.edit("mapUsers", "- {userarn: arn:aws:iam::111122223333:user/bob, username: bob}\n", eve)
		},
			[]string{"somebody changed these mappings meanwhile", account + "user/bob", "access-entry delete"}},
		"changes one while they are removed": {"PATCH aws-auth", func(s *apiServer) { s.edit("mapUsers", "username: bob", "username: robert") },
			[]string{"somebody changed these mappings meanwhile", account + "user/bob"}},
		"changes an entry that was made": {"PATCH aws-auth", func(s *apiServer) { s.edit("mapRoles", "[developers]", "[testers]") },
			[]string{account + "role/team/devs"}},
	} {
		for _, remove := range []bool{false, true} {
			if !remove && c.at == "PATCH aws-auth" {
				continue
			}
			t.Run(name, func(t *testing.T) {
				s, tool, _ := newTool(t, careful())
				tool.Remove = remove
				done := false
				s.before = func(write string) {
					if write == c.at && !done {
						done = true
						c.other(s)
					}
				}
				err := apply(t, tool)
				if c.words != nil {
					wantError(t, err, c.words...)
					if !strings.Contains(s.document["mapRoles"], "role/auditors") {
						t.Error("something was removed nevertheless")
					}
					return
				}
				if err != nil || !done || !strings.Contains(s.document["mapUsers"], eve) || strings.Contains(s.document["mapUsers"], "bob") == remove {
					t.Errorf("%v, done %v, %q", err, done, s.document)
				}
			})
		}
	}
}

// What the API server says counts, not what was sent to it.
func TestWhatWasWrittenIsReadBack(t *testing.T) {
	for name, c := range map[string]struct {
		mutate func(*v1alpha1.AccessEntry)
		word   string
	}{
		"a username is changed on the way": {func(e *v1alpha1.AccessEntry) { e.Spec.Username = "x:{{SessionName}}" }, `after "x:`},
		"a group is added":                 {func(e *v1alpha1.AccessEntry) { e.Spec.KubernetesGroups = append(e.Spec.KubernetesGroups, "more") }, "more"},
		"an ID is pinned":                  {func(e *v1alpha1.AccessEntry) { e.Spec.PrincipalID = "AROAOTHER" }, "after refused"},
		"it breaks the rules":              {func(e *v1alpha1.AccessEntry) { e.Spec.Username = "system:x" }, "after refused (EntryInvalid)"},
		"it is for somebody else":          {func(e *v1alpha1.AccessEntry) { e.Spec.PrincipalARN = account + "role/other" }, "after refused (NotMapped)"},
	} {
		for _, remove := range []bool{false, true} {
			s, tool, _ := newTool(t, careful())
			tool.Remove = remove
			s.mutate = func(e *v1alpha1.AccessEntry) {
				if strings.HasSuffix(e.Name, "devs") {
					c.mutate(e)
				}
			}
			err := apply(t, tool)
			if err == nil || !strings.Contains(err.Error(), c.word) || !maps.Equal(s.document, careful()) {
				t.Errorf("%s: %v; aws-auth %q", name, err, s.document)
			}
		}
	}
}

// Another one who writes at the same time may change who stands without changing what was
// carried.
func TestAChangeOfWhatStandsIsSeen(t *testing.T) {
	const first, last = "- {rolearn: arn:aws:iam::111122223333:role/devs, username: 'first:{{SessionName}}'}\n",
		"- {rolearn: arn:aws:iam::111122223333:role/team/devs, username: 'dev:{{SessionName}}', groups: [developers]}\n"
	for name, change := range map[string]func(*apiServer){
		"duplicates change places": func(s *apiServer) { s.edit("mapRoles", first+last, last+first) },
		"one with a mistake is appended": func(s *apiServer) {
			s.edit("mapRoles", last, last+"- {rolearn: arn:aws:iam::111122223333:role/devs, usrname: x}\n")
		},
	} {
		for _, remove := range []bool{false, true} {
			s, tool, _ := newTool(t, careful())
			tool.Remove = remove
			done := false
			s.before = func(write string) {
				if !done && strings.HasPrefix(write, "POST") {
					done = true
					change(s)
				}
			}
			err := apply(t, tool)
			if err == nil || !strings.Contains(err.Error(), "assumed-role/devs/") || !strings.Contains(s.document["mapRoles"], "auditors") {
				t.Errorf("%s, remove %v: %v", name, remove, err)
			}
		}
	}
}

func TestNamesThatAreTakenAreFoundBeforeAnythingIsWritten(t *testing.T) {
	s, tool, _ := newTool(t, careful())
	other := v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: account + "role/other", Username: "other"}}
	other.Name = "user.111122223333.bob"
	s.store(other, 1, "uid-other")
	wantError(t, apply(t, tool), `user.111122223333.bob is for "`+account+`role/other"; wanted for `+account+`user/bob`)
	if len(s.writes) != 0 {
		t.Errorf("writes %q", s.writes)
	}
}

func TestWhoMayNotDoAllIsToldAndLosesNothing(t *testing.T) {
	for forbid, words := range map[string][]string{
		"POST accessentries": {"forbidden", "the same command goes on"},
		"PUT mine":           {"forbidden", "the same command goes on"},
		"PATCH aws-auth":     {"nothing was removed", "grant get and patch"},
	} {
		s, tool, _ := newTool(t, careful())
		bob := v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: account + "user/bob", Username: "other"}}
		bob.Name = "mine"
		s.store(bob, 4, "uid-mine")
		tool.Remove, tool.Overwrite, s.forbid = true, true, forbid
		err := apply(t, tool)
		if err == nil || !maps.Equal(s.document, careful()) {
			t.Fatalf("%s: %v, %q", forbid, err, s.document)
		}
		for _, word := range words {
			if !strings.Contains(strings.ToLower(err.Error()), word) {
				t.Errorf("%s: %v, want %q", forbid, err, word)
			}
		}
		s.forbid = ""
		if err := apply(t, tool); err != nil || s.document["mapRoles"] != carefulLeft || len(s.entries) != 3 {
			t.Errorf("%s, and then allowed: %v, %+v", forbid, err, s.entries)
		}
	}
}

// Wherever it is killed, the same command goes on, and undo takes back what there is.
func TestAMigrationThatWasKilledGoesOnOrBack(t *testing.T) {
	const writes = 5 // two of them the overwriting and the removal
	for died := 1; died <= writes; died++ {
		for i := range 4 {
			back, answerLost := i%2 == 0, i/2 == 0
			s, tool, lines := newTool(t, careful())
			bob := v1alpha1.AccessEntry{Spec: v1alpha1.AccessEntrySpec{PrincipalARN: account + "user/bob", Username: "other"}}
			bob.Name = "mine"
			s.store(bob, 4, "uid-mine")
			tool.Remove, tool.Overwrite = true, true
			s.left, s.lastDone = died, answerLost
			err := apply(t, tool)
			if got := s.revive(); (died <= got) != (err != nil) {
				t.Fatalf("died at write %d of %d: %v", died, got, err)
			}
			b, parseErr := ParseBackup([]byte((*lines)[0]))
			if parseErr != nil {
				t.Fatal(parseErr)
			}
			if back {
				if err := tool.Undo(t.Context(), b); err != nil && !errors.Is(err, ErrNothingToDo) {
					t.Errorf("killed at write %d: %v", died, err)
				}
				if !maps.Equal(s.document, careful()) || len(s.entries) != 1 || s.entries["mine"].Spec.Username != "other" {
					t.Errorf("killed at write %d: %+v, %q", died, s.entries, s.document)
				}
				continue
			}
			if err := apply(t, tool); err != nil && !errors.Is(err, ErrNothingToDo) {
				t.Errorf("killed at write %d: %v", died, err)
			}
			if s.document["mapRoles"] != carefulLeft || len(s.entries) != 3 || s.entries["mine"].Spec.Username != "bob" {
				t.Errorf("killed at write %d: %+v, %q", died, s.entries, s.document)
			}
			if err := tool.Undo(t.Context(), b); err != nil || !maps.Equal(s.document, careful()) || len(s.entries) != 1 {
				t.Errorf("killed at write %d, done and undone with the first backup: %v, %+v", died, err, s.entries)
			}
		}
	}
}

func TestAChangeBetweenPlanAndApplyStopsIt(t *testing.T) {
	s, tool, _ := newTool(t, careful())
	p, _ := plan(t, careful(), Options{})
	s.edit("mapUsers", "username: bob", "username: robert")
	wantError(t, tool.Apply(t.Context(), p), "aws-auth was changed meanwhile", "user/bob", "run the command again")
	if len(s.writes) != 0 {
		t.Errorf("writes %q", s.writes)
	}
}

// migrated returns a cluster after a migration, and the backup.
func migrated(t *testing.T) (*apiServer, *Tool, Backup) {
	s, tool, lines := newTool(t, careful())
	tool.Remove = true
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	b, err := ParseBackup([]byte((*lines)[0]))
	if err != nil {
		t.Fatal(err)
	}
	s.writes = nil
	return s, tool, b
}

func TestUndoRestoresAndDeletes(t *testing.T) {
	s, tool, b := migrated(t)
	if err := tool.Undo(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(s.document, careful()) || len(s.entries) != 0 || s.writes[0] != "PATCH aws-auth" {
		t.Errorf("%q, %+v, writes %q, want aws-auth first", s.document, s.entries, s.writes)
	}
	if err := tool.Undo(t.Context(), b); !errors.Is(err, ErrNothingToDo) {
		t.Error(err)
	}
}

func TestUndoRefusesWhatWasChangedSince(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*apiServer)
		words  []string
	}{
		"an entry": {func(s *apiServer) {
			e := s.entries["role.111122223333.devs"]
			e.Spec.KubernetesGroups = []string{"other"}
			s.store(e, 2, e.UID)
		}, []string{"1 access entries were changed since the migration", "role.111122223333.devs"}},
		"a second entry": {func(s *apiServer) {
			e := s.entries["role.111122223333.devs"]
			e.Name, e.Labels = "second", nil
			s.store(e, 1, "uid-second")
		}, []string{"there is another entry for"}},
		"aws-auth": {func(s *apiServer) { s.edit("mapRoles", "system:nodes]", "system:nodes, more]") },
			[]string{"aws-auth was changed since the migration", "+  groups: [system:bootstrappers, system:nodes, more]"}},
		"a mapping that was deleted": {func(s *apiServer) {
			found, err := s.document.FindARN(account + "role/nodes")
			if err != nil {
				s.Fatal(err)
			}
			if s.document, err = s.document.Remove(found[0]); err != nil {
				s.Fatal(err)
			}
		}, []string{"aws-auth was changed since the migration", "-  groups: [system:bootstrappers, system:nodes]"}},
		"an entry that was deleted": {func(s *apiServer) { delete(s.entries, "user.111122223333.bob") },
			[]string{"aws-auth was changed since the migration", "user/bob"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, tool, b := migrated(t)
			c.change(s)
			wantError(t, tool.Undo(t.Context(), b), c.words...)
			if len(s.writes) != 0 {
				t.Errorf("writes %q", s.writes)
			}
		})
	}
}

// Who was taken from aws-auth by somebody else shall not come back.
func TestUndoBringsNobodyBackWhomItDidNotRemove(t *testing.T) {
	s, tool, lines := newTool(t, careful())
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	b, err := ParseBackup([]byte((*lines)[0]))
	if err != nil {
		t.Fatal(err)
	}
	s.edit("mapUsers", "- {userarn: arn:aws:iam::111122223333:user/bob, username: bob}\n", "")
	s.writes = nil
	wantError(t, tool.Undo(t.Context(), b), "aws-auth was changed since the migration", "-- {userarn: arn:aws:iam::111122223333:user/bob")
	if len(s.writes) != 0 {
		t.Errorf("writes %q", s.writes)
	}
}

// An undo that is killed goes on, too.
func TestAnUndoThatWasKilledGoesOn(t *testing.T) {
	for died := 1; died <= 4; died++ {
		s, tool, b := migrated(t)
		s.left = died
		if err := tool.Undo(t.Context(), b); err == nil {
			t.Fatalf("write %d did not kill it", died)
		}
		s.revive()
		if err := tool.Undo(t.Context(), b); err != nil || !maps.Equal(s.document, careful()) || len(s.entries) != 0 {
			t.Errorf("killed at write %d: %v, %+v, %q", died, err, s.entries, s.document)
		}
	}
}

func TestUndoDeletesNoEntryThatIsBeingEdited(t *testing.T) {
	s, tool, b := migrated(t)
	s.before = func(write string) {
		if write == "DELETE role.111122223333.devs" {
			s.mu.Lock()
			defer s.mu.Unlock()
			e := s.entries["role.111122223333.devs"]
			e.Spec.KubernetesGroups = []string{"other"}
			s.store(e, e.Generation+1, e.UID)
			s.before = nil
		}
	}
	wantError(t, tool.Undo(t.Context(), b), "role.111122223333.devs was changed meanwhile, and stays")
	if e := s.entries["role.111122223333.devs"]; len(e.Spec.KubernetesGroups) != 1 || e.Spec.KubernetesGroups[0] != "other" {
		t.Errorf("%+v", s.entries)
	}
}

// A server that writes a status meanwhile is nobody who edits.
func TestUndoDeletesEntriesWhoseStatusChanges(t *testing.T) {
	s, tool, b := migrated(t)
	s.before = func(write string) {
		if write == "DELETE role.111122223333.devs" {
			s.mu.Lock()
			defer s.mu.Unlock()
			e := s.entries["role.111122223333.devs"]
			s.store(e, e.Generation, e.UID)
			s.before = nil
		}
	}
	if err := tool.Undo(t.Context(), b); err != nil || len(s.entries) != 0 {
		t.Errorf("%v, %+v", err, s.entries)
	}
}

// What a second migration overwrote is the first one's again, which can be undone as well.
func TestMigrationsAreTakenBackOneAfterTheOther(t *testing.T) {
	s, tool, first := migrated(t)
	s.edit("mapRoles", "# Those", "- {rolearn: arn:aws:iam::111122223333:role/devs, username: 'new:{{SessionName}}'}\n# Those")
	var backup []byte
	tool.Backup = func(data []byte) (string, error) { backup = data; return "second", nil }
	tool.Overwrite, tool.Remove = true, false
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	second, err := ParseBackup(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.Undo(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	if e := s.entries["role.111122223333.devs"]; e.Spec.Username != "dev:{{SessionName}}" || e.Labels[Label] != AWSAuth {
		t.Errorf("%+v, want what the first migration made", e)
	}
	if err := tool.Undo(t.Context(), second); !errors.Is(err, ErrNothingToDo) {
		t.Error(err)
	}
	// Its generation is another one now: who goes on must look.
	wantError(t, tool.Undo(t.Context(), first), "role.111122223333.devs")
}

func TestUndoLeavesEntriesOfAnotherMigration(t *testing.T) {
	s, tool, _ := migrated(t)
	s.document["mapUsers"] = "- {userarn: arn:aws:iam::111122223333:user/eve, username: eve}\n"
	var backup []byte
	tool.Backup = func(data []byte) (string, error) { backup = data; return "second", nil }
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	b, err := ParseBackup(backup)
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.Undo(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if _, there := s.entries["user.111122223333.eve"]; there || len(s.entries) != 3 {
		t.Errorf("%+v, want those of the first migration", s.entries)
	}
}

func TestABackupHasEveryByte(t *testing.T) {
	for _, text := range []string{"", " ", "a\r\nb: c\t\n\n", "# \"q\" 'x' é \u2028\n...\n---\n", "- |\n  a  \n", "null", "yes", "  indented\nless\n"} {
		data, err := Backup{AWSAuth: awsauth.Document{"mapRoles": text, "other": text + "x"}}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		b, err := ParseBackup(data)
		if err != nil || b.AWSAuth["mapRoles"] != text || b.AWSAuth["other"] != text+"x" {
			t.Errorf("%q became %q: %v", text, b.AWSAuth, err)
		}
	}
}

func TestParseBackupRefusesOtherFiles(t *testing.T) {
	for text, word := range map[string]string{
		"kind: Pod": "no backup of a migration",
		"kind: ConfigMap\nmetadata: {name: other, namespace: kube-system}": "kube-system/other",
		"a: [": "yaml",
		"text": "no manifest",
	} {
		_, err := ParseBackup([]byte(text))
		wantError(t, err, word)
	}
}

func TestALargeMigrationIsAppliedRemovedAndTakenBack(t *testing.T) {
	s, tool, lines := newTool(t, large(1, 120))
	tool.Remove = true
	if err := apply(t, tool); err != nil {
		t.Fatal(err)
	}
	// Each entry is a request or two, however many there are.
	if s.lists > 8 || len(s.writes) != len(s.entries)+1 {
		t.Errorf("%d lists and %d writes for %d entries", s.lists, len(s.writes), len(s.entries))
	}
	s.lists = 0
	was, _ := plan(t, large(1, 120), Options{})
	is, _ := plan(t, s.document, Options{})
	if is.Count(Carried)+is.Count(Shadowed) != 0 || is.Count(Left) != was.Count(Left) || len(s.entries) != was.Count(Carried) {
		t.Errorf("%d carried, %d left; of %d, %d", is.Count(Carried), is.Count(Left), was.Count(Carried), was.Count(Left))
	}
	b, err := ParseBackup([]byte((*lines)[0]))
	if err != nil {
		t.Fatal(err)
	}
	if err := tool.Undo(t.Context(), b); err != nil || !maps.Equal(s.document, large(1, 120)) || len(s.entries) != 0 {
		t.Errorf("%v, %d entries", err, len(s.entries))
	}
}
