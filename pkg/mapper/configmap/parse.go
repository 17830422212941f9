package configmap

import (
	"cmp"
	"crypto/sha256"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"github.com/iam-authenticator/authenticator/internal/suggest"
	"github.com/iam-authenticator/authenticator/pkg/mapper"
)

// parse parses the sections of the ConfigMap, each of which is a YAML document of
// its own: lines count from the beginning of each. Letter case of their keys
// counts, as in the original. The problems are keys that mean nothing to us.
func parse(cm *corev1.ConfigMap) (doc mapper.Document, unknownKeys []mapper.Problem) {
	if cm == nil {
		return doc, nil
	}
	doc.Roles = parseSection(cm, mapper.MapRoles)
	doc.Users = parseSection(cm, mapper.MapUsers)
	doc.Accounts = parseSection(cm, mapper.MapAccounts)

	known := []string{mapper.MapRoles, mapper.MapUsers, mapper.MapAccounts}
	for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
		if !slices.Contains(known, key) {
			unknownKeys = append(unknownKeys, mapper.Problem{
				Source:   mapper.Source{Section: "data", Index: -1},
				Severity: mapper.Warning,
				Message:  fmt.Sprintf("key %q is not read%s", key, suggest.Known(key, known)),
			})
		}
	}
	for _, key := range slices.Sorted(maps.Keys(cm.BinaryData)) {
		unknownKeys = append(unknownKeys, mapper.Problem{
			Source:   mapper.Source{Section: "binaryData", Index: -1},
			Severity: mapper.Warning,
			Message:  fmt.Sprintf("key %q is not read, as it is not text; put it under data", key),
		})
	}
	return doc, unknownKeys
}

func parseSection(cm *corev1.ConfigMap, section string) mapper.Section {
	node, err := mapper.ParseYAML([]byte(cm.Data[section]))
	if err != nil {
		return mapper.Section{Err: fmt.Errorf("%s: %w", section, err)}
	}
	return mapper.ParseSection(section, node, mapper.ParseOptions{})
}

// worstFirst joins problems so that entries that are not in force come first.
func worstFirst(problems ...[]mapper.Problem) []mapper.Problem {
	all := slices.Concat(problems...)
	slices.SortStableFunc(all, func(a, b mapper.Problem) int { return cmp.Compare(a.Severity, b.Severity) })
	return all
}

// digest tells apart what ConfigMaps say. The zero digest is that of none.
type digest [sha256.Size]byte

// digestOf returns the digest of all that is parsed. A ConfigMap that is not there
// has one too.
func digestOf(cm *corev1.ConfigMap) (d digest) {
	h := sha256.New()
	if cm != nil {
		text := func(s string) { io.WriteString(h, strconv.Itoa(len(s))+":"+s) }
		text("data")
		for _, key := range slices.Sorted(maps.Keys(cm.Data)) {
			text(key)
			text(cm.Data[key])
		}
		text("binaryData")
		for _, key := range slices.Sorted(maps.Keys(cm.BinaryData)) {
			text(key)
		}
	}
	return digest(h.Sum(nil))
}
