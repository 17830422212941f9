package node

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// trusted returns who else than EC2 may assume a role, as its trust policy says, which IAM
// answers escaped as in URLs. Whoever may assume a role names the session, and passes for
// any instance that has the role: nothing that AWS says of a session tells them apart.
// Conditions and denials are not looked at: they may not keep out who they name.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
func trusted(policy string) ([]string, error) {
	text, err := url.PathUnescape(policy)
	if err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	var document struct{ Statement oneOrMore[statement] }
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		return nil, fmt.Errorf("trust policy: %w", err)
	}
	var others []string
	for _, s := range document.Statement {
		if s.Effect == "Allow" && s.assumes() {
			others = append(others, s.others()...)
		}
	}
	slices.Sort(others)
	return slices.Compact(others), nil
}

// statement is one of a trust policy.
type statement struct {
	Effect       string
	Action       oneOrMore[string]
	Principal    principals
	NotPrincipal json.RawMessage
}

// principals are named by kind: AWS, Service, Federated. "*" is {"AWS": "*"}.
type principals map[string]oneOrMore[string]

func (p *principals) UnmarshalJSON(text []byte) error {
	var all string
	if json.Unmarshal(text, &all) == nil {
		*p = principals{"AWS": {all}}
		return nil
	}
	return json.Unmarshal(text, (*map[string]oneOrMore[string])(p))
}

// assumes tells whether the actions may be some that give a session. Without any, the
// statement is for all but some.
func (s statement) assumes() bool {
	return len(s.Action) == 0 || slices.ContainsFunc(s.Action, func(a string) bool {
		return !strings.EqualFold(a, "sts:TagSession") && !strings.EqualFold(a, "sts:SetSourceIdentity")
	})
}

func (s statement) others() (others []string) {
	if len(s.NotPrincipal) > 0 {
		others = append(others, "*")
	}
	for kind, names := range s.Principal {
		for _, name := range names {
			if kind != "Service" || name != "ec2.amazonaws.com" && name != "ec2.amazonaws.com.cn" {
				others = append(others, name)
			}
		}
	}
	return others
}

// oneOrMore is a list, whose brackets policies may leave out around one element.
type oneOrMore[T any] []T

func (l *oneOrMore[T]) UnmarshalJSON(text []byte) error {
	if strings.HasPrefix(strings.TrimSpace(string(text)), "[") {
		return json.Unmarshal(text, (*[]T)(l))
	}
	*l = make([]T, 1)
	return json.Unmarshal(text, &(*l)[0])
}
