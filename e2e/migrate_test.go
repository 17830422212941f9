package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/iam-authenticator/authenticator/e2e/bed"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
	"github.com/iam-authenticator/authenticator/pkg/mapper/accessentry"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
	"github.com/iam-authenticator/authenticator/pkg/reason"
	"k8s.io/client-go/tools/clientcmd"
)

// TestMigrationOfFiveHundredEntries migrates a large aws-auth on a real API server, and takes it back. Who gets
// in as what is asked of the server's own mappers, which watch that API server: before, after and at the end,
// for every principal.
func TestMigrationOfFiveHundredEntries(t *testing.T) {
	cluster, err := bed.Start(t.Context(), bed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Stop)
	m := newMigration(t, cluster)
	adminKubectl(t, cluster, "create", "-f", accessEntryCRD)
	adminKubectl(t, cluster, "wait", "--for=condition=Established", "--timeout=30s", "crd/accessentries.iam-authenticator.dev")
	document, people := fiveHundredEntries()
	m.create(document)
	m.run()

	byConfigMap := mapper.NewChain([]mapper.Mapper{m.configMap}, mapper.ChainOptions{Nodes: anyNode{}})
	byBoth := mapper.NewChain([]mapper.Mapper{m.accessEntry, m.configMap}, mapper.ChainOptions{Nodes: anyNode{}})
	m.eventually("aws-auth is read", func() bool { return m.configMap.Status().Entries > 400 })
	before := m.logins(byConfigMap, people)
	var granted int
	for _, outcome := range before {
		if !strings.HasPrefix(outcome, "refused") {
			granted++
		}
	}
	t.Logf("%d logins, %d of them granted", len(before), granted)
	if len(before) < 800 || granted < 700 || granted == len(before) {
		t.Fatalf("%d of %d logins are granted: that tests little", granted, len(before))
	}

	// Migrated, every login is the same, although aws-auth no longer has those that were carried.
	said := m.authenticator("migrate", "--approve", "--remove", "--backup", m.file("first.yaml"))
	for _, want := range []string{"compared: the same", "Read back from the API server: ", "entries from aws-auth"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, tail(said))
		}
	}
	carried := strings.Count(said, " created\n")
	t.Logf("%d access entries; %s", carried, tail(said))
	if names := m.entries(); carried < 300 || len(names) != carried {
		t.Errorf("%d access entries, said are %d", len(names), carried)
	}
	m.eventually("the mappers see it", func() bool {
		return m.accessEntry.Status().Entries == carried && m.configMap.Status().Entries < 200
	})
	m.same("after the migration", before, m.logins(byBoth, people))
	if alone := m.logins(byConfigMap, people); maps.Equal(alone, before) {
		t.Error("aws-auth alone still gives every login: nothing was removed")
	}
	if said := m.authenticator("migrate", "--approve", "--remove", "--backup", m.file("none.yaml")); !strings.Contains(said, "Nothing to do") {
		t.Errorf("the second run says\n%s", tail(said))
	}

	// Taken back, every byte and every login is as before.
	m.authenticator("migrate", "undo", "--backup", m.file("first.yaml"))
	if data := m.data(); !maps.Equal(data, document) {
		t.Error("aws-auth is not what it was, byte for byte")
	}
	if names := m.entries(); len(names) != 0 {
		t.Errorf("left are %q", names)
	}
	m.eventually("the mappers see it", func() bool {
		return m.accessEntry.Status().Entries == 0 && m.configMap.Status().Entries > 400
	})
	m.same("after the undo", before, m.logins(byBoth, people))

	// Somebody else maps users meanwhile, one after the other: none of them is lost, nor anything else.
	const newcomers = 12
	done := make(chan error, 1)
	go func() {
		for i := range newcomers {
			name := fmt.Sprintf("newcomer%d", i)
			out, err := m.command("mapping", "create", "--arn", "arn:aws:iam::111122223333:user/"+name, "--username", name, "--force").CombinedOutput()
			if err != nil {
				done <- fmt.Errorf("%s: %w\n%s", name, err, out)
				return
			}
		}
		done <- nil
	}()
	said = m.authenticator("migrate", "--approve", "--remove", "--backup", m.file("second.yaml"))
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	t.Log(tail(said))
	for i := range newcomers {
		name := fmt.Sprintf("newcomer%d", i)
		before[addPerson(people, "arn:aws:iam::111122223333:user/"+name, "AIDASAMPLE")] = fmt.Sprintf("%q in []", name)
	}
	m.eventually("all who were there and all who came get in", func() bool { return maps.Equal(before, m.logins(byBoth, people)) })
	m.same("after both", before, m.logins(byBoth, people))
	if alone := m.logins(byConfigMap, people); maps.Equal(alone, before) {
		t.Error("nothing was removed")
	}
}

