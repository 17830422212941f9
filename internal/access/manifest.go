package access

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// maxManifest bounds a file of manifests, in bytes.
const maxManifest = 64 << 20

// manifest is what is looked at of an object.
type manifest struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name      string `json:"name"`
		Namespace string `json:"namespace"`
	} `json:"metadata"`
	Items []json.RawMessage `json:"items"`
}

// readAWSAuth reads the manifest of the ConfigMap, as "kubectl get" prints it. It may
// leave out the name and the namespace.
func readAWSAuth(path string) ([]json.RawMessage, error) {
	documents, err := readManifests(path)
	if err != nil {
		return nil, err
	}
	if len(documents) != 1 {
		return nil, fmt.Errorf("%s: %d objects, want the one ConfigMap %s/%s", path, len(documents), configmap.Namespace, configmap.Name)
	}
	var m manifest
	var object map[string]any
	if err := errors.Join(json.Unmarshal(documents[0], &m), json.Unmarshal(documents[0], &object)); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	switch {
	case m.Kind != "ConfigMap" || m.APIVersion != "v1":
		return nil, fmt.Errorf("%s: %q of %q, want a ConfigMap of v1 (kubectl -n %s get configmap %s -o yaml)", path, m.Kind, m.APIVersion, configmap.Namespace, configmap.Name)
	case m.Metadata.Name != "" && m.Metadata.Name != configmap.Name, m.Metadata.Namespace != "" && m.Metadata.Namespace != configmap.Namespace:
		return nil, fmt.Errorf("%s: the ConfigMap %s/%s is not read by anybody, want %s/%s", path, m.Metadata.Namespace, m.Metadata.Name, configmap.Namespace, configmap.Name)
	}
	metadata, _ := object["metadata"].(map[string]any)
	if metadata == nil {
		metadata = map[string]any{}
		object["metadata"] = metadata
	}
	metadata["name"], metadata["namespace"] = configmap.Name, configmap.Namespace
	data, err := json.Marshal(object)
	return []json.RawMessage{data}, err
}

// readAccessEntries reads manifests of AccessEntry objects, alone or in lists.
func readAccessEntries(paths []string) ([]json.RawMessage, error) {
	var entries []json.RawMessage
	named := map[string]string{} // the file of each name
	for _, path := range paths {
		documents, err := readManifests(path)
		if err != nil {
			return nil, err
		}
		for len(documents) > 0 {
			var m manifest
			if err := json.Unmarshal(documents[0], &m); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
			switch earlier, twice := named[m.Metadata.Name]; {
			case m.Kind == "List" || m.Kind == "AccessEntryList":
				documents = append(m.Items, documents[1:]...)
				continue
			case m.Kind != "AccessEntry":
				return nil, fmt.Errorf("%s: an object of the kind %q, want AccessEntry", path, m.Kind)
			case m.Metadata.Name == "":
				return nil, fmt.Errorf("%s: an AccessEntry without metadata.name", path)
			case twice:
				return nil, fmt.Errorf("%s: AccessEntry %s is in %s too", path, m.Metadata.Name, earlier)
			}
			named[m.Metadata.Name] = path
			entries = append(entries, documents[0])
			documents = documents[1:]
		}
	}
	return entries, nil
}

// readManifests returns the objects in a file of YAML documents, or of JSON.
func readManifests(path string) ([]json.RawMessage, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxManifest+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%s: more than %d MiB", path, maxManifest>>20)
	}
	var documents []json.RawMessage
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return documents, nil
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		document, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		if !bytes.Equal(document, []byte("null")) {
			documents = append(documents, document)
		}
	}
}
