package suggest

import (
	"strings"
	"testing"
)

func TestNearest(t *testing.T) {
	known := []string{"groups", "username", "rolearn", "mapRoles", "mapUsers"}
	for word, want := range map[string]string{
		"gruops":                       "groups",
		"group":                        "groups",
		"Groups":                       "groups",
		"user":                         "",
		"usernam":                      "username",
		"rolarn":                       "rolearn",
		"mapRole":                      "mapRoles",
		"MAPUSER":                      "mapUsers",
		"":                             "",
		"x":                            "",
		"kubernetes":                   "",
		strings.Repeat("groups", 9999): "",
	} {
		if got := Nearest(word, known); got != want {
			t.Errorf("Nearest(%.20q) = %q, want %q", word, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"abc", "abc", 0}, {"abc", "", 3}, {"", "abc", 3}, {"abc", "abd", 1},
		{"abc", "acb", 1}, {"abcd", "badc", 2}, {"kitten", "sitting", 3},
	} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
