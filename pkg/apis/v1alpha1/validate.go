package v1alpha1

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// Limits of an entry, as in the markers of types.go. Those of IAM are IAM's; for
// the others AWS publishes none, and they are ours.
const (
	maxARN         = 1024
	maxPrincipalID = 128
	maxName        = 1024 // bytes of a username or group
	maxGroups      = 100
	maxPolicies    = 20
	maxPolicyARN   = 256
	maxPolicyName  = 128
	maxNamespaces  = 100
	maxNamespace   = 63
)

const (
	lower   = "abcdefghijklmnopqrstuvwxyz"
	upper   = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	digits  = "0123456789"
	iamName = lower + upper + digits + "_+=,.@-"
)

// Validate returns what is wrong with the entry, in the words of the schema and, so
// far as they are known, of EKS. An empty list means that the schema takes it too.
func (e *AccessEntry) Validate() field.ErrorList {
	spec := field.NewPath("spec")
	s := &e.Spec
	standard := e.entryType() == Standard

	principal, errs := validatePrincipal(s.PrincipalARN, spec.Child("principalARN"))
	if types := []AccessEntryType{Standard, EC2Linux, EC2Windows, FargateLinux, HybridLinux, EC2}; !slices.Contains(types, e.entryType()) {
		errs = append(errs, field.NotSupported(spec.Child("type"), s.Type, types))
	}
	if !standard && principal.Kind == iam.User {
		errs = append(errs, field.Invalid(spec.Child("principalARN"), s.PrincipalARN,
			invalidPrincipal+` Only an access entry with a type of "STANDARD" can be for a user.`))
	}
	errs = append(errs, validatePrincipalID(s.PrincipalID, principal.Kind, spec.Child("principalID"))...)

	if s.Username != "" {
		errs = append(errs, validateUsername(s.Username, spec.Child("username"))...)
		if !standard {
			errs = append(errs, field.Forbidden(spec.Child("username"), onlyStandard+" The other types have a username of their own."))
		}
	}
	errs = append(errs, validateGroups(s.KubernetesGroups, spec.Child("kubernetesGroups"))...)
	if !standard && len(s.KubernetesGroups) > 0 {
		errs = append(errs, field.Forbidden(spec.Child("kubernetesGroups"), onlyStandard+" The other types have groups of their own."))
	}
	errs = append(errs, validatePolicies(s.AccessPolicies, spec.Child("accessPolicies"))...)
	if !standard && e.Spec.Type != EC2 && len(s.AccessPolicies) > 0 {
		errs = append(errs, field.Forbidden(spec.Child("accessPolicies"),
			`This operation can only be performed on Access Entries with a type of "STANDARD" or "EC2".`))
	}
	return errs
}

// ValidateUpdate returns what is wrong with the entry as the successor of old.
func (e *AccessEntry) ValidateUpdate(old *AccessEntry) field.ErrorList {
	spec := field.NewPath("spec")
	errs := e.Validate()
	if e.Spec.PrincipalARN != old.Spec.PrincipalARN {
		errs = append(errs, field.Invalid(spec.Child("principalARN"), e.Spec.PrincipalARN,
			"The principalARN of an access entry can't be changed: create an entry for the other principal and delete this one."))
	}
	if e.entryType() != old.entryType() {
		errs = append(errs, field.Invalid(spec.Child("type"), e.Spec.Type,
			"The type of an access entry can't be changed: delete the entry and create it again."))
	}
	return errs
}

// The beginnings of EKS's messages that stand in several of ours.
const (
	invalidPrincipal = "The specified principalArn is invalid: invalid principal."
	onlyStandard     = `This operation can only be performed on Access Entries with a type of "STANDARD".`
)

// validatePrincipal parses the ARN of a role or user. Unlike iam.ParsePrincipal it
// wants the fixed parts in lower case, as AWS writes them.
func validatePrincipal(arn string, path *field.Path) (iam.Principal, field.ErrorList) {
	if arn == "" {
		return iam.Principal{}, field.ErrorList{field.Required(path, "")}
	}
	if utf8.RuneCountInString(arn) > maxARN {
		return iam.Principal{}, field.ErrorList{field.TooLong(path, arn, maxARN)}
	}
	p, err := iam.ParsePrincipal(arn)
	var want string
	switch {
	case isSession(arn):
		want = "Want the IAM role, not a session of it: arn:aws:iam::111122223333:role/PATH/NAME."
	case err != nil || !strings.HasPrefix(arn, "arn:"+p.Partition+":iam::"+p.Account+":"+p.Kind.String()+"/"):
		want = "Want an IAM role or user, such as arn:aws:iam::111122223333:role/PATH/NAME."
	case p.Kind == iam.Role && strings.HasPrefix(strings.ToLower(p.Path), "/aws-service-role/"):
		want = "A service-linked role can't have an access entry."
	default:
		return p, nil
	}
	return iam.Principal{}, field.ErrorList{field.Invalid(path, arn, invalidPrincipal+" "+want)}
}

