package node

import (
	"context"
	"net/url"
	"strings"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

// getProfile asks IAM for an instance profile, and settles the answer.
func (c *caller) getProfile(arn string, deadline time.Time, settle func(string, profile, error)) {
	defer c.recovered(func(err error) { settle(arn, profile{}, err) })
	name, err := profileName(arn)
	if err != nil {
		settle(arn, profile{}, err)
		return
	}
	for {
		if !c.wait(&c.iam, deadline) {
			settle(arn, profile{}, tooLate())
			return
		}
		p, err := c.callProfile(arn, name)
		if reason.Of(err) != reason.EC2Throttled {
			settle(arn, p, err)
			return
		}
	}
}

func (c *caller) callProfile(arn, name string) (p profile, err error) {
	err = c.call(&c.iam, Call{Operation: GetInstanceProfile}, func(ctx context.Context, clients *clients) error {
		var out getInstanceProfile
		err := clients.iam.call(ctx, GetInstanceProfile, url.Values{"InstanceProfileName": {name}}, &out)
		if err != nil {
			return err
		}
		p, err = profileOf(out, arn)
		return err
	})
	return p, err
}

// profileOf reads an answer of IAM, which knows profiles by name only, and those of one
// account.
func profileOf(out getInstanceProfile, arn string) (p profile, err error) {
	if got := out.ARN; got != arn {
		return p, reason.New(reason.InstanceRoleMismatch, "its instance profile is %s, but IAM knows %s: is it in the account of this server?", arn, got)
	}
	for _, role := range out.Roles {
		principal, err := iam.ParsePrincipal(role.ARN)
		if err != nil {
			return profile{}, reason.New(reason.EC2Unavailable, "IAM answers with a role that is none: %w", err)
		}
		p.roles = append(p.roles, principal)
		others, err := trusted(role.Policy)
		if err != nil {
			others = []string{"nobody knows who, as it has no trust policy that can be read"}
		}
		p.others = append(p.others, others...)
	}
	return p, nil
}

// profileName returns the name in "arn:aws:iam::111122223333:instance-profile/PATH/NAME".
func profileName(arn string) (string, error) {
	fields := strings.SplitN(arn, ":", 6)
	if len(fields) == 6 && fields[0] == "arn" && fields[2] == "iam" {
		if path, ok := strings.CutPrefix(fields[5], "instance-profile/"); ok {
			if name := path[strings.LastIndexByte(path, '/')+1:]; name != "" {
				return name, nil
			}
		}
	}
	return "", reason.New(reason.EC2Unavailable, "EC2 says that its instance profile is %q, want arn:aws:iam::111122223333:instance-profile/NAME", arn)
}
