package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/internal/controller"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/policy"
)

// controllerBed is a cluster with access entries and their policies, and the program that binds them.
type controllerBed struct {
	*bed.Cluster
	admin   client.Client
	config  *rest.Config // the administrator's
	program string
}

func newControllerBed(t *testing.T) *controllerBed {
	t.Helper()
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	adminKubectl(t, cluster, "create", "-f", accessEntryCRD, "-f", "../deploy/policies.yaml")
	adminKubectl(t, cluster, "wait", "--for=condition=Established", "--timeout=30s", "crd/accessentries.iam-authenticator.dev")
	config, err := clientcmd.BuildConfigFromFlags("", cluster.AdminKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	config.QPS = -1
	admin, err := client.New(config, client.Options{Scheme: controller.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	return &controllerBed{cluster, admin, config, filepath.Join(buildAuthenticator(t), "authenticator-controller")}
}

// start starts the controller with flags. It is killed when the test ends.
func (b *controllerBed) start(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(t.ArtifactDir(), "controller.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(b.program, append([]string{"--kubeconfig", b.AdminKubeconfig, "--metrics-address=", "--health-address="}, flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd, syscall.SIGKILL) })
	return cmd
}

// end sends a signal to a program and waits until it has gone.
func end(cmd *exec.Cmd, signal syscall.Signal) {
	if cmd.ProcessState == nil {
		_ = cmd.Process.Signal(signal)
		_ = cmd.Wait()
	}
}

// until fails the test if something isn't so within half a minute. It returns how long it took.
func until(t *testing.T, what string, so func() error) time.Duration {
	t.Helper()
	began := time.Now()
	for {
		err := so()
		if err == nil {
			return time.Since(began)
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

func (b *controllerBed) create(t *testing.T, objects ...client.Object) {
	t.Helper()
	for _, o := range objects {
		if err := b.admin.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
}

func newNamespace(name string) *corev1.Namespace {
	return &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
}

// entryWith returns an entry with policies, such as "AmazonEKSViewPolicy" for the cluster and
// "AmazonEKSEditPolicy dev-* test" for namespaces.
func entryWith(name string, policies ...string) *v1alpha1.AccessEntry {
	e := &v1alpha1.AccessEntry{ObjectMeta: metav1.ObjectMeta{Name: name}}
	e.Spec.PrincipalARN = "arn:aws:iam::111122223333:role/" + name
	e.Spec.AccessPolicies = accessPolicies(policies...)
	return e
}

func accessPolicies(policies ...string) (all []v1alpha1.AccessPolicy) {
	for _, p := range policies {
		fields := strings.Fields(p)
		ap := v1alpha1.AccessPolicy{PolicyARN: "arn:aws:eks::aws:cluster-access-policy/" + fields[0], AccessScope: v1alpha1.AccessScope{Type: v1alpha1.ScopeCluster}}
		if len(fields) > 1 {
			ap.AccessScope = v1alpha1.AccessScope{Type: v1alpha1.ScopeNamespace, Namespaces: fields[1:]}
		}
		all = append(all, ap)
	}
	return all
}

// grants returns what bindings give to groups of entries: "NAMESPACE ROLE GROUP", sorted, with - for the cluster.
func (b *controllerBed) grants(ctx context.Context) ([]string, error) {
	var inCluster rbacv1.ClusterRoleBindingList
	var inNamespaces rbacv1.RoleBindingList
	if err := errors.Join(b.admin.List(ctx, &inCluster), b.admin.List(ctx, &inNamespaces)); err != nil {
		return nil, err
	}
	var all []string
	add := func(namespace string, role rbacv1.RoleRef, subjects []rbacv1.Subject) {
		for _, s := range subjects {
			if strings.HasPrefix(s.Name, policy.GroupPrefix) {
				all = append(all, fmt.Sprintf("%s %s %s", cmp.Or(namespace, "-"), role.Name, s.Name))
			}
		}
	}
	for _, o := range inCluster.Items {
		add("", o.RoleRef, o.Subjects)
	}
	for _, o := range inNamespaces.Items {
		add(o.Namespace, o.RoleRef, o.Subjects)
	}
	slices.Sort(all)
	return all, nil
}

// wanted returns the grants that the entries there are should have by their specs. The patterns of the tests are
// names and prefixes.
func (b *controllerBed) wanted(ctx context.Context) ([]string, error) {
	var entries v1alpha1.AccessEntryList
	var namespaces corev1.NamespaceList
	if err := errors.Join(b.admin.List(ctx, &entries), b.admin.List(ctx, &namespaces)); err != nil {
		return nil, err
	}
	seen := map[string]bool{}
	for _, e := range entries.Items {
		if e.DeletionTimestamp != nil {
			return nil, fmt.Errorf("access entry %s is not gone yet", e.Name)
		}
		for _, p := range e.Spec.AccessPolicies {
			_, name, _ := strings.Cut(p.PolicyARN, "/")
			grant := " " + policy.RoleName(name) + " " + policy.Group(e.Name, e.UID)
			if p.AccessScope.Type == v1alpha1.ScopeCluster {
				seen["-"+grant] = true
			}
			for _, pattern := range p.AccessScope.Namespaces {
				for _, n := range namespaces.Items {
					prefix, wild := strings.CutSuffix(pattern, "*")
					if n.Name == pattern || wild && strings.HasPrefix(n.Name, prefix) {
						seen[n.Name+grant] = true
					}
				}
			}
		}
	}
	var all []string
	for grant := range seen {
		all = append(all, grant)
	}
	slices.Sort(all)
	return all, nil
}

// converged returns an error if what is bound is not what is wanted.
func (b *controllerBed) converged(ctx context.Context) error {
	got, err := b.grants(ctx)
	if err != nil {
		return err
	}
	want, err := b.wanted(ctx)
	if err != nil {
		return err
	}
	if !slices.Equal(got, want) {
		return fmt.Errorf("%d grants, want %d; too many: %v; missing: %v", len(got), len(want), without(got, want), without(want, got))
	}
	plan, err := controller.DryRun(ctx, controller.Options{Config: b.config})
	if err != nil {
		return err
	}
	if len(plan.Steps) > 0 {
		return fmt.Errorf("a dry run would change %d objects yet, the first %+v", len(plan.Steps), plan.Steps[0])
	}
	return nil
}

func without(a, b []string) (rest []string) {
	for _, s := range a {
		if !slices.Contains(b, s) {
			rest = append(rest, s)
		}
	}
	return rest[:min(len(rest), 3)]
}

// writes returns how many requests the API server has had that write bindings, entries or events.
func (b *controllerBed) writes(t *testing.T) (n int) {
	t.Helper()
	for line := range strings.Lines(adminKubectl(t, b.Cluster, "get", "--raw", "/metrics")) {
		if !strings.HasPrefix(line, "apiserver_request_total{") {
			continue
		}
		for _, resource := range []string{"rolebindings", "clusterrolebindings", "accessentries", "events"} {
			if strings.Contains(line, `resource="`+resource+`"`) && !slices.ContainsFunc([]string{"GET", "LIST", "WATCH"}, func(verb string) bool { return strings.Contains(line, `verb="`+verb+`"`) }) {
				var count float64
				fields := strings.Fields(line)
				if _, err := fmt.Sscan(fields[len(fields)-1], &count); err != nil {
					t.Fatal(err)
				}
				n += int(count)
			}
		}
	}
	return n
}

// quiet waits until nothing was written for two seconds.
func (b *controllerBed) quiet(t *testing.T) {
	t.Helper()
	for last, since := -1, time.Now(); time.Since(since) < 2*time.Second; time.Sleep(100 * time.Millisecond) {
		if n := b.writes(t); n != last {
			last, since = n, time.Now()
		}
	}
}

func TestControllerFollows(t *testing.T) {
	b := newControllerBed(t)
	converged := func() error { return b.converged(t.Context()) }
	b.create(t, newNamespace("dev-1"), newNamespace("dev-2"), newNamespace("prod"),
		entryWith("alice", policy.Edit+" dev-* prod", policy.View),
		entryWith("bob", policy.View+" dev-1"),
		entryWith("carol"))
	running := b.start(t)
	until(t, "at the start", converged)

	b.create(t, newNamespace("dev-7"))
	took := until(t, "a new namespace", converged)
	t.Logf("a new namespace is open after %v", took.Round(time.Millisecond))
	if took > 2*time.Second {
		t.Errorf("a new namespace is open after %v, want 2 s at most", took)
	}

	update := func(name string, change func(e *v1alpha1.AccessEntry)) {
		t.Helper()
		var e v1alpha1.AccessEntry
		if err := b.admin.Get(t.Context(), client.ObjectKey{Name: name}, &e); err != nil {
			t.Fatal(err)
		}
		before := e.DeepCopy()
		change(&e)
		if err := b.admin.Patch(t.Context(), &e, client.MergeFrom(before)); err != nil {
			t.Fatal(err)
		}
	}
	update("bob", func(e *v1alpha1.AccessEntry) {
		e.Spec.AccessPolicies = accessPolicies(policy.Admin+" prod", policy.SecretReader)
	})
	until(t, "other policies", converged)
	update("alice", func(e *v1alpha1.AccessEntry) { e.Spec.AccessPolicies = nil })
	until(t, "no policies any more", converged)
	update("carol", func(e *v1alpha1.AccessEntry) { e.Spec.AccessPolicies = accessPolicies(policy.View) })
	until(t, "policies for the first time", converged)

	// A restart finds everything in its place.
	b.quiet(t)
	end(running, syscall.SIGTERM)
	before := b.writes(t)
	running = b.start(t)
	b.quiet(t)
	if n := b.writes(t); n != before {
		t.Errorf("a restart made %d writes, want none", n-before)
	}

	for _, name := range []string{"alice", "bob", "carol"} {
		if err := b.admin.Delete(t.Context(), entryWith(name)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all deleted", converged)
	if grants, err := b.grants(t.Context()); err != nil || len(grants) > 0 {
		t.Errorf("%v left (%v), want nothing", grants, err)
	}
	end(running, syscall.SIGTERM)
	if code := running.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
}

func TestControllerConvergesAfterKills(t *testing.T) {
	b := newControllerBed(t)
	const entries, kills = 30, 25
	for i := range 8 {
		b.create(t, newNamespace(fmt.Sprintf("dev-%d", i)))
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)

	ctx, stop := context.WithCancel(t.Context())
	var churn sync.WaitGroup
	churn.Go(func() {
		random := rand.New(rand.NewPCG(seed, 1))
		choices := [][]string{
			nil,
			{policy.View},
			{policy.Edit + " dev-*"},
			{policy.Edit + " dev-1 dev-2", policy.SecretReader},
			{policy.View + " dev-3 dev-4 new-*", policy.Admin + " dev-*"},
		}
		for n := 0; ctx.Err() == nil; n++ {
			e := entryWith(fmt.Sprintf("entry-%d", random.IntN(entries)), choices[random.IntN(len(choices))]...)
			switch random.IntN(4) {
			case 0:
				_ = b.admin.Delete(ctx, e)
			case 1:
				_ = b.admin.Create(ctx, e)
			default:
				var is v1alpha1.AccessEntry
				if b.admin.Get(ctx, client.ObjectKeyFromObject(e), &is) == nil {
					is.Spec.AccessPolicies = e.Spec.AccessPolicies
					_ = b.admin.Update(ctx, &is)
				}
			}
			if n%200 == 0 {
				_ = b.admin.Create(ctx, newNamespace(fmt.Sprintf("new-%d", n)))
			}
		}
	})
	random := rand.New(rand.NewPCG(seed, 2))
	for range kills {
		running := b.start(t)
		time.Sleep(100*time.Millisecond + time.Duration(random.IntN(400))*time.Millisecond)
		end(running, syscall.SIGKILL)
	}
	stop()
	churn.Wait()
	b.start(t)
	took := until(t, "after kills", func() error { return b.converged(t.Context()) })
	grants, err := b.grants(t.Context())
	t.Logf("%d grants after %v and %d writes, %v", len(grants), took.Round(time.Millisecond), b.writes(t), err)
}
