package kubeconfig

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// Whatever is in a kubeconfig: after a merge kubectl sees all of it as before, and the new
// entries.
func TestMergeLosesNothing(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config")
	for seed := range uint64(500) {
		r := generator{rand.New(rand.NewPCG(seed, 1))}
		text := r.kubeconfig()
		before, err := clientcmd.Load([]byte(text))
		if err != nil {
			t.Fatalf("seed %d: the generated kubeconfig is bad: %v\n%s", seed, err, text)
		}
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		login := demo()
		login.ContextName, login.ClusterName, login.UserName = "new "+r.word(), "new "+r.word(), "new "+r.word()
		if _, err := Merge(t.Context(), login, Options{Files: []string{file}}); err != nil {
			t.Fatalf("seed %d: %v\n%s", seed, err, text)
		}
		after, err := clientcmd.LoadFromFile(file)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := checkMerged(login, before, after); err != nil {
			t.Fatalf("seed %d: %v\nbefore:\n%s\nafter:\n%s", seed, err, text, read(t, file))
		}
		result := read(t, file)
		for line := range strings.Lines(text) {
			if _, comment, ok := strings.Cut(line, "# note"); ok && !strings.Contains(result, "# note"+comment) {
				t.Fatalf("seed %d: the comment %q is lost\nbefore:\n%s\nafter:\n%s", seed, comment, text, result)
			}
		}
	}
}

// checkMerged compares what kubectl reads before and after a merge.
func checkMerged(login Login, before, after *clientcmdapi.Config) error {
	if c := after.Contexts[login.ContextName]; c == nil || c.Cluster != login.ClusterName || c.AuthInfo != login.UserName {
		return fmt.Errorf("the new context is %+v", c)
	}
	if c := after.Clusters[login.ClusterName]; c == nil || c.Server != login.Cluster.Server {
		return fmt.Errorf("the new cluster is %+v", c)
	}
	if u := after.AuthInfos[login.UserName]; u == nil || u.Exec == nil || !slices.Contains(u.Exec.Args, login.Exec.ClusterID) {
		return fmt.Errorf("the new user is %+v", u)
	}
	if after.CurrentContext != login.ContextName {
		return fmt.Errorf("the current context is %q", after.CurrentContext)
	}
	delete(after.Contexts, login.ContextName)
	delete(after.Clusters, login.ClusterName)
	delete(after.AuthInfos, login.UserName)
	after.CurrentContext = before.CurrentContext
	for _, c := range []*clientcmdapi.Config{before, after} {
		for _, v := range c.Clusters {
			v.LocationOfOrigin = ""
		}
		for _, v := range c.Contexts {
			v.LocationOfOrigin = ""
		}
		for _, v := range c.AuthInfos {
			v.LocationOfOrigin = ""
		}
	}
	if !reflect.DeepEqual(before, after) {
		return fmt.Errorf("kubectl read %+v, and now reads %+v besides what is new", before, after)
	}
	return nil
}

// generator makes kubeconfigs as people, kubectl and other tools write them.
type generator struct{ *rand.Rand }

func (r generator) word() string {
	const letters = "abcdefghijklmnopqrstuvwxyz0123456789:/@.-_ #'\"{}[]&*!|>%,?üλ"
	all := []rune(letters)
	word := make([]rune, 1+r.IntN(12))
	for i := range word {
		word[i] = all[r.IntN(len(all))]
	}
	return string(word)
}

func (r generator) one(words ...string) string { return words[r.IntN(len(words))] }

// value writes a string as YAML, in one style or another.
func (r generator) value(s string) string {
	n := text(s)
	if style := r.IntN(3); style > 0 {
		n.Style = []yaml.Style{yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle}[style-1]
	}
	out, err := yaml.Marshal(n)
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(string(out), "\n")
}

// note is a comment on a line of its own, or nothing.
func (r generator) note(indent string) string {
	if r.IntN(3) > 0 {
		return r.one("", "", "\n")
	}
	return fmt.Sprintf("%s# note %d\n", indent, r.IntN(1000))
}

