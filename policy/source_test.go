// SPDX-License-Identifier: Apache-2.0

package policy_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/agentd-project/agentd/policy"
)

// constants maps the name of each reason's constant to its code, read from the source.
func constants(t *testing.T) map[string]policy.Reason {
	t.Helper()
	found := map[string]policy.Reason{}
	for _, d := range parse(t, "reason.go").Decls {
		g, ok := d.(*ast.GenDecl)
		if !ok || g.Tok != token.CONST {
			continue
		}
		for _, spec := range g.Specs {
			v := spec.(*ast.ValueSpec)
			found[v.Names[0].Name] = policy.Reason(strings.Trim(v.Values[0].(*ast.BasicLit).Value, `"`))
		}
	}
	return found
}

func parse(t *testing.T, file string) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// reasonsIn returns the reasons that a file of this package names.
func reasonsIn(t *testing.T, file string) (reasons []policy.Reason) {
	t.Helper()
	byName := constants(t)
	ast.Inspect(parse(t, file), func(n ast.Node) bool {
		if id, ok := n.(*ast.Ident); ok {
			if r, ok := byName[id.Name]; ok && !slices.Contains(reasons, r) {
				reasons = append(reasons, r)
			}
		}
		return true
	})
	if len(reasons) == 0 {
		t.Fatalf("%s names no reason", file)
	}
	return reasons
}

func TestReasonsAreOneClosedSet(t *testing.T) {
	infos := policy.Reasons()
	names := constants(t)
	if len(infos) != len(names) {
		t.Errorf("%d reasons are described, %d are declared", len(infos), len(names))
	}
	code := regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	described := map[policy.Reason]bool{}
	for _, info := range infos {
		switch {
		case described[info.Reason]:
			t.Errorf("%q is described twice", info.Reason)
		case !code.MatchString(string(info.Reason)) || !info.Reason.Valid():
			t.Errorf("%q is not a code", info.Reason)
		case !strings.HasSuffix(info.Text, ".") || !strings.HasSuffix(info.Next, "."):
			t.Errorf("%q is not described in sentences", info.Reason)
		}
		described[info.Reason] = true
	}
	for name, r := range names {
		camel := ""
		for _, word := range strings.Split(string(r), "_") {
			camel += strings.ToUpper(word[:1]) + word[1:]
		}
		if r != policy.Allowed && name != "Reason"+camel {
			t.Errorf("constant %s has the code %q", name, r)
		}
		if !described[r] {
			t.Errorf("%q is not described", r)
		}
	}
	if policy.Reason("no_such_reason").Valid() || policy.Reason("").Valid() {
		t.Error("a code outside the set is valid")
	}
}

// mayCall lists who may call what makes or uses the right to pay. A directory
// stands for its package; an empty list is nobody outside the declaring package.
var mayCall = map[string][]string{
	"Grant":                   {"market"},
	"Regrant":                 {"market"},
	"SignTransfer":            {"payments/evm"},
	"SignApprove":             {"payments/evm"},
	"SignLock":                {"payments/evm"},
	"SignRelease":             {"payments/evm"},
	"SignRefund":              {"payments/evm"},
	"SignAuthorization":       {"payments", "payments/evm"},
	"SignCancelAuthorization": {"payments", "payments/evm"},
	"SignCancel":              {"payments/evm"},
	// The simulation is no part of the daemon; it plays the owner who enrols.
	"SignChallenge": {"pairing", "agent", "internal/simulation"},
}

// TestOnlyTheListedCallWhatMovesValue reads every source file of the module, so
// that a new caller needs a change of the list above. It goes by the name of the
// method: what else has one of these names must take another.
func TestOnlyTheListedCallWhatMovesValue(t *testing.T) {
	root := moduleRoot(t)
	files := 0
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if file != root && (strings.HasPrefix(name, ".") || name == "testdata" || name == "node_modules" || name == "sandbox") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		files++
		dir, err := filepath.Rel(root, filepath.Dir(file))
		if err != nil {
			return err
		}
		checkCalls(t, filepath.ToSlash(dir), parse(t, file), path.Join(filepath.ToSlash(dir), name))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if files == 0 {
		t.Fatal("no source was read")
	}
}

func checkCalls(t *testing.T, dir string, f *ast.File, file string) {
	t.Helper()
	called := map[ast.Expr]bool{}
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			called[call.Fun] = true
		}
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		// policy.Grant is the type, unless it is called: then the name of the
		// package hides a guard. A method value is caught as well as a call.
		if id, ok := sel.X.(*ast.Ident); ok && id.Name == "policy" && !called[sel] {
			return true
		}
		if dirs, watched := mayCall[sel.Sel.Name]; watched && !slices.Contains(dirs, dir) {
			t.Errorf("%s uses %s, which only %s may", file, sel.Sel.Name, strings.Join(dirs, " and "))
		}
		return true
	})
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for range 8 {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		dir = filepath.Dir(dir)
	}
	t.Fatal("no go.mod above the test")
	return ""
}
