package mapper

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

func TestBootstrapAdmin(t *testing.T) {
	admin, err := NewBootstrapAdmin([]string{
		"arn:aws:iam::111122223333:role/team/Admins",
		"arn:aws:iam::111122223333:user/ops/bob",
		"arn:aws:iam::111122223333:root",
	}, time.Unix(1, 0))
	if err != nil {
		t.Fatal(err)
	}
	if err := admin.Status().Ready(); err != nil {
		t.Error(err)
	}
	// Nothing behind it changes what it says.
	chain := NewChain([]Mapper{admin, static{name: "Unready", err: Status{}.Ready()}}, ChainOptions{})
	for want, id := range map[string]iam.Identity{
		"bootstrap-admin:alice": session(t, "admins", "alice"),
		"bootstrap-admin:bob":   user(t, "ops/bob"),
		"bootstrap-admin:root":  identity(t, "arn:aws:iam::111122223333:root", "111122223333", ""),
	} {
		got, err := chain.Map(t.Context(), id)
		if err != nil || got.Username != want || !slices.Equal(got.Groups, []string{"system:masters"}) || got.Mapper != BootstrapAdmin {
			t.Errorf("got %+v, %v, want %s", got, err, want)
		}
	}
}

func TestBootstrapAdminRejects(t *testing.T) {
	for arn, says := range map[string]string{
		"alice": "want arn:",
		"arn:aws:sts::111122223333:assumed-role/admins/alice": "write the role: arn:aws:iam::111122223333:role/admins",
		"arn:aws:iam::111122223333:role/*":                    "ASCII letters",
	} {
		if _, err := NewBootstrapAdmin([]string{arn}, time.Time{}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: error %v does not say %q", arn, err, says)
		}
	}
}
