// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
)

// countPurchases are counted per rail: enough for a mean, for tracing is slow.
const countPurchases = 50

// count counts, per rail and one purchase after the other, durable commits by
// the daemon's metric, requests by those who answer them, and the calls that
// make commits durable by strace, where that is installed.
func (r *comparison) count(ctx context.Context) error {
	r.strace = r.tracing(ctx)
	for _, rail := range compareRails {
		one := load{rail, countPurchases, 1}
		c, err := r.meter.run(ctx, one)
		if err == nil && r.strace != "" {
			c.syncs, err = r.traced(ctx, one)
		}
		if err != nil {
			return err
		}
		r.rows = append(r.rows, row{"agentd", rail, 1, c, c, c})
	}
	return nil
}

// tracing returns strace if it is installed and may attach to the daemon, which
// a container may forbid.
func (r *comparison) tracing(ctx context.Context) string {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return ""
	}
	t, err := attach(ctx, strace, r.meter.cmd.Process.Pid, filepath.Join(r.dir, "strace-probe"))
	if err != nil || t.detach() != nil {
		return ""
	}
	return strace
}

// traced makes the purchases under strace and returns its count.
func (r *comparison) traced(ctx context.Context, l load) (int, error) {
	counts := filepath.Join(r.dir, "strace-"+l.need)
	t, err := attach(ctx, r.strace, r.meter.cmd.Process.Pid, counts)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(r.meter.buyAll(ctx, l), t.detach()); err != nil {
		return 0, err
	}
	file, err := os.Open(counts) //nolint:gosec // the folder is our own
	if err != nil {
		return 0, err
	}
	syncs, err := readSyncs(file)
	return syncs, errors.Join(err, file.Close())
}

// tracer is a strace on a running process.
type tracer struct {
	cmd  *exec.Cmd
	said io.ReadCloser
}

// attach counts the calls of all threads of a process into a file, and returns
// once it does.
func attach(ctx context.Context, strace string, pid int, counts string) (*tracer, error) {
	cmd := exec.CommandContext(ctx, strace, "-f", "-c", "-e", "trace=fsync,fdatasync,sync_file_range", "-o", counts, "-p", strconv.Itoa(pid)) //nolint:gosec // a process of ours
	said, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	lines := bufio.NewScanner(said)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "attached") {
			return &tracer{cmd, said}, nil
		}
	}
	return nil, errors.Join(fmt.Errorf("strace did not attach to process %d", pid), cmd.Wait())
}

// detach ends strace, which then writes its counts.
func (t *tracer) detach() error {
	if err := t.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, t.said); err != nil {
		return err
	}
	var ended *exec.ExitError
	if err := t.cmd.Wait(); err != nil && !errors.As(err, &ended) { // it dies of the signal, after writing
		return err
	}
	return nil
}

// readSyncs sums the calls in a summary of strace; one without calls is empty.
func readSyncs(summary io.Reader) (int, error) {
	total := 0
	lines := bufio.NewScanner(summary)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 5 || !strings.Contains(fields[len(fields)-1], "sync") {
			continue
		}
		calls, err := strconv.Atoi(fields[3])
		if err != nil {
			return 0, fmt.Errorf("read strace's line %q: %w", lines.Text(), err)
		}
		total += calls
	}
	return total, lines.Err()
}
