// Package handover prepares directories for a server that runs as another user: what
// root made on the host, the server must be able to write.
package handover

import (
	"fmt"
	"strconv"
	"strings"
)

// Owner is a user and a group, by number: names differ between a host and a container.
type Owner struct{ UID, GID int }

// ParseOwner reads "UID:GID", or "UID" for a group of the same number. Root is refused,
// as there is nothing to hand over to it.
func ParseOwner(s string) (Owner, error) {
	user, group, hasGroup := strings.Cut(s, ":")
	if !hasGroup {
		group = user
	}
	uid, err := parseID(user)
	if err != nil {
		return Owner{}, fmt.Errorf("owner %q: want UID or UID:GID, such as 65532:65532", s)
	}
	gid, err := parseID(group)
	if err != nil {
		return Owner{}, fmt.Errorf("owner %q: want UID or UID:GID, such as 65532:65532", s)
	}
	if uid == 0 {
		return Owner{}, fmt.Errorf("owner %q: root needs no files handed over", s)
	}
	return Owner{uid, gid}, nil
}

func parseID(s string) (int, error) {
	id, err := strconv.ParseUint(s, 10, 31)
	return int(id), err
}

func (o Owner) String() string { return fmt.Sprintf("%d:%d", o.UID, o.GID) }

// Dir is a directory of files that a server writes.
type Dir struct {
	Path string
	// Perm is the mode of the directory if it has to be made.
	Perm uint32
	// Has tells whether a file of that name is the server's. A directory that has others
	// is not handed over: /etc/kubernetes must not become the server's for one file in it.
	Has func(name string) bool
}
