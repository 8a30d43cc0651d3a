// SPDX-License-Identifier: Apache-2.0

package repotest

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

// mayImport lists, for every package of ours, which others of ours it may import; a package not listed fails the test, so
// that a new one gets its place. A trailing "/..." stands for the package and all below it. The arrows run downwards:
// cmd -> agent -> admin -> market -> {pairing, payments} -> {ledger, wallet, orchestration} -> policy -> money, and
// agent -> config -> policy.
var mayImport = map[string][]string{
	"money":         {},
	"policy":        {"money"},
	"config":        {"wallet", "policy", "money"}, // the wallet says what an escrow's interface may be
	"ledger":        {"internal/failpoint", "policy", "money"},
	"wallet":        {"policy", "money"},
	"orchestration": {"policy", "money"},
	"payments/...":  {"payments/...", "ledger", "wallet", "policy", "money"},
	"pairing":       {"internal/failpoint", "ledger", "wallet", "orchestration", "policy", "money"},
	"market": {"pairing", "payments/...", "ledger", "wallet", "orchestration", "policy",
		"money"},
	"admin": {"market", "pairing", "payments/...", "ledger", "wallet", "orchestration", "policy",
		"money"},
	"agent": {"admin", "config", "market", "pairing", "payments/...", "ledger", "wallet", "orchestration", "policy",
		"money", "internal/failpoint"},
	"cmd/agentd": {"agent", "admin", "config", "market", "pairing", "payments/...", "ledger", "wallet", "orchestration",
		"policy", "money"},
	"sandbox/...":         {"sandbox/...", "money"},
	"cmd/agentd-sandbox":  {"sandbox/...", "money", "admin"},
	"internal/failpoint":  {},
	"internal/simulation": {"market", "pairing", "payments/...", "ledger", "wallet", "orchestration", "policy", "money", "sandbox/..."},
	"internal/mutants":    {},
	"internal/repotest":   {},
	"examples/...":        {"orchestration", "policy", "money"},
}

// matches reports whether a package path is meant by an entry of mayImport.
func matches(entry, path string) bool {
	if tree, ok := strings.CutSuffix(entry, "/..."); ok {
		return path == tree || strings.HasPrefix(path, tree+"/")
	}
	return entry == path
}

// allowed finds the entry for a package: its own, else that of the tree that it is in.
func allowed(path string) ([]string, bool) {
	if list, ok := mayImport[path]; ok {
		return list, true
	}
	for entry, list := range mayImport {
		if strings.HasSuffix(entry, "/...") && matches(entry, path) {
			return list, true
		}
	}
	return nil, false
}

func TestImportsRunDownwards(t *testing.T) {
	for _, p := range packages(t) {
		list, ok := allowed(p.path())
		if !ok {
			t.Errorf("package %s has no place in the table of arrows", p.path())
			continue
		}
		for _, imported := range p.Imports {
			path, ours := strings.CutPrefix(imported, module+"/")
			if !ours {
				continue
			}
			if !slices.ContainsFunc(list, func(entry string) bool { return matches(entry, path) }) {
				t.Errorf("%s imports %s; it may import %v", p.path(), path, list)
			}
		}
	}
}

// TestDaemonLinksNoChainNode keeps the execution layer out of the daemon: it needs a client, keys and ABI coding only. The
// sandbox, a program of its own, links a whole chain.
func TestDaemonLinksNoChainNode(t *testing.T) {
	const geth = "github.com/ethereum/go-ethereum/"
	forbidden := []string{"core", "core/vm", "core/state", "eth/...", "node", "p2p", "ethclient/simulated"}
	deps := strings.Fields(string(goRun(t, "list", "-deps", "./cmd/agentd")))
	if !slices.Contains(deps, module+"/cmd/agentd") {
		t.Fatal("the list of dependencies lacks the daemon itself")
	}
	for _, dep := range deps {
		path, isGeth := strings.CutPrefix(dep, geth)
		if isGeth && slices.ContainsFunc(forbidden, func(entry string) bool { return matches(entry, path) }) {
			t.Errorf("the daemon links %s", dep)
		}
		if sub, ours := strings.CutPrefix(dep, module+"/"); ours && matches("sandbox/...", sub) {
			t.Errorf("the daemon links %s", dep)
		}
		if dep == "testing" || strings.HasPrefix(dep, "pgregory.net/rapid") {
			t.Errorf("the daemon links %s, which is for tests", dep)
		}
	}
}

// goMod is what these tests need of `go mod edit -json`.
type goMod struct {
	Require []struct {
		Path     string
		Indirect bool
	}
	Replace []any
	Exclude []any
}

// modFile reads go.mod.
func modFile(t *testing.T) goMod {
	t.Helper()
	var mod goMod
	if err := json.Unmarshal(goRun(t, "mod", "edit", "-json"), &mod); err != nil {
		t.Fatalf("go mod edit -json: %v", err)
	}
	return mod
}

// TestModuleStandsAlone forbids replace and exclude: they do not reach who imports the module or installs the command.
func TestModuleStandsAlone(t *testing.T) {
	mod := modFile(t)
	if len(mod.Replace) > 0 || len(mod.Exclude) > 0 {
		t.Errorf("go.mod has replace %v, exclude %v; want none", mod.Replace, mod.Exclude)
	}
	if len(mod.Require) == 0 {
		t.Error("go.mod requires nothing: it was not read")
	}
}
