// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/agentd-project/agentd/admin"
	"github.com/agentd-project/agentd/sandbox"
)

// The real daemon meets a disk that takes no write: it refuses to buy, orders and
// pays nothing, says what is wrong, and goes on by itself once the disk takes
// writes again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	ctx := context.WithoutCancel(t.Context())
	bin, err := build(ctx, "", t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l, err := startLocal(ctx, sandbox.Options{}, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := l.close(); err != nil {
			t.Error(err)
		}
	}()
	d, err := newDaemon(ctx, bin, t.TempDir(), l.info, needsOf(l.info, []string{"wallet"}), "")
	if err != nil {
		t.Fatal(err)
	}
	log, err := newLifeLog(d.log) // a file of ours: the limit does not reach it
	if err != nil {
		t.Fatal(err)
	}
	c := &campaign{daemon: d, log: log, client: admin.NewClient(d.path("agentd.sock"))}
	process, err := c.start(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer c.end()
	if err := c.awaitReady(ctx, process); err != nil {
		t.Fatal(err)
	}

	if err := limitFiles(process.cmd.Process.Pid, 0); err != nil {
		t.Fatal(err)
	}
	orders := l.market.Calls("order-create")
	for range 3 {
		if p, err := c.client.Buy(ctx, admin.BuyRequest{Need: "wallet"}); err == nil {
			t.Errorf("bought %s on a full disk", p.ID)
		}
	}
	status, err := c.client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if status.Ready || !hasProblem(status, "ledger_unwritable") {
		t.Errorf("on a full disk: ready %t, problems %v; want not ready, ledger_unwritable", status.Ready, status.Problems)
	}
	if got := l.market.Calls("order-create") - orders; got != 0 {
		t.Errorf("%d orders were made on a full disk", got)
	}

	if err := limitFiles(process.cmd.Process.Pid, unlimited); err != nil {
		t.Fatal(err)
	}
	p, err := c.client.Buy(ctx, admin.BuyRequest{Need: "wallet"})
	if err != nil {
		t.Fatalf("once the disk takes writes again: %v", err)
	}
	if p, err = c.client.Wait(ctx, p.ID, 30*time.Second); err != nil || !p.Settled {
		t.Errorf("once the disk takes writes again: got %v, %v, want settled", p, err)
	}
	if status, err = c.client.Status(ctx); err != nil || !status.Ready || hasProblem(status, "ledger_unwritable") {
		t.Errorf("afterwards: ready %t, problems %v, %v; want ready", status.Ready, status.Problems, err)
	}
	select {
	case <-process.exited:
		t.Errorf("the daemon ended: %s", log.last)
	default:
	}
}

func hasProblem(status *admin.Status, code string) bool {
	return slices.ContainsFunc(status.Problems, func(p admin.Problem) bool { return p.Code == code })
}
