// SPDX-License-Identifier: Apache-2.0

package payments

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/agentd-project/agentd/payments/evm"
	"github.com/agentd-project/agentd/policy"
)

var update = flag.Bool("update", false, "rewrite the generated part of docs/explanation/recovery.md")

// tables are the rails' tables, by the heading under which they are shown.
var tables = []struct {
	heading string
	worlds  []World
	facts   []fact
}{
	{"`wallet`, `wdk-usdt-transfer`, and `escrow`, `onchain-escrow` where the escrow takes plain transfers", transferWorlds,
		[]fact{factNothing, factOpen, factDone, factReverted, factCancelled}},
	{"`escrow`, `onchain-escrow` where a contract locks the value", lockWorlds,
		[]fact{factNothing, factAllowance, factOpen, factDone, factReverted, factCancelled}},
	{"`x402`", x402Worlds, []fact{factNothing, factUnused, factUsedEarly, factUsed, factVoided, factExpired, factDead}},
	{"`not-required`", freeWorlds, []fact{factNothing}},
}

// Every fact that a rail can find out has one row in its table, and a row that
// says "not paid" about something signed says why.
func TestWorldsAreComplete(t *testing.T) {
	for _, table := range tables {
		rows := map[fact]int{}
		for _, w := range table.worlds {
			rows[w.fact]++
			switch {
			case w.Disk == "" || w.Follows == "" || (w.Asked == "") != (w.Answer == ""):
				t.Errorf("%s: the row %s is not filled in", table.heading, w.fact)
			case w.Status == Unknown:
				t.Errorf("%s: the row %s says unknown, which is for what could not be asked", table.heading, w.fact)
			case (w.Status == NotPaid && w.fact != factNothing) != (w.Reason != "") || w.Reason != "" && !w.Reason.Valid():
				t.Errorf("%s: the row %s has the reason %q", table.heading, w.fact, w.Reason)
			}
		}
		for _, f := range table.facts {
			if rows[f] != 1 {
				t.Errorf("%s: %d rows for %s", table.heading, rows[f], f)
			}
			delete(rows, f)
			if o := outcomeIn(table.worlds, f); o.Status == "" {
				t.Errorf("%s: %s has no outcome", table.heading, f)
			}
		}
		for f := range rows {
			t.Errorf("%s: the row %s is for a fact that cannot be found", table.heading, f)
		}
	}
	for _, f := range []fact{factGone, factBack, factLocked, factReleased, factRefunded} {
		if c := custodyOf(f); c.State == "" {
			t.Errorf("custody of %s has no state", f)
		}
	}
}

// Every standing of a transaction is a world of both rails that send one.
func TestStandingsAreWorlds(t *testing.T) {
	for s := evm.StandingNone; s <= evm.StandingCancelled; s++ {
		for _, worlds := range [][]World{transferWorlds, lockWorlds} {
			o := ofTransaction(worlds, factOf(s), evm.Receipt{Block: 7})
			if (o.Status == Paid) != (s == evm.StandingDone) || (o.Block == 7) != (o.Status == Paid) {
				t.Errorf("standing %d is %+v", s, o)
			}
		}
	}
	if got := factOf(evm.StandingCancelled + 1); got != factOpen {
		t.Errorf("a standing that is not known is %s, want open", got)
	}
}

// The tables are shown in the documentation as they are.
func TestWorldsAreDocumented(t *testing.T) {
	const begin, end = "<!-- begin worlds: go test ./payments -run Worlds -update -->\n", "<!-- end worlds -->\n"
	var b strings.Builder
	for _, table := range tables {
		fmt.Fprintf(&b, "\n### %s\n\n| on disk | asked | answer | known | reason | what follows |\n|---|---|---|---|---|---|\n", table.heading)
		for _, w := range table.worlds {
			fmt.Fprintf(&b, "| %s | %s | %s | **%s** | %s | %s |\n", w.Disk, w.Asked, w.Answer, strings.ReplaceAll(string(w.Status), "_", " "), code(w.Reason), w.Follows)
		}
	}
	b.WriteString("\n### Where value is that was paid\n\n| paid by | asked | answer | the value is | what follows |\n|---|---|---|---|---|\n")
	for _, w := range custodyWorlds {
		fmt.Fprintf(&b, "| %s | %s | %s | **%s** | %s |\n", w.Paid, w.Asked, w.Answer, w.State, w.Follows)
	}
	b.WriteString("\n")

	path := filepath.Join("..", "docs", "explanation", "recovery.md")
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	got, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s lacks its markers", path)
	}
	if got == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is stale; run: go test ./payments -run Worlds -update", path)
	}
	if err := os.WriteFile(path, []byte(before+begin+b.String()+end+after), 0o644); err != nil { //nolint:gosec // a page of the documentation
		t.Fatal(err)
	}
}

func code(r policy.Reason) string {
	if r == "" {
		return ""
	}
	return "`" + string(r) + "`"
}
