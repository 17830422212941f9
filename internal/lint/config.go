package lint

import (
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/iam-authenticator/authenticator/pkg/config"
	"github.com/iam-authenticator/authenticator/pkg/iam"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// configFile checks a configuration.
func (c *checker) configFile(t *text, root *yaml.Node) {
	conf := config.Default()
	if err := config.Parse(t.data, &conf); err != nil {
		for message := range strings.Lines(err.Error()) {
			c.configMistake(t, strings.TrimSpace(message))
		}
	} else {
		c.settings(t, root, conf)
	}
	if server := childFold(root, "server"); server != nil {
		s := source{kind: mountedFile, partition: conf.Server.Partition, reserved: map[string][]string{}}
		for _, r := range conf.Server.ReservedPrefixConfig {
			s.reserved[r.Backend] = append(s.reserved[r.Backend], r.Prefixes...)
		}
		c.mappings(t, server, s, mapper.ParseOptions{})
	}
}

// configMistake reports a mistake that names its line.
func (c *checker) configMistake(t *text, message string) {
	line, text := errorLine(errorText(message))
	rule := configValue
	switch {
	case strings.HasPrefix(text, "unknown key"):
		rule = unknownKey
	case strings.Contains(text, "stands twice"):
		rule = duplicateKey
	}
	_, word, _ := strings.Cut(text, "\"")
	word, _, _ = strings.Cut(word, "\"")
	text, suggestion := cutSuggestion(text)
	c.report(rule, t.line(line, word[strings.LastIndexByte(word, '.')+1:]), Finding{Message: text, Suggestion: suggestion})
}

// errorText is an error that is its text.
type errorText string

func (e errorText) Error() string { return string(e) }

// settings checks the values of a configuration that can be read.
func (c *checker) settings(t *text, root *yaml.Node, conf config.Config) {
	if conf.ClusterID == "" {
		conf.ClusterID = "given by a flag"
	}
	if err := conf.CompleteServer(); err != nil {
		for message := range strings.Lines(err.Error()) {
			message = strings.TrimSpace(message)
			path, _, _ := strings.Cut(message, " ")
			text, suggestion := cutSuggestion(message)
			c.report(configValue, t.of(setting(root, strings.TrimSuffix(path, ":"))), Finding{Message: text, Suggestion: suggestion})
		}
	} else if _, err := mapper.NewBootstrapAdmin(conf.Server.BootstrapAdmin, time.Time{}); err != nil {
		c.report(configValue, t.of(setting(root, "server.bootstrapAdmin")), Finding{Message: "server.bootstrapAdmin: " + err.Error()})
	}
	if conf.DefaultRole != "" {
		if p, err := iam.ParsePrincipal(conf.DefaultRole); err != nil || p.Kind != iam.Role || p.SessionName != "" {
			rule, suggestion := arnRule(conf.DefaultRole)
			c.report(rule, t.of(setting(root, "defaultRole")), Finding{Message: "defaultRole is not the ARN of a role", Suggestion: suggestion, Principal: conf.DefaultRole})
		}
	}
	if !conf.Server.HasBackend(config.BackendMountedFile) && len(conf.Server.BackendMode) > 0 {
		for _, name := range sectionNames {
			if n := setting(root, "server."+name); n != root && !isNull(resolve(n)) {
				c.report(unusedKey, t.of(n), Finding{Message: "server." + name + " has no effect: MountedFile is not among the sources of mappings, which are " + strings.Join(conf.Server.BackendMode, ", ")})
			}
		}
	}
}

// setting returns the value at a path such as "server.port", or that of the longest
// part of it that is there.
func setting(root *yaml.Node, path string) *yaml.Node {
	for name := range strings.SplitSeq(path, ".") {
		n := childFold(root, name)
		if n == nil {
			return root
		}
		root = resolve(n)
	}
	return root
}
