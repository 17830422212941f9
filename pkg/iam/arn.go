package iam

import (
	"fmt"
	"strings"
)

// AccountOf returns the account in the ARN of any resource, such as
// "arn:aws:eks:eu-west-1:111122223333:cluster/demo". The error says what was expected.
func AccountOf(arn string) (string, error) {
	fields := strings.SplitN(arn, ":", 6)
	odd := func(r rune) bool { return r <= ' ' || r >= 0x7f }
	if len(arn) > maxARN || len(fields) != 6 || fields[0] != "arn" || !isAccount(fields[4]) || strings.ContainsFunc(arn, odd) {
		return "", fmt.Errorf("ARN %s, want arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE with an account of 12 digits", quote(arn))
	}
	return fields[4], nil
}
