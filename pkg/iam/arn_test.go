package iam

import (
	"strings"
	"testing"
)

func TestAccountOf(t *testing.T) {
	for arn, want := range map[string]string{
		"arn:aws:eks:eu-west-1:111122223333:cluster/demo":      "111122223333",
		"arn:aws-cn:iam::111122223333:role/a:b":                "111122223333",
		"arn:aws:eks:eu-west-1:1:cluster/demo":                 "",
		"arn:aws:eks:eu-west-1:111122223333":                   "",
		"ARN:aws:eks:eu-west-1:111122223333:cluster/demo":      "",
		"arn:aws:s3:::bucket":                                  "",
		"demo":                                                 "",
		"":                                                     "",
		"arn:aws:eks:eu-west-1:111122223333:c\r\nX: y":         "",
		"arn:aws:eks:eu-west-1:111122223333:ä":                 "",
		"arn:aws:x::111122223333:" + strings.Repeat("x", 1024): "",
	} {
		if got, err := AccountOf(arn); got != want || (err == nil) != (want != "") {
			t.Errorf("AccountOf(%q) = %q, %v, want %q", arn, got, err, want)
		}
	}
}
