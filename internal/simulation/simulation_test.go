// SPDX-License-Identifier: Apache-2.0

package simulation_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/agentd-project/agentd/internal/simulation"
)

var (
	purchases = flag.Int("sim.purchases", 120, "how many purchases to simulate")
	seed      = flag.Uint64("sim.seed", 1, "the first seed; each world takes the next")
	each      = flag.Int("sim.world", 40, "how many purchases a world starts")
	keepGoing = flag.Bool("sim.all", false, "go on after a finding")
	older     = flag.Bool("sim.older", false, "let older copies of the ledger come back often")
	showTrace = flag.Bool("sim.trace", false, "print all that happens, for one seed")
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // worlds are short: memory is cheaper than collecting it
	os.Exit(m.Run())
}

// stateDir makes a directory in memory, where there is one: what is simulated is
// not the disk.
func stateDir(t testing.TB) string {
	t.Helper()
	parent := os.Getenv("AGENTD_SIM_DIR")
	if parent == "" {
		parent = "/dev/shm"
	}
	if info, err := os.Stat(parent); err != nil || !info.IsDir() {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp(parent, "agentd-simulation-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("clean up: %v", err)
		}
	})
	return dir
}

// play plays one world.
func play(t *testing.T, cfg simulation.Config) (report *simulation.Report) {
	t.Helper()
	if err := os.Mkdir(cfg.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		var err error
		if report, err = simulation.Run(cfg); err != nil {
			t.Error(err)
		}
	})
	if err := os.RemoveAll(cfg.Dir); err != nil {
		t.Fatal(err)
	}
	return report
}

// The simulation: worlds of chance, each from its own seed. A finding names the
// seed that replays it.
func TestSimulation(t *testing.T) {
	var next atomic.Int64
	worlds := int64((*purchases + *each - 1) / *each)
	total := &simulation.Report{States: map[string]int{}, Faults: map[string]int{}}
	began := time.Now()
	t.Run("worlds", func(t *testing.T) {
		for i := range runtime.GOMAXPROCS(0) {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				t.Parallel()
				dir := stateDir(t)
				for n := next.Add(1); n <= worlds && (!t.Failed() || *keepGoing); n = next.Add(1) {
					cfg := simulation.Config{Seed: *seed + uint64(n) - 1, Purchases: *each, Older: *older, Dir: filepath.Join(dir, fmt.Sprint(n))}
					if *showTrace {
						cfg.Trace = os.Stdout
						cfg.Logger = zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
					}
					report := play(t, cfg)
					if report == nil {
						return
					}
					if len(report.Findings) > 0 {
						t.Errorf("seed %d: %v\nreplay: go test ./internal/simulation -run TestSimulation -sim.seed=%d -sim.purchases=%d -sim.world=%d%s -sim.trace",
							cfg.Seed, report.Findings, cfg.Seed, *each, *each, map[bool]string{true: " -sim.older"}[*older])
					}
					t.Logf("seed %d: trace %016x, %d purchases, %d steps, %.1f days, %d findings", cfg.Seed, report.Trace, report.Purchases(), report.Steps.Load(), report.Days.Hours()/24, len(report.Findings))
					total.Add(report)
				}
			})
		}
	})
	took := time.Since(began)
	t.Logf("seeds %d to %d\n%s\n%.0f purchases and %.0f simulated days a minute", *seed, *seed+uint64(worlds)-1, total,
		float64(total.Purchases())/took.Minutes(), total.Days.Hours()/24/took.Minutes())
}

// A seed replays exactly: the same events at the same instants.
func TestReplay(t *testing.T) {
	dir := stateDir(t)
	for s := *seed; s < *seed+6; s++ {
		cfg := simulation.Config{Seed: s, Purchases: 20, Dir: filepath.Join(dir, "world")}
		var one, other strings.Builder
		cfg.Trace = &one
		first := play(t, cfg)
		cfg.Trace = &other
		second := play(t, cfg)
		if first == nil || second == nil {
			return
		}
		if first.Trace != second.Trace || first.Events != second.Events {
			t.Errorf("seed %d: the second run had another trace: %d events, want %d\n%s", s, second.Events, first.Events, difference(one.String(), other.String()))
		}
	}
}
