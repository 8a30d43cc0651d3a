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

// target is a file and the packages whose tests must notice a fault in it, the
// quick ones first.
type target struct {
	file  string
	only  []string
	tests []string
}

func targets() []target {
	guard, sums := []string{"policy", "ledger"}, []string{"ledger"}
	return []target{
		{"policy/decide.go", nil, guard}, {"policy/rules.go", nil, guard}, {"policy/guard.go", nil, guard},
		{"ledger/reserve.go", nil, sums}, {"ledger/state.go", nil, sums},
		{"ledger/settle.go", []string{"Settle", "settle", "putSettled", "addSettled", "takeSettled", "Release"}, sums},
	}
}

// arguments choose the tests of a package.
var arguments = map[string][]string{
	// Who may call what is a matter of other packages.
	"policy": {"-test.short", "-test.failfast", "-test.skip", "OnlyTheListed"},
	"ledger": {"-test.short", "-test.failfast", "-rapid.checks=30", "-rapid.nofailfile",
		"-test.run", "Reserv|Grant|Bind|Window|Bucket|State|Usage|Overspend|Ending|Settl|Free|Clock|Time|Payee|Longer|Step|Purchase|Again|Open|ServerDay|Approval|TestCompact$"},
}

// limit bounds one test run: a fault may make a loop endless.
const limit = 90 * time.Second

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
	number  int
	tests   []string
	outcome outcome
}

type outcome string

const (
	killed     outcome = "killed"
	survived   outcome = "survived"
	equivalent outcome = "equivalent"
)

func run(ctx context.Context, out io.Writer, parallel int, file string) error {
	known, err := readEquivalent("internal/mutants/equivalent.txt")
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // in the system's folder for such files
	jobs, err := build(ctx, dir, file)
	if err != nil {
		return err
	}
	queue := make(chan *job)
	var workers sync.WaitGroup
	var mu sync.Mutex
	var faults []error
	for range parallel {
		workers.Go(func() {
			for j := range queue {
				reason, same := known[j.file+": "+j.name]
				var err error
				if j.outcome = equivalent; !same {
					j.outcome, err = j.test(ctx, dir)
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

// build writes the mutants of all files, builds the tests of each package with
// them, and runs these without a fault: they must pass.
func build(ctx context.Context, dir, file string) (jobs []*job, err error) {
	replace := map[string]string{}
	for _, t := range targets() {
		text, found, err := instrument(t.file, t.only, len(jobs)+1)
		if err != nil {
			return nil, err
		}
		for _, m := range found {
			jobs = append(jobs, &job{mutant: m, number: len(jobs) + 1, tests: t.tests})
		}
		if err := overlay(replace, dir, t.file, text); err != nil {
			return nil, err
		}
	}
	for name := range arguments {
		choice := "package " + name + "\n\nimport (\n\t\"os\"\n\t\"strconv\"\n)\n\nvar " + chosen + ", _ = strconv.Atoi(os.Getenv(\"MUTANT\"))\n"
		if err := overlay(replace, dir, name+"/chosen_mutant.go", choice); err != nil {
			return nil, err
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(path, list, 0o600); err != nil {
		return nil, err
	}
	for name := range arguments {
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-overlay", path, "-o", filepath.Join(dir, name+".test"), "./"+name) //nolint:gosec // fixed arguments
		if text, err := cmd.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("build the tests of %s: %w\n%s", name, err, text)
		}
		if text, err := runTests(ctx, dir, name, 0); err != nil {
			return nil, fmt.Errorf("the tests of %s fail without a fault: %w\n%s", name, err, text)
		}
	}
	if file == "" {
		return jobs, nil
	}
	var some []*job
	for _, j := range jobs {
		if j.file == file {
			some = append(some, j)
		}
	}
	return some, nil
}

func overlay(replace map[string]string, dir, file, text string) error {
	original, err := filepath.Abs(file)
	if err != nil {
		return err
	}
	replace[original] = filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
	return os.WriteFile(replace[original], []byte(text), 0o600)
}

// runTests runs a package's tests as one mutant; 0 is none.
func runTests(ctx context.Context, dir, name string, mutant int) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(dir, name+".test"), arguments[name]...) //nolint:gosec // built above
	cmd.Dir, cmd.Env = name, append(os.Environ(), fmt.Sprintf("MUTANT=%d", mutant))
	cmd.WaitDelay = 5 * time.Second
	return cmd.CombinedOutput()
}

// test runs the mutant's tests until one fails.
func (j *job) test(ctx context.Context, dir string) (outcome, error) {
	for _, name := range j.tests {
		_, err := runTests(ctx, dir, name, j.number)
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if err != nil {
			return killed, nil //nolint:nilerr // a test that fails is what is wanted
		}
	}
	return survived, nil
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
	_, _ = fmt.Fprintln(out, "| file | mutants | killed | equivalent | survived |\n|---|---|---|---|---|")
	for _, f := range files {
		c := count[f]
		_, _ = fmt.Fprintf(out, "| `%s` | %d | %d | %d | %d |\n", f, c[killed]+c[equivalent]+c[survived], c[killed], c[equivalent], c[survived])
	}
	if alive > 0 {
		return fmt.Errorf("%d of %d mutants survived", alive, len(jobs))
	}
	return nil
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
