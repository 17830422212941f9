package migrate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/iam-authenticator/authenticator/internal/awsauth"
	"github.com/iam-authenticator/authenticator/pkg/apis/v1alpha1"
	"github.com/iam-authenticator/authenticator/pkg/mapper/configmap"
)

// Backup is what was there before a migration. In a file it is manifests.
type Backup struct {
	AWSAuth     awsauth.Document // nil: it was not migrated
	Removes     bool             // the migration takes from AWSAuth what it carries
	Overwritten []v1alpha1.AccessEntry
}

// removes is the annotation of a backup's ConfigMap that says Backup.Removes.
const removes = "iam-authenticator.dev/migration-removes"

// Marshal returns the backup as YAML documents.
func (b Backup) Marshal() ([]byte, error) {
	var out bytes.Buffer
	write := func(object any) error {
		data, err := yaml.Marshal(object)
		out.WriteString("---\n")
		out.Write(data)
		return err
	}
	out.WriteString("# Written by 'authenticator migrate'; 'authenticator migrate undo --backup FILE' takes the migration back.\n")
	if b.AWSAuth != nil {
		cm := &corev1.ConfigMap{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"},
			ObjectMeta: metav1.ObjectMeta{Namespace: configmap.Namespace, Name: configmap.Name},
			Data:       b.AWSAuth,
		}
		if b.Removes {
			cm.Annotations = map[string]string{removes: "true"}
		}
		if err := write(cm); err != nil {
			return nil, err
		}
	}
	for _, e := range b.Overwritten {
		e.TypeMeta = metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "AccessEntry"}
		if err := write(&e); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

// ParseBackup reads a backup.
func ParseBackup(data []byte) (Backup, error) {
	var b Backup
	objects, err := Manifests(data)
	if err != nil {
		return b, err
	}
	for _, object := range objects {
		var kind metav1.TypeMeta
		if err := json.Unmarshal(object, &kind); err != nil {
			return b, err
		}
		switch kind.Kind {
		case "ConfigMap":
			var annotated metav1.PartialObjectMetadata
			if b.AWSAuth, err = parseConfigMap(object); err == nil {
				err = json.Unmarshal(object, &annotated)
			}
			if err != nil {
				return b, err
			}
			b.Removes = annotated.Annotations[removes] == "true"
		case "AccessEntry":
			var e v1alpha1.AccessEntry
			if err := json.Unmarshal(object, &e); err != nil {
				return b, err
			}
			b.Overwritten = append(b.Overwritten, e)
		default:
			return b, fmt.Errorf("an object of the kind %q, want a ConfigMap or AccessEntry: this is no backup of a migration", kind.Kind)
		}
	}
	return b, nil
}

// ParseAWSAuth reads a manifest of the ConfigMap, as "kubectl get -o yaml" prints it.
func ParseAWSAuth(data []byte) (awsauth.Document, error) {
	objects, err := Manifests(data)
	if err != nil {
		return nil, err
	}
	if len(objects) != 1 {
		return nil, fmt.Errorf("%d objects, want the one ConfigMap %s/%s", len(objects), configmap.Namespace, configmap.Name)
	}
	return parseConfigMap(objects[0])
}

func parseConfigMap(object []byte) (awsauth.Document, error) {
	var cm corev1.ConfigMap
	if err := json.Unmarshal(object, &cm); err != nil {
		return nil, err
	}
	if cm.Kind != "ConfigMap" || cm.Name != "" && cm.Name != configmap.Name || cm.Namespace != "" && cm.Namespace != configmap.Namespace {
		return nil, fmt.Errorf("the object is the %s %s/%s, want the ConfigMap %s/%s (kubectl -n %s get configmap %s -o yaml)",
			cm.Kind, cm.Namespace, cm.Name, configmap.Namespace, configmap.Name, configmap.Namespace, configmap.Name)
	}
	if cm.Data == nil {
		return awsauth.Document{}, nil
	}
	return cm.Data, nil
}

// Manifests returns the objects in YAML documents or JSON, those of lists one by one.
func Manifests(data []byte) ([]json.RawMessage, error) {
	var objects []json.RawMessage
	reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data)))
	for {
		text, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return objects, nil
		}
		if err != nil {
			return nil, err
		}
		document, err := yaml.YAMLToJSONStrict(text)
		if err != nil {
			return nil, err
		}
		var list struct {
			Items []json.RawMessage `json:"items"`
		}
		switch err := json.Unmarshal(document, &list); {
		case bytes.Equal(document, []byte("null")):
		case err != nil:
			return nil, fmt.Errorf("no manifest of an object: %w", err)
		case list.Items != nil:
			objects = append(objects, list.Items...)
		default:
			objects = append(objects, document)
		}
	}
}
