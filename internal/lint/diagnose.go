package lint

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// maxAsked bounds what the server's parser is asked again, in nodes; a question costs
// some more. Of entries behind it, what the server says is passed on.
const maxAsked = 1 << 18

// afford takes what it costs to ask about a node from the bound, if it is in it.
func (c *checker) afford(n *yaml.Node) bool {
	if c.asked < maxAsked {
		c.asked += 8 + c.size(n)
	}
	return c.asked < maxAsked
}

// size is how many nodes the parser reads, through aliases too.
func (c *checker) size(n *yaml.Node) int {
	n = resolve(n)
	if size, ok := c.sizes[n]; ok {
		return size
	}
	if c.sizes == nil {
		c.sizes = map[*yaml.Node]int{}
	}
	c.sizes[n] = 1 // of what stands in itself
	size := 1
	for _, child := range n.Content {
		size = min(size+c.size(child), maxAsked)
	}
	c.sizes[n] = size
	return size
}

// diagnosis looks for everything that is wrong with an entry. The server's parser
// stops at the first mistake and names no column, so it is asked again: about each
// field in an entry that is good otherwise, and then about the entry with good values
// in the place of the bad ones.
type diagnosis struct {
	*checker
	section section
	options mapper.ParseOptions
	entry   *yaml.Node
	place   string // "mapRoles[3]"
	arn     string
	keys    map[string]bool // of the entry, in lower case

	errors, warnings int // found
}

// diagnose reports the problems that the server has with an entry.
func (c *checker) diagnose(s section, entry *yaml.Node, problems []mapper.Problem, o mapper.ParseOptions) {
	d := diagnosis{checker: c, section: s, options: o, entry: entry, place: placeOf(problems[0].Source), arn: problems[0].Source.ARN}
	d.arn = orText(d.arn, arnOf(entry))
	switch affordable := c.afford(entry); {
	case s.name == mapper.MapAccounts:
		d.account(problems[0].Message)
	case affordable && resolve(entry).Kind == yaml.MappingNode && !hasMerge(entry):
		d.entry = resolve(entry)
		d.arn = orText(d.arn, arnOf(d.entry))
		d.mapping()
	}
	for _, p := range problems {
		// What was not found by asking again.
		if p.Severity == mapper.Skipped && d.errors == 0 || p.Severity == mapper.Warning && d.warnings == 0 {
			d.whole(p, d.entry)
		}
	}
}

func hasMerge(n *yaml.Node) bool {
	for key := range pairs(n) {
		if key.Tag == "!!merge" {
			return true
		}
	}
	return false
}

func (d *diagnosis) found(rule ID, n *yaml.Node, p mapper.Problem, suggestion string) {
	message, fromServer := cutSuggestion(p.Message)
	if p.Severity == mapper.Skipped {
		d.errors++
	} else {
		d.warnings++
	}
	d.report(rule, d.section.text.of(n), Finding{Message: message, Suggestion: orText(suggestion, fromServer), Principal: d.arn, Entry: d.place})
}

func (d *diagnosis) account(message string) {
	suggestion := ""
	if d.entry.Kind == yaml.ScalarNode {
		suggestion = suggestAccount(d.entry.Value)
	}
	d.found(accountID, d.entry, mapper.Problem{Message: message}, suggestion)
}

// suggestAccount gives zeros back that an account ID has lost.
func suggestAccount(id string) string {
	if len(id) < 9 || len(id) > 64 { // there may be hundreds of thousands
		return ""
	}
	digits := strings.NewReplacer("-", "", " ", "", "_", "").Replace(id)
	if len(digits) < 9 || len(digits) > 12 || strings.Trim(digits, "0123456789") != "" {
		return ""
	}
	return "did you mean " + strings.Repeat("0", 12-len(digits)) + digits + "? In quotes, zeros in front don't get lost"
}

// pair is a key and its value.
type pair struct{ key, value *yaml.Node }