func (r generator) behind() string {
	if r.IntN(4) > 0 {
		return "\n"
	}
	return fmt.Sprintf(" # note %d\n", r.IntN(1000))
}

func (r generator) kubeconfig() string {
	if r.IntN(20) == 0 {
		return r.one("", "\n", "# note only\n", "---\n", "{}\n")
	}
	indent := r.one("", "  ", "    ")
	sections := []string{
		"apiVersion: v1" + r.behind(),
		"kind: Config" + r.behind(),
		"preferences: {}" + r.behind(),
		"x-unknown: {a: [1, 2], b: " + strconv.Quote(r.word()) + "}\n",
		"current-context: " + r.value(r.word()) + r.behind(),
		r.list(indent, "clusters", "cluster", r.clusterLines),
		r.list(indent, "users", "user", r.userLines),
		r.list(indent, "contexts", "context", r.contextLines),
	}
	r.Shuffle(len(sections), func(i, j int) { sections[i], sections[j] = sections[j], sections[i] })
	sections = sections[:4+r.IntN(5)]
	var b strings.Builder
	b.WriteString(r.note(""))
	for _, s := range sections {
		b.WriteString(s + r.note(""))
	}
	return b.String()
}

func (r generator) list(indent, key, kind string, lines func() []string) string {
	n := r.IntN(4)
	if n == 0 {
		return key + ": " + r.one("[]", "null", "") + "\n"
	}
	var b strings.Builder
	b.WriteString(key + ":" + r.behind())
	for i := range n {
		name := "name: " + r.value(fmt.Sprint(r.word(), i)) + r.behind()
		content := kind + ":\n"
		for _, line := range lines() {
			content += r.note(indent+"    ") + indent + "    " + line + r.behind()
		}
		b.WriteString(r.note(indent) + indent + "- ")
		if r.IntN(2) == 0 {
			b.WriteString(name + indent + "  " + content)
		} else {
			b.WriteString(content + indent + "  " + name)
		}
	}
	return b.String()
}

func (r generator) clusterLines() []string {
	return []string{
		"server: " + r.value("https://"+r.one("a", "b")+".example"),
		r.one("insecure-skip-tls-verify: true", "certificate-authority-data: Q0E=", "certificate-authority: ca.pem"),
		"x-unknown: " + r.value(r.word()),
	}
}

func (r generator) userLines() []string {
	return [][]string{
		{"token: " + r.value(r.word()), "as: " + r.value(r.word())},
		{"client-certificate: a.pem", "client-key-data: S0VZ"},
		{"exec: {apiVersion: client.authentication.k8s.io/v1, command: " + strconv.Quote(r.word()) + ", interactiveMode: Never, args: [" + strconv.Quote(r.word()) + "]}"},
	}[r.IntN(3)]
}

func (r generator) contextLines() []string {
	return []string{"cluster: " + r.value(r.word()), "user: " + r.value(r.word()), "namespace: " + r.value(r.word())}
}

// FuzzMerge looks for files that are merged with, and lose something.
func FuzzMerge(f *testing.F) {
	f.Add([]byte(demoEntries))
	f.Add([]byte(`{"clusters":[{"name":"a","cluster":{"server":"https://a"}}]}`))
	f.Add([]byte("clusters:\n- &a {name: a, cluster: {server: x}}\n#c\nusers: null\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		before, err := clientcmd.Load(data)
		if err != nil {
			return
		}
		d, err := parseDocument("config", data)
		if err != nil {
			return
		}
		login := demo()
		login.ContextName, login.ClusterName, login.UserName = "fuzz", "fuzz", "fuzz"
		for _, e := range []entry{clusterEntry(login), userEntry(login), contextEntry(login)} {
			if d.has(e.kind, e.name) {
				return
			}
			if _, err := d.set(e, false); err != nil {
				return
			}
		}
		if _, err := d.setCurrent("fuzz"); err != nil {
			return
		}
		if d.render() != nil {
			return
		}
		after, err := clientcmd.Load(d.rendered)
		if err == nil {
			err = checkMerged(login, before, after)
		}
		if err != nil {
			t.Errorf("%v\nbefore:\n%s\nafter:\n%s", err, data, d.rendered)
		}
	})
}
