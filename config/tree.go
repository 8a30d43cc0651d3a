// SPDX-License-Identifier: Apache-2.0

package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the configuration file.
const maxFile = 4 << 20

// A variable in braces cannot stand in a YAML flow mapping, and that is where
// owners write it: {passphrase_file: ${CREDENTIALS_DIRECTORY}/agent}. Before
// parsing, the braces become two runes of the private use area, and a scalar
// gets them back when it is read.
const (
	varOpen  = "\uE000"
	varClose = "\uE001"
)

var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

func hideVariables(text string) string {
	return variable.ReplaceAllString(text, varOpen+"${1}"+varClose)
}

func showVariables(text string) string {
	return strings.NewReplacer(varOpen, "${", varClose, "}").Replace(text)
}

// readFile reads the file into a tree; the tree is an empty mapping if there is
// no file or if it cannot be read.
func (l *loader) readFile(path string) *yaml.Node {
	empty := &yaml.Node{Kind: yaml.MappingNode, Line: 1}
	if path == "" {
		return empty
	}
	f, err := os.Open(path) //nolint:gosec // the path is the operator's
	if err != nil {
		l.fault("", reasonOf(err), "a YAML file that can be read", "write one with agentd init, or name another with --config")
		return empty
	}
	defer func() { _ = f.Close() }()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		l.fault("", reasonOf(err), "a YAML file that can be read", "")
		return empty
	case len(data) > maxFile:
		l.fault("", "more than 4 MiB", "a file of at most 4 MiB", "")
		return empty
	}
	root, err := parseYAML(string(data))
	if err != nil {
		l.syntax(err)
		return empty
	}
	if root.Kind != yaml.MappingNode {
		l.faults = append(l.faults, Fault{Source: l.name, Line: root.Line, Found: describe(root), Allowed: "a mapping of " + list(memberNames(configType))})
		return empty
	}
	return root
}

// parseYAML returns the root of the one document in text; an empty text is an
// empty mapping.
func parseYAML(text string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader([]byte(hideVariables(text))))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return &yaml.Node{Kind: yaml.MappingNode, Line: 1}, nil
		}
		return nil, err
	}
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, err
		}
		return nil, fmt.Errorf("line %d: a second document", second.Line)
	}
	root := target(doc.Content[0])
	if isNull(root) {
		return &yaml.Node{Kind: yaml.MappingNode, Line: root.Line}, nil
	}
	return root, nil
}

var yamlLine = regexp.MustCompile(`line (\d+): (.*)`)

// syntax records the parser's one error, with its line if it has one.
func (l *loader) syntax(err error) {
	fault := Fault{Source: l.name, Found: strings.TrimPrefix(err.Error(), "yaml: "), Allowed: "YAML 1.2, one document"}
	if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
		fault.Line, _ = strconv.Atoi(m[1])
		fault.Found = m[2]
	}
	l.faults = append(l.faults, fault)
}

// target follows an alias to what it names.
func target(n *yaml.Node) *yaml.Node {
	for range 8 {
		if n.Kind != yaml.AliasNode || n.Alias == nil {
			break
		}
		n = n.Alias
	}
	return n
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// describe says what a node is, for faults.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if isNull(n) {
			return "nothing"
		}
		return quote(showVariables(n.Value))
	default:
		return "something unreadable"
	}
}

// reasonOf says why a file operation failed, without the path that the fault
// names already.
func reasonOf(err error) string {
	var pathErr *os.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}
