// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ethereum/go-ethereum/accounts/keystore"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/sandbox"
)

// benchCommand groups what is measured; without a name it is the process.
type benchCommand struct {
	Process benchProcessCommand `cmd:"" default:"withargs" help:"Size, start, memory and the cost of purchases of one daemon, one purchase after the other, on a real EVM."`
	Compare compareCommand      `cmd:"" help:"CPU, wall time and durable commits of the same purchases by one daemon and by other buyers, on one Market; purchases per second."`
}

type benchProcessCommand struct {
	Agentd    string        `type:"path" placeholder:"FILE" help:"The agentd to measure, a release build; without it one is built from this project."`
	Purchases int           `default:"100" help:"Purchases per rail."`
	Idle      time.Duration `default:"60s" help:"How long to watch the idle daemon."`
	Starts    int           `default:"5" help:"How often to start the daemon."`
}

// figures are what the bench measures, in the order of docs/benchmarks.md.
type figures struct {
	binary             int64
	start, scrypt      time.Duration
	wall, cpu          map[string]time.Duration
	resident, anon     int64 // kB
	idle               time.Duration
	idleFor            time.Duration
	entries            map[string]int // of the journal, by rail
	purchases, started int
}

// Run measures one daemon on a local Market, as the table of numbers to hold
// asks for them.
func (c *benchProcessCommand) Run(ctx context.Context, std streams) (err error) {
	dir, err := os.MkdirTemp("", "agentd-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bin, err := build(ctx, c.Agentd, dir)
	if err != nil {
		return err
	}
	f := figures{wall: map[string]time.Duration{}, cpu: map[string]time.Duration{}, entries: map[string]int{}, purchases: c.Purchases, started: c.Starts, idleFor: c.Idle}
	info, err := os.Stat(bin)
	if err != nil {
		return err
	}
	f.binary = info.Size()
	for _, rail := range benchRails {
		if err := f.measure(ctx, bin, filepath.Join(dir, rail), rail); err != nil {
			return err
		}
	}
	return f.print(std)
}

// benchRails are measured one after the other, each on a Market of its own. The
// last one's daemon is the one whose memory and idle CPU are read.
var benchRails = []string{"not-required", "wallet", "x402"}

// blockLead lets one purchase after the other have a block of its own at once,
// though each block is a second after its parent; it stays below the two
// minutes beyond which the daemon no longer trusts a clock.
const blockLead = 110 * time.Second

func (f *figures) measure(ctx context.Context, bin, dir, rail string) (err error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	l, err := startLocal(ctx, sandbox.Options{}, blockLead)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	d, err := newDaemon(ctx, bin, dir, l.info, needsOf(l.info, []string{rail}), "")
	if err != nil {
		return err
	}
	if err := d.start(ctx); err != nil { // the first start registers and pairs
		return err
	}
	if rail == benchRails[0] {
		if err := f.starts(ctx, d); err != nil {
			return err
		}
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	if err := f.buy(ctx, d, rail); err != nil || rail != benchRails[len(benchRails)-1] {
		return err
	}
	return f.atRest(ctx, d)
}

// starts measures how long the daemon needs until it is ready, and leaves it running.
func (f *figures) starts(ctx context.Context, d *daemon) (err error) {
	if f.scrypt, err = unlock(d); err != nil {
		return err
	}
	var all []time.Duration
	for range f.started {
		if err := d.stop(); err != nil {
			return err
		}
		took, err := d.startToReady(ctx)
		if err != nil {
			return err
		}
		all = append(all, took)
	}
	f.start = median(all)
	return d.awaitReady(ctx)
}

// atRest reads memory and CPU of a daemon that has nothing to do.
func (f *figures) atRest(ctx context.Context, d *daemon) (err error) {
	if f.resident, f.anon, err = memory(d.cmd.Process.Pid); err != nil {
		return err
	}
	before, err := cpuTime(d.cmd.Process.Pid)
	if err != nil {
		return err
	}
	select {
	case <-time.After(f.idleFor):
	case <-ctx.Done():
		return ctx.Err()
	}
	after, err := cpuTime(d.cmd.Process.Pid)
	f.idle = after - before
	return err
}

// buy makes the purchases of one rail one after the other, asked for over the
// daemon's socket as software on the machine does. Wall time is from the plan to
// the settled state, as the ledger stamped them; CPU is the daemon's whole, its
// local API included.
func (f *figures) buy(ctx context.Context, d *daemon, rail string) error {
	client := admin.NewClient(d.path("agentd.sock"))
	var walls []time.Duration
	var before time.Duration
	for i := range f.purchases + warm {
		if i == warm {
			var err error
			if before, err = cpuTime(d.cmd.Process.Pid); err != nil {
				return err
			}
		}
		p, err := client.Buy(ctx, admin.BuyRequest{Need: rail})
		if err != nil {
			return err
		}
		if p, err = client.Wait(ctx, p.ID, time.Minute); err != nil {
			return err
		}
		if !p.Settled {
			return fmt.Errorf("purchase %s on %s ended %s (%s)", p.ID, rail, p.State, p.Reason)
		}
		if i >= warm {
			walls = append(walls, p.Updated.Sub(p.Created))
		}
		f.entries[rail] = len(p.History)
	}
	after, err := cpuTime(d.cmd.Process.Pid)
	f.cpu[rail], f.wall[rail] = (after-before)/time.Duration(f.purchases), median(walls)
	return err
}

// warm is how many purchases are made before the measured ones.
const warm = 10

func median(all []time.Duration) time.Duration {
	slices.Sort(all)
	return all[len(all)/2]
}

// unlock times the scrypt of the daemon's keystore file.
func unlock(d *daemon) (time.Duration, error) {
	file, err := os.ReadFile(d.path("agent.json"))
	if err != nil {
		return 0, err
	}
	passphrase, err := os.ReadFile(d.path("agent-passphrase"))
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	_, err = keystore.DecryptKey(file, strings.TrimSpace(string(passphrase)))
	return time.Since(begin), err
}

// startToReady starts the daemon as systemd does and times its READY=1.
func (d *daemon) startToReady(ctx context.Context) (time.Duration, error) {
	name := filepath.Join(d.dir, "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		return 0, err
	}
	defer func() { _ = os.Remove(name) }()
	defer func() { _ = socket.Close() }()
	cmd := exec.CommandContext(ctx, d.bin, "run", "--config", d.path("agentd.yaml")) //nolint:gosec // the daemon that is measured
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+name)
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	d.cmd, d.exited = cmd, make(chan struct{})
	go func(exited chan struct{}) {
		_ = cmd.Wait() // how it ended is for whoever ended it
		close(exited)
	}(d.exited)
	if err := socket.SetReadDeadline(begin.Add(30 * time.Second)); err != nil {
		return 0, err
	}
	buffer := make([]byte, 4096)
	for {
		n, err := socket.Read(buffer)
		if err != nil {
			return 0, fmt.Errorf("no READY=1: %w", err)
		}
		if strings.Contains(string(buffer[:n]), "READY=1") {
			return time.Since(begin), nil
		}
	}
}

// cpuTime reads what a process has used, from all its threads.
func cpuTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	var ticks int64
	for _, field := range fields[11:13] { // utime and stime, in hundredths of a second
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

// memory reads the resident set and its anonymous part, in kB.
func memory(pid int) (resident, anon int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		for name, value := range map[string]*int64{"VmRSS:": &resident, "RssAnon:": &anon} {
			if rest, found := strings.CutPrefix(line, name); found {
				if *value, err = strconv.ParseInt(strings.Fields(rest)[0], 10, 64); err != nil {
					return 0, 0, err
				}
			}
		}
	}
	return resident, anon, nil
}

func (f *figures) print(std streams) error {
	w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
	row := func(what, got, bound string) { _, _ = fmt.Fprintf(w, "%s\t%s\t%s\n", what, got, bound) }
	ms := func(d time.Duration) string { return fmt.Sprintf("%.2f ms", float64(d.Microseconds())/1000) }
	row("WHAT", "MEASURED", "BOUND")
	row("binary", fmt.Sprintf("%.1f MB", float64(f.binary)/1e6), "25 MB stripped")
	row(fmt.Sprintf("start to READY=1, median of %d", f.started), ms(f.start), "20 ms + scrypt")
	row("of it scrypt of the key, by itself", ms(f.scrypt), "")
	for _, rail := range benchRails {
		row(fmt.Sprintf("%s purchase, wall, median of %d", rail, f.purchases), ms(f.wall[rail]), map[string]string{"x402": "50 ms"}[rail])
		row(rail+" purchase, CPU of the daemon", ms(f.cpu[rail]), map[string]string{"x402": "2.5 ms", "not-required": "2 ms"}[rail])
		row(rail+" purchase, journal entries", strconv.Itoa(f.entries[rail]), map[string]string{"not-required": "10 commits"}[rail])
	}
	row("resident after the purchases", fmt.Sprintf("%.1f MB", float64(f.resident)*1024/1e6), "32 MB")
	row("of it anonymous", fmt.Sprintf("%.1f MB", float64(f.anon)*1024/1e6), "12 MB")
	share := float64(f.idle) / float64(f.idleFor) * 100
	row(fmt.Sprintf("idle CPU over %s", f.idleFor), fmt.Sprintf("%.2f %% of a core", share), "0.1 %")
	return w.Flush()
}
