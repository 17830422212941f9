package mapper

import (
	"strings"
	"testing"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

const account = "111122223333"

// session returns the identity of a session of a role of the account.
func session(t testing.TB, role, name string) iam.Identity {
	t.Helper()
	return identity(t, "arn:aws:sts::"+account+":assumed-role/"+role+"/"+name, "AROAEXAMPLE:"+name, "ASIAEXAMPLE")
}

// user returns the identity of a user of the account with a long-term key.
func user(t testing.TB, name string) iam.Identity {
	t.Helper()
	return identity(t, "arn:aws:iam::"+account+":user/"+name, "AIDAEXAMPLE", "AKIAEXAMPLE")
}

func identity(t testing.TB, arn, userID, accessKeyID string) iam.Identity {
	t.Helper()
	id, err := iam.NewIdentity(arn, strings.Split(arn, ":")[4], userID, accessKeyID)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// section parses the YAML of one section.
func section(t testing.TB, name, text string) Section {
	t.Helper()
	node, err := ParseYAML([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return ParseSection(name, node, ParseOptions{})
}

// one parses the YAML of one entry of mapRoles that must be good.
func one(t testing.TB, text string) *Mapping {
	t.Helper()
	s := section(t, MapRoles, "["+text+"]")
	if s.Err != nil || len(s.Problems) > 0 || len(s.Mappings) != 1 {
		t.Fatalf("%s: %d mappings, problems %v, error %v", text, len(s.Mappings), s.Problems, s.Err)
	}
	return s.Mappings[0]
}

// static is a Mapper whose index never changes.
type static struct {
	name  string
	index *Index
	err   error // of both questions
}

func newStatic(name string, mappings []*Mapping, accounts ...string) static {
	index, _ := NewIndex(mappings, accounts)
	return static{name: name, index: index}
}

func (s static) Name() string   { return s.name }
func (s static) Status() Status { return Status{Entries: s.index.Len()} }

func (s static) Lookup(id iam.Identity) (*Mapping, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.index.Lookup(id)
}

func (s static) MapsAccount(account string) (bool, error) { return s.index.MapsAccount(account), s.err }
