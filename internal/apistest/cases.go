// Package apistest holds the cases that the rules of access entries are tested
// with: those in Go by the tests of pkg/apis, those in the schema by e2e on a real
// API server. Both must give the answers that stand here.
package apistest

import (
	"fmt"
	"strings"
)

// Case is an access entry that somebody creates, or changes if Old is set.
type Case struct {
	Name     string // says the rule
	Old      string // spec that stands already, in YAML; empty: none
	Spec     string // spec in YAML
	Problems []Problem
	// SchemaOnly says why the rules in Go can't see the problems; empty: they do.
	SchemaOnly string
}

// Problem is what is wrong with a field.
type Problem struct {
	Field   string // such as "spec.kubernetesGroups[0]"
	Message string // that the error ends with
}

// EKS's words, and those that we put behind them.
const (
	invalidPrincipal = "The specified principalArn is invalid: invalid principal."
	wantPrincipal    = invalidPrincipal + " Want an IAM role or user, such as arn:aws:iam::111122223333:role/PATH/NAME."
	wantRole         = invalidPrincipal + " Want the IAM role, not a session of it: arn:aws:iam::111122223333:role/PATH/NAME."
	serviceLinked    = invalidPrincipal + " A service-linked role can't have an access entry."
	noUser           = invalidPrincipal + ` Only an access entry with a type of "STANDARD" can be for a user.`
	onlyStandard     = `This operation can only be performed on Access Entries with a type of "STANDARD".`
	noUsername       = onlyStandard + " The other types have a username of their own."
	noGroups         = onlyStandard + " The other types have groups of their own."
	noPolicies       = `This operation can only be performed on Access Entries with a type of "STANDARD" or "EC2".`
	idAlphabet       = "The principalID must consist of ASCII letters and digits, such as AROAEXAMPLEID: leave out the colon and the session name if there is one."
	placeholders     = "have braces only in {{AccountID}}, {{SessionName}}, {{SessionNameRaw}}, {{AccessKeyID}}, {{EC2PrivateDNSName}} or {{EC2InstanceID}}."
	colonInName      = "The username must have a colon before the session name, as in team:{{SessionName}}: otherwise callers would choose how their name begins."
	colonInGroup     = "The kubernetes group name must have a colon before the session name, as in team:{{SessionName}}: otherwise callers would choose their groups."
	wantPolicy       = "The specified policyArn is invalid. Want one such as arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy."
	wantNamespace    = "The namespace must consist of lower-case letters, digits and -, with a letter or digit at both ends; * stands for any characters."
	fixedPrincipal   = "The principalARN of an access entry can't be changed: create an entry for the other principal and delete this one."
	fixedType        = "The type of an access entry can't be changed: delete the entry and create it again."
	types            = `supported values: "STANDARD", "EC2_LINUX", "EC2_WINDOWS", "FARGATE_LINUX", "HYBRID_LINUX", "EC2"`
	tooShort         = "should be at least 1 chars long"
)

// partitions are those that principals and policies can be in.
var partitions = []string{"aws", "aws-cn", "aws-eusc", "aws-iso", "aws-iso-b", "aws-iso-e", "aws-iso-f", "aws-us-gov"}

const (
	role   = `principalARN: "arn:aws:iam::111122223333:role/Admins"`
	user   = `principalARN: "arn:aws:iam::111122223333:user/alice"`
	view   = `policyARN: "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"`
	others = "EC2_LINUX EC2_WINDOWS FARGATE_LINUX HYBRID_LINUX EC2" // types other than STANDARD
)

