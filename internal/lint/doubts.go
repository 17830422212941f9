package lint

import (
	"fmt"
	"slices"
	"strings"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// Groups of Kubernetes: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
const (
	masters = "system:masters"
	nodes   = "system:nodes"
)

// systemGroups are the groups that Kubernetes and EKS give a meaning to.
var systemGroups = [...]string{
	masters, nodes, "system:bootstrappers", "system:node-proxier", "system:authenticated", "system:unauthenticated",
	"system:monitoring", "system:serviceaccounts",
}

// nodeGroups are those that the mappings of nodes have.
var nodeGroups = [...]string{nodes, "system:bootstrappers", "system:node-proxier", "eks:kube-proxy-windows"}

// doubts reports what an entry says that is hardly meant.
func (c *checker) doubts(l located) {
	e := l.entry
	subject := l.fields.at(l.at, "rolearn", "userarn", "sso", "userid", "principalarn")
	say := func(rule ID, at point, message, suggestion string) {
		c.report(rule, at, Finding{Message: message, Suggestion: suggestion, Principal: e.Source.ARN, Entry: l.place})
	}
	switch p := e.Principal; {
	case p.Kind == iam.Root:
		say(rootPrincipal, subject, "this is the account's root user alone, not everybody in the account", "map the roles that are meant, or the account with mapAccounts")
	case p.Kind == iam.Role && strings.HasPrefix(p.Name, "AWSReservedSSO_"):
		if _, ok := p.PermissionSet(); !ok {
			say(ssoRole, subject, "roles of IAM Identity Center end in _ and 16 hexadecimal digits, so there is no role of this name", "write the whole name, or sso with permissionSetName and accountID")
		}
	}
	if p := e.Principal; p.Kind == iam.Role && p.Path != "/" && l.fields.values["principalarn"] == nil {
		say(rolePath, subject, "the role has a path; it works here, but aws-iam-authenticator would let nobody in", "write "+p.Canonical()+" if it must work there too")
	}

	c.name(l, "username", e.Username, l.fields.at(l.at, "username"), say)
	c.groups(l, say)
	c.node(l, say)
}

// sayFunc reports a finding about an entry.
type sayFunc func(rule ID, at point, message, suggestion string)

// name looks at a username or group as the entry has it.
func (c *checker) name(l located, what, name string, at point, say sayFunc) {
	if trimmed := strings.TrimSpace(name); trimmed != name {
		say(whitespace, at, fmt.Sprintf("%s %q begins or ends with a space", what, short(name)), fmt.Sprintf("write %q", short(trimmed)))
	}
	if plain := asciiOf(name); plain != name && strings.TrimSpace(plain) != strings.TrimSpace(name) {
		say(lookAlike, at, fmt.Sprintf("%s %q has characters that look like others: %s", what, short(name), lookAlikesIn(name)), fmt.Sprintf("write %q if that is meant", short(plain)))
	}
	// The names of sessions are chosen by whoever assumes a role. IAM Identity Center
	// does that itself.
	e := l.entry
	_, isSSO := e.Principal.PermissionSet()
	isSSO = isSSO || e.PermissionSet.Name != ""
	if strings.HasPrefix(name, "{{SessionName") && !isSSO && e.SessionNamePattern == "" && e.Principal.Kind != iam.User {
		say(forgeableName, at, fmt.Sprintf("%s %q begins with the session name, which callers choose, so they can take the name of somebody else", what, short(name)),
			fmt.Sprintf("put something with a colon before it, as in %q, or restrict it by sessionNamePattern", "team:"+short(name)))
	}
}

func (c *checker) groups(l located, say sayFunc) {
	key := "groups"
	if l.fields.values["kubernetesgroups"] != nil {
		key = "kubernetesgroups"
	}
	seen := map[string]bool{}
	for i, g := range l.entry.Groups {
		at := l.fields.item(l.fields.at(l.at, "type", "username"), key, i)
		if seen[g] {
			say(duplicate, at, fmt.Sprintf("the group %q stands twice", short(g)), "remove one of them")
		}
		seen[g] = true
		c.name(l, "group", g, at, say)
		lower, near := strings.ToLower(g), ""
		if strings.HasPrefix(lower, "sys") {
			near = suggest.Nearest(g, systemGroups[:])
		}
		switch {
		case g == masters:
			say(systemMasters, at, "system:masters may do everything, past every authorizer, and no binding can take that away", "bind a group of your own to the ClusterRole cluster-admin")
		case slices.Contains(systemGroups[:], g) || strings.Contains(g, "{{") || strings.HasPrefix(g, "system:serviceaccounts:"):
		case near != "":
			say(systemGroup, at, fmt.Sprintf("the group %q is none of Kubernetes' own; letter case counts", short(g)), fmt.Sprintf("did you mean %q?", near))
		case strings.HasPrefix(lower, "system:"):
			say(systemGroup, at, fmt.Sprintf("the group %q looks like one of Kubernetes' own but is none", short(g)), "")
		case c.bound != nil && !slices.Contains(nodeGroups[:], g) && !c.bound[g]:
			suggestion := "bind it, or use one that is bound"
			if near := c.nearest(g); near != "" {
				suggestion = fmt.Sprintf("did you mean %q?", near)
			}
			say(unboundGroup, at, fmt.Sprintf("no RoleBinding and no ClusterRoleBinding names the group %q, so it gives no rights", short(g)), suggestion)
		}
	}
}

// maxNear bounds for how many groups those that are bound are searched for a similar one.
const maxNear = 1000

// nearest returns the bound group that was meant, if that can be told.
func (c *checker) nearest(group string) string {
	near, ok := c.near[group]
	if !ok && len(c.near) < maxNear {
		if c.near == nil {
			c.near = map[string]string{}
		}
		near = suggest.Nearest(group, c.options.BoundGroups)
		c.near[group] = near
	}
	return near
}

// node looks at entries that are half for nodes.
func (c *checker) node(l located, say sayFunc) {
	e := l.entry
	at := l.fields.at(l.at, "username", "type")
	name := strings.HasPrefix(e.Username, "system:node:")
	inNodes := slices.Contains(e.Groups, nodes)
	ec2 := strings.Contains(e.Username, "{{EC2PrivateDNSName}}") || strings.Contains(e.Username, "{{EC2InstanceID}}")
	switch {
	case ec2 && !name:
		say(nodeIdentity, at, "a username after an EC2 instance that doesn't begin with system:node: is no node's, and whoever may assume the role chooses it", "write system:node:{{EC2PrivateDNSName}} for nodes, {{SessionName}} for people")
	case name && !inNodes:
		say(nodeIdentity, at, "the username is a node's, but the group system:nodes is missing, without which it is none", "add the group system:nodes")
	case inNodes && !name:
		say(nodeIdentity, at, "the group is that of nodes, but the username is none's, so it gives no rights", "write system:node:{{EC2PrivateDNSName}}, or leave the group out")
	}
	if !ec2 && !name {
		return
	}
	for i, g := range e.Groups {
		if !slices.Contains(nodeGroups[:], g) {
			say(nodeIdentity, l.fields.item(at, "groups", i), fmt.Sprintf("a node is in the group %q: everything on the node has its rights, and whoever may assume the role can be any node", short(g)),
				"give people a role of their own")
		}
	}
}
