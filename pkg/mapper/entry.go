package mapper

import (
	"errors"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// entry parses one entry of the section and adds it to the result.
func (p *parser) entry(i int, n *yaml.Node) {
	source := Source{Section: p.section, Index: i, Line: n.Line}
	n, err := p.resolve(n)
	if err == nil && p.section == MapAccounts {
		err = p.account(n)
	} else if err == nil {
		err = p.mapping(n, &source)
	}
	if err != nil {
		p.problem(Skipped, source, err.Error())
		p.refuse(n, source, err.Error())
	}
}

// refuse adds refusals for whom a bad entry of mapRoles or mapUsers names, as far as
// that can be told.
func (p *parser) refuse(n *yaml.Node, source Source, mistake string) {
	if n.Kind != yaml.MappingNode {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		value, err := p.resolve(n.Content[i+1])
		if err != nil {
			continue
		}
		e := Entry{Source: source}
		switch strings.ToLower(n.Content[i].Value) {
		case "rolearn", "userarn":
			// Not a session's: the entry is no entry for its role.
			if e.Principal, err = iam.ParsePrincipal(value.Value); err != nil || e.Principal.Kind == iam.Role && e.Principal.SessionName != "" {
				continue
			}
		case "sso":
			if e.PermissionSet, err = p.permissionSet(value); err != nil {
				continue
			}
		case "userid":
			if e.UserID = value.Value; !p.options.UserIDStrict || e.UserID == "" {
				continue
			}
		default:
			continue
		}
		p.result.Mappings = append(p.result.Mappings, NewRefusal(e, mistake))
	}
}

func (p *parser) account(n *yaml.Node) error {
	if n.Kind != yaml.ScalarNode {
		return fmt.Errorf("is %s, want an account ID of 12 digits", kindOf(n))
	}
	// The text counts, not the value: as a number, an ID would lose its leading zeros.
	if err := iam.CheckAccount(n.Value); err != nil {
		return err
	}
	p.result.Accounts = append(p.result.Accounts, n.Value)
	return nil
}

// Keys of entries, in the spelling of the documentation; any letter case is taken.
var (
	commonKeys = []string{"username", "groups", "userid", "sessionNamePattern", "requireTemporaryCredentials"}
	roleKeys   = append([]string{"rolearn", "sso"}, commonKeys...)
	userKeys   = append([]string{"userarn"}, commonKeys...)
	ssoKeys    = []string{"permissionSetName", "accountID", "partition"}
)

// mapping parses an entry of mapRoles or mapUsers, and fills in source as far as
// the entry can be read.
func (p *parser) mapping(n *yaml.Node, source *Source) error {
	arnKey, keys := "rolearn", roleKeys
	if p.section == MapUsers {
		arnKey, keys = "userarn", userKeys
	}
	f, err := p.fields(n, keys)
	if err != nil {
		return err
	}
	var e Entry
	if err := p.subject(f, arnKey, &e, source); err != nil {
		return err
	}
	if e.Username, err = f.text("username"); err != nil {
		return err
	}
	if e.Username == "" {
		return errors.New("username is missing or empty")
	}
	if e.Groups, err = p.groups(f.take("groups"), *source); err != nil {
		return err
	}
	if e.SessionNamePattern, err = f.restriction("sessionNamePattern"); err != nil {
		return err
	}
	if e.RequireTemporaryCredentials, err = f.flag("requireTemporaryCredentials"); err != nil {
		return err
	}
	e.Source = *source
	m, err := NewMapping(e)
	if err != nil {
		return err
	}
	// As in the original, what is in the wrong section works.
	switch {
	case p.section == MapUsers && e.Principal.Kind == iam.Role:
		p.problem(Warning, *source, "a role under mapUsers; it works, but belongs under mapRoles")
	case p.section == MapRoles && e.Principal.Kind != iam.Role && e.Principal.Kind != 0:
		p.problem(Warning, *source, fmt.Sprintf("a %s under mapRoles; it works, but belongs under mapUsers", e.Principal.Kind))
	}
	p.result.Mappings = append(p.result.Mappings, m)
	return nil
}

// subject parses whom the entry is for.
func (p *parser) subject(f fields, arnKey string, e *Entry, source *Source) (err error) {
	arn, err := f.text(arnKey)
	if err != nil {
		return err
	}
	if len(arn) <= maxARN {
		source.ARN = arn
	}
	if e.UserID, err = f.restriction("userid"); err != nil {
		return err
	}
	if p.options.UserIDStrict && e.UserID == "" {
		return errors.New("userid is missing, and dynamicfileUserIDStrict wants one")
	}
	sso := f.take("sso")
	switch {
	case arn != "" && sso != nil:
		return errors.New("has rolearn and sso, want one of them")
	case arn != "":
		e.Principal, err = iam.ParsePrincipal(arn)
		return err
	case sso != nil:
		if e.PermissionSet, err = p.permissionSet(sso); err != nil {
			return err
		}
		// A name for messages: the role has a hash at its end that we don't know.
		source.ARN = fmt.Sprintf("arn:%s:iam::%s:role/AWSReservedSSO_%s_*", e.PermissionSet.Partition, e.PermissionSet.Account, e.PermissionSet.Name)
		return nil
	case e.UserID != "" && p.options.UserIDStrict:
		return nil
	case arnKey == "rolearn":
		return errors.New("has no rolearn and no sso, want one of them")
	default:
		return errors.New("has no userarn")
	}
}

func (p *parser) permissionSet(n *yaml.Node) (PermissionSet, error) {
	f, err := p.fields(n, ssoKeys)
	if err != nil {
		return PermissionSet{}, fmt.Errorf("sso: %w", err)
	}
	set := PermissionSet{Partition: "aws"}
	if set.Name, err = f.text("permissionSetName"); err != nil {
		return PermissionSet{}, fmt.Errorf("sso: %w", err)
	}
	if account := f.take("accountID"); account != nil && account.Kind == yaml.ScalarNode {
		set.Account = account.Value
	}
	if partition, err := f.text("partition"); err != nil {
		return PermissionSet{}, fmt.Errorf("sso: %w", err)
	} else if partition != "" {
		set.Partition = strings.ToLower(partition)
	}
	return set, set.check()
}

func (p *parser) groups(n *yaml.Node, source Source) ([]string, error) {
	if n == nil {
		return nil, nil
	}
	if n.Kind != yaml.SequenceNode {
		return nil, fmt.Errorf("groups is %s, want a list of strings", kindOf(n))
	}
	var groups []string
	for i, item := range n.Content {
		item, err := p.resolve(item)
		if err != nil {
			return nil, fmt.Errorf("groups[%d]: %w", i, err)
		}
		if err := checkString(item); err != nil {
			return nil, fmt.Errorf("groups[%d] %w", i, err)
		}
		if item.Style == 0 && strings.Contains(item.Value, " - ") {
			p.problem(Warning, source, fmt.Sprintf("groups[%d] has a dash inside; are the lines behind it indented too far?", i))
		}
		groups = append(groups, item.Value)
	}
	return groups, nil
}