// isSession tells whether the ARN is one of STS.
func isSession(arn string) bool {
	fields := strings.SplitN(arn, ":", 4)
	return len(fields) == 4 && fields[0] == "arn" && fields[2] == "sts"
}

func validatePrincipalID(id string, kind iam.Kind, path *field.Path) (errs field.ErrorList) {
	if utf8.RuneCountInString(id) > maxPrincipalID {
		return field.ErrorList{field.TooLong(path, id, maxPrincipalID)}
	}
	if !consistsOf(id, lower+upper+digits) {
		errs = append(errs, field.Invalid(path, id,
			"The principalID must consist of ASCII letters and digits, such as AROAEXAMPLEID: leave out the colon and the session name if there is one."))
	}
	// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html#identifiers-unique-ids
	if kind == iam.Role && strings.HasPrefix(id, "AIDA") {
		errs = append(errs, field.Invalid(path, id, "The principalID is that of a user, but the principalARN is that of a role."))
	}
	if kind == iam.User && strings.HasPrefix(id, "AROA") {
		errs = append(errs, field.Invalid(path, id, "The principalID is that of a role, but the principalARN is that of a user."))
	}
	return errs
}

func validateUsername(name string, path *field.Path) field.ErrorList {
	errs := validateName(name, "The username", "how their name begins", path)
	for _, reserved := range []string{"system:", "eks:", "aws:", "amazon:", "iam:"} {
		if strings.HasPrefix(name, reserved) {
			errs = append(errs, field.Invalid(path, name, "The username must not begin with "+reserved))
		}
	}
	return errs
}

// validateGroups refuses system: only, as EKS does: its own node types have groups
// that begin with eks:.
func validateGroups(groups []string, path *field.Path) (errs field.ErrorList) {
	if len(groups) > maxGroups {
		return field.ErrorList{field.TooMany(path, len(groups), maxGroups)}
	}
	for i, group := range groups {
		errs = append(errs, validateName(group, "The kubernetes group name", "their groups", path.Index(i))...)
		if strings.HasPrefix(group, "system:") {
			errs = append(errs, field.Invalid(path.Index(i), group,
				"The kubernetes group name "+group+" is invalid, it cannot start with system:"))
		}
		if slices.Contains(groups[:i], group) {
			errs = append(errs, field.Duplicate(path.Index(i), group))
		}
	}
	return errs
}

// validateName checks a template of a username or group: what it is called, and
// what callers would choose if their session name came first.
func validateName(name, what, choice string, path *field.Path) (errs field.ErrorList) {
	if utf8.RuneCountInString(name) > maxName {
		return field.ErrorList{field.TooLong(path, name, maxName)}
	}
	refuse := func(why string) { errs = append(errs, field.Invalid(path, name, what+" must "+why)) }
	if len(name) > maxName {
		refuse(fmt.Sprintf("not have more than %d bytes.", maxName))
	}
	if strings.TrimSpace(name) == "" {
		refuse("not be blank.")
	}
	if strings.ContainsFunc(name, isControl) || !utf8.ValidString(name) {
		refuse("not have control characters.")
	}
	if len(name) >= len(ReservedPrefix) && strings.EqualFold(name[:len(ReservedPrefix)], ReservedPrefix) {
		refuse("not begin with " + ReservedPrefix + " in any letter case.")
	}
	if !hasKnownPlaceholders(name) {
		refuse("have braces only in {{AccountID}}, {{SessionName}}, {{SessionNameRaw}}, {{AccessKeyID}}, {{EC2PrivateDNSName}} or {{EC2InstanceID}}.")
	}
	// A session called system would make system:masters of {{SessionName}}:masters.
	if before, _, found := strings.Cut(name, "{{SessionName"); found && !strings.Contains(before, ":") {
		refuse("have a colon before the session name, as in team:{{SessionName}}: otherwise callers would choose " + choice + ".")
	}
	return errs
}

// isControl tells whether r is a control character, or one that is invisible or
// turns the text around: what is shown must be what is compared.
func isControl(r rune) bool { return unicode.In(r, unicode.C, unicode.Zl, unicode.Zp) }

