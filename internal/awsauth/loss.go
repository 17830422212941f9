package awsauth

import (
	"cmp"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/trial"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// Caller is who the API server says is asking. What the authenticator's webhook adds
// (aws-iam-authenticator's too) is in Extra and UID.
type Caller struct {
	Username string
	UID      string
	Groups   []string
	Extra    map[string][]string
}

// LossOptions say what is known besides the documents. The zero value is nothing.
type LossOptions struct {
	// Caller is who makes the change. Nil: its access is not looked at.
	Caller *Caller
	// Partition is that of the server. Empty: the caller's or, if that isn't known,
	// the one that most entries had.
	Partition string
	// ReservedPrefixes are, by backend, what no username may begin with.
	ReservedPrefixes map[string][]string
}

// Losses says who loses what that can hardly be meant: the last administrator, the
// last mapping of nodes, and the caller's own access. An entry counts if somebody can
// log in by it: see package trial. A section that can't be read gives nobody access
// that could be lost. Access that doesn't come from aws-auth (access entries,
// certificates) does not count.
func Losses(before, after Document, o LossOptions) []string {
	was, is := before.snapshot(o), after.snapshot(o)
	partition := o.Partition
	if o.Caller != nil && partition == "" {
		id, _ := o.Caller.identity()
		partition = id.Partition
	}
	if partition == "" {
		partition = was.partition()
	}
	admins, nodes := was.alive(partition)
	adminsNow, nodesNow := is.alive(partition)
	var losses []string
	if len(admins) > 0 && len(adminsNow) == 0 {
		losses = append(losses, "the last administrators: nobody in aws-auth would be in the group system:masters ("+few(admins)+")")
	}
	if len(nodes) > 0 && len(nodesNow) == 0 {
		losses = append(losses, "every mapping of nodes: no node in aws-auth could join or renew its token ("+few(nodes)+")")
	}
	if o.Caller != nil {
		if loss := was.callerLoss(is, *o.Caller); loss != "" {
			losses = append(losses, loss)
		}
	}
	return losses
}

// few joins names, of which there may be thousands.
func few(names []string) string {
	const most = 5
	slices.Sort(names)
	if more := len(names) - most; more > 0 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), more)
	}
	return strings.Join(names, ", ")
}

// snapshot is what a document means as a whole.
type snapshot struct {
	source   trial.Source
	entries  []mapper.Entry
	reserved map[string][]string
}

func (d Document) snapshot(o LossOptions) *snapshot {
	var doc mapper.Document
	for name, parsed := range map[string]*mapper.Section{mapper.MapRoles: &doc.Roles, mapper.MapUsers: &doc.Users, mapper.MapAccounts: &doc.Accounts} {
		if root, err := mapper.ParseYAML([]byte(d[name])); err == nil {
			*parsed = mapper.ParseSection(name, root, mapper.ParseOptions{})
		}
	}
	s := &snapshot{source: trial.Source{Backend: configmap.Backend}, reserved: o.ReservedPrefixes}
	s.source.Index, _ = mapper.NewIndex(doc.Mappings(), doc.Accounts.Accounts)
	for _, m := range doc.Mappings() {
		s.entries = append(s.entries, m.Entry())
	}
	return s
}

// partition returns the partition of most entries, "" if there are none.
func (s *snapshot) partition() (most string) {
	count := map[string]int{}
	for _, e := range s.entries {
		count[partitionOf(e)]++
	}
	for _, id := range slices.Sorted(maps.Keys(count)) {
		if count[id] > count[most] {
			most = id
		}
	}
	return most
}

func partitionOf(e mapper.Entry) string {
	return cmp.Or(e.Principal.Partition, e.PermissionSet.Partition)
}

// alive returns the names of the entries by which administrators and nodes get in.
func (s *snapshot) alive(partition string) (admins, nodes []string) {
	for _, e := range s.entries {
		if !slices.Contains(e.Groups, masters) && !slices.Contains(e.Groups, nodeGroup) || partitionOf(e) != partition {
			continue
		}
		id, err := trial.Caller(e, partition, s.source.Names)
		if err != nil {
			continue
		}
		if m, err := s.source.Lookup(id); err != nil || m.Entry().Source != e.Source {
			continue // another entry stands
		}
		user, err := s.login(id)
		if err != nil {
			continue
		}
		if slices.Contains(user.Groups, masters) {
			admins = append(admins, e.Source.ARN)
		}
		if slices.Contains(user.Groups, nodeGroup) && namesNodes(e) {
			nodes = append(nodes, e.Source.ARN)
		}
	}
	return admins, nodes
}

const (
	masters   = "system:masters"
	nodeGroup = "system:nodes"
)

// namesNodes tells whether each node gets a name of its own.
func namesNodes(e mapper.Entry) bool {
	name, ok := strings.CutPrefix(e.Username, "system:node:")
	return ok && (strings.Contains(name, "{{EC2PrivateDNSName}}") || strings.Contains(name, "{{SessionName"))
}

