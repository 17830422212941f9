package iam

import (
	"regexp"
	"testing"
)

func TestIsInstanceID(t *testing.T) {
	for id, want := range map[string]bool{
		"i-01234567": true, "i-0123456789abcdef0": true, "i-ffffffff": true,
		"": false, "i-": false, "i": false, "i-0123456": false, "i-012345678": false, "i-0123456789abcdef": false,
		"i-0123456789abcdef01": false, "i-0123456789ABCDEF0": false, "I-01234567": false, "mi-0123456789abcdef0": false,
		"i-0123456g": false, "i-01234567\n": false, " i-01234567": false, "i-0123456\u0661": false, "i-01234567.ec2.internal": false,
	} {
		if got := IsInstanceID(id); got != want {
			t.Errorf("IsInstanceID(%q) = %t", id, got)
		}
	}
}

func FuzzIsInstanceID(f *testing.F) {
	for _, s := range []string{"i-01234567", "i-0123456789abcdef0", "i-0123456789abcdeg0", "mi-01234567", ""} {
		f.Add(s)
	}
	pattern := regexp.MustCompile(`\Ai-([0-9a-f]{8}|[0-9a-f]{17})\z`)
	f.Fuzz(func(t *testing.T, s string) {
		if got, want := IsInstanceID(s), pattern.MatchString(s); got != want {
			t.Errorf("IsInstanceID(%q) = %t, want %t", s, got, want)
		}
	})
}
