package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"k8s.io/client-go/rest"
)

// reader is a service account with the rights that the mapper needs, and no others.
const (
	reader = `apiVersion: v1
kind: ServiceAccount
metadata: {name: reader, namespace: kube-system}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: reader, namespace: kube-system}
rules:
- {apiGroups: [""], resources: [configmaps], resourceNames: [aws-auth], verbs: [get, list, watch]}
- {apiGroups: [""], resources: [events], verbs: [create]}
---
`
	readerBinding = `apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: reader, namespace: kube-system}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: reader, namespace: kube-system}]
`
)

// TestConfigMapMapper runs the mapper against a real API server, which it reaches through a proxy that can be
// cut.
func TestConfigMapMapper(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	s := &configMapStory{T: t, cluster: cluster, proxy: startProxy(t, strings.TrimPrefix(cluster.Server, "https://"))}
	s.apply(reader + readerBinding)
	token := strings.TrimSpace(adminKubectl(t, cluster, "-n", "kube-system", "create", "token", "reader"))
	s.mapper, err = configmap.New(configmap.Options{Config: &rest.Config{
		Host:            "https://" + s.proxy.address,
		BearerToken:     token,
		TLSClientConfig: rest.TLSClientConfig{CAFile: cluster.CAFile},
	}})
	if err != nil {
		t.Fatal(err)
	}

	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.mapper.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})

	s.within(5*time.Second, "no ConfigMap is ready", func() bool { return s.mapper.Status().Ready() == nil })
	s.is("")

	s.aws("mapRoles", role("one"))
	s.inForce(time.Second, "created", "one")
	for i := range 5 {
		want := []string{"two", "one"}[i%2]
		s.aws("mapRoles", role(want))
		s.inForce(time.Second, "edited", want)
	}

	// A bad entry and a broken section harm nobody else, and are shown.
	s.aws("mapRoles", role("one")+strings.Replace(role("two"), "username", "usrename", 1))
	s.within(time.Second, "the entry is skipped", func() bool { return len(s.mapper.Status().Problems) == 1 })
	s.within(5*time.Second, "event of the entry", func() bool { return strings.Contains(s.events(), "MappingEntrySkipped") })
	s.aws("mapRoles", "- rolearn: [\n", "mapAccounts", `["444455556666"]`)
	s.within(time.Second, "the section is broken", func() bool { return s.mapper.Status().Err != nil })
	s.is("one")
	if mapped, err := s.mapper.MapsAccount("444455556666"); !mapped || err != nil {
		t.Errorf("the other section is not in force: %t, %v", mapped, err)
	}
	s.within(5*time.Second, "event of the section", func() bool { return strings.Contains(s.events(), "MappingSectionUnreadable") })
	t.Logf("kubectl get events:\n%s", s.events())
	s.aws("mapRoles", role("two"))
	s.inForce(time.Second, "mended", "two")

	s.kubectl("delete", "configmap", "aws-auth")
	s.inForce(time.Second, "deleted", "")

	// Deleted while the mapper is cut off.
	s.aws("mapRoles", role("one"))
	s.inForce(time.Second, "created", "one")
	s.proxy.cut()
	s.kubectl("delete", "configmap", "aws-auth")
	s.within(5*time.Second, "it says that it is cut off", func() bool { return s.mapper.Status().Err != nil })
	s.is("one")
	s.proxy.mend()
	s.inForce(2*time.Second, "deleted while cut off", "")
	s.within(time.Second, "no error remains", func() bool { return s.mapper.Status().Err == nil })

	// The API server restarts.
	s.aws("mapRoles", role("one"))
	s.inForce(time.Second, "created", "one")
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.is("one")
	s.aws("mapRoles", role("two"))
	s.inForce(2*time.Second, "edited after a restart", "two")

	// The rights are taken away and given back. An open watch goes on without them, so it is cut.
	s.kubectl("delete", "rolebinding", "reader")
	time.Sleep(time.Second) // until the API server's authorizer knows
	s.proxy.cut()
	s.proxy.mend()
	s.within(5*time.Second, "it says that the rights are missing", func() bool {
		err := s.mapper.Status().Err
		return err != nil && strings.Contains(err.Error(), `configmaps "aws-auth" is forbidden`)
	})
	s.aws("mapRoles", role("one"))
	s.is("two")
	t.Logf("without rights: %v", s.mapper.Status().Err)
	s.apply(readerBinding)
	s.inForce(3*time.Second, "rights given back", "one")
}

