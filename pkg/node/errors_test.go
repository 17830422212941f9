package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/aws/smithy-go"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/reason"
)

func TestErrorsOfAWSHaveReasons(t *testing.T) {
	for _, c := range []struct {
		operation, code string
		want            reason.Code
	}{
		{DescribeInstances, "RequestLimitExceeded", reason.EC2Throttled},
		{DescribeInstances, "Throttling", reason.EC2Throttled},
		{GetInstanceProfile, "Throttling", reason.EC2Throttled},
		{GetInstanceProfile, "ThrottlingException", reason.EC2Throttled},
		{DescribeInstances, "UnauthorizedOperation", reason.EC2AccessDenied},
		{DescribeInstances, "AuthFailure", reason.EC2AccessDenied},
		{GetInstanceProfile, "AccessDenied", reason.EC2AccessDenied},
		{DescribeInstances, "AccessDenied", reason.EC2AccessDenied}, // of STS, when the role is assumed
		{DescribeInstances, "InvalidInstanceID.NotFound", reason.InstanceNotFound},
		{DescribeInstances, "InvalidInstanceID.Malformed", reason.InstanceNotFound},
		{GetInstanceProfile, "InvalidInstanceID.NotFound", reason.EC2Unavailable},
		{GetInstanceProfile, "NoSuchEntity", reason.InstanceRoleMismatch},
		{DescribeInstances, "NoSuchEntity", reason.EC2Unavailable},
		{DescribeInstances, "InternalError", reason.EC2Unavailable},
		{DescribeInstances, "", reason.EC2Unavailable},
	} {
		err := explain(c.operation, fmt.Errorf("operation: %w", &smithy.GenericAPIError{Code: c.code, Message: "why. Encoded authorization failure message: abc"}))
		if reason.Of(err) != c.want || !strings.Contains(err.Error(), c.operation+": "+c.code+": why.") || strings.Contains(err.Error(), "abc") {
			t.Errorf("%s of %s: %v, want %s", c.code, c.operation, err, c.want)
		}
	}
	for _, err := range []error{errors.New("boom"), context.DeadlineExceeded} {
		if got := explain(DescribeInstances, err); reason.Of(got) != reason.EC2Unavailable || !errors.Is(got, err) {
			t.Errorf("%v", got)
		}
	}
}

func TestInstancesInMessages(t *testing.T) {
	const long, short = "i-0123456789abcdef0", "i-01234567"
	for message, want := range map[string][]string{
		"The instance ID '" + long + "' does not exist":                     {long},
		"The instance IDs '" + long + ", " + short + "' do not exist":       {long, short},
		`Invalid id: "` + short + `"`:                                       {short},
		`Invalid ids: "` + short + "," + long + `"`:                         {short, long},
		"The instance IDs '" + long + "a, x" + short + ", m" + short + "'.": nil,
		"none": nil,
	} {
		if got := instancesIn(message); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", message, got, want)
		}
	}
}

func FuzzInstancesIn(f *testing.F) {
	for _, s := range []string{"The instance IDs 'i-0123456789abcdef0, i-01234567' do not exist", `Invalid id: "i-0"`, "", "i-01234567i-01234567"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, message string) {
		const id = "i-0123456789abcdef0"
		for _, found := range instancesIn(message) {
			if !iam.IsInstanceID(found) || !strings.Contains(message, found) {
				t.Errorf("%q in %q", found, message)
			}
		}
		if !slices.Contains(instancesIn(message+" '"+id+"', "+message), id) {
			t.Errorf("%q is not found between %q", id, message)
		}
	})
}

func TestProfileName(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:iam::111122223333:instance-profile/nodes":        "nodes",
		"arn:aws-cn:iam::111122223333:instance-profile/a/b/nodes": "nodes",
		"arn:aws:iam::111122223333:instance-profile/":             "",
		"arn:aws:iam::111122223333:role/nodes":                    "",
		"arn:aws:ec2::111122223333:instance-profile/nodes":        "",
		"nodes": "",
		"":      "",
	} {
		got, err := profileName(arn)
		if got != want || (err == nil) != (want != "") || err != nil && reason.Of(err) != reason.EC2Unavailable {
			t.Errorf("%q: %q, %v, want %q", arn, got, err, want)
		}
	}
}
