package kubeconfig

import (
	"fmt"
	"net/url"
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/iam"
)

// hidden stands for what may be a secret.
const hidden = "REDACTED"

// excerpt is what a document says of the entries that change. Nothing else of a
// kubeconfig is for anybody to see, neither other entries nor comments.
type excerpt struct {
	Clusters       []any  `yaml:"clusters,omitempty"`
	Users          []any  `yaml:"users,omitempty"`
	Contexts       []any  `yaml:"contexts,omitempty"`
	CurrentContext string `yaml:"current-context,omitempty"`
}

// excerpts returns what the document says of what changes, before and after, formatted
// alike: what is different is what was changed.
func (d *document) excerpts(changes []Change) (before, after []byte, err error) {
	var texts [2][]byte
	var ours []string // arguments of the command that we write
	for _, i := range []int{1, 0} {
		var all excerpt
		if err := yaml.Unmarshal([][]byte{d.before, d.rendered}[i], &all); err != nil {
			return nil, nil, fmt.Errorf("kubeconfig %s: %w", d.path, err)
		}
		var e excerpt
		for _, c := range changes {
			switch c.Kind {
			case "cluster":
				e.Clusters = append(e.Clusters, show(all.Clusters, c, clusterShown())...)
			case "user":
				if i == 1 {
					ours = append(ours, execArgs(all.Users, c.Name)...)
				}
				e.Users = append(e.Users, show(all.Users, c, userShown(ours))...)
			case "context":
				e.Contexts = append(e.Contexts, show(all.Contexts, c, contextShown())...)
			default:
				e.CurrentContext = all.CurrentContext
			}
		}
		var node yaml.Node
		if err := node.Encode(e); err != nil {
			return nil, nil, err
		}
		if len(node.Content) == 0 {
			continue // it says nothing of them
		}
		if texts[i], err = encode(&yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{&node}}); err != nil {
			return nil, nil, fmt.Errorf("kubeconfig %s: %w", d.path, err)
		}
	}
	return texts[0], texts[1], nil
}

// find returns the entry of a list with a name, under its key, or nil.
func find(list []any, name, key string) map[string]any {
	for _, item := range list {
		item, _ := item.(map[string]any)
		if item["name"] != nil && fmt.Sprint(item["name"]) == name {
			entry, _ := item[key].(map[string]any)
			return entry
		}
	}
	return nil
}

// show returns the item of a list that a change is about, without secrets.
func show(list []any, c Change, shown filter) []any {
	entry := find(list, c.Name, c.Kind)
	if entry == nil {
		return nil
	}
	return []any{map[string]any{"name": c.Name, c.Kind: shown.apply(entry)}}
}

// filter says what is shown of a mapping, by key: what it returns. The value of a key
// that is not in it is hidden.
type filter map[string]func(any) any

func (f filter) apply(values map[string]any) map[string]any {
	shown := map[string]any{}
	for key, value := range values {
		if of, ok := f[key]; ok {
			shown[key] = of(value)
		} else {
			shown[key] = hidden
		}
	}
	return shown
}

func clusterShown() filter {
	return filter{
		"server": address, "proxy-url": address, "tls-server-name": plain, "certificate-authority": plain,
		"certificate-authority-data": plain, "insecure-skip-tls-verify": plain, "disable-compression": plain,
	}
}

func contextShown() filter { return filter{"cluster": plain, "user": plain, "namespace": plain} }

// userShown shows of a command only the arguments that are ours, and ARNs.
func userShown(ours []string) filter {
	argument := func(v any) any {
		text, _ := v.(string)
		if _, err := iam.ParsePrincipal(text); err == nil || slices.Contains(ours, text) {
			return text
		}
		return hidden
	}
	exec := filter{
		"apiVersion": plain, "command": plain, "interactiveMode": plain, "provideClusterInfo": plain,
		"args": each(argument), "env": each(variable),
	}
	return filter{
		"exec": func(v any) any {
			if values, ok := v.(map[string]any); ok {
				return exec.apply(values)
			}
			return hidden
		},
		"client-certificate": plain, "client-certificate-data": plain, "client-key": plain, "tokenFile": plain,
	}
}

// variable shows the name of an environment variable, and the value of ours.
func variable(v any) any {
	values, ok := v.(map[string]any)
	if !ok {
		return hidden
	}
	if values["name"] == "AWS_PROFILE" || values["name"] == "AWS_REGION" {
		return filter{"name": plain, "value": plain}.apply(values)
	}
	return filter{"name": plain}.apply(values)
}

// plain shows what is no list or mapping.
func plain(v any) any {
	switch v.(type) {
	case string, bool, int, nil:
		return v
	}
	return hidden
}

// address shows a URL without what may be a password.
func address(v any) any {
	text, _ := v.(string)
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return hidden
	}
	if u.User != nil {
		u.User = url.User(hidden)
	}
	if u.RawQuery != "" {
		u.RawQuery = hidden
	}
	if u.Fragment != "" {
		u.Fragment = hidden
	}
	return u.String()
}

// each shows the items of a list.
func each(shown func(any) any) func(any) any {
	return func(v any) any {
		list, ok := v.([]any)
		if !ok {
			return hidden
		}
		items := make([]any, len(list))
		for i := range list {
			items[i] = shown(list[i])
		}
		return items
	}
}

// execArgs returns the arguments of a user's command.
func execArgs(users []any, name string) (args []string) {
	exec, _ := find(users, name, "user")["exec"].(map[string]any)
	list, _ := exec["args"].([]any)
	for _, arg := range list {
		if text, ok := arg.(string); ok {
			args = append(args, text)
		}
	}
	return args
}
