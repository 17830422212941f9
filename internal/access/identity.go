package access

import (
	"cmp"

	"github.com/iam-authenticator/authenticator/internal/trial"
	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// anySession is taken for the session name that an ARN doesn't say.
const anySession = "session"

// assume returns the identity that STS would give for a principal, with a session
// name and unique ID if they are known. Users have a long-term key, as most do.
func assume(p iam.Principal, session, uniqueID string) (iam.Identity, error) {
	key := trial.TemporaryKey
	if p.Kind == iam.User || p.Kind == iam.Root {
		key = "AKIAUNKNOWN"
	}
	return trial.Identity(p, cmp.Or(session, p.SessionName, anySession), cmp.Or(uniqueID, trial.UnknownID), key)
}

// caller returns an identity that the entry is for: see trial.Caller.
func (s *Sources) caller(e *entry) (iam.Identity, error) {
	return trial.Caller(e.Entry, s.partition, func(id iam.Identity) bool {
		for _, source := range s.list {
			if m, err := source.Lookup(id); err == nil && m.Entry().Principal.Key() == id.MapKey {
				return true
			}
		}
		return false
	})
}
