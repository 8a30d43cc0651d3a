// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
)

// member is one key of a section.
type member struct {
	name  string
	index int
	kind  reflect.Type
	// as says what a text is: path, file, secret, url; empty for other texts.
	as string
	// unit is the number of decimals of a money.Amount.
	unit string
}

// members returns the keys of a section in the order of its fields.
func members(section reflect.Type) []member {
	var all []member
	for i := range section.NumField() {
		f := section.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		all = append(all, member{name: name, index: i, kind: f.Type, as: f.Tag.Get("as"), unit: f.Tag.Get("unit")})
	}
	return all
}

func memberNames(section reflect.Type) []string {
	var names []string
	for _, m := range members(section) {
		names = append(names, m.name)
	}
	return names
}

// isSection says whether a type is written as a mapping of known keys.
func isSection(t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct && len(members(t)) > 0
}

// isList says whether a type is written as a sequence.
func isList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]()
}

// keyPaths lists every key below a type, "[]" standing for an index.
func keyPaths(t reflect.Type, path string) []string {
	if t.Kind() == reflect.Pointer && isSection(t) {
		t = t.Elem()
	}
	switch {
	case isSection(t):
		var paths []string
		for _, m := range members(t) {
			p := m.name
			if path != "" {
				p = path + "." + m.name
			}
			paths = append(paths, keyPaths(m.kind, p)...)
		}
		return paths
	case isList(t) && isSection(t.Elem()):
		return keyPaths(t.Elem(), path+"[]")
	default:
		return []string{path}
	}
}

// KeyPaths lists every key of the configuration by its path; "[]" stands for the
// index of a list.
func KeyPaths() []string { return keyPaths(reflect.TypeFor[Config](), "") }

// EnvName returns the environment variable of a key path: policy.per_purchase
// is AGENTD_POLICY_PER_PURCHASE, chains[0].rpc is AGENTD_CHAINS_0_RPC.
func EnvName(path string) string {
	path = strings.NewReplacer("[]", ".0", "[", ".", "]", "", ".", "_").Replace(strings.ReplaceAll(path, "[]", "[0]"))
	return envPrefix + strings.ToUpper(strings.ReplaceAll(path, ".", "_"))
}

// step is one part of a resolved key path: a member or an index.
type step struct {
	name  string
	index int
	// kind is the type of what the step leads to, as its tag.
	kind reflect.Type
}

// resolve finds the key that an environment name (without its prefix) stands
// for. Keys hold underscores too, so it tries every way to cut the name; two
// keys with the same name are excluded by a test.
func resolve(t reflect.Type, rest string) ([]step, bool) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch {
	case isSection(t):
		for _, m := range members(t) {
			upper := strings.ToUpper(m.name)
			tail, ok := strings.CutPrefix(rest, upper)
			if !ok {
				continue
			}
			here := step{name: m.name, kind: m.kind}
			if steps, ok := resolveTail(here, tail); ok {
				return steps, true
			}
		}
	case isList(t):
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		index, err := strconv.Atoi(rest[:digits])
		if err != nil {
			return nil, false
		}
		return resolveTail(step{index: index, kind: t.Elem()}, rest[digits:])
	}
	return nil, false
}

func resolveTail(here step, tail string) ([]step, bool) {
	if tail == "" {
		return []step{here}, true
	}
	below, ok := strings.CutPrefix(tail, "_")
	if !ok {
		return nil, false
	}
	steps, ok := resolve(here.kind, below)
	return append([]step{here}, steps...), ok
}

// pathOf spells resolved steps as a key path.
func pathOf(steps []step) string {
	var b strings.Builder
	for _, s := range steps {
		switch {
		case s.name == "":
			b.WriteString("[" + strconv.Itoa(s.index) + "]")
		case b.Len() > 0:
			b.WriteString("." + s.name)
		default:
			b.WriteString(s.name)
		}
	}
	return b.String()
}
