// SPDX-License-Identifier: Apache-2.0

package failpoint_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// marks are texts of the fail points: their environment, their names, what they print.
var marks = []string{"FAILPOINT_CLOCK", "ledger-commit-before", "store-rename-after", "request-before", `"point":"`, "internal/failpoint.order"}

// A release has no fail point: nothing of them is in the binary that the release
// flags make, all of it is in the same binary with the tag. Symbols are kept, so
// that names of functions and types count too.
func TestReleaseHasNoFailPoint(t *testing.T) {
	for _, c := range []struct {
		name, tags string
		want       bool
	}{
		{"release", "nethttpomithttp2", false},
		{"with the tag", "nethttpomithttp2,failpoint", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bin := filepath.Join(t.TempDir(), "agentd")
			cmd := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-buildvcs=false", "-tags", c.tags, "-o", bin, //nolint:gosec // the arguments are ours
				"github.com/agentd-project/agentd/cmd/agentd")
			cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("build: %v\n%s", err, out)
			}
			text, err := os.ReadFile(bin) //nolint:gosec // built above
			if err != nil {
				t.Fatal(err)
			}
			for _, mark := range marks {
				if got := bytes.Contains(text, []byte(mark)); got != c.want {
					t.Errorf("%q in the binary: got %t, want %t", mark, got, c.want)
				}
			}
		})
	}
}