func (s *snapshot) login(id iam.Identity) (mapper.User, error) {
	return s.source.Login(id, s.reserved)
}

// callerLoss says what the caller loses, if it got its name here.
func (s *snapshot) callerLoss(after *snapshot, c Caller) string {
	id, ok := c.identity()
	if ok {
		return s.loss(after, c, id, fmt.Sprintf("your own access (%s, logged in as %s)", id.ARN, c.Username))
	}
	if !strings.HasPrefix(c.UID, "aws-iam-authenticator:") {
		return ""
	}
	// Of accounts whose ARNs the server keeps to itself, all that there is to go by is
	// what it made of the caller: whoever it may be must not lose anything.
	for _, id := range s.callers(c) {
		you := fmt.Sprintf("your own access (logged in as %s), if you are %s", c.Username, id.CanonicalARN)
		if loss := s.loss(after, c, id, you); loss != "" {
			return loss
		}
	}
	return ""
}

// loss says what an identity loses, if it is the caller.
func (s *snapshot) loss(after *snapshot, c Caller, id iam.Identity, you string) string {
	was, err := s.login(id)
	if err != nil || was.Username != c.Username {
		return "" // another source let it in
	}
	is, err := after.login(id)
	if err != nil {
		return you
	}
	if is.Username != was.Username {
		return fmt.Sprintf("%s: you would be %s", you, is.Username)
	}
	lost := slices.DeleteFunc(slices.Clone(was.Groups), func(g string) bool {
		return slices.Contains(is.Groups, g) || !slices.Contains(c.Groups, g)
	})
	if len(lost) > 0 {
		return fmt.Sprintf("%s: you would no longer be in the group %s", you, few(lost))
	}
	return ""
}

// callers returns who may have been given the caller's username: of each entry whose
// template renders it, somebody with what stands in the place of the placeholders.
func (s *snapshot) callers(c Caller) (ids []iam.Identity) {
	add := func(p iam.Principal, session, userID, key string) {
		if id, err := trial.Identity(p, session, cmp.Or(userID, trial.UnknownID), key); err == nil {
			ids = append(ids, id)
		}
	}
	if p, err := iam.ParsePrincipal(c.Username); err == nil { // by its account
		add(p, cmp.Or(p.SessionName, "session"), "", trial.TemporaryKey)
	}
	for _, e := range s.entries {
		values, ok := placeholders(e.Username, c.Username)
		if !ok {
			continue
		}
		id, err := trial.Caller(e, "", s.source.Names)
		if err != nil {
			continue
		}
		key := cmp.Or(values["AccessKeyID"], id.AccessKeyID)
		raw, rendered := values["SessionNameRaw"], values["SessionName"]
		add(id.Principal, cmp.Or(raw, rendered, id.SessionName), e.UserID, key)
		for i := range rendered {
			if raw == "" && rendered[i] == '-' { // which an @ becomes
				add(id.Principal, rendered[:i]+"@"+rendered[i+1:], e.UserID, key)
			}
		}
	}
	return ids
}

// placeholders returns what stands for the placeholders of a template in a name, if the
// template can render the name.
func placeholders(template, name string) (map[string]string, bool) {
	if !strings.Contains(template, "{{") {
		return nil, template == name
	}
	pattern := regexp.QuoteMeta(template)
	for placeholder, values := range map[string]string{
		"AccountID": `[0-9]{12}`, "AccessKeyID": `[A-Z0-9]+`, "EC2PrivateDNSName": `.+`,
		"SessionName": `[\w+=,.@-]+`, "SessionNameRaw": `[\w+=,.@-]+`,
	} {
		quoted := regexp.QuoteMeta("{{" + placeholder + "}}")
		pattern = strings.Replace(pattern, quoted, "(?P<"+placeholder+">"+values+")", 1)
		pattern = strings.ReplaceAll(pattern, quoted, values)
	}
	re, err := regexp.Compile(`\A` + pattern + `\z`)
	if err != nil {
		return nil, false
	}
	found := re.FindStringSubmatch(name)
	if found == nil {
		return nil, false
	}
	values := map[string]string{}
	for i, placeholder := range re.SubexpNames() {
		values[placeholder] = found[i]
	}
	return values, true
}

// identity returns who the caller is in IAM, if the server says so.
func (c Caller) identity() (iam.Identity, bool) {
	extra := func(key string) string {
		if values := c.Extra[key]; len(values) == 1 {
			return values[0]
		}
		return ""
	}
	arn, userID := extra("arn"), extra("principalId")
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		return iam.Identity{}, false
	}
	if session := extra("sessionName"); session != "" {
		userID += ":" + session
	}
	id, err := iam.NewIdentity(arn, p.Account, userID, extra("accessKeyId"))
	return id, err == nil
}
