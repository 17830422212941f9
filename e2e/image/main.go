// Command image builds the container image without a container engine and without
// pulling anything: static binaries, certificate authorities, and nothing else. The same
// commit gives the same image, bit by bit:
//
//	go -C e2e run ./image -o ../bin
//
// It writes authenticator-ARCH.tar, which `docker load`, `ctr images import` and
// `kind load image-archive` take, and the directory oci, an OCI image layout of all
// architectures, which `skopeo copy` and `crane push` take.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			os.Exit(2)
		}
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("image", flag.ContinueOnError)
	out := flags.String("o", "../bin", "`directory` to write to")
	archs := flags.String("arch", runtime.GOARCH, "architectures, comma-separated: amd64,arm64")
	tag := flags.String("tag", "authenticator:latest", "`name` of the image in the archives")
	b := builder{source: ".."}
	flags.StringVar(&b.version, "version", "unknown", "version of the program")
	flags.StringVar(&b.commit, "commit", "unknown", "commit it is built from")
	flags.Func("created", "`time` the image says it was made, in seconds since 1970, such as SOURCE_DATE_EPOCH", func(s string) error {
		var seconds int64
		_, err := fmt.Sscan(s, &seconds)
		b.created = time.Unix(seconds, 0).UTC()
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	reference, err := name.ParseReference(*tag)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	index := v1.ImageIndex(empty.Index)
	for arch := range strings.SplitSeq(*archs, ",") {
		image, err := b.build(ctx, arch)
		if err != nil {
			return fmt.Errorf("image for %s: %w", arch, err)
		}
		archive := filepath.Join(*out, "authenticator-"+arch+".tar")
		if err := tarball.WriteToFile(archive, reference, image); err != nil {
			return err
		}
		digest, err := image.Digest()
		if err != nil {
			return err
		}
		fmt.Println(archive, digest)
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add:        image,
			Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	oci := filepath.Join(*out, "oci")
	if err := os.RemoveAll(oci); err != nil {
		return err
	}
	_, err = layout.Write(oci, index)
	return err
}

// builder makes images of one state of the source.
type builder struct {
	source          string // directory of the main module
	version, commit string
	created         time.Time
}

// programs are what is in the image, in its root directory.
var programs = []string{"authenticator", "authenticator-controller"}

func (b builder) build(ctx context.Context, arch string) (v1.Image, error) {
	dir, err := os.MkdirTemp("", "image-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	files := []file{{path: "etc/ssl/certs/ca-certificates.crt", mode: 0o444, content: authorities()}}
	for _, program := range programs {
		content, err := b.compile(ctx, arch, program, filepath.Join(dir, program))
		if err != nil {
			return nil, err
		}
		files = append(files, file{path: program, mode: 0o555, content: content})
	}
	layer, err := newLayer(files, b.created)
	if err != nil {
		return nil, err
	}
	image, err := mutate.Append(empty.Image, mutate.Addendum{Layer: layer, History: v1.History{
		Created: v1.Time{Time: b.created}, CreatedBy: "go -C e2e run ./image",
	}})
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(image, b.config(image, arch))
}

// compile builds a program as the Makefile and the Dockerfile do.
func (b builder) compile(ctx context.Context, arch, program, to string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-ldflags", fmt.Sprintf("-s -w -X main.version=%s -X main.commit=%s", b.version, b.commit),
		"-o", to, "./cmd/"+program)
	cmd.Dir = b.source
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOWORK=off", "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("%v: %w", cmd, err)
	}
	return os.ReadFile(to)
}

// user is that of the image: not root, and nobody on the machine. Files shared with the
// API server are prepared by `authenticator init`.
const user = "65532:65532"

func (b builder) config(image v1.Image, arch string) *v1.ConfigFile {
	config, err := image.ConfigFile()
	if err != nil {
		panic(err) // of an image in memory
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", arch, v1.Time{Time: b.created}
	config.Config = v1.Config{
		User:       user,
		Entrypoint: []string{"/authenticator"},
		Cmd:        []string{"server"},
		WorkingDir: "/",
		ExposedPorts: map[string]struct{}{
			"21362/tcp": {}, "21363/tcp": {},
		},
		Labels: map[string]string{
			"org.opencontainers.image.title":       "authenticator",
			"org.opencontainers.image.description": "AWS IAM authentication for Kubernetes",
			"org.opencontainers.image.licenses":    "Apache-2.0",
			"org.opencontainers.image.source":      "https://github.com/iam-authenticator/authenticator",
			"org.opencontainers.image.version":     b.version,
			"org.opencontainers.image.revision":    b.commit,
			"org.opencontainers.image.created":     b.created.Format(time.RFC3339),
		},
	}
	return config
}
