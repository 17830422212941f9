//go:build unix

package handover

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestParseOwner(t *testing.T) {
	for text, want := range map[string]Owner{
		"65532:65532": {65532, 65532},
		"65532":       {65532, 65532},
		"1000:0":      {1000, 0},
	} {
		if got, err := ParseOwner(text); err != nil || got != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", ":", "0", "0:0", "nobody", "1:", ":1", "-1", "1:2:3", "99999999999", " 1"} {
		if got, err := ParseOwner(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

var nobody = Owner{65532, 65533}

func ownerOf(t *testing.T, path string) Owner {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	return Owner{int(stat.Uid), int(stat.Gid)}
}

func TestPrepare(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root gives files away")
	}
	ours := func(name string) bool { return strings.HasPrefix(name, "our-") }
	write := func(t *testing.T, path string) {
		t.Helper()
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name  string
		lay   func(t *testing.T, dir, outside string)
		error string // empty: all is handed over
	}{
		{"a directory that isn't there", func(*testing.T, string, string) {}, ""},
		{"files of ours", func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, "our-key"))
		}, ""},
		{"files of others", func(t *testing.T, dir, _ string) {
			write(t, filepath.Join(dir, "our-key"))
			write(t, filepath.Join(dir, "admin.conf"))
		}, "not this program's, such as admin.conf"},
		{"a symbolic link", func(t *testing.T, dir, outside string) {
			if err := os.Symlink(outside, filepath.Join(dir, "our-key")); err != nil {
				t.Fatal(err)
			}
		}, "it is a link"},
		{"a hard link", func(t *testing.T, dir, outside string) {
			if err := os.Link(outside, filepath.Join(dir, "our-key")); err != nil {
				t.Fatal(err)
			}
		}, "hard link"},
		{"a named pipe", func(t *testing.T, dir, _ string) {
			if err := syscall.Mkfifo(filepath.Join(dir, "our-key"), 0o600); err != nil {
				t.Fatal(err)
			}
		}, "no regular file"},
		{"a directory in place of a file", func(t *testing.T, dir, _ string) {
			if err := os.Mkdir(filepath.Join(dir, "our-key"), 0o700); err != nil {
				t.Fatal(err)
			}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			above := t.TempDir()
			dir, outside := filepath.Join(above, "state"), filepath.Join(above, "secret")
			write(t, outside)
			if !strings.Contains(tt.name, "isn't there") {
				if err := os.Mkdir(dir, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			tt.lay(t, dir, outside)
			d := Dir{Path: dir, Perm: 0o700, Has: ours}
			err := d.Prepare(nobody)
			if got := ownerOf(t, outside); got != (Owner{}) {
				t.Errorf("a file elsewhere belongs to %s now", got)
			}
			if tt.error != "" {
				if err == nil || !strings.Contains(err.Error(), tt.error) {
					t.Errorf("got %v, want an error with %q", err, tt.error)
				}
				if got := ownerOf(t, dir); got != (Owner{}) {
					t.Errorf("the directory belongs to %s all the same", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			paths := []string{dir}
			for _, e := range entries {
				paths = append(paths, filepath.Join(dir, e.Name()))
			}
			for _, path := range paths {
				if got := ownerOf(t, path); got != nobody {
					t.Errorf("%s belongs to %s", path, got)
				}
			}
			if err := d.Prepare(nobody); err != nil {
				t.Errorf("the second time: %v", err)
			}
		})
	}
}
