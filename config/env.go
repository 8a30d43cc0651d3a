// SPDX-License-Identifier: Apache-2.0

package config

import (
	"cmp"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// The overlay is written here and not with an environment library: a variable is
// put into the YAML tree before anything is decoded, so that a value means the
// same, and fails with the same words, wherever it came from; and lists are
// addressed by index (AGENTD_CHAINS_0_RPC) on top of what the file has.

const envPrefix = "AGENTD_"

// envConfig is the one AGENTD_ name that is no key: the command line reads it
// as the path of the file.
const envConfig = envPrefix + "CONFIG"

// setting is one environment variable and the key it stands for.
type setting struct {
	env, value string
	steps      []step
}

// environment splits KEY=value pairs; a later pair wins.
func environment(environ []string) map[string]string {
	env := make(map[string]string, len(environ))
	for _, pair := range environ {
		if key, value, ok := strings.Cut(pair, "="); ok {
			env[key] = value
		}
	}
	return env
}

// overlay puts every AGENTD_ variable into the tree.
func (l *loader) overlay(root *yaml.Node) {
	var settings []setting
	for name, value := range l.env {
		rest, ours := strings.CutPrefix(name, envPrefix)
		if !ours || name == envConfig {
			continue
		}
		steps, ok := resolve(configType, rest)
		if !ok {
			l.unknownEnv(name)
			continue
		}
		settings = append(settings, setting{env: name, value: value, steps: steps})
	}
	slices.SortFunc(settings, func(a, b setting) int {
		return cmp.Or(slices.CompareFunc(a.steps, b.steps, compareSteps), cmp.Compare(a.env, b.env))
	})
	for _, s := range settings {
		l.put(root, s)
	}
}

// compareSteps sorts sections before their members and indexes by number.
func compareSteps(a, b step) int {
	return cmp.Or(cmp.Compare(a.name, b.name), cmp.Compare(a.index, b.index))
}

var serviceLink = regexp.MustCompile(`^AGENTD(_\w+)?_(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP)(_(PROTO|PORT|ADDR))?)?)$`)

func (l *loader) unknownEnv(name string) {
	var known []string
	for _, path := range KeyPaths() {
		known = append(known, EnvName(path))
	}
	digits := regexp.MustCompile(`_\d+`)
	hint := didYouMean(digits.ReplaceAllString(name, "_0"), known)
	if serviceLink.MatchString(name) {
		hint = "Kubernetes sets it for a service of that name: set enableServiceLinks: false on the pod"
	}
	l.faults = append(l.faults, Fault{Source: name, Found: "an unknown name", Allowed: "AGENTD_ and the path of a key", Hint: hint})
}

// put sets one value in the tree and makes the sections on its way.
func (l *loader) put(root *yaml.Node, s setting) {
	at := root
	for i, st := range s.steps {
		last := i == len(s.steps)-1
		slot := l.slot(at, s, i)
		if slot == nil {
			return
		}
		if last {
			*slot = l.valueNode(s, st.kind)
			return
		}
		next := target(*slot)
		if isNull(next) {
			next = &yaml.Node{Kind: kindOf(st.kind)}
			l.mark(next, s.env)
		} else if (*slot).Kind == yaml.AliasNode {
			next = clone(next) // the other users of the anchor keep their value
		}
		*slot = next
		at = next
	}
}

// slot returns the place of a step in its parent, new if need be; nil if the
// parent is of another kind, which decoding will report, or the index leaves a gap.
func (l *loader) slot(parent *yaml.Node, s setting, i int) **yaml.Node {
	st := s.steps[i]
	switch {
	case st.name != "" && parent.Kind == yaml.MappingNode:
		for k := 0; k+1 < len(parent.Content); k += 2 {
			if parent.Content[k].Value == st.name {
				return &parent.Content[k+1]
			}
		}
		key, value := &yaml.Node{Kind: yaml.ScalarNode, Value: st.name}, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		l.mark(key, s.env)
		parent.Content = append(parent.Content, key, value)
		return &parent.Content[len(parent.Content)-1]
	case st.name == "" && parent.Kind == yaml.SequenceNode:
		if st.index > len(parent.Content) {
			l.faults = append(l.faults, Fault{
				Source: s.env, Key: pathOf(s.steps), Found: fmt.Sprintf("index %d", st.index),
				Allowed: fmt.Sprintf("an index from 0 to %d, the first that is free", len(parent.Content)),
			})
			return nil
		}
		if st.index == len(parent.Content) {
			parent.Content = append(parent.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"})
		}
		return &parent.Content[st.index]
	default:
		return nil
	}
}

// valueNode turns the text of a variable into a node: YAML for what begins like
// a mapping or a list, comma-separated words for lists and labels, else a scalar.
func (l *loader) valueNode(s setting, kind reflect.Type) *yaml.Node {
	text := strings.TrimSpace(s.value)
	var n *yaml.Node
	structured := isSection(kind) || isList(kind) || kind.Kind() == reflect.Map || kind == rawJSON || kind == selectType
	switch {
	case structured && (strings.HasPrefix(text, "{") || strings.HasPrefix(text, "[")):
		parsed, err := parseYAML(s.value)
		if err != nil {
			l.faults = append(l.faults, Fault{Source: s.env, Key: pathOf(s.steps), Found: strings.TrimPrefix(err.Error(), "yaml: "), Allowed: "YAML or JSON"})
			parsed = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}
		}
		n = parsed
	case isList(kind) && !isSection(kind.Elem()):
		n = &yaml.Node{Kind: yaml.SequenceNode}
		for word := range strings.SplitSeq(text, ",") {
			if word = strings.TrimSpace(word); word != "" {
				n.Content = append(n.Content, scalarNode(word))
			}
		}
	case kind.Kind() == reflect.Map:
		n = &yaml.Node{Kind: yaml.MappingNode}
		for pair := range strings.SplitSeq(text, ",") {
			if key, value, ok := strings.Cut(pair, "="); ok {
				n.Content = append(n.Content, scalarNode(strings.TrimSpace(key)), scalarNode(strings.TrimSpace(value)))
			} else if strings.TrimSpace(pair) != "" {
				n = scalarNode(s.value)
				break
			}
		}
	default:
		n = scalarNode(s.value)
	}
	l.mark(n, s.env)
	return n
}

func scalarNode(text string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
}

func kindOf(t reflect.Type) yaml.Kind {
	if isList(t) {
		return yaml.SequenceNode
	}
	return yaml.MappingNode
}

// mark notes that a node, with all below it, came from a variable.
func (l *loader) mark(n *yaml.Node, env string) {
	l.origin[n] = env
	for _, child := range n.Content {
		l.mark(child, env)
	}
}

func clone(n *yaml.Node) *yaml.Node {
	c := *n
	c.Anchor = ""
	c.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		c.Content[i] = clone(target(child))
	}
	return &c
}
