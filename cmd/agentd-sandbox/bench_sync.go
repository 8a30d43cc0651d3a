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

// syncPurchases are traced per rail: enough for a mean, for tracing is slow.
const syncPurchases = 50

// sync counts durable commits by the daemon's metric and the calls that make
// them durable by strace, per rail, one purchase after the other.
func (r *comparison) sync(ctx context.Context) error {
	strace, err := exec.LookPath("strace")
	if err != nil {
		return nil //nolint:nilerr // printSync says that it is not there
	}
	for _, rail := range benchRails {
		counts := filepath.Join(r.dir, "strace-"+rail)
		traced, err := attach(ctx, strace, r.meter.cmd.Process.Pid, counts)
		if err != nil {
			return err
		}
		c, err := r.meter.run(ctx, load{rail, syncPurchases, 1})
		if err = errors.Join(err, traced.detach()); err != nil {
			return err
		}
		file, err := os.Open(counts) //nolint:gosec // the folder is our own
		if err != nil {
			return err
		}
		c.syncs, err = readSyncs(file)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
		r.rows = append(r.rows, row{"agentd", rail, 1, c, c, c})
	}
	return nil
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