// fiveHundredEntries returns an aws-auth of 500 entries with what occurs in the world, and callers for each.
func fiveHundredEntries() (document map[string]string, people map[string]iam.Identity) {
	const account = "arn:aws:iam::111122223333:"
	people = map[string]iam.Identity{}
	var mapRoles, mapUsers strings.Builder
	mapRoles.WriteString("# Who gets in. Ask the platform team.\n")
	session := func(role, name string) {
		addPerson(people, "arn:aws:sts::111122223333:assumed-role/"+role+"/"+name, "AROASAMPLE:"+name)
	}
	for i := range 400 {
		role, rest := fmt.Sprintf("role-%d", i), fmt.Sprintf(`username: "r%d:{{SessionName}}", groups: [g%d, everybody]`, i, i%7)
		arn := account + "role/" + role
		switch i % 20 {
		case 1: // nodes
			rest = `username: "system:node:{{EC2PrivateDNSName}}", groups: [system:bootstrappers, system:nodes]`
			session(role, "i-0123456789abcdef0")
		case 3: // a path
			arn = account + "role/team/" + strings.ToUpper(role)
		case 5: // IAM Identity Center
			role = fmt.Sprintf("AWSReservedSSO_Set%d_%016x", i, i)
			arn = account + "role/" + role
		case 7: // the one before it again, with another name: the last stands
			role = fmt.Sprintf("role-%d", i-1)
			arn = account + "role/again/" + role
		case 9: // and in capitals
			role = fmt.Sprintf("role-%d", i-1)
			arn = account + "role/" + strings.ToUpper(role)
		case 11:
			rest = "usrname: mistake"
		case 13:
			rest = `username: admin, groups: [system:masters]`
		case 15:
			rest += ", userid: AROAOTHER"
			addPerson(people, "arn:aws:sts::111122223333:assumed-role/"+role+"/pinned", "AROAOTHER:pinned")
		case 17:
			rest = `username: "{{SessionNameRaw}}"`
		case 19:
			rest = `username: "key:{{AccessKeyID}}:{{SessionNameRaw}}", groups: ["of:{{AccountID}}"]`
		}
		fmt.Fprintf(&mapRoles, "- {rolearn: %s, %s} # %d\n", arn, rest, i)
		session(role, "alice@example.com")
		session(role, "system")
	}
	for i := range 99 {
		name := fmt.Sprintf("user-%d", i)
		if i%5 == 0 {
			name = "path/" + name
		}
		fmt.Fprintf(&mapUsers, "# %d\n- userarn: %suser/%s\n  username: u%d\n  groups:\n    - users\n\n", i, account, name, i)
		addPerson(people, account+"user/"+name, "AIDASAMPLE")
	}
	addPerson(people, "arn:aws:iam::444455556666:user/of-an-account", "AIDASAMPLE")
	addPerson(people, "arn:aws:iam::777788889999:user/of-nobody", "AIDASAMPLE")
	return map[string]string{
		"mapRoles": mapRoles.String(), "mapUsers": mapUsers.String(), "mapAccounts": "- '444455556666'\n", "mine": "kept\r\n\t",
	}, people
}

// addPerson adds a caller, and returns the key.
func addPerson(people map[string]iam.Identity, arn, userID string) string {
	p, err := iam.ParsePrincipal(arn)
	if err != nil {
		panic(err)
	}
	id, err := iam.NewIdentity(arn, p.Account, userID, "ASIASAMPLE")
	if err != nil {
		panic(err)
	}
	key := arn + " " + userID
	people[key] = id
	return key
}

// anyNode gives every instance a name: logins of nodes are compared with each other only.
type anyNode struct{}

func (anyNode) PrivateDNSName(_ context.Context, caller iam.Identity, _ bool) (string, error) {
	return caller.SessionName + ".ec2.internal", nil
}

