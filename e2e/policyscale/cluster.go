package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/internal/controller"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

const (
	perTeam = 4  // namespaces
	admins  = 10 // every so many entries there is one that has a policy in the cluster too
)

// size is how much there is in the cluster.
type size struct{ entries, namespaces int }

func (s size) teams() int { return s.namespaces / perTeam }

// bindings returns how many bindings the entries stand for.
func (s size) bindings() int { return s.entries*perTeam + (s.entries+admins-1)/admins }

// perNamespace returns how many entries are for a namespace of team 0.
func (s size) perNamespace() int { return (s.entries + s.teams() - 1) / s.teams() }

func namespace(team, i int) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("team%d-%d", team, i)}}
}

// entry is one that may edit in the namespaces of its team; some may view the cluster too.
func (s size) entry(i int) *v1alpha1.AccessEntry {
	e := &v1alpha1.AccessEntry{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("app-%06d", i)}}
	e.Spec.PrincipalARN = "arn:aws:iam::111122223333:role/" + e.Name
	const arn = "arn:aws:eks::aws:cluster-access-policy/"
	e.Spec.AccessPolicies = []v1alpha1.AccessPolicy{{
		PolicyARN:   arn + policy.Edit,
		AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeNamespace, Namespaces: []string{fmt.Sprintf("team%d-*", i%s.teams())}},
	}}
	if i%admins == 0 {
		e.Spec.AccessPolicies = append(e.Spec.AccessPolicies, v1alpha1.AccessPolicy{
			PolicyARN: arn + policy.View, AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster},
		})
	}
	return e
}

// newAdmin returns a client of the administrator, whose requests the API server takes in unlimited number.
func newAdmin(cluster *bed.Cluster) (client.Client, error) {
	config, err := clientcmd.BuildConfigFromFlags("", cluster.AdminKubeconfig)
	if err != nil {
		return nil, err
	}
	config.QPS = -1
	return client.New(config, client.Options{Scheme: controller.Scheme()})
}

// fill creates the namespaces and the entries.
func (s size) fill(ctx context.Context, admin client.Client) error {
	began := time.Now()
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(32)
	for i := range s.teams() * perTeam {
		g.Go(func() error { return admin.Create(ctx, namespace(i/perTeam, i%perTeam)) })
	}
	for i := range s.entries {
		g.Go(func() error { return admin.Create(ctx, s.entry(i)) })
	}
	err := g.Wait()
	progress("created %d namespaces and %d entries in %s", s.teams()*perTeam, s.entries, time.Since(began).Round(time.Second))
	return err
}

// install installs what the controller needs, and writes a kubeconfig with its rights.
func install(ctx context.Context, cluster *bed.Cluster, kubeconfig string) error {
	for _, args := range []string{
		"create -f ../deploy/crd/iam-authenticator.dev_accessentries.yaml -f ../deploy/policies.yaml -f ../deploy/controller/rbac.yaml",
		"wait --for=condition=Established --timeout=30s crd/accessentries.iam-authenticator.dev",
	} {
		if _, err := cluster.Kubectl(ctx, strings.Fields(args)...); err != nil {
			return err
		}
	}
	token, err := cluster.Kubectl(ctx, "-n", "kube-system", "create", "token", "iam-authenticator-controller", "--duration=24h")
	if err != nil {
		return err
	}
	return os.WriteFile(kubeconfig, fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: controller
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
contexts: [{name: controller, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: %q}}]
`, cluster.Server, filepath.ToSlash(cluster.CAFile), strings.TrimSpace(token)), 0o600)
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
