// SPDX-License-Identifier: Apache-2.0

package config

import (
	"encoding/hex"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// loader carries one call of Load.
type loader struct {
	// name is how the file is named in faults, file where it is.
	name, file string
	env        map[string]string
	cfg        *Config
	faults     Faults
	// at is where each key stands that stands somewhere.
	at map[string]place
	// broken are sections and lists that are something else.
	broken map[string]bool
	// origin names the variable that a node of the tree came from.
	origin map[*yaml.Node]string
	// urls are the keys of all URLs that were read.
	urls []string
}

// Load reads the configuration from a file and an environment of KEY=value
// pairs; an empty path reads the environment only. AGENTD_ variables win over
// the file, the file over PEAQOS_ variables, and those over defaults. The error
// is [Faults], all of them, and then there is no Config.
func Load(path string, environ []string) (*Config, error) {
	l := newLoader(path, environ)
	l.read()
	l.finally()
	if len(l.faults) > 0 {
		l.faults.sort()
		return nil, l.faults
	}
	return l.cfg, nil
}

func newLoader(path string, environ []string) *loader {
	l := &loader{
		name: path, file: path, env: environment(environ),
		at: make(map[string]place), broken: make(map[string]bool), origin: make(map[*yaml.Node]string),
	}
	if path == "" {
		l.name = "environment"
	} else if abs, err := filepath.Abs(path); err == nil {
		l.file = abs
	}
	l.cfg = defaults(l.env)
	return l
}

// read fills the configuration and checks it; an unreadable file ends it early,
// since everything else that it would say follows from that.
func (l *loader) read() {
	root := l.readFile(l.file)
	if len(l.faults) > 0 || !l.bounded(root) {
		return
	}
	l.overlay(root)
	l.peaqos(root)
	l.decodeSection(root, reflect.ValueOf(l.cfg).Elem(), "")
	l.complete()
	l.validate()
}

// bounded refuses a tree whose aliases expand without end.
func (l *loader) bounded(root *yaml.Node) bool {
	const most = 100_000
	count := 0
	var walk func(n *yaml.Node, depth int) bool
	walk = func(n *yaml.Node, depth int) bool {
		n = target(n)
		if count++; count > most || depth > 2*maxDepth {
			return false
		}
		for _, child := range n.Content {
			if !walk(child, depth+1) {
				return false
			}
		}
		return true
	}
	if walk(root, 0) {
		return true
	}
	l.fault("", "nested or repeated too far", "at most 64 levels and 100000 values, aliases counted each time", "")
	return false
}

// The variables of the official tools that have a meaning here.
const (
	peaqosURL  = "PEAQOS_ORCHESTRATION_URL"
	peaqosKey  = "PEAQOS_API_KEY"
	peaqosRPC  = "PEAQOS_RPC_URL"
	peaqosSign = "PEAQOS_PRIVATE_KEY"

	peaqChain = "eip155:3338"
)

// peaqos uses the PEAQOS_ variables for what neither the file nor an AGENTD_
// variable says.
func (l *loader) peaqos(root *yaml.Node) {
	if value := l.env[peaqosURL]; value != "" && valueAt(root, "orchestration", "url") == nil {
		l.put(root, setting{env: peaqosURL, value: value, steps: stepsOf("orchestration", "url")})
	}
	if value := strings.TrimSpace(l.env[peaqosKey]); value != "" && valueAt(root, "orchestration", "api_key_file") == nil {
		l.cfg.Orchestration.APIKey = Secret(value)
	}
	if value := l.env[peaqosRPC]; value != "" {
		l.peaqosRPC(root, value)
	}
	value := strings.TrimSpace(l.env[peaqosSign])
	if value == "" || valueAt(root, "keys", "agent", "keystore_file") != nil || valueAt(root, "keys", "agent", "private_key_file") != nil {
		return
	}
	digits := strings.TrimPrefix(value, "0x")
	if raw, err := hex.DecodeString(digits); err != nil || len(raw) != 32 {
		l.faults = append(l.faults, Fault{Source: peaqosSign, Key: "keys.agent", Found: "no private key", Allowed: "64 hexadecimal digits"})
		return
	}
	l.cfg.Keys.Agent.PrivateKey = Secret(digits)
	l.warn("the agent's key is in the environment (" + peaqosSign + "), where other processes of the same user can read it: put it into a file and name that in keys.agent")
}

// peaqosRPC gives the endpoint to the peaq chain if it is configured and has none.
func (l *loader) peaqosRPC(root *yaml.Node, value string) {
	chains := valueAt(root, "chains")
	if chains == nil || chains.Kind != yaml.SequenceNode {
		l.warn(peaqosRPC + " is not used: no chain " + peaqChain + " is configured")
		return
	}
	for i, chain := range chains.Content {
		id := valueAt(target(chain), "id")
		if id == nil || id.Value != peaqChain {
			continue
		}
		if valueAt(target(chain), "rpc") == nil {
			l.put(root, setting{env: peaqosRPC, value: value, steps: []step{
				{name: "chains", kind: reflect.TypeFor[[]Chain]()}, {index: i, kind: reflect.TypeFor[Chain]()}, {name: "rpc", kind: reflect.TypeFor[[]string]()},
			}})
		}
		return
	}
	l.warn(peaqosRPC + " is not used: no chain " + peaqChain + " is configured")
}

func (l *loader) warn(text string) { l.cfg.Warnings = append(l.cfg.Warnings, text) }

// stepsOf resolves the names of a text key of the configuration.
func stepsOf(names ...string) []step {
	steps, _ := resolve(configType, strings.ToUpper(strings.Join(names, "_")))
	return steps
}

// valueAt returns the node at a path of names, nil if there is none or it is null.
func valueAt(n *yaml.Node, names ...string) *yaml.Node {
	for _, name := range names {
		n = target(n)
		var next *yaml.Node
		if n.Kind == yaml.MappingNode {
			for i := 0; i+1 < len(n.Content); i += 2 {
				if n.Content[i].Value == name {
					next = n.Content[i+1]
				}
			}
		}
		if next == nil || isNull(target(next)) {
			return nil
		}
		n = next
	}
	return target(n)
}

// at spells the path of a key in the i-th entry of a list.
func at(listPath string, i int, key string) string {
	path := listPath + "[" + strconv.Itoa(i) + "]"
	if key != "" {
		path += "." + key
	}
	return path
}

// finally asks the guard itself about the rules, in case it refuses what the
// checks here let pass.
func (l *loader) finally() {
	if len(l.faults) > 0 {
		return
	}
	if err := l.cfg.PolicyRules().Validate(); err != nil {
		l.fault("policy", oneLine(err), "a policy with limits", "")
	}
}