// migration is what the steps of the test share.
type migration struct {
	*testing.T
	cluster     *bed.Cluster
	program     string
	dir         string
	configMap   *configmap.Mapper
	accessEntry *accessentry.Mapper
}

func newMigration(t *testing.T, cluster *bed.Cluster) *migration {
	config, err := clientcmd.BuildConfigFromFlags("", cluster.AdminKubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	m := &migration{T: t, cluster: cluster, program: filepath.Join(buildAuthenticator(t), "authenticator"), dir: t.TempDir()}
	if m.configMap, err = configmap.New(configmap.Options{Config: config}); err != nil {
		t.Fatal(err)
	}
	if m.accessEntry, err = accessentry.New(accessentry.Options{Config: config}); err != nil {
		t.Fatal(err)
	}
	return m
}

// run runs the mappers as the server does, until the test ends.
func (m *migration) run() {
	ctx, stop := context.WithCancel(m.Context())
	done := make(chan error, 2)
	go func() { done <- m.configMap.Run(ctx) }()
	go func() { done <- m.accessEntry.Run(ctx) }()
	m.Cleanup(func() {
		stop()
		for range 2 {
			if err := <-done; err != nil {
				m.Error(err)
			}
		}
	})
}

func (m *migration) file(name string) string { return filepath.Join(m.dir, name) }

// create creates aws-auth.
func (m *migration) create(data map[string]string) {
	m.Helper()
	manifest, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "aws-auth", "namespace": "kube-system"}, "data": data,
	})
	if err != nil {
		m.Fatal(err)
	}
	if err := os.WriteFile(m.file("aws-auth.json"), manifest, 0o600); err != nil {
		m.Fatal(err)
	}
	adminKubectl(m.T, m.cluster, "create", "-f", m.file("aws-auth.json"))
}

func (m *migration) data() (data map[string]string) {
	m.Helper()
	out := adminKubectl(m.T, m.cluster, "-n", "kube-system", "get", "configmap", "aws-auth", "-o", "jsonpath={.data}")
	if err := json.Unmarshal([]byte(out), &data); err != nil {
		m.Fatal(err)
	}
	return data
}

func (m *migration) entries() []string {
	m.Helper()
	return strings.Fields(adminKubectl(m.T, m.cluster, "get", "accessentries", "-o", "name"))
}

func (m *migration) command(args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.Context(), m.program, append(args, "--kubeconfig", m.cluster.AdminKubeconfig, "--context", "admin")...)
	cmd.Dir = m.dir
	return cmd
}

// authenticator runs the program, and returns what it says on standard error.
func (m *migration) authenticator(args ...string) string {
	m.Helper()
	cmd := m.command(args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	begin := time.Now()
	if err := cmd.Run(); err != nil {
		m.Fatalf("authenticator %s: %v\n%s", strings.Join(args, " "), err, tail(stderr.String()))
	}
	m.Logf("authenticator %s: %s", strings.Join(args, " "), time.Since(begin).Round(time.Millisecond))
	return stderr.String()
}

// tail returns the last lines of an output.
func tail(out string) string {
	lines := strings.Split(strings.TrimSpace(out), "\n")
	return strings.Join(lines[max(0, len(lines)-6):], "\n")
}

// logins returns what comes of every login.
func (m *migration) logins(chain *mapper.Chain, people map[string]iam.Identity) map[string]string {
	outcomes := make(map[string]string, len(people))
	for key, id := range people {
		user, err := chain.Map(m.Context(), id)
		if err != nil {
			outcomes[key] = "refused: " + string(reason.Of(err))
			continue
		}
		slices.Sort(user.Groups)
		outcomes[key] = fmt.Sprintf("%q in %q", user.Username, user.Groups)
	}
	return outcomes
}

func (m *migration) same(when string, want, got map[string]string) {
	m.Helper()
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			m.Errorf("%s, %s: %s, want %s", when, key, got[key], want[key])
		}
	}
	if len(got) != len(want) {
		m.Errorf("%s: %d logins, want %d", when, len(got), len(want))
	}
}

func (m *migration) eventually(what string, holds func() bool) {
	m.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			m.Fatalf("%s: not within 20 s; aws-auth has %d entries in force, access entries are %d", what, m.configMap.Status().Entries, m.accessEntry.Status().Entries)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
