// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/sandbox"
	"github.com/agentd-project/agentd/sandbox/chain"
)

//go:embed torture.yaml.tmpl
var tortureTemplate string

type tortureCommand struct {
	Purchases       int    `default:"200" help:"Purchases to ask for."`
	Kills           int    `default:"100" help:"How often the daemon is killed."`
	Seed            uint64 `help:"Seed of all that is left to chance, as an earlier run printed it; 0 draws one."`
	Recoveries      int    `default:"5" help:"How often the daemon is killed while value is on its way, without any other fault, to time what follows."`
	Agentd          string `type:"path" placeholder:"FILE" help:"The agentd that is killed at any instant, a release build; without it one is built from this project."`
	AgentdFailpoint string `type:"path" placeholder:"FILE" help:"The agentd that is killed at write boundaries, built with the tag failpoint; without it one is built from this project."`
	Keep            string `type:"path" placeholder:"DIR" help:"Keep ledger, logs, journal and chain log in this directory. After a failure they are kept in any case."`
}

// campaign is one run: a Market, a chain, a daemon that is killed again and
// again, and everything that goes wrong meanwhile.
type campaign struct {
	tortureCommand
	std     streams
	dir     string
	local   *local
	evm     *chain.Simulated
	rpc     *sandbox.RPC
	daemon  *daemon
	release string
	tagged  string
	log     *lifeLog
	tally   tally
	asked   asked
	plan    torturePlan
	client  *admin.Client
	adjust  func(*campaign) error // before the configuration is written; nil leaves it as it is
	calm    atomic.Bool           // from now on nothing goes wrong

	mu   sync.Mutex
	life *life // the running process

	recovered map[string][]time.Duration // by need: healthy restart until its value was no longer unknown
	drained   time.Duration              // end of the faults until everything was final
	began     time.Time
}

// Run tortures, checks, and fails with what it found.
func (t *tortureCommand) Run(ctx context.Context, std streams) (err error) {
	if t.Seed == 0 {
		var seed [8]byte
		_, _ = rand.Read(seed[:]) // it never fails
		t.Seed = binary.LittleEndian.Uint64(seed[:]) >> 12
	}
	dir := t.Keep
	if dir == "" {
		dir, err = os.MkdirTemp("", "agentd-torture-")
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(std.out, "seed %d, files in %s\n", t.Seed, dir)
	defer func() {
		switch {
		case err != nil:
			err = fmt.Errorf("seed %d, files are kept in %s: %w", t.Seed, dir, err)
		case t.Keep == "":
			err = os.RemoveAll(dir)
		}
	}()
	c := &campaign{tortureCommand: *t, std: std, dir: dir, began: time.Now(), recovered: map[string][]time.Duration{}}
	return c.run(ctx)
}

func (c *campaign) run(ctx context.Context) (err error) {
	if err := c.prepare(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.local.close()) }()
	defer c.end()
	if err := c.recover(ctx); err != nil {
		return err
	}
	if err := c.torture(ctx); err != nil {
		return err
	}
	if c.drained, err = c.drain(ctx); err != nil {
		return err
	}
	findings, err := c.check(ctx)
	if err != nil {
		return err
	}
	c.report(findings)
	if len(findings) > 0 {
		return fmt.Errorf("%d findings", len(findings))
	}
	return nil
}

// prepare builds what runs, starts the Market, and has the daemon enrol and
// pair once while nothing goes wrong.
func (c *campaign) prepare(ctx context.Context) (err error) {
	if c.release, err = buildRelease(ctx, c.Agentd, c.dir, "agentd"); err != nil {
		return err
	}
	if c.tagged, err = buildRelease(ctx, c.AgentdFailpoint, c.dir, "agentd-failpoint", "failpoint"); err != nil {
		return err
	}
	journal, err := os.OpenFile(filepath.Join(c.dir, "journal.jsonl"), os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	c.rpc = sandbox.NewRPC()
	options := sandbox.Options{RPC: c.rpc, Journal: journal, Services: tortureServices()}
	if c.local, err = startLocal(ctx, options, chainLead); err != nil {
		return err
	}
	c.evm = c.local.chain.(*chain.Simulated)
	c.evm.SetAutomine(false)
	defer func() {
		if err != nil {
			err = errors.Join(err, c.local.close())
		}
	}()
	c.plan = c.planPurchases()
	if c.adjust != nil {
		if err := c.adjust(c); err != nil {
			return err
		}
	}
	c.daemon, err = newDaemonOf(ctx, c.release, c.dir, c.local.info, c.plan.needs, tortureTemplate, map[string]any{"Plan": c.plan})
	if err != nil {
		return err
	}
	c.client = admin.NewClient(c.daemon.path("agentd.sock"))
	if c.log, err = newLifeLog(c.daemon.log); err != nil {
		return err
	}
	c.startMining(ctx)
	l, err := c.start(c.release)
	if err != nil {
		return err
	}
	return c.awaitReady(ctx, l)
}

// random returns the randomness of one actor, which depends on the seed alone.
func (c *campaign) random(actor uint64) *mathrand.Rand {
	return mathrand.New(mathrand.NewPCG(c.Seed, actor)) //nolint:gosec // it must be repeatable, nothing is secret
}

// buildRelease returns the given binary, or builds one as it is released, with
// further build tags.
func buildRelease(ctx context.Context, given, dir, name string, tags ...string) (string, error) {
	if given != "" {
		return filepath.Abs(given)
	}
	bin, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	project, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err == nil {
		script := filepath.Join(strings.TrimSpace(string(project)), "scripts", "build.sh")
		var out []byte
		out, err = exec.CommandContext(ctx, script, append([]string{bin}, tags...)...).CombinedOutput() //nolint:gosec // the project's own script
		if err != nil {
			err = fmt.Errorf("%w\n%s", err, out)
		}
	}
	if err != nil {
		return "", fmt.Errorf("build %s (run this in the project, or name the binaries): %w", daemonPackage, err)
	}
	return bin, nil
}