func (d *diagnosis) mapping() {
	healed := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Line: d.entry.Line, Column: d.entry.Column}
	d.keys = map[string]bool{}
	for key := range pairs(d.entry) {
		d.keys[strings.ToLower(key.Value)] = true
	}
	first := map[string]bool{}
	for key, value := range pairs(d.entry) {
		if !d.afford(value) {
			return
		}
		name := strings.ToLower(key.Value)
		if first[name] {
			d.found(duplicateKey, key, mapper.Problem{Message: fmt.Sprintf("key %q twice", short(key.Value))}, "")
			continue
		}
		first[name] = true
		if good := d.field(pair{key, value}); good.key != nil {
			healed.Content = append(healed.Content, good.key, good.value)
		}
	}
	for _, p := range d.ask(healed) {
		if p.Severity == mapper.Skipped {
			d.whole(p, healed)
		}
	}
}

// ask returns the server's problems with an entry.
func (d *diagnosis) ask(entry *yaml.Node) []mapper.Problem {
	list := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{entry}}
	return mapper.ParseSection(d.section.name, list, d.options).Problems
}

// with returns an entry with the field that is good if the field is.
func (d *diagnosis) with(f pair) *yaml.Node {
	name := strings.ToLower(f.key.Value)
	entry := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{f.key, f.value}}
	add := func(key, value string) { entry.Content = append(entry.Content, word(key), word(value)) }
	switch {
	case name == "rolearn" || name == "userarn" || name == "sso":
	case d.section.name == mapper.MapUsers:
		add("userarn", goodUser)
	default:
		entry.Content = append(entry.Content, word("sso"), goodSet())
	}
	if name != "username" {
		add("username", "somebody")
	}
	if name != "userid" && d.options.UserIDStrict {
		add("userid", "AIDAEXAMPLE")
	}
	return entry
}

// goodUser may be under any restriction.
const goodUser = "arn:aws:sts::111122223333:federated-user/somebody"

func goodSet() *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		word("permissionSetName"), word("somebody"), word("accountID"), word("111122223333")}}
}

// word returns a node of a text.
func word(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text, Style: yaml.DoubleQuotedStyle}
}

// field reports what is wrong with one field, and returns one to go on with.
func (d *diagnosis) field(f pair) pair {
	entry := d.with(f)
	problems := d.ask(entry)
	if !slices.ContainsFunc(problems, func(p mapper.Problem) bool { return p.Severity == mapper.Skipped }) {
		for _, p := range problems {
			d.doubtful(f, p)
		}
		return f
	}
	p := problems[slices.IndexFunc(problems, func(p mapper.Problem) bool { return p.Severity == mapper.Skipped })]
	v := resolve(f.value)
	name := strings.ToLower(f.key.Value)
	if strings.HasPrefix(p.Message, "unknown key") {
		d.found(unknownKey, f.key, p, "")
		return d.meant(f, p.Message)
	}
	switch name {
	case "rolearn", "userarn":
		if isNull(v) || v.Kind == yaml.ScalarNode && v.Value == "" {
			return f // as good as not there, which the whole entry tells
		}
		d.arnField(v, p)
		return pair{f.key, word(goodUser)}
	case "sso":
		d.sso(v, p)
		return pair{f.key, goodSet()}
	case "username":
		d.found(d.nameRule(v, p.Message), v, p, suggestName(v))
		return pair{f.key, word("somebody")}
	case "groups":
		d.groups(f, v, p)
		return pair{}
	case "userid":
		d.found(invalidEntry, v, p, "")
		return pair{f.key, word("AIDAEXAMPLE")}
	default:
		d.found(invalidEntry, v, p, "")
		return pair{}
	}
}

// meant returns the field with the key that was meant, if that can be told.
func (d *diagnosis) meant(f pair, message string) pair {
	_, rest, found := strings.Cut(message, `did you mean "`)
	name, _, _ := strings.Cut(rest, `"`)
	if !found || d.keys[strings.ToLower(name)] || !d.afford(f.value) {
		return pair{}
	}
	if f.value = resolve(f.value); f.value.Kind == yaml.ScalarNode && f.value.Tag == "!!null" {
		return pair{}
	}
	key := *f.key
	key.Value = name
	return d.field(pair{&key, f.value})
}

