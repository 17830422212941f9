package lint

import "slices"

// ID is the stable name of a rule.
type ID string

// The rules. What they mean stands in docs/lint.md.
const (
	yamlSyntax        ID = "yaml-syntax"
	unknownDocument   ID = "unknown-document"
	configMapName     ID = "configmap-name"
	dataKey           ID = "data-key"
	dataType          ID = "data-type"
	notAList          ID = "not-a-list"
	unknownKey        ID = "unknown-key"
	duplicateKey      ID = "duplicate-key"
	missingKey        ID = "missing-key"
	notAString        ID = "not-a-string"
	groupsNotAList    ID = "groups-not-a-list"
	misindentedGroup  ID = "misindented-group"
	malformedARN      ID = "malformed-arn"
	sessionARN        ID = "session-arn"
	wildcard          ID = "wildcard"
	accountID         ID = "account-id"
	permissionSet     ID = "permission-set"
	placeholder       ID = "placeholder"
	systemSessionName ID = "system-session-name"
	invalidName       ID = "invalid-name"
	invalidEntry      ID = "invalid-entry"
	neverMaps         ID = "never-maps"
	otherPartition    ID = "other-partition"
	configValue       ID = "config-value"
	accessEntry       ID = "access-entry"
	moreFindings      ID = "more-findings"

	configMapNamespace ID = "configmap-namespace"
	unreadKey          ID = "unread-key"
	empty              ID = "empty"
	duplicate          ID = "duplicate"
	wrongSection       ID = "wrong-section"
	forgeableName      ID = "forgeable-name"
	nodeIdentity       ID = "node-identity"
	rootPrincipal      ID = "root-principal"
	ssoRole            ID = "sso-role"
	whitespace         ID = "whitespace"
	lookAlike          ID = "look-alike"
	systemGroup        ID = "system-group"
	mixedPartitions    ID = "mixed-partitions"
	unboundGroup       ID = "unbound-group"
	shadowed           ID = "shadowed"
	unknownPolicy      ID = "unknown-policy"

	rolePath        ID = "role-path"
	wholeAccount    ID = "whole-account"
	unquotedAccount ID = "unquoted-account"
	systemMasters   ID = "system-masters"
	unusedKey       ID = "unused-key"
	notChecked      ID = "not-checked"
)

// Rule is what a finding can be of.
type Rule struct {
	ID       ID
	Severity Severity
	Summary  string // one sentence
}

// rules are all rules, the worst first.
var rules = [...]Rule{
	{yamlSyntax, Error, "The text is not YAML or JSON, so nothing in it is read."},
	{unknownDocument, Error, "The document is none of the kinds that are checked."},
	{configMapName, Error, "A ConfigMap with mappings is not kube-system/aws-auth, so it is not read."},
	{dataKey, Error, "A key of the ConfigMap's data is misspelt or in the wrong letter case, so it is not read."},
	{dataType, Error, "A value of the ConfigMap's data is not text, so the API server refuses it."},
	{notAList, Error, "A section is not a list, so nothing in it is read."},
	{unknownKey, Error, "A key is not known."},
	{duplicateKey, Error, "A key stands twice."},
	{missingKey, Error, "An entry lacks whom it is for, or a username."},
	{notAString, Error, "A value is a number, a boolean or a mapping where text belongs."},
	{groupsNotAList, Error, "Groups are not a list."},
	{misindentedGroup, Error, "A group swallowed the line behind it."},
	{malformedARN, Error, "An ARN is not that of a principal."},
	{sessionARN, Error, "The ARN of a session stands where that of its role belongs."},
	{wildcard, Error, "An ARN has a wildcard, which matches nobody."},
	{accountID, Error, "An account ID is not 12 digits."},
	{permissionSet, Error, "A permission set is not one of IAM Identity Center."},
	{placeholder, Error, "A placeholder is unknown or not closed."},
	{systemSessionName, Error, "A session name right behind system: lets callers choose a name of Kubernetes' own."},
	{invalidName, Error, "A username or group is empty, too long, reserved for access policies, or has invisible characters."},
	{invalidEntry, Error, "The server refuses the entry for another reason."},
	{neverMaps, Error, "The entry can be read, but every login by it fails."},
	{otherPartition, Error, "A principal is not in the partition that the server is for."},
	{configValue, Error, "A value of the configuration is wrong."},
	{accessEntry, Error, "An AccessEntry breaks a rule of its schema."},
	{moreFindings, Error, "There are more than 1,000 findings of a severity, which is that of this one."},

	{configMapNamespace, Warning, "The manifest of aws-auth does not name the namespace kube-system."},
	{unreadKey, Warning, "A key is not read."},
	{empty, Warning, "The file or ConfigMap maps nobody."},
	{duplicate, Warning, "Two entries are for the same principal, or a value stands twice."},
	{wrongSection, Warning, "A role stands under mapUsers, or a user under mapRoles."},
	{forgeableName, Warning, "A name begins with the session name, so callers can take somebody else's."},
	{nodeIdentity, Warning, "An entry is half that of a node and half that of people."},
	{rootPrincipal, Warning, "An entry is for an account's root user, not for everybody in the account."},
	{ssoRole, Warning, "A role has the name of one of IAM Identity Center without its end, so there is no such role."},
	{whitespace, Warning, "A name begins or ends with a space."},
	{lookAlike, Warning, "A name has characters that look like others."},
	{systemGroup, Warning, "A group looks like one of Kubernetes' own but is none."},
	{mixedPartitions, Warning, "A principal is in another partition than most, and a server is for one."},
	{unboundGroup, Warning, "No binding of the cluster names the group, so it gives no rights."},
	{shadowed, Warning, "An access entry without groups and policies hides a mapping in aws-auth."},
	{unknownPolicy, Warning, "No ClusterRole can hold the rules of the access policy, so it gives no rights."},

	{rolePath, Info, "A role's ARN has a path, with which it works here but not in aws-iam-authenticator."},
	{wholeAccount, Info, "Everybody in an account gets in, under the name of the ARN."},
	{unquotedAccount, Info, "An account ID with a zero in front is not in quotes, and tools that rewrite the file take it for a number."},
	{systemMasters, Info, "The group system:masters may do everything, and no binding can take that away."},
	{unusedKey, Info, "A setting has no effect."},
	{notChecked, Info, "A document is of a kind that is not checked."},
}

// Rules returns all rules, the worst first.
func Rules() []Rule { return slices.Clone(rules[:]) }

func (id ID) severity() Severity {
	for _, r := range rules {
		if r.ID == id {
			return r.Severity
		}
	}
	return Error
}
