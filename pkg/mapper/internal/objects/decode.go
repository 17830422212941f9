package objects

import (
	stdjson "encoding/json"
	"errors"
	"fmt"

	"sigs.k8s.io/json"
)

// Decode decodes a spec. An unknown field is an error: it may be a misspelt
// "groups", or a restriction that only a later version knows.
func Decode(spec []byte, into any) error {
	if len(spec) == 0 {
		return errors.New("spec is missing")
	}
	unknown, err := json.UnmarshalStrict(spec, into)
	if err = errors.Join(append(unknown, err)...); err != nil {
		return fmt.Errorf("spec: %w", err)
	}
	return nil
}

// Text returns a string of a spec that may be wrong otherwise, or "" if there is none.
func Text(data []byte, key string) string {
	var fields map[string]stdjson.RawMessage
	var text string
	if stdjson.Unmarshal(data, &fields) != nil || stdjson.Unmarshal(fields[key], &text) != nil {
		return ""
	}
	return text
}
