// Package identitymapping maps principals as the IAMIdentityMapping objects of
// aws-iam-authenticator say, for those who come from it.
//
// Only the spec of an object decides. The original looks principals up by
// status.canonicalARN, so that whoever may write a status can let anybody in.
package identitymapping

import (
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/internal/objects"
)

// Name is the name of the backend, as in the original.
const Name = "CRD"

const resource = "iamidentitymappings"

// Options are the options of a Mapper.
type Options struct {
	// Config leads to the API server.
	Config *rest.Config
	// Log is told of objects that are not in force, and of the state of the
	// connection. Nil: nobody is.
	Log *zap.Logger
	// Now is the clock. Nil: time.Now.
	Now func() time.Time
}

// Mapper is a mapper.Mapper of IAMIdentityMapping objects. It is ready and empty if
// their kind is not installed.
type Mapper struct{ *objects.Mapper }

var _ mapper.Mapper = Mapper{}

// New returns a mapper that reads nothing until it runs.
func New(o Options) (Mapper, error) {
	if o.Log == nil {
		o.Log = zap.NewNop()
	}
	log := o.Log.With(zap.String("mapper", Name))
	kind := schema.GroupVersionKind{Group: "iamauthenticator.k8s.aws", Version: "v1alpha1", Kind: "IAMIdentityMapping"}
	client, err := objects.NewClient(o.Config, kind, resource)
	if err != nil {
		return Mapper{}, err
	}
	return Mapper{objects.NewMapper(objects.Options{
		Name:     Name,
		Resource: resource,
		Client:   client,
		Store:    objects.NewStore(objects.Kind{Name: kind.Kind, Entry: entry}, log),
		Log:      log,
		Now:      o.Now,
	})}, nil
}

// spec is the spec of an IAMIdentityMapping.
type spec struct {
	ARN      string   `json:"arn"`
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
}

// entry returns the mapping that the spec of an object says. Reserved names are allowed where they
// are spelled out, as people of the original rely on system:masters and
// system:node:{{EC2PrivateDNSName}}.
func entry(o *objects.Object) (e mapper.Entry, arn string, err error) {
	var s spec
	if err := objects.Decode(o.Spec, &s); err != nil {
		return e, objects.Text(o.Spec, "arn"), err
	}
	switch {
	case s.ARN == "":
		return e, "", errors.New("spec.arn is missing or empty")
	case s.Username == "":
		return e, s.ARN, errors.New("spec.username is missing or empty")
	}
	e.Username, e.Groups = s.Username, s.Groups
	if e.Principal, err = iam.ParsePrincipal(s.ARN); err != nil {
		return e, s.ARN, fmt.Errorf("spec.arn: %w", err)
	}
	return e, s.ARN, nil
}
