package access

import (
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// maxSuggestions bounds the entries that are named as perhaps meant.
const maxSuggestions = 5

// suggestForToken says what could be done about a token that is refused.
func suggestForToken(code reason.Code, o TokenOptions) []Suggestion {
	var ids string
	if len(o.ClusterIDs) > 0 {
		ids = strings.Join(o.ClusterIDs, " or ")
	}
	switch {
	case code == reason.SignatureMismatch && ids != "":
		return []Suggestion{{Text: "the server takes tokens for the cluster ID " + ids + ": the client gives it with -i (aws eks get-token: --cluster-name)"}}
	case code == reason.TokenExpired && ids != "":
		return []Suggestion{{Text: "make a new token: authenticator token -i " + o.ClusterIDs[0]}}
	default:
		return nil
	}
}

// suggest says what could be done about a refusal.
func (s *Sources) suggest(w *walk, id iam.Identity, assumed assumption) []Suggestion {
	code := reason.Of(w.err)
	if code == reason.NotMapped {
		suggestions := s.nearMisses(id.Principal)
		if snippet, ok := s.snippet(id.Principal); ok {
			suggestions = append(suggestions, snippet)
		}
		return suggestions
	}
	if w.entry == nil {
		return nil
	}
	e, place := w.entry.Entry(), s.entryOf(w)
	switch {
	case code == reason.PrincipalIDMismatch && !assumed.id && e.UserID != "" && e.UserID != id.UserID:
		return []Suggestion{{Text: fmt.Sprintf("if %s was deleted and created again on purpose, replace %s by %s in %s", id.CanonicalARN, e.UserID, id.UserID, place)}}
	case code == reason.SessionNameRefused:
		return []Suggestion{{Text: fmt.Sprintf("assume the role with a session name that matches %s as a whole (authenticator token --session-name NAME), or change it in %s", e.SessionNamePattern, place)}}
	case code == reason.NameReserved:
		return []Suggestion{{Text: "begin the name with text of your own, such as team:{{SessionName}}, in " + place}}
	case code == reason.EntryInvalid, code == reason.TemplateFailed:
		return []Suggestion{{Text: "correct " + place + ": no other entry decides in its stead"}}
	default:
		return nil
	}
}

// nearMisses names entries that may have been meant for a principal.
func (s *Sources) nearMisses(p iam.Principal) []Suggestion {
	var list []Suggestion
	add := func(place, why string) {
		if len(list) < maxSuggestions {
			list = append(list, Suggestion{Text: place + " " + why})
		}
	}
	var names []string // of the same kind in the same account
	for _, source := range s.list {
		for _, e := range source.entries {
			if why := nearMiss(p, e); why != "" {
				add(source.place(e.Source), why)
			} else if e.Principal.Kind == p.Kind && e.Principal.Account == p.Account {
				names = append(names, e.Principal.Name)
			}
		}
	}
	// By its name, only if nothing nearer was found.
	if similar := suggest.Nearest(p.Name, names); similar != "" && len(list) == 0 {
		for _, source := range s.list {
			for _, e := range source.entries {
				if e.Principal.Kind == p.Kind && e.Principal.Account == p.Account && e.Principal.Name == similar {
					add(source.place(e.Source), fmt.Sprintf("is for a %s with a similar name, %s", p.Kind, similar))
				}
			}
		}
	}
	return list
}

// nearMiss says what an entry that may have been meant for a principal lacks, or "".
func nearMiss(p iam.Principal, e *entry) string {
	q := e.Principal
	sameName := q.Kind != 0 && strings.EqualFold(p.Name, q.Name)
	set, isSSO := p.PermissionSet()
	otherSet, otherIsSSO := q.PermissionSet()
	switch {
	case e.skipped != "" && (e.names(p) || p.Name != "" && strings.HasSuffix(strings.ToLower(e.Source.ARN), "/"+strings.ToLower(p.Name))):
		return "seems meant, but is skipped: " + e.skipped
	case e.skipped != "":
		return ""
	case e.PermissionSet.Name != "" && isSSO && strings.EqualFold(set, e.PermissionSet.Name):
		return permissionSetMiss(p, set, e.PermissionSet)
	case isSSO && otherIsSSO && set == otherSet && p.Account == q.Account && p.Partition == q.Partition:
		return "is for an earlier role of the same permission set, whose name ends differently: name the permission set instead (sso: in mapRoles), or the new role"
	case !sameName:
		return ""
	case p.Partition != q.Partition && p.Account == q.Account:
		return fmt.Sprintf("is for the same name in the partition %s, the caller is in %s", q.Partition, p.Partition)
	case p.Account != q.Account && p.Kind == q.Kind && oneDigitOff(p.Account, q.Account):
		return fmt.Sprintf("is for the same name in the account %s: one digit differs", q.Account)
	case p.Account != q.Account && p.Kind == q.Kind:
		return fmt.Sprintf("is for the same name in the account %s, the caller is in %s", q.Account, p.Account)
	case p.Account == q.Account && p.Kind != q.Kind:
		return fmt.Sprintf("is for the %s of that name, the caller is a %s", q.Kind, p.Kind)
	case p.Account == q.Account && p.Kind == iam.User && !strings.EqualFold(p.Path, q.Path):
		return fmt.Sprintf("is for the user with the path %s, the caller's is %s: paths of users count", q.Path, p.Path)
	case p.Account == q.Account && p.Kind == iam.FederatedUser && p.Name != q.Name:
		return "is for the same name in other letter case, which counts for federated users"
	default:
		return ""
	}
}

func permissionSetMiss(p iam.Principal, set string, wanted mapper.PermissionSet) string {
	switch {
	case set != wanted.Name:
		return fmt.Sprintf("is for the permission set %s: letter case counts", wanted.Name)
	case p.Account != wanted.Account:
		return fmt.Sprintf("is for the permission set in the account %s, the caller is in %s", wanted.Account, p.Account)
	default:
		return fmt.Sprintf("is for the permission set in the partition %s, the caller is in %s", wanted.Partition, p.Partition)
	}
}

// oneDigitOff tells whether two accounts differ in one digit, or in two neighbours
// that are swapped.
func oneDigitOff(a, b string) bool {
	var at []int
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			at = append(at, i)
		}
	}
	return len(at) == 1 || len(at) == 2 && at[1] == at[0]+1 && a[at[0]] == b[at[1]] && a[at[1]] == b[at[0]]
}

