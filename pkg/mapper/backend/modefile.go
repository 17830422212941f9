package backend

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// maxModeFile bounds the mode file, in bytes.
const maxModeFile = 64 << 10

// gone is what was read of a file that is not there.
const gone = "gone"

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
	modes := splitModes(document.BackendMode)
	if len(modes) == 0 {
		return nil, errNoMode
	}
	return modes, nil
}

// readModeFile returns the modes of the file, or nil if there is none, and a text
// that is equal if and only if what was read is.
func readModeFile(path string) (modes []string, seen string, err error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, gone, nil
	}
	if err == nil && !info.Mode().IsRegular() { // opening a named pipe would block
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, "error: " + err.Error(), err
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, "error: " + err.Error(), err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxModeFile+1))
	if err == nil && len(data) > maxModeFile {
		err = fmt.Errorf("more than %d bytes", maxModeFile)
	}
	if err != nil {
		return nil, "error: " + err.Error(), err
	}
	modes, err = ParseModeFile(data)
	return modes, "data: " + string(data), err
}
