package iam

import "strings"

// IsInstanceID tells whether s is the ID of an EC2 instance: "i-" and 8 or 17
// lower-case hexadecimal digits.
// https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/resource-ids.html
func IsInstanceID(s string) bool {
	digits, ok := strings.CutPrefix(s, "i-")
	if !ok || len(digits) != 8 && len(digits) != 17 {
		return false
	}
	return strings.Trim(digits, "0123456789abcdef") == ""
}