// doubtful reports a doubt of the server about a field.
func (d *diagnosis) doubtful(f pair, p mapper.Problem) {
	v := resolve(f.value)
	if !strings.EqualFold(f.key.Value, "groups") || v.Kind != yaml.SequenceNode {
		d.found(wrongSection, v, p, "")
		return
	}
	d.eachGroup(f, v, func(item *yaml.Node, p mapper.Problem) {
		if p.Severity == mapper.Warning {
			d.misindented(item, p)
		}
	})
}

func (d *diagnosis) misindented(item *yaml.Node, p mapper.Problem) {
	lines := strings.ReplaceAll(short(item.Value), " - ", `", "`)
	d.found(misindentedGroup, item, mapper.Problem{
		Severity: p.Severity,
		Message:  fmt.Sprintf("the group %q has a dash inside; are the lines behind it indented too far?", short(item.Value)),
	}, `write "`+lines+`" in lines with the same indentation, or put it in quotes if it is one group`)
}

func (d *diagnosis) groups(f pair, v *yaml.Node, p mapper.Problem) {
	if v.Kind != yaml.SequenceNode {
		suggestion := "write a list: - and the group, on a line of its own"
		if v.Kind == yaml.ScalarNode && v.Value != "" {
			suggestion = "write groups: [" + short(v.Value) + "]"
		}
		d.found(groupsNotAList, v, p, suggestion)
		return
	}
	before := d.errors
	d.eachGroup(f, v, func(item *yaml.Node, p mapper.Problem) {
		if p.Severity == mapper.Warning {
			d.misindented(item, p)
			return
		}
		d.found(d.nameRule(item, p.Message), item, p, suggestName(item))
	})
	if d.errors == before {
		d.found(invalidEntry, v, p, "")
	}
}

// eachGroup asks about each group alone.
func (d *diagnosis) eachGroup(f pair, v *yaml.Node, report func(item *yaml.Node, p mapper.Problem)) {
	for i, item := range v.Content {
		if !d.afford(item) {
			return
		}
		alone := &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{item}}
		for _, p := range d.ask(d.with(pair{f.key, alone})) {
			p.Message = strings.Replace(p.Message, "groups[0]", fmt.Sprintf("groups[%d]", i), 1)
			report(resolve(item), p)
		}
	}
}

// nameRule returns the rule that a username or group breaks.
func (d *diagnosis) nameRule(v *yaml.Node, message string) ID {
	switch {
	case v.Kind != yaml.ScalarNode || v.Tag != "!!str" && v.Tag != "!!null":
		return notAString
	case isNull(v):
		return missingKey
	case strings.Contains(message, "right behind system:"):
		return systemSessionName
	case strings.Contains(message, "{{") || strings.Contains(message, "}}"):
		return placeholder
	default:
		return invalidName
	}
}

// suggestName says what to write in the place of a value that is no text.
func suggestName(v *yaml.Node) string {
	switch {
	case v.Kind == yaml.ScalarNode && v.Tag != "!!str" && v.Tag != "!!null":
		return `write "` + short(v.Value) + `", in quotes`
	case v.Kind == yaml.MappingNode && v.Style&yaml.FlowStyle != 0:
		return `put text with {{…}} in quotes, as in "{{SessionName}}"`
	default:
		return ""
	}
}

func (d *diagnosis) arnField(v *yaml.Node, p mapper.Problem) {
	if v.Kind != yaml.ScalarNode || v.Tag != "!!str" {
		d.found(notAString, v, p, suggestName(v))
		return
	}
	rule, suggestion := arnRule(v.Value)
	d.found(rule, v, p, suggestion)
}