// snippet returns a mapping for a principal to add to the first source that can have
// it.
func (s *Sources) snippet(p iam.Principal) (Suggestion, bool) {
	if p.Partition != s.partition {
		return Suggestion{}, false
	}
	named := p.Kind == iam.Role || p.Kind == iam.User
	for _, source := range s.list {
		const and = ", with the username and the groups that you want:"
		switch name := source.Name(); {
		case name == config.BackendAccessEntry && named:
			return Suggestion{"add an access entry with kubectl apply -f -" + and, s.accessEntry(p)}, true
		case name == config.BackendCRD && named:
			return Suggestion{"add an identity mapping with kubectl apply -f -" + and, identityMapping(p)}, true
		case name == config.BackendEKSConfigMap:
			return Suggestion{"add to " + sectionOf(p) + " of the ConfigMap kube-system/aws-auth" + and, listItem(p)}, true
		case name == config.BackendMountedFile:
			return Suggestion{"add to server." + sectionOf(p) + " in " + source.origin + and, listItem(p)}, true
		case name == config.BackendDynamicFile && !source.byUserID:
			return Suggestion{"add to " + sectionOf(p) + " in " + source.origin + and, listItem(p)}, true
		}
	}
	return Suggestion{}, false
}

func sectionOf(p iam.Principal) string {
	if p.Kind == iam.Role {
		return mapper.MapRoles
	}
	return mapper.MapUsers
}

// username suggests a name. That of a role has the session in it, so that people can
// be told apart; names that Kubernetes and EKS reserve are not among those suggested.
func username(p iam.Principal) string {
	name := p.Name
	switch p.Kind {
	case iam.Role:
		if set, ok := p.PermissionSet(); ok {
			name = set
		}
		if slices.Contains([]string{"system", "eks", "aws", "amazon", "iam"}, name) {
			name = "role-" + name
		}
		return name + ":{{SessionName}}"
	case iam.Root:
		return "root-" + p.Account
	default:
		return name
	}
}

func listItem(p iam.Principal) string {
	key, subject := "userarn", p.Canonical()
	if p.Kind == iam.Role {
		key = "rolearn"
	}
	item := fmt.Sprintf("- %s: %q\n", key, subject)
	if set, ok := p.PermissionSet(); ok {
		item = fmt.Sprintf("- sso: {permissionSetName: %q, accountID: %q, partition: %q}\n", set, p.Account, p.Partition)
	}
	return item + fmt.Sprintf("  username: %q\n  groups: []\n", username(p))
}

func (s *Sources) accessEntry(p iam.Principal) string {
	return fmt.Sprintf(`apiVersion: iam-authenticator.dev/v1alpha1
kind: AccessEntry
metadata:
  name: %q
spec:
  principalARN: %q
  username: %q
  kubernetesGroups: []
`, s.freeName(p), p.Canonical(), username(p))
}

func identityMapping(p iam.Principal) string {
	return fmt.Sprintf(`apiVersion: iamauthenticator.k8s.aws/v1alpha1
kind: IAMIdentityMapping
metadata:
  name: %q
spec:
  arn: %q
  username: %q
  groups: []
`, objectName(p.Name), p.Canonical(), username(p))
}

// freeName returns a name for an access entry that no other has.
func (s *Sources) freeName(p iam.Principal) string {
	name := objectName(p.Name)
	for _, source := range s.list {
		if slices.ContainsFunc(source.entries, func(e *entry) bool { return e.Source.Section == "AccessEntry/"+name }) {
			return name + "-" + p.Account
		}
	}
	return name
}

// objectName makes a name of Kubernetes of one of IAM: RFC 1123, lower case.
func objectName(name string) string {
	name = strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z', '0' <= r && r <= '9', r == '-':
			return r
		case 'A' <= r && r <= 'Z':
			return r + 'a' - 'A'
		default:
			return '-'
		}
	}, name)
	if name = strings.Trim(name, "-"); name == "" {
		return "entry"
	}
	return name
}
