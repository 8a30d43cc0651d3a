// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/agentd-project/agentd/money"
)

// The types that are not written as their kind suggests.
var (
	configType  = reflect.TypeFor[Config]()
	rawJSON     = reflect.TypeFor[json.RawMessage]()
	selectType  = reflect.TypeFor[Select]()
	amountType  = reflect.TypeFor[money.Amount]()
	stringsType = reflect.TypeFor[map[string]string]()
)

// decode reads a node into v, which holds the default. path is the key's path.
func (l *loader) decode(n *yaml.Node, v reflect.Value, m member, path string) {
	n = target(n)
	if isNull(n) {
		return
	}
	l.remember(path, n)
	t := v.Type()
	switch {
	case t == rawJSON:
		l.decodeJSON(n, v, path)
	case t == selectType:
		l.decodeSelect(n, v, path)
	case t == stringsType:
		l.decodeLabels(n, v, path)
	case t.Kind() == reflect.Pointer:
		fresh := reflect.New(t.Elem())
		applyDefaults(fresh)
		l.decode(n, fresh.Elem(), m, path)
		v.Set(fresh)
	case isSection(t):
		l.decodeSection(n, v, path)
	case isList(t):
		l.decodeList(n, v, m, path)
	default:
		l.decodeScalar(n, v, m, path)
	}
}

// remember notes where a key stands.
func (l *loader) remember(path string, n *yaml.Node) {
	if env, ok := l.origin[n]; ok {
		l.at[path] = place{source: env}
		return
	}
	l.at[path] = place{source: l.name, line: n.Line}
}

func (l *loader) decodeSection(n *yaml.Node, v reflect.Value, path string) {
	names := memberNames(v.Type())
	if n.Kind != yaml.MappingNode {
		l.fault(path, describe(n), "a mapping of "+list(names), "")
		l.broken[path] = true
		return
	}
	seen := make(map[string]bool, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		child := key.Value
		if path != "" {
			child = path + "." + key.Value
		}
		m, known := memberOf(v.Type(), key.Value)
		switch {
		case !known:
			l.remember(child, key)
			l.fault(child, "an unknown key", list(names), didYouMean(key.Value, names))
		case seen[m.name]:
			l.remember(child, key)
			l.fault(child, "the key a second time", "each key once", "")
		default:
			seen[m.name] = true
			l.decode(value, v.Field(m.index), m, child)
		}
	}
}

func memberOf(section reflect.Type, name string) (member, bool) {
	for _, m := range members(section) {
		if m.name == name {
			return m, true
		}
	}
	return member{}, false
}

func (l *loader) decodeList(n *yaml.Node, v reflect.Value, m member, path string) {
	if n.Kind != yaml.SequenceNode {
		l.fault(path, describe(n), "a list", "")
		l.broken[path] = true
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, child := range n.Content {
		at := path + "[" + strconv.Itoa(i) + "]"
		if isNull(target(child)) {
			l.remember(at, child)
			l.fault(at, "nothing", "an entry", "")
			continue
		}
		applyDefaults(items.Index(i).Addr())
		l.decode(child, items.Index(i), m, at)
	}
	v.Set(items)
}

func (l *loader) decodeScalar(n *yaml.Node, v reflect.Value, m member, path string) {
	allowed := allowedText(v.Type(), m)
	if n.Kind != yaml.ScalarNode {
		l.fault(path, describe(n), allowed, "")
		return
	}
	text := showVariables(n.Value)
	if m.as != "" {
		l.decodePlace(text, v, m, path)
		return
	}
	if err := parseScalar(text, v, m); err != nil {
		l.fault(path, quote(text), allowed, "")
	}
}

// decodeLabels reads a mapping of texts.
func (l *loader) decodeLabels(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		l.fault(path, describe(n), "a mapping of texts", "")
		return
	}
	labels := make(map[string]string, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i].Value, target(n.Content[i+1])
		at := path + "." + key
		l.remember(at, value)
		_, twice := labels[key]
		switch {
		case twice:
			l.fault(at, "the key a second time", "each key once", "")
		case value.Kind != yaml.ScalarNode || isNull(value):
			l.fault(at, describe(value), "a text", "")
		default:
			labels[key] = showVariables(value.Value)
		}
	}
	v.Set(reflect.ValueOf(labels))
}

