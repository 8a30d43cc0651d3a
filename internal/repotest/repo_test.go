// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/agentd-project/agentd"

// root is the repository's top folder as seen from this package.
var root = filepath.Join("..", "..")

// goPackage is what these tests need of `go list -json`.
type goPackage struct {
	ImportPath string
	Dir        string
	Doc        string
	GoFiles    []string
	Imports    []string
}

// path returns the package's path inside the module, "" for the top folder.
func (p goPackage) path() string {
	return strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
}

// goRun runs the go command as the daemon is built: for Linux, without cgo.
func goRun(t *testing.T, args ...string) []byte {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	return out
}

var (
	packagesOnce sync.Once
	packagesOut  []goPackage
)

// packages lists the module's packages.
func packages(t *testing.T) []goPackage {
	t.Helper()
	packagesOnce.Do(func() {
		dec := json.NewDecoder(bytes.NewReader(goRun(t, "list", "-json=ImportPath,Dir,Doc,GoFiles,Imports", "./...")))
		for {
			var p goPackage
			err := dec.Decode(&p)
			if errors.Is(err, io.EOF) {
				return
			}
			if err != nil {
				t.Fatalf("go list -json: %v", err)
			}
			packagesOut = append(packagesOut, p)
		}
	})
	if len(packagesOut) == 0 {
		t.Fatal("the module has no packages")
	}
	return packagesOut
}

// walk calls visit for every file of the work tree, with its path relative to the top and with forward slashes. Folders that
// are not part of the project are left out.
func walk(t *testing.T, visit func(name string)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			switch name := d.Name(); {
			case name == ".git", name == "node_modules", name == "dist", strings.HasPrefix(name, ".venv"):
				return fs.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		visit(filepath.ToSlash(name))
		return nil
	})
	if err != nil {
		t.Fatalf("walk the repository: %v", err)
	}
}

// goFile is one parsed source file.
type goFile struct {
	name string // relative to the top
	fset *token.FileSet
	file *ast.File
}

// line returns the line of a node.
func (g goFile) line(n ast.Node) int { return g.fset.Position(n.Pos()).Line }

var (
	sourcesOnce sync.Once
	sourcesOut  []goFile
)

// sources parses every Go file of the repository, tests included.
func sources(t *testing.T) []goFile {
	t.Helper()
	sourcesOnce.Do(func() {
		walk(t, func(name string) {
			if !strings.HasSuffix(name, ".go") || strings.Contains(name, "testdata/") {
				return
			}
			fset := token.NewFileSet()
			file, err := parser.ParseFile(fset, filepath.Join(root, name), nil, parser.ParseComments)
			if err != nil {
				t.Errorf("parse: %v", err)
				return
			}
			sourcesOut = append(sourcesOut, goFile{name: name, fset: fset, file: file})
		})
	})
	return sourcesOut
}

// read returns a file of the repository as text.
func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
	if err != nil {
		t.Fatalf("read: %v", err)
	}
	return string(data)
}