// arnRule tells what is wrong with the ARN of a principal, and what may be meant.
func arnRule(arn string) (ID, string) {
	if p, err := iam.ParsePrincipal(arn); err == nil && p.SessionName != "" {
		return sessionARN, "write " + p.Canonical()
	}
	if plain := strings.TrimSpace(asciiOf(arn)); plain != arn {
		if _, err := iam.ParsePrincipal(plain); err == nil {
			return malformedARN, "write " + plain + ", without spaces and characters that look like others"
		}
	}
	if strings.ContainsAny(arn, "*?") {
		return wildcard, "write the ARNs out, use sso for a permission set, or mapAccounts for a whole account"
	}
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return malformedARN, ""
	}
	if iam.CheckAccount(parts[4]) != nil {
		return accountID, suggestAccount(parts[4])
	}
	if _, ok := iam.LookupPartition(strings.ToLower(parts[1])); !ok {
		if near := suggest.Nearest(parts[1], iam.PartitionIDs()); near != "" {
			return malformedARN, fmt.Sprintf("did you mean the partition %q?", near)
		}
		return malformedARN, ""
	}
	kind, name, _ := strings.Cut(parts[5], "/")
	switch {
	case kind == "instance-profile":
		return malformedARN, "write the ARN of the role in the instance profile"
	case kind == "group":
		return malformedARN, "IAM groups can't log in: map a role that the group may assume"
	case kind == "assumed-role" && name != "":
		role, _, _ := strings.Cut(name, "/")
		return sessionARN, fmt.Sprintf("write arn:%s:iam::%s:role/%s", parts[1], parts[4], short(role))
	}
	return malformedARN, ""
}

func (d *diagnosis) sso(v *yaml.Node, p mapper.Problem) {
	rule, at, suggestion := permissionSet, v, ""
	message, _ := cutSuggestion(p.Message)
	message, _, _ = strings.Cut(message, "; known are ")
	for key, value := range pairs(v) {
		switch {
		case strings.Contains(message, `unknown key "`+key.Value+`"`):
			rule, at = unknownKey, key
		case strings.Contains(message, `key "`+key.Value+`" twice`):
			rule, at = duplicateKey, key
		case strings.Contains(message, "accountID") && strings.EqualFold(key.Value, "accountID"):
			rule, at, suggestion = accountID, resolve(value), suggestAccount(resolve(value).Value)
		case strings.Contains(message, "permissionSetName") && strings.EqualFold(key.Value, "permissionSetName"):
			at = resolve(value)
		case strings.Contains(message, "partition") && strings.EqualFold(key.Value, "partition"):
			at = resolve(value)
		}
	}
	d.found(rule, at, p, suggestion)
}

// whole reports a problem that is not that of one field, or that was not found in one.
func (d *diagnosis) whole(p mapper.Problem, entry *yaml.Node) {
	rule, at := invalidEntry, entry
	switch {
	case strings.Contains(p.Message, "dash inside"):
		rule = misindentedGroup
	case p.Severity == mapper.Warning:
		rule = wrongSection
	case strings.HasPrefix(p.Message, "has no ") || strings.Contains(p.Message, "is missing"):
		rule = missingKey
	case strings.HasPrefix(p.Message, "unknown key"):
		rule = unknownKey
	default:
		name, _, _ := strings.Cut(p.Message, " ")
		name, _, _ = strings.Cut(strings.TrimSuffix(name, ":"), "[")
		if entry.Kind != yaml.MappingNode { // an alias, which others may stand for too
			break
		}
		if v := resolve(childFold(entry, name)); v != nil && v.Line > 0 {
			at = v
		}
	}
	d.found(rule, at, p, "")
}

// arnOf returns the ARN that an entry names, for problems that kept the server from
// reading so far.
func arnOf(entry *yaml.Node) string {
	if entry.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(entry.Content); i += 2 {
		key := strings.ToLower(entry.Content[i].Value)
		if v := resolve(entry.Content[i+1]); (key == "rolearn" || key == "userarn") && v.Kind == yaml.ScalarNode {
			return v.Value
		}
	}
	return ""
}
