package main

import (
	"archive/tar"
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

var args = []string{"-version", "v1.2.3", "-commit", "abc", "-created", "1767225600", "-arch"}

func build(t *testing.T, arch string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := run(t.Context(), append([]string{"-o", dir}, append(slices.Clone(args), arch)...)); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir, arch string) v1.Image {
	t.Helper()
	image, err := tarball.ImageFromPath(filepath.Join(dir, "authenticator-"+arch+".tar"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return image
}

func TestImage(t *testing.T) {
	t.Chdir("..") // where `go -C e2e run ./image` is
	dir := build(t, runtime.GOARCH)
	image := open(t, dir, runtime.GOARCH)

	t.Run("is valid, as archive and as layout", func(t *testing.T) {
		if err := validate.Image(image); err != nil {
			t.Error(err)
		}
		index, err := layout.ImageIndexFromPath(filepath.Join(dir, "oci"))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(index); err != nil {
			t.Error(err)
		}
	})
	t.Run("is the same when built again", func(t *testing.T) {
		first, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		again, err := open(t, build(t, runtime.GOARCH), runtime.GOARCH).Digest()
		if err != nil || again != first {
			t.Errorf("%s, then %s, %v", first, again, err)
		}
	})
	t.Run("runs as the Dockerfile says", func(t *testing.T) {
		config, err := image.ConfigFile()
		if err != nil {
			t.Fatal(err)
		}
		dockerfile, err := os.ReadFile("../Dockerfile")
		if err != nil {
			t.Fatal(err)
		}
		_, last, _ := bytes.Cut(dockerfile, []byte("FROM scratch"))
		instruction := func(name string) string {
			match := regexp.MustCompile(`(?m)^` + name + ` (.*)$`).FindSubmatch(last)
			if match == nil {
				return ""
			}
			return strings.NewReplacer(`"`, "", "[", "", "]", "", ",", "").Replace(string(match[1]))
		}
		for name, got := range map[string]string{
			"USER":       config.Config.User,
			"ENTRYPOINT": strings.Join(config.Config.Entrypoint, " "),
			"CMD":        strings.Join(config.Config.Cmd, " "),
		} {
			if want := instruction(name); got != want {
				t.Errorf("%s %s, in the Dockerfile %s", name, got, want)
			}
		}
		for label := range config.Config.Labels {
			if !bytes.Contains(last, []byte(label+"=")) {
				t.Errorf("the Dockerfile has no label %s", label)
			}
		}
		if want := time.Unix(1767225600, 0); !config.Created.Equal(want) {
			t.Errorf("created at %v, want %v", config.Created, want)
		}
	})
	files := unpack(t, image)
	t.Run("has the programs and the certificate authorities, and nothing else", func(t *testing.T) {
		var got []string
		for _, f := range files {
			got = append(got, f.Name)
			if f.Uid != 0 || f.Mode&0o222 != 0 && f.Typeflag == tar.TypeReg || f.Mode&0o7022 != 0 {
				t.Errorf("%s: owner %d, mode %o", f.Name, f.Uid, f.Mode)
			}
		}
		want := append([]string{"etc", "etc/ssl", "etc/ssl/certs", "etc/ssl/certs/ca-certificates.crt"}, programs...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
	t.Run("trusts the authorities of AWS", func(t *testing.T) {
		var names []string
		for rest := files["etc/ssl/certs/ca-certificates.crt"].content; ; {
			var block *pem.Block
			if block, rest = pem.Decode(rest); block == nil {
				break
			}
			cert, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				t.Fatal(err)
			}
			names = append(names, cert.Subject.CommonName)
		}
		// https://www.amazontrust.com/repository/
		for _, want := range []string{"Amazon Root CA 1", "Amazon Root CA 2", "Amazon Root CA 3", "Amazon Root CA 4"} {
			if !slices.Contains(names, want) {
				t.Errorf("no %s among %d authorities", want, len(names))
			}
		}
	})
	t.Run("starts without anything else around it", func(t *testing.T) {
		if os.Getuid() != 0 || runtime.GOOS != "linux" {
			t.Skip("wants to be root on Linux, for chroot")
		}
		root := t.TempDir()
		if err := os.Chmod(root, 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			path := filepath.Join(root, f.Name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if f.Typeflag == tar.TypeReg {
				if err := os.WriteFile(path, f.content, os.FileMode(f.Mode)); err != nil {
					t.Fatal(err)
				}
			}
		}
		for _, program := range programs {
			how := "version"
			if program == "authenticator-controller" {
				how = "--version"
			}
			cmd := exec.CommandContext(t.Context(), "/"+program, how)
			cmd.Dir, cmd.Env = "/", []string{}
			cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: 65532, Gid: 65532}}
			out, err := cmd.CombinedOutput()
			if err != nil || !strings.Contains(string(out), "v1.2.3") {
				t.Errorf("%s: %v\n%s", program, err, out)
			}
		}
	})
}

type unpacked struct {
	*tar.Header
	content []byte
}

func unpack(t *testing.T, image v1.Image) map[string]unpacked {
	t.Helper()
	files := map[string]unpacked{}
	content := mutate.Extract(image)
	defer content.Close()
	for r := tar.NewReader(content); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[header.Name] = unpacked{header, text}
	}
}

func TestBadFlagsAreRefused(t *testing.T) {
	t.Chdir("..")
	for _, args := range [][]string{
		{"-arch", "riscv128"},
		{"-tag", "not a name"},
		{"-created", "yesterday"},
		{"-unknown"},
	} {
		if err := run(t.Context(), append([]string{"-o", t.TempDir()}, args...)); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
