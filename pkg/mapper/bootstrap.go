package mapper

import (
	"fmt"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// BootstrapAdmin is the name of the mapper of those who always get in.
const BootstrapAdmin = "BootstrapAdmin"

// bootstrap maps a few principals from the configuration to administrators.
type bootstrap struct {
	index  *Index
	loaded time.Time
}

// NewBootstrapAdmin returns the mapper of the principals that are always mapped to a
// cluster administrator: "bootstrap-admin:SESSION" for a role and
// "bootstrap-admin:NAME" for a user, in the group system:masters. It belongs first
// in a chain, and nothing in the cluster or in a file changes it.
func NewBootstrapAdmin(arns []string, now time.Time) (Mapper, error) {
	var mappings []*Mapping
	for i, arn := range arns {
		principal, err := iam.ParsePrincipal(arn)
		if err != nil {
			return nil, err
		}
		name := principal.Name
		switch {
		case principal.SessionName != "":
			return nil, fmt.Errorf("%s is a session, which lasts hours at most; write the role: %s", arn, principal.Canonical())
		case principal.Kind == iam.Root:
			name = "root"
		case principal.Kind == iam.Role:
			name = "{{SessionName}}"
		}
		m, err := NewMapping(Entry{
			Source:    Source{Section: "bootstrapAdmin", Index: i, ARN: arn},
			Principal: principal,
			Username:  "bootstrap-admin:" + name,
			Groups:    []string{"system:masters"},
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", arn, err)
		}
		mappings = append(mappings, m)
	}
	index, _ := NewIndex(mappings, nil)
	return &bootstrap{index: index, loaded: now}, nil
}

func (b *bootstrap) Name() string                             { return BootstrapAdmin }
func (b *bootstrap) Lookup(id iam.Identity) (*Mapping, error) { return b.index.Lookup(id) }
func (b *bootstrap) MapsAccount(string) (bool, error)         { return false, nil }
func (b *bootstrap) Status() Status                           { return Status{Entries: b.index.Len(), Loaded: b.loaded} }
