package access

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/rest"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
	"github.com/iam-authenticator/authenticator/pkg/mapper/backend"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
	"github.com/iam-authenticator/authenticator/pkg/mapper/file"
	"github.com/iam-authenticator/authenticator/pkg/mapper/identitymapping"
)

// options returns the options of a server with the backends.
func options(t testing.TB, cluster *Cluster, backends ...string) Options {
	t.Helper()
	s := config.Default().Server
	s.BackendMode = backends
	return Options{Server: s, Cluster: cluster, Make: func(name string, cluster *rest.Config) (backend.Runner, error) {
		switch name {
		case config.BackendEKSConfigMap:
			return configmap.New(configmap.Options{Config: cluster})
		case config.BackendAccessEntry:
			return accessentry.New(accessentry.Options{Config: cluster})
		case config.BackendCRD:
			return identitymapping.New(identitymapping.Options{Config: cluster})
		default:
			return nil, fmt.Errorf("%s is not for this test", name)
		}
	}}
}

// addFiles adds the mappers of files.
func addFiles(o *Options) {
	inCluster := o.Make
	o.Make = func(name string, cluster *rest.Config) (backend.Runner, error) {
		switch name {
		case config.BackendMountedFile:
			return file.New(file.Options{Kind: file.MountedFile, Path: o.ConfigFile, Logger: zap.NewNop()})
		case config.BackendDynamicFile:
			return file.New(file.Options{Kind: file.DynamicFile, Path: o.Server.DynamicFilePath, UserIDStrict: o.Server.DynamicFileUserIDStrict})
		}
		return inCluster(name, cluster)
	}
}

func read(t testing.TB, o Options) *Sources {
	t.Helper()
	s, err := Read(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// write writes a file that was not written a moment ago: a server waits for such.
func write(t testing.TB, name, text string) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		t.Fatal(err)
	}
	return path
}

// awsAuth returns the manifest of a ConfigMap with sections.
func awsAuth(sections map[string]string) string {
	text := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\ndata:\n"
	for name, section := range sections {
		text += "  " + name + ": |\n"
		for line := range strings.Lines(section) {
			text += "    " + line
		}
		text += "\n"
	}
	return text
}

// roles reads an aws-auth with the entries of mapRoles.
func roles(t testing.TB, entries string) *Sources {
	t.Helper()
	path := write(t, "aws-auth.yaml", awsAuth(map[string]string{mapper.MapRoles: entries}))
	return read(t, options(t, &Cluster{AWSAuth: path}, config.BackendEKSConfigMap))
}

func principalOf(t testing.TB, arn string) iam.Principal {
	t.Helper()
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func explain(t testing.TB, s *Sources, arn string) Explanation {
	t.Helper()
	e, err := s.ExplainARN(context.WithoutCancel(t.Context()), principalOf(t, arn), "", "")
	if err != nil {
		t.Fatal(err)
	}
	return e
}

const (
	account = "111122223333"
	arns    = "arn:aws:iam::" + account + ":"
)
