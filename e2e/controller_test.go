package e2e

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// The tests share the program; each has a cluster of its own.
func TestController(t *testing.T) {
	program := filepath.Join(buildAuthenticator(t), "authenticator-controller")
	for _, test := range []struct {
		name string
		run  func(t *testing.T, b *controllerBed)
	}{
		{"follows what changes", controllerFollows},
		{"converges after kills during churn", controllerConvergesAfterKills},
		{"converges wherever it is killed", controllerConvergesWhereverItIsKilled},
		{"two do not fight", twoControllersDoNotFight},
		{"keeps to the ceiling", controllerKeepsToTheCeiling},
		{"names the right that it lacks", controllerNamesTheRightThatItLacks},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, newControllerBed(t, program)) })
	}
}

func newControllerBed(t *testing.T, program string) *controllerBed {
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
	return &controllerBed{cluster, admin, config, program}
}

// start starts the controller as the administrator with flags.
func (b *controllerBed) start(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	return b.startWith(t, append([]string{"--kubeconfig", b.AdminKubeconfig}, flags...)...)
}

// startWith starts the controller with flags. It is killed when the test ends.
func (b *controllerBed) startWith(t *testing.T, flags ...string) *exec.Cmd {
	t.Helper()
	log, err := os.OpenFile(b.log(t), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(b.program, append([]string{"--metrics-address=", "--health-address="}, flags...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { end(cmd, syscall.SIGKILL) })
	return cmd
}

// log is the file of what controllers of a test say.
func (b *controllerBed) log(t *testing.T) string {
	return filepath.Join(t.ArtifactDir(), "controller.log")
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

func (b *controllerBed) delete(t *testing.T, o client.Object) {
	t.Helper()
	if err := b.admin.Delete(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

func (b *controllerBed) update(t *testing.T, entry string, change func(e *v1alpha1.AccessEntry)) {
	t.Helper()
	var e v1alpha1.AccessEntry
	if err := b.admin.Get(t.Context(), client.ObjectKey{Name: entry}, &e); err != nil {
		t.Fatal(err)
	}
	before := e.DeepCopy()
	change(&e)
	if err := b.admin.Patch(t.Context(), &e, client.MergeFrom(before)); err != nil {
		t.Fatal(err)
	}
}

// editBindings takes the labels off the bindings of an entry, and gives them another subject.
func (b *controllerBed) editBindings(t *testing.T, entry string) {
	t.Helper()
	var inCluster rbacv1.ClusterRoleBindingList
	var inNamespaces rbacv1.RoleBindingList
	if err := errors.Join(b.admin.List(t.Context(), &inCluster), b.admin.List(t.Context(), &inNamespaces)); err != nil {
		t.Fatal(err)
	}
	mallory := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"}}
	var edited []client.Object
	for i := range inCluster.Items {
		inCluster.Items[i].Subjects = mallory
		edited = append(edited, &inCluster.Items[i])
	}
	for i := range inNamespaces.Items {
		inNamespaces.Items[i].Subjects = mallory
		edited = append(edited, &inNamespaces.Items[i])
	}
	edited = slices.DeleteFunc(edited, func(o client.Object) bool {
		return !slices.ContainsFunc(o.GetOwnerReferences(), func(r metav1.OwnerReference) bool { return r.Name == entry })
	})
	if len(edited) < 2 {
		t.Fatalf("the access entry %s has %d bindings, want them in a namespace and in the cluster", entry, len(edited))
	}
	for _, o := range edited {
		o.SetLabels(nil)
		if err := b.admin.Update(t.Context(), o); err != nil {
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

// quiet waits until nothing was written for two seconds. Controllers that fight never are.
func (b *controllerBed) quiet(t *testing.T) {
	t.Helper()
	began := time.Now()
	for last, since := -1, began; time.Since(since) < 2*time.Second; time.Sleep(100 * time.Millisecond) {
		if n := b.writes(t); n != last {
			last, since = n, time.Now()
		}
		if time.Since(began) > 30*time.Second {
			t.Fatalf("%d writes so far, and no end", last)
		}
	}
}

func controllerFollows(t *testing.T, b *controllerBed) {
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

	b.update(t, "bob", func(e *v1alpha1.AccessEntry) {
		e.Spec.AccessPolicies = accessPolicies(policy.Admin+" prod", policy.SecretReader)
	})
	until(t, "other policies", converged)
	b.update(t, "alice", func(e *v1alpha1.AccessEntry) { e.Spec.AccessPolicies = nil })
	until(t, "no policies any more", converged)
	b.update(t, "carol", func(e *v1alpha1.AccessEntry) { e.Spec.AccessPolicies = accessPolicies(policy.View) })
	until(t, "policies for the first time", converged)

	// Without its labels a binding is in no cache of the controller, and is found all the same.
	adminKubectl(t, b.Cluster, "label", "rolebindings", "-n", "prod", "-l", "iam-authenticator.dev/access-entry=bob", "app.kubernetes.io/managed-by-")
	until(t, "a label is missing", converged)
	b.editBindings(t, "bob")
	until(t, "edited", converged)

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
		b.delete(t, entryWith(name))
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

func controllerConvergesAfterKills(t *testing.T, b *controllerBed) {
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

// killer is the way to the API server that kills the controller at one of its writes: before the API server has it, or
// after, when the controller hasn't the answer yet.
type killer struct {
	proxy httputil.ReverseProxy
	url   string

	mu     sync.Mutex
	writes int // so far
	at     int // which to kill at; 0 for none
	after  bool
	kill   func()
}

func newKiller(t *testing.T, b *controllerBed) *killer {
	t.Helper()
	transport, err := rest.TransportFor(b.config)
	if err != nil {
		t.Fatal(err)
	}
	server, err := url.Parse(b.Server)
	if err != nil {
		t.Fatal(err)
	}
	k := &killer{proxy: httputil.ReverseProxy{
		Transport: transport, FlushInterval: -1,
		Rewrite:  func(r *httputil.ProxyRequest) { r.SetURL(server) },
		ErrorLog: log.New(io.Discard, "", 0), // of requests whose sender was killed
	}}
	s := httptest.NewServer(k)
	t.Cleanup(s.CloseClientConnections)
	k.url = s.URL
	return k
}

func (k *killer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hit := false
	if r.Method != http.MethodGet && !strings.Contains(r.URL.Path, "/events") {
		k.mu.Lock()
		k.writes++
		hit = k.writes == k.at
		k.mu.Unlock()
	}
	if hit && !k.after {
		k.kill()
		return
	}
	if hit {
		w = httptest.NewRecorder()
		r = r.WithContext(context.WithoutCancel(r.Context()))
	}
	k.proxy.ServeHTTP(w, r)
	if hit {
		k.kill()
	}
}

// Every round has a new entry, one with other policies than before, one without policies any more, one that is deleted,
// a binding that was edited and one whose entry is gone.
func controllerConvergesWhereverItIsKilled(t *testing.T, b *controllerBed) {
	k := newKiller(t, b)
	b.create(t, newNamespace("dev-0"), newNamespace("dev-1"))
	// run runs the controller until it is killed, or if it isn't, until all is as it should be.
	run := func(at int, after bool) (killed bool) {
		t.Helper()
		k.mu.Lock()
		k.writes, k.at, k.after = 0, at, after
		k.mu.Unlock()
		var running *exec.Cmd
		started, gone := make(chan struct{}), make(chan struct{})
		k.kill = sync.OnceFunc(func() { <-started; end(running, syscall.SIGKILL); close(gone) })
		running = b.startWith(t, "--master", k.url)
		close(started)
		defer end(running, syscall.SIGKILL)
		until(t, fmt.Sprintf("killed at write %d", at), func() error {
			select {
			case <-gone:
				killed = true
				return nil
			default:
				return b.converged(t.Context())
			}
		})
		return killed
	}
	entry := func(round, i int, policies ...string) *v1alpha1.AccessEntry {
		return entryWith(fmt.Sprintf("round-%d-%d", round, i), policies...)
	}
	prepare := func(round int) {
		b.create(t, entry(round, 1, policy.Edit+" dev-0", policy.SecretReader),
			entry(round, 2, policy.View), entry(round, 3, policy.View+" dev-1"), entry(round, 4, policy.View))
	}
	prepare(0)
	run(0, false)
	round := 0
	for again := true; again; round++ {
		prepare(round + 1) // the next round's, and all to be done in this round
		b.create(t, entry(round, 0, policy.View+" dev-*"))
		b.update(t, entry(round, 1).Name, func(e *v1alpha1.AccessEntry) {
			e.Spec.AccessPolicies = accessPolicies(policy.View+" dev-0 dev-1", policy.SecretReader)
		})
		b.update(t, entry(round, 2).Name, func(e *v1alpha1.AccessEntry) { e.Spec.AccessPolicies = nil })
		b.delete(t, entry(round, 3))
		b.update(t, entry(round, 4).Name, func(e *v1alpha1.AccessEntry) { e.Finalizers = nil })
		b.delete(t, entry(round, 4))
		b.editBindings(t, entry(round, 1).Name)

		again = run(round+1, round%2 == 1)
		run(0, false)
		if round > 200 {
			t.Fatal("the controller never ceases to write")
		}
	}
	t.Logf("killed at each of %d writes", round-1)
	if round < 20 {
		t.Errorf("a round has %d writes, want more", round-1)
	}
}

// Of two controllers with a lease one writes, and the other takes over when it ends. Two without write the same.
func twoControllersDoNotFight(t *testing.T, b *controllerBed) {
	converged := func() error { return b.converged(t.Context()) }
	elect := []string{"--leader-elect", "--leader-elect-namespace=kube-system"}
	first := b.start(t, elect...)
	leader := func() (string, error) {
		holder, err := b.Kubectl(t.Context(), "get", "lease", "-n", "kube-system", controller.Name, "-o", "jsonpath={.spec.holderIdentity}")
		if err == nil && holder == "" {
			err = errors.New("no leader")
		}
		return holder, err
	}
	until(t, "the first leads", func() error { _, err := leader(); return err })
	second := b.start(t, elect...)
	for i := range 20 {
		b.create(t, newNamespace(fmt.Sprintf("dev-%d", i)), entryWith(fmt.Sprintf("entry-%d", i), policy.Edit+" dev-*"))
	}
	until(t, "one leads, one waits", converged)
	b.quiet(t)

	holder, err := leader()
	if err != nil {
		t.Fatal(err)
	}
	end(first, syscall.SIGTERM)
	b.create(t, newNamespace("dev-new"))
	took := until(t, "after the leader ended", converged)
	t.Logf("taken over after %v", took.Round(time.Millisecond))
	if now, err := leader(); err != nil || now == holder {
		t.Errorf("leader %q (%v) as before", now, err)
	}

	end(second, syscall.SIGTERM)
	before := b.writes(t)
	b.start(t)
	b.start(t)
	b.create(t, newNamespace("dev-x"))
	until(t, "two without a lease", converged)
	b.quiet(t)
	t.Logf("two without a lease: %d writes for 20 bindings, with their conditions and events", b.writes(t)-before)
}

// Somebody who may do anything with access entries, and nothing else, gets no further than the ceiling.
func controllerKeepsToTheCeiling(t *testing.T, b *controllerBed) {
	b.create(t, newNamespace("dev-1"), newNamespace("prod"),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "entries"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"*"}, Verbs: []string{"*"}}}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "own", Labels: map[string]string{policy.Label: "Own"}}},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "entries"},
			RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "entries"},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: "mallory"}}})
	config := rest.CopyConfig(b.config)
	config.Impersonate.UserName = "mallory"
	mallory, err := client.New(config, client.Options{Scheme: controller.Scheme()})
	if err != nil {
		t.Fatal(err)
	}
	var tries []*v1alpha1.AccessEntry
	for i, policies := range [][]string{
		{policy.ClusterAdmin}, {policy.ClusterAdmin + " dev-1"}, {policy.Admin + " dev-*"}, {policy.AdminView}, {policy.View},
		{policy.View + " *"}, {policy.Edit + " prod"}, {policy.Edit + " dev-1 prod"}, {policy.SecretReader + " *d*"}, {"Own dev-1"},
		{"cluster-admin"}, {"AmazonEKSUnknownPolicy dev-1"},
	} {
		tries = append(tries, entryWith(fmt.Sprintf("try-%d", i), policies...))
	}
	for _, e := range append(tries, entryWith("good", policy.Edit+" dev-*")) {
		if err := mallory.Create(t.Context(), e); err != nil {
			t.Fatalf("%s: %v", e.Name, err)
		}
	}
	b.start(t, "--max-policy", policy.Edit, "--namespaces", "dev-*")
	for _, e := range tries {
		until(t, e.Name, func() error {
			if err := b.admin.Get(t.Context(), client.ObjectKeyFromObject(e), e); err != nil {
				return err
			}
			for _, c := range e.Status.Conditions {
				if c.Type == v1alpha1.ConditionPoliciesApplied && c.Status == metav1.ConditionFalse && c.Reason == "AboveCeiling" {
					return nil
				}
			}
			return fmt.Errorf("conditions %+v, want AboveCeiling", e.Status.Conditions)
		})
	}
	var good v1alpha1.AccessEntry
	until(t, "the one that is allowed", func() error {
		grants, err := b.grants(t.Context())
		if err == nil {
			err = b.admin.Get(t.Context(), client.ObjectKey{Name: "good"}, &good)
		}
		if want := []string{"dev-1 " + policy.RoleName(policy.Edit) + " " + policy.Group("good", good.UID)}; err == nil && !slices.Equal(grants, want) {
			err = fmt.Errorf("grants %q, want %q", grants, want)
		}
		return err
	})
}
