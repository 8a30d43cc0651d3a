// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// life is one process of the daemon, from its start to its death.
type life struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when the process has ended
	began  time.Time
	clock  string // the file that moves its clock, of a build with fail points
	full   bool   // its disk was full at a time
}

// start runs the daemon without waiting for anything.
func (c *campaign) start(bin string, env ...string) (*life, error) {
	l := &life{cmd: exec.Command(bin, "run", "--config", c.daemon.path("agentd.yaml")), exited: make(chan struct{}), began: time.Now()} //nolint:gosec // the daemon under torture
	l.cmd.Stdout, l.cmd.Stderr = c.log, c.log
	l.cmd.Env = append(os.Environ(), env...)
	if err := l.cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		_ = l.cmd.Wait() // how it ended is for whoever ended it
		close(l.exited)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.life = l
	return l, nil
}

// current is the process that runs, if one does.
func (c *campaign) current() *life {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.life == nil {
		return nil
	}
	select {
	case <-c.life.exited:
		return nil
	default:
		return c.life
	}
}

// kill ends the process by SIGKILL.
func (l *life) kill() {
	_ = l.cmd.Process.Kill() // it may have ended already
	<-l.exited
}

// killed says whether the process has died by SIGKILL, its own or ours.
func (l *life) killed() bool {
	status, ok := l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	return ok && status.Signaled() && status.Signal() == syscall.SIGKILL
}

// end kills the process that is left.
func (c *campaign) end() {
	if l := c.current(); l != nil {
		l.kill()
	}
}

// awaitReady waits until the daemon says that it is ready.
func (c *campaign) awaitReady(ctx context.Context, l *life) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		if status, err := c.client.Status(ctx); err == nil && status.Ready {
			return nil
		}
		select {
		case <-l.exited:
			return fmt.Errorf("agentd ended: see %s", c.daemon.log)
		case <-ctx.Done():
			return fmt.Errorf("agentd is not ready; see %s", c.daemon.log)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// lifeLog keeps what all processes say in one file, and looks for what none may
// say. A limit on the size of the daemon's files does not reach it.
type lifeLog struct {
	mu     sync.Mutex
	file   *os.File
	rest   []byte
	points map[string]int // fail points at which a process died
	panics []string
	last   string // what was said last
	fault  error
}

func newLifeLog(name string) (*lifeLog, error) {
	file, err := os.OpenFile(name, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600) //nolint:gosec // in the folder of the run
	return &lifeLog{file: file, points: map[string]int{}}, err
}

// Write implements [io.Writer].
func (g *lifeLog) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, err := g.file.Write(p); err != nil {
		g.fault = errors.Join(g.fault, err)
	}
	g.rest = append(g.rest, p...)
	for {
		line, rest, found := bytes.Cut(g.rest, []byte("\n"))
		if !found {
			return len(p), nil
		}
		g.line(string(line))
		g.rest = append([]byte{}, rest...)
	}
}

func (g *lifeLog) line(text string) {
	if strings.HasPrefix(text, "panic:") || strings.HasPrefix(text, "fatal error:") {
		g.panics = append(g.panics, text)
	}
	if text != "" {
		g.last = text
	}
	if !strings.Contains(text, `"fail point"`) {
		return
	}
	var entry struct{ Point string }
	if json.Unmarshal([]byte(text), &entry) == nil {
		g.points[entry.Point]++
	}
}
