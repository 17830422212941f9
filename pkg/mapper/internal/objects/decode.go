package objects

import (
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
