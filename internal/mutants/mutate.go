// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strings"
)

// mutant is one fault in one file.
type mutant struct {
	file string
	// name says what was changed, without a line number, so that it stays the same
	// when lines are added above.
	name string
	line int
	text []byte // the whole file with the fault
}

// flips are the replacements of each operator: the bound moved by one, and the
// opposite.
var flips = map[token.Token][]token.Token{
	token.LSS: {token.LEQ, token.GEQ}, token.LEQ: {token.LSS, token.GTR},
	token.GTR: {token.GEQ, token.LEQ}, token.GEQ: {token.GTR, token.LSS},
	token.EQL: {token.NEQ}, token.NEQ: {token.EQL}, token.LAND: {token.LOR}, token.LOR: {token.LAND},
}

// sqlFlips are the same for statements in string literals.
var sqlFlips = [][2]string{{" >= ", " > "}, {" < ", " <= "}, {" <= ", " < "}, {" > ", " >= "}}

// mutator collects the mutants of a file.
type mutator struct {
	file   string
	source []byte
	set    *token.FileSet
	within string
	found  []mutant
}

// mutantsOf returns every mutant of a file; only names the functions to change,
// empty is all.
func mutantsOf(file string, only []string) ([]mutant, error) {
	source, err := os.ReadFile(file) //nolint:gosec // a file of this repository
	if err != nil {
		return nil, err
	}
	m := &mutator{file: file, source: source, set: token.NewFileSet()}
	tree, err := parser.ParseFile(m.set, file, source, 0)
	if err != nil {
		return nil, err
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || len(only) > 0 && !slices.Contains(only, f.Name.Name) {
			continue
		}
		m.within = f.Name.Name
		ast.Inspect(f.Body, m.visit)
	}
	return m.found, nil
}

func (m *mutator) offset(p token.Pos) int { return m.set.Position(p).Offset }

func (m *mutator) original(n ast.Node) string {
	return strings.Join(strings.Fields(string(m.source[m.offset(n.Pos()):m.offset(n.End())])), " ")
}

// replace adds the mutant in which the bytes between two positions are others.
func (m *mutator) replace(from, to token.Pos, with, name string) {
	text := slices.Concat(m.source[:m.offset(from)], []byte(with), m.source[m.offset(to):])
	m.found = append(m.found, mutant{file: m.file, name: m.within + ": " + name, line: m.set.Position(from).Line, text: text})
}

func (m *mutator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		for _, other := range flips[n.Op] {
			end := n.OpPos + token.Pos(len(n.Op.String()))
			m.replace(n.OpPos, end, other.String(), fmt.Sprintf("%s with %s for %s", m.original(n), other, n.Op))
		}
	case *ast.IfStmt:
		if isErrorCheck(n.Cond) || !returns(n.Body.List) {
			break
		}
		m.drop(n.Cond)
	case *ast.SwitchStmt:
		if n.Tag != nil {
			break
		}
		for _, c := range n.Body.List {
			clause, ok := c.(*ast.CaseClause)
			if !ok || !returns(clause.Body) {
				continue
			}
			for _, condition := range clause.List {
				if !isErrorCheck(condition) {
					m.drop(condition)
				}
			}
		}
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			m.literal(n)
		}
	}
	return true
}

// drop makes a condition never hold, and leaves its variables used.
func (m *mutator) drop(condition ast.Expr) {
	text := string(m.source[m.offset(condition.Pos()):m.offset(condition.End())])
	m.replace(condition.Pos(), condition.End(), "false && ("+text+")", "dropped: "+m.original(condition))
}

func (m *mutator) literal(n *ast.BasicLit) {
	text := m.source[m.offset(n.Pos()):m.offset(n.End())]
	if !bytes.Contains(text, []byte("SELECT")) && !bytes.Contains(text, []byte("UPDATE")) && !bytes.Contains(text, []byte("INSERT")) {
		return
	}
	for _, flip := range sqlFlips {
		for at, nth := 0, 1; ; nth++ {
			i := bytes.Index(text[at:], []byte(flip[0]))
			if i < 0 {
				break
			}
			from := n.Pos() + token.Pos(at+i)
			m.replace(from, from+token.Pos(len(flip[0])), flip[1], fmt.Sprintf("SQL%swith%sfor%s(%d)", " ", flip[1], flip[0], nth))
			at += i + len(flip[0])
		}
	}
}

// isErrorCheck says whether a condition only hands an error on: a test of every
// fault of the disk is not what is measured here.
func isErrorCheck(e ast.Expr) bool {
	b, ok := e.(*ast.BinaryExpr)
	if !ok || b.Op != token.NEQ {
		return false
	}
	x, isX := b.X.(*ast.Ident)
	y, isY := b.Y.(*ast.Ident)
	return isX && isY && x.Name == "err" && y.Name == "nil"
}

func returns(body []ast.Stmt) bool {
	if len(body) == 0 {
		return false
	}
	_, ok := body[len(body)-1].(*ast.ReturnStmt)
	return ok
}
