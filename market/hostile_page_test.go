// SPDX-License-Identifier: Apache-2.0

package market_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/agentd-project/agentd/market"
	"github.com/agentd-project/agentd/policy"
)

const pageHead = `# The hostile Market

<!-- made by go test ./market -run HostileMarketPage -update; do not edit -->

A Market may lie. Each row is a lie, told to a whole buyer on the sandbox, and what comes of it: the purchase's state and reason, the
value that moved, and what the operator reads. The same rows are a test (` + "`go test ./market -run HostileMarket`" + `). In each of them another
need is bought at the same time (or, where nobody can buy during the lie, right after it) and settles; nothing is sent to another
host; no key or token is logged; what is stored stays small.

*Waits* says with which reason the purchase stands while the lie goes on. *Then* is how it ends once the Market tells the truth
again. The reasons are explained in [errors](../errors.md).
`

// The page in the documentation is the table of the test.
func TestHostileMarketPage(t *testing.T) {
	const file = "../docs/reference/hostile-market.md"
	want := hostilePage()
	if flag.Lookup("update").Value.String() == "true" {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is stale: run go test ./market -run HostileMarketPage -update", file)
	}
}

func hostilePage() string {
	var page strings.Builder
	page.WriteString(pageHead)
	total := 0
	for _, c := range hostileMarket() {
		total += len(c.lies)
		fmt.Fprintf(&page, "\n## %s\n\n| the Market's lie | bought | ends | reason | value moved | the operator sees |\n|---|---|---|---|---|---|\n", c.title)
		for _, h := range c.lies {
			fmt.Fprintf(&page, "| %s | %s | %s | %s | %s | %s |\n", h.lie, cmp.Or(h.need, "wallet"), h.ends(), h.reasons(), h.value(), h.seen())
		}
	}
	fmt.Fprintf(&page, "\n%d lies.\n", total)
	return page.String()
}

func (h hostile) ends() string {
	text := "`" + string(h.state) + "`"
	if h.then != "" && h.then != h.state {
		text += ", then `" + string(h.then) + "`"
	}
	return text
}

func (h hostile) reasons() string {
	var parts []string
	if h.reason != "" {
		parts = append(parts, "`"+string(h.reason)+"`")
	}
	if h.waits != "" && h.waits != h.reason {
		parts = append(parts, "waits: `"+string(h.waits)+"`")
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

func (h hostile) value() string {
	if h.paid {
		return "the price quoted, once"
	}
	return "none"
}

// seen is the text of the reason that says most.
func (h hostile) seen() string {
	reason := h.reason
	if h.waits != "" && (reason == policy.ReasonDeadlinePassed || reason == "") {
		reason = h.waits
	}
	if reason == "" {
		return map[market.State]string{market.Settled: "A purchase like any other."}[h.state]
	}
	info, _ := reason.Info()
	return info.Text
}
