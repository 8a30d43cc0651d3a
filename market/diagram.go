// SPDX-License-Identifier: Apache-2.0

package market

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Diagram draws the purchase table as a Mermaid state diagram; it stands in
// docs/explanation/purchase.md.
func Diagram() string {
	var b strings.Builder
	b.WriteString("stateDiagram-v2\n    [*] --> planned\n")
	for _, row := range Table() {
		if row.Doing != "" {
			fmt.Fprintf(&b, "    %s: %s — %s\n", row.State, row.State, row.Doing)
		}
		for _, event := range slices.Sorted(maps.Keys(row.Edges)) {
			fmt.Fprintf(&b, "    %s --> %s: %s\n", row.State, row.Edges[event], event)
		}
		if row.State.Kind() == Final {
			fmt.Fprintf(&b, "    %s --> [*]\n", row.State)
		}
	}
	return b.String()
}
