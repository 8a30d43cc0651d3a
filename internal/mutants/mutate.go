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

// chosen is the variable that says which mutant a test binary is.
const chosen = "chosenMutant"

// site is a place that can be faulty. write returns its text, given the text of
// the sites inside it.
type site struct {
	from, to int
	write    func(inner func(from, to int) string) string
}

// mutator writes a file in which every mutant is present and one is chosen when
// the tests start: so the tests are built once.
type mutator struct {
	file   string
	source []byte
	set    *token.FileSet
	within string
	sites  []site
	first  int
	found  []mutant
}

// instrument returns the file with its mutants, numbered from first; only names
// the functions to change, empty is all.
func instrument(file string, only []string, first int) (text string, found []mutant, err error) {
	source, err := os.ReadFile(file) //nolint:gosec // a file of this repository
	if err != nil {
		return "", nil, err
	}
	m := &mutator{file: file, source: source, set: token.NewFileSet(), first: first}
	tree, err := parser.ParseFile(m.set, file, source, 0)
	if err != nil {
		return "", nil, err
	}
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if !ok || f.Body == nil || len(only) > 0 && !slices.Contains(only, f.Name.Name) {
			continue
		}
		m.within = f.Name.Name
		ast.Inspect(f.Body, m.visit)
	}
	// Of two sites with the same text the one that was found first is the outer one.
	slices.SortStableFunc(m.sites, func(a, b site) int {
		if a.from != b.from {
			return a.from - b.from
		}
		return b.to - a.to
	})
	return m.render(0, len(source), m.sites), m.found, nil
}

// render returns a part of the source with its sites written out.
func (m *mutator) render(from, to int, sites []site) string {
	var b strings.Builder
	at := from
	for i := 0; i < len(sites); {
		s := sites[i]
		end := i + 1
		for end < len(sites) && sites[end].from < s.to {
			end++
		}
		if s.from < at || s.to > to {
			i++
			continue
		}
		inside := sites[i+1 : end]
		b.Write(m.source[at:s.from])
		b.WriteString(s.write(func(from, to int) string {
			var part []site
			for _, one := range inside {
				if one.from >= from && one.to <= to {
					part = append(part, one)
				}
			}
			return m.render(from, to, part)
		}))
		at, i = s.to, end
	}
	b.Write(m.source[at:to])
	return b.String()
}

func (m *mutator) offset(p token.Pos) int { return m.set.Position(p).Offset }

func (m *mutator) original(n ast.Node) string {
	return strings.Join(strings.Fields(string(m.source[m.offset(n.Pos()):m.offset(n.End())])), " ")
}

// number names a mutant and returns its number.
func (m *mutator) number(at token.Pos, name string) int {
	m.found = append(m.found, mutant{file: m.file, name: m.within + ": " + name, line: m.set.Position(at).Line})
	return m.first + len(m.found) - 1
}

func (m *mutator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.BinaryExpr:
		m.binary(n)
	case *ast.IfStmt:
		if !isErrorCheck(n.Cond) && returns(n.Body.List) {
			m.drop(n.Cond)
		}
	case *ast.SwitchStmt:
		if n.Tag == nil {
			m.cases(n)
		}
	case *ast.BasicLit:
		if n.Kind == token.STRING {
			m.literal(n)
		}
	}
	return true
}

func (m *mutator) cases(n *ast.SwitchStmt) {
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
}

// binary flips an operator.
func (m *mutator) binary(n *ast.BinaryExpr) {
	others := flips[n.Op]
	if len(others) == 0 {
		return
	}
	var numbers []int
	for _, other := range others {
		numbers = append(numbers, m.number(n.OpPos, fmt.Sprintf("%s with %s for %s", m.original(n), other, n.Op)))
	}
	x, y := [2]int{m.offset(n.X.Pos()), m.offset(n.X.End())}, [2]int{m.offset(n.Y.Pos()), m.offset(n.Y.End())}
	m.sites = append(m.sites, site{m.offset(n.Pos()), m.offset(n.End()), func(inner func(from, to int) string) string {
		left, right := inner(x[0], x[1]), inner(y[0], y[1])
		text := "func() bool { switch " + chosen + " {"
		for i, other := range others {
			text += fmt.Sprintf(" case %d: return %s %s %s;", numbers[i], left, other, right)
		}
		return text + fmt.Sprintf(" }; return %s %s %s }()", left, n.Op, right)
	}})
}

// drop makes a condition never hold.
func (m *mutator) drop(condition ast.Expr) {
	number := m.number(condition.Pos(), "dropped: "+m.original(condition))
	from, to := m.offset(condition.Pos()), m.offset(condition.End())
	// Its own site lies around the condition's operator, so it comes first.
	m.sites = append(m.sites, site{from, to, func(inner func(from, to int) string) string {
		return fmt.Sprintf("(%s != %d && (%s))", chosen, number, inner(from, to))
	}})
}

// literal moves a bound in a statement.
func (m *mutator) literal(n *ast.BasicLit) {
	from, to := m.offset(n.Pos()), m.offset(n.End())
	text := m.source[from:to]
	if !bytes.Contains(text, []byte("SELECT")) && !bytes.Contains(text, []byte("UPDATE")) && !bytes.Contains(text, []byte("INSERT")) {
		return
	}
	choice := ""
	for _, flip := range sqlFlips {
		for at, nth := 0, 1; ; nth++ {
			i := bytes.Index(text[at:], []byte(flip[0]))
			if i < 0 {
				break
			}
			other := slices.Concat(text[:at+i], []byte(flip[1]), text[at+i+len(flip[0]):])
			number := m.number(n.Pos(), fmt.Sprintf("SQL with%sfor%s(%d)", flip[1], flip[0], nth))
			choice += fmt.Sprintf(" case %d: return %s;", number, other)
			at += i + len(flip[0])
		}
	}
	if choice != "" {
		m.sites = append(m.sites, site{from, to, func(func(from, to int) string) string {
			return "func() string { switch " + chosen + " {" + choice + " }; return " + string(text) + " }()"
		}})
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
