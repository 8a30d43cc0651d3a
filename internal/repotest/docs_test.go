// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentd-project/agentd/agent"
	"github.com/agentd-project/agentd/config"
	"github.com/agentd-project/agentd/policy"
)

var update = flag.Bool("update", false, "rewrite the generated sections of the documentation")

// generated compares the section of a page between its two markers with what the code says, or rewrites it with -update.
func generated(t *testing.T, page, section, want string) {
	t.Helper()
	begin := fmt.Sprintf("<!-- begin %s: go test ./internal/repotest -update -->\n", section)
	end := fmt.Sprintf("<!-- end %s -->\n", section)
	text := read(t, page)
	before, rest, ok := strings.Cut(text, begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks the markers of section %s", page, section)
	}
	if got == want {
		return
	}
	if !*update {
		t.Errorf("%s: section %s is stale; run: go test ./internal/repotest -update", page, section)
		return
	}
	path := filepath.Join(root, filepath.FromSlash(page))
	if err := os.WriteFile(path, []byte(before+begin+want+end+after), 0o644); err != nil {
		t.Fatalf("write: %v", err)
	}
}

func TestReasonsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| reason | what it means | what to do |\n|---|---|---|\n")
	for _, info := range policy.Reasons() {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", info.Reason, info.Text, info.Next)
	}
	generated(t, "docs/errors.md", "reasons", b.String())
}

func TestProblemsAreDocumented(t *testing.T) {
	var b strings.Builder
	b.WriteString("| code | severity | buying | shown after | what is wrong | what to do |\n|---|---|---|---|---|---|\n")
	for _, p := range agent.Problems() {
		buying := "goes on"
		if p.NotReady {
			buying = "stops"
		}
		after := "at once"
		if p.After > 0 {
			after = p.After.String()
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s | %s |\n", p.Code, p.Severity, buying, after, p.Text, p.Next)
	}
	generated(t, "docs/errors.md", "problems", b.String())
}

// TestConfigurationKeysAreDocumented wants every key, with the name of its variable, in the reference, and no others.
func TestConfigurationKeysAreDocumented(t *testing.T) {
	const page = "docs/reference/configuration.md"
	row := regexp.MustCompile("(?m)^\\| `([a-z0-9_.\\[\\]]+)` \\|")
	var documented []string
	for _, m := range row.FindAllStringSubmatch(read(t, page), -1) {
		documented = append(documented, m[1])
	}
	keys := config.KeyPaths()
	for _, key := range keys {
		if !slices.Contains(documented, key) {
			t.Errorf("%s lacks the key %s (%s)", page, key, config.EnvName(key))
		}
	}
	for _, key := range documented {
		if !slices.Contains(keys, key) {
			t.Errorf("%s has %s, which is no key", page, key)
		}
	}
}

func TestDependenciesAreDocumented(t *testing.T) {
	page := read(t, "docs/dependencies.md")
	direct := map[string]bool{}
	for _, r := range modFile(t).Require {
		if r.Indirect {
			continue
		}
		direct[r.Path] = true
		if !strings.Contains(page, "| `"+r.Path+"` |") {
			t.Errorf("docs/dependencies.md lacks %s", r.Path)
		}
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z][^`]*/[^`]*)` \\|")
	for _, m := range row.FindAllStringSubmatch(page, -1) {
		if !direct[m[1]] {
			t.Errorf("docs/dependencies.md has %s, which go.mod does not require directly", m[1])
		}
	}
}

// TestExitCodesAreDocumented wants each exit code in the page that users look it up in.
func TestExitCodesAreDocumented(t *testing.T) {
	page := read(t, "docs/errors.md")
	for _, code := range []int{0, 1, 3, 4, 5, 6, 7, 64, 77, 78} {
		if !strings.Contains(page, fmt.Sprintf("| %d |", code)) {
			t.Errorf("docs/errors.md lacks exit code %d", code)
		}
	}
}

// TestLinksLead wants every relative link of the documentation to name a file that exists.
func TestLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:\s]+)(#[^)]*)?\)`)
	walk(t, func(name string) {
		if filepath.Ext(name) != ".md" {
			return
		}
		for _, m := range link.FindAllStringSubmatch(read(t, name), -1) {
			target := filepath.Join(root, filepath.FromSlash(filepath.Dir(name)), filepath.FromSlash(m[1]))
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	})
}
