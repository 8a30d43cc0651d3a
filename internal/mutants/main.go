// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// target is a file and the test runs that must notice a fault in it, the quick
// ones first.
type target struct {
	file  string
	only  []string
	tests [][]string
}

var (
	policyTests = []string{"./policy"}
	ledgerTests = []string{"./ledger", "-run", "Reserv|Grant|Bind|Window|Bucket|State|Usage|Overspend|Ending|Settl|Free|Clock|Time|Payee|Compact|Longer|Verify|Step", "-rapid.checks=30"}
)

func targets() []target {
	guard := [][]string{policyTests, ledgerTests}
	sums := [][]string{ledgerTests}
	return []target{
		{"policy/decide.go", nil, guard}, {"policy/rules.go", nil, guard}, {"policy/guard.go", nil, guard},
		{"ledger/reserve.go", nil, sums}, {"ledger/state.go", nil, sums},
		{"ledger/settle.go", []string{"settle", "addSettled", "takeSettled", "Release"}, sums},
	}
}

// limit bounds one test run: a fault may make a loop endless.
const limit = 3 * time.Minute

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	parallel := flag.Int("parallel", 2, "mutants tested at once")
	file := flag.String("file", "", "only this file")
	flag.Parse()
	if err := run(ctx, os.Stdout, *parallel, *file); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// job is a mutant with its tests and what became of it.
type job struct {
	mutant
	tests   [][]string
	outcome outcome
}

type outcome string

const (
	killed     outcome = "killed"
	survived   outcome = "survived"
	equivalent outcome = "equivalent"
	unbuilt    outcome = "does not compile"
)

func run(ctx context.Context, out io.Writer, parallel int, file string) error {
	known, err := readEquivalent("internal/mutants/equivalent.txt")
	if err != nil {
		return err
	}
	var jobs []*job
	for _, t := range targets() {
		if file != "" && file != t.file {
			continue
		}
		found, err := mutantsOf(t.file, t.only)
		if err != nil {
			return err
		}
		for _, m := range found {
			jobs = append(jobs, &job{mutant: m, tests: t.tests})
		}
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the system's folder for such files
	queue := make(chan *job)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var faults []error
	for worker := range parallel {
		workers.Go(func() {
			for j := range queue {
				reason, same := known[j.file+": "+j.name]
				var err error
				if j.outcome = equivalent; !same {
					j.outcome, err = j.test(ctx, filepath.Join(dir, fmt.Sprint(worker)))
				}
				mu.Lock()
				faults = append(faults, err)
				if j.outcome != killed {
					_, _ = fmt.Fprintf(out, "%s:%d: %s: %s %s\n", j.file, j.line, j.outcome, j.name, reason)
				}
				mu.Unlock()
			}
		})
	}
	for _, j := range jobs {
		queue <- j
	}
	close(queue)
	workers.Wait()
	if err := errors.Join(faults...); err != nil {
		return err
	}
	return summarise(out, jobs)
}

// summarise prints a table by file; survivors are an error.
func summarise(out io.Writer, jobs []*job) error {
	count := map[string]map[outcome]int{}
	var files []string
	alive := 0
	for _, j := range jobs {
		if count[j.file] == nil {
			count[j.file] = map[outcome]int{}
			files = append(files, j.file)
		}
		count[j.file][j.outcome]++
		if j.outcome == survived {
			alive++
		}
	}
	_, _ = fmt.Fprintln(out, "| file | mutants | killed | equivalent | do not compile | survived |\n|---|---|---|---|---|---|")
	for _, f := range files {
		c := count[f]
		_, _ = fmt.Fprintf(out, "| `%s` | %d | %d | %d | %d | %d |\n", f, c[killed]+c[equivalent]+c[unbuilt]+c[survived], c[killed], c[equivalent], c[unbuilt], c[survived])
	}
	if alive > 0 {
		return fmt.Errorf("%d of %d mutants survived", alive, len(jobs))
	}
	return nil
}

// test runs the mutant's tests until one fails.
func (j *job) test(ctx context.Context, dir string) (outcome, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	mutated := filepath.Join(dir, "mutant.go")
	if err := os.WriteFile(mutated, j.text, 0o600); err != nil {
		return "", err
	}
	original, err := filepath.Abs(j.file)
	if err != nil {
		return "", err
	}
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {original: mutated}})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, overlay, 0o600); err != nil {
		return "", err
	}
	for _, args := range j.tests {
		bounded, cancel := context.WithTimeout(ctx, limit)
		cmd := exec.CommandContext(bounded, "go", append([]string{"test", "-overlay", path, "-short", "-failfast", "-vet=off", "-timeout", "120s"}, args...)...) //nolint:gosec // fixed arguments
		cmd.WaitDelay = 5 * time.Second
		text, err := cmd.CombinedOutput()
		cancel()
		switch {
		case ctx.Err() != nil:
			return "", ctx.Err()
		case err != nil && strings.Contains(string(text), "[build failed]"):
			return unbuilt, nil
		case err != nil:
			return killed, nil //nolint:nilerr // a test that fails is what is wanted
		}
	}
	return survived, nil
}

// readEquivalent reads the mutants that change nothing: "file: function: change",
// then a tab and the reason.
func readEquivalent(path string) (map[string]string, error) {
	f, err := os.Open(path) //nolint:gosec // a file of this repository
	if err != nil {
		return nil, err
	}
	known := map[string]string{}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		line := lines.Text()
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, reason, ok := strings.Cut(line, "\t")
		if !ok || reason == "" {
			return nil, errors.Join(fmt.Errorf("%s: %q has no reason", path, line), f.Close())
		}
		known[name] = reason
	}
	return known, errors.Join(lines.Err(), f.Close())
}
