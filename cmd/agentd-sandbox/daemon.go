// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/agentd-project/agentd/sandbox"
)

// daemonPackage is what is built where no binary is given.
const daemonPackage = "github.com/agentd-project/agentd/cmd/agentd"

//go:embed agentd.yaml.tmpl
var configTemplate string

// daemon is an agentd of its own process, configured for a local Market. It is
// used as an operator uses it: by its command line.
type daemon struct {
	bin, dir string
	log      string // where the running daemon writes
	cmd      *exec.Cmd
	exited   chan struct{} // closed when the process has ended
}

// build returns the given binary, or builds the daemon into dir.
func build(ctx context.Context, given, dir string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	bin := filepath.Join(dir, "agentd")
	out, err := exec.CommandContext(ctx, "go", "build", "-o", bin, daemonPackage).CombinedOutput() //nolint:gosec // the folder is our own
	if err != nil {
		return "", fmt.Errorf("build %s (run this in the project, or name a binary with --agentd): %w\n%s", daemonPackage, err, out)
	}
	return bin, nil
}

// need is one line of the configuration's needs. More is added to it as it is.
type need struct {
	Name, ServiceType, Operation, Input, Schema, More string
	Handoff                                           bool
}

// newDaemon writes key and configuration below dir. extra is added to the
// configuration as it is.
func newDaemon(ctx context.Context, bin, dir string, info sandbox.Info, needs []need, extra string) (*daemon, error) {
	return newDaemonOf(ctx, bin, dir, info, needs, configTemplate, map[string]any{"Extra": extra})
}

// newDaemonOf is newDaemon with another template, which is also given values.
func newDaemonOf(ctx context.Context, bin, dir string, info sandbox.Info, needs []need, config string, values map[string]any) (*daemon, error) {
	d := &daemon{bin: bin, dir: dir, log: filepath.Join(dir, "agentd.log")}
	for name, text := range map[string]string{"owner.key": info.OwnerKey, "agent.hex": info.AgentKey, "api.key": info.APIKey} {
		if err := os.WriteFile(d.path(name), []byte(text+"\n"), 0o600); err != nil {
			return nil, err
		}
	}
	if out, err := d.command(ctx, "init", "--dir", dir, "--market-url", info.BaseURL, "--api-key-file", d.path("api.key"),
		"--identity-ref", info.IdentityRef, "--owner-key-file", d.path("owner.key"), "--owner-id", "acme", "--agent-key-file", d.path("agent.hex")); err != nil {
		return nil, fmt.Errorf("agentd init: %w\n%s", err, out)
	}
	for i := range needs {
		if needs[i].Schema == "" {
			continue
		}
		file := d.path(needs[i].Name + ".schema.json")
		if err := os.WriteFile(file, []byte(needs[i].Schema), 0o600); err != nil {
			return nil, err
		}
		needs[i].Schema = file
	}
	text, err := template.New("agentd.yaml").Parse(config)
	if err != nil {
		return nil, err
	}
	all := map[string]any{"Dir": dir, "Info": info, "Needs": needs}
	maps.Copy(all, values)
	var written bytes.Buffer
	if err := text.Execute(&written, all); err != nil {
		return nil, err
	}
	if err := os.WriteFile(d.path("agentd.yaml"), written.Bytes(), 0o600); err != nil {
		return nil, err
	}
	if out, err := d.command(ctx, "check"); err != nil {
		return nil, fmt.Errorf("agentd check: %w\n%s", err, out)
	}
	return d, nil
}

func (d *daemon) path(name string) string { return filepath.Join(d.dir, name) }

// command runs one agentd command and returns what it printed.
func (d *daemon) command(ctx context.Context, args ...string) ([]byte, error) {
	if args[0] != "init" {
		args = append(args, "--config", d.path("agentd.yaml"))
	}
	cmd := exec.CommandContext(ctx, d.bin, args...) //nolint:gosec // the daemon under demonstration
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return append(out.Bytes(), errs.Bytes()...), err
	}
	return out.Bytes(), nil
}

// start runs the daemon and returns once it says that it is ready.
func (d *daemon) start(ctx context.Context) error {
	log, err := os.OpenFile(d.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }()                                   // the process holds its own descriptor
	cmd := exec.Command(d.bin, "run", "--config", d.path("agentd.yaml")) //nolint:gosec // the daemon under demonstration
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	d.cmd, d.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is for whoever ended it
		close(exited)
	}(d.exited)
	return d.awaitReady(ctx)
}

// awaitReady asks for the status until the daemon is ready.
func (d *daemon) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		out, err := d.command(ctx, "status", "--json")
		var status struct {
			Ready bool `json:"ready"`
		}
		if err == nil && json.Unmarshal(out, &status) == nil && status.Ready {
			return nil
		}
		select {
		case <-d.exited:
			return fmt.Errorf("agentd ended: see %s", d.log)
		case <-ctx.Done():
			return fmt.Errorf("agentd is not ready: %s; see %s", strings.TrimSpace(string(out)), d.log)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// stop ends the daemon as systemd does.
func (d *daemon) stop() error {
	if d.cmd == nil {
		return nil
	}
	defer func() { d.cmd = nil }()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-d.exited:
	case <-time.After(35 * time.Second):
		d.kill()
		return errors.New("agentd did not stop within 35 s of SIGTERM")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("agentd ended with exit code %d: see %s", code, d.log)
	}
	return nil
}

// kill ends the daemon at once, by SIGKILL.
func (d *daemon) kill() {
	_ = d.cmd.Process.Kill() // it may have ended already
	<-d.exited
}

// bought is what `agentd buy --json` prints of a purchase.
type bought struct {
	ID        string `json:"id"`
	State     string `json:"state"`
	Final     bool   `json:"final"`
	Reason    string `json:"reason"`
	Rail      string `json:"rail"`
	Price     string `json:"price"`
	Currency  string `json:"currency"`
	Reference string `json:"reference"`
}

// exitHandedOff is agentd's exit code for a purchase that a provider hands to
// a person; it is an answer, not a failure.
const exitHandedOff = 7

// buy buys one need and waits for its end.
func (d *daemon) buy(ctx context.Context, name string) (bought, error) {
	out, err := d.command(ctx, "buy", name, "--wait=60s", "--json")
	var code *exec.ExitError
	if err != nil && (!errors.As(err, &code) || code.ExitCode() != exitHandedOff) {
		return bought{}, fmt.Errorf("agentd buy %s: %w\n%s", name, err, out)
	}
	return readPurchase(out)
}

// purchase reads one purchase.
func (d *daemon) purchase(ctx context.Context, id string) (bought, error) {
	out, err := d.command(ctx, "purchases", id, "--json")
	if err != nil {
		return bought{}, fmt.Errorf("agentd purchases %s: %w\n%s", id, err, out)
	}
	return readPurchase(out)
}

func readPurchase(out []byte) (bought, error) {
	var p bought
	if err := json.NewDecoder(bytes.NewReader(out)).Decode(&p); err != nil {
		return bought{}, fmt.Errorf("read purchase: %w\n%s", err, out)
	}
	return p, nil
}
