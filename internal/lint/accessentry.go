package lint

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"k8s.io/apimachinery/pkg/util/validation/field"
	sigsjson "sigs.k8s.io/json"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// isOurs tells whether an API version is of our group or was meant to be. There are
// other kinds of the same name.
func isOurs(version string) bool {
	group, _, _ := strings.Cut(version, "/")
	return suggest.Nearest(group, []string{v1alpha1.GroupName}) != ""
}

// accessEntry checks a manifest of an AccessEntry.
func (c *checker) accessEntry(t *text, root *yaml.Node) {
	want := v1alpha1.SchemeGroupVersion.String()
	meta := resolve(child(root, "metadata"))
	name := value(meta, "name")
	entry := "AccessEntry " + orText(name, value(meta, "generateName"))
	bad := false
	say := func(rule ID, n *yaml.Node, message, suggestion, arn string) {
		bad = bad || rule.severity() == Error
		c.report(rule, t.of(n), Finding{Message: message, Suggestion: suggestion, Principal: arn, Entry: entry})
	}
	if version := child(root, "apiVersion"); version != nil && resolve(version).Value != want {
		say(accessEntry, version, fmt.Sprintf("apiVersion %q is not known", short(resolve(version).Value)), "write "+want, "")
	}
	if name == "" && value(meta, "generateName") == "" {
		say(accessEntry, orElse(meta, root), "the name is missing", "write metadata: {name: …}", "")
	}
	spec := resolve(child(root, "spec"))
	if spec == nil {
		say(accessEntry, root, "the spec is missing", "", "")
		return
	}
	s := shape{t, func(rule ID, n *yaml.Node, message, suggestion string) {
		say(rule, n, message, suggestion, value(spec, "principalARN"))
	}}
	s.check(spec, reflect.TypeFor[v1alpha1.AccessEntrySpec](), "spec")
	for key := range pairs(root) {
		if known := []string{"apiVersion", "kind", "metadata", "spec", "status"}; !slices.Contains(known, key.Value) {
			bad = true
			c.unknownKey(t, key, known)
		}
	}

	var a v1alpha1.AccessEntry
	if err := decodeSpec(spec, &a.Spec); err != nil {
		if !bad {
			say(accessEntry, spec, "spec: "+err.Error(), "", value(spec, "principalARN"))
		}
		return
	}
	arn := a.Spec.PrincipalARN
	for _, err := range a.Validate() {
		n := nodeAt(root, err.Field)
		rule, message, suggestion := validation(err, arn)
		say(rule, n, message, suggestion, arn)
	}
	if !bad {
		c.accessMapping(t, spec, a, entry)
	}
}

// decodeSpec decodes a spec as the server does.
func decodeSpec(spec *yaml.Node, into *v1alpha1.AccessEntrySpec) error {
	var any any
	if err := spec.Decode(&any); err != nil {
		return err
	}
	data, err := json.Marshal(any)
	if err != nil {
		return err
	}
	unknown, err := sigsjson.UnmarshalStrict(data, into)
	if err == nil && len(unknown) > 0 {
		err = unknown[0]
	}
	return err
}

// validation returns the rule and the text for a mistake that the schema finds.
func validation(err *field.Error, arn string) (rule ID, message, suggestion string) {
	rule, message = accessEntry, err.Detail
	if message == "" {
		message = err.ErrorBody()
	}
	message = strings.TrimPrefix(err.Field, "spec.") + ": " + message
	if err.Field != "spec.principalARN" || err.Type != field.ErrorTypeInvalid {
		return rule, message, ""
	}
	if _, parseErr := iam.ParsePrincipal(arn); parseErr != nil || strings.Contains(arn, ":sts:") {
		rule, suggestion = arnRule(arn)
	}
	return rule, message, suggestion
}

// accessMapping looks at what an entry without mistakes does.
func (c *checker) accessMapping(t *text, spec *yaml.Node, a v1alpha1.AccessEntry, entry string) {
	e := mapper.Entry{Source: mapper.Source{ARN: a.Spec.PrincipalARN, Index: -1}, UserID: a.Spec.PrincipalID, Node: accessentry.NodeKind(a.Spec.Type)}
	e.Username, e.Groups = a.Defaults()
	if a.Spec.Username != "" {
		e.Username = a.Spec.Username
	}
	if len(a.Spec.KubernetesGroups) > 0 {
		e.Groups = a.Spec.KubernetesGroups
	}
	l := located{place: entry, at: t.of(spec), fields: fieldsOf(t, spec, true)}
	l.bare = len(e.Groups) == 0 && len(a.Spec.AccessPolicies) == 0
	var err error
	var m *mapper.Mapping
	if e.Principal, err = iam.ParsePrincipal(e.Source.ARN); err == nil {
		m, err = mapper.NewMapping(e)
	}
	if err != nil {
		c.report(accessEntry, l.at, Finding{Message: err.Error(), Principal: e.Source.ARN, Entry: entry})
		return
	}
	l.entry = e
	c.doubts(l)
	for i, p := range a.Spec.AccessPolicies {
		// Of a good entry, whose ARNs are checked.
		if name, _ := policy.ParseARN(p.PolicyARN); policy.CheckName(name) != nil {
			c.report(unknownPolicy, t.of(nodeAt(spec, fmt.Sprintf("accessPolicies[%d].policyARN", i))), Finding{
				Message: policy.CheckName(name).Error(), Principal: e.Source.ARN, Entry: entry})
		}
	}
	index, _ := mapper.NewIndex([]*mapper.Mapping{m}, nil)
	l.entry.Source.Section, l.entry.Source.Index = "", 0
	c.trialOf(source{kind: "AccessEntry", reserved: c.options.ReservedPrefixes}, index, l)
	c.partitions(c.options.Partition, []located{l})
	c.entries = append(c.entries, l)
}

