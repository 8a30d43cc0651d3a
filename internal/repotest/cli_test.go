// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"go/ast"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"unicode"
)

// TestCommandLineIsDocumented reads the structs that are the command line and wants each command and flag in the reference.
func TestCommandLineIsDocumented(t *testing.T) {
	const page = "docs/reference/cli.md"
	text := read(t, page)
	commands, flags := 0, 0
	for _, g := range sources(t) {
		if !strings.HasPrefix(g.name, "cmd/agentd/") || strings.HasSuffix(g.name, "_test.go") {
			continue
		}
		ast.Inspect(g.file, func(n ast.Node) bool {
			field, ok := n.(*ast.Field)
			if !ok || field.Tag == nil || len(field.Names) == 0 {
				return true
			}
			raw, err := strconv.Unquote(field.Tag.Value)
			if err != nil {
				return true
			}
			tag := reflect.StructTag(raw)
			if _, hasHelp := tag.Lookup("help"); !hasHelp {
				return true
			}
			name := tag.Get("name")
			if name == "" {
				name = kebab(field.Names[0].Name)
			}
			switch _, isCommand := tag.Lookup("cmd"); {
			case isCommand:
				commands++
				if !strings.Contains(text, name) {
					t.Errorf("%s lacks the command %s of %s:%d", page, name, g.name, g.line(field))
				}
			case hasTag(tag, "arg"):
			default:
				flags++
				if !strings.Contains(text, "--"+name) {
					t.Errorf("%s lacks the flag --%s of %s:%d", page, name, g.name, g.line(field))
				}
			}
			return true
		})
	}
	if commands == 0 || flags == 0 {
		t.Errorf("found %d commands and %d flags: the structs were not read", commands, flags)
	}
}

func hasTag(tag reflect.StructTag, key string) bool {
	_, ok := tag.Lookup(key)
	return ok
}

// kebab spells a field's name as kong does: MaxPrice is max-price, OwnerID owner-id.
func kebab(name string) string {
	var b strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
