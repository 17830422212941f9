package entries

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
)

// entriesToPrint are two entries with everything, and with nothing that can be missing.
func entriesToPrint(t *testing.T) []v1alpha1.AccessEntry {
	full := newEntry(t, v1alpha1.AccessEntrySpec{
		PrincipalARN: adminsARN, PrincipalID: "AROAEXAMPLE", Username: "ops:{{SessionName}}", KubernetesGroups: []string{"a", "b"},
		AccessPolicies: []v1alpha1.AccessPolicy{
			{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster}},
			{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy", AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeNamespace, Namespaces: []string{"x", "y-*"}}},
		},
	})
	full.Generation = 3
	full.CreationTimestamp = metav1.NewTime(time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600)))
	full.Status.Conditions = []metav1.Condition{{Type: "Accepted", Status: "False", Reason: "DuplicatePrincipal", Message: "Another stands.", ObservedGeneration: 3}}
	return []v1alpha1.AccessEntry{*full, *newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: devsARN, Type: v1alpha1.EC2Linux})}
}

func TestPrintDescribesAnEntry(t *testing.T) {
	for i, want := range []string{`NAME           role.111122223333.admins
PRINCIPAL      arn:aws:iam::111122223333:role/team/Admins
TYPE           STANDARD
USERNAME       ops:{{SessionName}}
GROUPS         a, b
PRINCIPAL ID   AROAEXAMPLE
POLICIES       arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy (cluster)
               arn:aws:eks::aws:cluster-access-policy/AmazonEKSEditPolicy (namespaces x, y-*)
ACCEPTED       False
REASON         DuplicatePrincipal
MESSAGE        Another stands.
CREATED        2026-01-02T02:04:05Z
`, `NAME        role.111122223333.devs
PRINCIPAL   arn:aws:iam::111122223333:role/devs
TYPE        EC2_LINUX
USERNAME    system:node:{{EC2PrivateDNSName}}
GROUPS      system:nodes
POLICIES    <none>
ACCEPTED    Unknown
REASON      NotReported
`} {
		var w strings.Builder
		if err := Print(&w, &entriesToPrint(t)[i], FormatTable); err != nil || w.String() != want {
			t.Errorf("%v, got\n%swant\n%s", err, w.String(), want)
		}
	}
}

func TestListPrinterPrintsATableInPieces(t *testing.T) {
	var w strings.Builder
	p := NewListPrinter(&w, FormatTable)
	list := entriesToPrint(t)
	for _, page := range [][]v1alpha1.AccessEntry{list[1:], {}, list[:1], list[1:]} {
		if err := p.Print(page); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := p.Close(); n != 3 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
	const want = `PRINCIPAL                             TYPE        USERNAME                            GROUPS         POLICIES   ACCEPTED   REASON        NAME
arn:aws:iam::111122223333:role/devs   EC2_LINUX   system:node:{{EC2PrivateDNSName}}   system:nodes   <none>     Unknown    NotReported   role.111122223333.devs
arn:aws:iam::111122223333:role/team/Admins   STANDARD    ops:{{SessionName}}                 a,b            AmazonEKSViewPolicy,AmazonEKSEditPolicy(x,y-*)   False      DuplicatePrincipal   role.111122223333.admins
arn:aws:iam::111122223333:role/devs          EC2_LINUX   system:node:{{EC2PrivateDNSName}}   system:nodes   <none>                                           Unknown    NotReported          role.111122223333.devs
`
	if w.String() != want {
		t.Errorf("got\n%swant\n%s", w.String(), want)
	}
}

func TestListPrinterPrintsDocumentsInPieces(t *testing.T) {
	list := entriesToPrint(t)
	for _, pages := range [][][]v1alpha1.AccessEntry{{}, {{}}, {list[:1], {}, list[1:]}, {list}} {
		var want []v1alpha1.AccessEntry
		for _, page := range pages {
			want = append(want, page...)
		}
		for format, unmarshal := range map[Format]func([]byte, any) error{
			FormatJSON: json.Unmarshal,
			FormatYAML: func(data []byte, into any) error { return yaml.UnmarshalStrict(data, into) },
		} {
			var w strings.Builder
			p := NewListPrinter(&w, format)
			for _, page := range pages {
				if err := p.Print(page); err != nil {
					t.Fatal(err)
				}
			}
			if n, err := p.Close(); n != len(want) || err != nil {
				t.Errorf("%d, %v", n, err)
			}
			var got v1alpha1.AccessEntryList
			if err := unmarshal([]byte(w.String()), &got); err != nil {
				t.Fatalf("%s of %d pages: %v\n%s", format, len(pages), err, w.String())
			}
			if got.Kind != "AccessEntryList" || got.APIVersion != "iam-authenticator.dev/v1alpha1" || got.Items == nil || len(got.Items) != len(want) {
				t.Errorf("%s: %+v", format, got)
			}
			for i := range want {
				got.Items[i].CreationTimestamp, want[i].CreationTimestamp = metav1.Time{}, metav1.Time{}
				if !reflect.DeepEqual(got.Items[i], want[i]) {
					t.Errorf("%s: got %+v, want %+v", format, got.Items[i], want[i])
				}
			}
		}
	}
}

// A manifest is for kubectl: what a user can't write isn't in it.
func TestPrintMakesAManifest(t *testing.T) {
	var w strings.Builder
	e := newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: aliceARN})
	if err := Print(&w, e, FormatYAML); err != nil {
		t.Fatal(err)
	}
	const want = `apiVersion: iam-authenticator.dev/v1alpha1
kind: AccessEntry
metadata:
  name: user.111122223333.alice
spec:
  principalARN: arn:aws:iam::111122223333:user/alice
  type: STANDARD
`
	if w.String() != want {
		t.Errorf("got\n%s", w.String())
	}
	w.Reset()
	if err := Print(&w, e, FormatName); err != nil || w.String() != "accessentry.iam-authenticator.dev/user.111122223333.alice\n" {
		t.Errorf("%q, %v", w.String(), err)
	}
}