// hasKnownPlaceholders tells whether every brace belongs to a placeholder.
func hasKnownPlaceholders(text string) bool {
	for {
		before, after, found := strings.Cut(text, "{{")
		if strings.ContainsAny(before, "{}") {
			return false
		}
		if !found {
			return true
		}
		name, rest, closed := strings.Cut(after, "}}")
		if !closed || !slices.Contains([]string{"AccountID", "SessionName", "SessionNameRaw", "AccessKeyID", "EC2PrivateDNSName", "EC2InstanceID"}, name) {
			return false
		}
		text = rest
	}
}

func validatePolicies(policies []AccessPolicy, path *field.Path) (errs field.ErrorList) {
	if len(policies) > maxPolicies {
		return field.ErrorList{field.TooMany(path, len(policies), maxPolicies)}
	}
	for i, p := range policies {
		path := path.Index(i)
		errs = append(errs, validatePolicyARN(p.PolicyARN, path.Child("policyARN"))...)
		errs = append(errs, validateScope(p.AccessScope, path.Child("accessScope"))...)
		if slices.ContainsFunc(policies[:i], func(q AccessPolicy) bool { return q.PolicyARN == p.PolicyARN }) {
			errs = append(errs, field.Duplicate(path, map[string]string{"policyARN": p.PolicyARN}))
		}
	}
	return errs
}

func validatePolicyARN(arn string, path *field.Path) field.ErrorList {
	if arn == "" {
		return field.ErrorList{field.Required(path, "")}
	}
	if utf8.RuneCountInString(arn) > maxPolicyARN {
		return field.ErrorList{field.TooLong(path, arn, maxPolicyARN)}
	}
	if _, _, err := ParsePolicyARN(arn); err != nil {
		return field.ErrorList{field.Invalid(path, arn,
			"The specified policyArn is invalid. Want one such as arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy.")}
	}
	return nil
}

// policyInfix stands in the ARN of an access policy between partition and name.
const policyInfix = ":eks::aws:cluster-access-policy/"

// PolicyARN returns the ARN of an access policy with a name in a partition.
func PolicyARN(partition, name string) string { return "arn:" + partition + policyInfix + name }

// ParsePolicyARN returns the partition and the name in the ARN of an access policy. It
// checks the form alone: AWS and operators add policies.
func ParsePolicyARN(arn string) (partition, name string, err error) {
	rest, isARN := strings.CutPrefix(arn, "arn:")
	partition, name, isPolicy := strings.Cut(rest, policyInfix)
	_, known := iam.LookupPartition(partition)
	if !isARN || !isPolicy || !known || name == "" || len(name) > maxPolicyName || !consistsOf(name, iamName) {
		return "", "", fmt.Errorf("%q is not the ARN of an access policy, want one such as arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy", arn)
	}
	return partition, name, nil
}

func validateScope(s AccessScope, path *field.Path) (errs field.ErrorList) {
	namespaces := path.Child("namespaces")
	switch s.Type {
	case "":
		errs = append(errs, field.Required(path.Child("type"), ""))
	case ScopeCluster:
		if len(s.Namespaces) > 0 {
			errs = append(errs, field.Forbidden(namespaces, `An access scope with a type of "cluster" has no namespaces.`))
		}
	case ScopeNamespace:
		if len(s.Namespaces) == 0 {
			errs = append(errs, field.Required(namespaces, `An access scope with a type of "namespace" has at least one namespace.`))
		}
	default:
		errs = append(errs, field.NotSupported(path.Child("type"), s.Type, []AccessScopeType{ScopeCluster, ScopeNamespace}))
	}
	if len(s.Namespaces) > maxNamespaces {
		return append(errs, field.TooMany(namespaces, len(s.Namespaces), maxNamespaces))
	}
	for i, n := range s.Namespaces {
		switch {
		case utf8.RuneCountInString(n) > maxNamespace:
			errs = append(errs, field.TooLong(namespaces.Index(i), n, maxNamespace))
		case n == "" || !consistsOf(n, lower+digits+"*-") || n[0] == '-' || n[len(n)-1] == '-':
			errs = append(errs, field.Invalid(namespaces.Index(i), n,
				"The namespace must consist of lower-case letters, digits and -, with a letter or digit at both ends; * stands for any characters."))
		}
		if slices.Contains(s.Namespaces[:i], n) {
			errs = append(errs, field.Duplicate(namespaces.Index(i), n))
		}
	}
	return errs
}

// consistsOf tells whether every character of s is one of those in set.
func consistsOf(s, set string) bool { return strings.Trim(s, set) == "" }
