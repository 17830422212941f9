package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A document whose commands nobody runs is wrong sooner or later.
func TestWalkthroughsAreTheStory(t *testing.T) {
	documented := commandsOfDocument(t, filepath.Join(repository, "docs", "walkthroughs.md"))
	told := commandsOfStory(t, filepath.Join("testdata", "walkthroughs.txtar"))
	if len(documented) < 20 {
		t.Fatalf("only %d commands in the document", len(documented))
	}
	for i := range max(len(documented), len(told)) {
		if i >= len(documented) || i >= len(told) || documented[i] != told[i] {
			t.Fatalf("command %d differs:\ndocument: %s\nstory:    %s", i+1, at(documented, i), at(told, i))
		}
	}
}

// commandsOfDocument returns what stands behind a prompt.
func commandsOfDocument(t *testing.T, path string) (commands []string) {
	t.Helper()
	for line := range strings.Lines(read(t, path)) {
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	return commands
}

// wrapped is what a story has around a command: that it takes a while, or fails.
var wrapped = regexp.MustCompile(`^(eventually( -\S+)* )?(! )?((authenticator|kubectl) .*)`)

func commandsOfStory(t *testing.T, path string) (commands []string) {
	t.Helper()
	script, _, _ := strings.Cut(read(t, path), "\n-- ")
	for line := range strings.Lines(script) {
		if parts := wrapped.FindStringSubmatch(line); parts != nil {
			commands = append(commands, parts[4])
		}
	}
	return commands
}

func at(lines []string, i int) string {
	if i < len(lines) {
		return lines[i]
	}
	return "(none)"
}

func read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
