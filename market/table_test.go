// SPDX-License-Identifier: Apache-2.0

package market

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite generated parts of the documentation")

func TestTableIsWhole(t *testing.T) {
	rows := index()
	if got, want := len(rows), len(Table()); got != want {
		t.Fatalf("states named twice: got %d different rows, want %d", got, want)
	}
	reached := map[State]bool{Planned: true}
	for _, row := range Table() {
		for event, to := range row.Edges {
			if _, known := rows[to]; !known {
				t.Errorf("%s on %s goes to %q, which is no state", row.State, event, to)
			}
			reached[to] = true
		}
		switch row.State.Kind() {
		case Final:
			if row.act != nil || row.recover != nil || len(row.Edges) != 0 {
				t.Errorf("%s is final and has something to do or somewhere to go", row.State)
			}
		case Active:
			if row.act == nil {
				t.Errorf("%s is active and has nothing to do", row.State)
			}
			if row.Unpaid && row.Edges[EventDeadline] != Cancelled {
				t.Errorf("%s is unpaid and its deadline goes to %q, want %q", row.State, row.Edges[EventDeadline], Cancelled)
			}
			if !row.Unpaid && row.State != Executing && row.Edges[EventDeadline] != "" {
				t.Errorf("%s may be paid and has a deadline", row.State)
			}
		}
		if row.State.Kind() != Final && len(row.Edges) == 0 {
			t.Errorf("%s is not final and nothing leads out of it", row.State)
		}
	}
	for state := range rows {
		if !reached[state] {
			t.Errorf("nothing leads to %s", state)
		}
	}
}

// Every call that the Market does not document as idempotent has a recover
// action that asks first.
func TestUncertainStatesAskFirst(t *testing.T) {
	rows := index()
	for _, state := range []State{Reserved, Paid, Executing, Delivered, Rejecting} {
		if rows[state].recover == nil {
			t.Errorf("%s makes a call that must not be repeated blindly and has no recover action", state)
		}
	}
}

const (
	diagramBegin = "<!-- diagram: begin; made by go test ./market -run Diagram -update -->"
	diagramEnd   = "<!-- diagram: end -->"
)

func TestDiagramIsFresh(t *testing.T) {
	const file = "../docs/explanation/purchase.md"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok1 := strings.Cut(string(page), diagramBegin)
	old, after, ok2 := strings.Cut(rest, diagramEnd)
	if !ok1 || !ok2 {
		t.Fatalf("%s has no place for the diagram", file)
	}
	want := "\n```mermaid\n" + Diagram() + "```\n"
	if old == want {
		return
	}
	if !*update {
		t.Fatalf("the diagram in %s is stale: run go test ./market -run Diagram -update", file)
	}
	if err := os.WriteFile(file, []byte(before+diagramBegin+want+diagramEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}
