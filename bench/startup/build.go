package main

import (
	"context"
	_ "embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
)

const authenticatorPackage = "github.com/iam-authenticator/authenticator/cmd/authenticator"

var (
	//go:embed testdata/hello.go
	helloSource []byte
	//go:embed testdata/peak.go
	peakSource []byte
)

// programs are paths of executables.
type programs struct {
	authenticator, hello, peak string
}

// buildPrograms builds them into dir with the flags of a release.
func buildPrograms(ctx context.Context, dir string) (programs, error) {
	p := programs{
		authenticator: filepath.Join(dir, "authenticator"),
		hello:         filepath.Join(dir, "hello"),
		peak:          filepath.Join(dir, "peak"),
	}
	for _, file := range []struct {
		path string
		text []byte
	}{{p.hello + ".go", helloSource}, {p.peak + ".go", peakSource}} {
		if err := os.WriteFile(file.path, file.text, 0o600); err != nil {
			return programs{}, err
		}
	}
	for path, source := range map[string]string{
		p.authenticator: authenticatorPackage,
		p.hello:         p.hello + ".go",
		p.peak:          p.peak + ".go",
	} {
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", path, source)
		build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOTMPDIR="+dir) // an interrupted go build leaves its work there
		if out, err := build.CombinedOutput(); err != nil {
			return programs{}, fmt.Errorf("%v: %w\n%s", build, err, out)
		}
	}
	return p, nil
}