// decodeSelect reads cheapest, best-score or a mapping of weights.
func (l *loader) decodeSelect(n *yaml.Node, v reflect.Value, path string) {
	const allowed = "cheapest, best-score, or {price: WEIGHT, score: WEIGHT} with decimal weights from 0 to 1000, not both 0"
	if n.Kind == yaml.ScalarNode {
		switch mode := SelectMode(n.Value); mode {
		case SelectCheapest, SelectBestScore:
			v.Set(reflect.ValueOf(Select{Mode: mode}))
		default:
			l.fault(path, describe(n), allowed, didYouMean(n.Value, []string{string(SelectCheapest), string(SelectBestScore)}))
		}
		return
	}
	if n.Kind != yaml.MappingNode {
		l.fault(path, describe(n), allowed, "")
		return
	}
	chosen := Select{Mode: SelectWeighted}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], target(n.Content[i+1])
		at := path + "." + key.Value
		l.remember(at, value)
		weight, err := money.ParseValue(value.Value)
		switch {
		case key.Value != "price" && key.Value != "score":
			l.fault(at, "an unknown key", "price, score", "")
		case value.Kind != yaml.ScalarNode || err != nil || weight > 1000_000000:
			l.fault(at, describe(value), "a decimal weight from 0 to 1000 with at most 6 digits after the point", "")
		case key.Value == "price":
			chosen.Price = int64(weight)
		default:
			chosen.Score = int64(weight)
		}
	}
	if chosen.Price == 0 && chosen.Score == 0 {
		l.fault(path, "no weight above 0", allowed, "")
	}
	v.Set(reflect.ValueOf(chosen))
}

// maxDepth bounds the nesting of what is passed on as JSON.
const maxDepth = 32

// decodeJSON reads any mapping as the JSON object that the provider gets.
func (l *loader) decodeJSON(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.MappingNode {
		l.fault(path, describe(n), "a mapping, sent as a JSON object", "")
		return
	}
	text, err := appendJSON(nil, n, 0)
	if err != nil {
		l.fault(path, err.Error(), "what JSON can say, at most 32 deep", "")
		return
	}
	v.SetBytes(text)
}

// appendJSON writes a node as JSON. Numbers keep their text: a price in an
// input must not pass through a float.
func appendJSON(out []byte, n *yaml.Node, depth int) ([]byte, error) {
	n = target(n)
	if depth > maxDepth {
		return nil, fmt.Errorf("more than %d levels", maxDepth)
	}
	var err error
	switch n.Kind {
	case yaml.MappingNode:
		out = append(out, '{')
		seen := make(map[string]bool, len(n.Content)/2)
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := showVariables(n.Content[i].Value)
			if seen[key] {
				return nil, fmt.Errorf("the key %s a second time", quote(key))
			}
			seen[key] = true
			if i > 0 {
				out = append(out, ',')
			}
			out = append(appendText(out, key), ':')
			if out, err = appendJSON(out, n.Content[i+1], depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, '}'), nil
	case yaml.SequenceNode:
		out = append(out, '[')
		for i, child := range n.Content {
			if i > 0 {
				out = append(out, ',')
			}
			if out, err = appendJSON(out, child, depth+1); err != nil {
				return nil, err
			}
		}
		return append(out, ']'), nil
	default:
		return appendJSONScalar(out, n)
	}
}

func appendJSONScalar(out []byte, n *yaml.Node) ([]byte, error) {
	switch n.ShortTag() {
	case "!!null":
		return append(out, "null"...), nil
	case "!!bool":
		var b bool
		if err := n.Decode(&b); err != nil {
			return nil, fmt.Errorf("%s", quote(n.Value))
		}
		return strconv.AppendBool(out, b), nil
	case "!!int", "!!float":
		if !json.Valid([]byte(n.Value)) {
			return nil, fmt.Errorf("%s, which is no JSON number", quote(n.Value))
		}
		return append(out, n.Value...), nil
	default:
		return appendText(out, showVariables(n.Value)), nil
	}
}

func appendText(out []byte, text string) []byte {
	quoted, _ := json.Marshal(text) // a string always marshals
	return append(out, quoted...)
}
