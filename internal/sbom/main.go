// Command sbom writes the software bill of materials of a program, as CycloneDX: the modules that Go says are in it.
//
//	go run ./internal/sbom -version v1.2.3 -o authenticator.cdx.json bin/authenticator
//
// The same program gives the same document.
package main

import (
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"path"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "error:", err)
		os.Exit(1) //nolint:forbidigo // this is main
	}
}

func run(args []string, stdout io.Writer) error {
	flags := flag.NewFlagSet("sbom", flag.ContinueOnError)
	out := flags.String("o", "", "`file` to write; standard output if not given")
	version := flags.String("version", "", "`version` of the program; that of its module if not given")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return errors.New("usage: sbom [-o FILE] [-version VERSION] PROGRAM")
	}
	info, err := buildinfo.ReadFile(flags.Arg(0))
	if err != nil {
		return err
	}
	if *version != "" {
		info.Main.Version = *version
	}
	text, err := json.MarshalIndent(newDocument(info), "", "  ")
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if *out == "" {
		_, err := stdout.Write(text)
		return err
	}
	return os.WriteFile(*out, text, 0o644)
}

// document is a bill of materials.
// https://cyclonedx.org/docs/1.6/json/
type document struct {
	Schema      string      `json:"$schema"`
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"` // of the document
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"` // what the document is about
}

type component struct {
	Type    string `json:"type"`
	Ref     string `json:"bom-ref"`
	Name    string `json:"name"`
	Version string `json:"version"`
	PURL    string `json:"purl"`
}

func newDocument(info *buildinfo.BuildInfo) document {
	program := purl(info.Main.Path, info.Main.Version)
	d := document{
		Schema: "http://cyclonedx.org/schema/bom-1.6.schema.json", Format: "CycloneDX", SpecVersion: "1.6", Version: 1,
		Metadata: metadata{component{
			Type: "application", Ref: info.Path, Name: path.Base(info.Path), Version: info.Main.Version, PURL: program,
		}},
		Components: []component{library("std", strings.TrimPrefix(info.GoVersion, "go"))},
	}
	for _, module := range info.Deps {
		if module.Replace != nil {
			module = module.Replace
		}
		d.Components = append(d.Components, library(module.Path, module.Version))
	}
	return d
}

func library(module, version string) component {
	id := purl(module, version)
	return component{Type: "library", Ref: id, Name: module, Version: version, PURL: id}
}

// purl is the package URL of a module, by which databases of vulnerabilities know it.
// https://github.com/package-url/purl-spec
func purl(module, version string) string {
	return "pkg:golang/" + strings.ToLower(module) + "@" + url.QueryEscape(version)
}