// Cases returns all cases.
func Cases() []Case {
	var cases []Case
	accept := func(name, spec string) { cases = append(cases, Case{Name: name, Spec: spec}) }
	refuse := func(name, spec, field, message string) {
		cases = append(cases, Case{Name: name, Spec: spec, Problems: []Problem{{"spec." + field, message}}})
	}
	schemaOnly := func(name, spec, field, why string, messages ...string) {
		c := Case{Name: name, Spec: spec, SchemaOnly: why}
		for _, m := range messages {
			c.Problems = append(c.Problems, Problem{"spec." + field, m})
		}
		cases = append(cases, c)
	}
	change := func(name, old, spec string, problems ...Problem) {
		cases = append(cases, Case{Name: name, Old: old, Spec: spec, Problems: problems})
	}
	const (
		absent  = "in Go, an empty string is one that was left out"
		missing = "in Go it is missing, not too short: another message"
	)

	// Principals.
	for _, partition := range partitions {
		accept("role in the partition "+partition, arn("arn:"+partition+":iam::111122223333:role/Admins"))
		accept("user in the partition "+partition, arn("arn:"+partition+":iam::111122223333:user/alice"))
	}
	for name, resource := range map[string]string{
		"role with a path":                      "role/team/a/Admins",
		"role of IAM Identity Center":           "role/aws-reserved/sso.amazonaws.com/eu-west-1/AWSReservedSSO_View_0123456789abcdef",
		"user with a path":                      "user/team/alice",
		"every character of a name":             "role/aZ09_+=,.@-",
		"every kind of character in a path":     "role/!~:*{}/Admins",
		"longest name":                          "role/" + strings.Repeat("n", 64),
		"longest path":                          "role/" + strings.Repeat("p", 510) + "/Admins",
		"path that mentions a user":             "role/a:user/Admins",
		"role with the name of a path":          "role/aws-service-role",
		"path with that of AWS further behind":  "role/a/aws-service-role/Admins",
		"user with the path of a service's own": "user/aws-service-role/alice",
	} {
		accept(name, arn("arn:aws:iam::111122223333:"+resource))
	}
	for name, principal := range map[string]string{
		"text that is no ARN":           "Admins",
		"unknown partition":             "arn:moon:iam::111122223333:role/Admins",
		"partition in upper case":       "arn:AWS:iam::111122223333:role/Admins",
		"prefix in upper case":          "ARN:aws:iam::111122223333:role/Admins",
		"service in upper case":         "arn:aws:IAM::111122223333:role/Admins",
		"kind in upper case":            "arn:aws:iam::111122223333:Role/Admins",
		"region":                        "arn:aws:iam:us-east-1:111122223333:role/Admins",
		"account of eleven digits":      "arn:aws:iam::11112222333:role/Admins",
		"account of thirteen digits":    "arn:aws:iam::1111222233334:role/Admins",
		"no account":                    "arn:aws:iam:::role/Admins",
		"account in other digits":       "arn:aws:iam::١١١١٢٢٢٢٣٣٣٣:role/Admins",
		"root of the account":           "arn:aws:iam::111122223333:root",
		"group":                         "arn:aws:iam::111122223333:group/Admins",
		"instance profile":              "arn:aws:iam::111122223333:instance-profile/Admins",
		"policy":                        "arn:aws:iam::111122223333:policy/Admins",
		"SAML provider":                 "arn:aws:iam::111122223333:saml-provider/Idp",
		"session as if of IAM":          "arn:aws:iam::111122223333:assumed-role/Admins/alice",
		"no name":                       "arn:aws:iam::111122223333:role/",
		"path without a name":           "arn:aws:iam::111122223333:role/team/",
		"no slash":                      "arn:aws:iam::111122223333:role",
		"wildcard":                      "arn:aws:iam::111122223333:role/*",
		"placeholder":                   "arn:aws:iam::{{AccountID}}:role/Admins",
		"space before":                  " arn:aws:iam::111122223333:role/Admins",
		"space behind":                  "arn:aws:iam::111122223333:role/Admins ",
		"line break behind":             `arn:aws:iam::111122223333:role/Admins\n`,
		"second line":                   `arn:aws:iam::111122223333:role/Admins\narn:aws:iam::111122223333:role/Admins`,
		"name that looks like another":  `arn:aws:iam::111122223333:role/\u0410dmins`,
		"Kelvin sign in a name":         `arn:aws:iam::111122223333:role/\u212a`,
		"space in a path":               "arn:aws:iam::111122223333:role/a b/Admins",
		"name of 65 characters":         "arn:aws:iam::111122223333:role/" + strings.Repeat("n", 65),
		"path of 513 characters":        "arn:aws:iam::111122223333:role/" + strings.Repeat("p", 511) + "/Admins",
		"another service":               "arn:aws:s3::111122223333:role/Admins",
		"account in place of an ARN":    "111122223333",
		"unique ID in place of the ARN": "AROAEXAMPLE",
	} {
		refuse("principal: "+name, arn(principal), "principalARN", wantPrincipal)
	}
	refuse("principal: session", arn("arn:aws:sts::111122223333:assumed-role/Admins/alice"), "principalARN", wantRole)
	refuse("principal: federated user", arn("arn:aws:sts::111122223333:federated-user/bob"), "principalARN", wantRole)
	refuse("principal: service-linked role", arn("arn:aws:iam::111122223333:role/aws-service-role/eks.amazonaws.com/AWSServiceRoleForAmazonEKS"), "principalARN", serviceLinked)
	refuse("principal: service-linked role in upper case", arn("arn:aws:iam::111122223333:role/AWS-Service-Role/AWSServiceRoleForAmazonEKS"), "principalARN", serviceLinked)
	refuse("principal: missing", "{}", "principalARN", "Required value")
	schemaOnly("principal: empty", arn(""), "principalARN", missing, tooShort, wantPrincipal)
	refuse("principal: too long", arn(strings.Repeat("a", 1025)), "principalARN", "Too long: may not be more than 1024 bytes")

	// Types.
	accept("type STANDARD", "{"+role+", type: STANDARD}")
	accept("type is left out", "{"+role+"}")
	for t := range strings.FieldsSeq(others) {
		accept("type "+t, "{"+role+", type: "+t+"}")
		accept("type "+t+" with empty lists", "{"+role+", type: "+t+", kubernetesGroups: [], accessPolicies: []}")
		accept("type "+t+" with a pin", "{"+role+", type: "+t+", principalID: AROAEXAMPLE}")
		refuse("type "+t+" for a user", "{"+user+", type: "+t+"}", "principalARN", noUser)
		refuse("type "+t+" with a username", "{"+role+", type: "+t+", username: a}", "username", noUsername)
		refuse("type "+t+" with groups", "{"+role+", type: "+t+", kubernetesGroups: [a]}", "kubernetesGroups", noGroups)
		spec := "{" + role + ", type: " + t + ", accessPolicies: [{" + view + ", accessScope: {type: cluster}}]}"
		if t == "EC2" {
			accept("type EC2 with a policy", spec)
		} else {
			refuse("type "+t+" with a policy", spec, "accessPolicies", noPolicies)
		}
	}
	for _, t := range []string{"HYPERPOD_LINUX", "standard", "NODE", "STANDARD "} {
		refuse("type "+t, fmt.Sprintf("{%s, type: %q}", role, t), "type", types)
	}
	schemaOnly("type is empty", "{"+role+", type: ''}", "type", absent, types)

	// Usernames. Groups have the same rules, but for the reserved names.
	for _, name := range []string{
		"alice", "alice@example.com", "a b", "Ünïcode 名前 😀", "jo:hn{{SessionName}}", "team:{{SessionName}}", "team:{{SessionNameRaw}}",
		"{{AccountID}}", "{{AccountID}}:{{SessionName}}", "{{AccessKeyID}}", "n:{{EC2PrivateDNSName}}", "{{EC2PrivateDNSName}}", "n:{{EC2InstanceID}}", "{{EC2InstanceID}}",
		"a:{{SessionName}}{{SessionName}}", "{{AccountID}}{{AccessKeyID}}:", ":{{SessionName}}",
		"arn:aws:sts::111122223333:assumed-role/Admins/{{SessionName}}", "System:masters", "EKS:a", "SYSTEM:a", " system:a", "asystem:a",
		"system", "eks", "systems:a", "iamb:a", strings.Repeat("u", 1024), strings.Repeat("ü", 512),
	} {
		accept("username "+short(name), text(role+", username", name))
		accept("group "+short(name), list(role+", kubernetesGroups", name))
	}
	for _, prefix := range []string{"system:", "eks:", "aws:", "amazon:", "iam:"} {
		for _, rest := range []string{"", "masters", "node:{{EC2PrivateDNSName}}", "{{SessionName}}"} {
			refuse("username "+prefix+rest, text(role+", username", prefix+rest), "username", "The username must not begin with "+prefix)
			if prefix == "system:" {
				refuse("group "+prefix+rest, list(role+", kubernetesGroups", prefix+rest), "kubernetesGroups[0]",
					"The kubernetes group name "+prefix+rest+" is invalid, it cannot start with system:")
			} else {
				accept("group "+prefix+rest, list(role+", kubernetesGroups", prefix+rest))
			}
		}
	}
	for _, name := range []string{"iam-authenticator.dev", "iam-authenticator.de:v", "a:iam-authenticator.dev:", " iam-authenticator.dev:", "iam-authenticator.dev.:a"} {
		accept("username "+name, text(role+", username", name))
		accept("group "+name, list(role+", kubernetesGroups", name))
	}
	names := func(name, value, problem string) {
		refuse("username: "+name, text(role+", username", value), "username", "The username must "+problem)
		refuse("group: "+name, list(role+", kubernetesGroups", value), "kubernetesGroups[0]", "The kubernetes group name must "+problem)
	}
	for _, v := range []string{"iam-authenticator.dev:", "iam-authenticator.dev:access-entry:a:b", "IAM-Authenticator.DEV:a", "iam-authenticator.dev:{{SessionName}}"} {
		names("our own prefix in "+v, v, "not begin with iam-authenticator.dev: in any letter case.")
	}
	names("blank", "  ", "not be blank.")
	names("blank in Unicode", "\u3000\u2003", "not be blank.")
	names("tab", "a\tb", "not have control characters.")
	names("line break", "a\n", "not have control characters.")
	names("NUL", "a\x00", "not have control characters.")
	names("delete", "a\x7f", "not have control characters.")
	names("C1 control character", "a\u0085b", "not have control characters.")
	names("bidirectional override", "a\u202eb", "not have control characters.")
	names("zero width space", "a\u200bb", "not have control characters.")
	names("byte order mark", "\ufeffa", "not have control characters.")
	names("line separator", "a\u2028b", "not have control characters.")
	names("private use", "a\ue000b", "not have control characters.")
	names("more than 1024 bytes in fewer characters", strings.Repeat("ü", 513), "not have more than 1024 bytes.")
	for _, v := range []string{
		"a:{{sessionname}}", "a:{{ AccountID }}", "a:{{Session}}", "{{}}", "a{{AccountID", "AccountID}}", "{{{AccountID}}", "{{AccountID}}}",
		"{AccountID}", "a{", "}", "{{AccountID}}{{", "{{Account{{AccountID}}ID}}", "{{AccountID} }", "{{{{AccountID}}}}", `{{"a"}}`,
	} {
		names("placeholder "+v, v, placeholders)
	}
	for _, v := range []string{
		"{{SessionName}}", "{{SessionNameRaw}}", "john{{SessionName}}", "john{{SessionNameRaw}}", "{{SessionName}}:masters",
		"{{SessionNameRaw}}:masters", "{{AccountID}}{{SessionName}}", "{{SessionName}}:{{SessionName}}", "{{SessionNameRaw}}:{{SessionName}}",
	} {
		refuse("username "+v, text(role+", username", v), "username", colonInName)
		refuse("group "+v, list(role+", kubernetesGroups", v), "kubernetesGroups[0]", colonInGroup)
	}
	refuse("username: too long", text(role+", username", strings.Repeat("u", 1025)), "username", "Too long: may not be more than 1024 bytes")
	refuse("group: too long", list(role+", kubernetesGroups", strings.Repeat("u", 1025)), "kubernetesGroups[0]", "Too long: may not be more than 1024 bytes")
	schemaOnly("username: empty", text(role+", username", ""), "username", absent, tooShort, "The username must not be blank.")
	accept("username of a user", "{"+user+", username: alice}")

	// Groups.
	accept("group: some", list(role+", kubernetesGroups", "a", "b", "eks:kube-proxy-windows"))
	accept("group: none", list(role+", kubernetesGroups"))
	accept("group: letter case counts", list(role+", kubernetesGroups", "a", "A"))
	accept("group: 100", list(role+", kubernetesGroups", numbered("g", 100)...))
	refuse("group: 101", list(role+", kubernetesGroups", numbered("g", 101)...), "kubernetesGroups", "must have at most 100 items")
	refuse("group: empty", list(role+", kubernetesGroups", ""), "kubernetesGroups[0]", "The kubernetes group name must not be blank.")
	refuse("group: twice", list(role+", kubernetesGroups", "a", "b", "a"), "kubernetesGroups[2]", `Duplicate value: "a"`)
	refuse("group: the second is reserved", list(role+", kubernetesGroups", "a", "system:masters"), "kubernetesGroups[1]",
		"The kubernetes group name system:masters is invalid, it cannot start with system:")

	// Principal IDs.
	for _, id := range []string{"AROAEXAMPLE", "aroaexample", "ABIAEXAMPLE", "0", strings.Repeat("A", 128)} {
		accept("principal ID of a role "+short(id), text(role+", principalID", id))
	}
	accept("principal ID of a user", "{"+user+", principalID: AIDAEXAMPLE}")
	refuse("principal ID of a user for a role", "{"+role+", principalID: AIDAEXAMPLE}", "principalID", "The principalID is that of a user, but the principalARN is that of a role.")
	refuse("principal ID of a role for a user", "{"+user+", principalID: AROAEXAMPLE}", "principalID", "The principalID is that of a role, but the principalARN is that of a user.")
	for _, id := range []string{"AROAEXAMPLE:alice", "AROA EXAMPLE", "AROAEXAMPLE\n", "*", "ÄROA", "arn:aws:iam::111122223333:role/Admins"} {
		refuse(fmt.Sprintf("principal ID %q", id), text(role+", principalID", id), "principalID", idAlphabet)
	}
	refuse("principal ID: too long", text(role+", principalID", strings.Repeat("A", 129)), "principalID", "Too long: may not be more than 128 bytes")
	schemaOnly("principal ID: empty", text(role+", principalID", ""), "principalID", absent, tooShort)

	// Policies and their scopes.
	policy := func(arn, scope string) string {
		return fmt.Sprintf("{%s, accessPolicies: [{policyARN: %q, accessScope: %s}]}", role, arn, scope)
	}
	for _, partition := range partitions {
		accept("policy in the partition "+partition, policy("arn:"+partition+":eks::aws:cluster-access-policy/AmazonEKSViewPolicy", "{type: cluster}"))
	}
	accept("policy that AWS may add", policy("arn:aws:eks::aws:cluster-access-policy/AmazonNewPolicy", "{type: cluster}"))
	accept("policy with the longest name", policy("arn:aws:eks::aws:cluster-access-policy/"+strings.Repeat("a", 128), "{type: cluster}"))
	accept("policy: several", "{"+role+", accessPolicies: ["+policies(20)+"]}")
	refuse("policy: 21", "{"+role+", accessPolicies: ["+policies(21)+"]}", "accessPolicies", "must have at most 20 items")
	refuse("policy: twice", "{"+role+", accessPolicies: [{"+view+", accessScope: {type: cluster}}, {"+view+", accessScope: {type: namespace, namespaces: [a]}}]}",
		"accessPolicies[1]", `Duplicate value: {"policyARN":"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"}`)
	for _, arn := range []string{
		"AmazonEKSViewPolicy", "arn:aws:iam::aws:policy/AmazonEKSViewPolicy", "arn:moon:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		"arn:aws:eks:us-east-1:aws:cluster-access-policy/AmazonEKSViewPolicy", "arn:aws:eks::111122223333:cluster-access-policy/AmazonEKSViewPolicy",
		"arn:aws:eks::aws:cluster-access-policy/", "arn:aws:eks::aws:cluster-access-policy/a/b", "arn:aws:eks::aws:cluster-access-policy/*",
		"arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy ", "ARN:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy",
		"arn:aws:eks::aws:cluster-access-policy/" + strings.Repeat("a", 129),
	} {
		refuse("policy "+short(arn), policy(arn, "{type: cluster}"), "accessPolicies[0].policyARN", wantPolicy)
	}
	refuse("policy: missing", "{"+role+", accessPolicies: [{accessScope: {type: cluster}}]}", "accessPolicies[0].policyARN", "Required value")
	schemaOnly("policy: empty", policy("", "{type: cluster}"), "accessPolicies[0].policyARN", missing, tooShort, wantPolicy)
	refuse("policy: too long", policy(strings.Repeat("a", 257), "{type: cluster}"), "accessPolicies[0].policyARN", "Too long: may not be more than 256 bytes")
	const (
		viewARN = "arn:aws:eks::aws:cluster-access-policy/AmazonEKSViewPolicy"
		scope   = "accessPolicies[0].accessScope"
	)
	accept("scope: cluster with an empty list", policy(viewARN, "{type: cluster, namespaces: []}"))
	refuse("scope: cluster with a namespace", policy(viewARN, "{type: cluster, namespaces: [a]}"), scope+".namespaces", `An access scope with a type of "cluster" has no namespaces.`)
	refuse("scope: namespace without one", policy(viewARN, "{type: namespace}"), scope+".namespaces", `An access scope with a type of "namespace" has at least one namespace.`)
	refuse("scope: namespace with an empty list", policy(viewARN, "{type: namespace, namespaces: []}"), scope+".namespaces", `An access scope with a type of "namespace" has at least one namespace.`)
	refuse("scope: no type", policy(viewARN, "{}"), scope+".type", "Required value")
	refuse("scope: unknown type", policy(viewARN, "{type: galaxy}"), scope+".type", `supported values: "cluster", "namespace"`)
	for _, n := range []string{"a", "dev-*", "*-prod", "*", "a*b", "0", "team-a", strings.Repeat("n", 63)} {
		accept("namespace "+short(n), policy(viewARN, list("type: namespace, namespaces", n)))
	}
	accept("namespace: 100", policy(viewARN, list("type: namespace, namespaces", numbered("n", 100)...)))
	refuse("namespace: 101", policy(viewARN, list("type: namespace, namespaces", numbered("n", 101)...)), scope+".namespaces", "must have at most 100 items")
	refuse("namespace: twice", policy(viewARN, list("type: namespace, namespaces", "a", "a")), scope+".namespaces[1]", `Duplicate value: "a"`)
	refuse("namespace: too long", policy(viewARN, list("type: namespace, namespaces", strings.Repeat("n", 64))), scope+".namespaces[0]", "Too long: may not be more than 63 bytes")
	for _, n := range []string{"", "A", "a_b", "-a", "a-", "a.b", "a b", "a?", "a/b", "ä", "a\n"} {
		refuse(fmt.Sprintf("namespace %q", n), policy(viewARN, list("type: namespace, namespaces", n)), scope+".namespaces[0]", wantNamespace)
	}

	// Several problems are told at once.
	cases = append(cases, Case{Name: "several problems", Spec: "{" + user + ", type: EC2_LINUX, username: 'eks:a', kubernetesGroups: ['system:masters']}", Problems: []Problem{
		{"spec.principalARN", noUser},
		{"spec.username", "The username must not begin with eks:"},
		{"spec.username", noUsername},
		{"spec.kubernetesGroups[0]", "The kubernetes group name system:masters is invalid, it cannot start with system:"},
		{"spec.kubernetesGroups", noGroups},
	}})

	// Changes.
	full := "{" + role + ", type: STANDARD, username: a, kubernetesGroups: [a], principalID: AROAEXAMPLE, accessPolicies: [{" + view + ", accessScope: {type: cluster}}]}"
	change("change: nothing", full, full)
	change("change: everything that can be", full, "{"+role+", username: b, kubernetesGroups: [b, c], principalID: AROAOTHER, accessPolicies: [{"+view+", accessScope: {type: namespace, namespaces: [a]}}]}")
	change("change: only the principal is left", full, "{"+role+"}")
	change("change: the default type is spelt out", "{"+role+"}", "{"+role+", type: STANDARD}")
	change("change: the default type is left out", "{"+role+", type: STANDARD}", "{"+role+"}")
	change("change: principal", "{"+role+"}", arn("arn:aws:iam::111122223333:role/Others"), Problem{"spec.principalARN", fixedPrincipal})
	change("change: path of the principal", "{"+role+"}", arn("arn:aws:iam::111122223333:role/team/Admins"), Problem{"spec.principalARN", fixedPrincipal})
	change("change: letter case of the principal", "{"+role+"}", arn("arn:aws:iam::111122223333:role/admins"), Problem{"spec.principalARN", fixedPrincipal})
	change("change: type", "{"+role+"}", "{"+role+", type: EC2_LINUX}", Problem{"spec.type", fixedType})
	change("change: type of nodes", "{"+role+", type: EC2_LINUX}", "{"+role+", type: EC2_WINDOWS}", Problem{"spec.type", fixedType})
	change("change: type is left out", "{"+role+", type: EC2}", "{"+role+"}", Problem{"spec.type", fixedType})
	change("change: username to a reserved one", full, "{"+role+", username: 'system:admin'}", Problem{"spec.username", "The username must not begin with system:"})
	return cases
}

// arn returns a spec with nothing but a principal, which may have YAML's escapes.
func arn(principal string) string { return `{principalARN: "` + principal + `"}` }

// text returns a spec whose last field is a string.
func text(fields, value string) string { return fmt.Sprintf("{%s: %s}", fields, quote(value)) }

// list returns a spec whose last field is a list of strings.
func list(fields string, values ...string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		quoted[i] = quote(v)
	}
	return fmt.Sprintf("{%s: [%s]}", fields, strings.Join(quoted, ", "))
}

// quote quotes in a way that Go and YAML have in common.
func quote(s string) string { return fmt.Sprintf("%+q", s) }

func numbered(prefix string, n int) []string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprint(prefix, i)
	}
	return s
}

func policies(n int) string {
	s := make([]string, n)
	for i := range s {
		s[i] = fmt.Sprintf("{policyARN: 'arn:aws:eks::aws:cluster-access-policy/Policy%d', accessScope: {type: cluster}}", i)
	}
	return strings.Join(s, ", ")
}

// short cuts a value for the name of a case.
func short(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%.8s… of %d bytes", s, len(s))
	}
	return s
}
