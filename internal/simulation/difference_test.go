// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"fmt"
	"strings"
)

// difference shows where two traces part.
func difference(a, b string) string {
	first, second := strings.Split(a, "\n"), strings.Split(b, "\n")
	for i := range min(len(first), len(second)) {
		if first[i] != second[i] {
			from := max(i-5, 0)
			return fmt.Sprintf("they part at event %d:\n%s\n--- the first goes on\n%s\n--- the second\n%s", i, strings.Join(first[from:i], "\n"),
				strings.Join(first[i:min(i+5, len(first))], "\n"), strings.Join(second[i:min(i+5, len(second))], "\n"))
		}
	}
	return "one is longer"
}
