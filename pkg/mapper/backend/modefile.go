package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

// maxModeFile bounds the mode file, in bytes.
const maxModeFile = 64 << 10

// ParseModeFile parses the backend mode file of aws-iam-authenticator: JSON with the
// key backendMode, the names of backends in order, separated by spaces or commas. Its
// other keys, Version and LastUpdatedDateTime, are for whoever writes it.
func ParseModeFile(data []byte) ([]string, error) {
	var document struct {
		BackendMode string `json:"backendMode"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("not as expected: %w", err)
	}
	modes := strings.Fields(strings.ReplaceAll(document.BackendMode, ",", " "))
	if len(modes) == 0 {
		return nil, errors.New(`it names no backend, want for example {"backendMode":"MountedFile DynamicFile"}`)
	}
	return modes, nil
}

// readModeFile returns the modes of the file, or nil if there is none.
func readModeFile(path string) ([]string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a named pipe would block
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxModeFile+1))
	if err == nil && len(data) > maxModeFile {
		err = fmt.Errorf("more than %d bytes", maxModeFile)
	}
	if err != nil {
		return nil, err
	}
	return ParseModeFile(data)
}