// shadows reports what access entries do to each other and to aws-auth, which they
// come before.
func (c *checker) shadows() {
	byKey := map[string]located{}
	for _, l := range c.entries {
		key := l.entry.Principal.Key()
		if other, ok := byKey[key]; ok {
			c.report(duplicate, l.fields.at(l.at, "principalarn"), Finding{
				Message:    fmt.Sprintf("%s in %s, line %d, is for the same principal; the older of the two stands", other.place, other.at.file, other.at.line),
				Suggestion: "remove one of them", Principal: l.entry.Source.ARN, Entry: l.place})
			continue
		}
		byKey[key] = l
	}
	for _, m := range c.configMap {
		l, ok := byKey[m.entry.Principal.Key()]
		if !ok || !l.bare || len(m.entry.Groups) == 0 {
			continue
		}
		c.report(shadowed, l.fields.at(l.at, "principalarn"), Finding{
			Message: fmt.Sprintf("the access entry has no groups and no policies, but it goes before %s in %s, line %d, whose groups %s are lost",
				m.place, m.at.file, m.at.line, cut(strings.Join(m.entry.Groups, ", "), 256)),
			Suggestion: "give the entry the groups, or remove it", Principal: l.entry.Source.ARN, Entry: l.place})
	}
}

// shape compares YAML with the type that it is decoded into, to tell where it differs.
type shape struct {
	text   *text
	report func(rule ID, n *yaml.Node, message, suggestion string)
}

func (s shape) check(n *yaml.Node, t reflect.Type, path string) {
	n = resolve(n)
	switch t.Kind() {
	case reflect.Struct:
		s.object(n, t, path)
	case reflect.Slice:
		if isNull(n) {
			return
		}
		if n.Kind != yaml.SequenceNode {
			rule, suggestion := accessEntry, "write a list"
			if strings.HasSuffix(path, ".kubernetesGroups") {
				rule = groupsNotAList
			}
			s.report(rule, n, path+" is not a list", suggestion)
			return
		}
		for i, item := range n.Content {
			s.check(item, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.String:
		// kubectl reads YAML 1.1, in which yes and no are no text.
		old := []string{"y", "n", "yes", "no", "on", "off"}
		if n.Kind != yaml.ScalarNode || n.Tag != "!!str" && n.Tag != "!!null" || n.Style == 0 && slices.Contains(old, strings.ToLower(n.Value)) {
			s.report(notAString, n, path+" is not text", suggestName(&yaml.Node{Kind: n.Kind, Style: n.Style, Value: n.Value}))
		}
	}
}

func (s shape) object(n *yaml.Node, t reflect.Type, path string) {
	if n.Kind != yaml.MappingNode {
		s.report(accessEntry, n, path+" is not a mapping", "")
		return
	}
	fields := map[string]reflect.Type{}
	var known []string
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = f.Type
		known = append(known, name)
	}
	seen := map[string]bool{}
	for key, v := range pairs(n) {
		switch {
		case key.Tag == "!!merge":
		case fields[key.Value] == nil:
			message, suggestion := cutSuggestion(fmt.Sprintf("unknown key %q%s", short(key.Value), suggest.Known(key.Value, known)))
			s.report(unknownKey, key, message, suggestion)
		case seen[key.Value]:
			s.report(duplicateKey, key, fmt.Sprintf("key %q stands twice", key.Value), "")
		default:
			s.check(v, fields[key.Value], path+"."+key.Value)
		}
		seen[key.Value] = true
	}
}

// nodeAt returns the node at a path such as "spec.accessPolicies[1].policyARN", or at
// the longest part of it that is there.
func nodeAt(n *yaml.Node, path string) *yaml.Node {
	for part := range strings.SplitSeq(strings.ReplaceAll(path, "[", ".["), ".") {
		n = resolve(n)
		index, isIndex := strings.CutPrefix(strings.TrimSuffix(part, "]"), "[")
		next := child(n, part)
		if i, err := strconv.Atoi(index); isIndex && err == nil && n.Kind == yaml.SequenceNode && i < len(n.Content) {
			next = n.Content[i]
		}
		if next == nil {
			return n
		}
		n = next
	}
	return resolve(n)
}
