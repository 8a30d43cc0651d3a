// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ethereum/go-ethereum/common"

	"github.com/agentd-project/agentd/sandbox"
)

// statesOf is the way of a purchase on each rail, as the log tells it.
var statesOf = map[string][]string{
	"not-required":      {"quoted", "reserved", "ordered", "executing", "delivered", "confirmed"},
	"wallet":            {"quoted", "reserved", "ordered", "intended", "paying", "paid", "proven", "executing", "delivered", "confirmed"},
	"wdk-usdt-transfer": {"quoted", "reserved", "ordered", "intended", "paying", "paid", "proven", "executing", "delivered", "confirmed"},
	"x402":              {"quoted", "reserved", "ordered", "intended", "paying", "proven", "executing", "delivered", "confirmed"},
}

// The real daemon process is killed by SIGKILL as soon as its log says that a
// purchase has entered a state, for every state on every rail. Started again,
// it brings the purchase to its end by itself, with one transfer, and its
// ledger agrees with the chain.
func TestKillAtEveryState(t *testing.T) {
	bin, err := build(t.Context(), "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for rail, states := range statesOf {
		t.Run(rail, func(t *testing.T) {
			t.Parallel()
			killer := newKiller(t, bin, rail)
			for _, state := range append([]string{"planned"}, states...) {
				t.Run(state, func(t *testing.T) { killer.kill(t, state) })
			}
		})
	}
}

// killer is a Market and a daemon that is killed again and again.
type killer struct {
	rail   string
	local  *local
	daemon *daemon
}

func newKiller(t *testing.T, bin, rail string) *killer {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	l, err := startLocal(ctx, sandbox.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.close(); err != nil {
			t.Errorf("close the Market: %v", err)
		}
	})
	// Answers take a while, so that a state lasts long enough to die in it.
	if _, err := l.market.Inject(sandbox.Fault{Operation: "*", Kind: sandbox.FaultDelay, DelayMS: 40}); err != nil {
		t.Fatal(err)
	}
	d, err := newDaemon(ctx, bin, t.TempDir(), l.info, needsOf(l.info, []string{rail}), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := d.start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.stop(); err != nil {
			t.Errorf("stop the daemon: %v", err)
		}
	})
	return &killer{rail: rail, local: l, daemon: d}
}

func (k *killer) kill(t *testing.T, state string) {
	ctx := t.Context()
	before := k.transfers(t)
	offset := k.logSize(t)
	out, err := k.daemon.command(ctx, "buy", k.rail, "--json")
	if err != nil {
		t.Fatalf("buy: %v\n%s", err, out)
	}
	p, err := readPurchase(out)
	if err != nil {
		t.Fatal(err)
	}
	if state != "planned" {
		k.awaitState(t, offset, p.ID, state)
	}
	k.daemon.kill()
	if err := k.daemon.start(ctx); err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(100 * time.Second)
	for !p.Final && time.Now().Before(end) {
		<-time.After(50 * time.Millisecond)
		if p, err = k.daemon.purchase(ctx, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	want := 1
	if k.rail == "not-required" {
		want = 0
	}
	if got := k.transfers(t) - before; p.State != "settled" || got != want {
		t.Errorf("killed at %s: got %s (%s) and %d transfers, want settled and %d", state, p.State, p.Reason, got, want)
	}
	if out, err := k.daemon.command(ctx, "ledger", "verify"); err != nil || !bytes.Contains(out, []byte("ledger verify: ok")) {
		t.Errorf("ledger verify: %v\n%s", err, out)
	}
}

func (k *killer) logSize(t *testing.T) int64 {
	t.Helper()
	info, err := os.Stat(k.daemon.log)
	if err != nil {
		t.Fatal(err)
	}
	return info.Size()
}

// awaitState reads the log until it says that the purchase has entered a state.
func (k *killer) awaitState(t *testing.T, offset int64, id, state string) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); <-time.After(500 * time.Microsecond) {
		text, err := os.ReadFile(k.daemon.log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text[offset:])) {
			var entry struct{ Purchase, To string }
			if json.Unmarshal([]byte(line), &entry) == nil && entry.Purchase == id && entry.To == state {
				return
			}
		}
	}
	t.Fatalf("the log never said that the purchase entered %s", state)
}

// transfers counts the transfers out of the agent's address.
func (k *killer) transfers(t *testing.T) (n int) {
	t.Helper()
	all, err := k.local.chain.Transfers(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	agent := common.HexToAddress(k.local.info.AgentAddress)
	for _, x := range all {
		if x.From == agent {
			n++
		}
	}
	return n
}