func TestPrintDoneSaysWhatIsOnlyTried(t *testing.T) {
	for dryRun, want := range map[DryRun]string{
		DryRunNone: "created\n", DryRunClient: "created (dry run)\n", DryRunServer: "created (server dry run)\n",
	} {
		var w strings.Builder
		if err := PrintDone(&w, newEntry(t, v1alpha1.AccessEntrySpec{PrincipalARN: devsARN}), "created", dryRun); err != nil ||
			w.String() != "accessentry.iam-authenticator.dev/role.111122223333.devs "+want {
			t.Errorf("%q, %v", w.String(), err)
		}
	}
}

func TestTablesDoNothingToTerminals(t *testing.T) {
	var w strings.Builder
	e := entriesToPrint(t)[0]
	e.Spec.Username = "a\x1b[2Jb\nc"
	e.Spec.KubernetesGroups = []string{"\u202egroup"}
	if err := NewListPrinter(&w, FormatTable).Print([]v1alpha1.AccessEntry{e}); err != nil {
		t.Fatal(err)
	}
	if strings.ContainsAny(w.String(), "\x1b\u202e") || strings.Count(w.String(), "\n") != 2 || !strings.Contains(w.String(), `"a\x1b[2Jb\nc"`) {
		t.Errorf("%q", w.String())
	}
}

func TestPrintPolicies(t *testing.T) {
	var w strings.Builder
	if err := PrintPolicies(&w, "aws-cn", FormatJSON); err != nil {
		t.Fatal(err)
	}
	var list struct{ AccessPolicies []struct{ Name, ARN string } }
	if err := json.Unmarshal([]byte(w.String()), &list); err != nil || len(list.AccessPolicies) != len(Policies()) ||
		list.AccessPolicies[0].ARN != "arn:aws-cn:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy" {
		t.Errorf("%+v, %v", list, err)
	}
	w.Reset()
	if err := PrintPolicies(&w, "aws", FormatName); err != nil || strings.Count(w.String(), "\narn:aws:eks::aws:cluster-access-policy/") != len(Policies())-1 {
		t.Errorf("%q, %v", w.String(), err)
	}
	w.Reset()
	if err := PrintPolicies(&w, "aws", FormatTable); err != nil || !strings.HasPrefix(w.String(), "NAME ") || strings.Count(w.String(), "\n") != len(Policies())+1 {
		t.Errorf("%q, %v", w.String(), err)
	}
}