// configMapStory is what the steps of the test share.
type configMapStory struct {
	*testing.T
	cluster *bed.Cluster
	proxy   *proxy
	mapper  *configmap.Mapper
	began   time.Time // when kubectl was started last
}

func role(name string) string {
	return fmt.Sprintf("- rolearn: arn:aws:iam::111122223333:role/team/%s\n  username: %s\n", name, name)
}

func (s *configMapStory) apply(manifest string) {
	s.Helper()
	path := filepath.Join(s.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		s.Fatal(err)
	}
	s.kubectl("apply", "-f", path)
}

func (s *configMapStory) kubectl(args ...string) {
	s.Helper()
	s.began = time.Now()
	adminKubectl(s.T, s.cluster, append([]string{"-n", "kube-system"}, args...)...)
}

// aws applies the ConfigMap with these sections.
func (s *configMapStory) aws(sections ...string) {
	s.Helper()
	manifest := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: aws-auth, namespace: kube-system}\ndata:\n"
	for i := 0; i < len(sections); i += 2 {
		manifest += fmt.Sprintf("  %s: %q\n", sections[i], sections[i+1])
	}
	s.apply(manifest)
}

func (s *configMapStory) events() string {
	s.Helper()
	return adminKubectl(s.T, s.cluster, "-n", "kube-system", "get", "events")
}

// mapped returns who of one and two is let in.
func (s *configMapStory) mapped() string {
	s.Helper()
	chain := mapper.NewChain([]mapper.Mapper{s.mapper}, mapper.ChainOptions{})
	var names []string
	for _, name := range []string{"one", "two"} {
		id, err := iam.NewIdentity("arn:aws:sts::111122223333:assumed-role/"+name+"/s", "111122223333", "AROAEXAMPLE:s", "ASIAEXAMPLE")
		if err != nil {
			s.Fatal(err)
		}
		switch _, err := chain.Map(s.Context(), id); reason.Of(err) {
		case reason.Granted:
			names = append(names, name)
		case reason.NotMapped, reason.EntryInvalid:
		default:
			s.Fatal(err)
		}
	}
	return strings.Join(names, " ")
}

func (s *configMapStory) is(want string) {
	s.Helper()
	if got := s.mapped(); got != want {
		s.Fatalf("mapped are %q, want %q; status %+v", got, want, s.mapper.Status())
	}
}

func (s *configMapStory) inForce(limit time.Duration, what, want string) {
	s.Helper()
	s.within(limit, what, func() bool { return s.mapped() == want })
}

// within waits for a condition and prints how long it took.
func (s *configMapStory) within(limit time.Duration, what string, holds func() bool) {
	s.Helper()
	begin := time.Now()
	for !holds() {
		if time.Since(begin) > limit {
			s.Fatalf("%s: not within %s; mapped are %q, status %+v", what, limit, s.mapped(), s.mapper.Status())
		}
		time.Sleep(time.Millisecond)
	}
	s.Logf("%s: %s after kubectl ended, %s after it was started", what,
		time.Since(begin).Round(time.Millisecond), time.Since(s.began).Round(time.Millisecond))
}

// proxy passes connections on until it is cut.
type proxy struct {
	address, target string

	mu    sync.Mutex
	down  bool
	conns []net.Conn
}

func startProxy(t *testing.T, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: l.Addr().String(), target: target}
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go p.pass(conn)
		}
	}()
	t.Cleanup(func() { l.Close(); p.cut() })
	return p
}

func (p *proxy) pass(conn net.Conn) {
	defer conn.Close()
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	p.mu.Lock()
	down := p.down
	p.conns = append(p.conns, conn, server)
	p.mu.Unlock()
	if down {
		return
	}
	go func() { _, _ = io.Copy(server, conn); server.Close() }()
	_, _ = io.Copy(conn, server)
}

// cut ends all connections and lets none through.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = true
	for _, c := range p.conns {
		c.Close()
	}
	p.conns = nil
}

func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}
