// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"go/ast"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// maxLines bounds a source file that is neither a test nor generated.
const maxLines = 500

func TestEveryPackageSaysWhatItIs(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" {
			t.Errorf("package %s has no package comment", p.path())
		}
		isCommand := strings.HasPrefix(p.path(), "cmd/")
		if !isCommand && !slices.Contains(p.GoFiles, "doc.go") {
			t.Errorf("package %s has no doc.go", p.path())
		}
	}
}

func TestEveryFileNamesItsLicence(t *testing.T) {
	const spdx = "SPDX-License-Identifier: Apache-2.0"
	// Comment syntax differs, so the line is looked for near the top rather than at it.
	kinds := []string{".go", ".sh", ".sol", ".sql", ".service", ".js", ".py"}
	seen := 0
	walk(t, func(name string) {
		base := path.Base(name)
		if strings.Contains(name, "testdata/") {
			return
		}
		if !slices.Contains(kinds, path.Ext(name)) && !slices.Contains([]string{"Dockerfile", "Makefile", "run"}, base) {
			return
		}
		seen++
		head := strings.SplitN(read(t, name), "\n", 4)
		if !strings.Contains(strings.Join(head[:min(3, len(head))], "\n"), spdx) {
			t.Errorf("%s: the first three lines lack %q", name, spdx)
		}
	})
	if seen == 0 {
		t.Error("no source files were found")
	}
}

func TestNothingIsLeftToDo(t *testing.T) {
	// Put together from parts, so that this file does not find itself.
	marker := regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
	for _, g := range sources(t) {
		for _, group := range g.file.Comments {
			for _, c := range group.List {
				if marker.MatchString(c.Text) {
					t.Errorf("%s:%d: %s", g.name, g.line(c), c.Text)
				}
			}
		}
	}
}

func TestFilesStayShort(t *testing.T) {
	for _, g := range sources(t) {
		if strings.HasSuffix(g.name, "_test.go") || ast.IsGenerated(g.file) {
			continue
		}
		if lines := g.fset.File(g.file.Pos()).LineCount(); lines > maxLines {
			t.Errorf("%s has %d lines, want at most %d", g.name, lines, maxLines)
		}
	}
}

// TestTestsDoNotSleep wants tests that wait for what happens. Inside a synctest bubble a sleep moves the clock and costs no time,
// so packages whose tests use bubbles are left out.
func TestTestsDoNotSleep(t *testing.T) {
	bubbles := map[string]bool{}
	for _, g := range sources(t) {
		for _, imported := range g.file.Imports {
			if imported.Path.Value == `"testing/synctest"` {
				bubbles[path.Dir(g.name)] = true
			}
		}
	}
	for _, g := range sources(t) {
		if !strings.HasSuffix(g.name, "_test.go") || bubbles[path.Dir(g.name)] {
			continue
		}
		ast.Inspect(g.file, func(n ast.Node) bool {
			if sel, ok := n.(*ast.SelectorExpr); ok && isSelector(sel, "time", "Sleep") {
				t.Errorf("%s:%d: a test sleeps", g.name, g.line(n))
			}
			return true
		})
	}
}

// TestMoneyIsNeverAFloat covers the packages that compute with amounts. Tests may report a median as a float.
func TestMoneyIsNeverAFloat(t *testing.T) {
	trees := []string{"money", "policy", "ledger", "payments", "wallet"}
	floats := [][2]string{{"big", "Float"}, {"big", "NewFloat"}, {"strconv", "ParseFloat"}, {"strconv", "FormatFloat"}}
	seen := 0
	for _, g := range sources(t) {
		top, _, _ := strings.Cut(g.name, "/")
		if !slices.Contains(trees, top) || strings.HasSuffix(g.name, "_test.go") {
			continue
		}
		seen++
		ast.Inspect(g.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.Ident:
				if n.Name == "float64" || n.Name == "float32" {
					t.Errorf("%s:%d: %s", g.name, g.line(n), n.Name)
				}
			case *ast.SelectorExpr:
				for _, f := range floats {
					if isSelector(n, f[0], f[1]) {
						t.Errorf("%s:%d: %s.%s", g.name, g.line(n), f[0], f[1])
					}
				}
			}
			return true
		})
	}
	if seen == 0 {
		t.Error("no files of the money packages were found")
	}
}

// TestNoPathsOfAMachine keeps the places of whoever wrote a file out of the repository.
func TestNoPathsOfAMachine(t *testing.T) {
	private := regexp.MustCompile(`(^|[^\w.])/(wo` + `rk|ro` + `ot|home/\w+)/`)
	walk(t, func(name string) {
		switch filepath.Ext(name) {
		case ".go", ".md", ".sh", ".yaml", ".yml", ".json", ".service", ".conf", "":
		default:
			return
		}
		text := read(t, name)
		if strings.Contains(text, "\x00") {
			return // a program that somebody built here
		}
		for i, line := range strings.Split(text, "\n") {
			if private.MatchString(line) {
				t.Errorf("%s:%d: a path of one machine: %.80s", name, i+1, line)
			}
		}
	})
}

// isSelector reports whether an expression is pkg.name.
func isSelector(sel *ast.SelectorExpr, pkg, name string) bool {
	x, ok := sel.X.(*ast.Ident)
	return ok && x.Name == pkg && sel.Sel.Name == name
}
